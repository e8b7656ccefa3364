"""Starting and ending tests on time, and telling what an application changed without telling.

    silent changes   ab_tests.status differs from the status last published
    starts           drafts with auto_start whose start is reached
    ends             a scheduled end that is reached; the numbers are looked at by ab-handle-test-ended
    auto-ends        tests with auto_end that have a result
    splits           shares that differ from the open epoch

A page of tests is decided in one transaction that holds their rows, so two runs never decide the same test twice;
what is locked is left to the next tick.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from psycopg.types.json import Jsonb

from functions.commerce.ab_tests.marks import set_marks
from functions.commerce.ab_tests.rules import (
    INVALID_CONFIGURATION,
    VARIANTS,
    Variant,
    by_test,
    short,
    slot_of,
    split_of,
    start_problem,
)
from shared.events.ab_tests import AbScheduleCheck, AbTestCreated, AbTestEnded, AbTestPaused, AbTestStarted, EndedReason
from shared.events.alerts import AlertUnusualActivity
from shared.events.base import Event, Payload
from shared.jobs import JobContext, Retry, Session, job
from shared.jobs.context import Row
from shared.jobs.queues import AB_TESTING

PAGE = 100
NEWS_FOR = timedelta(hours=24)
"""Age up to which a draft that nobody has told of is worth telling."""
FRESH = timedelta(hours=2)
"""Age up to which a result may end a test."""
LIVE = ("running", "paused")


class AbScheduleResult(Payload):
    """`announced` counts what an application changed, `notStarted` what is due and cannot start."""

    created: int = 0
    started: int = 0
    ended: int = 0
    auto_ended: int = 0
    announced: int = 0
    not_started: int = 0
    epochs: int = 0


# NO KEY: a visitor who is just recorded holds a key share of his test. He must not put a test off to the next tick, nor
# wait for this page.
LOCK_PAGE = """
-- A/B schedule: the next tests with something to look at, held until the page is decided
SELECT t.id
FROM ab_tests t
LEFT JOIN ab_test_state s ON s.test_id = t.id
WHERE t.id > %(after)s
  AND (s.test_id IS NULL OR s.last_status IS DISTINCT FROM t.status OR t.status IN ('running', 'paused')
       OR (t.status = 'draft' AND t.auto_start AND COALESCE(t.scheduled_start_at, t.start_date) <= %(slot)s))
ORDER BY t.id LIMIT %(page)s
FOR NO KEY UPDATE OF t SKIP LOCKED
"""

TESTS = """
-- A/B schedule: what decides about these tests, read after they were locked
SELECT t.id, t.name, t.status, t.created_at, t.started_at, t.ended_at, t.base_url,
       CASE WHEN 'shipping' IN (t.type, t.test_type) THEN 'shipping' ELSE COALESCE(t.test_type, t.type) END AS kind,
       COALESCE(t.scheduled_start_at, t.start_date) AS start_at, COALESCE(t.scheduled_end_at, t.end_date) AS end_at,
       COALESCE(t.auto_start, false) AS auto_start, COALESCE(t.auto_end, false) AS auto_end,
       COALESCE(t.winner_variant_id, t.winning_variant_id) AS winner, t.traffic_override_variant_id AS override,
       s.last_status IS NOT NULL AS known, s.last_status, COALESCE(s.status_seq, 0) AS status_seq, s.decision,
       s.evaluated_at, e.shares, e.started_at AS epoch_from,
       s.results ->> 'startProblem' AS start_problem, s.results ->> 'startProblemOn' AS start_problem_on,
       COALESCE((SELECT max(epoch) FROM ab_allocation_epochs x WHERE x.test_id = t.id), 0) AS epoch
FROM ab_tests t
LEFT JOIN ab_test_state s ON s.test_id = t.id
LEFT JOIN ab_allocation_epochs e ON e.test_id = t.id AND e.ended_at IS NULL
WHERE t.id = ANY(%(ids)s) ORDER BY t.id
"""

CHANGE_TESTS = """
-- A/B schedule: start and end tests
UPDATE ab_tests t
SET status = c.status, started_at = COALESCE(c.started_at, t.started_at), ended_at = COALESCE(c.ended_at, t.ended_at)
FROM unnest(%(ids)s::text[], %(statuses)s::text[], %(starts)s::timestamptz[], %(ends)s::timestamptz[])
     AS c (id, status, started_at, ended_at)
WHERE t.id = c.id
"""

KEEP_STATES = """
-- A/B schedule: the status last published, and what keeps a test from starting
INSERT INTO ab_test_state AS s
    (test_id, last_status, status_seq, results, ended_reason, created_at, updated_at)
SELECT c.id, c.status, c.seq, jsonb_strip_nulls(c.problem), c.reason, %(now)s, %(now)s
FROM unnest(%(ids)s::text[], %(statuses)s::text[], %(seqs)s::integer[], %(problems)s::jsonb[], %(reasons)s::text[])
     AS c (id, status, seq, problem, reason)
ON CONFLICT (test_id) DO UPDATE SET
    last_status = EXCLUDED.last_status, status_seq = EXCLUDED.status_seq,
    results = (s.results - '{startProblem,startProblemOn}'::text[]) || EXCLUDED.results,
    ended_reason = COALESCE(EXCLUDED.ended_reason, s.ended_reason), updated_at = EXCLUDED.updated_at
"""

CLOSE_EPOCHS = """
-- A/B schedule: the splits that end here
UPDATE ab_allocation_epochs e SET ended_at = %(slot)s WHERE e.test_id = ANY(%(ids)s) AND e.ended_at IS NULL
"""

OPEN_EPOCHS = """
-- A/B schedule: the splits that begin
INSERT INTO ab_allocation_epochs (test_id, epoch, started_at, shares, reason)
SELECT * FROM unnest(%(ids)s::text[], %(epochs)s::integer[], %(starts)s::timestamptz[], %(shares)s::jsonb[],
                     %(reasons)s::text[])
"""


@job(
    "ab-test-scheduler",
    on=AbScheduleCheck,
    queue=AB_TESTING,
    emits=(AbTestCreated, AbTestStarted, AbTestPaused, AbTestEnded, AlertUnusualActivity),
    retry=Retry(attempts=3, factor=1, min_s=3, max_s=3),
    timeout_s=60,
    key=lambda p, m: p.slot.isoformat() if p.slot else m.id,
)
def check_schedule(ctx: JobContext, payload: AbScheduleCheck) -> AbScheduleResult:
    """Start and end tests on time, end those with a result, publish status changes that an app made silently."""
    slot, after = slot_of(ctx, payload), ""
    result = AbScheduleResult()
    while True:
        with ctx.tenant_session() as session:
            ids = [row["id"] for row in session.all(LOCK_PAGE, {"after": after, "slot": slot, "page": PAGE})]
            if ids:
                result = _added(result, _page(ctx, session, ids, slot))
        if len(ids) < PAGE:
            return result
        after = ids[-1]


@dataclass(slots=True)
class Verdict:
    """What becomes of one test. `counts` are members of the result, `events` go out in this order."""

    test: Row
    variants: list[Variant]
    slot: datetime
    status: str
    seq: int
    started_at: datetime | None = None
    ended_at: datetime | None = None
    ended_reason: str | None = None
    problem: str | None = None
    events: list[tuple[Event, str | None]] = field(default_factory=list)
    counts: list[str] = field(default_factory=list)

    @property
    def changed(self) -> bool:
        """Whether the application's row changes."""
        return bool(self.status != self.test["status"])

    @property
    def noted(self) -> bool:
        """Whether our own row changes."""
        problem_on = self.slot.date().isoformat() if self.problem else None
        before = (self.test["last_status"], self.test["start_problem"], self.test["start_problem_on"])
        known = bool(self.test["known"])
        return not known or before != (self.status, self.problem, problem_on)

    def tell(self, event: Event) -> None:
        """A published change of status: it counts, and its number makes the event's key."""
        self.seq += 1
        self.events.append((event, f"{event.event_name}:{self.test['id']}:{self.seq}"))


def _page(ctx: JobContext, session: Session, ids: list[str], slot: datetime) -> AbScheduleResult:
    variants = by_test(session.all(VARIANTS, {"ids": ids}))
    verdicts = [judge(test, variants.get(test["id"], []), slot) for test in session.all(TESTS, {"ids": ids})]
    changed = [verdict for verdict in verdicts if verdict.changed]
    if changed:
        session.execute(
            CHANGE_TESTS,
            {
                "ids": [v.test["id"] for v in changed],
                "statuses": [v.status for v in changed],
                "starts": [v.started_at for v in changed],
                "ends": [v.ended_at for v in changed],
            },
        )
    _keep(ctx, session, [verdict for verdict in verdicts if verdict.noted])
    epochs = _keep_splits(session, verdicts, slot)
    session.emit_many([event for verdict in verdicts for event in verdict.events])
    counts = [name for verdict in verdicts for name in verdict.counts]
    return AbScheduleResult(epochs=epochs, **{name: counts.count(name) for name in set(counts)})


# -- the verdict on one test -------------------------------------------------------------------------------------------


def judge(test: Row, variants: list[Variant], slot: datetime) -> Verdict:
    """What becomes of a test at `slot`. A test that starts here is looked at again by the next tick only."""
    verdict = Verdict(test, variants, slot, test["status"], test["status_seq"])
    _tell_silent_change(verdict)
    if test["status"] == "draft":
        if test["auto_start"] and test["start_at"] is not None and test["start_at"] <= slot:
            _start(verdict)
    elif test["status"] in LIVE:
        _end(verdict)
    return verdict


def _tell_silent_change(verdict: Verdict) -> None:
    test, slot = verdict.test, verdict.slot
    id, status, before = test["id"], test["status"], test["last_status"]
    if test["known"] and before == status:
        return
    if status == "draft":
        if not test["known"] and test["created_at"] and test["created_at"] >= slot - NEWS_FOR:
            verdict.tell(AbTestCreated(test_id=id, name=test["name"], variants=len(verdict.variants)))
            verdict.counts.append("created")
        return
    if status == "completed" and not test["known"]:
        return  # over before we knew of it
    if status == "running" or not test["known"]:
        verdict.tell(AbTestStarted(test_id=id, at=slot, resumed=before == "paused"))
    elif status == "paused":
        verdict.tell(AbTestPaused(test_id=id, reason="manual"))
    else:
        verdict.tell(_ended(verdict, "manual", test["ended_at"] or slot))
    verdict.counts.append("announced")


def _start(verdict: Verdict) -> None:
    test, slot = verdict.test, verdict.slot
    verdict.problem = start_problem(test, verdict.variants, slot)
    if verdict.problem is None:
        verdict.status, verdict.started_at = "running", slot
        verdict.tell(AbTestStarted(test_id=test["id"], at=slot))
        verdict.counts.append("started")
        return
    verdict.counts.append("not_started")
    if test["start_problem_on"] != slot.date().isoformat():
        verdict.events.append((_cannot_start(verdict), None))


def _cannot_start(verdict: Verdict) -> AlertUnusualActivity:
    id, name = verdict.test["id"], short(verdict.test["name"])
    return AlertUnusualActivity(
        severity="warning",
        source="ab_tests",
        title=f"A/B test cannot start: {name}",
        message=f"The test was to start by schedule, but its configuration is not valid ({verdict.problem}).",
        dedupe_key=f"ab-start:{id}:{verdict.slot:%Y-%m-%d}",
        context={"testId": id, "reason": verdict.problem},
    )


def _end(verdict: Verdict) -> None:
    test, slot = verdict.test, verdict.slot
    if test["end_at"] is not None and test["end_at"] <= slot:
        # The scheduled end, not the slot: who came in the minutes between does not count.
        verdict.status, verdict.ended_at, verdict.ended_reason = "completed", test["end_at"], "scheduled"
        verdict.tell(_ended(verdict, "scheduled", test["end_at"]))
        verdict.counts.append("ended")
    elif (
        test["status"] == "running"
        and test["auto_end"]
        and test["decision"] in ("winner", "control_wins")
        and test["evaluated_at"] is not None
        and test["evaluated_at"] >= slot - FRESH
    ):
        verdict.status, verdict.ended_at, verdict.ended_reason = "completed", slot, "significance"
        verdict.tell(_ended(verdict, "significance", slot))
        verdict.counts.append("auto_ended")


def _ended(verdict: Verdict, reason: EndedReason, at: datetime) -> AbTestEnded:
    # A scheduled end has not been looked at yet: what an evaluation saw on the way is no winner.
    winner = verdict.test["winner"] if reason != "scheduled" else None
    return AbTestEnded(test_id=verdict.test["id"], winning_variant=winner, reason=reason, at=at)


# -- writing a page ----------------------------------------------------------------------------------------------------


def _keep(ctx: JobContext, session: Session, noted: list[Verdict]) -> None:
    if not noted:
        return
    session.execute(
        KEEP_STATES,
        {
            "ids": [v.test["id"] for v in noted],
            "statuses": [v.status for v in noted],
            "seqs": [v.seq for v in noted],
            "problems": [Jsonb(_problem(v)) for v in noted],
            "reasons": [v.ended_reason for v in noted],
            "now": ctx.now(),
        },
    )
    # The rows are held now: marks that others have set meanwhile stay.
    set_marks(session, {v.test["id"]: {INVALID_CONFIGURATION: v.problem is not None} for v in noted if _tried(v)})


def _tried(verdict: Verdict) -> bool:
    """Whether the test has started or was to start, so that its configuration was looked at, or has ended."""
    return verdict.problem is not None or verdict.changed


def _problem(verdict: Verdict) -> dict[str, Any]:
    if verdict.problem is None:
        return {}
    return {"startProblem": verdict.problem, "startProblemOn": verdict.slot.date().isoformat()}


def _keep_splits(session: Session, verdicts: list[Verdict], slot: datetime) -> int:
    """Open an epoch where the split is another than the open one, or none is open; how many."""
    new = []
    for verdict in verdicts:
        test = verdict.test
        split = split_of(verdict.variants, test["override"])
        # An epoch that began after this slot was opened by someone who knew more.
        if verdict.status in LIVE and split != test["shares"] and (not test["epoch_from"] or test["epoch_from"] < slot):
            new.append((verdict, split))
    if not new:
        return 0
    session.execute(CLOSE_EPOCHS, {"ids": [verdict.test["id"] for verdict, _ in new], "slot": slot})
    session.execute(
        OPEN_EPOCHS,
        {
            "ids": [v.test["id"] for v, _ in new],
            "epochs": [v.test["epoch"] + 1 for v, _ in new],
            "starts": [slot if v.test["epoch"] else v.started_at or v.test["started_at"] or slot for v, _ in new],
            "shares": [Jsonb(split) for _, split in new],
            "reasons": [_why(v.test) for v, _ in new],
        },
    )
    return len(new)


def _why(test: Row) -> str:
    if test["override"] is not None:
        return "override"
    return "manual" if test["epoch"] else "started"


def _added(first: AbScheduleResult, second: AbScheduleResult) -> AbScheduleResult:
    sums = {name: getattr(first, name) + getattr(second, name) for name in AbScheduleResult.model_fields}
    return AbScheduleResult(**sums)
