"""Who a mail to a creator or applicant goes to, by reference.

<creators.id>                          a creator
application:<creator_applications.id>  somebody who has applied
draft:<creator_application_drafts.id>  somebody who began to
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from shared.jobs.context import Session

PEOPLE = """
-- mail: address and name of the people behind references
SELECT c.id AS reference, c.email,
       COALESCE(NULLIF(c.display_name, ''), concat_ws(' ', c.first_name, c.last_name)) AS name
FROM creators c WHERE c.id = ANY(%(references)s)
UNION ALL
SELECT 'application:' || a.id, a.email, a.name
FROM creator_applications a WHERE a.id = ANY(%(applications)s)
UNION ALL
SELECT 'draft:' || d.id, d.email,
       NULLIF(concat_ws(' ', d.draft_data ->> 'firstName', d.draft_data ->> 'lastName'), '')
FROM creator_application_drafts d WHERE d.id = ANY(%(drafts)s)
"""

APPLICATION, DRAFT = "application:", "draft:"


@dataclass(frozen=True, slots=True)
class Person:
    """An address and the name to greet by; None where the person gave none."""

    reference: str
    email: str = field(repr=False)
    name: str | None = field(repr=False)


def find_people(session: Session, references: Sequence[str]) -> dict[str, Person]:
    """The people behind the references; who is not there is left out."""
    params = {
        "references": [r for r in references if not r.startswith((APPLICATION, DRAFT))],
        "applications": [r.removeprefix(APPLICATION) for r in references if r.startswith(APPLICATION)],
        "drafts": [r.removeprefix(DRAFT) for r in references if r.startswith(DRAFT)],
    }
    rows = session.all(PEOPLE, params)
    return {row["reference"]: Person(row["reference"], row["email"].strip(), row["name"]) for row in rows}


def address_of(session: Session, recipient_type: str, recipient_id: str | None) -> str | Literal["gone", "not_ours"]:
    """The present address of a creator or applicant; `not_ours` for recipients that other modules keep."""
    if recipient_id is None or recipient_type not in ("creator", "applicant"):
        return "not_ours"
    person = find_people(session, [recipient_id]).get(recipient_id)
    return person.email if person is not None else "gone"
