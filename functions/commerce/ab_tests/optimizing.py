"""The next split of a bandit test: to each arm about the probability that it is the best, within bounds.

Only visitors who had two hours to buy count. The seed depends on tenant, test and slot alone, so a retry of a slot
draws the same and writes the same; the epoch that a slot opened exists once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, Literal

from psycopg.types.json import Jsonb
from pydantic import Field

from functions.commerce.ab_tests.assessing import Assessment, assess, best_for, results_of
from functions.commerce.ab_tests.comparing import MIN_VISITORS, beliefs
from functions.commerce.ab_tests.deciding import while_running
from functions.commerce.ab_tests.evaluating import announce, keep
from functions.commerce.ab_tests.rules import sent_slot
from functions.commerce.ab_tests.storefront import show_split
from functions.commerce.ab_tests.subjects import ALGORITHMS, Algorithm, Metric, Subject, hold, subject_of
from functions.commerce.ab_tests.sums import Arms, Tally
from shared.events.ab_tests import AbAllocationChanged, AbOptimizeTest, AbWinnerDetected
from shared.events.base import Payload
from shared.jobs import Delivery, JobContext, Permanent, Retry, Session, job
from shared.jobs.queues import AB_TESTING
from shared.stats import Posterior, best_of, floored, greedy, matched, scaled, stepped, whole, wins

DRAWS = 10_000
REALLOCATION_INTERVAL = timedelta(minutes=60)
MAX_SHIFT, MIN_SHIFT = 10.0, 2.0
"""Percentage points by which an arm may move at once, and below which nothing is written."""
FLOOR_PERCENT, FLOOR_OF_ALL = 5, 50
"""Least share of an active arm; less where all floors together would take more than half."""
Outcome = Literal["changed", "unchanged", "skipped", "not_due", "changed_meanwhile"]


class AbOptimizeTestResult(Payload):
    """`reason` says why nothing was done, '' where something was. Weights are percent by variant id."""

    outcome: Outcome
    reason: str = ""
    previous_weights: dict[str, int] = Field(default_factory=dict)
    new_weights: dict[str, int] = Field(default_factory=dict)
    p_best: dict[str, float] = Field(default_factory=dict)
    epoch: int | None = None


OPEN_EPOCH = """
-- A/B bandit: the split that is open, held
SELECT epoch, started_at FROM ab_allocation_epochs WHERE test_id = %(test_id)s AND ended_at IS NULL FOR UPDATE
"""

SLOT_EPOCH = """
-- A/B bandit: the split that this slot opened already
SELECT epoch, shares, details FROM ab_allocation_epochs
WHERE test_id = %(test_id)s AND reason = 'bandit' AND started_at = %(slot)s
"""

CLOSE_EPOCH = """
-- A/B bandit: the open split ends here
UPDATE ab_allocation_epochs SET ended_at = %(slot)s WHERE test_id = %(test_id)s AND ended_at IS NULL
"""

NEW_EPOCH = """
-- A/B bandit: the next split, with what it came from
INSERT INTO ab_allocation_epochs (test_id, epoch, started_at, shares, reason, details)
SELECT %(test_id)s, COALESCE(max(e.epoch), 0) + 1, %(slot)s, %(shares)s, 'bandit', %(details)s
FROM ab_allocation_epochs e WHERE e.test_id = %(test_id)s
RETURNING epoch
"""

SET_SHARES = """
-- A/B bandit: new shares, in both columns
UPDATE ab_variants v SET traffic_allocation = s.share, weight = s.share
FROM unnest(%(ids)s::text[], %(shares)s::integer[]) AS s (id, share) WHERE v.id = s.id AND v.test_id = %(test_id)s
"""

RAN = """
-- A/B bandit: that the weights were looked at, and which arm is best since when
UPDATE ab_test_state
SET last_reallocated_at = %(slot)s, bandit_runs = bandit_runs + 1, updated_at = %(now)s,
    best_since = CASE WHEN best_variant_id IS NOT DISTINCT FROM %(best)s THEN best_since ELSE %(slot)s END,
    best_variant_id = %(best)s
WHERE test_id = %(test_id)s
RETURNING best_variant_id, best_since
"""

HOLD_VARIANTS = """
-- A/B bandit: the shares as they are, held; visitors may be recorded meanwhile
SELECT v.id, COALESCE(v.traffic_allocation, v.weight, 0) AS share
FROM ab_variants v WHERE v.test_id = %(test_id)s ORDER BY v.id FOR NO KEY UPDATE
"""


def run_key(p: AbOptimizeTest, m: Delivery) -> str:
    """The test and the slot; what a person asks for is wanted each time."""
    if p.slot is None or p.current_variant_weights is not None:
        return m.id
    return f"{p.test_id}:{p.slot.astimezone(UTC).isoformat()}"


@job(
    "ab-optimize-test",
    on=AbOptimizeTest,
    queue=AB_TESTING,
    emits=(AbAllocationChanged, AbWinnerDetected),
    retry=Retry(attempts=3, factor=1, min_s=3, max_s=3),
    timeout_s=60,
    key=run_key,
)
def optimize_test(ctx: JobContext, payload: AbOptimizeTest) -> AbOptimizeTestResult:
    """Compute and write the new split of one bandit test. Permanent TEST_NOT_FOUND."""
    slot = sent_slot(ctx, payload)
    with ctx.tenant_session() as session:
        if not hold(session, [payload.test_id], ctx.now()):
            raise Permanent("TEST_NOT_FOUND", "no test has this id")
        session.all(OPEN_EPOCH, {"test_id": payload.test_id})
        session.all(HOLD_VARIANTS, {"test_id": payload.test_id})
        subject = subject_of(session, payload.test_id)
        assert subject is not None  # nobody deletes what is held
        result = _refusal(session, subject, payload, slot) or _reallocate(ctx, session, subject, payload, slot)
    if result.outcome == "changed" and result.epoch is not None:
        show_split(ctx, payload.test_id, result.new_weights, result.epoch)
    return result


def _refusal(
    session: Session, subject: Subject, payload: AbOptimizeTest, slot: datetime
) -> AbOptimizeTestResult | None:
    """Why nothing is to be done, None when the weights are due."""
    shares = {variant.id: variant.share or 0 for variant in subject.variants}
    done = session.one(SLOT_EPOCH, {"test_id": subject.id, "slot": slot})
    if done is not None:  # a lost answer: the same slot again
        return AbOptimizeTestResult(
            outcome="changed",
            previous_weights=done["details"].get("previous") or {},
            new_weights=done["shares"],
            p_best=done["details"].get("p_best") or {},
            epoch=done["epoch"],
        )
    outcome, reason = _standing(subject, payload, slot, shares)
    if outcome is None:
        return None
    return AbOptimizeTestResult(outcome=outcome, reason=reason, previous_weights=shares, new_weights=shares)


def _standing(
    subject: Subject, payload: AbOptimizeTest, slot: datetime, shares: dict[str, int]
) -> tuple[Outcome | None, str]:
    if (reason := _unfit(subject, shares)) is not None:
        return "skipped", reason
    asked = payload.current_variant_weights
    if asked is not None and _active(asked) != _active(shares):
        return "changed_meanwhile", "weights_differ"
    last = subject.state.get("last_reallocated_at")
    if asked is None and last is not None and last > slot - REALLOCATION_INTERVAL:
        return "not_due", "interval"
    if subject.epochs and subject.epochs[-1].started_at >= slot:
        return "not_due", "split_is_newer"  # whoever made it knew more
    return None, ""


def _active(shares: dict[str, int]) -> dict[str, int]:
    return {id: share for id, share in shares.items() if share > 0}


def _unfit(subject: Subject, shares: dict[str, int]) -> str | None:
    if subject.status != "running":
        return "not_running"
    if subject.test["override"] is not None:
        return "override"
    if subject.state.get("decision") == "invalid":
        return "invalid"
    if subject.algorithm is None:
        return "fixed_test"
    return "arms" if sum(share > 0 for share in shares.values()) < 2 else None


# -- the split ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Plan:
    """The next split of active arms, in order of id. `target` is where it would go without the limit of a step."""

    ids: list[str]
    current: list[float]
    p_best: list[float]
    target: list[float]
    part: float
    shares: list[int]
    seed: int | None

    @property
    def moves(self) -> bool:
        return max(abs(new - old) for new, old in zip(self.shares, self.current, strict=True)) >= MIN_SHIFT


def plan_of(
    posteriors: Sequence[Posterior],
    ids: list[str],
    shares: Sequence[int],
    *,
    algorithm: Algorithm,
    epsilon: float,
    seed: int,
) -> Plan:
    """The next split by these beliefs; `shares` are today's, all above 0."""
    if algorithm == "thompson":
        won = wins(posteriors, DRAWS, Random(seed))  # repeatable on purpose, no secret
        p_best = [count / DRAWS for count in won]
        wanted = matched(p_best, epsilon)
    else:
        p_best, _ = best_of(posteriors)
        wanted = greedy([posterior.mean for posterior in posteriors], epsilon)
    target = floored(wanted, min(FLOOR_PERCENT, FLOOR_OF_ALL // len(ids)))
    current = scaled(shares)
    moved, part = stepped(current, target, MAX_SHIFT)
    return Plan(ids, current, p_best, target, part, whole(moved), seed if algorithm == "thompson" else None)


def seed_of(slug: str, test_id: str, slot: datetime) -> int:
    """The same for every try of a slot."""
    text = f"{slug}:{test_id}:{slot.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def weighed_by(metric: Metric) -> Metric:
    """An arm with few dear orders must not win traffic by its order value."""
    return "revenue_per_visitor" if metric == "average_order_value" else metric


def _reallocate(
    ctx: JobContext, session: Session, subject: Subject, payload: AbOptimizeTest, slot: datetime
) -> AbOptimizeTestResult:
    shares = {variant.id: variant.share or 0 for variant in subject.variants}
    active = [id for id, share in shares.items() if share > 0]
    seen = assess(session, subject, slot)
    totals = seen.settled
    unchanged = AbOptimizeTestResult(outcome="unchanged", previous_weights=shares, new_weights=shares)
    if any(totals.get(id, Tally()).n < MIN_VISITORS for id in active):
        _ran(ctx, session, subject, slot, best=None)
        return unchanged.model_copy(update={"reason": "min_samples"})
    posteriors = beliefs(weighed_by(subject.metric), [totals], active)  # the weights keep the pooled posterior
    if posteriors is None:
        _ran(ctx, session, subject, slot, best=None)
        return unchanged.model_copy(update={"reason": "no_spread"})
    algorithm = ALGORITHMS[payload.algorithm]
    epsilon = payload.epsilon if payload.epsilon is not None else subject.epsilon
    plan = plan_of(
        posteriors,
        active,
        [shares[id] for id in active],
        algorithm=algorithm,
        epsilon=epsilon,
        seed=seed_of(ctx.tenant.slug, subject.id, slot),
    )
    best = max(zip(plan.p_best, range(len(active), 0, -1), active, strict=True))[2]
    _ran(ctx, session, subject, slot, best=best)
    _decide(ctx, session, seen)
    p_best = dict(zip(active, plan.p_best, strict=True))
    if not plan.moves:
        return unchanged.model_copy(update={"reason": "small_shift", "p_best": p_best})
    details = _details(plan, totals, shares, algorithm, epsilon)
    new = {**dict.fromkeys(shares, 0), **dict(zip(active, plan.shares, strict=True))}
    epoch = _write(session, subject, slot, new, shares, details)
    return AbOptimizeTestResult(outcome="changed", previous_weights=shares, new_weights=new, p_best=p_best, epoch=epoch)


def _details(plan: Plan, totals: Arms, shares: dict[str, int], algorithm: Algorithm, epsilon: float) -> dict[str, Any]:
    return {
        "algorithm": algorithm,
        "epsilon": epsilon,
        "seed": None if plan.seed is None else str(plan.seed),
        "p_best": dict(zip(plan.ids, plan.p_best, strict=True)),
        "target": dict(zip(plan.ids, plan.target, strict=True)),
        "lambda": plan.part,
        "samples": {id: totals[id].n for id in plan.ids},
        "previous": shares,
    }


def _write(
    session: Session,
    subject: Subject,
    slot: datetime,
    new: dict[str, int],
    old: dict[str, int],
    details: dict[str, Any],
) -> int:
    names: dict[str, Any] = {"test_id": subject.id, "slot": slot}
    session.execute(SET_SHARES, {**names, "ids": list(new), "shares": list(new.values())})
    session.execute(CLOSE_EPOCH, names)
    epoch = int(session.value(NEW_EPOCH, {**names, "shares": Jsonb(new), "details": Jsonb(details)}))
    event = AbAllocationChanged(test_id=subject.id, epoch=epoch, weights=new, previous=old)
    session.emit(event, key=f"ab.allocationChanged:{subject.id}:{epoch}")
    return epoch


def _ran(ctx: JobContext, session: Session, subject: Subject, slot: datetime, *, best: str | None) -> None:
    kept = best if best is not None else subject.state.get("best_variant_id")
    names = {"test_id": subject.id, "slot": slot, "now": ctx.now(), "best": kept}
    row = session.one(RAN, names)
    assert row is not None  # the row is held
    subject.state.update(row)


def _decide(ctx: JobContext, session: Session, seen: Assessment) -> None:
    """Judge whether the arm that is best has won."""
    subject, evaluated_at = seen.subject, seen.subject.state["evaluated_at"]
    if evaluated_at is not None and evaluated_at > seen.slot:
        return
    seen.found.best_for = best_for(subject, seen.slot)
    decision = while_running(seen.found)
    results = results_of(seen)
    announce(session, seen, decision, results, auto=subject.test["auto_end"])
    keep(ctx, session, seen, decision, results)
