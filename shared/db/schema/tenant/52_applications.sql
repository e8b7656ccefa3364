-- People who apply to become creators, and applications that are not finished yet.

-- ensure table creator_applications
CREATE TABLE creator_applications (
    id text NOT NULL DEFAULT gen_random_uuid()::text,
    name text NOT NULL,
    email text NOT NULL,
    phone text,
    instagram text,
    tiktok text,
    youtube text,
    other_social jsonb NOT NULL DEFAULT '{}',
    follower_count integer,
    engagement_rate numeric(5,2),
    bio text,
    why_interested text,
    previous_partnerships text,
    content_categories text[],
    source text,
    referrer_code text,
    utm_source text,
    utm_medium text,
    utm_campaign text,
    status application_status NOT NULL DEFAULT 'new',
    reviewed_by text,
    reviewed_at timestamptz,
    rejection_reason text,
    internal_notes text,
    creator_id text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (id),
    FOREIGN KEY (creator_id) REFERENCES creators(id) ON DELETE SET NULL
);

-- ensure trigger update_creator_applications_updated_at on creator_applications
CREATE TRIGGER update_creator_applications_updated_at BEFORE UPDATE ON creator_applications
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();

-- ensure table creator_application_drafts
CREATE TABLE creator_application_drafts (
    id text NOT NULL DEFAULT gen_random_uuid()::text,
    email text NOT NULL,
    draft_data jsonb NOT NULL DEFAULT '{}',
    step integer NOT NULL DEFAULT 1,
    utm_source text,
    utm_medium text,
    utm_campaign text,
    referrer text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (id),
    UNIQUE (email)
);

-- ensure trigger update_creator_application_drafts_updated_at on creator_application_drafts
CREATE TRIGGER update_creator_application_drafts_updated_at BEFORE UPDATE ON creator_application_drafts
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();

-- ensure table creator_application_reviews
CREATE TABLE creator_application_reviews (
    application_id text NOT NULL REFERENCES creator_applications(id) ON DELETE CASCADE,
    execution_arn text,
    status text NOT NULL DEFAULT 'awaiting' CHECK (status IN ('awaiting', 'decided', 'completed', 'expired')),
    task_token text,
    segment integer NOT NULL DEFAULT 0,
    reminders_sent integer NOT NULL DEFAULT 0,
    last_reminded_at timestamptz,
    decision text CHECK (decision IN ('approved', 'rejected', 'superseded')),
    decision_payload jsonb NOT NULL DEFAULT '{}',
    decided_by text,
    decided_at timestamptz,
    slack_channel_id text,
    slack_message_ts text,
    requested_at timestamptz NOT NULL DEFAULT now(),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (application_id)
);

-- ensure index ix_creator_application_reviews_status_requested_at
CREATE INDEX ix_creator_application_reviews_status_requested_at ON creator_application_reviews (status, requested_at);

-- ensure table creator_pipeline_entries
CREATE TABLE creator_pipeline_entries (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    application_id text UNIQUE REFERENCES creator_applications(id) ON DELETE SET NULL,
    creator_id text REFERENCES creators(id) ON DELETE SET NULL,
    stage text NOT NULL CHECK (stage IN ('new', 'reviewing', 'approved', 'rejected', 'onboarding', 'active')),
    stage_entered_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (id)
);

-- ensure index ux_creator_pipeline_entries_creator_id_0416
CREATE UNIQUE INDEX ux_creator_pipeline_entries_creator_id_0416 ON creator_pipeline_entries (creator_id) WHERE creator_id is not null;

-- ensure table creator_pipeline_history
CREATE TABLE creator_pipeline_history (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    entry_id uuid NOT NULL REFERENCES creator_pipeline_entries(id) ON DELETE CASCADE,
    from_stage text,
    to_stage text NOT NULL,
    entered_at timestamptz NOT NULL,
    left_at timestamptz,
    duration_seconds bigint,
    changed_by text,
    PRIMARY KEY (id)
);

-- ensure index ux_creator_pipeline_history_entry_id_to_stage_entered_at
CREATE UNIQUE INDEX ux_creator_pipeline_history_entry_id_to_stage_entered_at ON creator_pipeline_history (entry_id, to_stage, entered_at);

-- ensure table creator_application_events
CREATE TABLE creator_application_events (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    application_id text NOT NULL,
    creator_id text,
    event text NOT NULL CHECK (event IN ('submitted', 'approved', 'rejected', 'completed_setup')),
    occurred_at timestamptz NOT NULL,
    source text,
    utm jsonb NOT NULL DEFAULT '{}',
    meta_status text NOT NULL DEFAULT 'pending' CHECK (meta_status IN ('pending', 'sent', 'skipped', 'failed')),
    meta_detail text,
    ga4_status text NOT NULL DEFAULT 'pending' CHECK (ga4_status IN ('pending', 'sending', 'sent', 'skipped', 'failed')),
    ga4_detail text,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (id)
);

-- ensure index ux_creator_application_events_application_id_event
CREATE UNIQUE INDEX ux_creator_application_events_application_id_event ON creator_application_events (application_id, event);

-- ensure table tenant_onboarding_settings
CREATE TABLE tenant_onboarding_settings (
    id text NOT NULL DEFAULT gen_random_uuid()::text,
    welcome_call_enabled boolean NOT NULL DEFAULT true,
    welcome_call_mode text NOT NULL DEFAULT 'internal',
    welcome_call_external_url text,
    welcome_call_external_behavior text DEFAULT 'embed',
    welcome_call_event_type_id text,
    survey_questions jsonb NOT NULL DEFAULT '[]',
    require_social_media boolean NOT NULL DEFAULT false,
    require_portfolio boolean NOT NULL DEFAULT false,
    enabled_social_platforms jsonb NOT NULL DEFAULT '["instagram", "tiktok", "youtube"]',
    notify_on_application_email text,
    auto_approve_enabled boolean NOT NULL DEFAULT false,
    auto_approve_min_followers integer,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (id),
    CHECK (welcome_call_external_behavior IN ('redirect', 'embed')),
    CHECK (welcome_call_mode IN ('internal', 'external', 'disabled'))
);

-- ensure index ux_tenant_onboarding_settings_one_row
CREATE UNIQUE INDEX ux_tenant_onboarding_settings_one_row ON tenant_onboarding_settings ((1));

-- ensure trigger update_tenant_onboarding_settings_updated_at on tenant_onboarding_settings
CREATE TRIGGER update_tenant_onboarding_settings_updated_at BEFORE UPDATE ON tenant_onboarding_settings
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();

-- ensure table onboarding_config
CREATE TABLE onboarding_config (
    id text NOT NULL DEFAULT gen_random_uuid()::text,
    steps jsonb NOT NULL DEFAULT '[{"id": "accept_terms", "name": "Accept Terms & Conditions", "order": 1, "required": true, "reminderDays": []}, {"id": "complete_profile", "name": "Complete Profile", "order": 2, "required": true, "reminderDays": [3, 7, 14]}, {"id": "sign_agreement", "name": "Sign Creator Agreement", "order": 3, "required": true, "reminderDays": [3, 7]}, {"id": "submit_tax_info", "name": "Submit W-9 / Tax Info", "order": 4, "required": true, "reminderDays": [7, 14, 21]}, {"id": "setup_payout", "name": "Set Up Payout Method", "order": 5, "required": true, "reminderDays": [7, 14]}, {"id": "complete_training", "name": "Complete Training Module", "order": 6, "required": false, "reminderDays": [7]}, {"id": "receive_samples", "name": "Receive Sample Products", "order": 7, "required": false, "reminderDays": []}]',
    max_completion_days integer NOT NULL DEFAULT 30,
    auto_deactivate boolean NOT NULL DEFAULT true,
    default_commission_percent numeric(5,2) NOT NULL DEFAULT 10.00,
    auto_generate_code boolean NOT NULL DEFAULT true,
    code_format text NOT NULL DEFAULT '{NAME}{RANDOM2}',
    welcome_template_id text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (id)
);

-- ensure trigger update_onboarding_config_updated_at on onboarding_config
CREATE TRIGGER update_onboarding_config_updated_at BEFORE UPDATE ON onboarding_config
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();

-- ensure table creator_onboarding
CREATE TABLE creator_onboarding (
    id text NOT NULL DEFAULT gen_random_uuid()::text,
    creator_id text NOT NULL,
    step_id text NOT NULL,
    completed boolean NOT NULL DEFAULT false,
    completed_at timestamptz,
    reminder_count integer NOT NULL DEFAULT 0,
    last_reminder_at timestamptz,
    next_reminder_at timestamptz,
    metadata jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (id),
    UNIQUE (creator_id, step_id),
    FOREIGN KEY (creator_id) REFERENCES creators(id) ON DELETE CASCADE
);

-- ensure trigger update_creator_onboarding_updated_at on creator_onboarding
CREATE TRIGGER update_creator_onboarding_updated_at BEFORE UPDATE ON creator_onboarding
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();
