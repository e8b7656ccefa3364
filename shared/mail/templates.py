"""Which template a mail is made of: what the tenant has, the built-in text otherwise.

In this order: another module's place for tenants' templates (registry.register_source); the template that the tenant
put at the notification type; creator_email_templates by slug (or id); email_templates by type and key, then by type
alone, the default and newest first; the built-in text. The first that is there decides, also when it is switched off.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from shared.jobs.context import Row, Session
from shared.jobs.errors import Permanent
from shared.mail.registry import Disabled, QueueRef, Template, built_in, source_of
from shared.mail.rendering import Texts

DISABLED: Disabled = "template_disabled"

TENANT_TEMPLATE = """
-- mail: the tenant's template of a key, the most particular one first
SELECT found.*
FROM (
    SELECT 1 AS rank, 0 AS place, t.subject, t.content_html AS html, t.content_text AS text, t.variables,
           t.from_address, NULL::uuid AS sender_id, NULL AS sender_name, t.reply_to, t.is_enabled
    FROM creator_notification_settings s
    JOIN creator_email_templates t ON t.id = s.template_id
    WHERE s.notification_type = %(type)s
    UNION ALL
    SELECT 2, 0, t.subject, t.content_html, t.content_text, t.variables,
           t.from_address, NULL, NULL, t.reply_to, t.is_enabled
    FROM creator_email_templates t
    WHERE t.slug = %(key)s OR t.id = %(id)s::uuid
    UNION ALL
    SELECT CASE e.template_key WHEN %(key)s THEN 3 ELSE 4 END,
           row_number() OVER (ORDER BY e.is_default DESC NULLS LAST, e.version DESC NULLS LAST, e.id),
           e.subject, e.body_html, e.body_text, NULL,
           e.sender_email, e.sender_address_id, e.sender_name, e.reply_to_email, e.is_active
    FROM email_templates e
    WHERE e.notification_type = %(key)s
) found
ORDER BY found.rank, found.place
LIMIT 1
"""

SUBJECT_OVERRIDE = """
-- mail: the subject that the tenant put at the notification type
SELECT subject_override FROM creator_notification_settings WHERE notification_type = %(type)s
"""

_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def find_template(session: Session, key: str, queue_ref: QueueRef | None = None) -> Template | Disabled:
    """The template of `key`, or that the tenant switched it off. Permanent TEMPLATE_NOT_FOUND."""
    default = built_in(key)
    kind = notification_type(key)
    source = source_of(key)
    found = source(session, key, queue_ref) if source is not None else None
    if found is None:
        params = {"key": key, "type": kind, "id": key if _UUID.fullmatch(key) else None}
        row = session.one(TENANT_TEMPLATE, params)
        found = _template(key, row, default) if row is not None else default
    if found is None:
        raise Permanent("TEMPLATE_NOT_FOUND", f"no template {key!r} of the tenant, and none is built in")
    if not isinstance(found, Template):
        return found
    subject = session.value(SUBJECT_OVERRIDE, {"type": kind}) if kind else None
    if subject and subject.strip():
        return replace(found, texts=replace(found.texts, subject=subject))
    return found


def notification_type(key: str) -> str | None:
    """The type under which the tenant switches the mails of `key`; the key itself for a key of the tenant's own."""
    default = built_in(key)
    return key if default is None else default.notification_type


def _template(key: str, row: Row, default: Template | None) -> Template | Disabled:
    if row["is_enabled"] is False:
        return DISABLED
    return Template(
        key,
        Texts(row["subject"], row["html"], row["text"]),
        required=_required(row["variables"]) | (default.required if default else frozenset()),
        category=default.category if default else None,
        notification_type=notification_type(key),
        from_address=row["from_address"],
        sender_id=str(row["sender_id"]) if row["sender_id"] else None,
        sender_name=row["sender_name"],
        reply_to=row["reply_to"],
    )


def _required(variables: Any) -> frozenset[str]:
    """Names of the entries {name | key, required: true} of a template's list of variables."""
    entries = variables if isinstance(variables, list) else []
    names = (
        str(entry.get("name") or entry.get("key") or "").strip("{} ")
        for entry in entries
        if isinstance(entry, Mapping) and entry.get("required") is True
    )
    return frozenset(name for name in names if name)
