"""Consent by Shopify's own word: marketing mail (consent_records) and text messages (sms_consent).

An order or an account never implies consent, and nothing but Shopify's state moves it here. Every change of value of
marketing consent leaves one record; the caller knows what was before.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from shared.jobs.context import Session

RECORD_MARKETING = """
-- consent: marketing consent as customers gave or withdrew it at Shopify
INSERT INTO consent_records (customer_id, customer_email, consent_type, granted, source, created_at, revoked_at)
SELECT r.customer_id, r.email, 'marketing', r.granted, 'shopify', r.at, CASE WHEN NOT r.granted THEN r.at END
FROM jsonb_to_recordset(%(changes)s::jsonb) AS r (customer_id text, email text, granted boolean, at timestamptz)
ORDER BY r.customer_id
"""

# A word of ours that is newer than Shopify's stays. Between two words of Shopify the caller's mark decides, because
# the trigger stamps updated_at with the time of writing.
UPSERT_SMS = """
-- consent: text messages, as customers allowed or refused them at Shopify
INSERT INTO sms_consent AS s (phone, channel, action, source, opted_in, created_at, updated_at)
SELECT r.phone, 'sms', CASE WHEN r.opted_in THEN 'opt_in' ELSE 'opt_out' END, 'shopify', r.opted_in, r.at, r.at
FROM jsonb_to_recordset(%(changes)s::jsonb) AS r (phone text, opted_in boolean, at timestamptz)
ORDER BY r.phone
ON CONFLICT (phone, channel) DO UPDATE SET
    action = excluded.action, source = excluded.source, opted_in = excluded.opted_in, updated_at = excluded.updated_at
WHERE (s.source = 'shopify' OR s.updated_at <= excluded.updated_at)
  AND (s.action, s.opted_in) IS DISTINCT FROM (excluded.action, excluded.opted_in)
RETURNING s.phone
"""

OPTED_IN = {"SUBSCRIBED": True, "UNSUBSCRIBED": False, "REDACTED": False}
"""States that say something; PENDING and NOT_SUBSCRIBED change nothing."""


@dataclass(frozen=True, slots=True)
class MarketingChange:
    """The value that a customer's marketing consent changed to, and when."""

    customer_id: str
    email: str
    granted: bool
    at: datetime

    def __repr__(self) -> str:
        return f"MarketingChange({self.customer_id})"


@dataclass(frozen=True, slots=True)
class SmsChange:
    """A number's consent to text messages as Shopify has it since `at`."""

    phone: str
    opted_in: bool
    at: datetime

    def __repr__(self) -> str:
        return f"SmsChange({self.opted_in})"


def record_marketing(session: Session, changes: Sequence[MarketingChange]) -> int:
    """Append a record per change; how many."""
    if not changes:
        return 0
    rows = [
        {"customer_id": c.customer_id, "email": c.email, "granted": c.granted, "at": c.at.isoformat()} for c in changes
    ]
    return session.execute(RECORD_MARKETING, {"changes": json.dumps(rows)})


def apply_sms(session: Session, changes: Sequence[SmsChange]) -> set[str]:
    """Take over consent to text messages, the newest word of each number; the numbers whose consent changed."""
    newest: dict[str, SmsChange] = {}
    for change in changes:
        held = newest.get(change.phone)
        if held is None or change.at >= held.at:
            newest[change.phone] = change
    if not newest:
        return set()
    rows = [{"phone": c.phone, "opted_in": c.opted_in, "at": c.at.isoformat()} for c in newest.values()]
    return {row["phone"] for row in session.all(UPSERT_SMS, {"changes": json.dumps(rows)})}
