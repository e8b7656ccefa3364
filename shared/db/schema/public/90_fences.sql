-- Rows of shared tables that belong to a tenant. A fence is a condition that every row must meet which a tenant's role reads
-- or writes; nobody else is affected. An unset tenant id fences off everything.

-- fence organizations
id = NULLIF(current_setting('cgk.tenant_id', true), '')::uuid;

-- fence user_organizations
organization_id = NULLIF(current_setting('cgk.tenant_id', true), '')::uuid;

-- fence users
EXISTS (
    SELECT 1 FROM user_organizations m
    WHERE m.user_id = users.id AND m.organization_id = NULLIF(current_setting('cgk.tenant_id', true), '')::uuid
);

-- fence creator_brand_memberships
organization_id = NULLIF(current_setting('cgk.tenant_id', true), '')::uuid;

-- fence creators
EXISTS (
    SELECT 1 FROM creator_brand_memberships m
    WHERE m.creator_id = creators.id AND m.organization_id = NULLIF(current_setting('cgk.tenant_id', true), '')::uuid
);

-- fence creator_notification_settings
EXISTS (
    SELECT 1 FROM creator_brand_memberships m
    WHERE m.creator_id = creator_notification_settings.creator_id
      AND m.organization_id = NULLIF(current_setting('cgk.tenant_id', true), '')::uuid
);

-- fence creator_balance_transactions
brand_id = NULLIF(current_setting('cgk.tenant_id', true), '')::uuid;

-- fence shopify_app_installations
organization_id = NULLIF(current_setting('cgk.tenant_id', true), '')::uuid;

-- fence platform_webhooks
tenant_id = NULLIF(current_setting('cgk.tenant_id', true), '')::uuid;

-- fence platform_alerts
tenant_id = NULLIF(current_setting('cgk.tenant_id', true), '')::uuid;

-- fence alert_deliveries
tenant_id = NULLIF(current_setting('cgk.tenant_id', true), '')::uuid;

-- fence platform_slack_alerts
tenant_id = NULLIF(current_setting('cgk.tenant_id', true), '')::uuid;

-- fence platform_health_matrix
tenant_id = NULLIF(current_setting('cgk.tenant_id', true), '')::uuid;

-- fence health_check_state
tenant_id = NULLIF(current_setting('cgk.tenant_id', true), '')::uuid;

-- fence health_check_history
tenant_id = NULLIF(current_setting('cgk.tenant_id', true), '')::uuid;
