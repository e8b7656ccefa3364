"""Whether a mail may be sent, and when. The first check that holds decides:

    suppressed, unsubscribed       the address is held back (suppressions)
    opted_out                      the creator's own switch; not for mandatory mails
    notification_disabled          the tenant switched the notification type off; not for category account
    routing_disabled               the tenant switched the key's routing off; not for category account
    creator_inactive               the relation has ended: only account and payment
    creator_paused                 it rests: only account, payment, contract and message
    quiet hours, daily caps        not now; not for mandatory mails

All of it is read when the mail is to go, never only when it is queued.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from shared.jobs.context import Row, Session
from shared.mail.categories import WHILE_INACTIVE, WHILE_PAUSED, switch_of
from shared.mail.suppressions import held_back, live
from shared.time import day_bounds, local_date, local_instant, quiet_until, zone_named

RECIPIENT_DAILY_CAP = 3
"""Mails that are not mandatory, per address and tenant-local day."""
TENANT_DAILY_CAP = 500
"""Mails of all kinds, per tenant and tenant-local day, unless the tenant set another number."""
RESUME_AT = time(9, 0)
"""Local hour of the next day at which what a cap held back goes on."""

_log = logging.getLogger(__name__)

FACTS = """
-- mail: switches of the creator and of the tenant, the creator's state, the tenant's quiet hours and cap
SELECT to_jsonb(switches) AS switches, c.status::text AS creator_status, n.is_enabled AS kind_enabled,
       n.email_enabled, r.is_enabled AS routing_enabled, s.quiet_hours_enabled, s.quiet_hours_start,
       s.quiet_hours_end, s.quiet_hours_timezone, s.max_emails_per_day, s.unsubscribe_footer_enabled, s.unsubscribe_url
FROM (VALUES (1)) one
LEFT JOIN creators c ON c.id = %(creator_id)s
LEFT JOIN LATERAL (
    -- By id; by address for creators of older days. Both by an index: this table is all brands' together.
    SELECT p.id FROM public.creators p
    WHERE p.id = CASE WHEN c.id ~ '^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$' THEN c.id::uuid END
       OR p.email IN (c.email, lower(c.email))
    ORDER BY p.id::text = c.id DESC LIMIT 1
) identity ON true
LEFT JOIN public.creator_notification_settings switches ON switches.creator_id = identity.id
LEFT JOIN creator_notification_settings n ON n.notification_type = %(kind)s
LEFT JOIN tenant_notification_routing r ON r.notification_type = %(key)s
LEFT JOIN LATERAL (SELECT * FROM creator_communication_settings t ORDER BY t.created_at, t.id LIMIT 1) s ON true
"""

SENT_TODAY = """
-- mail: mails of the tenant's day, of all and of one address
SELECT count(*)::int AS tenant,
       count(*) FILTER (WHERE recipient_hash = %(hash)s AND NOT mandatory)::int AS recipient
FROM mail_messages WHERE sent_at >= %(start)s AND sent_at < %(end)s
"""


@dataclass(frozen=True, slots=True)
class Asked:
    """A mail as far as the checks look at it."""

    template_key: str
    notification_type: str | None
    category: str
    mandatory: bool
    address_hash: str
    creator_id: str | None


@dataclass(frozen=True, slots=True)
class Passed:
    """It may go now. The rest of what was read: whether it gets a footer, and the tenant's page for unsubscribing."""

    footer: bool = True
    unsubscribe_page: str | None = None


@dataclass(frozen=True, slots=True)
class Skip:
    """Never to be sent."""

    reason: str


@dataclass(frozen=True, slots=True)
class Hold:
    """Not before `until` (UTC)."""

    until: datetime


def check(session: Session, mail: Asked, *, zone: ZoneInfo, now: datetime) -> Passed | Skip | Hold:
    """Judge a mail whose address is valid."""
    suppressions = live(session, mail.address_hash, mail.category, now=now)
    held = held_back(suppressions, mail.category, mandatory=mail.mandatory)
    if held is not None:
        return Skip(held)
    params = {"creator_id": mail.creator_id, "kind": mail.notification_type, "key": mail.template_key}
    facts = session.one(FACTS, params) or {}
    reason = switched_off(mail, facts)
    if reason is not None:
        return Skip(reason)
    if not mail.mandatory:
        until = quiet(facts, now) or _capped(session, mail, facts, zone, now)
        if until is not None:
            return Hold(until)
    return Passed(facts.get("unsubscribe_footer_enabled") is not False, facts.get("unsubscribe_url"))


def switched_off(mail: Asked, facts: Row) -> str | None:
    """The reason for which the creator's or the tenant's switches, or the creator's state, let the mail not pass."""
    switch = switch_of(mail.template_key, mail.category)
    switches: dict[str, Any] = facts.get("switches") or {}
    if mail.creator_id is not None and not mail.mandatory and switch is not None and switches.get(switch) is False:
        return "opted_out"
    if mail.category != "account":
        if facts.get("kind_enabled") is False or facts.get("email_enabled") is False:
            return "notification_disabled"
        if facts.get("routing_enabled") is False:
            return "routing_disabled"
    status = facts.get("creator_status")
    if status in ("terminated", "inactive") and mail.category not in WHILE_INACTIVE:
        return "creator_inactive"
    if status == "paused" and mail.category not in WHILE_PAUSED:
        return "creator_paused"
    return None


def quiet(facts: Row, now: datetime) -> datetime | None:
    """The end of the tenant's quiet hours that `now` falls into, None outside them or when there are none."""
    start, end = facts.get("quiet_hours_start"), facts.get("quiet_hours_end")
    if not facts.get("quiet_hours_enabled") or start is None or end is None:
        return None
    zone = _quiet_zone(facts.get("quiet_hours_timezone") or "")
    if zone is None:
        return None
    until = quiet_until(now, start, end, zone)
    # In the hour that comes twice the end may lie behind us already: then the night is over.
    return until if until is not None and until > now else None


@lru_cache(maxsize=256)
def _quiet_zone(name: str) -> ZoneInfo | None:
    """The zone by its name; an unknown one is logged when it is first met."""
    zone = zone_named(name)
    if zone is None:
        _log.warning("the zone %r of the quiet hours is not known; they are passed over", name[:60])
    return zone


def _capped(session: Session, mail: Asked, facts: Row, zone: ZoneInfo, now: datetime) -> datetime | None:
    """When a mail goes on that finds the tenant or its address at the day's cap."""
    today = local_date(now, zone)
    start, end = day_bounds(today, zone)
    sent = session.one(SENT_TODAY, {"hash": mail.address_hash, "start": start, "end": end}) or {}
    cap = facts.get("max_emails_per_day")
    if sent["tenant"] < (TENANT_DAILY_CAP if cap is None else cap) and sent["recipient"] < RECIPIENT_DAILY_CAP:
        return None
    return local_instant(today + timedelta(days=1), RESUME_AT, zone)
