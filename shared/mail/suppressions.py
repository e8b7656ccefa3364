"""Addresses that are not written to any more. They are kept as hashes; a scope is `all` or one category."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from shared.jobs.context import Row, Session
from shared.mail.addresses import hash_address
from shared.mail.categories import UNSUBSCRIBED_MAY_GET

Reason = Literal["hard_bounce", "soft_bounce", "complaint", "unsubscribe", "manual", "provider"]
ALL = "all"

LIVE = """
-- mail: what holds an address back, from everything or from one category
SELECT scope, reason FROM mail_suppressions
WHERE address_hash = %(hash)s AND scope = ANY(%(scopes)s)
  AND lifted_at IS NULL AND (expires_at IS NULL OR expires_at > %(now)s)
"""

SUPPRESS = """
-- mail: hold an address back; what holds for ever is not weakened, and an old event does not undo a lifting after it
WITH before AS (
    SELECT lifted_at IS NULL AND (expires_at IS NULL OR expires_at > %(at)s) AS live
    FROM mail_suppressions WHERE address_hash = %(hash)s AND scope = %(scope)s
    FOR UPDATE
), written AS (
    INSERT INTO mail_suppressions AS m
        (address_hash, scope, reason, source_message_id, expires_at, created_at, updated_at)
    SELECT %(hash)s, %(scope)s, %(reason)s, %(source)s::uuid, %(expires_at)s::timestamptz, %(now)s, %(now)s
    FROM (SELECT count(*) FROM before) looked_first  -- else `before` would be read after the row is changed
    WHERE true
    ON CONFLICT (address_hash, scope) DO UPDATE SET
        reason = EXCLUDED.reason, source_message_id = EXCLUDED.source_message_id, expires_at = EXCLUDED.expires_at,
        lifted_at = NULL, lifted_by = NULL, updated_at = EXCLUDED.updated_at
    WHERE (m.lifted_at IS NULL OR m.lifted_at < %(at)s)
      AND NOT (m.lifted_at IS NULL AND m.expires_at IS NULL)
      AND NOT COALESCE(m.lifted_at IS NULL AND m.expires_at >= %(expires_at)s::timestamptz, false)
    RETURNING 1
)
SELECT EXISTS (SELECT FROM written) AND NOT COALESCE((SELECT live FROM before), false)
"""


def suppress(
    session: Session,
    address_hash: str,
    reason: Reason,
    *,
    now: datetime,
    scope: str = ALL,
    at: datetime | None = None,
    expires_at: datetime | None = None,
    source_message_id: str | None = None,
) -> bool:
    """Hold an address back; whether it was not held back before. `at`: when it happened (default `now`)."""
    params = {
        "hash": address_hash,
        "scope": scope,
        "reason": reason,
        "source": source_message_id,
        "expires_at": expires_at,
        "at": at or now,
        "now": now,
    }
    return bool(session.value(SUPPRESS, params))


def is_suppressed(
    session: Session, address: str, category: str, *, now: datetime, mandatory: bool = False
) -> str | None:
    """Why an address gets no mail of a category: `suppressed:<reason>`, `unsubscribed`, or None."""
    return held_back(live(session, hash_address(address), category, now=now), category, mandatory=mandatory)


def live(session: Session, address_hash: str, category: str, *, now: datetime) -> list[Row]:
    """The suppressions of an address that count for a category: rows of scope and reason."""
    return session.all(LIVE, {"hash": address_hash, "scopes": [ALL, category], "now": now})


def held_back(rows: list[Row], category: str, *, mandatory: bool) -> str | None:
    """What live suppressions mean for a mail.

    Scope `all` holds everything back, except that someone who unsubscribed still gets what belongs to an account or a
    purchase. Scope of the category holds back what is not mandatory.
    """
    for row in rows:
        spared = row["reason"] == "unsubscribe" and category in UNSUBSCRIBED_MAY_GET
        if row["scope"] == ALL and not spared:
            return f"suppressed:{row['reason']}"
    if not mandatory and any(row["scope"] == category for row in rows):
        return "unsubscribed"
    return None
