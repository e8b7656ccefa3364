-- The login role of the jobs reads and writes the ledger; tenant roles have nothing in this schema.

-- always grant the ledger to the login role
REVOKE ALL ON SCHEMA jobs FROM PUBLIC;
GRANT USAGE ON SCHEMA jobs TO {{login_role}};
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA jobs TO {{login_role}};
REVOKE INSERT, UPDATE, DELETE ON jobs.migrations, jobs.migration_lock FROM {{login_role}};
