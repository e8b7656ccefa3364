-- Reviews and the codes that thank for them.

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

-- ensure index ix_review_incentive_codes_status_expires_at
CREATE INDEX ix_review_incentive_codes_status_expires_at ON review_incentive_codes (status, expires_at);
