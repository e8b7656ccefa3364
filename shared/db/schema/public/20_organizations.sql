-- Organizations and the people in them.

-- ensure table organizations
CREATE TABLE organizations (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    slug text NOT NULL,
    name text NOT NULL,
    settings jsonb NOT NULL DEFAULT '{}',
    shopify_store_domain text,
    shopify_access_token_encrypted text,
    stripe_account_id text,
    stripe_customer_id text,
    status organization_status NOT NULL DEFAULT 'onboarding',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    onboarding_status varchar(20) DEFAULT 'pending',
    onboarding_completed_at timestamptz,
    setup_checklist jsonb DEFAULT '{}',
    primary_color varchar(7),
    logo_url text,
    custom_domain text,
    custom_domain_verified boolean DEFAULT false,
    enabled_features jsonb DEFAULT '[]',
    shopify_config jsonb DEFAULT '{}',
    PRIMARY KEY (id),
    UNIQUE (slug),
    CHECK (slug ~ '^[a-z0-9_]+$'::text)
);

-- ensure trigger update_organizations_updated_at on organizations
CREATE TRIGGER update_organizations_updated_at BEFORE UPDATE ON organizations
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();

-- ensure table users
CREATE TABLE users (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    email text NOT NULL,
    name text,
    password_hash text,
    role user_role NOT NULL DEFAULT 'member',
    status user_status NOT NULL DEFAULT 'active',
    email_verified boolean NOT NULL DEFAULT false,
    email_verified_at timestamptz,
    last_login_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    disabled_at timestamptz,
    disabled_by uuid,
    disabled_reason text,
    avatar_url text,
    search_vector tsvector GENERATED ALWAYS AS ((setweight(to_tsvector('english'::regconfig, COALESCE(name, ''::text)), 'A'::"char") || setweight(to_tsvector('english'::regconfig, COALESCE(email, ''::text)), 'B'::"char"))) STORED,
    PRIMARY KEY (id),
    UNIQUE (email),
    FOREIGN KEY (disabled_by) REFERENCES users(id)
);

-- ensure trigger update_users_updated_at on users
CREATE TRIGGER update_users_updated_at BEFORE UPDATE ON users
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();

-- ensure table user_organizations
CREATE TABLE user_organizations (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    user_id uuid NOT NULL,
    organization_id uuid NOT NULL,
    role user_role NOT NULL DEFAULT 'member',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    invited_by uuid,
    invitation_id uuid,
    role_id uuid,
    is_default boolean NOT NULL DEFAULT false,
    last_active_at timestamptz,
    PRIMARY KEY (id),
    UNIQUE (user_id, organization_id),
    FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE CASCADE,
    FOREIGN KEY (invited_by) REFERENCES users(id),
    FOREIGN KEY (organization_id) REFERENCES organizations(id) ON DELETE CASCADE
);

-- ensure index ux_user_organizations_user_id_part
CREATE UNIQUE INDEX ux_user_organizations_user_id_part ON user_organizations (user_id) WHERE is_default = true;

-- ensure trigger update_user_organizations_updated_at on user_organizations
CREATE TRIGGER update_user_organizations_updated_at BEFORE UPDATE ON user_organizations
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();
