-- Crons: one row per scheduled instant of a job, and the function that asks tenants whether they have work.

-- ensure table ticks
CREATE TABLE ticks (
    job text NOT NULL,
    tick_at timestamptz NOT NULL,
    state text NOT NULL CHECK (state IN ('noticed', 'missed', 'running', 'done', 'late', 'superseded')),
    owner uuid,
    lease_until timestamptz,
    reached text NOT NULL DEFAULT '',
    attempts integer NOT NULL DEFAULT 0,
    tenants integer NOT NULL DEFAULT 0,
    due integer NOT NULL DEFAULT 0,
    sent integer NOT NULL DEFAULT 0,
    failed integer NOT NULL DEFAULT 0,
    noticed_at timestamptz NOT NULL DEFAULT now(),
    started_at timestamptz,
    finished_at timestamptz,
    PRIMARY KEY (job, tick_at)
);

-- ensure index ix_ticks_tick_at
CREATE INDEX ix_ticks_tick_at ON ticks (tick_at);

-- replace function due
CREATE OR REPLACE FUNCTION due(
    probe text, slugs text[], ids uuid[], at timestamptz, OUT slug text, OUT facts jsonb, OUT failed text
) RETURNS SETOF record LANGUAGE plpgsql SECURITY INVOKER AS $$
-- Runs the probe as each tenant: its role, its search path, its id. Returns the tenants for which it found a row, and
-- with the SQLSTATE those whose schema fails it. `ids` stand beside `slugs`; the probe's $1, $2, $3 are id, slug, at.
-- The statement's timeout bounds all of it: who has not been asked by then counts as failed too.
DECLARE
    query constant text := 'SELECT to_jsonb(found) FROM (' || probe || ') AS found LIMIT 1';
    timed_out boolean := false;
BEGIN
    FOR i IN 1 .. cardinality(slugs) LOOP
        slug := slugs[i];
        facts := NULL;
        failed := CASE WHEN timed_out THEN '57014' END;
        IF NOT timed_out THEN
            BEGIN
                PERFORM set_config('search_path', 'tenant_' || slug || ', public', true),
                        set_config('cgk.tenant_id', ids[i]::text, true), set_config('cgk.tenant_slug', slug, true),
                        set_config('role', 'cgk_t_' || slug, true);
                EXECUTE query INTO facts USING ids[i], slug, at;
            EXCEPTION
                WHEN query_canceled THEN
                    timed_out := true;
                    failed := SQLSTATE;
                WHEN OTHERS THEN
                    failed := SQLSTATE;
            END;
        END IF;
        IF facts IS NOT NULL OR failed IS NOT NULL THEN
            RETURN NEXT;
        END IF;
    END LOOP;
    PERFORM set_config('role', 'none', true);
END;
$$;
