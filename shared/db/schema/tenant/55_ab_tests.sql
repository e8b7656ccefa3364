-- A/B tests of the storefront: the applications' tables, and what the jobs know about tests, splits, counters and orders.

-- ensure table ab_tests
CREATE TABLE ab_tests (
    id text NOT NULL DEFAULT gen_random_uuid()::text,
    name text NOT NULL,
    description text,
    type text NOT NULL DEFAULT 'split',
    status text NOT NULL DEFAULT 'draft',
    start_date timestamptz,
    end_date timestamptz,
    traffic_percentage integer DEFAULT 100,
    winning_variant_id text,
    settings jsonb DEFAULT '{}',
    created_at timestamptz DEFAULT now(),
    updated_at timestamptz DEFAULT now(),
    tenant_id text,
    mode text DEFAULT 'redirect',
    test_type text DEFAULT 'split',
    goal_event text,
    optimization_metric text DEFAULT 'conversion_rate',
    confidence_level numeric(4,2) DEFAULT 0.95,
    base_url text,
    is_significant boolean DEFAULT false,
    winner_variant_id text,
    traffic_override_variant_id text,
    shipping_config jsonb,
    created_by text,
    started_at timestamptz,
    ended_at timestamptz,
    scheduled_start_at timestamptz,
    scheduled_end_at timestamptz,
    schedule_timezone text DEFAULT 'UTC',
    auto_start boolean DEFAULT false,
    auto_end boolean DEFAULT false,
    PRIMARY KEY (id),
    CHECK (status IN ('draft', 'running', 'paused', 'completed')),
    CHECK (traffic_percentage >= 0 AND traffic_percentage <= 100),
    CHECK (type IN ('split', 'multivariate', 'shipping'))
);

-- ensure trigger update_ab_tests_updated_at on ab_tests
CREATE TRIGGER update_ab_tests_updated_at BEFORE UPDATE ON ab_tests
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();

-- ensure table ab_variants
CREATE TABLE ab_variants (
    id text NOT NULL DEFAULT gen_random_uuid()::text,
    test_id text NOT NULL,
    name text NOT NULL,
    description text,
    weight integer DEFAULT 50,
    is_control boolean DEFAULT false,
    config jsonb DEFAULT '{}',
    created_at timestamptz DEFAULT now(),
    tenant_id text,
    url text,
    url_type text DEFAULT 'redirect',
    landing_page_id text,
    traffic_allocation integer DEFAULT 50,
    preserve_query_params boolean DEFAULT true,
    shipping_rate_name text,
    shipping_price_cents integer,
    shipping_suffix text,
    PRIMARY KEY (id),
    FOREIGN KEY (test_id) REFERENCES ab_tests(id) ON DELETE CASCADE,
    CHECK (weight >= 0 AND weight <= 100)
);

-- ensure table ab_visitors
CREATE TABLE ab_visitors (
    id text NOT NULL DEFAULT gen_random_uuid()::text,
    visitor_id text NOT NULL,
    test_id text NOT NULL,
    variant_id text NOT NULL,
    assigned_at timestamptz DEFAULT now(),
    session_id text,
    device_type text,
    country text,
    region text,
    city text,
    utm_source text,
    utm_medium text,
    utm_campaign text,
    utm_content text,
    utm_term text,
    browser text,
    user_agent text,
    ip_hash text,
    landing_page text,
    referrer text,
    PRIMARY KEY (id),
    UNIQUE (visitor_id, test_id),
    FOREIGN KEY (test_id) REFERENCES ab_tests(id) ON DELETE CASCADE,
    FOREIGN KEY (variant_id) REFERENCES ab_variants(id) ON DELETE CASCADE
);

-- ensure index ix_ab_visitors_test_id_assigned_at
CREATE INDEX ix_ab_visitors_test_id_assigned_at ON ab_visitors (test_id, assigned_at);

-- ensure index ix_ab_visitors_session_id_e582
CREATE INDEX ix_ab_visitors_session_id_e582 ON ab_visitors (session_id) WHERE session_id is not null;

-- ensure table ab_events
CREATE TABLE ab_events (
    id text NOT NULL DEFAULT gen_random_uuid()::text,
    test_id text NOT NULL,
    variant_id text NOT NULL,
    visitor_id text NOT NULL,
    event_type text NOT NULL,
    event_data jsonb DEFAULT '{}',
    revenue_cents integer,
    created_at timestamptz DEFAULT now(),
    event_value_cents integer,
    order_id text,
    page_url text,
    PRIMARY KEY (id),
    FOREIGN KEY (test_id) REFERENCES ab_tests(id) ON DELETE CASCADE,
    FOREIGN KEY (variant_id) REFERENCES ab_variants(id) ON DELETE CASCADE,
    CHECK (event_type IN ('view', 'click', 'purchase', 'add_to_cart', 'checkout_start', 'custom', 'page_view', 'begin_checkout'))
);

-- ensure index ix_ab_events_test_id_created_at
CREATE INDEX ix_ab_events_test_id_created_at ON ab_events (test_id, created_at);

-- ensure index ix_ab_events_order_id_d084
CREATE INDEX ix_ab_events_order_id_d084 ON ab_events (order_id) WHERE order_id is not null;

-- ensure table ab_daily_metrics
CREATE TABLE ab_daily_metrics (
    id bigserial NOT NULL,
    tenant_id text,
    test_id text NOT NULL,
    variant_id text NOT NULL,
    date date NOT NULL,
    visitors integer NOT NULL DEFAULT 0,
    unique_visitors integer NOT NULL DEFAULT 0,
    page_views integer NOT NULL DEFAULT 0,
    add_to_carts integer NOT NULL DEFAULT 0,
    begin_checkouts integer NOT NULL DEFAULT 0,
    purchases integer NOT NULL DEFAULT 0,
    revenue_cents bigint NOT NULL DEFAULT 0,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (id)
);

-- ensure index ux_ab_daily_metrics_test_id_variant_id_date
CREATE UNIQUE INDEX ux_ab_daily_metrics_test_id_variant_id_date ON ab_daily_metrics (test_id, variant_id, date);

-- ensure trigger update_ab_daily_metrics_updated_at on ab_daily_metrics
CREATE TRIGGER update_ab_daily_metrics_updated_at BEFORE UPDATE ON ab_daily_metrics
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();

-- ensure table ab_guardrails
CREATE TABLE ab_guardrails (
    id text NOT NULL DEFAULT gen_random_uuid()::text,
    test_id text NOT NULL,
    name text NOT NULL,
    metric text NOT NULL,
    threshold numeric(10,4),
    direction text DEFAULT 'below',
    is_triggered boolean DEFAULT false,
    current_value numeric(10,4),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (id),
    FOREIGN KEY (test_id) REFERENCES ab_tests(id) ON DELETE CASCADE
);

-- ensure trigger update_ab_guardrails_updated_at on ab_guardrails
CREATE TRIGGER update_ab_guardrails_updated_at BEFORE UPDATE ON ab_guardrails
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();

-- ensure table ab_targeting_rules
CREATE TABLE ab_targeting_rules (
    id text NOT NULL DEFAULT gen_random_uuid()::text,
    tenant_id text,
    test_id text NOT NULL,
    name text NOT NULL,
    conditions jsonb NOT NULL DEFAULT '[]',
    logic text NOT NULL DEFAULT 'and',
    action text NOT NULL DEFAULT 'include',
    assigned_variant_id text,
    priority integer NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (id),
    FOREIGN KEY (test_id) REFERENCES ab_tests(id) ON DELETE CASCADE
);

-- ensure table ab_test_assignments
CREATE TABLE ab_test_assignments (
    id text NOT NULL DEFAULT gen_random_uuid()::text,
    test_id text NOT NULL,
    variant_id text NOT NULL,
    session_id text NOT NULL,
    customer_id text,
    assigned_at timestamptz DEFAULT now(),
    PRIMARY KEY (id),
    UNIQUE (test_id, session_id),
    FOREIGN KEY (test_id) REFERENCES ab_tests(id) ON DELETE CASCADE,
    FOREIGN KEY (variant_id) REFERENCES ab_variants(id) ON DELETE CASCADE
);

-- ensure table ab_test_conversions
CREATE TABLE ab_test_conversions (
    id text NOT NULL DEFAULT gen_random_uuid()::text,
    test_id text NOT NULL,
    variant_id text NOT NULL,
    assignment_id text,
    order_id text,
    conversion_type text NOT NULL,
    value_cents integer,
    converted_at timestamptz DEFAULT now(),
    PRIMARY KEY (id),
    FOREIGN KEY (assignment_id) REFERENCES ab_test_assignments(id),
    FOREIGN KEY (test_id) REFERENCES ab_tests(id) ON DELETE CASCADE,
    FOREIGN KEY (variant_id) REFERENCES ab_variants(id) ON DELETE CASCADE,
    CHECK (conversion_type IN ('purchase', 'signup', 'subscription', 'lead', 'custom'))
);

-- ensure table ab_shipping_attributions
CREATE TABLE ab_shipping_attributions (
    id text NOT NULL DEFAULT gen_random_uuid()::text,
    test_id text NOT NULL,
    variant_id text NOT NULL,
    order_id text NOT NULL,
    shipping_method text,
    shipping_cost_cents integer,
    delivery_days integer,
    carrier text,
    tracking_number text,
    delivered_at timestamptz,
    created_at timestamptz DEFAULT now(),
    assigned_variant_id text,
    assigned_suffix text,
    actual_shipping_method text,
    actual_shipping_price_cents integer,
    product_revenue_cents integer,
    net_revenue_cents integer,
    is_mismatch boolean DEFAULT false,
    mismatch_reason text,
    attributed_at timestamptz DEFAULT now(),
    PRIMARY KEY (id),
    FOREIGN KEY (test_id) REFERENCES ab_tests(id) ON DELETE CASCADE,
    FOREIGN KEY (variant_id) REFERENCES ab_variants(id) ON DELETE CASCADE
);

-- ensure index ux_ab_shipping_attributions_order_id_test_id
CREATE UNIQUE INDEX ux_ab_shipping_attributions_order_id_test_id ON ab_shipping_attributions (order_id, test_id);

-- ensure table ab_test_state
CREATE TABLE ab_test_state (
    test_id text NOT NULL REFERENCES ab_tests(id) ON DELETE CASCADE,
    last_status text,
    status_seq integer NOT NULL DEFAULT 0,
    decision text NOT NULL DEFAULT 'collecting'
        CHECK (decision IN ('collecting', 'leading', 'winner', 'control_wins', 'inconclusive', 'invalid')),
    decided_at timestamptz,
    best_variant_id text,
    best_since timestamptz,
    tau jsonb NOT NULL DEFAULT '{}',
    sequential jsonb NOT NULL DEFAULT '{}',
    srm_status text NOT NULL DEFAULT 'none'
        CHECK (srm_status IN ('none', 'warning', 'critical', 'not_applicable', 'insufficient')),
    srm_p double precision,
    srm_critical_since timestamptz,
    results jsonb NOT NULL DEFAULT '{}',
    needs_attention text[] NOT NULL DEFAULT '{}',
    final_report jsonb,
    ended_reason text CHECK (ended_reason IN ('manual', 'scheduled', 'significance', 'guardrail')),
    paused_reason text,
    evaluated_at timestamptz,
    last_reallocated_at timestamptz,
    bandit_runs integer NOT NULL DEFAULT 0,
    counters_drained_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (test_id)
);

-- ensure index ix_ab_test_state_last_status
CREATE INDEX ix_ab_test_state_last_status ON ab_test_state (last_status);

-- ensure table ab_allocation_epochs
CREATE TABLE ab_allocation_epochs (
    test_id text NOT NULL REFERENCES ab_tests(id) ON DELETE CASCADE,
    epoch integer NOT NULL,
    started_at timestamptz NOT NULL,
    ended_at timestamptz,
    shares jsonb NOT NULL,
    reason text NOT NULL CHECK (reason IN ('started', 'manual', 'bandit', 'override', 'resumed')),
    details jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (test_id, epoch)
);

-- ensure index ux_ab_allocation_epochs_test_id_cbeb
CREATE UNIQUE INDEX ux_ab_allocation_epochs_test_id_cbeb ON ab_allocation_epochs (test_id) WHERE ended_at is null;

-- ensure table ab_counter_batches
CREATE TABLE ab_counter_batches (
    batch_id text NOT NULL,
    test_id text NOT NULL REFERENCES ab_tests(id) ON DELETE CASCADE,
    variant_id text NOT NULL,
    bucket_date date NOT NULL,
    from_at timestamptz,
    to_at timestamptz NOT NULL,
    impressions bigint NOT NULL DEFAULT 0,
    visitors bigint NOT NULL DEFAULT 0,
    clicks bigint NOT NULL DEFAULT 0,
    add_to_carts bigint NOT NULL DEFAULT 0,
    begin_checkouts bigint NOT NULL DEFAULT 0,
    conversions bigint NOT NULL DEFAULT 0,
    revenue_cents bigint NOT NULL DEFAULT 0,
    fields jsonb NOT NULL,
    source_key text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (batch_id)
);

-- ensure index ix_ab_counter_batches_test_id_variant_id_bucket_date
CREATE INDEX ix_ab_counter_batches_test_id_variant_id_bucket_date ON ab_counter_batches (test_id, variant_id, bucket_date);

-- ensure table ab_order_attributions
CREATE TABLE ab_order_attributions (
    test_id text NOT NULL REFERENCES ab_tests(id) ON DELETE CASCADE,
    order_id text NOT NULL,
    variant_id text NOT NULL,
    visitor_id text,
    session_id text,
    customer_id text,
    method text NOT NULL CHECK (method IN ('visitor', 'session', 'customer', 'event', 'cart_variant', 'shipping_suffix', 'manual')),
    conflict boolean NOT NULL DEFAULT false,
    assigned_at timestamptz,
    ordered_at timestamptz NOT NULL,
    currency text NOT NULL,
    gross_cents integer NOT NULL,
    refunded_cents integer NOT NULL DEFAULT 0,
    net_cents integer NOT NULL,
    excluded_reason text CHECK (excluded_reason IN ('cancelled', 'voided', 'renewal', 'currency', 'test_order')),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (test_id, order_id)
);

-- ensure index ix_ab_order_attributions_test_id_variant_id_ordered_at
CREATE INDEX ix_ab_order_attributions_test_id_variant_id_ordered_at ON ab_order_attributions (test_id, variant_id, ordered_at);

-- ensure index ix_ab_order_attributions_test_id_visitor_id
CREATE INDEX ix_ab_order_attributions_test_id_visitor_id ON ab_order_attributions (test_id, visitor_id);

-- ensure index ix_ab_order_attributions_order_id
CREATE INDEX ix_ab_order_attributions_order_id ON ab_order_attributions (order_id);

-- ensure table ab_cursors
CREATE TABLE ab_cursors (
    name text NOT NULL,
    position jsonb NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (name)
);

-- ensure table tenant_api_credentials
CREATE TABLE tenant_api_credentials (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    tenant_id text NOT NULL,
    service_name text NOT NULL,
    service_display_name text,
    api_key_encrypted text NOT NULL,
    api_secret_encrypted text,
    account_id text,
    metadata jsonb DEFAULT '{}',
    is_active boolean DEFAULT true,
    last_verified_at timestamptz,
    last_error text,
    created_at timestamptz DEFAULT now(),
    updated_at timestamptz DEFAULT now(),
    PRIMARY KEY (id),
    UNIQUE (tenant_id, service_name)
);

-- ensure trigger tenant_api_credentials_updated_at on tenant_api_credentials
CREATE TRIGGER tenant_api_credentials_updated_at BEFORE UPDATE ON tenant_api_credentials
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();
