-- Alerts: what is wrong, whom it was told, and the platform's own settings and Slack workspace.

-- ensure table platform_config
CREATE TABLE platform_config (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    key varchar(100) NOT NULL,
    value jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (id),
    UNIQUE (key)
);

-- ensure trigger update_platform_config_updated_at on platform_config
CREATE TRIGGER update_platform_config_updated_at BEFORE UPDATE ON platform_config
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();

-- ensure table super_admin_users
CREATE TABLE super_admin_users (
    user_id uuid NOT NULL,
    granted_at timestamptz NOT NULL DEFAULT now(),
    granted_by uuid,
    notes text,
    can_access_all_tenants boolean NOT NULL DEFAULT true,
    can_impersonate boolean NOT NULL DEFAULT true,
    can_manage_super_admins boolean NOT NULL DEFAULT false,
    mfa_enabled boolean NOT NULL DEFAULT false,
    mfa_secret_encrypted text,
    mfa_backup_codes_encrypted text,
    mfa_verified_at timestamptz,
    last_access_at timestamptz,
    last_access_ip inet,
    is_active boolean NOT NULL DEFAULT true,
    deactivated_at timestamptz,
    deactivated_by uuid,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id),
    FOREIGN KEY (deactivated_by) REFERENCES users(id),
    FOREIGN KEY (granted_by) REFERENCES users(id),
    FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE CASCADE
);

-- ensure trigger update_super_admin_users_updated_at on super_admin_users
CREATE TRIGGER update_super_admin_users_updated_at BEFORE UPDATE ON super_admin_users
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();

-- ensure table platform_slack_workspace
CREATE TABLE platform_slack_workspace (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    workspace_id varchar(50) NOT NULL,
    workspace_name varchar(255),
    bot_token_encrypted text NOT NULL,
    user_token_encrypted text,
    channel_critical varchar(50),
    channel_errors varchar(50),
    channel_warnings varchar(50),
    channel_info varchar(50),
    channel_deployments varchar(50),
    mention_critical varchar(50),
    mention_errors varchar(50),
    is_active boolean DEFAULT true,
    created_at timestamptz DEFAULT now(),
    updated_at timestamptz DEFAULT now(),
    PRIMARY KEY (id)
);

-- ensure table platform_slack_alerts
CREATE TABLE platform_slack_alerts (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    severity varchar(20) NOT NULL,
    service varchar(50) NOT NULL,
    tenant_id uuid,
    title text NOT NULL,
    message text,
    channel_id varchar(50),
    message_ts varchar(50),
    status varchar(20) NOT NULL,
    created_at timestamptz DEFAULT now(),
    PRIMARY KEY (id),
    CHECK (severity IN ('critical', 'error', 'warning', 'info')),
    CHECK (status IN ('sent', 'failed', 'rate_limited')),
    FOREIGN KEY (tenant_id) REFERENCES organizations(id)
);

-- ensure table platform_alerts
CREATE TABLE platform_alerts (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    severity varchar(10) NOT NULL,
    source varchar(50) NOT NULL,
    service varchar(50) NOT NULL,
    tenant_id uuid,
    metric varchar(100),
    current_value numeric,
    threshold_value numeric,
    title varchar(500) NOT NULL,
    message text NOT NULL,
    metadata jsonb NOT NULL DEFAULT '{}',
    status varchar(20) NOT NULL DEFAULT 'open',
    created_at timestamptz NOT NULL DEFAULT now(),
    acknowledged_at timestamptz,
    acknowledged_by uuid,
    resolved_at timestamptz,
    resolved_by uuid,
    resolution_notes text,
    delivery_status jsonb NOT NULL DEFAULT '{}',
    -- added for the jobs
    dedupe_key text,
    kind text,
    occurrences integer NOT NULL DEFAULT 1,
    last_seen_at timestamptz,
    last_notified_at timestamptz,
    escalation_level smallint NOT NULL DEFAULT 0,
    escalation_repeats smallint NOT NULL DEFAULT 0,
    escalated_at timestamptz,
    reopened_count integer NOT NULL DEFAULT 0,
    reopened_at timestamptz,
    ack_reminded_at timestamptz,
    PRIMARY KEY (id),
    CHECK (severity IN ('p1', 'p2', 'p3')),
    CHECK (source IN ('health_check', 'threshold', 'error_tracker', 'manual')),
    CHECK (status IN ('open', 'acknowledged', 'resolved')),
    FOREIGN KEY (acknowledged_by) REFERENCES users(id) ON DELETE SET NULL,
    FOREIGN KEY (tenant_id) REFERENCES organizations(id) ON DELETE SET NULL,
    FOREIGN KEY (resolved_by) REFERENCES users(id) ON DELETE SET NULL
);

-- ensure index platform_alerts_live
CREATE UNIQUE INDEX platform_alerts_live ON platform_alerts (coalesce(tenant_id, '00000000-0000-0000-0000-000000000000'), dedupe_key) WHERE status <> 'resolved' and dedupe_key is not null;

-- ensure index ix_platform_alerts_status_created_at_28ff
CREATE INDEX ix_platform_alerts_status_created_at_28ff ON platform_alerts (status, created_at) WHERE status <> 'resolved';

-- ensure table alert_deliveries
CREATE TABLE alert_deliveries (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    alert_id uuid NOT NULL REFERENCES platform_alerts(id) ON DELETE CASCADE,
    tenant_id uuid REFERENCES organizations(id),
    channel text NOT NULL CHECK (channel IN ('slack', 'email', 'sms', 'pagerduty', 'webhook')),
    scope text NOT NULL CHECK (scope IN ('tenant', 'platform')),
    target_hash text NOT NULL,
    target_ref text,
    notice text NOT NULL,
    status text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'sent', 'failed', 'skipped')),
    attempts integer NOT NULL DEFAULT 0,
    not_before timestamptz,
    sent_at timestamptz,
    reason text,
    external_ref text,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (id)
);

-- ensure index ux_alert_deliveries_alert_id_channel_scope_target_h_f9304657
CREATE UNIQUE INDEX ux_alert_deliveries_alert_id_channel_scope_target_h_f9304657 ON alert_deliveries (alert_id, channel, scope, target_hash, notice);

-- ensure index ix_alert_deliveries_status_not_before_afdf
CREATE INDEX ix_alert_deliveries_status_not_before_afdf ON alert_deliveries (status, not_before) WHERE status = 'pending';

-- ensure index ix_alert_deliveries_channel_target_hash_sent_at
CREATE INDEX ix_alert_deliveries_channel_target_hash_sent_at ON alert_deliveries (channel, target_hash, sent_at);
