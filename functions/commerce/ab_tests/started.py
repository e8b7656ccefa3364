"""A test that runs, for the first time or again: its times and split, what the storefront reads, a word to the team."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from psycopg.types.json import Jsonb

from functions.commerce.ab_tests.created import ADD_STATE, locked_test
from functions.commerce.ab_tests.rules import VARIANTS, Variant, by_test, short, split_of, start_problem
from functions.commerce.ab_tests.schedule import CLOSE_EPOCHS, OPEN_EPOCHS
from functions.commerce.ab_tests.storefront import Told, show_split
from functions.commerce.ab_tests.telling import COMPLETE, tell
from shared.events.ab_tests import AbTestStarted
from shared.events.base import Payload
from shared.jobs import JobContext, Permanent, Retry, Session, job
from shared.jobs.context import Row
from shared.jobs.queues import AB_TESTING
from shared.slack import escape


class AbTestStartedResult(Payload):
    """`epoch` is the number of the open split, 0 when the event was ignored before there was one."""

    outcome: Literal["started", "resumed", "ignored"]
    epoch: int
    redis: Told = "not_configured"
    slack: bool = False


STANDING = """
-- A/B starts: what is known of a test, its row being locked
SELECT t.started_at, t.traffic_override_variant_id AS override, s.last_status, s.status_seq,
       s.updated_at AS known_at, s.results ->> 'neededPerArm' AS needed, e.shares, e.epoch AS open_epoch,
       COALESCE((SELECT max(epoch) FROM ab_allocation_epochs x WHERE x.test_id = t.id), 0) AS last_epoch
FROM ab_tests t
JOIN ab_test_state s ON s.test_id = t.id
LEFT JOIN ab_allocation_epochs e ON e.test_id = t.id AND e.ended_at IS NULL
WHERE t.id = %(test_id)s
FOR UPDATE OF s
"""

RUN = """
-- A/B starts: the test runs
UPDATE ab_tests SET status = 'running', started_at = COALESCE(started_at, %(at)s)
WHERE id = %(test_id)s AND (status <> 'running' OR started_at IS NULL)
"""

KNOW = """
-- A/B starts: the start is known, so that nobody announces it again
UPDATE ab_test_state
SET last_status = 'running', status_seq = status_seq + CASE WHEN last_status = 'running' THEN 0 ELSE 1 END,
    paused_reason = NULL, updated_at = %(now)s
WHERE test_id = %(test_id)s AND (last_status IS DISTINCT FROM 'running' OR paused_reason IS NOT NULL)
RETURNING status_seq
"""


@dataclass(frozen=True, slots=True)
class Started:
    """What stands after the start. `seq` numbers the published changes of status."""

    test: Row
    variants: list[Variant]
    shares: dict[str, int]
    epoch: int
    seq: int
    needed: str | None


@job(
    "ab-handle-test-started",
    on=AbTestStarted,
    queue=AB_TESTING,
    retry=Retry(attempts=3, factor=2, min_s=2, max_s=30),
    timeout_s=30,
    key=lambda p, m: f"{p.test_id}:{p.at.isoformat()}" if p.at else m.id,
)
def handle_test_started(ctx: JobContext, payload: AbTestStarted) -> AbTestStartedResult:
    """Make the start complete.

    Transient TEST_NOT_VISIBLE twice, then permanent TEST_NOT_FOUND. Permanent INVALID_CONFIGURATION.
    """
    at = min(payload.at.astimezone(UTC) if payload.at else ctx.now(), ctx.now())
    with ctx.tenant_session() as session:
        test = locked_test(ctx, session, payload.test_id)
        session.execute(ADD_STATE, {"test_id": test["id"], "status": test["status"], "now": ctx.now()})
        standing = session.one(STANDING, {"test_id": test["id"]})
        assert standing is not None  # the row is there since ADD_STATE
        if _is_over(test, standing, payload):
            return AbTestStartedResult(outcome="ignored", epoch=standing["open_epoch"] or 0)
        done = _start(ctx, session, test, standing, at, resumed=payload.resumed)
    redis = show_split(ctx, test["id"], done.shares, done.epoch, begins=True)
    text = _text(done, resumed=payload.resumed)
    slack = tell(ctx, [COMPLETE], text, dedupe_key=f"ab-started:{test['id']}:{done.seq}")
    outcome: Literal["started", "resumed"] = "resumed" if payload.resumed else "started"
    return AbTestStartedResult(outcome=outcome, epoch=done.epoch, redis=redis, slack=slack)


def _is_over(test: Row, standing: Row, payload: AbTestStarted) -> bool:
    """Whether the news is older than what the test is now."""
    if test["status"] == "completed":
        return True
    if test["status"] != "paused":
        return False
    # Resumed, and paused again since (a guardrail): the pause stands.
    paused_later = payload.at is not None and standing["last_status"] == "paused" and standing["known_at"] > payload.at
    return not payload.resumed or paused_later


def _start(ctx: JobContext, session: Session, test: Row, standing: Row, at: datetime, *, resumed: bool) -> Started:
    variants = by_test(session.all(VARIANTS, {"ids": [test["id"]]})).get(test["id"], [])
    if test["status"] == "draft" and (problem := start_problem(test, variants, ctx.now())):
        raise Permanent("INVALID_CONFIGURATION", problem)
    session.execute(RUN, {"test_id": test["id"], "at": at})
    seq = session.value(KNOW, {"test_id": test["id"], "now": ctx.now()})
    split = split_of(variants, standing["override"])
    shares, epoch = _split(session, test["id"], standing, split, at, resumed=resumed)
    return Started(test, variants, shares, epoch, standing["status_seq"] if seq is None else seq, standing["needed"])


def _split(
    session: Session, test_id: str, standing: Row, split: dict[str, int], at: datetime, *, resumed: bool
) -> tuple[dict[str, int], int]:
    """The open split and its number: opened where there is none, or where a test comes back with another one."""
    if standing["open_epoch"] is not None and not (resumed and standing["shares"] != split):
        return standing["shares"], standing["open_epoch"]
    first = standing["last_epoch"] == 0
    begins = (standing["started_at"] or at) if first else at
    why = "override" if standing["override"] is not None else "started" if first else "resumed"
    session.execute(CLOSE_EPOCHS, {"ids": [test_id], "slot": begins})
    names = {"ids": [test_id], "epochs": [standing["last_epoch"] + 1], "starts": [begins], "reasons": [why]}
    session.execute(OPEN_EPOCHS, {**names, "shares": [Jsonb(split)]})
    return split, standing["last_epoch"] + 1


def _text(done: Started, *, resumed: bool) -> str:
    arms = ", ".join(f"{escape(short(v.name))} {done.shares.get(v.id, 0)} %" for v in done.variants)
    end = f"{done.test['end_at']:%Y-%m-%d %H:%M} UTC" if done.test["end_at"] else "not planned"
    return (
        f"A/B test *{escape(short(done.test['name']))}* {'runs again' if resumed else 'has started'}: {arms}. "
        f"Visitors needed per variant: {done.needed or 'unknown'}. Planned end: {end}"
    )
