-- What the tenants' roles, the platform role and the login role may do in schema public. Hashes of passwords are granted to
-- nobody. Which rows a tenant's role meets is the fences' matter.

-- always grant shared tables to the tenants' roles
GRANT USAGE ON SCHEMA public TO cgk_tenants;
GRANT SELECT, UPDATE (shopify_access_token_encrypted, updated_at) ON organizations TO cgk_tenants;
GRANT SELECT (id, email, name, status, role, created_at) ON users TO cgk_tenants;
GRANT SELECT ON user_organizations, creator_notification_settings TO cgk_tenants;
GRANT SELECT (id, email, name, phone, address_line1, address_line2, city, state, postal_code, country_code,
    tax_form_status, tax_form_submitted_at, status, email_verified, onboarding_completed, first_login_at, last_login_at,
    created_at, updated_at) ON creators TO cgk_tenants;
GRANT SELECT, INSERT, UPDATE ON creator_brand_memberships, creator_balance_transactions TO cgk_tenants;
GRANT SELECT, UPDATE (status, uninstalled_at, updated_at) ON shopify_app_installations TO cgk_tenants;
GRANT SELECT, INSERT, UPDATE ON platform_webhooks TO cgk_tenants;
GRANT SELECT, INSERT, UPDATE ON platform_alerts, alert_deliveries, platform_slack_alerts, platform_health_matrix,
    health_check_state, health_check_history TO cgk_tenants;

-- always grant shared tables to the platform role
GRANT USAGE ON SCHEMA public TO cgk_platform;
GRANT SELECT (id, slug, name, status, settings, shopify_store_domain, onboarding_status, onboarding_completed_at,
    custom_domain, custom_domain_verified, enabled_features, created_at, updated_at) ON organizations TO cgk_platform;
GRANT SELECT (id, email, name, status, role, created_at) ON users TO cgk_platform;
GRANT SELECT ON user_organizations, shopify_app_installations TO cgk_platform;
GRANT SELECT, INSERT, UPDATE ON platform_webhooks TO cgk_platform;
GRANT SELECT, INSERT, UPDATE ON platform_alerts, alert_deliveries, platform_slack_alerts, platform_health_matrix,
    health_check_state, health_check_history TO cgk_platform;
GRANT SELECT ON platform_config, platform_slack_workspace TO cgk_platform;
GRANT SELECT (user_id, is_active) ON super_admin_users TO cgk_platform;

-- always grant the list of tenants to the login role
GRANT USAGE ON SCHEMA public TO {{login_role}};
GRANT SELECT (id, slug, name, status, created_at, updated_at) ON organizations TO {{login_role}};

-- always let the platform role see the statistics of all sessions
DO $$ BEGIN
    -- Only who may grant that role can; without it the health check knows nothing of long transactions and replicas.
    GRANT pg_read_all_stats TO cgk_platform;
EXCEPTION WHEN insufficient_privilege OR undefined_object THEN NULL;
END $$;
