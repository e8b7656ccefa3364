-- Documents for signature: workflows that send them, templates, documents, signers, fields and what happened.

-- ensure table esign_workflows
CREATE TABLE esign_workflows (
    id text NOT NULL,
    name text NOT NULL,
    description text,
    trigger_type text NOT NULL,
    status text NOT NULL DEFAULT 'active',
    steps jsonb NOT NULL DEFAULT '[]',
    default_message text,
    default_expires_days integer,
    reminder_enabled boolean NOT NULL DEFAULT true,
    reminder_days integer NOT NULL DEFAULT 3,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (id),
    CHECK (status IN ('active', 'inactive', 'archived'))
);

-- ensure trigger update_esign_workflows_updated_at on esign_workflows
CREATE TRIGGER update_esign_workflows_updated_at BEFORE UPDATE ON esign_workflows
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();

-- ensure table esign_workflow_executions
CREATE TABLE esign_workflow_executions (
    id text NOT NULL,
    workflow_id text NOT NULL,
    current_step integer NOT NULL DEFAULT 1,
    status text NOT NULL DEFAULT 'pending',
    context jsonb NOT NULL DEFAULT '{}',
    document_ids jsonb NOT NULL DEFAULT '[]',
    triggered_by text NOT NULL,
    started_at timestamptz,
    completed_at timestamptz,
    error_message text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (id),
    FOREIGN KEY (workflow_id) REFERENCES esign_workflows(id)
);

-- ensure trigger update_esign_workflow_executions_updated_at on esign_workflow_executions
CREATE TRIGGER update_esign_workflow_executions_updated_at BEFORE UPDATE ON esign_workflow_executions
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();

-- ensure table esign_templates
CREATE TABLE esign_templates (
    id varchar(64) NOT NULL,
    name varchar(255) NOT NULL,
    description text,
    file_url text NOT NULL,
    file_size integer,
    page_count integer,
    thumbnail_url text,
    status varchar(20) DEFAULT 'draft',
    created_by varchar(255) NOT NULL,
    created_at timestamptz DEFAULT now(),
    updated_at timestamptz DEFAULT now(),
    PRIMARY KEY (id),
    CHECK (status IN ('draft', 'active', 'archived'))
);

-- ensure trigger esign_templates_updated_at on esign_templates
CREATE TRIGGER esign_templates_updated_at BEFORE UPDATE ON esign_templates
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();

-- ensure table esign_template_fields
CREATE TABLE esign_template_fields (
    id varchar(64) NOT NULL,
    template_id varchar(64) NOT NULL,
    type varchar(20) NOT NULL,
    page integer NOT NULL,
    x numeric(6,2) NOT NULL,
    y numeric(6,2) NOT NULL,
    width numeric(6,2) NOT NULL,
    height numeric(6,2) NOT NULL,
    required boolean DEFAULT true,
    placeholder text,
    default_value text,
    options jsonb,
    validation jsonb DEFAULT '{}',
    group_id varchar(64),
    formula text,
    read_only boolean DEFAULT false,
    signer_order integer DEFAULT 1,
    created_at timestamptz DEFAULT now(),
    PRIMARY KEY (id),
    CHECK (type IN ('signature', 'initial', 'date_signed', 'text', 'textarea', 'number', 'date', 'checkbox', 'checkbox_group', 'radio_group', 'dropdown', 'name', 'email', 'company', 'title', 'attachment', 'formula', 'note')),
    FOREIGN KEY (template_id) REFERENCES esign_templates(id) ON DELETE CASCADE
);

-- ensure table esign_documents
CREATE TABLE esign_documents (
    id varchar(64) NOT NULL,
    template_id varchar(64),
    creator_id varchar(64),
    name varchar(255) NOT NULL,
    file_url text NOT NULL,
    signed_file_url text,
    status varchar(20) DEFAULT 'draft',
    expires_at timestamptz,
    reminder_enabled boolean DEFAULT true,
    reminder_days integer DEFAULT 3,
    last_reminder_at timestamptz,
    message text,
    created_by varchar(255) NOT NULL,
    created_at timestamptz DEFAULT now(),
    updated_at timestamptz DEFAULT now(),
    completed_at timestamptz,
    PRIMARY KEY (id),
    CHECK (status IN ('draft', 'pending', 'in_progress', 'completed', 'declined', 'voided', 'expired')),
    FOREIGN KEY (template_id) REFERENCES esign_templates(id) ON DELETE SET NULL
);

-- ensure trigger esign_documents_updated_at on esign_documents
CREATE TRIGGER esign_documents_updated_at BEFORE UPDATE ON esign_documents
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();

-- ensure table esign_signers
CREATE TABLE esign_signers (
    id varchar(64) NOT NULL,
    document_id varchar(64) NOT NULL,
    name varchar(255) NOT NULL,
    email varchar(255) NOT NULL,
    role varchar(20) DEFAULT 'signer',
    signing_order integer DEFAULT 1,
    status varchar(20) DEFAULT 'pending',
    access_token varchar(64),
    is_internal boolean DEFAULT false,
    ip_address varchar(45),
    user_agent text,
    sent_at timestamptz,
    viewed_at timestamptz,
    signed_at timestamptz,
    declined_at timestamptz,
    decline_reason text,
    created_at timestamptz DEFAULT now(),
    PRIMARY KEY (id),
    CHECK (role IN ('signer', 'cc', 'viewer', 'approver')),
    CHECK (status IN ('pending', 'sent', 'viewed', 'signed', 'declined')),
    FOREIGN KEY (document_id) REFERENCES esign_documents(id) ON DELETE CASCADE
);

-- ensure table esign_fields
CREATE TABLE esign_fields (
    id varchar(64) NOT NULL,
    document_id varchar(64) NOT NULL,
    signer_id varchar(64),
    template_field_id varchar(64),
    type varchar(20) NOT NULL,
    page integer NOT NULL,
    x numeric(6,2) NOT NULL,
    y numeric(6,2) NOT NULL,
    width numeric(6,2) NOT NULL,
    height numeric(6,2) NOT NULL,
    required boolean DEFAULT true,
    placeholder text,
    default_value text,
    options jsonb,
    validation jsonb DEFAULT '{}',
    group_id varchar(64),
    formula text,
    read_only boolean DEFAULT false,
    value text,
    filled_at timestamptz,
    created_at timestamptz DEFAULT now(),
    PRIMARY KEY (id),
    CHECK (type IN ('signature', 'initial', 'date_signed', 'text', 'textarea', 'number', 'date', 'checkbox', 'checkbox_group', 'radio_group', 'dropdown', 'name', 'email', 'company', 'title', 'attachment', 'formula', 'note')),
    FOREIGN KEY (document_id) REFERENCES esign_documents(id) ON DELETE CASCADE,
    FOREIGN KEY (signer_id) REFERENCES esign_signers(id) ON DELETE SET NULL
);

-- ensure table esign_audit_log
CREATE TABLE esign_audit_log (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    document_id varchar(64) NOT NULL,
    signer_id varchar(64),
    action varchar(50) NOT NULL,
    details jsonb DEFAULT '{}',
    ip_address varchar(45),
    user_agent text,
    performed_by varchar(255),
    created_at timestamptz DEFAULT now(),
    PRIMARY KEY (id)
);
