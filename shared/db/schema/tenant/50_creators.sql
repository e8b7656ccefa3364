-- Creators, their codes, commissions, shipments and payouts.

-- ensure table creators
CREATE TABLE creators (
    id text NOT NULL DEFAULT gen_random_uuid()::text,
    email text NOT NULL,
    phone text,
    first_name text NOT NULL,
    last_name text NOT NULL,
    status creator_status NOT NULL DEFAULT 'pending',
    tier creator_tier NOT NULL DEFAULT 'bronze',
    commission_rate_pct numeric(5,2) NOT NULL DEFAULT 10.00,
    commission_type text NOT NULL DEFAULT 'percentage',
    referral_code text,
    instagram_handle text,
    tiktok_handle text,
    youtube_handle text,
    social_profiles jsonb NOT NULL DEFAULT '{}',
    total_orders integer NOT NULL DEFAULT 0,
    total_revenue_cents integer NOT NULL DEFAULT 0,
    total_commission_cents integer NOT NULL DEFAULT 0,
    currency text NOT NULL DEFAULT 'USD',
    balance_cents integer NOT NULL DEFAULT 0,
    pending_balance_cents integer NOT NULL DEFAULT 0,
    payout_method text,
    payout_details jsonb,
    notes text,
    tags text[],
    metadata jsonb NOT NULL DEFAULT '{}',
    approved_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    reminder_count integer DEFAULT 0,
    last_reminder_at timestamptz,
    escalated_at timestamptz,
    welcome_call_reminder_count integer DEFAULT 0,
    welcome_call_scheduled_at timestamptz,
    welcome_call_dismissed boolean DEFAULT false,
    first_login_at timestamptz,
    last_login_at timestamptz,
    guided_tour_completed boolean DEFAULT false,
    onboarding_completed boolean DEFAULT false,
    display_name text,
    photo_url text,
    pronouns text,
    location text,
    website text,
    social_connections jsonb DEFAULT '[]',
    primary_platform text,
    payment_method text,
    stripe_connect_id text,
    tax_form_type text,
    tax_form_signed boolean DEFAULT false,
    onboarding_completed_at timestamptz,
    PRIMARY KEY (id),
    UNIQUE (email),
    UNIQUE (referral_code)
);

-- ensure index ix_creators_lower_btrim_referral_code
CREATE INDEX ix_creators_lower_btrim_referral_code ON creators (lower(btrim(referral_code)));

-- ensure trigger update_creators_updated_at on creators
CREATE TRIGGER update_creators_updated_at BEFORE UPDATE ON creators
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();

-- ensure table commissions
CREATE TABLE commissions (
    id text NOT NULL DEFAULT gen_random_uuid()::text,
    order_id text NOT NULL,
    order_number text,
    order_date timestamptz NOT NULL,
    creator_id text NOT NULL,
    promo_code text,
    net_sales_cents integer NOT NULL,
    commission_percent numeric(5,2) NOT NULL,
    commission_cents integer NOT NULL,
    currency text NOT NULL DEFAULT 'USD',
    status commission_status NOT NULL DEFAULT 'pending',
    approved_by text,
    approved_at timestamptz,
    payout_id text,
    paid_at timestamptz,
    rejected_reason text,
    rejected_by text,
    rejected_at timestamptz,
    metadata jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    -- added for the jobs
    basis text NOT NULL DEFAULT 'net',
    rate_source text,
    original_commission_cents integer,
    refunded_base_cents integer NOT NULL DEFAULT 0,
    hold_until timestamptz,
    matured_at timestamptz,
    credited_cents integer NOT NULL DEFAULT 0,
    PRIMARY KEY (id),
    UNIQUE (order_id),
    FOREIGN KEY (creator_id) REFERENCES creators(id) ON DELETE CASCADE
);

-- ensure index ix_commissions_creator_id_order_date
CREATE INDEX ix_commissions_creator_id_order_date ON commissions (creator_id, order_date);

-- ensure index ix_commissions_order_date_6cbc
CREATE INDEX ix_commissions_order_date_6cbc ON commissions (order_date) WHERE matured_at is null and status in ('pending','approved');

-- ensure trigger update_commissions_updated_at on commissions
CREATE TRIGGER update_commissions_updated_at BEFORE UPDATE ON commissions
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();

-- ensure table promo_code_metadata
CREATE TABLE promo_code_metadata (
    id text NOT NULL DEFAULT gen_random_uuid()::text,
    code text NOT NULL,
    shopify_discount_id text,
    creator_id text,
    commission_percent numeric(5,2),
    og_title text,
    og_description text,
    og_image text,
    redirect_target promo_redirect_target DEFAULT 'HOME',
    redirect_handle text,
    uses_count integer DEFAULT 0,
    revenue_generated_cents bigint DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (id),
    UNIQUE (code),
    FOREIGN KEY (creator_id) REFERENCES creators(id) ON DELETE SET NULL
);

-- ensure index ix_promo_code_metadata_lower_btrim_code
CREATE INDEX ix_promo_code_metadata_lower_btrim_code ON promo_code_metadata (lower(btrim(code)));

-- ensure trigger update_promo_code_metadata_updated_at on promo_code_metadata
CREATE TRIGGER update_promo_code_metadata_updated_at BEFORE UPDATE ON promo_code_metadata
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();

-- ensure table promo_code_usage
CREATE TABLE promo_code_usage (
    id text NOT NULL DEFAULT gen_random_uuid()::text,
    promo_code_id text NOT NULL,
    order_id text NOT NULL,
    customer_email text,
    discount_amount_cents bigint NOT NULL,
    order_total_cents bigint NOT NULL,
    used_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (id),
    FOREIGN KEY (promo_code_id) REFERENCES promo_code_metadata(id) ON DELETE CASCADE
);

-- ensure table discount_code_usages
CREATE TABLE discount_code_usages (
    id text NOT NULL DEFAULT gen_random_uuid()::text,
    code text NOT NULL,
    creator_id text NOT NULL,
    customer_id text,
    order_id text,
    discount_amount_cents integer NOT NULL,
    used_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (id)
);

-- ensure table attribution_influencers
CREATE TABLE attribution_influencers (
    id text NOT NULL DEFAULT gen_random_uuid()::text,
    tenant_id text NOT NULL,
    name text NOT NULL,
    profile_image_url text,
    status text NOT NULL DEFAULT 'active',
    discount_codes text[] DEFAULT '{}',
    creator_links text[] DEFAULT '{}',
    utm_patterns text[] DEFAULT '{}',
    landing_page text,
    commission_rate numeric(5,2),
    creator_id text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (id)
);

-- ensure trigger update_attr_influencers_updated_at on attribution_influencers
CREATE TRIGGER update_attr_influencers_updated_at BEFORE UPDATE ON attribution_influencers
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();

-- ensure table creator_product_shipments
CREATE TABLE creator_product_shipments (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    creator_id text NOT NULL,
    shopify_order_id text,
    shopify_order_number text,
    shopify_draft_order_id text,
    products jsonb NOT NULL DEFAULT '[]',
    status text NOT NULL DEFAULT 'pending',
    tracking_number text,
    carrier text,
    shipping_address jsonb,
    ordered_at timestamptz,
    shipped_at timestamptz,
    delivered_at timestamptz,
    notes text,
    created_by text,
    error_message text,
    created_at timestamptz DEFAULT now(),
    updated_at timestamptz DEFAULT now(),
    -- added for the jobs
    last_synced_at timestamptz,
    escalated_at timestamptz,
    tracking_url text,
    PRIMARY KEY (id),
    CHECK (status IN ('pending', 'ordered', 'shipped', 'delivered', 'failed')),
    FOREIGN KEY (creator_id) REFERENCES creators(id) ON DELETE CASCADE
);

-- ensure index ix_creator_product_shipments_status_created_at_id_18a3
CREATE INDEX ix_creator_product_shipments_status_created_at_id_18a3 ON creator_product_shipments (status, created_at, id) WHERE status in ('pending','ordered','shipped');

-- ensure trigger update_creator_product_shipments_updated_at on creator_product_shipments
CREATE TRIGGER update_creator_product_shipments_updated_at BEFORE UPDATE ON creator_product_shipments
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();

-- ensure table payouts
CREATE TABLE payouts (
    id text NOT NULL DEFAULT gen_random_uuid()::text,
    creator_id text NOT NULL,
    amount_cents integer NOT NULL,
    fee_cents integer NOT NULL DEFAULT 0,
    net_amount_cents integer NOT NULL,
    currency text NOT NULL DEFAULT 'USD',
    method payout_method NOT NULL,
    status payout_status NOT NULL DEFAULT 'pending',
    stripe_transfer_id text,
    wise_transfer_id text,
    external_reference text,
    payout_details jsonb,
    notes text,
    failure_reason text,
    failure_code text,
    initiated_at timestamptz,
    completed_at timestamptz,
    failed_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (id),
    FOREIGN KEY (creator_id) REFERENCES creators(id) ON DELETE RESTRICT
);

-- ensure trigger update_payouts_updated_at on payouts
CREATE TRIGGER update_payouts_updated_at BEFORE UPDATE ON payouts
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();

-- ensure table payout_attempts
CREATE TABLE payout_attempts (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    payout_id text NOT NULL REFERENCES payouts(id) ON DELETE RESTRICT,
    attempt_no integer NOT NULL,
    provider text NOT NULL CHECK (provider IN ('stripe', 'wise')),
    status text NOT NULL CHECK (status IN ('ready', 'sending', 'unknown', 'sent', 'settled', 'failed', 'returned')),
    vendor_key text NOT NULL UNIQUE,
    request_hash text NOT NULL,
    destination text NOT NULL,
    amount_cents bigint NOT NULL CHECK (amount_cents > 0),
    currency text NOT NULL,
    quote_id text,
    vendor_transfer_id text,
    vendor_payout_id text,
    vendor_status text,
    vendor_fee_cents bigint,
    target_amount numeric,
    target_currency text,
    funding_status text,
    estimated_arrival timestamptz,
    error_code text,
    lookups integer NOT NULL DEFAULT 0,
    last_lookup_at timestamptz,
    next_check_at timestamptz,
    sent_at timestamptz,
    settled_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (id)
);

-- ensure index ux_payout_attempts_payout_id_attempt_no
CREATE UNIQUE INDEX ux_payout_attempts_payout_id_attempt_no ON payout_attempts (payout_id, attempt_no);

-- ensure index ux_payout_attempts_payout_id_9246
CREATE UNIQUE INDEX ux_payout_attempts_payout_id_9246 ON payout_attempts (payout_id) WHERE status in ('ready','sending','unknown','sent');

-- ensure index ux_payout_attempts_provider_vendor_transfer_id_7714
CREATE UNIQUE INDEX ux_payout_attempts_provider_vendor_transfer_id_7714 ON payout_attempts (provider, vendor_transfer_id) WHERE vendor_transfer_id is not null;

-- ensure index ix_payout_attempts_provider_next_check_at_c45a
CREATE INDEX ix_payout_attempts_provider_next_check_at_c45a ON payout_attempts (provider, next_check_at) WHERE next_check_at is not null;

-- ensure table stripe_topups
CREATE TABLE stripe_topups (
    id text NOT NULL DEFAULT gen_random_uuid()::text,
    stripe_topup_id text NOT NULL,
    amount_cents integer NOT NULL,
    currency text NOT NULL DEFAULT 'usd',
    status topup_status NOT NULL DEFAULT 'pending',
    failure_code text,
    failure_message text,
    expected_available_at timestamptz,
    completed_at timestamptz,
    linked_withdrawal_ids text[] DEFAULT '{}',
    statement_descriptor text,
    description text,
    source_id text,
    source_last4 text,
    source_bank_name text,
    created_by text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (id),
    UNIQUE (stripe_topup_id)
);

-- ensure trigger stripe_topups_updated_at on stripe_topups
CREATE TRIGGER stripe_topups_updated_at BEFORE UPDATE ON stripe_topups
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();

-- ensure trigger update_stripe_topups_updated_at on stripe_topups
CREATE TRIGGER update_stripe_topups_updated_at BEFORE UPDATE ON stripe_topups
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();
