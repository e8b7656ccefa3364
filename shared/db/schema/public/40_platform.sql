-- Installations of the Shopify app and outbound webhooks.

-- ensure table shopify_app_installations
CREATE TABLE shopify_app_installations (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    shop text NOT NULL,
    organization_id uuid NOT NULL,
    status text NOT NULL DEFAULT 'active',
    scopes text[] NOT NULL DEFAULT '{}',
    installed_at timestamptz NOT NULL DEFAULT now(),
    uninstalled_at timestamptz,
    last_billing_at timestamptz,
    shopify_app_id text,
    primary_contact_email text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (id),
    UNIQUE (shop),
    CHECK (status IN ('active', 'uninstalled', 'suspended')),
    FOREIGN KEY (organization_id) REFERENCES organizations(id) ON DELETE CASCADE
);

-- ensure trigger shopify_app_installations_updated_at on shopify_app_installations
CREATE TRIGGER shopify_app_installations_updated_at BEFORE UPDATE ON shopify_app_installations
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();

-- ensure table platform_webhooks
CREATE TABLE platform_webhooks (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    tenant_id uuid,
    event_type text NOT NULL,
    target_url text NOT NULL,
    payload jsonb DEFAULT '{}',
    status text NOT NULL DEFAULT 'pending',
    attempts integer NOT NULL DEFAULT 0,
    max_attempts integer NOT NULL DEFAULT 5,
    last_attempt_at timestamptz,
    last_error text,
    response_status integer,
    response_body text,
    delivered_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    -- added for the jobs
    next_attempt_at timestamptz,
    lease_expires_at timestamptz,
    PRIMARY KEY (id),
    CHECK (status IN ('pending', 'delivered', 'failed', 'retrying')),
    FOREIGN KEY (tenant_id) REFERENCES organizations(id)
);

-- ensure index ix_platform_webhooks_status_next_attempt_at_6602
CREATE INDEX ix_platform_webhooks_status_next_attempt_at_6602 ON platform_webhooks (status, next_attempt_at) WHERE status in ('pending','retrying');
