"""Puts mails to creators and applicants into their queue (creator_email_queue), each once per dedupe key.

The worker of that queue sends them by `mail`. A row's sequence number counts the mails of one person, because the
table asks for a unique one; it says nothing about an order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from psycopg.types.json import Jsonb

from shared.jobs.context import Row, Session
from shared.jobs.errors import Permanent
from shared.mail.categories import category, priority_of
from shared.mail.ledger import MAX_ATTEMPTS, checked_key
from shared.mail.people import Person, find_people
from shared.mail.templates import notification_type

LOCK = """
-- mail: one writer at a time per person, in one order, so that sequence numbers do not clash
SELECT pg_advisory_xact_lock(hashtextextended('ceq:' || creator_id, 0))
FROM (SELECT DISTINCT unnest(%(creators)s::text[]) AS creator_id ORDER BY 1) people
"""

DELAYS = """
-- mail: how long the tenant lets notification types wait
SELECT notification_type, delay_minutes FROM creator_notification_settings
WHERE notification_type = ANY(%(types)s) AND delay_minutes > 0
"""

INSERT = """
-- mail: the mails whose keys are new
WITH asked AS (
    SELECT * FROM unnest(%(position)s::int[], %(creator_id)s::text[], %(email)s::text[], %(name)s::text[],
        %(project_id)s::text[], %(project_title)s::text[], %(template_key)s::text[], %(category)s::text[],
        %(trigger)s::text[], %(scheduled_at)s::timestamptz[], %(metadata)s::jsonb[], %(dedupe_key)s::text[],
        %(priority)s::smallint[], %(sequence_id)s::text[])
        AS a(position, creator_id, email, name, project_id, project_title, template_key, category, trigger,
             scheduled_at, metadata, dedupe_key, priority, sequence_id)
), fresh AS (
    SELECT DISTINCT ON (a.dedupe_key) a.* FROM asked a
    WHERE NOT EXISTS (
        SELECT FROM creator_email_queue q WHERE q.tenant_id = %(slug)s AND q.dedupe_key = a.dedupe_key
    )
    ORDER BY a.dedupe_key, a.position
)
INSERT INTO creator_email_queue (tenant_id, creator_id, creator_email, creator_name, project_id, project_title,
    communication_type, template_type, status, trigger_event, scheduled_at, sequence_number, sequence_id, metadata,
    dedupe_key, priority, category, max_attempts, created_at, updated_at)
SELECT %(slug)s, f.creator_id, f.email, f.name, f.project_id, f.project_title, f.category, f.template_key,
    'scheduled', f.trigger, f.scheduled_at,
    (SELECT COALESCE(max(q.sequence_number), 0) FROM creator_email_queue q
      WHERE q.tenant_id = %(slug)s AND q.creator_id = f.creator_id)
    + row_number() OVER (PARTITION BY f.creator_id ORDER BY f.position),
    f.sequence_id, f.metadata, f.dedupe_key, f.priority, f.category, %(max_attempts)s, %(now)s, %(now)s
FROM fresh f
ON CONFLICT (tenant_id, dedupe_key) WHERE dedupe_key IS NOT NULL DO NOTHING
RETURNING id
"""

BY_KEYS = """
-- mail: the rows of the keys
SELECT id, dedupe_key, status, scheduled_at FROM creator_email_queue
WHERE tenant_id = %(slug)s AND dedupe_key = ANY(%(keys)s)
"""


@dataclass(frozen=True, slots=True)
class Letter:
    """A mail for the queue. `recipient`: creators.id, `application:<id>` or `draft:<id>`.

    `scheduled_for` None or past: now. `project`: (id, title).
    """

    recipient: str
    template_key: str
    category: str
    dedupe_key: str
    variables: Mapping[str, Any] = field(default_factory=dict, repr=False)
    priority: int | None = None
    scheduled_for: datetime | None = None
    project: tuple[str, str | None] | None = None
    sequence_id: str | None = None
    trigger: Literal["immediate", "manual"] = "immediate"
    source: str | None = None


@dataclass(frozen=True, slots=True)
class Queued:
    """A row of the queue; `deduplicated`: it was there before, and nothing of it was changed."""

    id: str
    status: str
    scheduled_at: datetime | None
    deduplicated: bool


def enqueue(session: Session, slug: str, letter: Letter, *, now: datetime) -> Queued:
    """Queue one mail. Raises Permanent CREATOR_NOT_FOUND, MAIL_CATEGORY_UNKNOWN, MAIL_KEY_INVALID."""
    queued = enqueue_many(session, slug, [letter], now=now)[0]
    if queued is None:
        raise Permanent("CREATOR_NOT_FOUND", "no creator, application or draft of this reference")
    return queued


def enqueue_many(session: Session, slug: str, letters: Sequence[Letter], *, now: datetime) -> list[Queued | None]:
    """Queue a group of mails with one statement; in their order, None for a recipient who does not exist.

    `slug`: the tenant's. Two letters of one key: the first is queued, both are answered with its row.
    """
    people = find_people(session, sorted({letter.recipient for letter in letters}))
    keys = [checked_key(letter.dedupe_key) for letter in letters]
    known = [position for position, letter in enumerate(letters) if letter.recipient in people]
    if not known:
        return [None] * len(letters)
    session.execute(LOCK, {"creators": [letters[position].recipient for position in known]})
    delays = _delays(session, letters)
    rows = [_row(letters[at], at, keys[at], people[letters[at].recipient], delays, now) for at in known]
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    made = session.all(INSERT, {**columns, "slug": slug, "max_attempts": MAX_ATTEMPTS, "now": now})
    fresh = {row["id"] for row in made}
    found = {row["dedupe_key"]: row for row in session.all(BY_KEYS, {"slug": slug, "keys": [keys[at] for at in known]})}
    answers: list[Queued | None] = [None] * len(letters)
    for at in known:
        row = found[keys[at]]
        answers[at] = Queued(row["id"], row["status"], row["scheduled_at"], row["id"] not in fresh)
        fresh.discard(row["id"])  # a second letter of the same key found the first one's row
    return answers


def _delays(session: Session, letters: Sequence[Letter]) -> dict[str, timedelta]:
    """Waiting time by template key."""
    types = {letter.template_key: notification_type(letter.template_key) for letter in letters}
    rows = session.all(DELAYS, {"types": sorted({kind for kind in types.values() if kind})})
    minutes = {row["notification_type"]: row["delay_minutes"] for row in rows}
    return {key: timedelta(minutes=minutes[kind]) for key, kind in types.items() if kind in minutes}


def _row(letter: Letter, at: int, key: str, person: Person, delays: Mapping[str, timedelta], now: datetime) -> Row:
    """Columns of a letter's row."""
    wanted = max(now, letter.scheduled_for) if letter.scheduled_for is not None else now
    scheduled_at = wanted + delays.get(letter.template_key, timedelta())
    project_id, project_title = letter.project or (None, None)
    priority = priority_of(letter.template_key, letter.category) if letter.priority is None else letter.priority
    metadata = {
        "variables": dict(letter.variables),
        "source": letter.source,
        "originalScheduledAt": scheduled_at.isoformat(),
    }
    return {
        "position": at,
        "creator_id": letter.recipient,
        "email": person.email,
        "name": person.name,
        "project_id": project_id,
        "project_title": project_title,
        "template_key": letter.template_key,
        "category": category(letter.category).name,
        "trigger": letter.trigger,
        "scheduled_at": scheduled_at,
        "metadata": Jsonb(metadata),
        "dedupe_key": key,
        "priority": priority,
        "sequence_id": letter.sequence_id,
    }
