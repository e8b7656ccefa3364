-- The product feed for Google Merchant Center.

-- ensure type google_feed_product_sync_status
CREATE TYPE google_feed_product_sync_status AS ENUM ('pending', 'synced', 'error', 'excluded');

-- ensure type google_merchant_status
CREATE TYPE google_merchant_status AS ENUM ('pending', 'approved', 'disapproved', 'warning');

-- ensure table google_feed_settings
CREATE TABLE google_feed_settings (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    merchant_id text,
    api_credentials jsonb,
    feed_name text NOT NULL DEFAULT 'Product Feed',
    feed_token text DEFAULT replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''),
    target_country text NOT NULL DEFAULT 'US',
    language text NOT NULL DEFAULT 'en',
    currency text NOT NULL DEFAULT 'USD',
    update_frequency text NOT NULL DEFAULT 'daily',
    feed_format text NOT NULL DEFAULT 'xml',
    default_brand text,
    default_availability text NOT NULL DEFAULT 'in_stock',
    default_condition google_product_condition NOT NULL DEFAULT 'new',
    default_shipping_label text,
    exclusion_rules jsonb NOT NULL DEFAULT '[]',
    category_mapping jsonb NOT NULL DEFAULT '{}',
    custom_label_rules jsonb NOT NULL DEFAULT '{}',
    include_variants boolean NOT NULL DEFAULT true,
    include_out_of_stock boolean NOT NULL DEFAULT false,
    minimum_price_cents integer DEFAULT 0,
    tax_settings jsonb,
    shipping_overrides jsonb,
    last_sync_at timestamptz,
    last_sync_status google_feed_sync_status,
    last_sync_error text,
    next_sync_at timestamptz,
    is_connected boolean NOT NULL DEFAULT false,
    connection_verified_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    -- added for the jobs
    data_source_name text,
    feed_storage_key text,
    PRIMARY KEY (id),
    UNIQUE (feed_token),
    CHECK (default_availability IN ('in_stock', 'out_of_stock', 'preorder', 'backorder')),
    CHECK (feed_format IN ('xml', 'json', 'tsv')),
    CHECK (update_frequency IN ('hourly', 'daily', 'weekly'))
);

-- ensure trigger update_google_feed_settings_updated_at on google_feed_settings
CREATE TRIGGER update_google_feed_settings_updated_at BEFORE UPDATE ON google_feed_settings
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();

-- ensure table google_feed_products
CREATE TABLE google_feed_products (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    shopify_product_id text NOT NULL,
    shopify_variant_id text,
    is_excluded boolean NOT NULL DEFAULT false,
    exclude_reason text,
    title_override text,
    description_override text,
    gtin text,
    mpn text,
    brand_override text,
    google_category_id text,
    product_type text,
    condition_override google_product_condition,
    adult boolean DEFAULT false,
    age_group text,
    gender text,
    color text,
    material text,
    pattern text,
    size text,
    custom_label_0 text,
    custom_label_1 text,
    custom_label_2 text,
    custom_label_3 text,
    custom_label_4 text,
    shipping_weight_grams integer,
    shipping_length_cm numeric(10,2),
    shipping_width_cm numeric(10,2),
    shipping_height_cm numeric(10,2),
    shipping_label text,
    sale_price_cents integer,
    sale_price_effective_start timestamptz,
    sale_price_effective_end timestamptz,
    additional_image_urls jsonb DEFAULT '[]',
    sync_status google_feed_product_sync_status NOT NULL DEFAULT 'pending',
    last_sync_at timestamptz,
    merchant_status google_merchant_status,
    merchant_issues jsonb DEFAULT '[]',
    merchant_last_checked_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (id),
    UNIQUE (shopify_product_id, shopify_variant_id),
    CHECK (age_group IS NULL OR age_group IN ('newborn', 'infant', 'toddler', 'kids', 'adult')),
    CHECK (gender IS NULL OR gender IN ('male', 'female', 'unisex'))
);

-- ensure trigger update_google_feed_products_updated_at on google_feed_products
CREATE TRIGGER update_google_feed_products_updated_at BEFORE UPDATE ON google_feed_products
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();

-- ensure table google_feed_offers
CREATE TABLE google_feed_offers (
    offer_id text NOT NULL,
    content_language text NOT NULL,
    feed_label text NOT NULL,
    shopify_product_id text NOT NULL,
    shopify_variant_id text,
    state text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'deleting', 'deleted', 'refused')),
    content_hash text,
    offer_hash text,
    last_inserted_at timestamptz,
    last_patched_at timestamptz,
    inserts_today integer NOT NULL DEFAULT 0,
    inserts_day date,
    generation uuid,
    last_error_code text,
    last_error text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (content_language, feed_label, offer_id)
);
-- ensure index ix_google_feed_offers_shopify_product_id
CREATE INDEX ix_google_feed_offers_shopify_product_id ON google_feed_offers (shopify_product_id);
-- ensure index ix_google_feed_offers_state
CREATE INDEX ix_google_feed_offers_state ON google_feed_offers (state);

-- ensure table google_feed_images
CREATE TABLE google_feed_images (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    shopify_product_id text NOT NULL,
    shopify_variant_id text,
    original_url text NOT NULL,
    optimized_url text,
    original_width integer,
    original_height integer,
    optimized_width integer,
    optimized_height integer,
    status text NOT NULL DEFAULT 'pending',
    error_message text,
    google_status text,
    google_issues jsonb DEFAULT '[]',
    compression_applied boolean DEFAULT false,
    background_removed boolean DEFAULT false,
    format_converted text,
    original_size_bytes bigint,
    optimized_size_bytes bigint,
    optimized_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (id),
    CHECK (status IN ('pending', 'processing', 'optimized', 'failed', 'approved', 'disapproved'))
);

-- ensure index ux_google_feed_images_shopify_product_id_coalesce_s_2de4f21a
CREATE UNIQUE INDEX ux_google_feed_images_shopify_product_id_coalesce_s_2de4f21a ON google_feed_images (shopify_product_id, coalesce(shopify_variant_id, ''), md5(original_url));

-- ensure trigger update_google_feed_images_updated_at on google_feed_images
CREATE TRIGGER update_google_feed_images_updated_at BEFORE UPDATE ON google_feed_images
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();

-- ensure table google_feed_sync_history
CREATE TABLE google_feed_sync_history (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    started_at timestamptz NOT NULL DEFAULT now(),
    completed_at timestamptz,
    status google_feed_sync_status NOT NULL DEFAULT 'running',
    total_products integer DEFAULT 0,
    products_synced integer DEFAULT 0,
    products_added integer DEFAULT 0,
    products_updated integer DEFAULT 0,
    products_removed integer DEFAULT 0,
    products_excluded integer DEFAULT 0,
    products_with_errors integer DEFAULT 0,
    errors jsonb DEFAULT '[]',
    feed_url text,
    feed_size_bytes bigint,
    feed_product_count integer,
    duration_ms integer,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (id)
);

-- ensure index ix_google_feed_sync_history_started_at_e43b
CREATE INDEX ix_google_feed_sync_history_started_at_e43b ON google_feed_sync_history (started_at) WHERE status = 'running';

-- ensure table product_cogs
CREATE TABLE product_cogs (
    id text NOT NULL DEFAULT gen_random_uuid()::text,
    tenant_id text NOT NULL,
    product_id text NOT NULL,
    variant_id text,
    sku text,
    cogs_cents integer NOT NULL,
    source character varying(20) DEFAULT 'manual',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    updated_by text,
    PRIMARY KEY (id)
);
-- ensure index ux_product_cogs_variant
CREATE UNIQUE INDEX ux_product_cogs_variant ON product_cogs (tenant_id, product_id, variant_id) WHERE variant_id IS NOT NULL;
-- ensure index ux_product_cogs_product
CREATE UNIQUE INDEX ux_product_cogs_product ON product_cogs (tenant_id, product_id) WHERE variant_id IS NULL;

-- ensure trigger update_product_cogs_updated_at on product_cogs
CREATE TRIGGER update_product_cogs_updated_at BEFORE UPDATE ON product_cogs
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();
