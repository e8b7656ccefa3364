-- What people had done: the applications' log of who changed what.

-- ensure table audit_logs
CREATE TABLE audit_logs (
    id text NOT NULL DEFAULT gen_random_uuid()::text,
    user_id uuid,
    action text NOT NULL,
    resource_type text NOT NULL,
    resource_id text,
    details jsonb DEFAULT '{}',
    ip_address text,
    user_agent text,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (id),
    FOREIGN KEY (user_id) REFERENCES users(id)
);
