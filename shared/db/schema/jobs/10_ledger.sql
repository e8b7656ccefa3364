-- The kernel's own bookkeeping. No foreign keys: rows live and die apart, and history is pruned by dropping partitions.

-- ensure table claims
CREATE TABLE claims (
    job text NOT NULL,
    tenant text NOT NULL,
    key text NOT NULL,
    run_id uuid NOT NULL,
    run_at timestamptz NOT NULL,
    state text NOT NULL CHECK (state IN ('running', 'waiting', 'continuing', 'succeeded', 'dead', 'skipped', 'cancelled')),
    owner uuid,
    attempt integer NOT NULL DEFAULT 1,
    seq integer NOT NULL DEFAULT 0,
    lease_until timestamptz,
    payload_hash bytea,
    explicit_key boolean NOT NULL DEFAULT false,
    message_id text,
    cursor jsonb,
    result jsonb,
    code text,
    work_ms bigint NOT NULL DEFAULT 0,
    not_before timestamptz,
    ended_at timestamptz,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (job, tenant, key)
) WITH (
    fillfactor = 70,
    autovacuum_vacuum_scale_factor = 0.02,
    autovacuum_vacuum_threshold = 500,
    autovacuum_analyze_scale_factor = 0.05,
    autovacuum_vacuum_cost_delay = 0
);

-- ensure index ix_claims_lease_until
CREATE INDEX ix_claims_lease_until ON claims (lease_until) WHERE state = 'running';

-- ensure index ix_claims_ended_at
CREATE INDEX ix_claims_ended_at ON claims (ended_at) WHERE ended_at IS NOT NULL;

-- ensure index ix_claims_run_id
CREATE INDEX ix_claims_run_id ON claims (run_id);

-- ensure table runs
CREATE TABLE runs (
    run_id uuid NOT NULL,
    run_at timestamptz NOT NULL,
    job text NOT NULL,
    tenant text NOT NULL,
    key text NOT NULL,
    event text,
    state text NOT NULL CHECK (state IN (
        'running', 'retrying', 'deferred', 'continuing', 'succeeded', 'dead', 'skipped', 'cancelled', 'duplicate')),
    attempt integer NOT NULL DEFAULT 1,
    seq integer NOT NULL DEFAULT 0,
    code text,
    detail text,
    correlation_id text,
    causation_id text,
    message_id text,
    source text,
    sent_at timestamptz,
    started_at timestamptz,
    ended_at timestamptz,
    next_at timestamptz,
    duration_ms integer,
    work_ms bigint NOT NULL DEFAULT 0,
    result jsonb,
    progress jsonb,
    cancel_requested_at timestamptz,
    hops integer NOT NULL DEFAULT 0,
    PRIMARY KEY (run_id, run_at)
) PARTITION BY RANGE (run_at);

-- ensure table runs_default
CREATE TABLE runs_default PARTITION OF runs DEFAULT;

-- ensure index ix_runs_job_run_at
CREATE INDEX ix_runs_job_run_at ON runs (job, run_at DESC);

-- ensure index ix_runs_tenant_run_at
CREATE INDEX ix_runs_tenant_run_at ON runs (tenant, run_at DESC);

-- ensure index ix_runs_state_run_at
CREATE INDEX ix_runs_state_run_at ON runs (state, run_at DESC) WHERE state <> 'succeeded';

-- ensure index ix_runs_code_run_at
CREATE INDEX ix_runs_code_run_at ON runs (code, run_at DESC) WHERE code IS NOT NULL;

-- ensure index ix_runs_correlation_id
CREATE INDEX ix_runs_correlation_id ON runs (correlation_id);

-- ensure table payloads
CREATE TABLE payloads (
    run_id uuid NOT NULL,
    expires_on date NOT NULL,
    body bytea,
    blob_key text,
    PRIMARY KEY (run_id, expires_on)
) PARTITION BY RANGE (expires_on);

-- ensure table payloads_default
CREATE TABLE payloads_default PARTITION OF payloads DEFAULT;

-- ensure table outbox
CREATE TABLE outbox (
    id uuid NOT NULL,
    kind text NOT NULL CHECK (kind IN ('event', 'queue', 'schedule', 'answer', 'workflow', 'dead_letter')),
    tenant text NOT NULL,
    target text NOT NULL,
    body bytea NOT NULL,
    group_id text,
    deliver_at timestamptz,
    attributes jsonb,
    created_at timestamptz NOT NULL DEFAULT now(),
    attempts integer NOT NULL DEFAULT 0,
    last_error text,
    PRIMARY KEY (id)
) WITH (
    autovacuum_vacuum_scale_factor = 0.0,
    autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_cost_delay = 0
);

-- ensure index ix_outbox_created_at
CREATE INDEX ix_outbox_created_at ON outbox (created_at);
