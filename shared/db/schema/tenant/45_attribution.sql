-- Attribution: touchpoints, the conversions of orders, and the credits between them. What the storefront writes itself
-- (touchpoints) and what the pixel page and the dashboards read (results, conversions) are the platform's own tables.
-- The index on the touchpoints' session is ours: each order with a session looks its touchpoints up by it.

-- ensure table attribution_settings
CREATE TABLE attribution_settings (
    id text NOT NULL DEFAULT gen_random_uuid()::text,
    tenant_id text NOT NULL,
    enabled boolean NOT NULL DEFAULT true,
    default_model text NOT NULL DEFAULT 'time_decay',
    default_attribution_window text NOT NULL DEFAULT '7d',
    attribution_mode text NOT NULL DEFAULT 'clicks_only',
    enabled_models text[] NOT NULL DEFAULT ARRAY['first_touch'::text, 'last_touch'::text, 'linear'::text, 'time_decay'::text, 'position_based'::text, 'data_driven'::text, 'last_non_direct'::text],
    enabled_windows text[] NOT NULL DEFAULT ARRAY['1d'::text, '7d'::text, '14d'::text, '28d'::text, '30d'::text],
    time_decay_half_life_hours integer NOT NULL DEFAULT 168,
    position_based_weights jsonb NOT NULL DEFAULT '{"last": 40, "first": 40, "middle": 20}',
    fairing_bridge_enabled boolean NOT NULL DEFAULT false,
    fairing_sync_interval text NOT NULL DEFAULT 'hourly',
    fairing_last_sync_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    updated_by text,
    default_window text DEFAULT '7d',
    PRIMARY KEY (id),
    UNIQUE (tenant_id)
);

-- ensure trigger update_attribution_settings_updated_at on attribution_settings
CREATE TRIGGER update_attribution_settings_updated_at BEFORE UPDATE ON attribution_settings
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();

-- ensure table attribution_touchpoints
CREATE TABLE attribution_touchpoints (
    id text NOT NULL DEFAULT gen_random_uuid()::text,
    tenant_id text NOT NULL,
    visitor_id text NOT NULL,
    session_id text,
    customer_id text,
    channel text NOT NULL,
    source text,
    medium text,
    campaign text,
    content text,
    term text,
    platform text,
    ad_id text,
    adset_id text,
    campaign_id text,
    fbclid text,
    gclid text,
    ttclid text,
    msclkid text,
    nbt text,
    touchpoint_type text NOT NULL DEFAULT 'click',
    landing_page text,
    referrer text,
    device_type text,
    device_fingerprint text,
    occurred_at timestamptz NOT NULL DEFAULT now(),
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (id)
);

-- ensure index ix_attribution_touchpoints_customer_id_occurred_at
CREATE INDEX ix_attribution_touchpoints_customer_id_occurred_at ON attribution_touchpoints (customer_id, occurred_at);

-- ensure index ix_attribution_touchpoints_visitor_id_occurred_at
CREATE INDEX ix_attribution_touchpoints_visitor_id_occurred_at ON attribution_touchpoints (visitor_id, occurred_at);

-- ensure index ix_attribution_touchpoints_occurred_at
CREATE INDEX ix_attribution_touchpoints_occurred_at ON attribution_touchpoints (occurred_at);

-- ensure index ix_attribution_touchpoints_session_id
CREATE INDEX ix_attribution_touchpoints_session_id ON attribution_touchpoints (session_id);

-- ensure table attribution_conversions
CREATE TABLE attribution_conversions (
    id text NOT NULL DEFAULT gen_random_uuid()::text,
    tenant_id text NOT NULL,
    order_id text NOT NULL,
    order_number text,
    customer_id text,
    revenue numeric(10,2) NOT NULL DEFAULT 0,
    currency text NOT NULL DEFAULT 'USD',
    conversion_type text NOT NULL DEFAULT 'purchase',
    is_first_purchase boolean DEFAULT false,
    converted_at timestamptz NOT NULL DEFAULT now(),
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (id)
);

-- ensure index ix_attribution_conversions_order_id
CREATE INDEX ix_attribution_conversions_order_id ON attribution_conversions (order_id);

-- ensure table attribution_results
CREATE TABLE attribution_results (
    id text NOT NULL DEFAULT gen_random_uuid()::text,
    tenant_id text NOT NULL,
    conversion_id text NOT NULL,
    touchpoint_id text NOT NULL,
    model text NOT NULL,
    attribution_window text NOT NULL,
    credit numeric(10,6) NOT NULL DEFAULT 0,
    attributed_revenue numeric(10,2) NOT NULL DEFAULT 0,
    touchpoint_position integer NOT NULL,
    total_touchpoints integer NOT NULL,
    calculated_at timestamptz NOT NULL DEFAULT now(),
    source text,
    event_type text,
    session_id text,
    customer_id text,
    matched_order_id text,
    raw_data jsonb,
    error_message text,
    retry_count integer DEFAULT 0,
    updated_at timestamptz DEFAULT now(),
    created_at timestamptz DEFAULT now(),
    PRIMARY KEY (id),
    FOREIGN KEY (conversion_id) REFERENCES attribution_conversions(id) ON DELETE CASCADE,
    FOREIGN KEY (touchpoint_id) REFERENCES attribution_touchpoints(id) ON DELETE CASCADE
);

-- ensure index ix_attribution_results_conversion_id
CREATE INDEX ix_attribution_results_conversion_id ON attribution_results (conversion_id);

-- ensure trigger update_attribution_results_updated_at on attribution_results
CREATE TRIGGER update_attribution_results_updated_at BEFORE UPDATE ON attribution_results
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();

-- ensure table attribution_order_status
CREATE TABLE attribution_order_status (
    order_id text NOT NULL,
    conversion_id text,
    status text NOT NULL CHECK (status IN ('pending', 'attributed', 'unattributed', 'expired', 'excluded')),
    reason text,
    attempts integer NOT NULL DEFAULT 0,
    order_at timestamptz NOT NULL,
    last_attempt_at timestamptz,
    next_attempt_at timestamptz,
    touchpoint_count integer NOT NULL DEFAULT 0,
    path_hash text,
    config_hash text,
    model_version text,
    event_emitted_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (order_id)
);

-- ensure index ix_attribution_order_status_status_next_attempt_at
CREATE INDEX ix_attribution_order_status_status_next_attempt_at ON attribution_order_status (status, next_attempt_at);

-- ensure index ix_attribution_order_status_order_at
CREATE INDEX ix_attribution_order_status_order_at ON attribution_order_status (order_at);

-- ensure table attribution_identity_links
CREATE TABLE attribution_identity_links (
    visitor_id text NOT NULL,
    customer_id text NOT NULL,
    method text NOT NULL CHECK (method IN ('order', 'login', 'email_click', 'identify')),
    confidence numeric(3,2) NOT NULL DEFAULT 1.00,
    first_seen_at timestamptz NOT NULL,
    last_seen_at timestamptz NOT NULL,
    PRIMARY KEY (visitor_id, customer_id)
);

-- ensure index ix_attribution_identity_links_customer_id_last_seen_at_desc
CREATE INDEX ix_attribution_identity_links_customer_id_last_seen_at_desc ON attribution_identity_links (customer_id, last_seen_at DESC);

-- ensure table attribution_refunds
CREATE TABLE attribution_refunds (
    order_id text NOT NULL,
    refund_key text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('refund', 'cancellation')),
    amount_cents bigint NOT NULL CHECK (amount_cents >= 0),
    applied_cents bigint NOT NULL DEFAULT 0,
    currency text NOT NULL,
    occurred_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (order_id, refund_key)
);

-- ensure table attribution_adjustments
CREATE TABLE attribution_adjustments (
    id text NOT NULL DEFAULT gen_random_uuid()::text,
    conversion_id text NOT NULL REFERENCES attribution_conversions(id) ON DELETE CASCADE,
    touchpoint_id text NOT NULL REFERENCES attribution_touchpoints(id) ON DELETE CASCADE,
    model text NOT NULL,
    attribution_window text NOT NULL,
    refund_key text NOT NULL,
    revenue_cents bigint NOT NULL CHECK (revenue_cents <= 0),
    credit_micros integer NOT NULL DEFAULT 0 CHECK (credit_micros <= 0),
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (id)
);

-- ensure index ux_attribution_adjustments_conversion_id_refund_key_7b6db866
CREATE UNIQUE INDEX ux_attribution_adjustments_conversion_id_refund_key_7b6db866 ON attribution_adjustments (conversion_id, refund_key, model, attribution_window, touchpoint_id);

-- ensure table attribution_records
CREATE TABLE attribution_records (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    source_type text NOT NULL CHECK (source_type IN ('survey', 'fairing')),
    external_id text NOT NULL,
    survey_response_id uuid,
    order_id text NOT NULL,
    customer_id text,
    channel text NOT NULL,
    platform text,
    category text NOT NULL CHECK (category IN ('social', 'search', 'ads', 'referral', 'offline', 'other')),
    option_value text NOT NULL,
    raw_label text,
    detail text,
    order_value_cents bigint,
    currency text,
    collected_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (id)
);

-- ensure index ux_attribution_records_order_id_source_type
CREATE UNIQUE INDEX ux_attribution_records_order_id_source_type ON attribution_records (order_id, source_type);

-- ensure index ux_attribution_records_source_type_external_id
CREATE UNIQUE INDEX ux_attribution_records_source_type_external_id ON attribution_records (source_type, external_id);

-- ensure index ix_attribution_records_collected_at
CREATE INDEX ix_attribution_records_collected_at ON attribution_records (collected_at);

-- ensure table ml_models
CREATE TABLE ml_models (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    kind text NOT NULL CHECK (kind IN ('attribution', 'customer_ltv')),
    version text NOT NULL,
    status text NOT NULL CHECK (status IN ('candidate', 'active', 'retired', 'rejected')),
    params jsonb NOT NULL,
    metrics jsonb NOT NULL DEFAULT '{}',
    training_from timestamptz NOT NULL,
    training_to timestamptz NOT NULL,
    sample_count integer NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    activated_at timestamptz,
    PRIMARY KEY (id)
);

-- ensure index ux_ml_models_kind_version
CREATE UNIQUE INDEX ux_ml_models_kind_version ON ml_models (kind, version);

-- ensure index ux_ml_models_kind_96bb
CREATE UNIQUE INDEX ux_ml_models_kind_96bb ON ml_models (kind) WHERE status = 'active';
