-- Where notices about creators go: texts of Slack posts and their log; what the site's advertising pixels are.

-- ensure table tenant_slack_templates
CREATE TABLE tenant_slack_templates (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    tenant_id uuid NOT NULL,
    notification_type varchar(100) NOT NULL,
    blocks jsonb NOT NULL,
    fallback_text text NOT NULL,
    version integer DEFAULT 1,
    is_active boolean DEFAULT true,
    created_at timestamptz DEFAULT now(),
    updated_at timestamptz DEFAULT now(),
    PRIMARY KEY (id),
    UNIQUE (tenant_id, notification_type)
);

-- ensure table tenant_slack_notifications
CREATE TABLE tenant_slack_notifications (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    tenant_id uuid NOT NULL,
    notification_type varchar(100) NOT NULL,
    channel_id varchar(50) NOT NULL,
    message_ts varchar(50),
    thread_ts varchar(50),
    status varchar(20) NOT NULL,
    error_message text,
    payload jsonb,
    created_at timestamptz DEFAULT now(),
    PRIMARY KEY (id),
    CHECK (status IN ('sent', 'failed', 'rate_limited'))
);

-- ensure index ix_tenant_slack_notifications_payload_dedupekey
CREATE INDEX ix_tenant_slack_notifications_payload_dedupekey ON tenant_slack_notifications ((payload ->> 'dedupeKey'));

-- ensure table site_config
CREATE TABLE site_config (
    id text NOT NULL DEFAULT gen_random_uuid()::text,
    tenant_id text NOT NULL,
    pricing_config jsonb DEFAULT '{}',
    sale_active boolean DEFAULT false,
    sale_name varchar(100),
    sale_start_date timestamptz,
    sale_end_date timestamptz,
    sale_config jsonb DEFAULT '{}',
    announcement_bar_enabled boolean DEFAULT false,
    announcement_bar_text text,
    announcement_bar_link varchar(500),
    announcement_bar_bg_color varchar(20) DEFAULT '#000000',
    announcement_bar_text_color varchar(20) DEFAULT '#FFFFFF',
    promo_banners jsonb DEFAULT '[]',
    logo_url varchar(500),
    logo_dark_url varchar(500),
    favicon_url varchar(500),
    brand_colors jsonb DEFAULT '{"primary": "#000000", "secondary": "#374d42"}',
    brand_fonts jsonb DEFAULT '{"body": "Inter", "heading": "Inter"}',
    header_nav jsonb DEFAULT '[]',
    footer_nav jsonb DEFAULT '{}',
    social_links jsonb DEFAULT '{}',
    default_meta_title varchar(100),
    default_meta_description varchar(200),
    ga4_measurement_id varchar(50),
    fb_pixel_id varchar(50),
    tiktok_pixel_id varchar(50),
    updated_at timestamptz NOT NULL DEFAULT now(),
    updated_by text,
    PRIMARY KEY (id),
    UNIQUE (tenant_id)
);

-- ensure trigger update_site_config_updated_at on site_config
CREATE TRIGGER update_site_config_updated_at BEFORE UPDATE ON site_config
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();

-- ensure table meta_ad_connections
CREATE TABLE meta_ad_connections (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    tenant_id text NOT NULL,
    access_token_encrypted text NOT NULL,
    token_expires_at timestamptz,
    token_type varchar(20) DEFAULT 'long_lived',
    user_id text,
    selected_ad_account_id text,
    selected_ad_account_name text,
    scopes text[] DEFAULT '{}',
    metadata jsonb DEFAULT '{}',
    status varchar(30) DEFAULT 'pending_account_selection',
    needs_reauth boolean DEFAULT false,
    last_error text,
    last_sync_at timestamptz,
    connected_at timestamptz DEFAULT now(),
    updated_at timestamptz DEFAULT now(),
    emq_score integer,
    emq_parameter_scores jsonb DEFAULT '{}',
    last_emq_check_at timestamptz,
    PRIMARY KEY (id),
    UNIQUE (tenant_id)
);

-- ensure trigger meta_ad_connections_updated_at on meta_ad_connections
CREATE TRIGGER meta_ad_connections_updated_at BEFORE UPDATE ON meta_ad_connections
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();
