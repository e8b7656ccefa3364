-- Orders with lines, fulfilments and refunds, and what the order sync knows about them.
-- The index on the person (customer, else address) is ours: who ordered before is asked of every new order.

-- ensure table orders
CREATE TABLE orders (
    id text NOT NULL,
    shopify_order_id text,
    order_number text NOT NULL,
    customer_id text,
    customer_email text,
    status order_status NOT NULL DEFAULT 'pending',
    fulfillment_status fulfillment_status NOT NULL DEFAULT 'unfulfilled',
    financial_status financial_status NOT NULL DEFAULT 'pending',
    subtotal_cents integer NOT NULL DEFAULT 0,
    discount_cents integer NOT NULL DEFAULT 0,
    shipping_cents integer NOT NULL DEFAULT 0,
    tax_cents integer NOT NULL DEFAULT 0,
    total_cents integer NOT NULL DEFAULT 0,
    currency text NOT NULL DEFAULT 'USD',
    line_items jsonb NOT NULL DEFAULT '[]',
    shipping_address jsonb,
    billing_address jsonb,
    attribution_data jsonb,
    utm_source text,
    utm_medium text,
    utm_campaign text,
    notes text,
    tags text[],
    order_placed_at timestamptz,
    fulfilled_at timestamptz,
    cancelled_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    refunded_cents integer DEFAULT 0,
    synced_at timestamptz,
    shopify_id text,
    shopify_order_number text,
    gross_sales_cents integer DEFAULT 0,
    discounts_cents integer DEFAULT 0,
    net_sales_cents integer DEFAULT 0,
    taxes_cents integer DEFAULT 0,
    total_price_cents integer DEFAULT 0,
    discount_codes jsonb DEFAULT '[]',
    -- added for the jobs
    source_name text,
    delivered_at timestamptz,
    PRIMARY KEY (id),
    UNIQUE (shopify_order_id)
);

-- ensure index ux_orders_shopify_id
CREATE UNIQUE INDEX ux_orders_shopify_id ON orders (shopify_id);

-- ensure index ix_orders_updated_at_id
CREATE INDEX ix_orders_updated_at_id ON orders (updated_at, id);

-- ensure index ix_orders_created_at
CREATE INDEX ix_orders_created_at ON orders (created_at);

-- ensure index ix_orders_coalesce_order_placed_at_created_at
CREATE INDEX ix_orders_coalesce_order_placed_at_created_at ON orders ((COALESCE(order_placed_at, created_at)));

-- ensure index ix_orders_coalesce_customer_id_lower_customer_email
CREATE INDEX ix_orders_coalesce_customer_id_lower_customer_email ON orders ((COALESCE(customer_id, lower(customer_email))));

-- ensure trigger update_orders_updated_at on orders
CREATE TRIGGER update_orders_updated_at BEFORE UPDATE ON orders
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();

-- ensure table order_line_items
CREATE TABLE order_line_items (
    id text NOT NULL DEFAULT gen_random_uuid()::text,
    order_shopify_id text NOT NULL,
    shopify_line_item_id text,
    product_id text,
    variant_id text,
    title text NOT NULL,
    variant_title text,
    quantity integer NOT NULL DEFAULT 1,
    price_cents integer NOT NULL DEFAULT 0,
    sku text,
    created_at timestamptz NOT NULL DEFAULT now(),
    -- added for the jobs
    discount_cents integer NOT NULL DEFAULT 0,
    tax_cents integer NOT NULL DEFAULT 0,
    net_cents integer NOT NULL DEFAULT 0,
    current_quantity integer,
    is_gift_card boolean NOT NULL DEFAULT false,
    requires_shipping boolean NOT NULL DEFAULT true,
    selling_plan_id text,
    position integer NOT NULL DEFAULT 0,
    PRIMARY KEY (id)
);

-- ensure index ix_order_line_items_order_shopify_id
CREATE INDEX ix_order_line_items_order_shopify_id ON order_line_items (order_shopify_id);

-- ensure index ix_order_line_items_product_id
CREATE INDEX ix_order_line_items_product_id ON order_line_items (product_id);

-- ensure table fulfillments
CREATE TABLE fulfillments (
    id text NOT NULL DEFAULT gen_random_uuid()::text,
    shopify_fulfillment_id text,
    order_shopify_id text NOT NULL,
    status text NOT NULL DEFAULT 'pending',
    tracking_company text,
    tracking_number text,
    tracking_url text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    -- added for the jobs
    shipment_status text,
    delivered_at timestamptz,
    estimated_delivery_at timestamptz,
    announced_at timestamptz,
    delivered_announced_at timestamptz,
    PRIMARY KEY (id),
    UNIQUE (shopify_fulfillment_id)
);

-- ensure index ix_fulfillments_order_shopify_id
CREATE INDEX ix_fulfillments_order_shopify_id ON fulfillments (order_shopify_id);

-- ensure trigger update_fulfillments_updated_at on fulfillments
CREATE TRIGGER update_fulfillments_updated_at BEFORE UPDATE ON fulfillments
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();

-- ensure table refunds
CREATE TABLE refunds (
    id text NOT NULL DEFAULT gen_random_uuid()::text,
    shopify_refund_id text,
    order_shopify_id text NOT NULL,
    amount_cents integer NOT NULL DEFAULT 0,
    reason text,
    processed_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    -- added for the jobs
    goods_cents integer NOT NULL DEFAULT 0,
    tax_cents integer NOT NULL DEFAULT 0,
    shipping_cents integer NOT NULL DEFAULT 0,
    currency text,
    announced_at timestamptz,
    PRIMARY KEY (id),
    UNIQUE (shopify_refund_id)
);

-- ensure index ix_refunds_order_shopify_id
CREATE INDEX ix_refunds_order_shopify_id ON refunds (order_shopify_id);

-- ensure index ix_refunds_coalesce_processed_at_created_at
CREATE INDEX ix_refunds_coalesce_processed_at_created_at ON refunds ((COALESCE(processed_at, created_at)));

-- ensure table refund_line_items
CREATE TABLE refund_line_items (
    id text NOT NULL DEFAULT gen_random_uuid()::text,
    refund_id text NOT NULL,
    shopify_line_item_id text,
    quantity integer NOT NULL DEFAULT 1,
    amount_cents integer NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    -- added for the jobs
    tax_cents integer NOT NULL DEFAULT 0,
    PRIMARY KEY (id),
    FOREIGN KEY (refund_id) REFERENCES refunds(id) ON DELETE CASCADE
);

-- ensure index ix_refund_line_items_refund_id
CREATE INDEX ix_refund_line_items_refund_id ON refund_line_items (refund_id);

-- ensure table order_sync_marks
CREATE TABLE order_sync_marks (
    shopify_order_id text NOT NULL,
    order_id text NOT NULL,
    shopify_updated_at timestamptz NOT NULL,
    content_hash text NOT NULL,
    commission_hash text,
    created_announced_at timestamptz,
    created_handled_at timestamptz,
    cancelled_announced_at timestamptz,
    deleted_at timestamptz,
    first_source text NOT NULL DEFAULT 'webhook',
    checked_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (shopify_order_id)
);

-- ensure index ix_order_sync_marks_order_id
CREATE INDEX ix_order_sync_marks_order_id ON order_sync_marks (order_id);

-- ensure index ix_order_sync_marks_shopify_updated_at
CREATE INDEX ix_order_sync_marks_shopify_updated_at ON order_sync_marks (shopify_updated_at);

-- ensure table order_sync_runs
CREATE TABLE order_sync_runs (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    mode text NOT NULL CHECK (mode IN ('list', 'window', 'reconcile')),
    status text NOT NULL DEFAULT 'requested' CHECK (status IN ('requested', 'running', 'completed', 'failed', 'cancelled')),
    window_from timestamptz,
    window_to timestamptz,
    filter_hash text NOT NULL,
    announce text NOT NULL DEFAULT 'recent' CHECK (announce IN ('recent', 'none')),
    expected integer,
    checked integer NOT NULL DEFAULT 0,
    stored integer NOT NULL DEFAULT 0,
    created integer NOT NULL DEFAULT 0,
    stale integer NOT NULL DEFAULT 0,
    missing integer NOT NULL DEFAULT 0,
    failed integer NOT NULL DEFAULT 0,
    truncated_before timestamptz,
    error_code text,
    requested_by text NOT NULL DEFAULT 'schedule',
    started_at timestamptz NOT NULL DEFAULT now(),
    progress_at timestamptz NOT NULL DEFAULT now(),
    completed_at timestamptz,
    PRIMARY KEY (id)
);

-- ensure index ux_order_sync_runs_filter_hash_9c31
CREATE UNIQUE INDEX ux_order_sync_runs_filter_hash_9c31 ON order_sync_runs (filter_hash) WHERE status in ('requested','running');

-- ensure index ix_order_sync_runs_mode_completed_at_desc
CREATE INDEX ix_order_sync_runs_mode_completed_at_desc ON order_sync_runs (mode, completed_at desc);

-- ensure table order_sync_slices
CREATE TABLE order_sync_slices (
    run_id uuid NOT NULL REFERENCES order_sync_runs(id) ON DELETE CASCADE,
    slice_no integer NOT NULL,
    kind text NOT NULL CHECK (kind IN ('list', 'pages', 'bulk')),
    status text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'exporting', 'loading', 'details', 'completed', 'failed')),
    window_from timestamptz,
    window_to timestamptz,
    ids text[] NOT NULL DEFAULT '{}',
    expected integer,
    bulk_operation_id text,
    cursor text,
    stored integer NOT NULL DEFAULT 0,
    stale integer NOT NULL DEFAULT 0,
    failed integer NOT NULL DEFAULT 0,
    poll_count integer NOT NULL DEFAULT 0,
    restarts integer NOT NULL DEFAULT 0,
    exporting_at timestamptz,
    error_code text,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (run_id, slice_no)
);
