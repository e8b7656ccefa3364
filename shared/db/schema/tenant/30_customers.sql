-- Customers, their checkouts and their privacy requests.

-- ensure table customers
CREATE TABLE customers (
    id text NOT NULL,
    shopify_customer_id text,
    email text,
    phone text,
    first_name text,
    last_name text,
    default_address jsonb,
    accepts_marketing boolean NOT NULL DEFAULT false,
    accepts_marketing_updated_at timestamptz,
    orders_count integer NOT NULL DEFAULT 0,
    total_spent_cents integer NOT NULL DEFAULT 0,
    currency text NOT NULL DEFAULT 'USD',
    tags text[],
    notes text,
    metadata jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    shopify_id text,
    shopify_created_at timestamptz,
    synced_at timestamptz,
    PRIMARY KEY (id),
    UNIQUE (shopify_customer_id)
);

-- ensure index ux_customers_shopify_id
CREATE UNIQUE INDEX ux_customers_shopify_id ON customers (shopify_id);

-- ensure index ix_customers_lower_email
CREATE INDEX ix_customers_lower_email ON customers (lower(email));

-- ensure trigger update_customers_updated_at on customers
CREATE TRIGGER update_customers_updated_at BEFORE UPDATE ON customers
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();

-- ensure table customer_addresses
CREATE TABLE customer_addresses (
    id text NOT NULL DEFAULT gen_random_uuid()::text,
    customer_id text NOT NULL,
    customer_shopify_id text,
    address_index integer,
    first_name text,
    last_name text,
    address1 text,
    address2 text,
    city text,
    province text,
    province_code text,
    country text,
    country_code text,
    zip text,
    phone text,
    is_default boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (id)
);

-- ensure index ix_customer_addresses_customer_id
CREATE INDEX ix_customer_addresses_customer_id ON customer_addresses (customer_id);

-- ensure trigger update_customer_addresses_updated_at on customer_addresses
CREATE TRIGGER update_customer_addresses_updated_at BEFORE UPDATE ON customer_addresses
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();

-- ensure table privacy_requests
CREATE TABLE privacy_requests (
    id text NOT NULL DEFAULT gen_random_uuid()::text,
    customer_id varchar(100),
    customer_email varchar(255) NOT NULL,
    request_type privacy_request_type NOT NULL,
    status privacy_request_status NOT NULL DEFAULT 'pending',
    verified_at timestamptz,
    verification_method privacy_verification_method,
    processed_by uuid,
    processed_at timestamptz,
    result_url text,
    rejection_reason text,
    notes text,
    deadline_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (id),
    FOREIGN KEY (processed_by) REFERENCES users(id) ON DELETE SET NULL
);

-- ensure trigger update_privacy_requests_updated_at on privacy_requests
CREATE TRIGGER update_privacy_requests_updated_at BEFORE UPDATE ON privacy_requests
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();

-- ensure table abandoned_checkouts
CREATE TABLE abandoned_checkouts (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    shopify_checkout_id text NOT NULL,
    shopify_checkout_token text,
    customer_email text,
    customer_phone text,
    customer_id text,
    customer_name text,
    cart_total_cents integer NOT NULL,
    currency_code text DEFAULT 'USD',
    line_items jsonb NOT NULL DEFAULT '[]',
    billing_address jsonb,
    shipping_address jsonb,
    recovery_url text,
    status text DEFAULT 'abandoned',
    recovery_email_count integer DEFAULT 0,
    max_recovery_emails integer DEFAULT 3,
    recovery_run_id text,
    last_email_sent_at timestamptz,
    abandoned_at timestamptz NOT NULL,
    recovered_at timestamptz,
    recovered_order_id text,
    created_at timestamptz DEFAULT now(),
    updated_at timestamptz DEFAULT now(),
    PRIMARY KEY (id),
    UNIQUE (shopify_checkout_id),
    CHECK (status IN ('abandoned', 'processing', 'recovered', 'expired'))
);

-- ensure index ix_abandoned_checkouts_lower_customer_email
CREATE INDEX ix_abandoned_checkouts_lower_customer_email ON abandoned_checkouts (lower(customer_email));

-- ensure index ix_abandoned_checkouts_shopify_checkout_token
CREATE INDEX ix_abandoned_checkouts_shopify_checkout_token ON abandoned_checkouts (shopify_checkout_token);

-- ensure trigger trigger_abandoned_checkouts_updated on abandoned_checkouts
CREATE TRIGGER trigger_abandoned_checkouts_updated BEFORE UPDATE ON abandoned_checkouts
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();

-- ensure table recovery_email_queue
CREATE TABLE recovery_email_queue (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    abandoned_checkout_id uuid NOT NULL,
    sequence_number integer NOT NULL DEFAULT 1,
    status text DEFAULT 'scheduled',
    incentive_code text,
    scheduled_at timestamptz NOT NULL,
    sent_at timestamptz,
    opened_at timestamptz,
    clicked_at timestamptz,
    trigger_run_id text,
    attempts integer DEFAULT 0,
    last_error text,
    created_at timestamptz DEFAULT now(),
    -- added for the jobs
    lease_expires_at timestamptz,
    skip_reason text,
    mail_message_id uuid,
    PRIMARY KEY (id),
    UNIQUE (abandoned_checkout_id, sequence_number),
    CHECK ((sequence_number >= 1) AND (sequence_number <= 3)),
    CHECK (status IN ('scheduled', 'processing', 'sent', 'failed', 'skipped', 'cancelled')),
    FOREIGN KEY (abandoned_checkout_id) REFERENCES abandoned_checkouts(id) ON DELETE CASCADE
);

-- ensure index ix_recovery_email_queue_scheduled_at_57ef
CREATE INDEX ix_recovery_email_queue_scheduled_at_57ef ON recovery_email_queue (scheduled_at) WHERE status = 'scheduled';

-- ensure index ix_recovery_email_queue_lease_expires_at_983c
CREATE INDEX ix_recovery_email_queue_lease_expires_at_983c ON recovery_email_queue (lease_expires_at) WHERE status = 'processing';
