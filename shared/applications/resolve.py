"""Which application and which creator an id means. Publishers name a creator by the portal's id, by the tenant's own,
or, before there is one, by the application's.

Application: the one given, else the newest of the creator, else the newest of the creator's address. Creator: the
tenant's row of the id, else of the application's address; else the portal's identity that is a member here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from shared.jobs.context import Row, Session
from shared.jobs.errors import Permanent

REFERENCE = "application:"
"""Prefix of an applicant's reference where a creator's id is expected."""
WORKING = ("approved", "active", "paused")
"""Statuses of a creator whose relation is under way."""

FIND_APPLICATION = """
-- applications: the application that an id means
SELECT a.* FROM creator_applications a
LEFT JOIN creators c ON c.id = %(creator)s
LEFT JOIN public.creators p ON p.id = %(identity)s
WHERE a.id = %(application)s OR a.id = %(creator)s OR a.creator_id = %(creator)s
   OR lower(a.email) IN (lower(c.email), lower(p.email))
ORDER BY (a.id = %(application)s) DESC NULLS LAST, (a.id = %(creator)s) DESC NULLS LAST,
         (a.creator_id = %(creator)s) DESC NULLS LAST, a.created_at DESC, a.id
LIMIT 1
"""

LOCK_APPLICATION = """
-- applications: one application, locked until the session ends
SELECT * FROM creator_applications WHERE id = %(id)s FOR UPDATE
"""

FIND_CREATOR = """
-- applications: the tenant's creator that an id, else an address means, locked until the session ends
SELECT c.* FROM creators c
WHERE c.id = ANY(%(ids)s)
   OR lower(c.email) = lower(%(email)s)
   OR lower(c.email) = (SELECT lower(p.email) FROM public.creators p WHERE p.id = %(identity)s)
ORDER BY (c.id = %(creator)s) DESC NULLS LAST, (c.id = ANY(%(ids)s)) DESC, c.created_at, c.id
LIMIT 1
FOR UPDATE OF c
"""

FIND_IDENTITY = """
-- applications: the portal's identity that is a member here
SELECT p.id, p.email, p.name, p.phone FROM public.creators p
WHERE p.id = %(identity)s OR lower(p.email) = lower(%(email)s)
ORDER BY (p.id = %(identity)s) DESC NULLS LAST LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class Subject:
    """Who is meant: rows of creator_applications, creators and public.creators, each None when there is none."""

    application: Row | None = field(repr=False)
    creator: Row | None = field(repr=False)
    identity: Row | None = field(repr=False)

    @property
    def application_id(self) -> str | None:
        return str(self.application["id"]) if self.application else None

    @property
    def creator_id(self) -> str | None:
        """creators.id of the tenant."""
        return str(self.creator["id"]) if self.creator else None

    @property
    def works(self) -> bool:
        """Whether the creator's relation is under way."""
        return self.creator is not None and self.creator["status"] in WORKING


def resolve(session: Session, *, creator_id: str | None, application_id: str | None) -> Subject:
    """The subject, its rows locked: application before creator. Raises Permanent CREATOR_NOT_FOUND."""
    creator_id, application_id = _references(creator_id, application_id)
    known = {"creator": creator_id, "application": application_id, "identity": as_uuid(creator_id)}
    found = session.one(FIND_APPLICATION, known)
    application = session.one(LOCK_APPLICATION, {"id": found["id"]}) if found else None
    email = application["email"] if application else None
    ids = [id for id in (creator_id, application and application["creator_id"]) if id]
    creator = session.one(FIND_CREATOR, {**known, "ids": ids, "email": email})
    identity = session.one(FIND_IDENTITY, {**known, "email": creator["email"] if creator else email})
    if application is None and creator is None and identity is None:
        raise Permanent("CREATOR_NOT_FOUND", "neither an application nor a creator of this id")
    return Subject(application, creator, identity)


def lock_application(session: Session, application_id: str) -> Row:
    """The application, locked. Raises Permanent APPLICATION_NOT_FOUND."""
    row = session.one(LOCK_APPLICATION, {"id": application_id.removeprefix(REFERENCE)})
    if row is None:
        raise Permanent("APPLICATION_NOT_FOUND", "no application of this id")
    return row


def _references(creator_id: str | None, application_id: str | None) -> tuple[str | None, str | None]:
    """`application:<id>` in the creator's place names the application."""
    if creator_id and creator_id.startswith(REFERENCE):
        return None, application_id or creator_id.removeprefix(REFERENCE)
    return creator_id, application_id


def as_uuid(text: str | None) -> str | None:
    """The text when it is a UUID: other ids cannot be compared with a column of that type."""
    from uuid import UUID

    try:
        return str(UUID(text)) if text else None
    except ValueError:
        return None


def split_name(name: str) -> tuple[str, str]:
    """First and last name, split at the first space; the last one is '' when there is none.

    >>> split_name("Jane van Doe"), split_name(" Jane ")
    (('Jane', 'van Doe'), ('Jane', ''))
    """
    first, _, last = name.strip().partition(" ")
    return first, last.strip()


def display_name(subject: Subject) -> str:
    """How the person is called, '' when nobody knows."""
    if subject.creator:
        row: dict[str, Any] = subject.creator
        return str(row["display_name"] or f"{row['first_name']} {row['last_name']}".strip())
    known = subject.application or subject.identity
    return str(known["name"]) if known else ""
