"""A test looked at: its sums become findings, without writing anything.

What earlier looks left behind takes part: tau, frozen at the first look that had enough visitors, and the running
minimum of the always-valid p. `anew` forgets both, for data that were repaired.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from functions.commerce.ab_tests.comparing import (
    MIN_CONVERSIONS,
    Split,
    beliefs,
    compare,
    conversions_of,
    covariate,
    days_left,
    mean_of,
    needed_units,
    split_check,
)
from functions.commerce.ab_tests.deciding import Arm, Findings, split_wrong
from functions.commerce.ab_tests.subjects import Subject
from functions.commerce.ab_tests.sums import Age, Arms, Sheet, Tally, Week, pooled, read_sums
from shared.jobs import Session
from shared.stats import Adjustment, best_of, holm, sequential
from shared.time import day_bounds, local_date, tenant_zone

PACE_DAYS = 7
"""Full days over which the pace of a test is taken."""


@dataclass(slots=True)
class Assessment:
    """Findings, and what is kept of them. `tau`, `sequential`: as ab_test_state holds them.

    `totals` are all visitors, `settled` those that the findings are about: a bandit's without the youngest.
    """

    subject: Subject
    slot: datetime
    found: Findings
    totals: Arms
    settled: Arms
    tau: dict[str, Any]
    sequential: dict[str, Any]
    critical_since: datetime | None
    needed: int | None
    days_left: int | None
    adjusted: Adjustment | None


def assess(session: Session, subject: Subject, slot: datetime, *, anew: bool = False) -> Assessment:
    """Look at a test as it stands at `slot`."""
    week = _week(session, subject, slot)
    sheet = read_sums(session, subject, slot, week=week)
    # What a bandit does next must not depend on who has not had the time to buy.
    settled: Sequence[Age] = ("old", "recent") if _shifting(subject) else ("old", "recent", "fresh")
    epochs, totals = sheet.epochs(settled), pooled(sheet.epochs())
    split = split_check(subject, sheet.by_epoch())
    found = _findings(subject, slot, pooled(epochs), split)
    adjusted = covariate(epochs, [arm.id for arm in found.arms]) if subject.cuped != "off" else None
    tau, kept = dict(subject.state.get("tau") or {}), dict(subject.state.get("sequential") or {})
    if found.problem is None:
        used = adjusted if subject.cuped == "primary" else None
        _compare(subject, found, epochs, sheet, used)
        if anew or subject.metric not in tau:
            tau.pop(subject.metric, None)
            tau |= _tau(subject, found)
        kept[subject.metric] = _look(subject, found, tau.get(subject.metric), anew=anew)
    since = _critical_since(subject, split, slot)
    found.split_wrong = split_wrong(split, since, slot)
    _believe(subject, found, epochs)
    needed, left = _plan(subject, found, totals, week)
    return Assessment(subject, slot, found, totals, pooled(epochs), tau, kept, since, needed, left, adjusted)


def _shifting(subject: Subject) -> bool:
    return subject.algorithm is not None and subject.test["ended_at"] is None


def _findings(subject: Subject, slot: datetime, totals: Arms, split: Split) -> Findings:
    """The arms that take part, with their sums; an arm without share counts while it has visitors."""
    end = subject.until(slot)
    arms = [
        _arm(subject, variant.id, totals.get(variant.id, Tally()))
        for variant in subject.variants
        if (variant.share or 0) > 0 or totals.get(variant.id, Tally()).n
    ]
    ids = {variant.id for variant in subject.controls}
    controls = [arm for arm in arms if arm.id in ids]
    problem = None
    if len(ids) != 1:
        problem = f"controls_{len(ids)}"
    elif len(arms) < 2 or not controls:
        problem = f"arms_{len(arms)}"
    orders = subject.test["orders"]
    return Findings(
        control=controls[0] if problem is None else None,
        challengers=[arm for arm in arms if arm.id not in ids],
        split=split,
        alpha=subject.alpha,
        runtime=subject.age(end),
        guarded=subject.test["guarded"],
        unlinked_share=subject.test["unlinked"] / orders if orders else 0.0,
        problem=problem,
        best_for=best_for(subject, end),
        bandit=subject.algorithm is not None,
        arms=arms,
    )


def best_for(subject: Subject, end: datetime) -> tuple[str, timedelta] | None:
    """A bandit's best arm, and for how long it has been."""
    best, since = subject.state.get("best_variant_id"), subject.state.get("best_since")
    return (best, end - since) if best and since else None


def _arm(subject: Subject, id: str, tally: Tally) -> Arm:
    return Arm(id, tally.n, conversions_of(subject.metric, tally), mean_of(subject.metric, tally))


def _compare(
    subject: Subject, found: Findings, epochs: Sequence[Arms], sheet: Sheet, adjusted: Adjustment | None
) -> None:
    assert found.control is not None
    recent = sheet.epochs(("recent", "fresh"))
    for arm in found.challengers:
        ids, alpha = (found.control.id, arm.id), subject.alpha
        arm.comparison = compare(subject.metric, epochs, *ids, alpha=alpha, adjusted=adjusted)
        late = compare(subject.metric, recent, *ids, alpha=alpha, adjusted=adjusted)
        arm.recent = late.difference if late else None
    fixed = [arm.comparison.p if arm.comparison and _judged(subject, found, arm) else 1.0 for arm in found.challengers]
    for arm, p in zip(found.challengers, holm(fixed), strict=True):
        arm.fixed_adjusted = p


def _judged(subject: Subject, found: Findings, arm: Arm) -> bool:
    assert found.control is not None
    pair = (found.control, arm)
    orders = subject.metric != "average_order_value" or all(each.conversions >= MIN_CONVERSIONS for each in pair)
    return orders and all(each.judged for each in pair)


def _tau(subject: Subject, found: Findings) -> dict[str, float]:
    """The spread of effects that the sequential test looks for, from the first look with enough visitors."""
    control = found.control
    if control is None or not all(arm.judged for arm in found.arms) or not control.mean or control.mean <= 0:
        return {}
    return {subject.metric: subject.effect * control.mean}


def _look(subject: Subject, found: Findings, tau: float | None, *, anew: bool) -> dict[str, float]:
    """One look of the sequential test; the running p per challenger."""
    before: dict[str, float] = {} if anew else (subject.state.get("sequential") or {}).get(subject.metric) or {}
    told = (subject.state.get("results") or {}).get("variants") or {}
    kept = {}
    for arm in found.challengers:
        arm.sequential_p, arm.direction = before.get(arm.id), int((told.get(arm.id) or {}).get("direction") or 0)
        comparison = arm.comparison
        if comparison and tau and comparison.variance > 0 and _judged(subject, found, arm):
            now = sequential(comparison.difference, comparison.variance, tau, alpha=found.alpha)
            arm.interval = (now.low, now.high)
            if arm.sequential_p is None or now.p < arm.sequential_p or not arm.direction:
                arm.sequential_p = now.p if arm.sequential_p is None else min(arm.sequential_p, now.p)
                arm.direction = _sign(comparison.difference)
        elif comparison:
            arm.interval = (comparison.low, comparison.high)
        if arm.sequential_p is not None:
            kept[arm.id] = arm.sequential_p
    adjusted = holm([1.0 if arm.sequential_p is None else arm.sequential_p for arm in found.challengers])
    for arm, p in zip(found.challengers, adjusted, strict=True):
        arm.sequential_adjusted = p
    return kept


def _sign(value: float) -> int:
    return (value > 0) - (value < 0)


def _believe(subject: Subject, found: Findings, epochs: Sequence[Arms]) -> None:
    """How probable it is that each arm is the best, and what choosing it would lose."""
    if len(found.arms) < 2:
        return
    posteriors = beliefs(subject.metric, epochs, [arm.id for arm in found.arms])
    if posteriors is None:
        return
    best, loss = best_of(posteriors)
    for arm, p, lost in zip(found.arms, best, loss, strict=True):
        arm.p_best, arm.expected_loss = p, lost


def _critical_since(subject: Subject, split: Split, slot: datetime) -> datetime | None:
    if split.status != "critical":
        return None
    return subject.state.get("srm_critical_since") or slot


def _week(session: Session, subject: Subject, slot: datetime) -> Week | None:
    """The last full local days in which the test ran, at most PACE_DAYS."""
    if subject.started_at is None:
        return None
    zone = tenant_zone(session)
    end, began = local_date(subject.until(slot), zone), local_date(subject.started_at, zone)
    days = min(PACE_DAYS, (end - began).days - 1)
    if days < 1:
        return None
    return Week(day_bounds(end - timedelta(days=days), zone)[0], day_bounds(end, zone)[0], days)


def _plan(subject: Subject, found: Findings, totals: Arms, week: Week | None) -> tuple[int | None, int | None]:
    if found.control is None or found.control.id not in totals:
        return None, None
    needed = needed_units(subject, totals[found.control.id], len(found.challengers))
    smallest = min(found.arms, key=lambda arm: (totals.get(arm.id, Tally()).n, arm.id))
    tally = totals.get(smallest.id, Tally())
    return needed, days_left(needed, tally.n, tally.week / week.days if week else 0.0)


# -- as it is shown ----------------------------------------------------------------------------------------------------


def results_of(seen: Assessment) -> dict[str, Any]:
    """The member `results` of ab_test_state: numbers only, and null where there is none."""
    found, subject = seen.found, seen.subject
    return {
        "metric": subject.metric,
        "alpha": round(subject.alpha, 6),
        "control": found.control.id if found.control else None,
        "problem": found.problem,
        "neededPerArm": seen.needed,
        "daysLeft": seen.days_left,
        "unlinkedShare": found.unlinked_share,
        "visitorsEstimated": subject.test["estimated"],
        "srm": _split_shown(found.split),
        "cuped": _cuped_shown(seen.adjusted),
        "variants": {arm.id: _arm_shown(arm, seen.totals.get(arm.id, Tally())) for arm in found.arms},
    }


def _arm_shown(arm: Arm, tally: Tally) -> dict[str, Any]:
    comparison = arm.comparison
    shown: dict[str, Any] = {
        "n": tally.n,
        "x": tally.converted,
        "orders": tally.orders,
        "revenueCents": tally.revenue,
        "rate": mean_of("conversion_rate", tally),
        "rpv": mean_of("revenue_per_visitor", tally),
        "aov": mean_of("average_order_value", tally),
        "pBest": arm.p_best,
        "expectedLoss": arm.expected_loss,
    }
    if comparison is not None:
        shown |= {
            "difference": comparison.difference,
            "lift": comparison.lift,
            "interval": _bounds(arm.interval),
            "fixedInterval": _bounds((comparison.low, comparison.high)),
            "pFixed": comparison.p,
            "pFixedAdjusted": arm.fixed_adjusted,
            "pSequential": arm.sequential_p,
            "pAdjusted": arm.sequential_adjusted,
            "direction": arm.direction,
        }
    return shown


def _bounds(interval: tuple[float, float] | None) -> list[float] | None:
    return list(interval) if interval and all(map(math.isfinite, interval)) else None


def _split_shown(split: Split) -> dict[str, Any]:
    return {"status": split.status, "p": split.p, "observed": split.observed, "expected": split.expected}


def _cuped_shown(adjusted: Adjustment | None) -> dict[str, float] | None:
    if adjusted is None:
        return None
    return {"theta": adjusted.theta, "varianceReduction": adjusted.variance_reduction}
