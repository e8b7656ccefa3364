-- Media whose vendors call back.

-- ensure table videos
CREATE TABLE videos (
    id text NOT NULL DEFAULT gen_random_uuid()::text,
    tenant_id text NOT NULL,
    user_id text NOT NULL,
    folder_id text,
    title text NOT NULL,
    description text,
    duration_seconds integer,
    file_size_bytes bigint,
    recording_type text,
    mux_upload_id text,
    mux_asset_id text,
    mux_playback_id text,
    thumbnail_url text,
    status text NOT NULL DEFAULT 'uploading',
    error_message text,
    transcription_status text DEFAULT 'pending',
    transcription_job_id text,
    transcription_text text,
    transcription_words jsonb,
    ai_title text,
    ai_summary text,
    ai_chapters jsonb,
    ai_tasks jsonb,
    search_vector tsvector GENERATED ALWAYS AS (((setweight(to_tsvector('english'::regconfig, COALESCE(title, ''::text)), 'A'::"char") || setweight(to_tsvector('english'::regconfig, COALESCE(description, ''::text)), 'B'::"char")) || setweight(to_tsvector('english'::regconfig, COALESCE(transcription_text, ''::text)), 'C'::"char"))) STORED,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz,
    PRIMARY KEY (id),
    CHECK (status IN ('uploading', 'processing', 'ready', 'error', 'deleted')),
    CHECK (transcription_status IN ('pending', 'processing', 'completed', 'failed'))
);

-- ensure trigger videos_updated_at on videos
CREATE TRIGGER videos_updated_at BEFORE UPDATE ON videos
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();

-- ensure table dam_assets
CREATE TABLE dam_assets (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    tenant_id text NOT NULL,
    user_id text NOT NULL,
    title text NOT NULL,
    description text,
    asset_type text NOT NULL,
    mime_type text NOT NULL,
    file_extension text,
    file_url text NOT NULL,
    thumbnail_url text,
    file_size_bytes bigint,
    width integer,
    height integer,
    duration_seconds integer,
    quality_variant text DEFAULT 'master',
    parent_asset_id uuid,
    asset_group_id uuid,
    version_number integer DEFAULT 1,
    mux_asset_id text,
    mux_playback_id text,
    metadata jsonb DEFAULT '{}',
    exif_data jsonb,
    manual_tags text[] DEFAULT '{}',
    ai_tags text[] DEFAULT '{}',
    ai_objects text[] DEFAULT '{}',
    ai_scenes text[] DEFAULT '{}',
    ai_visual_description text,
    content_tags text[] DEFAULT '{}',
    product_tags text[] DEFAULT '{}',
    rights_status text DEFAULT 'pending',
    rights_expires_at timestamptz,
    rights_holder text,
    rights_notes text,
    is_active boolean DEFAULT true,
    is_archived boolean DEFAULT false,
    is_favorite boolean DEFAULT false,
    is_featured boolean DEFAULT false,
    view_count integer DEFAULT 0,
    download_count integer DEFAULT 0,
    source_type text,
    source_file_id text,
    source_folder_path text,
    file_hash text,
    created_at timestamptz DEFAULT now(),
    updated_at timestamptz DEFAULT now(),
    deleted_at timestamptz,
    search_vector tsvector GENERATED ALWAYS AS (((setweight(to_tsvector('english'::regconfig, COALESCE(title, ''::text)), 'A'::"char") || setweight(to_tsvector('english'::regconfig, COALESCE(description, ''::text)), 'B'::"char")) || setweight(to_tsvector('english'::regconfig, COALESCE(ai_visual_description, ''::text)), 'C'::"char"))) STORED,
    clip_source_type text,
    clip_source_url text,
    has_burned_captions boolean DEFAULT false,
    openclaw_catalog_id text,
    PRIMARY KEY (id),
    CHECK (source_type IN ('upload', 'gdrive', 'api', 'import')),
    CHECK (clip_source_type IN ('social', 'stock', 'gdrive', 'veo', 'kling', 'sora', 'inbound', 'recorded')),
    CHECK (asset_type IN ('image', 'video', 'audio', 'document')),
    CHECK (quality_variant IN ('master', 'full', 'web', 'thumbnail', 'proxy')),
    CHECK (rights_status IN ('active', 'pending', 'expired', 'revoked')),
    FOREIGN KEY (parent_asset_id) REFERENCES dam_assets(id) ON DELETE SET NULL
);

-- ensure trigger dam_assets_updated_at on dam_assets
CREATE TRIGGER dam_assets_updated_at BEFORE UPDATE ON dam_assets
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();

-- ensure table media_files
CREATE TABLE media_files (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    source text NOT NULL CHECK (source IN ('project_file', 'dam_asset')),
    source_id text NOT NULL,
    project_id text,
    creator_id text,
    state text NOT NULL DEFAULT 'received',
    tries integer NOT NULL DEFAULT 0,
    sha256 text,
    size_bytes bigint,
    detected_mime text,
    category text CHECK (category IN ('video', 'image', 'document', 'audio', 'archive')),
    type_mismatch boolean NOT NULL DEFAULT false,
    storage_key text,
    width integer,
    height integer,
    duration_ms bigint,
    page_count integer,
    exif jsonb,
    thumbnails jsonb NOT NULL DEFAULT '{}',
    duplicate_of uuid,
    mux jsonb NOT NULL DEFAULT '{}',
    dam_asset_id uuid,
    error_code text,
    finding text,
    processed_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (id)
);

-- ensure index ux_media_files_source_source_id
CREATE UNIQUE INDEX ux_media_files_source_source_id ON media_files (source, source_id);

-- ensure index ix_media_files_sha256
CREATE INDEX ix_media_files_sha256 ON media_files (sha256);

-- ensure index ix_media_files_state_updated_at
CREATE INDEX ix_media_files_state_updated_at ON media_files (state, updated_at);

-- ensure index ix_media_files_project_id
CREATE INDEX ix_media_files_project_id ON media_files (project_id);

-- ensure table video_transcripts
CREATE TABLE video_transcripts (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    video_id text NOT NULL REFERENCES videos(id) ON DELETE CASCADE,
    state text NOT NULL CHECK (state IN ('sending', 'unknown', 'processing', 'completed', 'failed')),
    vendor_id text UNIQUE,
    audio_path text NOT NULL,
    language text,
    minutes numeric(8,2),
    confidence numeric(5,4),
    error_code text,
    polls integer NOT NULL DEFAULT 0,
    requested_at timestamptz NOT NULL,
    completed_at timestamptz,
    PRIMARY KEY (id)
);

-- ensure index ux_video_transcripts_video_id_3dba
CREATE UNIQUE INDEX ux_video_transcripts_video_id_3dba ON video_transcripts (video_id) WHERE state in ('sending','unknown','processing');

-- ensure index ix_video_transcripts_requested_at
CREATE INDEX ix_video_transcripts_requested_at ON video_transcripts (requested_at);
