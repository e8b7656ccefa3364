"""A creator's three rows: one identity for all brands, one membership per brand, one row in the brand's own schema.

The identity is made by a function of the database only (public.ensure_creator_identity); a tenant's session sees just
the identities that are members here. The tenant's row of a new creator has the identity's id.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from shared.applications.resolve import Subject, split_name
from shared.jobs.context import Row, Session

IDENTITY = "SELECT public.ensure_creator_identity(%(email)s, %(name)s, %(phone)s)"

MEMBERSHIP = """
-- applications: the creator's membership with the run's tenant
SELECT commission_percent, discount_code, status::text AS status FROM public.creator_brand_memberships
WHERE creator_id = %(identity)s AND organization_id = current_setting('cgk.tenant_id')::uuid
"""
JOIN = """
-- applications: the creator is a member; when he joined stays
INSERT INTO public.creator_brand_memberships (creator_id, organization_id, status, commission_percent, joined_at,
                                              created_at, updated_at)
VALUES (%(identity)s, current_setting('cgk.tenant_id')::uuid, 'active', %(percent)s, %(now)s, %(now)s, %(now)s)
ON CONFLICT (creator_id, organization_id) DO UPDATE
SET status = 'active', updated_at = EXCLUDED.updated_at,
    commission_percent = CASE WHEN %(set_rate)s THEN EXCLUDED.commission_percent
                              ELSE creator_brand_memberships.commission_percent END
"""
KEEP_CREATOR = """
-- applications: the tenant's row of an approved creator. A row of the same address keeps its id; who is active or
-- paused stays so; an existing rate gives way to an explicit one only
INSERT INTO creators AS c (id, email, phone, first_name, last_name, status, tier, commission_rate_pct, commission_type,
                           instagram_handle, tiktok_handle, youtube_handle, approved_at, reminder_count, created_at,
                           updated_at)
VALUES (%(id)s, %(email)s, %(phone)s, %(first)s, %(last)s, 'approved', COALESCE(%(tier)s::creator_tier, 'bronze'),
        %(percent)s, 'percentage', %(instagram)s, %(tiktok)s, %(youtube)s, %(now)s, 0, %(now)s, %(now)s)
ON CONFLICT (id) DO UPDATE SET
    status = CASE WHEN c.status IN ('active', 'paused') THEN c.status ELSE 'approved' END,
    tier = COALESCE(%(tier)s::creator_tier, c.tier),
    commission_rate_pct = CASE WHEN %(set_rate)s THEN EXCLUDED.commission_rate_pct ELSE c.commission_rate_pct END,
    commission_type = CASE WHEN %(set_rate)s THEN 'percentage' ELSE c.commission_type END,
    phone = COALESCE(c.phone, EXCLUDED.phone),
    instagram_handle = COALESCE(c.instagram_handle, EXCLUDED.instagram_handle),
    tiktok_handle = COALESCE(c.tiktok_handle, EXCLUDED.tiktok_handle),
    youtube_handle = COALESCE(c.youtube_handle, EXCLUDED.youtube_handle),
    approved_at = COALESCE(c.approved_at, EXCLUDED.approved_at),
    reminder_count = CASE WHEN c.approved_at IS NOT NULL AND c.status IN ('approved', 'active', 'paused')
                          THEN c.reminder_count ELSE 0 END,
    escalated_at = CASE WHEN c.approved_at IS NOT NULL AND c.status IN ('approved', 'active', 'paused')
                        THEN c.escalated_at END
RETURNING *
"""
APPROVED_APPLICATION = """
-- applications: the application is approved; a note is appended once
UPDATE creator_applications
SET status = 'approved', reviewed_by = %(by)s, reviewed_at = COALESCE(reviewed_at, %(now)s), creator_id = %(creator)s,
    rejection_reason = NULL,
    internal_notes = CASE
        WHEN %(notes)s::text IS NULL OR position(%(notes)s::text IN COALESCE(internal_notes, '')) > 0
        THEN internal_notes
        ELSE concat_ws(E'\\n', NULLIF(internal_notes, ''), %(notes)s::text) END
WHERE id = %(id)s
"""


@dataclass(frozen=True, slots=True)
class Person:
    """What an identity is made of."""

    email: str
    name: str
    phone: str | None
    instagram: str | None = None
    tiktok: str | None = None
    youtube: str | None = None

    def __repr__(self) -> str:
        return "Person(...)"


def person_of(subject: Subject) -> Person:
    """The person as the application, else the creator, else the identity tells it."""
    if (row := subject.application) is not None:
        return Person(
            row["email"].strip().lower(), row["name"], row["phone"], row["instagram"], row["tiktok"], row["youtube"]
        )
    if (row := subject.creator) is not None:
        return Person(row["email"].strip().lower(), f"{row['first_name']} {row['last_name']}".strip(), row["phone"])
    row = subject.identity
    assert row is not None
    return Person(row["email"], row["name"], row["phone"])


def ensure_identity(session: Session, person: Person) -> str:
    """Id of the person's identity, made when there is none."""
    return str(session.value(IDENTITY, {"email": person.email, "name": person.name, "phone": person.phone}))


def membership(session: Session, identity_id: str) -> Row | None:
    """commission_percent, discount_code and status of the membership, None when there is none."""
    return session.one(MEMBERSHIP, {"identity": identity_id})


def approve(
    session: Session,
    subject: Subject,
    *,
    identity_id: str,
    percent: Decimal,
    set_rate: bool,
    tier: str | None,
    now: datetime,
) -> Row:
    """Membership and the tenant's row, as they are for an approved creator; the row.

    `set_rate`: write `percent` over a rate that is there already.
    """
    person = person_of(subject)
    first, last = split_name(person.name)
    new = subject.creator is None
    params = {
        "identity": identity_id,
        "id": identity_id if subject.creator is None else subject.creator["id"],
        "email": person.email,
        "phone": person.phone,
        "first": first,
        "last": last,
        "tier": tier,
        "percent": percent,
        "set_rate": set_rate or new,
        "instagram": person.instagram,
        "tiktok": person.tiktok,
        "youtube": person.youtube,
        "now": now,
    }
    session.execute(JOIN, params)
    row = session.one(KEEP_CREATOR, params)
    assert row is not None
    return row


def approve_application(
    session: Session, application_id: str, *, creator_id: str, by: str, notes: str | None, now: datetime
) -> None:
    """The application's row, as it is once it is approved."""
    params = {"id": application_id, "creator": creator_id, "by": by, "notes": notes, "now": now}
    session.execute(APPROVED_APPLICATION, params)
