-- Reviews, the mails that ask for them, and the codes that thank for them.
-- The index on the addresses of consent_records is ours: the last word of an address is asked before every mail.

-- ensure table reviews
CREATE TABLE reviews (
    id text NOT NULL DEFAULT gen_random_uuid()::text,
    product_id text NOT NULL,
    order_id text,
    author_name text NOT NULL,
    author_email text NOT NULL,
    is_verified_purchase boolean NOT NULL DEFAULT false,
    rating integer NOT NULL,
    title text,
    body text,
    status review_status NOT NULL DEFAULT 'pending',
    verification_token text,
    verified_at timestamptz,
    helpful_votes integer NOT NULL DEFAULT 0,
    unhelpful_votes integer NOT NULL DEFAULT 0,
    imported_from text,
    original_id text,
    response_body text,
    response_author text,
    responded_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (id),
    CHECK ((rating >= 1) AND (rating <= 5))
);

-- ensure index ux_reviews_imported_from_original_id_part
CREATE UNIQUE INDEX ux_reviews_imported_from_original_id_part ON reviews (imported_from, original_id) WHERE imported_from IS NOT NULL;

-- ensure index ix_reviews_order_id
CREATE INDEX ix_reviews_order_id ON reviews (order_id);

-- ensure index ix_reviews_lower_author_email
CREATE INDEX ix_reviews_lower_author_email ON reviews (lower(author_email));

-- ensure trigger update_reviews_updated_at on reviews
CREATE TRIGGER update_reviews_updated_at BEFORE UPDATE ON reviews
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();

-- ensure table review_incentive_codes
CREATE TABLE review_incentive_codes (
    id text NOT NULL DEFAULT gen_random_uuid()::text,
    code text NOT NULL,
    review_id text,
    customer_email text,
    discount_type text NOT NULL,
    discount_value numeric(10,2) NOT NULL,
    status incentive_code_status NOT NULL DEFAULT 'active',
    expires_at timestamptz,
    redeemed_at timestamptz,
    redeemed_order_id text,
    created_at timestamptz NOT NULL DEFAULT now(),
    -- added for the jobs
    order_id text,
    shopify_discount_id text,
    PRIMARY KEY (id),
    UNIQUE (code),
    FOREIGN KEY (review_id) REFERENCES reviews(id) ON DELETE SET NULL
);

-- ensure index ux_review_incentive_codes_review_id_2cb5
CREATE UNIQUE INDEX ux_review_incentive_codes_review_id_2cb5 ON review_incentive_codes (review_id) WHERE review_id is not null;

-- ensure index ix_review_incentive_codes_order_id
CREATE INDEX ix_review_incentive_codes_order_id ON review_incentive_codes (order_id);

-- ensure index ix_review_incentive_codes_lower_customer_email_created_at
CREATE INDEX ix_review_incentive_codes_lower_customer_email_created_at ON review_incentive_codes (lower(customer_email), created_at);

-- ensure index ix_review_incentive_codes_status_expires_at
CREATE INDEX ix_review_incentive_codes_status_expires_at ON review_incentive_codes (status, expires_at);

-- ensure table review_media
CREATE TABLE review_media (
    id text NOT NULL DEFAULT gen_random_uuid()::text,
    review_id text NOT NULL,
    media_type text NOT NULL,
    url text NOT NULL,
    thumbnail_url text,
    mux_asset_id text,
    mux_playback_id text,
    duration_seconds integer,
    width integer,
    height integer,
    file_size_bytes integer,
    sort_order integer NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (id),
    FOREIGN KEY (review_id) REFERENCES reviews(id) ON DELETE CASCADE
);

-- ensure table review_settings
CREATE TABLE review_settings (
    id text NOT NULL DEFAULT 'default',
    provider text NOT NULL DEFAULT 'internal',
    provider_credentials jsonb,
    request_delay_days integer NOT NULL DEFAULT 7,
    reminder_count integer NOT NULL DEFAULT 2,
    reminder_interval_days integer NOT NULL DEFAULT 3,
    order_status_trigger text NOT NULL DEFAULT 'delivered',
    auto_approve boolean NOT NULL DEFAULT false,
    auto_approve_min_rating integer,
    auto_approve_verified_only boolean NOT NULL DEFAULT false,
    profanity_filter boolean NOT NULL DEFAULT true,
    spam_detection boolean NOT NULL DEFAULT true,
    show_verified_badge boolean NOT NULL DEFAULT true,
    allow_media boolean NOT NULL DEFAULT true,
    max_media_count integer NOT NULL DEFAULT 5,
    allow_rating_only boolean NOT NULL DEFAULT false,
    min_review_length integer NOT NULL DEFAULT 0,
    incentive_enabled boolean NOT NULL DEFAULT false,
    incentive_discount_type text,
    incentive_discount_value numeric(10,2),
    incentive_expiry_days integer NOT NULL DEFAULT 30,
    incentive_min_rating integer,
    incentive_min_word_count integer,
    incentive_require_photo boolean NOT NULL DEFAULT false,
    shopify_sync_enabled boolean NOT NULL DEFAULT false,
    klaviyo_sync_enabled boolean NOT NULL DEFAULT false,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (id)
);

-- ensure trigger update_review_settings_updated_at on review_settings
CREATE TRIGGER update_review_settings_updated_at BEFORE UPDATE ON review_settings
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();

-- ensure table review_email_templates
CREATE TABLE review_email_templates (
    id text NOT NULL DEFAULT gen_random_uuid()::text,
    type text NOT NULL,
    name text NOT NULL,
    subject text NOT NULL,
    body_html text NOT NULL,
    body_text text,
    is_enabled boolean NOT NULL DEFAULT true,
    delay_days integer NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (id)
);

-- ensure trigger update_review_email_templates_updated_at on review_email_templates
CREATE TRIGGER update_review_email_templates_updated_at BEFORE UPDATE ON review_email_templates
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();

-- ensure table review_email_queue
CREATE TABLE review_email_queue (
    id text NOT NULL DEFAULT gen_random_uuid()::text,
    tenant_id text NOT NULL,
    order_id text NOT NULL,
    order_number text NOT NULL,
    customer_email text NOT NULL,
    customer_name text,
    product_title text,
    fulfilled_at timestamptz,
    delivered_at timestamptz,
    tracking_number text,
    status text NOT NULL DEFAULT 'pending',
    trigger_event text NOT NULL DEFAULT 'fulfilled',
    scheduled_at timestamptz,
    delay_days integer DEFAULT 3,
    sequence_number integer NOT NULL DEFAULT 1,
    sequence_id text,
    trigger_run_id text,
    attempts integer DEFAULT 0,
    max_attempts integer DEFAULT 5,
    last_attempt_at timestamptz,
    sent_at timestamptz,
    resend_message_id text,
    incentive_offered boolean DEFAULT false,
    force_incentive boolean DEFAULT false,
    incentive_code text,
    skip_reason text,
    skipped_by text,
    skipped_at timestamptz,
    template_type text,
    metadata jsonb DEFAULT '{}',
    error_message text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    -- added for the jobs
    lease_expires_at timestamptz,
    customer_id text,
    product_id text,
    mail_message_id uuid,
    error_code text,
    resend_count integer NOT NULL DEFAULT 0,
    PRIMARY KEY (id),
    UNIQUE (tenant_id, order_id, sequence_number)
);

-- ensure index ix_review_email_queue_scheduled_at_id_57ef
CREATE INDEX ix_review_email_queue_scheduled_at_id_57ef ON review_email_queue (scheduled_at, id) WHERE status = 'scheduled';

-- ensure index ix_review_email_queue_lease_expires_at_983c
CREATE INDEX ix_review_email_queue_lease_expires_at_983c ON review_email_queue (lease_expires_at) WHERE status = 'processing';

-- ensure index ix_review_email_queue_last_attempt_at_id_1c10
CREATE INDEX ix_review_email_queue_last_attempt_at_id_1c10 ON review_email_queue (last_attempt_at, id) WHERE status = 'failed';

-- ensure index ix_review_email_queue_fulfilled_at_id_0edb
CREATE INDEX ix_review_email_queue_fulfilled_at_id_0edb ON review_email_queue (fulfilled_at, id) WHERE status in ('pending','awaiting_delivery');

-- ensure index ix_review_email_queue_lower_customer_email_sent_at
CREATE INDEX ix_review_email_queue_lower_customer_email_sent_at ON review_email_queue (lower(customer_email), sent_at);

-- ensure index ix_review_email_queue_order_id
CREATE INDEX ix_review_email_queue_order_id ON review_email_queue (order_id);

-- ensure index ix_review_email_queue_skipped_at_b1d0
CREATE INDEX ix_review_email_queue_skipped_at_b1d0 ON review_email_queue (skipped_at) WHERE status = 'skipped';

-- ensure index ix_review_email_queue_sent_at
CREATE INDEX ix_review_email_queue_sent_at ON review_email_queue (sent_at);

-- ensure trigger update_review_email_queue_updated_at on review_email_queue
CREATE TRIGGER update_review_email_queue_updated_at BEFORE UPDATE ON review_email_queue
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();

-- ensure table review_email_logs
CREATE TABLE review_email_logs (
    id text NOT NULL DEFAULT gen_random_uuid()::text,
    queue_id text,
    event_type text NOT NULL,
    event_data jsonb,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (id),
    FOREIGN KEY (queue_id) REFERENCES review_email_queue(id) ON DELETE CASCADE
);

-- ensure table review_email_daily_stats
CREATE TABLE review_email_daily_stats (
    day date NOT NULL,
    sequence_number integer NOT NULL,
    sent integer NOT NULL DEFAULT 0,
    delivered integer NOT NULL DEFAULT 0,
    opened integer NOT NULL DEFAULT 0,
    clicked integer NOT NULL DEFAULT 0,
    bounced integer NOT NULL DEFAULT 0,
    complained integer NOT NULL DEFAULT 0,
    skipped integer NOT NULL DEFAULT 0,
    failed integer NOT NULL DEFAULT 0,
    orders_mailed integer NOT NULL DEFAULT 0,
    orders_reviewed integer NOT NULL DEFAULT 0,
    computed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (day, sequence_number)
);

-- ensure index ix_consent_records_lower_customer_email
CREATE INDEX ix_consent_records_lower_customer_email ON consent_records (lower(customer_email), created_at);
