-- Subscriptions and their charges.

-- ensure table subscriptions
CREATE TABLE subscriptions (
    id text NOT NULL DEFAULT gen_random_uuid()::text,
    provider subscription_provider NOT NULL DEFAULT 'custom',
    provider_subscription_id text,
    shopify_subscription_id text,
    customer_id text NOT NULL,
    customer_email text NOT NULL,
    customer_name text,
    product_id text NOT NULL,
    variant_id text,
    product_title text NOT NULL,
    variant_title text,
    quantity integer NOT NULL DEFAULT 1,
    price_cents integer NOT NULL,
    discount_cents integer NOT NULL DEFAULT 0,
    discount_type text,
    discount_code text,
    currency text NOT NULL DEFAULT 'USD',
    frequency subscription_frequency NOT NULL DEFAULT 'monthly',
    frequency_interval integer NOT NULL DEFAULT 1,
    status subscription_status NOT NULL DEFAULT 'active',
    pause_reason text,
    cancel_reason text,
    paused_at timestamptz,
    cancelled_at timestamptz,
    auto_resume_at timestamptz,
    next_billing_date timestamptz,
    last_billing_date timestamptz,
    billing_anchor_day integer,
    payment_method_id text,
    payment_method_last4 text,
    payment_method_brand text,
    payment_method_exp_month integer,
    payment_method_exp_year integer,
    shipping_address jsonb,
    total_orders integer NOT NULL DEFAULT 0,
    total_spent_cents integer NOT NULL DEFAULT 0,
    skipped_orders integer NOT NULL DEFAULT 0,
    selling_plan_id text,
    selling_plan_name text,
    metadata jsonb DEFAULT '{}',
    notes text,
    tags text[],
    last_synced_at timestamptz,
    sync_error text,
    started_at timestamptz NOT NULL DEFAULT now(),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (id)
);

-- ensure trigger update_subscriptions_updated_at on subscriptions
CREATE TRIGGER update_subscriptions_updated_at BEFORE UPDATE ON subscriptions
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();

-- ensure table subscription_charges
CREATE TABLE subscription_charges (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    subscription_id text NOT NULL,
    cycle_number integer NOT NULL,
    due_date date NOT NULL,
    due_at timestamptz NOT NULL,
    engine text NOT NULL CHECK (engine IN ('shopify', 'stripe', 'none')),
    state text NOT NULL CHECK (state IN ('open', 'charging', 'dunning', 'action_required', 'waiting', 'paid', 'skipped', 'missed', 'void', 'uncollectible')),
    source text NOT NULL CHECK (source IN ('daily', 'retry', 'catchup', 'manual')),
    merchandise_cents integer NOT NULL DEFAULT 0,
    discount_cents integer NOT NULL DEFAULT 0,
    shipping_cents integer NOT NULL DEFAULT 0,
    tax_cents integer NOT NULL DEFAULT 0,
    amount_cents integer NOT NULL DEFAULT 0,
    currency text NOT NULL,
    price_snapshot jsonb NOT NULL DEFAULT '{}',
    vendor_contract_id text,
    vendor_cycle_index integer,
    stripe_payment_intent_id text UNIQUE,
    payment_fingerprint text,
    attempts integer NOT NULL DEFAULT 0,
    failures integer NOT NULL DEFAULT 0,
    transient_failures integer NOT NULL DEFAULT 0,
    last_class text,
    last_code text,
    first_failed_at timestamptz,
    last_failed_at timestamptz,
    next_attempt_at timestamptz,
    deadline_at timestamptz,
    paid_at timestamptz,
    closed_at timestamptz,
    paid_cents integer,
    reason text,
    vendor_order_id text,
    order_id text,
    order_state text NOT NULL DEFAULT 'none' CHECK (order_state IN ('none', 'creating', 'unknown', 'created', 'failed')),
    subscription_order_id text,
    catchup_of uuid,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (id)
);

-- ensure index ux_subscription_charges_subscription_id_cycle_number
CREATE UNIQUE INDEX ux_subscription_charges_subscription_id_cycle_number ON subscription_charges (subscription_id, cycle_number);

-- ensure index ux_subscription_charges_subscription_id_due_date
CREATE UNIQUE INDEX ux_subscription_charges_subscription_id_due_date ON subscription_charges (subscription_id, due_date);

-- ensure index ux_subscription_charges_subscription_id_229e
CREATE UNIQUE INDEX ux_subscription_charges_subscription_id_229e ON subscription_charges (subscription_id) WHERE state in ('open','charging','dunning','action_required','waiting');

-- ensure index ix_subscription_charges_state_next_attempt_at
CREATE INDEX ix_subscription_charges_state_next_attempt_at ON subscription_charges (state, next_attempt_at);

-- ensure index ix_subscription_charges_paid_at
CREATE INDEX ix_subscription_charges_paid_at ON subscription_charges (paid_at);

-- ensure index ix_subscription_charges_order_state_bd34
CREATE INDEX ix_subscription_charges_order_state_bd34 ON subscription_charges (order_state) WHERE order_state in ('creating','unknown','failed');

-- ensure table subscription_charge_attempts
CREATE TABLE subscription_charge_attempts (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    charge_id uuid NOT NULL REFERENCES subscription_charges(id),
    attempt_no integer NOT NULL,
    idempotency_key text NOT NULL UNIQUE,
    engine text NOT NULL,
    status text NOT NULL,
    vendor_attempt_id text,
    previous_vendor_charge_id text,
    amount_cents integer NOT NULL,
    currency text NOT NULL,
    class text,
    code text,
    decline_code text,
    failure_handled boolean NOT NULL DEFAULT false,
    lookups integer NOT NULL DEFAULT 0,
    sent_at timestamptz NOT NULL,
    answered_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (id)
);

-- ensure index ux_subscription_charge_attempts_charge_id_attempt_no
CREATE UNIQUE INDEX ux_subscription_charge_attempts_charge_id_attempt_no ON subscription_charge_attempts (charge_id, attempt_no);

-- ensure index ux_subscription_charge_attempts_charge_id_0ce5
CREATE UNIQUE INDEX ux_subscription_charge_attempts_charge_id_0ce5 ON subscription_charge_attempts (charge_id) WHERE status in ('sending','pending','unknown');

-- ensure index ux_subscription_charge_attempts_vendor_attempt_id_3b4a
CREATE UNIQUE INDEX ux_subscription_charge_attempts_vendor_attempt_id_3b4a ON subscription_charge_attempts (vendor_attempt_id) WHERE vendor_attempt_id is not null;

-- ensure index ix_subscription_charge_attempts_status_sent_at
CREATE INDEX ix_subscription_charge_attempts_status_sent_at ON subscription_charge_attempts (status, sent_at);

-- ensure table subscription_orders
CREATE TABLE subscription_orders (
    id text NOT NULL DEFAULT gen_random_uuid()::text,
    subscription_id text NOT NULL,
    order_id text,
    scheduled_at timestamptz NOT NULL,
    billed_at timestamptz,
    amount_cents integer NOT NULL,
    currency text NOT NULL DEFAULT 'USD',
    status text NOT NULL DEFAULT 'scheduled',
    failure_reason text,
    retry_count integer NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (id),
    FOREIGN KEY (subscription_id) REFERENCES subscriptions(id) ON DELETE CASCADE
);

-- ensure index ix_subscription_orders_order_id
CREATE INDEX ix_subscription_orders_order_id ON subscription_orders (order_id);

-- ensure index ix_subscription_orders_subscription_id
CREATE INDEX ix_subscription_orders_subscription_id ON subscription_orders (subscription_id);

-- ensure trigger update_subscription_orders_updated_at on subscription_orders
CREATE TRIGGER update_subscription_orders_updated_at BEFORE UPDATE ON subscription_orders
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();
