-- The product feed for Google Merchant Center.

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
