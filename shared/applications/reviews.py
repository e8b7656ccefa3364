"""The row of a review: who waits for a decision, what was decided, and whether it has been carried out.

    awaiting   nobody has decided
    decided    a decision is stored; the workflow, or a job by itself, carries it out
    completed  it has been carried out
    expired    nobody decided in time, or what was decided could not be carried out: a later decision runs by itself

`task_token` is the name of the token that the waiting step holds (`ctx.task_token`); the kernel keeps the token itself.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from psycopg.types.json import Jsonb

from shared.jobs.context import Row, Session

WORKFLOW = "ApplicationReview"
"""Name of the state machine."""
Decision = Literal["approved", "rejected", "superseded"]
DECIDED_STATUSES = ("approved", "rejected")
"""Statuses of an application that the app may have set itself."""
_NAME = re.compile(r"[A-Za-z0-9_-]{1,80}")

OPEN = """
-- applications: the review of an application, made when there is none
INSERT INTO creator_application_reviews (application_id, requested_at, created_at, updated_at)
VALUES (%(id)s, %(now)s, %(now)s, %(now)s)
ON CONFLICT (application_id) DO NOTHING
"""
LOCK = """
-- applications: the review, locked until the session ends
SELECT * FROM creator_application_reviews WHERE application_id = %(id)s FOR UPDATE
"""
DECIDE = """
-- applications: a decision is stored
UPDATE creator_application_reviews
SET status = 'decided', decision = %(decision)s, decision_payload = %(payload)s, decided_by = %(by)s,
    decided_at = %(now)s, updated_at = %(now)s
WHERE application_id = %(id)s
"""
COMPLETE = """
-- applications: the decision has been carried out
UPDATE creator_application_reviews
SET status = 'completed', decision = %(decision)s, decided_by = COALESCE(decided_by, %(by)s),
    decided_at = COALESCE(decided_at, %(now)s), updated_at = %(now)s
WHERE application_id = %(id)s
"""
AWAIT = """
-- applications: a step waits for the decision
UPDATE creator_application_reviews SET task_token = %(token)s, segment = %(segment)s, updated_at = %(now)s
WHERE application_id = %(id)s
"""


def execution_name(slug: str, application_id: str) -> str:
    """Name of the one execution of an application's review.

    >>> execution_name("acme", "a1")
    'app-acme-a1'
    """
    plain = f"app-{slug}-{application_id}"
    if _NAME.fullmatch(plain):
        return plain
    return "app-" + hashlib.sha256(f"{slug}-{application_id}".encode()).hexdigest()[:60]


def open_review(session: Session, application_id: str, now: datetime) -> tuple[Row, bool]:
    """The review, locked, and whether it is new."""
    made = session.execute(OPEN, {"id": application_id, "now": now}) == 1
    row = session.one(LOCK, {"id": application_id})
    assert row is not None
    return row, made


def known_decision(review: Row, application: Row) -> Decision | None:
    """What was decided: by an event, or by the app in the application's own row."""
    if review["decision"] is not None:
        decision: Decision = review["decision"]
        return decision
    status = application["status"]
    if status == "rejected" and str(application["rejection_reason"] or "").startswith("superseded_by:"):
        return "superseded"
    return status if status in DECIDED_STATUSES else None


def decide(
    session: Session, application_id: str, decision: Decision, payload: Mapping[str, Any], *, by: str, now: datetime
) -> None:
    """Store a decision and its terms."""
    params = {"id": application_id, "decision": decision, "payload": Jsonb(dict(payload)), "by": by, "now": now}
    session.execute(DECIDE, params)


def complete(session: Session, application_id: str, decision: Decision, *, by: str, now: datetime) -> None:
    """The branch of `decision` has done its work."""
    session.execute(COMPLETE, {"id": application_id, "decision": decision, "by": by, "now": now})


def await_decision(session: Session, application_id: str, token: str, segment: int, now: datetime) -> None:
    """Remember the step that waits."""
    session.execute(AWAIT, {"id": application_id, "token": token, "segment": segment, "now": now})
