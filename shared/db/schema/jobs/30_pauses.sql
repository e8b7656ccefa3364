-- What is paused, and what was: a message's age leaves out the time that it spent paused.

-- ensure table pauses
CREATE TABLE pauses (
    id uuid NOT NULL,
    scope text NOT NULL CHECK (scope IN ('job', 'queue', 'tenant')),
    name text NOT NULL,
    since timestamptz NOT NULL,
    reason text NOT NULL DEFAULT '',
    paused_by text NOT NULL DEFAULT '',
    ended_at timestamptz,
    ended_by text,
    PRIMARY KEY (id)
);

-- ensure index uq_pauses_open
CREATE UNIQUE INDEX uq_pauses_open ON pauses (scope, name) WHERE ended_at IS NULL;
