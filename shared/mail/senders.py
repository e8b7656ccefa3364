"""Who a mail comes from: the first address that is usable, and the credentials of the tenant's Resend account.

Usable is an address whose domain the tenant has verified (tenant_email_domains) or Resend lists as verified
(tenant_resend_config.verified_domains). In this order: the template's, the one routed to the key, the default of the
category's purpose, any default, the communication settings', the Resend settings'.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from shared.jobs.context import Session
from shared.mail.addresses import domain_of, is_address, split_sender, written
from shared.mail.registry import Template

SENDERS = """
-- mail: credentials, sender addresses and verified domains of the tenant
SELECT c.api_key_encrypted, c.is_active, c.default_from_email, c.default_from_name,
       c.default_reply_to, c.verified_domains, s.default_from_address, s.default_reply_to AS settings_reply_to,
       (SELECT r.sender_address_id::text FROM tenant_notification_routing r WHERE r.notification_type = %(key)s)
           AS routed_id,
       (SELECT jsonb_agg(jsonb_build_object('id', a.id, 'address', a.email_address, 'name', a.display_name,
                   'purpose', a.purpose, 'default', COALESCE(a.is_default, false), 'reply_to', a.reply_to_address)
                   ORDER BY a.created_at, a.id)
          FROM tenant_sender_addresses a
         WHERE a.is_default OR a.id = %(sender_id)s::uuid
            OR a.id IN (SELECT r.sender_address_id FROM tenant_notification_routing r
                         WHERE r.notification_type = %(key)s)) AS addresses,
       (SELECT jsonb_agg(lower(CASE WHEN d.subdomain <> '' THEN d.subdomain || '.' || d.domain ELSE d.domain END))
          FROM tenant_email_domains d WHERE d.verification_status = 'verified') AS domains
FROM (VALUES (1)) one
LEFT JOIN LATERAL (
    SELECT * FROM tenant_resend_config t ORDER BY t.tenant_id = %(slug)s DESC, t.created_at LIMIT 1
) c ON true
LEFT JOIN LATERAL (SELECT * FROM creator_communication_settings t ORDER BY t.created_at, t.id LIMIT 1) s ON true
"""

CREDENTIALS = """
-- mail: the tenant's key
SELECT api_key_encrypted, is_active FROM tenant_resend_config ORDER BY tenant_id = %(slug)s DESC, created_at LIMIT 1
"""

CONFIG_FAILED = """
-- mail: why the tenant's Resend account cannot be used
UPDATE tenant_resend_config SET last_error = %(code)s
WHERE id = (SELECT id FROM tenant_resend_config ORDER BY tenant_id = %(slug)s DESC, created_at LIMIT 1)
"""


@dataclass(frozen=True, slots=True)
class Account:
    """What is needed to send. `unusable`: why nothing can be sent, else None."""

    unusable: str | None
    sealed_key: str = field(default="", repr=False)
    sender: str = field(default="", repr=False)
    """As the header From holds it."""
    address: str = field(default="", repr=False)
    reply_to: str | None = field(default=None, repr=False)


def find_account(session: Session, slug: str, template: Template, purpose: str, brand: str) -> Account:
    """The tenant's account and the sender for a mail of `template`."""
    row = session.one(SENDERS, {"key": template.key, "sender_id": template.sender_id, "slug": slug}) or {}
    if (unusable := _refused(row)) is not None:
        return Account(unusable)
    usable = {*(row["domains"] or []), *_verified(row["verified_domains"])}
    for name, address, reply_to in _candidates(row, template, purpose):
        if domain_of(address) in usable:
            shown = template.sender_name or name or row["default_from_name"] or brand
            replies = (template.reply_to, reply_to, row["settings_reply_to"], row["default_reply_to"])
            answer_to = next((each for text in replies if (each := split_sender(text)[1])), None)
            return Account(None, row["api_key_encrypted"], written(shown, address), address, answer_to)
    return Account("no_sender")


def find_credentials(session: Session, slug: str) -> Account:
    """The account without a sender: for a mail whose sender stands already."""
    row = session.one(CREDENTIALS, {"slug": slug}) or {}
    unusable = _refused(row)
    return Account(unusable) if unusable is not None else Account(None, row["api_key_encrypted"])


def _refused(row: Mapping[str, Any]) -> str | None:
    if row.get("api_key_encrypted") is None:
        return "not_configured"
    return "inactive" if row["is_active"] is False else None


def _candidates(row: Mapping[str, Any], template: Template, purpose: str) -> Iterator[tuple[str, str, str | None]]:
    """(display name, address, reply address), the most wanted first."""
    listed: Sequence[Mapping[str, Any]] = row["addresses"] or []
    wanted = [
        *[a for a in listed if template.sender_id is not None and a["id"] == template.sender_id],
        *[a for a in listed if row["routed_id"] is not None and a["id"] == row["routed_id"]],
        *[a for a in listed if a["default"] and a["purpose"] == purpose],
        *[a for a in listed if a["default"]],
    ]
    name, address = split_sender(template.from_address)
    if address:
        yield name, address, None
    for each in wanted:
        if is_address(each["address"]):
            yield each["name"], each["address"], each["reply_to"]
    for text in (row["default_from_address"], row["default_from_email"]):
        name, address = split_sender(text)
        if address:
            yield name, address, None


def _verified(domains: Any) -> Iterator[str]:
    """Resend's verified domains, kept as names or as objects {name | domain, status}."""
    for entry in domains if isinstance(domains, list) else []:
        if isinstance(entry, str):
            yield entry.strip().lower()
        elif isinstance(entry, Mapping) and entry.get("status", "verified") == "verified":
            yield str(entry.get("name") or entry.get("domain") or "").strip().lower()
