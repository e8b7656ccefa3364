-- Log-in links of people, and who may make and end them for a tenant.

-- ensure type magic_link_purpose
CREATE TYPE magic_link_purpose AS ENUM ('login', 'signup', 'invite', 'password_reset');

-- ensure table magic_links
CREATE TABLE magic_links (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    email text NOT NULL,
    token_hash text NOT NULL,
    purpose magic_link_purpose NOT NULL DEFAULT 'login',
    organization_id uuid,
    invite_role user_role,
    expires_at timestamptz NOT NULL,
    used_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (id),
    FOREIGN KEY (organization_id) REFERENCES organizations(id) ON DELETE CASCADE
);

-- fence magic_links
organization_id = NULLIF(current_setting('cgk.tenant_id', true), '')::uuid;

-- always grant log-in links to the tenants' roles, without the hashes of their tokens
GRANT SELECT (id, email, purpose, organization_id, expires_at, used_at, created_at), INSERT, UPDATE (expires_at)
    ON magic_links TO cgk_tenants;
