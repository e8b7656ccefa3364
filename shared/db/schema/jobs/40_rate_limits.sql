-- Token buckets of vendors' limits. Unlogged: an acquire waits for no disk, and after a crash all buckets are full.

-- ensure table rate_limits
CREATE UNLOGGED TABLE rate_limits (
    owner text NOT NULL,
    vendor text NOT NULL,
    bucket text NOT NULL,
    full_at timestamptz NOT NULL,
    PRIMARY KEY (owner, vendor, bucket)
) WITH (
    fillfactor = 50,
    autovacuum_vacuum_scale_factor = 0.02,
    autovacuum_vacuum_threshold = 500,
    autovacuum_vacuum_cost_delay = 0
);
