-- People who apply to become creators, and applications that are not finished yet.

-- ensure table creator_applications
CREATE TABLE creator_applications (
    id text NOT NULL DEFAULT gen_random_uuid()::text,
    name text NOT NULL,
    email text NOT NULL,
    phone text,
    instagram text,
    tiktok text,
    youtube text,
    other_social jsonb NOT NULL DEFAULT '{}',
    follower_count integer,
    engagement_rate numeric(5,2),
    bio text,
    why_interested text,
    previous_partnerships text,
    content_categories text[],
    source text,
    referrer_code text,
    utm_source text,
    utm_medium text,
    utm_campaign text,
    status application_status NOT NULL DEFAULT 'new',
    reviewed_by text,
    reviewed_at timestamptz,
    rejection_reason text,
    internal_notes text,
    creator_id text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (id),
    FOREIGN KEY (creator_id) REFERENCES creators(id) ON DELETE SET NULL
);

-- ensure trigger update_creator_applications_updated_at on creator_applications
CREATE TRIGGER update_creator_applications_updated_at BEFORE UPDATE ON creator_applications
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();

-- ensure table creator_application_drafts
CREATE TABLE creator_application_drafts (
    id text NOT NULL DEFAULT gen_random_uuid()::text,
    email text NOT NULL,
    draft_data jsonb NOT NULL DEFAULT '{}',
    step integer NOT NULL DEFAULT 1,
    utm_source text,
    utm_medium text,
    utm_campaign text,
    referrer text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (id),
    UNIQUE (email)
);

-- ensure trigger update_creator_application_drafts_updated_at on creator_application_drafts
CREATE TRIGGER update_creator_application_drafts_updated_at BEFORE UPDATE ON creator_application_drafts
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();
