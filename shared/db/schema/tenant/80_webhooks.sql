-- Webhooks that came in and the state of their registrations.

-- ensure table webhook_events
CREATE TABLE webhook_events (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    shop text NOT NULL,
    topic text NOT NULL,
    shopify_webhook_id text,
    payload jsonb NOT NULL,
    hmac_verified boolean NOT NULL DEFAULT false,
    status text DEFAULT 'pending',
    processed_at timestamptz,
    error_message text,
    retry_count integer DEFAULT 0,
    idempotency_key text,
    received_at timestamptz DEFAULT now(),
    headers jsonb,
    tenant_id uuid,
    -- added for the jobs
    provider text NOT NULL DEFAULT 'shopify',
    external_id text,
    resource_id text,
    triggered_at timestamptz,
    next_attempt_at timestamptz,
    lease_owner text,
    lease_expires_at timestamptz,
    dead_at timestamptz,
    skip_reason text,
    emitted text[] NOT NULL DEFAULT '{}',
    body_removed_at timestamptz,
    PRIMARY KEY (id),
    UNIQUE (idempotency_key),
    CHECK (status IN ('pending', 'processing', 'completed', 'failed'))
);

-- ensure index ix_webhook_events_status_next_attempt_at_82c3
CREATE INDEX ix_webhook_events_status_next_attempt_at_82c3 ON webhook_events (status, next_attempt_at) WHERE status in ('pending','failed') and dead_at is null;

-- ensure index ix_webhook_events_received_at
CREATE INDEX ix_webhook_events_received_at ON webhook_events (received_at);

-- ensure index ix_webhook_events_provider_topic_received_at
CREATE INDEX ix_webhook_events_provider_topic_received_at ON webhook_events (provider, topic, received_at);

-- ensure index ix_webhook_events_lease_expires_at_983c
CREATE INDEX ix_webhook_events_lease_expires_at_983c ON webhook_events (lease_expires_at) WHERE status = 'processing';

-- ensure table webhook_registrations
CREATE TABLE webhook_registrations (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    shop text NOT NULL,
    topic text NOT NULL,
    shopify_webhook_id text,
    address text NOT NULL,
    format text DEFAULT 'json',
    status text DEFAULT 'active',
    last_success_at timestamptz,
    last_failure_at timestamptz,
    failure_count integer DEFAULT 0,
    created_at timestamptz DEFAULT now(),
    updated_at timestamptz DEFAULT now(),
    tenant_id uuid,
    PRIMARY KEY (id),
    UNIQUE (shop, topic),
    CHECK (status IN ('active', 'failed', 'deleted'))
);

-- ensure trigger trigger_webhook_registrations_updated_at on webhook_registrations
CREATE TRIGGER trigger_webhook_registrations_updated_at BEFORE UPDATE ON webhook_registrations
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();

-- ensure table webhook_health_state
CREATE TABLE webhook_health_state (
    shop text NOT NULL,
    checked_at timestamptz NOT NULL,
    missing text[] NOT NULL DEFAULT '{}',
    wrong_address text[] NOT NULL DEFAULT '{}',
    refused jsonb NOT NULL DEFAULT '{}',
    last_error text,
    rechecked integer NOT NULL DEFAULT 0,
    PRIMARY KEY (shop)
);
