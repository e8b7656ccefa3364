-- The login role of the jobs reads and writes the ledger; tenant roles have nothing in this schema.

-- always grant the ledger to the login role
REVOKE ALL ON SCHEMA jobs FROM PUBLIC;
GRANT USAGE ON SCHEMA jobs TO {{login_role}};
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA jobs TO {{login_role}};
REVOKE INSERT, UPDATE, DELETE ON jobs.migrations, jobs.migration_lock FROM {{login_role}};

-- always grant what health checks read to the platform role
GRANT USAGE ON SCHEMA jobs TO cgk_platform;
GRANT SELECT ON jobs.ticks TO cgk_platform;
GRANT SELECT (run_id, run_at, job, tenant, state, attempt, code, sent_at, started_at, ended_at, next_at, duration_ms)
    ON jobs.runs TO cgk_platform;
GRANT SELECT (job, tenant, state, lease_until, attempt, code, not_before, ended_at, updated_at) ON jobs.claims TO cgk_platform;
GRANT SELECT (id, kind, tenant, target, created_at, deliver_at, attempts) ON jobs.outbox TO cgk_platform;
