-- Text messages and mail: queues, consent, suppression.

-- ensure table sms_campaigns
CREATE TABLE sms_campaigns (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    name text,
    category text NOT NULL DEFAULT 'marketing',
    message text,
    template_key text,
    audience jsonb NOT NULL,
    status text NOT NULL DEFAULT 'running' CHECK (status IN ('draft', 'running', 'paused', 'completed', 'cancelled', 'failed')),
    cursor text,
    audience_done boolean NOT NULL DEFAULT false,
    continue_seq integer NOT NULL DEFAULT 0,
    total integer NOT NULL DEFAULT 0,
    sent integer NOT NULL DEFAULT 0,
    delivered integer NOT NULL DEFAULT 0,
    failed integer NOT NULL DEFAULT 0,
    skipped integer NOT NULL DEFAULT 0,
    opted_out integer NOT NULL DEFAULT 0,
    pause_reason text,
    started_at timestamptz,
    completed_at timestamptz,
    created_at timestamptz,
    created_by text,
    max_cost_cents integer,
    cost_micros bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (id)
);

-- ensure index ix_sms_campaigns_status
CREATE INDEX ix_sms_campaigns_status ON sms_campaigns (status);

-- ensure table sms_queue
CREATE TABLE sms_queue (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    tenant_id text NOT NULL,
    phone_number text NOT NULL,
    recipient_type text NOT NULL,
    recipient_id text,
    recipient_name text,
    notification_type text NOT NULL,
    content text NOT NULL,
    character_count integer NOT NULL,
    segment_count integer NOT NULL,
    status text NOT NULL DEFAULT 'pending',
    scheduled_at timestamptz,
    trigger_run_id text,
    attempts integer DEFAULT 0,
    max_attempts integer DEFAULT 3,
    last_attempt_at timestamptz,
    sent_at timestamptz,
    delivered_at timestamptz,
    twilio_message_sid text,
    skip_reason text,
    error_message text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    -- added for the jobs
    dedupe_key text,
    campaign_id uuid REFERENCES sms_campaigns(id),
    category text NOT NULL DEFAULT 'marketing' CHECK (category IN ('security', 'operational', 'transactional', 'marketing')),
    sender text,
    encoding text CHECK (encoding IN ('gsm7', 'ucs2')),
    outcome text CHECK (outcome IN ('calling', 'unknown', 'not_sent', 'accepted')),
    provider_status text,
    provider_rank smallint NOT NULL DEFAULT 0,
    lease_expires_at timestamptz,
    slot_at timestamptz,
    reconcile_at timestamptz,
    reconcile_count smallint NOT NULL DEFAULT 0,
    error_code text,
    dead_at timestamptz,
    estimated_cost_micros bigint,
    correlation_id text,
    PRIMARY KEY (id)
);

-- ensure index ux_sms_queue_dedupe_key_2664
CREATE UNIQUE INDEX ux_sms_queue_dedupe_key_2664 ON sms_queue (dedupe_key) WHERE dedupe_key is not null;

-- ensure index ux_sms_queue_campaign_id_phone_number_e678
CREATE UNIQUE INDEX ux_sms_queue_campaign_id_phone_number_e678 ON sms_queue (campaign_id, phone_number) WHERE campaign_id is not null;

-- ensure index ux_sms_queue_twilio_message_sid_d4be
CREATE UNIQUE INDEX ux_sms_queue_twilio_message_sid_d4be ON sms_queue (twilio_message_sid) WHERE twilio_message_sid is not null;

-- ensure index ix_sms_queue_status_scheduled_at
CREATE INDEX ix_sms_queue_status_scheduled_at ON sms_queue (status, scheduled_at);

-- ensure index ix_sms_queue_phone_number_created_at
CREATE INDEX ix_sms_queue_phone_number_created_at ON sms_queue (phone_number, created_at);

-- ensure index ix_sms_queue_reconcile_at_f369
CREATE INDEX ix_sms_queue_reconcile_at_f369 ON sms_queue (reconcile_at) WHERE outcome = 'unknown';

-- ensure trigger trigger_sms_queue_updated_at on sms_queue
CREATE TRIGGER trigger_sms_queue_updated_at BEFORE UPDATE ON sms_queue
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();

-- ensure table sms_consent
CREATE TABLE sms_consent (
    id text NOT NULL DEFAULT gen_random_uuid()::text,
    phone text NOT NULL,
    email text,
    channel text NOT NULL,
    action text NOT NULL,
    source text NOT NULL,
    ip_address text,
    opted_in boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (id),
    UNIQUE (phone, channel),
    CHECK (action IN ('opt_in', 'opt_out'))
);

-- ensure trigger update_sms_consent_updated_at on sms_consent
CREATE TRIGGER update_sms_consent_updated_at BEFORE UPDATE ON sms_consent
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();

-- ensure table sms_consent_log
CREATE TABLE sms_consent_log (
    id text NOT NULL DEFAULT gen_random_uuid()::text,
    phone text NOT NULL,
    email text,
    channel text NOT NULL,
    action text NOT NULL,
    source text NOT NULL,
    ip_address text,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (id),
    CHECK (action IN ('opt_in', 'opt_out'))
);

-- ensure table sms_opt_outs
CREATE TABLE sms_opt_outs (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    tenant_id text NOT NULL,
    phone_number text NOT NULL,
    opt_out_method text NOT NULL,
    original_message text,
    opted_out_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (id),
    UNIQUE (tenant_id, phone_number)
);

-- ensure table sms_templates
CREATE TABLE sms_templates (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    tenant_id text NOT NULL,
    notification_type text NOT NULL,
    content text NOT NULL,
    character_count integer NOT NULL DEFAULT 0,
    segment_count integer NOT NULL DEFAULT 1,
    available_variables text[] NOT NULL DEFAULT '{}',
    shorten_links boolean DEFAULT true,
    is_default boolean DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (id),
    UNIQUE (tenant_id, notification_type)
);

-- ensure trigger trigger_sms_templates_updated_at on sms_templates
CREATE TRIGGER trigger_sms_templates_updated_at BEFORE UPDATE ON sms_templates
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();

-- ensure table sms_delivery_events
CREATE TABLE sms_delivery_events (
    message_sid text NOT NULL,
    status text NOT NULL,
    error_code integer,
    sms_queue_id uuid,
    received_at timestamptz NOT NULL,
    applied_at timestamptz,
    PRIMARY KEY (message_sid, status)
);

-- ensure index ix_sms_delivery_events_received_at
CREATE INDEX ix_sms_delivery_events_received_at ON sms_delivery_events (received_at);

-- ensure table sms_sender_slots
CREATE TABLE sms_sender_slots (
    sender text NOT NULL,
    next_free_at timestamptz NOT NULL,
    PRIMARY KEY (sender)
);

-- ensure table tenant_sms_settings
CREATE TABLE tenant_sms_settings (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    tenant_id text NOT NULL,
    sms_enabled boolean NOT NULL DEFAULT false,
    provider text NOT NULL DEFAULT 'none',
    twilio_account_sid text,
    twilio_auth_token text,
    twilio_phone_number text,
    twilio_messaging_service_sid text,
    a2p_10dlc_registered boolean DEFAULT false,
    toll_free_verified boolean DEFAULT false,
    quiet_hours_enabled boolean DEFAULT true,
    quiet_hours_start time without time zone DEFAULT '21:00:00',
    quiet_hours_end time without time zone DEFAULT '09:00:00',
    quiet_hours_timezone text DEFAULT 'America/New_York',
    messages_per_second integer DEFAULT 1,
    daily_limit integer DEFAULT 1000,
    setup_completed_at timestamptz,
    last_health_check_at timestamptz,
    health_status text DEFAULT 'unconfigured',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (id),
    UNIQUE (tenant_id)
);

-- ensure trigger trigger_tenant_sms_settings_updated_at on tenant_sms_settings
CREATE TRIGGER trigger_tenant_sms_settings_updated_at BEFORE UPDATE ON tenant_sms_settings
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();

-- ensure table creator_email_queue
CREATE TABLE creator_email_queue (
    id text NOT NULL DEFAULT gen_random_uuid()::text,
    tenant_id text NOT NULL,
    creator_id text NOT NULL,
    creator_email text NOT NULL,
    creator_name text,
    project_id text,
    project_title text,
    communication_type text NOT NULL,
    status text NOT NULL DEFAULT 'pending',
    trigger_event text NOT NULL DEFAULT 'immediate',
    scheduled_at timestamptz,
    delay_days integer DEFAULT 0,
    sequence_number integer NOT NULL DEFAULT 1,
    sequence_id text,
    trigger_run_id text,
    attempts integer DEFAULT 0,
    max_attempts integer DEFAULT 5,
    last_attempt_at timestamptz,
    sent_at timestamptz,
    resend_message_id text,
    skip_reason text,
    skipped_by text,
    skipped_at timestamptz,
    template_type text,
    metadata jsonb DEFAULT '{}',
    error_message text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    -- added for the jobs
    dedupe_key text,
    priority smallint NOT NULL DEFAULT 5,
    category text,
    lease_expires_at timestamptz,
    error_code text,
    PRIMARY KEY (id),
    UNIQUE (tenant_id, creator_id, sequence_number)
);

-- ensure index ux_creator_email_queue_tenant_id_dedupe_key_2664
CREATE UNIQUE INDEX ux_creator_email_queue_tenant_id_dedupe_key_2664 ON creator_email_queue (tenant_id, dedupe_key) WHERE dedupe_key is not null;

-- ensure index ix_creator_email_queue_priority_scheduled_at_id_57ef
CREATE INDEX ix_creator_email_queue_priority_scheduled_at_id_57ef ON creator_email_queue (priority, scheduled_at, id) WHERE status = 'scheduled';

-- ensure index ix_creator_email_queue_last_attempt_at_1c10
CREATE INDEX ix_creator_email_queue_last_attempt_at_1c10 ON creator_email_queue (last_attempt_at) WHERE status = 'failed';

-- ensure index ix_creator_email_queue_lease_expires_at_983c
CREATE INDEX ix_creator_email_queue_lease_expires_at_983c ON creator_email_queue (lease_expires_at) WHERE status = 'processing';

-- ensure index ix_creator_email_queue_creator_id_status
CREATE INDEX ix_creator_email_queue_creator_id_status ON creator_email_queue (creator_id, status);

-- ensure trigger update_creator_email_queue_updated_at on creator_email_queue
CREATE TRIGGER update_creator_email_queue_updated_at BEFORE UPDATE ON creator_email_queue
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();

-- ensure table mail_messages
CREATE TABLE mail_messages (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    dedupe_key text NOT NULL UNIQUE,
    template_key text NOT NULL,
    category text NOT NULL,
    mandatory boolean NOT NULL DEFAULT false,
    priority smallint NOT NULL DEFAULT 5,
    recipient_type text NOT NULL CHECK (recipient_type IN ('creator', 'applicant', 'customer', 'contractor', 'team', 'other')),
    recipient_id text,
    recipient_hash text NOT NULL,
    sealed text,
    content_hash text,
    queue_table text,
    queue_id text,
    status text NOT NULL DEFAULT 'queued' CHECK (status IN ('queued', 'sending', 'sent', 'skipped', 'failed', 'dead')),
    scheduled_at timestamptz NOT NULL DEFAULT now(),
    attempts integer NOT NULL DEFAULT 0,
    max_attempts integer NOT NULL DEFAULT 5,
    first_attempt_at timestamptz,
    last_attempt_at timestamptz,
    lease_owner text,
    lease_expires_at timestamptz,
    provider text NOT NULL DEFAULT 'resend',
    provider_message_id text,
    sent_at timestamptz,
    delivered_at timestamptz,
    delayed_at timestamptz,
    opened_at timestamptz,
    clicked_at timestamptz,
    bounced_at timestamptz,
    bounce_type text CHECK (bounce_type IN ('hard', 'soft')),
    complained_at timestamptz,
    skip_reason text,
    error_code text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (id)
);

-- ensure index ux_mail_messages_provider_message_id_7386
CREATE UNIQUE INDEX ux_mail_messages_provider_message_id_7386 ON mail_messages (provider_message_id) WHERE provider_message_id is not null;

-- ensure index ix_mail_messages_recipient_hash_sent_at
CREATE INDEX ix_mail_messages_recipient_hash_sent_at ON mail_messages (recipient_hash, sent_at);

-- ensure index ix_mail_messages_sent_at
CREATE INDEX ix_mail_messages_sent_at ON mail_messages (sent_at);

-- ensure index ix_mail_messages_priority_scheduled_at_4c37
CREATE INDEX ix_mail_messages_priority_scheduled_at_4c37 ON mail_messages (priority, scheduled_at) WHERE status in ('queued','failed','sending');

-- ensure index ix_mail_messages_updated_at_sealed
CREATE INDEX ix_mail_messages_updated_at_sealed ON mail_messages (updated_at) WHERE sealed IS NOT NULL;

-- ensure table mail_suppressions
CREATE TABLE mail_suppressions (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    address_hash text NOT NULL,
    scope text NOT NULL DEFAULT 'all',
    reason text NOT NULL CHECK (reason IN ('hard_bounce', 'soft_bounce', 'complaint', 'unsubscribe', 'manual', 'provider')),
    source_message_id uuid REFERENCES mail_messages(id) ON DELETE SET NULL,
    expires_at timestamptz,
    lifted_at timestamptz,
    lifted_by text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (id)
);

-- ensure index ux_mail_suppressions_address_hash_scope
CREATE UNIQUE INDEX ux_mail_suppressions_address_hash_scope ON mail_suppressions (address_hash, scope);
