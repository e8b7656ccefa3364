-- Claiming and settling. Functions, because their statements are long and planned once per connection this way, also
-- behind a transaction pooler; as statements of their own they would be planned for every message, over all days of the
-- ledger. They take one JSON document each, so a member more is no new signature. Called by the jobs' login alone.
--
-- The plan that a connection keeps must stay right while the tables grow: only index lookups are allowed, each table is
-- given the ids that are meant, and the ledger the days.

-- replace function claim
CREATE OR REPLACE FUNCTION claim(
    items jsonb, me uuid, at timestamptz, soon timestamptz, until timestamptz, take_over boolean, keep_days integer,
    OUT ord integer, OUT run_id uuid, OUT run_at timestamptz, OUT attempt integer, OUT seq integer, OUT cursor jsonb,
    OUT work_ms bigint, OUT claimed boolean, OUT state text, OUT lease_until timestamptz, OUT not_before timestamptz,
    OUT known_seq integer, OUT known_run uuid, OUT reused boolean, OUT no_slot boolean, OUT slots jsonb
) RETURNS SETOF record LANGUAGE plpgsql SECURITY INVOKER
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET enable_material = off
AS $$
-- Claims a batch of messages, one row of jobs.claims per (job, tenant, key), and takes one place per scope and tenant.
-- A row per item in order: its run when it is claimed, else what is known of the claim that is in its way.
#variable_conflict use_column
DECLARE
    resumed uuid[] := '{}';
    since timestamptz := at;
BEGIN
    FOR ord, run_id, run_at, attempt, seq, cursor, work_ms, claimed, state, lease_until, not_before, known_seq,
        known_run, reused, no_slot, slots
    IN
        WITH input AS (
            SELECT * FROM jsonb_to_recordset(items) AS i (
                ord integer, job text, tenant text, key text, run_id uuid, hash bytea, explicit boolean,
                message_id text, leg_run uuid, leg_seq integer, event text, correlation text, causation text,
                source text, sent_at timestamptz, hops integer, body bytea, blob text, queue text, queue_cap integer,
                job_cap integer)
        ), before AS (
            SELECT c.* FROM jobs.claims c JOIN input i ON c.job = i.job AND c.tenant = i.tenant AND c.key = i.key
        ), open AS (
            SELECT i.* FROM input i LEFT JOIN before b ON b.job = i.job AND b.tenant = i.tenant AND b.key = i.key
            WHERE CASE
                WHEN b.job IS NULL THEN i.leg_run IS NULL
                WHEN i.explicit AND b.explicit_key AND b.payload_hash <> i.hash THEN false
                WHEN i.leg_run IS NOT NULL AND (b.run_id <> i.leg_run OR b.seq <> i.leg_seq) THEN false
                WHEN i.leg_run IS NULL AND b.seq > 0 AND b.state NOT IN ('dead', 'skipped') THEN false
                WHEN b.state = 'waiting' THEN b.not_before IS NULL OR b.not_before <= soon
                WHEN b.state = 'running' THEN take_over AND b.lease_until < at
                WHEN b.state = 'dead' THEN b.message_id IS DISTINCT FROM i.message_id
                ELSE b.state IN ('continuing', 'skipped') END
        ), wanted AS (
            SELECT queue AS scope, tenant, queue_cap AS cap FROM open
            UNION SELECT job, tenant, job_cap FROM open WHERE job_cap IS NOT NULL
        ), places AS (
            SELECT w.scope, w.tenant, f.n FROM wanted w CROSS JOIN LATERAL (
                SELECT s.n FROM jobs.slots s
                WHERE s.scope = w.scope AND s.tenant = w.tenant AND s.n <= w.cap
                  AND (s.lease_until IS NULL OR s.lease_until < at OR s.owner = me)
                ORDER BY s.owner = me DESC NULLS LAST, s.n LIMIT 1 FOR UPDATE SKIP LOCKED
            ) f
        ), taken AS (
            UPDATE jobs.slots s SET owner = me, lease_until = until FROM places p
            WHERE s.scope = p.scope AND s.tenant = p.tenant AND s.n = p.n
            RETURNING s.scope, s.tenant, s.n
        ), placed AS (
            SELECT o.* FROM open o
            WHERE EXISTS (SELECT FROM taken t WHERE t.scope = o.queue AND t.tenant = o.tenant)
              AND (o.job_cap IS NULL OR EXISTS (SELECT FROM taken t WHERE t.scope = o.job AND t.tenant = o.tenant))
        ), claimed AS (
            INSERT INTO jobs.claims AS c (job, tenant, key, run_id, run_at, state, owner, attempt, seq, lease_until,
                                          payload_hash, explicit_key, message_id, updated_at)
            SELECT i.job, i.tenant, i.key, i.run_id, at, 'running', me, 1, COALESCE(i.leg_seq, 0), until, i.hash,
                   i.explicit, i.message_id, at
            FROM placed i
            ORDER BY i.job, i.tenant, i.key
            ON CONFLICT (job, tenant, key) DO UPDATE SET
                state = 'running', owner = EXCLUDED.owner, lease_until = EXCLUDED.lease_until, code = NULL,
                ended_at = NULL,
                attempt = CASE WHEN c.state IN ('waiting', 'running') THEN c.attempt + 1 ELSE 1 END,
                run_id = CASE WHEN c.state IN ('dead', 'skipped') THEN EXCLUDED.run_id ELSE c.run_id END,
                run_at = CASE WHEN c.state IN ('dead', 'skipped') THEN EXCLUDED.run_at ELSE c.run_at END,
                seq = CASE WHEN c.state IN ('dead', 'skipped') THEN 0 ELSE c.seq END,
                work_ms = CASE WHEN c.state IN ('dead', 'skipped') THEN 0 ELSE c.work_ms END,
                cursor = CASE WHEN c.state IN ('dead', 'skipped') THEN NULL ELSE c.cursor END,
                payload_hash = EXCLUDED.payload_hash, message_id = EXCLUDED.message_id, not_before = NULL,
                updated_at = EXCLUDED.updated_at
            WHERE CASE c.state
                WHEN 'waiting' THEN c.not_before IS NULL OR c.not_before <= soon
                WHEN 'continuing' THEN c.seq = EXCLUDED.seq
                WHEN 'running' THEN take_over AND c.lease_until < at
                WHEN 'dead' THEN c.message_id IS DISTINCT FROM EXCLUDED.message_id
                WHEN 'skipped' THEN true
                ELSE false END
            RETURNING c.job, c.tenant, c.key, c.run_id, c.run_at, c.attempt, c.seq, c.cursor, c.work_ms
        ), fresh AS (
            SELECT i.*, c.run_at FROM claimed c JOIN input i ON i.run_id = c.run_id
        ), new_runs AS (
            INSERT INTO jobs.runs (run_id, run_at, job, tenant, key, event, state, attempt, seq, correlation_id,
                                   causation_id, message_id, source, sent_at, started_at, hops)
            SELECT run_id, run_at, job, tenant, key, event, 'running', 1, 0, correlation, causation, message_id, source,
                   sent_at, at, hops
            FROM fresh
        ), new_payloads AS (
            INSERT INTO jobs.payloads (run_id, expires_on, body, blob_key)
            SELECT run_id, (at AT TIME ZONE 'UTC')::date + keep_days, body, blob FROM fresh
        )
        SELECT i.ord, c.run_id, c.run_at, c.attempt, c.seq, c.cursor, c.work_ms, c.job IS NOT NULL,
               b.state, b.lease_until, b.not_before, b.seq, b.run_id,
               i.explicit AND b.explicit_key AND b.payload_hash <> i.hash,
               o.ord IS NOT NULL AND p.ord IS NULL,
               (SELECT jsonb_agg(jsonb_build_array(scope, tenant, n)) FROM taken)
        FROM input i
        LEFT JOIN open o ON o.ord = i.ord
        LEFT JOIN placed p ON p.ord = i.ord
        LEFT JOIN claimed c ON c.job = i.job AND c.tenant = i.tenant AND c.key = i.key
        LEFT JOIN before b ON b.job = i.job AND b.tenant = i.tenant AND b.key = i.key
        ORDER BY i.ord
    LOOP
        IF claimed AND run_id = known_run THEN
            resumed := resumed || run_id;
            since := LEAST(since, run_at);
        END IF;
        RETURN NEXT;
    END LOOP;
    IF resumed <> '{}' THEN
        UPDATE jobs.runs r SET state = 'running', attempt = c.attempt, seq = c.seq, started_at = at, next_at = NULL
        FROM jobs.claims c
        WHERE c.run_id = ANY(resumed) AND r.run_id = ANY(resumed) AND r.run_id = c.run_id AND r.run_at = c.run_at
          AND r.run_at BETWEEN since AND at;
    END IF;
END;
$$;

-- replace function settle
CREATE OR REPLACE FUNCTION settle(
    ended jsonb, outgoing jsonb, places jsonb, me uuid, at timestamptz, keep_dead_days integer
) RETURNS SETOF uuid LANGUAGE plpgsql SECURITY INVOKER
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET enable_material = off
AS $$
-- Ends runs that still own their claim: claim, run row, the payload's lifetime, what they send; and frees places.
-- Returns the ids of those runs. A claim that names another owner or attempt by now is left alone.
DECLARE
    ids uuid[] := ARRAY(SELECT i.run_id FROM jsonb_to_recordset(ended) AS i (run_id uuid));
    since timestamptz;
    latest timestamptz;
BEGIN
    -- Places first and claims then, in the order of `claim`: two processes that meet here wait, and do not lock up.
    IF places IS NOT NULL THEN
        UPDATE jobs.slots s SET owner = NULL, lease_until = NULL
        FROM jsonb_to_recordset(places) AS p (scope text, tenant text, n integer)
        WHERE s.scope = p.scope AND s.tenant = p.tenant AND s.n = p.n AND s.owner = me;
    END IF;
    WITH settled AS (
        UPDATE jobs.claims c SET
            state = i.claim_state, attempt = i.attempts_left, seq = i.seq, cursor = i.cursor, result = i.result,
            code = i.code, not_before = i.not_before, work_ms = c.work_ms + i.ms, lease_until = NULL, owner = NULL,
            ended_at = CASE WHEN i.claim_state IN ('succeeded', 'dead', 'cancelled') THEN at END, updated_at = at
        FROM jsonb_to_recordset(ended) AS i (
            run_id uuid, job text, tenant text, key text, attempt integer, claim_state text, attempts_left integer,
            seq integer, cursor jsonb, result jsonb, code text, not_before timestamptz, ms integer)
        WHERE c.run_id = ANY(ids) AND c.run_id = i.run_id AND c.job = i.job AND c.tenant = i.tenant AND c.key = i.key
          AND c.owner = me AND c.attempt = i.attempt  -- who is owner is running
        RETURNING c.run_id, c.run_at
    )
    SELECT array_agg(run_id), min(run_at), max(run_at) INTO ids, since, latest FROM settled;

    UPDATE jobs.runs r SET
        state = i.run_state, code = i.code, detail = i.detail, result = i.result, duration_ms = i.ms,
        work_ms = r.work_ms + i.ms, seq = i.seq, next_at = i.not_before,
        ended_at = CASE WHEN i.run_state IN ('succeeded', 'dead', 'cancelled') THEN at END
    FROM jsonb_to_recordset(ended) AS i (
        run_id uuid, run_at timestamptz, run_state text, code text, detail text, result jsonb, ms integer, seq integer,
        not_before timestamptz)
    WHERE r.run_id = ANY(ids) AND r.run_id = i.run_id AND r.run_at = i.run_at AND r.run_at BETWEEN since AND latest;

    IF ended @> '[{"claim_state": "dead"}]' THEN
        UPDATE jobs.payloads p SET expires_on = (at AT TIME ZONE 'UTC')::date + keep_dead_days
        FROM jsonb_to_recordset(ended) AS i (run_id uuid, claim_state text)
        WHERE p.run_id = ANY(ids) AND p.run_id = i.run_id AND i.claim_state = 'dead';
    END IF;

    IF outgoing IS NOT NULL THEN
        INSERT INTO jobs.outbox (id, kind, tenant, target, body, group_id, deliver_at, attributes, created_at)
        SELECT o.id, o.kind, o.tenant, o.target, o.body, o.group_id, o.deliver_at, o.attributes, at
        FROM jsonb_to_recordset(outgoing) AS o (
            run_id uuid, id uuid, kind text, tenant text, target text, body bytea, group_id text,
            deliver_at timestamptz, attributes jsonb)
        WHERE o.run_id = ANY(ids);
    END IF;
    RETURN QUERY SELECT unnest(ids);
END;
$$;
