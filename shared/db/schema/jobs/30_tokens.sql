-- Tokens of workflow steps (shared/jobs/tokens.py). Token and answer are sealed; the hash only tells tokens apart.

-- ensure table tokens
CREATE TABLE tokens (
    run_id uuid NOT NULL,
    tenant text NOT NULL,
    job text NOT NULL,
    correlation_id text,
    token bytea NOT NULL,
    token_hash bytea NOT NULL,
    state text NOT NULL CHECK (state IN ('running', 'held', 'answered', 'gone')),
    owner uuid,
    answer bytea,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (run_id)
);

-- ensure index ix_tokens_correlation_id
CREATE INDEX ix_tokens_correlation_id ON tokens (correlation_id);
