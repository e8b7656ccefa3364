-- The catalogue: products with their variants, stock by place, collections, and how they are synchronised.

-- ensure table products
CREATE TABLE products (
    id text NOT NULL,
    shopify_product_id text,
    title text NOT NULL,
    handle text,
    description text,
    vendor text,
    product_type text,
    status product_status NOT NULL DEFAULT 'active',
    tags text[],
    price_cents integer,
    compare_at_price_cents integer,
    currency text NOT NULL DEFAULT 'USD',
    inventory_quantity integer,
    inventory_policy text,
    featured_image_url text,
    images jsonb NOT NULL DEFAULT '[]',
    variants jsonb NOT NULL DEFAULT '[]',
    options jsonb NOT NULL DEFAULT '[]',
    seo_title text,
    seo_description text,
    published_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    description_html text,
    shopify_gid text,
    synced_at timestamptz DEFAULT now(),
    platform_data jsonb DEFAULT '{}',
    PRIMARY KEY (id),
    UNIQUE (shopify_product_id)
);

-- ensure trigger update_products_updated_at on products
CREATE TRIGGER update_products_updated_at BEFORE UPDATE ON products
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();

-- ensure table product_variants
CREATE TABLE product_variants (
    shopify_variant_id text NOT NULL,
    product_id text NOT NULL,
    shopify_product_id text NOT NULL,
    inventory_item_id text,
    title text NOT NULL,
    sku text,
    barcode text,
    position integer NOT NULL DEFAULT 1,
    selected_options jsonb NOT NULL DEFAULT '[]',
    price_cents integer NOT NULL,
    compare_at_price_cents integer,
    unit_cost_cents integer,
    currency text NOT NULL,
    inventory_quantity integer,
    inventory_policy text NOT NULL DEFAULT 'deny',
    tracked boolean NOT NULL DEFAULT true,
    available_for_sale boolean NOT NULL DEFAULT false,
    requires_shipping boolean NOT NULL DEFAULT true,
    weight_grams numeric(12,3),
    image_url text,
    stock_state text CHECK (stock_state IN ('untracked', 'in_stock', 'low', 'out')),
    stock_state_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    synced_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (shopify_variant_id),
    FOREIGN KEY (product_id) REFERENCES products(id) ON DELETE CASCADE
);

-- ensure index ux_product_variants_inventory_item_id_c633
CREATE UNIQUE INDEX ux_product_variants_inventory_item_id_c633 ON product_variants (inventory_item_id) WHERE inventory_item_id IS NOT NULL;

-- ensure index ix_product_variants_product_id
CREATE INDEX ix_product_variants_product_id ON product_variants (product_id);

-- ensure index ix_product_variants_stock_state_a750
CREATE INDEX ix_product_variants_stock_state_a750 ON product_variants (stock_state) WHERE stock_state IN ('low', 'out');

-- ensure index ix_product_variants_sku
CREATE INDEX ix_product_variants_sku ON product_variants (sku);

-- ensure table inventory_locations
CREATE TABLE inventory_locations (
    shopify_location_id text NOT NULL,
    name text NOT NULL,
    is_active boolean NOT NULL DEFAULT true,
    synced_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (shopify_location_id)
);

-- ensure table inventory_levels
CREATE TABLE inventory_levels (
    inventory_item_id text NOT NULL,
    shopify_location_id text NOT NULL,
    available integer NOT NULL DEFAULT 0,
    on_hand integer,
    committed integer,
    incoming integer,
    shopify_updated_at timestamptz,
    synced_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (inventory_item_id, shopify_location_id),
    FOREIGN KEY (shopify_location_id) REFERENCES inventory_locations(shopify_location_id)
);

-- ensure index ix_inventory_levels_shopify_location_id
CREATE INDEX ix_inventory_levels_shopify_location_id ON inventory_levels (shopify_location_id);

-- ensure table shopify_collections
CREATE TABLE shopify_collections (
    id text NOT NULL,
    title text NOT NULL,
    handle text NOT NULL,
    description_html text,
    image_url text,
    seo_title text,
    seo_description text,
    collection_type text NOT NULL CHECK (collection_type IN ('manual', 'smart')),
    rules jsonb,
    sort_order text,
    products_count integer,
    template_suffix text,
    shopify_updated_at timestamptz,
    members_synced_at timestamptz,
    deleted_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    synced_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (id)
);

-- ensure index ix_shopify_collections_handle
CREATE INDEX ix_shopify_collections_handle ON shopify_collections (handle);

-- ensure table shopify_collection_products
CREATE TABLE shopify_collection_products (
    collection_id text NOT NULL,
    shopify_product_id text NOT NULL,
    position integer NOT NULL,
    synced_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (collection_id, shopify_product_id),
    FOREIGN KEY (collection_id) REFERENCES shopify_collections(id) ON DELETE CASCADE
);

-- ensure index ix_shopify_collection_products_shopify_product_id
CREATE INDEX ix_shopify_collection_products_shopify_product_id ON shopify_collection_products (shopify_product_id);

-- ensure table catalog_sync_runs
CREATE TABLE catalog_sync_runs (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    kind text NOT NULL CHECK (kind IN ('products', 'customers', 'inventory', 'collections')),
    mode text NOT NULL CHECK (mode IN ('full', 'delta', 'list')),
    status text NOT NULL DEFAULT 'requested' CHECK (status IN ('requested', 'exporting', 'loading', 'merging', 'reconciling', 'completed', 'failed', 'superseded')),
    generation bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
    bulk_operation_id text,
    filter jsonb NOT NULL DEFAULT '{}',
    watermark_from timestamptz,
    watermark_to timestamptz NOT NULL DEFAULT now(),
    stage_offset bigint NOT NULL DEFAULT 0,
    stage_lines bigint NOT NULL DEFAULT 0,
    cursor text,
    root_count integer,
    merged_count integer NOT NULL DEFAULT 0,
    changed_count integer NOT NULL DEFAULT 0,
    stale_count integer NOT NULL DEFAULT 0,
    deleted_count integer NOT NULL DEFAULT 0,
    poll_count integer NOT NULL DEFAULT 0,
    restarts integer NOT NULL DEFAULT 0,
    error_code text,
    error_message text,
    requested_by text NOT NULL DEFAULT 'schedule',
    started_at timestamptz NOT NULL DEFAULT now(),
    exporting_at timestamptz,
    progress_at timestamptz NOT NULL DEFAULT now(),
    completed_at timestamptz,
    PRIMARY KEY (id)
);

-- ensure index ux_catalog_sync_runs_kind_2813
CREATE UNIQUE INDEX ux_catalog_sync_runs_kind_2813 ON catalog_sync_runs (kind) WHERE status IN ('requested', 'exporting', 'loading', 'merging', 'reconciling');

-- ensure index ix_catalog_sync_runs_kind_mode_completed_at_desc
CREATE INDEX ix_catalog_sync_runs_kind_mode_completed_at_desc ON catalog_sync_runs (kind, mode, completed_at DESC);

-- ensure table catalog_sync_marks
CREATE TABLE catalog_sync_marks (
    kind text NOT NULL CHECK (kind IN ('product', 'customer', 'collection', 'inventory_level')),
    external_id text NOT NULL,
    vendor_updated_at timestamptz,
    content_hash text,
    generation bigint NOT NULL DEFAULT 0,
    checked_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz,
    PRIMARY KEY (kind, external_id)
);

-- ensure table catalog_sync_stage
CREATE UNLOGGED TABLE catalog_sync_stage (
    run_id uuid NOT NULL,
    line_no bigint NOT NULL,
    object_type text NOT NULL,
    external_id text NOT NULL,
    parent_id text,
    data jsonb NOT NULL,
    PRIMARY KEY (run_id, line_no)
);

-- ensure index ix_catalog_sync_stage_run_id_object_type_external_id
CREATE INDEX ix_catalog_sync_stage_run_id_object_type_external_id ON catalog_sync_stage (run_id, object_type, external_id);

-- ensure index ix_catalog_sync_stage_run_id_parent_id
CREATE INDEX ix_catalog_sync_stage_run_id_parent_id ON catalog_sync_stage (run_id, parent_id);

-- ensure table analytics_slack_alerts
CREATE TABLE analytics_slack_alerts (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    alert_type varchar(100) NOT NULL,
    channel_id varchar(100) NOT NULL,
    channel_name varchar(255),
    config jsonb NOT NULL DEFAULT '{}',
    is_enabled boolean DEFAULT true,
    last_triggered_at timestamptz,
    created_at timestamptz DEFAULT now(),
    updated_at timestamptz DEFAULT now(),
    PRIMARY KEY (id)
);

-- ensure table consent_records
CREATE TABLE consent_records (
    id text NOT NULL DEFAULT gen_random_uuid()::text,
    customer_id varchar(100),
    customer_email varchar(255) NOT NULL,
    consent_type consent_type NOT NULL,
    granted boolean NOT NULL,
    source varchar(100),
    ip_address inet,
    user_agent text,
    created_at timestamptz NOT NULL DEFAULT now(),
    revoked_at timestamptz,
    PRIMARY KEY (id)
);

-- ensure table customer_rfm_segments
CREATE TABLE customer_rfm_segments (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    customer_id text NOT NULL,
    customer_email text,
    customer_name text,
    r_score integer NOT NULL,
    f_score integer NOT NULL,
    m_score integer NOT NULL,
    rfm_score integer GENERATED ALWAYS AS (((r_score * 100) + (f_score * 10)) + m_score) STORED,
    segment rfm_segment_type NOT NULL DEFAULT 'uncategorized',
    recency_days integer,
    frequency_count integer,
    monetary_total_cents bigint,
    currency text DEFAULT 'USD',
    first_order_at timestamptz,
    last_order_at timestamptz,
    calculated_at timestamptz DEFAULT now(),
    created_at timestamptz DEFAULT now(),
    updated_at timestamptz DEFAULT now(),
    PRIMARY KEY (id),
    UNIQUE (customer_id),
    CHECK (f_score >= 1 AND f_score <= 5),
    CHECK (m_score >= 1 AND m_score <= 5),
    CHECK (r_score >= 1 AND r_score <= 5)
);

-- ensure table cached_segments
CREATE TABLE cached_segments (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    shopify_segment_id text NOT NULL,
    name text NOT NULL,
    query text,
    member_count integer DEFAULT 0,
    synced_at timestamptz DEFAULT now(),
    created_at timestamptz DEFAULT now(),
    updated_at timestamptz DEFAULT now(),
    PRIMARY KEY (id),
    UNIQUE (shopify_segment_id)
);

-- ensure table segment_membership_cache
CREATE TABLE segment_membership_cache (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    segment_id uuid NOT NULL,
    customer_id text NOT NULL,
    customer_email text,
    cached_at timestamptz DEFAULT now(),
    PRIMARY KEY (id),
    UNIQUE (segment_id, customer_id),
    FOREIGN KEY (segment_id) REFERENCES cached_segments(id) ON DELETE CASCADE
);

-- ensure index ix_segment_membership_cache_customer_id
CREATE INDEX ix_segment_membership_cache_customer_id ON segment_membership_cache (customer_id);
