-- Settings of the tenant and its vendor connections.

-- ensure table tenant_config
CREATE TABLE tenant_config (
    id text NOT NULL DEFAULT gen_random_uuid()::text,
    key text NOT NULL,
    value jsonb NOT NULL DEFAULT '{}',
    description text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (id),
    UNIQUE (key)
);

-- ensure trigger set_tenant_config_updated_at on tenant_config
CREATE TRIGGER set_tenant_config_updated_at BEFORE UPDATE ON tenant_config
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();

-- ensure table analytics_settings
CREATE TABLE analytics_settings (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    shopify_connected boolean DEFAULT false,
    shopify_last_sync_at timestamptz,
    ga4_connected boolean DEFAULT false,
    ga4_property_id varchar(100),
    ga4_last_sync_at timestamptz,
    meta_connected boolean DEFAULT false,
    meta_account_id varchar(100),
    meta_last_sync_at timestamptz,
    google_ads_connected boolean DEFAULT false,
    google_ads_account_id varchar(100),
    google_ads_last_sync_at timestamptz,
    tiktok_connected boolean DEFAULT false,
    tiktok_account_id varchar(100),
    tiktok_last_sync_at timestamptz,
    auto_refresh_enabled boolean DEFAULT true,
    refresh_frequency varchar(50) DEFAULT 'hourly',
    default_date_range varchar(50) DEFAULT '30d',
    default_currency varchar(10) DEFAULT 'USD',
    timezone varchar(100) DEFAULT 'America/New_York',
    fiscal_year_start_month integer DEFAULT 1,
    default_export_format varchar(20) DEFAULT 'csv',
    export_include_headers boolean DEFAULT true,
    export_date_format varchar(50) DEFAULT 'YYYY-MM-DD',
    created_at timestamptz DEFAULT now(),
    updated_at timestamptz DEFAULT now(),
    PRIMARY KEY (id)
);

-- ensure table payout_settings
CREATE TABLE payout_settings (
    id text NOT NULL DEFAULT gen_random_uuid()::text,
    tenant_id text NOT NULL,
    default_payment_method varchar(20) DEFAULT 'stripe_connect',
    stripe_connect_enabled boolean DEFAULT true,
    paypal_enabled boolean DEFAULT true,
    wise_enabled boolean DEFAULT false,
    check_enabled boolean DEFAULT false,
    venmo_enabled boolean DEFAULT true,
    payout_schedule varchar(20) DEFAULT 'weekly',
    payout_day integer DEFAULT 5,
    min_payout_threshold_usd numeric(10,2) DEFAULT 10.00,
    max_pending_withdrawals integer DEFAULT 3,
    hold_period_days integer DEFAULT 7,
    auto_payout_enabled boolean DEFAULT true,
    payout_fee_type varchar(20) DEFAULT 'none',
    payout_fee_amount numeric(10,4) DEFAULT 0,
    require_tax_info boolean DEFAULT true,
    updated_at timestamptz NOT NULL DEFAULT now(),
    updated_by text,
    PRIMARY KEY (id),
    UNIQUE (tenant_id)
);

-- ensure trigger update_payout_settings_updated_at on payout_settings
CREATE TRIGGER update_payout_settings_updated_at BEFORE UPDATE ON payout_settings
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();

-- ensure table commission_config
CREATE TABLE commission_config (
    id text NOT NULL DEFAULT gen_random_uuid()::text,
    default_rate_percent numeric(5,2) NOT NULL DEFAULT 10.00,
    tier_rates jsonb NOT NULL DEFAULT '[]',
    auto_retroactive boolean NOT NULL DEFAULT true,
    retroactive_lookback_days integer NOT NULL DEFAULT 90,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (id)
);

-- ensure trigger update_commission_config_updated_at on commission_config
CREATE TRIGGER update_commission_config_updated_at BEFORE UPDATE ON commission_config
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();

-- ensure table shopify_connections
CREATE TABLE shopify_connections (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    tenant_id uuid NOT NULL,
    shop text NOT NULL,
    access_token_encrypted text,
    webhook_secret_encrypted text,
    storefront_api_token_encrypted text,
    scopes text[] NOT NULL DEFAULT '{}',
    api_version text NOT NULL DEFAULT '2026-01',
    storefront_api_version text DEFAULT '2026-01',
    pixel_id text,
    pixel_active boolean DEFAULT false,
    site_url text,
    default_country text DEFAULT 'US',
    default_language text DEFAULT 'EN',
    store_name text,
    store_email text,
    store_domain text,
    store_currency text DEFAULT 'USD',
    store_timezone text DEFAULT 'America/New_York',
    status text DEFAULT 'active',
    last_webhook_at timestamptz,
    last_sync_at timestamptz,
    last_api_call_at timestamptz,
    api_call_count integer DEFAULT 0,
    installed_at timestamptz DEFAULT now(),
    updated_at timestamptz DEFAULT now(),
    PRIMARY KEY (id),
    UNIQUE (tenant_id, shop),
    CHECK (status IN ('active', 'suspended', 'disconnected'))
);

-- ensure trigger trigger_shopify_connections_updated_at on shopify_connections
CREATE TRIGGER trigger_shopify_connections_updated_at BEFORE UPDATE ON shopify_connections
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();

-- ensure table klaviyo_connections
CREATE TABLE klaviyo_connections (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    tenant_id text NOT NULL,
    private_api_key_encrypted text NOT NULL,
    public_api_key text,
    company_name text,
    account_id text,
    sms_list_id text,
    email_list_id text,
    lists jsonb DEFAULT '[]',
    is_active boolean DEFAULT true,
    last_synced_at timestamptz,
    connected_at timestamptz DEFAULT now(),
    disconnected_at timestamptz,
    PRIMARY KEY (id),
    UNIQUE (tenant_id)
);
