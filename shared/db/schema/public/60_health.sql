-- What works: the last result per tenant and service, the debounced state, and the history.

-- ensure table platform_health_matrix
CREATE TABLE platform_health_matrix (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    tenant_id uuid NOT NULL,
    service_name text NOT NULL,
    status text NOT NULL,
    response_time_ms integer,
    last_error text,
    metadata jsonb DEFAULT '{}',
    checked_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (id),
    UNIQUE (tenant_id, service_name),
    CHECK (status IN ('healthy', 'degraded', 'unhealthy', 'unknown')),
    FOREIGN KEY (tenant_id) REFERENCES organizations(id)
);

-- ensure table health_check_state
CREATE TABLE health_check_state (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    service text NOT NULL,
    tenant_id uuid REFERENCES organizations(id) ON DELETE CASCADE,
    status text NOT NULL DEFAULT 'unknown' CHECK (status IN ('unknown', 'healthy', 'degraded', 'unhealthy')),
    since timestamptz NOT NULL DEFAULT now(),
    last_result text,
    last_code text,
    last_latency_ms integer,
    fail_streak integer NOT NULL DEFAULT 0,
    bad_streak integer NOT NULL DEFAULT 0,
    good_streak integer NOT NULL DEFAULT 0,
    better_streak integer NOT NULL DEFAULT 0,
    auth_failures integer NOT NULL DEFAULT 0,
    alert_open boolean NOT NULL DEFAULT false,
    alert_swallowed boolean NOT NULL DEFAULT false,
    last_checked_at timestamptz,
    next_due_at timestamptz,
    history_hour timestamptz,
    PRIMARY KEY (id),
    UNIQUE NULLS NOT DISTINCT (service, tenant_id)
);

-- ensure index ix_health_check_state_service_status_since
CREATE INDEX ix_health_check_state_service_status_since ON health_check_state (service, status, since);

-- ensure index ix_health_check_state_tenant_id_next_due_at
CREATE INDEX ix_health_check_state_tenant_id_next_due_at ON health_check_state (tenant_id, next_due_at);

-- ensure table health_check_history
CREATE TABLE health_check_history (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    service varchar(50) NOT NULL,
    tenant_id uuid,
    status varchar(20) NOT NULL,
    latency_ms integer NOT NULL,
    details jsonb,
    checked_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (id),
    CHECK (status IN ('healthy', 'degraded', 'unhealthy', 'unknown')),
    FOREIGN KEY (tenant_id) REFERENCES organizations(id) ON DELETE CASCADE
);
