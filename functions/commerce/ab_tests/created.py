"""A new test: its state row, an equal split where none was given, a word to the team."""

from __future__ import annotations

from psycopg.types.json import Jsonb

from functions.commerce.ab_tests.rules import (
    INVALID_CONFIGURATION,
    VARIANTS,
    Variant,
    by_test,
    equal_split,
    short,
    start_problem,
    with_mark,
)
from functions.commerce.ab_tests.telling import SUMMARY, tell
from shared.events.ab_tests import AbTestCreated
from shared.events.base import Payload
from shared.jobs import JobContext, Permanent, Retry, Session, Transient, job
from shared.jobs.context import Row
from shared.jobs.queues import AB_TESTING
from shared.slack import escape

PATIENCE = 2
"""Attempts for which an unknown test may still be on its way: applications publish before they commit."""


class AbTestCreatedResult(Payload):
    """`initialized`: the state row is new. `valid`: the test could start as it is."""

    initialized: bool
    shares_set: bool
    valid: bool
    slack: bool


LOCK_TEST = """
-- A/B tests: one test, held; visitors may be recorded meanwhile
SELECT t.id, t.name, t.status, t.base_url,
       CASE WHEN 'shipping' IN (t.type, t.test_type) THEN 'shipping' ELSE COALESCE(t.test_type, t.type) END AS kind,
       COALESCE(t.scheduled_start_at, t.start_date) AS start_at, COALESCE(t.scheduled_end_at, t.end_date) AS end_at
FROM ab_tests t WHERE t.id = %(test_id)s FOR NO KEY UPDATE
"""

ADD_STATE = """
-- A/B tests: the state of a test that has none
INSERT INTO ab_test_state (test_id, last_status, created_at, updated_at)
VALUES (%(test_id)s, %(status)s, %(now)s, %(now)s)
ON CONFLICT (test_id) DO NOTHING
"""

STATE = """
-- A/B tests: what is marked on a test
SELECT needs_attention FROM ab_test_state WHERE test_id = %(test_id)s FOR UPDATE
"""

KEEP_STATE = """
-- A/B tests: what a new test lacks, and how many variants were announced
UPDATE ab_test_state
SET needs_attention = %(marks)s::text[], results = results || %(results)s, updated_at = %(now)s
WHERE test_id = %(test_id)s
"""

SET_SHARES = """
-- A/B tests: shares of variants, in both columns
UPDATE ab_variants v SET traffic_allocation = s.share, weight = s.share
FROM unnest(%(ids)s::text[], %(shares)s::integer[]) AS s (id, share) WHERE v.id = s.id
"""


@job(
    "ab-handle-test-created",
    on=AbTestCreated,
    queue=AB_TESTING,
    retry=Retry(attempts=3, factor=2, min_s=2, max_s=30),
    timeout_s=30,
    key=lambda p, m: p.test_id,
)
def handle_test_created(ctx: JobContext, payload: AbTestCreated) -> AbTestCreatedResult:
    """Prepare a new test. Transient TEST_NOT_VISIBLE twice, then permanent TEST_NOT_FOUND."""
    with ctx.tenant_session() as session:
        test = locked_test(ctx, session, payload.test_id)
        names = {"test_id": test["id"], "status": test["status"], "now": ctx.now()}
        initialized = session.execute(ADD_STATE, names) == 1
        variants = by_test(session.all(VARIANTS, {"ids": [test["id"]]})).get(test["id"], [])
        split = equal_split(variants)
        if split is not None:
            session.execute(SET_SHARES, {"ids": list(split), "shares": list(split.values())})
            variants = by_test(session.all(VARIANTS, {"ids": [test["id"]]}))[test["id"]]
        valid = start_problem(test, variants, ctx.now()) is None
        _keep(ctx, session, test, valid=valid, announced=payload.variants, found=len(variants))
    slack = tell(ctx, [SUMMARY], _text(test, variants), dedupe_key=f"ab-created:{test['id']}")
    return AbTestCreatedResult(initialized=initialized, shares_set=split is not None, valid=valid, slack=slack)


def locked_test(ctx: JobContext, session: Session, test_id: str) -> Row:
    """The row of LOCK_TEST. Transient TEST_NOT_VISIBLE at first, then permanent TEST_NOT_FOUND."""
    test = session.one(LOCK_TEST, {"test_id": test_id})
    if test is not None:
        return test
    if ctx.attempt <= PATIENCE:
        raise Transient("TEST_NOT_VISIBLE", "the test is not there yet")
    raise Permanent("TEST_NOT_FOUND", "no test has this id")


def _keep(ctx: JobContext, session: Session, test: Row, *, valid: bool, announced: int, found: int) -> None:
    state = session.one(STATE, {"test_id": test["id"]})
    assert state is not None  # the row is there since ADD_STATE
    params = {
        "test_id": test["id"],
        "marks": with_mark(state["needs_attention"], INVALID_CONFIGURATION, not valid),
        "results": Jsonb({"announcedVariants": announced} if found < announced else {}),
        "now": ctx.now(),
    }
    session.execute(KEEP_STATE, params)


def _text(test: Row, variants: list[Variant]) -> str:
    start = f"{test['start_at']:%Y-%m-%d %H:%M} UTC" if test["start_at"] else "not planned"
    return (
        f"New A/B test *{escape(short(test['name']))}* ({escape(short(test['kind']))}): "
        f"{len(variants)} variants, start: {start}"
    )
