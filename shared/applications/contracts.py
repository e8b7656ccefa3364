"""Documents that a new creator is to sign: what the tenant's workflows for creators on board send, once per creator.

Ids follow from workflow and creator, so a repeated run finds what an earlier one made. Only signers of the lowest order
are asked; the signing app asks the next ones.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from psycopg.types.json import Jsonb

from shared.applications.resolve import as_uuid
from shared.jobs.context import Row, Session

TOKEN_LENGTH = 21
"""URL-safe characters of a signer's access token."""

WORKFLOWS = """
-- applications: the workflows for new creators that have no live execution for this one
SELECT w.*, (SELECT count(*) FROM esign_workflow_executions x
             WHERE x.workflow_id = w.id AND x.context ->> 'creator_id' = %(creator)s)::int AS earlier
FROM esign_workflows w
WHERE w.trigger_type = 'creator_onboarding' AND w.status = 'active'
  AND NOT EXISTS (
      SELECT FROM esign_workflow_executions x
      WHERE x.workflow_id = w.id AND x.context ->> 'creator_id' = %(creator)s
        AND x.status NOT IN ('failed', 'cancelled')
  )
ORDER BY w.name, w.id
"""
TEMPLATES = """
-- applications: the templates of steps
SELECT id, name, file_url, status FROM esign_templates WHERE id = ANY(%(ids)s)
"""
INTERNAL = """
-- applications: who signs for the brand: whoever approved, else the earliest owner
SELECT u.id::text AS id, COALESCE(NULLIF(u.name, ''), u.email) AS name, u.email
FROM public.user_organizations m JOIN public.users u ON u.id = m.user_id
WHERE m.organization_id = current_setting('cgk.tenant_id')::uuid AND u.status = 'active'
  AND (u.id = %(by)s OR m.role = 'owner')
ORDER BY (u.id = %(by)s) DESC NULLS LAST, m.created_at, m.id LIMIT 1
"""
INSERT_EXECUTION = """
-- applications: a workflow begins for the creator
INSERT INTO esign_workflow_executions (id, workflow_id, current_step, status, context, document_ids, triggered_by,
                                       started_at)
VALUES (%(id)s, %(workflow)s, %(step)s, 'in_progress', %(context)s, %(documents)s, %(by)s, %(now)s)
ON CONFLICT (id) DO NOTHING
"""
INSERT_DOCUMENT = """
-- applications: the document of a workflow's first step
INSERT INTO esign_documents (id, template_id, creator_id, name, file_url, status, expires_at, reminder_enabled,
                             reminder_days, message, created_by)
VALUES (%(id)s, %(template)s, %(creator)s, %(name)s, %(file_url)s, 'pending', %(expires_at)s, %(reminder_enabled)s,
        %(reminder_days)s, %(message)s, %(by)s)
ON CONFLICT (id) DO NOTHING
"""
INSERT_SIGNERS = """
-- applications: who signs; those of the lowest order are asked now
INSERT INTO esign_signers (id, document_id, name, email, role, signing_order, status, access_token, is_internal,
                           sent_at)
SELECT s.id, %(document)s, s.name, s.email, s.role, s.signing_order, s.status, s.token, s.internal,
       CASE s.status WHEN 'sent' THEN %(now)s::timestamptz END
FROM unnest(%(ids)s::text[], %(names)s::text[], %(emails)s::text[], %(roles)s::text[], %(orders)s::int[],
            %(statuses)s::text[], %(tokens)s::text[], %(internals)s::bool[])
     AS s (id, name, email, role, signing_order, status, token, internal)
ON CONFLICT (id) DO NOTHING
"""
COPY_FIELDS = """
-- applications: the template's fields, each for the signer of its order
INSERT INTO esign_fields (id, document_id, signer_id, template_field_id, type, page, x, y, width, height, required,
                          placeholder, default_value, options, validation, group_id, formula, read_only)
SELECT 'fld_' || left(encode(sha256(convert_to(%(document)s || ':' || t.id, 'UTF8')), 'hex'), 12), %(document)s, s.id,
       t.id, t.type, t.page, t.x, t.y, t.width, t.height, t.required, t.placeholder, t.default_value, t.options,
       t.validation, t.group_id, t.formula, t.read_only
FROM esign_template_fields t
LEFT JOIN LATERAL (
    SELECT id FROM esign_signers WHERE document_id = %(document)s AND signing_order = COALESCE(t.signer_order, 1)
    ORDER BY id LIMIT 1
) s ON true
WHERE t.template_id = %(template)s
ON CONFLICT (id) DO NOTHING
"""
AUDIT = """
-- applications: the document was made and sent
INSERT INTO esign_audit_log (document_id, action, details, performed_by, created_at)
SELECT %(document)s, a.action, %(details)s, %(by)s, %(now)s FROM unnest(ARRAY['created', 'sent']) AS a (action)
"""
ASKED = """
-- applications: the creator's documents, and who of their signers has been asked and not signed
SELECT d.id AS document_id, d.name AS document_name, d.expires_at, d.message, s.id AS signer_id, s.name AS signer_name,
       s.email, s.access_token, s.is_internal
FROM esign_workflow_executions x
JOIN esign_workflows w ON w.id = x.workflow_id AND w.trigger_type = 'creator_onboarding'
CROSS JOIN jsonb_array_elements_text(x.document_ids) AS sent (document_id)
JOIN esign_documents d ON d.id = sent.document_id
LEFT JOIN esign_signers s ON s.document_id = d.id AND s.status = 'sent'
WHERE x.context ->> 'creator_id' = %(creator)s AND x.status = 'in_progress' AND x.started_at >= %(since)s
ORDER BY d.name, d.id, s.signing_order, s.id
"""

ContractState = Literal["none", "sent", "template_inactive"]


@dataclass(frozen=True, slots=True)
class Terms:
    """What a contract is about."""

    creator: Row = field(repr=False)
    application_id: str | None
    commission_rate: str
    discount_code: str | None
    triggered_by: str


@dataclass(frozen=True, slots=True)
class Started:
    """`state`: sent also when an earlier run of this approval sent them; `inactive`: workflows that could not begin."""

    state: ContractState
    inactive: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Signer:
    id: str
    name: str = field(repr=False)
    email: str = field(repr=False)
    role: str
    order: int
    internal: bool


def start(session: Session, terms: Terms, now: datetime) -> Started:
    """Begin every workflow for new creators that this one has no live execution of."""
    workflows = session.all(WORKFLOWS, {"creator": terms.creator["id"]})
    steps = {w["id"]: _first_step(w["steps"]) for w in workflows}
    ids = sorted({id for first in steps.values() if (id := _template_of(first))})
    templates = {row["id"]: row for row in session.all(TEMPLATES, {"ids": ids})}
    internal = session.one(INTERNAL, {"by": as_uuid(terms.triggered_by)})
    inactive: list[str] = []
    for workflow in workflows:  # a tenant has one or two
        step = steps[workflow["id"]]
        template = templates.get(_template_of(step) or "")
        if step is None or template is None or template["status"] != "active":
            inactive.append(workflow["id"])
            continue
        _begin(session, workflow, step, template, internal, terms, now)
    begun = len(workflows) > len(inactive)
    return Started("sent" if begun else "template_inactive" if inactive else "none", tuple(inactive))


def asked(session: Session, creator_id: str, since: datetime) -> list[Row]:
    """Documents of workflows begun since then, one row per signer who was asked; signer_id None: nobody yet."""
    return session.all(ASKED, {"creator": creator_id, "since": since})


def _first_step(steps: Any) -> dict[str, Any] | None:
    known = [step for step in steps if isinstance(step, dict)] if isinstance(steps, list) else []
    return min(known, key=lambda step: int(step.get("order") or 0), default=None)


def _template_of(step: dict[str, Any] | None) -> str | None:
    found = step and (step.get("templateId") or step.get("template_id"))
    return str(found) if found else None


def short_id(prefix: str, *parts: object) -> str:
    """`<prefix>_` and 12 hex digits of the parts' SHA-256."""
    return f"{prefix}_{hashlib.sha256(':'.join(map(str, parts)).encode()).hexdigest()[:12]}"


def _begin(
    session: Session,
    workflow: Row,
    step: dict[str, Any],
    template: Row,
    internal: Row | None,
    terms: Terms,
    now: datetime,
) -> None:
    creator = terms.creator
    who = f"{creator['first_name']} {creator['last_name']}".strip()
    hashed = hashlib.sha256(f"{workflow['id']}{creator['id']}{workflow['earlier']}".encode()).hexdigest()[:12]
    execution, document = f"wfx_{hashed}", f"doc_{hashed}"
    context = {
        "creator_id": creator["id"],
        "creator_name": who,
        "application_id": terms.application_id,
        "commission_rate": terms.commission_rate,
        "discount_code": terms.discount_code,
    }
    days = workflow["default_expires_days"]
    params = {
        "workflow": workflow["id"],
        "step": int(step.get("order") or 1),
        "context": Jsonb(context),
        "documents": Jsonb([document]),
        "by": terms.triggered_by,
        "now": now,
        "template": template["id"],
        "creator": creator["id"],
        "name": f"{template['name']} - {who}"[:255],
        "file_url": template["file_url"],
        "expires_at": now + timedelta(days=days) if days else None,
        "reminder_enabled": workflow["reminder_enabled"],
        "reminder_days": workflow["reminder_days"],
        "message": workflow["default_message"],
        "document": document,
        "details": Jsonb({"workflowId": workflow["id"], "executionId": execution}),
    }
    session.execute(INSERT_EXECUTION, {**params, "id": execution})
    session.execute(INSERT_DOCUMENT, {**params, "id": document})
    signers = _signers(step, document, creator, who, internal)
    session.execute(INSERT_SIGNERS, {"document": document, "now": now, **_columns(signers)})
    session.execute(COPY_FIELDS, params)
    session.execute(AUDIT, params)


def _signers(step: dict[str, Any], document: str, creator: Row, who: str, internal: Row | None) -> list[_Signer]:
    """The step's signers; without a list the creator alone. An internal one is left out where the brand has nobody."""
    listed = [each for each in step.get("signers") or () if isinstance(each, dict)] or [{"type": "creator", "order": 1}]
    made: list[_Signer] = []
    for number, each in enumerate(listed, 1):
        kind = str(each.get("type") or each.get("role") or "creator")
        ours = kind in ("internal", "admin", "brand", "company")
        person = internal if ours else {"name": who, "email": creator["email"]}
        if person is None:
            continue
        role = str(each.get("signerRole") or "signer")
        order = int(each.get("order") or each.get("signingOrder") or number)
        made.append(
            _Signer(
                short_id("sgn", document, number),
                person["name"][:255],
                person["email"],
                role if role in ("signer", "cc", "viewer", "approver") else "signer",
                order,
                ours,
            )
        )
    return made


def _columns(signers: Sequence[_Signer]) -> dict[str, list[Any]]:
    first = min((signer.order for signer in signers), default=1)
    return {
        "ids": [s.id for s in signers],
        "names": [s.name for s in signers],
        "emails": [s.email for s in signers],
        "roles": [s.role for s in signers],
        "orders": [s.order for s in signers],
        "statuses": ["sent" if s.order == first else "pending" for s in signers],
        "tokens": [secrets.token_urlsafe(16)[:TOKEN_LENGTH] for _ in signers],
        "internals": [s.internal for s in signers],
    }
