-- What the tenant says about its mails: credentials and senders, templates, which notices go out, when and how many.
-- The ledger of mails and the queue of creators' mails stand in 70_messages.sql.

-- ensure table tenant_resend_config
CREATE TABLE tenant_resend_config (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    tenant_id text NOT NULL,
    api_key_encrypted text NOT NULL,
    resend_team_id text,
    account_name text,
    default_from_email text,
    default_from_name text,
    default_reply_to text,
    verified_domains jsonb DEFAULT '[]',
    is_active boolean DEFAULT true,
    last_verified_at timestamptz,
    last_error text,
    created_at timestamptz DEFAULT now(),
    updated_at timestamptz DEFAULT now(),
    PRIMARY KEY (id),
    UNIQUE (tenant_id)
);

-- ensure trigger tenant_resend_config_updated_at on tenant_resend_config
CREATE TRIGGER tenant_resend_config_updated_at BEFORE UPDATE ON tenant_resend_config
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();

-- ensure table tenant_email_domains
CREATE TABLE tenant_email_domains (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    domain text NOT NULL,
    subdomain text,
    verification_status text NOT NULL DEFAULT 'pending',
    verification_token text,
    resend_domain_id text,
    dns_records jsonb,
    verified_at timestamptz,
    last_check_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (id),
    UNIQUE (domain, subdomain)
);

-- ensure trigger update_tenant_email_domains_updated_at on tenant_email_domains
CREATE TRIGGER update_tenant_email_domains_updated_at BEFORE UPDATE ON tenant_email_domains
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();

-- ensure table tenant_sender_addresses
CREATE TABLE tenant_sender_addresses (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    domain_id uuid NOT NULL,
    email_address text NOT NULL,
    display_name text NOT NULL,
    purpose text NOT NULL,
    is_default boolean DEFAULT false,
    is_inbound_enabled boolean DEFAULT false,
    reply_to_address text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (id),
    UNIQUE (email_address),
    FOREIGN KEY (domain_id) REFERENCES tenant_email_domains(id) ON DELETE CASCADE
);

-- ensure trigger update_tenant_sender_addresses_updated_at on tenant_sender_addresses
CREATE TRIGGER update_tenant_sender_addresses_updated_at BEFORE UPDATE ON tenant_sender_addresses
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();

-- ensure table tenant_notification_routing
CREATE TABLE tenant_notification_routing (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    notification_type text NOT NULL,
    sender_address_id uuid,
    is_enabled boolean DEFAULT true,
    channel text NOT NULL DEFAULT 'email',
    delay_days integer DEFAULT 0,
    max_retries integer DEFAULT 3,
    retry_delay_minutes integer DEFAULT 60,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (id),
    UNIQUE (notification_type),
    FOREIGN KEY (sender_address_id) REFERENCES tenant_sender_addresses(id) ON DELETE SET NULL
);

-- ensure trigger update_tenant_notification_routing_updated_at on tenant_notification_routing
CREATE TRIGGER update_tenant_notification_routing_updated_at BEFORE UPDATE ON tenant_notification_routing
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();

-- ensure table creator_email_templates
CREATE TABLE creator_email_templates (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    category text NOT NULL DEFAULT 'general',
    name text NOT NULL,
    slug text NOT NULL,
    description text,
    subject text NOT NULL,
    content_html text NOT NULL,
    content_text text,
    variables jsonb DEFAULT '[]',
    from_address text,
    reply_to text,
    is_default boolean DEFAULT false,
    is_enabled boolean DEFAULT true,
    version integer DEFAULT 1,
    created_by uuid,
    last_edited_by uuid,
    last_edited_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (id),
    UNIQUE (slug)
);

-- ensure trigger update_creator_email_templates_updated_at on creator_email_templates
CREATE TRIGGER update_creator_email_templates_updated_at BEFORE UPDATE ON creator_email_templates
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();

-- ensure table email_templates
CREATE TABLE email_templates (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    notification_type text NOT NULL,
    template_key text NOT NULL,
    category text NOT NULL DEFAULT 'transactional',
    name text NOT NULL,
    description text,
    subject text NOT NULL,
    body_html text NOT NULL,
    body_text text,
    sender_address_id uuid,
    sender_name text,
    sender_email text,
    reply_to_email text,
    is_active boolean DEFAULT true,
    version integer DEFAULT 1,
    is_default boolean DEFAULT false,
    last_edited_by text,
    last_edited_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (id),
    UNIQUE (notification_type, template_key)
);

-- ensure trigger update_email_templates_updated_at on email_templates
CREATE TRIGGER update_email_templates_updated_at BEFORE UPDATE ON email_templates
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();

-- ensure table creator_notification_settings
CREATE TABLE creator_notification_settings (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    notification_type text NOT NULL,
    display_name text NOT NULL,
    description text,
    category text NOT NULL DEFAULT 'general',
    email_enabled boolean DEFAULT true,
    sms_enabled boolean DEFAULT false,
    push_enabled boolean DEFAULT false,
    template_id uuid,
    delay_minutes integer DEFAULT 0,
    subject_override text,
    is_enabled boolean DEFAULT true,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (id),
    UNIQUE (notification_type),
    FOREIGN KEY (template_id) REFERENCES creator_email_templates(id) ON DELETE SET NULL
);

-- ensure trigger update_creator_notification_settings_updated_at on creator_notification_settings
CREATE TRIGGER update_creator_notification_settings_updated_at BEFORE UPDATE ON creator_notification_settings
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();

-- ensure table creator_communication_settings
CREATE TABLE creator_communication_settings (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    default_from_address text,
    default_reply_to text,
    quiet_hours_enabled boolean DEFAULT false,
    quiet_hours_start time,
    quiet_hours_end time,
    quiet_hours_timezone text DEFAULT 'America/New_York',
    unsubscribe_footer_enabled boolean DEFAULT true,
    unsubscribe_url text,
    max_emails_per_day integer DEFAULT 500,
    max_bulk_recipients integer DEFAULT 500,
    bulk_send_rate_per_minute integer DEFAULT 100,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (id)
);

-- ensure trigger update_creator_communication_settings_updated_at on creator_communication_settings
CREATE TRIGGER update_creator_communication_settings_updated_at BEFORE UPDATE ON creator_communication_settings
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();

-- ensure table creator_reminder_config
CREATE TABLE creator_reminder_config (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    approval_enabled boolean DEFAULT true,
    approval_schedule_time time DEFAULT '09:00:00',
    approval_steps jsonb DEFAULT '[]',
    approval_escalation_enabled boolean DEFAULT true,
    approval_escalation_days integer DEFAULT 7,
    approval_escalation_slack boolean DEFAULT true,
    welcome_call_enabled boolean DEFAULT true,
    welcome_call_schedule_time time DEFAULT '10:00:00',
    welcome_call_steps jsonb DEFAULT '[]',
    welcome_call_event_type_id text,
    max_one_per_day boolean DEFAULT true,
    created_at timestamptz DEFAULT now(),
    updated_at timestamptz DEFAULT now(),
    PRIMARY KEY (id)
);

-- ensure index creator_reminder_config_single_row
CREATE UNIQUE INDEX creator_reminder_config_single_row ON creator_reminder_config ((true));

-- ensure trigger update_creator_reminder_config_updated_at on creator_reminder_config
CREATE TRIGGER update_creator_reminder_config_updated_at BEFORE UPDATE ON creator_reminder_config
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();

-- ensure table creator_reminders
CREATE TABLE creator_reminders (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    creator_ref text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('approval', 'welcome_call', 'product_delivery', 'deadline', 'no_response', 'abandoned', 'manual')),
    subject_type text,
    subject_id text,
    step text NOT NULL,
    dedupe_key text NOT NULL UNIQUE,
    channels text[] NOT NULL DEFAULT '{}',
    queue_id text,
    outcome text NOT NULL DEFAULT 'queued' CHECK (outcome IN ('queued', 'passed_over', 'escalated', 'archived')),
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (id)
);

-- ensure index ix_creator_reminders_creator_ref_created_at
CREATE INDEX ix_creator_reminders_creator_ref_created_at ON creator_reminders (creator_ref, created_at);

-- ensure index ix_creator_reminders_kind_subject_type_subject_id
CREATE INDEX ix_creator_reminders_kind_subject_type_subject_id ON creator_reminders (kind, subject_type, subject_id);
