-- The public identities of creators, their brands and the portal's mirror of their money.
-- The mirror holds all brands' rows, and each commission finds its own there: the index on it is ours.

-- ensure table creators
CREATE TABLE creators (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    email text NOT NULL,
    password_hash text,
    name text NOT NULL,
    bio text,
    phone text,
    avatar_url text,
    address_line1 text,
    address_line2 text,
    city text,
    state text,
    postal_code text,
    country_code text DEFAULT 'US',
    tax_form_status text DEFAULT 'pending',
    tax_form_submitted_at timestamptz,
    status creator_status NOT NULL DEFAULT 'pending',
    email_verified boolean NOT NULL DEFAULT false,
    email_verified_at timestamptz,
    onboarding_completed boolean NOT NULL DEFAULT false,
    first_login_at timestamptz,
    guided_tour_completed boolean NOT NULL DEFAULT false,
    last_login_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (id),
    UNIQUE (email)
);

-- ensure trigger update_creators_updated_at on creators
CREATE TRIGGER update_creators_updated_at BEFORE UPDATE ON creators
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();

-- ensure table creator_brand_memberships
CREATE TABLE creator_brand_memberships (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    creator_id uuid NOT NULL,
    organization_id uuid NOT NULL,
    status creator_membership_status NOT NULL DEFAULT 'pending',
    commission_percent numeric(5,2) NOT NULL DEFAULT 15.00,
    discount_code text,
    balance_cents integer NOT NULL DEFAULT 0,
    pending_cents integer NOT NULL DEFAULT 0,
    lifetime_earnings_cents integer NOT NULL DEFAULT 0,
    contract_signed boolean NOT NULL DEFAULT false,
    contract_signed_at timestamptz,
    contract_version text,
    active_projects_count integer NOT NULL DEFAULT 0,
    completed_projects_count integer NOT NULL DEFAULT 0,
    last_project_at timestamptz,
    last_payout_at timestamptz,
    joined_at timestamptz NOT NULL DEFAULT now(),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (id),
    UNIQUE (creator_id, organization_id),
    FOREIGN KEY (creator_id) REFERENCES creators(id) ON DELETE CASCADE,
    FOREIGN KEY (organization_id) REFERENCES organizations(id) ON DELETE CASCADE
);

-- ensure trigger update_creator_brand_memberships_updated_at on creator_brand_memberships
CREATE TRIGGER update_creator_brand_memberships_updated_at BEFORE UPDATE ON creator_brand_memberships
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();

-- ensure table creator_balance_transactions
CREATE TABLE creator_balance_transactions (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    creator_id uuid NOT NULL,
    brand_id uuid,
    type balance_transaction_type NOT NULL,
    amount_cents integer NOT NULL,
    currency text NOT NULL DEFAULT 'USD',
    balance_after_cents integer NOT NULL,
    available_at timestamptz,
    order_id text,
    commission_id text,
    project_id text,
    withdrawal_id text,
    description text,
    metadata jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (id),
    FOREIGN KEY (creator_id) REFERENCES creators(id) ON DELETE CASCADE,
    FOREIGN KEY (brand_id) REFERENCES organizations(id) ON DELETE SET NULL
);

-- ensure index ix_creator_balance_transactions_commission
CREATE INDEX ix_creator_balance_transactions_commission ON creator_balance_transactions (creator_id, brand_id, commission_id);

-- ensure table creator_notification_settings
CREATE TABLE creator_notification_settings (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    creator_id uuid NOT NULL,
    email_project_assigned boolean NOT NULL DEFAULT true,
    email_project_updated boolean NOT NULL DEFAULT true,
    email_message_received boolean NOT NULL DEFAULT true,
    email_payment_received boolean NOT NULL DEFAULT true,
    email_deadline_reminder boolean NOT NULL DEFAULT true,
    email_revision_requested boolean NOT NULL DEFAULT true,
    sms_project_assigned boolean NOT NULL DEFAULT false,
    sms_project_updated boolean NOT NULL DEFAULT false,
    sms_message_received boolean NOT NULL DEFAULT false,
    sms_payment_received boolean NOT NULL DEFAULT true,
    sms_deadline_reminder boolean NOT NULL DEFAULT true,
    sms_revision_requested boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (id),
    UNIQUE (creator_id),
    FOREIGN KEY (creator_id) REFERENCES creators(id) ON DELETE CASCADE
);

-- ensure trigger update_creator_notification_settings_updated_at on creator_notification_settings
CREATE TRIGGER update_creator_notification_settings_updated_at BEFORE UPDATE ON creator_notification_settings
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();
