-- How many runs of one tenant are under way: one row per place. A scope is a queue's name or a job's id.

-- ensure table slots
CREATE TABLE slots (
    scope text NOT NULL,
    tenant text NOT NULL,
    n integer NOT NULL,
    owner uuid,
    lease_until timestamptz,
    PRIMARY KEY (scope, tenant, n)
) WITH (
    fillfactor = 50,
    autovacuum_vacuum_scale_factor = 0.02,
    autovacuum_vacuum_threshold = 500,
    autovacuum_vacuum_cost_delay = 0
);
