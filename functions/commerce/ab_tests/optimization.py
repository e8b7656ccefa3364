"""Every quarter of an hour: the guardrails of all running tests, and the bandit tests whose weights are due.

The new weights are computed by ab-optimize-test, one message per test: one bad test stops no other. A guardrail acts
once; it stays triggered until an administrator resets it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from functions.commerce.ab_tests.guardrails import PRIORITY, Action, Verdict, judge_guardrails
from functions.commerce.ab_tests.optimizing import REALLOCATION_INTERVAL
from functions.commerce.ab_tests.rules import VARIANTS, Variant, by_test, sent_slot, short
from functions.commerce.ab_tests.subjects import ALGORITHMS, Algorithm, hold
from shared.events.ab_tests import AbOptimize, AbOptimizeTest, AbTestEnded, AbTestPaused
from shared.events.alerts import AlertUnusualActivity
from shared.events.base import Event, Payload
from shared.jobs import Delivery, JobContext, Permanent, Retry, Session, job
from shared.jobs.context import Row
from shared.jobs.queues import AB_TESTING

PAGE = 50
"""Tests per transaction."""


class AbOptimizationResult(Payload):
    """`optimizations`: bandit tests whose weights are computed now; `skipped`: tests that were not to be touched."""

    tests: int = 0
    guardrails_judged: int = 0
    violations: int = 0
    paused: int = 0
    stopped: int = 0
    optimizations: int = 0
    skipped: int = 0


EXISTS = """
-- A/B optimization: the status of a test
SELECT status FROM ab_tests WHERE id = %(test_id)s
"""

PAGE_OF_IDS = """
-- A/B optimization: the next running tests
SELECT id FROM ab_tests
WHERE status = 'running' AND id > %(after)s AND (%(test_id)s::text IS NULL OR id = %(test_id)s)
ORDER BY id LIMIT %(page)s
"""

TESTS = """
-- A/B optimization: tests that are still running, read after they were locked
SELECT t.id, t.name, t.mode, COALESCE(t.settings, '{}') AS settings, t.traffic_override_variant_id AS override,
       s.decision, s.last_reallocated_at, s.status_seq
FROM ab_tests t JOIN ab_test_state s ON s.test_id = t.id
WHERE t.id = ANY(%(ids)s) AND t.status = 'running' ORDER BY t.id
"""

ACT_ON_TESTS = """
-- A/B optimization: pause or stop tests whose guardrail is violated
UPDATE ab_tests t
SET status = c.status,
    ended_at = CASE WHEN c.status = 'completed' THEN COALESCE(t.ended_at, %(slot)s) ELSE t.ended_at END,
    winner_variant_id = CASE WHEN c.status = 'completed' THEN NULL ELSE t.winner_variant_id END,
    winning_variant_id = CASE WHEN c.status = 'completed' THEN NULL ELSE t.winning_variant_id END,
    is_significant = CASE WHEN c.status = 'completed' THEN false ELSE t.is_significant END
FROM unnest(%(ids)s::text[], %(statuses)s::text[]) AS c (id, status)
WHERE t.id = c.id AND t.status = 'running'
"""

ACT_ON_STATES = """
-- A/B optimization: what was done to tests, known as told
UPDATE ab_test_state s
SET last_status = c.status, status_seq = s.status_seq + 1, updated_at = %(now)s,
    paused_reason = CASE WHEN c.status = 'paused' THEN 'guardrail' ELSE s.paused_reason END,
    ended_reason = CASE WHEN c.status = 'completed' THEN 'guardrail' ELSE s.ended_reason END
FROM unnest(%(ids)s::text[], %(statuses)s::text[]) AS c (id, status)
WHERE s.test_id = c.id
"""

MARK = """
-- A/B optimization: tests with a triggered guardrail want attention, others no longer
UPDATE ab_test_state s
SET needs_attention = CASE WHEN g.triggered
        THEN ARRAY(SELECT DISTINCT mark FROM unnest(s.needs_attention || 'guardrail'::text) AS u (mark) ORDER BY mark)
        ELSE array_remove(s.needs_attention, 'guardrail') END
FROM (SELECT t.id, EXISTS (SELECT FROM ab_guardrails x WHERE x.test_id = t.id AND x.is_triggered) AS triggered
      FROM unnest(%(ids)s::text[]) AS t (id)) g
WHERE s.test_id = g.id AND g.triggered <> ('guardrail' = ANY(s.needs_attention))
"""


def run_key(p: AbOptimize, m: Delivery) -> str:
    """The slot, or the message that asks for a look, and the test."""
    return f"{p.slot.astimezone(UTC).isoformat() if p.slot else m.id}:{p.test_id or 'all'}"


@job(
    "ab-optimization",
    on=AbOptimize,
    queue=AB_TESTING,
    emits=(AbOptimizeTest, AbTestPaused, AbTestEnded, AlertUnusualActivity),
    retry=Retry(attempts=3, factor=1, min_s=3, max_s=3),
    timeout_s=120,
    key=run_key,
)
def optimize(ctx: JobContext, payload: AbOptimize) -> AbOptimizationResult:
    """Judge the guardrails of running tests and start the bandits whose weights are due. Permanent TEST_NOT_FOUND."""
    slot, after, result = sent_slot(ctx, payload), "", AbOptimizationResult()
    if payload.test_id is not None:
        with ctx.tenant_session(read_only=True) as session:
            status = session.value(EXISTS, {"test_id": payload.test_id})
        if status is None:
            raise Permanent("TEST_NOT_FOUND", "no test has this id")
        if status != "running":
            return AbOptimizationResult(skipped=1)
    while True:
        with ctx.tenant_session() as session:
            names = {"after": after, "test_id": payload.test_id, "page": PAGE}
            ids = [row["id"] for row in session.all(PAGE_OF_IDS, names)]
            if ids:
                result = _added(result, _page(ctx, session, ids, payload, slot))
        if len(ids) < PAGE:
            return result
        after = ids[-1]


def _page(
    ctx: JobContext, session: Session, ids: list[str], payload: AbOptimize, slot: datetime
) -> AbOptimizationResult:
    hold(session, ids, ctx.now())
    tests = {test["id"]: test for test in session.all(TESTS, {"ids": ids})}
    variants = by_test(session.all(VARIANTS, {"ids": list(tests)}))
    verdicts = _judge(session, slot, tests, variants)
    acted = _act(ctx, session, slot, tests, [verdict for verdict in verdicts if verdict.violated])
    if tests:
        session.execute(MARK, {"ids": list(tests)})
    due = [test for test in tests.values() if test["id"] not in acted.status and _due(test, slot)]
    session.emit_many([*acted.events, *(_order(test, payload, slot) for test in due)])
    bandits = [test for test in tests.values() if _algorithm(test) is not None]
    ignored = len(tests) - len(bandits) if payload.algorithm is not None else 0
    return AbOptimizationResult(
        tests=len(tests),
        guardrails_judged=len(verdicts),
        violations=sum(verdict.violated for verdict in verdicts),
        paused=list(acted.status.values()).count("paused"),
        stopped=list(acted.status.values()).count("completed"),
        optimizations=len(due),
        skipped=len(ids) - len(tests) + len(bandits) - len(due) + ignored,
    )


def _judge(
    session: Session, slot: datetime, tests: Mapping[str, Row], variants: Mapping[str, list[Variant]]
) -> list[Verdict]:
    """The guardrails of tests with a single control."""
    controls = {
        id: next(v.id for v in variants[id] if v.is_control)
        for id in tests
        if sum(v.is_control for v in variants.get(id, ())) == 1
    }
    settings = {id: test["settings"] if isinstance(test["settings"], dict) else {} for id, test in tests.items()}
    arms = {id: [v.id for v in variants[id]] for id in controls}
    return judge_guardrails(session, slot, settings, controls, arms)


# -- violations --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Acted:
    """Tests that were paused or stopped (id -> status now), and what is to be told."""

    status: dict[str, str]
    events: list[tuple[Event, str | None]]


def _act(
    ctx: JobContext, session: Session, slot: datetime, tests: Mapping[str, Row], violations: Sequence[Verdict]
) -> Acted:
    """Of several violations of a test the strongest action is taken; each is told."""
    strongest: dict[str, Verdict] = {}
    for verdict in violations:
        id = verdict.guardrail["test_id"]
        before = strongest.get(id)
        if before is None or PRIORITY.index(verdict.action) > PRIORITY.index(before.action):
            strongest[id] = verdict
    status = {id: STATUS[verdict.action] for id, verdict in strongest.items() if verdict.action in STATUS}
    names: dict[str, Any] = {"ids": list(status), "statuses": list(status.values()), "slot": slot, "now": ctx.now()}
    if status:
        session.execute(ACT_ON_TESTS, names)
        session.execute(ACT_ON_STATES, names)
    events: list[tuple[Event, str | None]] = [
        (_done(strongest[id], slot), f"{_done(strongest[id], slot).event_name}:{id}:{tests[id]['status_seq'] + 1}")
        for id in status
    ]
    events += [(_alert(tests[v.guardrail["test_id"]], v), None) for v in violations]
    return Acted(status, events)


STATUS: Mapping[Action, str] = {"pause": "paused", "stop": "completed"}


def _done(verdict: Verdict, slot: datetime) -> Event:
    test_id = verdict.guardrail["test_id"]
    if verdict.action == "stop":
        return AbTestEnded(test_id=test_id, reason="guardrail", at=slot)
    return AbTestPaused(
        test_id=test_id, reason="guardrail", guardrail_id=verdict.guardrail["id"], change_percent=verdict.change
    )


def _alert(test: Row, verdict: Verdict) -> AlertUnusualActivity:
    guardrail = verdict.guardrail
    return AlertUnusualActivity(
        severity="critical" if verdict.action == "stop" else "warning",
        source="ab_tests",
        title=f"A/B test violates a guardrail: {short(test['name'])}",
        message=f"{short(guardrail['metric'])} changed by {verdict.change:.2f} percent; action: {verdict.action}.",
        dedupe_key=f"ab-guardrail:{guardrail['id']}:{test['status_seq']}",
        context={
            "testId": test["id"],
            "metric": guardrail["metric"],
            "changePercent": verdict.change,
            "action": verdict.action,
        },
    )


# -- bandits -----------------------------------------------------------------------------------------------------------


def _algorithm(test: Row) -> Algorithm | None:
    settings = test["settings"] if isinstance(test["settings"], dict) else {}
    return ALGORITHMS.get(str(test["mode"] or "")) or ALGORITHMS.get(str(settings.get("optimization")))


def _due(test: Row, slot: datetime) -> bool:
    last = test["last_reallocated_at"]
    return (
        _algorithm(test) is not None
        and test["override"] is None
        and test["decision"] != "invalid"
        and (last is None or last <= slot - REALLOCATION_INTERVAL)
    )


def _order(test: Row, payload: AbOptimize, slot: datetime) -> tuple[Event, str | None]:
    algorithm = payload.algorithm or _algorithm(test)
    assert algorithm is not None  # a bandit's
    event = AbOptimizeTest(test_id=test["id"], algorithm=algorithm, epsilon=payload.epsilon, slot=slot)
    return event, f"ab.optimizeTest:{test['id']}:{slot.isoformat()}"


def _added(first: AbOptimizationResult, second: AbOptimizationResult) -> AbOptimizationResult:
    sums = {name: getattr(first, name) + getattr(second, name) for name in AbOptimizationResult.model_fields}
    return AbOptimizationResult(**sums)
