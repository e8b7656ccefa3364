-- The tenant's Slack workspace, which channel gets what, what was posted, and what its people want to be told.

-- ensure table tenant_slack_workspaces
CREATE TABLE tenant_slack_workspaces (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    tenant_id uuid NOT NULL,
    workspace_id varchar(50) NOT NULL,
    workspace_name varchar(255),
    bot_token_encrypted text NOT NULL,
    user_token_encrypted text,
    connected_by_user_id uuid,
    connected_by_slack_user_id varchar(50),
    bot_scopes text[] NOT NULL,
    user_scopes text[],
    is_active boolean DEFAULT true,
    last_verified_at timestamptz,
    created_at timestamptz DEFAULT now(),
    updated_at timestamptz DEFAULT now(),
    PRIMARY KEY (id),
    UNIQUE (tenant_id)
);

-- ensure table tenant_slack_channel_mappings
CREATE TABLE tenant_slack_channel_mappings (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    tenant_id uuid NOT NULL,
    notification_type varchar(100) NOT NULL,
    channel_id varchar(50) NOT NULL,
    channel_name varchar(100),
    is_enabled boolean DEFAULT true,
    created_at timestamptz DEFAULT now(),
    updated_at timestamptz DEFAULT now(),
    PRIMARY KEY (id),
    UNIQUE (tenant_id, notification_type)
);

-- ensure table slack_posts
CREATE TABLE slack_posts (
    dedupe_key text NOT NULL,
    channel_id text NOT NULL,
    status text NOT NULL DEFAULT 'sending' CHECK (status IN ('sending', 'sent', 'failed', 'unknown')),
    attempts integer NOT NULL DEFAULT 0,
    message_ts text,
    thread_ts text,
    error_code text,
    lease_expires_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    sent_at timestamptz,
    PRIMARY KEY (dedupe_key)
);

-- ensure index ix_slack_posts_created_at
CREATE INDEX ix_slack_posts_created_at ON slack_posts (created_at);

-- ensure table tenant_user_notification_preferences
CREATE TABLE tenant_user_notification_preferences (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    user_id uuid NOT NULL,
    tenant_id uuid NOT NULL,
    email_enabled boolean DEFAULT true,
    slack_enabled boolean DEFAULT false,
    slack_dm_enabled boolean DEFAULT true,
    notify_on_mention boolean DEFAULT true,
    notify_on_reply boolean DEFAULT true,
    notify_on_asset_update boolean DEFAULT false,
    quiet_hours_start integer,
    quiet_hours_end integer,
    created_at timestamptz DEFAULT now(),
    updated_at timestamptz DEFAULT now(),
    PRIMARY KEY (id),
    UNIQUE (tenant_id, user_id),
    CHECK (quiet_hours_end >= 0 AND quiet_hours_end <= 23),
    CHECK (quiet_hours_start >= 0 AND quiet_hours_start <= 23)
);
