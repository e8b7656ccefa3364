"""Novelty, drift, reports and differences, by numbers worked out by hand."""

from __future__ import annotations

from typing import Any

import pytest

from functions.commerce.ab_tests.checks import Revenue, apart
from functions.commerce.ab_tests.quality import drifts, is_novelty
from functions.commerce.ab_tests.reports import has_changed
from shared.stats import two_proportions


def quarters(*counts: tuple[int, int], kind: str = "device_type") -> list[dict[str, Any]]:
    """(early, late) per value."""
    return [{"kind": kind, "place": n, "early": early, "late": late} for n, (early, late) in enumerate(counts, 1)]


def test_worn_off_effect_is_a_novelty() -> None:
    """Of 7000 each: 210 against 294 in the first week, 210 against 217 in the last; z 2.567629708, ratio 0.0833."""
    first, last = two_proportions(210, 7000, 294, 7000), two_proportions(210, 7000, 217, 7000)

    z = (first.difference - last.difference) / (first.variance + last.variance) ** 0.5
    assert z == pytest.approx(2.567629708, rel=1e-9)
    assert is_novelty(first, last)


@pytest.mark.parametrize(
    ("first", "last"),
    [((210, 294), (210, 270)), ((294, 210), (294, 294)), ((210, 217), (210, 210))],
    ids=["most of it is left", "a loss that goes", "nothing was there"],
)
def test_other_changes_are_none(first: tuple[int, int], last: tuple[int, int]) -> None:
    early, late = (two_proportions(a, 7000, b, 7000) for a, b in (first, last))

    assert not is_novelty(early, late)
    assert not is_novelty(early, None)


@pytest.mark.parametrize(
    ("counts", "found"),
    [
        ([(600, 500), (400, 500)], True),  # chi-square 20.2, V 0.1005
        ([(6000, 5500), (4000, 4500)], False),  # chi-square 51, V 0.05: significant and small
        ([(100, 60), (60, 100)], False),  # 160 visitors a quarter
        ([(110, 90), (90, 110)], False),  # V 0.1, p 0.0455
        ([(500, 500)], False),
    ],
    ids=["drift", "a trifle", "too few", "not significant", "one kind only"],
)
def test_drift(counts: list[tuple[int, int]], found: bool) -> None:
    assert drifts(quarters(*counts)) is found
    assert drifts([*quarters((1000, 1000), (1, 1), kind="country"), *quarters(*counts)]) is found


@pytest.mark.parametrize(
    ("counted", "recorded", "found"),
    [(1_000, 1_040, False), (1_000, 1_100, True), (100, 120, False), (100, 121, True), (0, 21, True), (0, 0, False)],
)
def test_counts_apart(counted: int, recorded: int, found: bool) -> None:
    assert apart(counted, recorded) is found


@pytest.mark.parametrize(
    ("stored", "recounted", "moved"),
    [(50_000, 61_000, False), (50_000, 75_000, True), (9_000, 19_000, False), (10_001, 0, True), (10_000, 0, False)],
)
def test_revenue_that_moved(stored: int, recounted: int, moved: bool) -> None:
    assert Revenue(stored, recounted).moved is moved


RESULTS = {
    "alpha": 0.05,
    "control": "a",
    "variants": {
        "a": {"pBest": 0.01},
        "b": {"difference": 0.01, "pFixedAdjusted": 0.01, "pAdjusted": 0.2, "pBest": 0.96},
        "c": {"difference": -0.01, "pFixedAdjusted": 0.03, "pAdjusted": 0.04, "pBest": 0.03},
    },
}


@pytest.mark.parametrize(
    ("report", "changed"),
    [
        ({"decision": "winner", "winner": "b", "reason": "scheduled"}, False),
        ({"decision": "winner", "winner": "b", "reason": "significance"}, True),
        ({"decision": "winner", "winner": "c", "reason": "scheduled"}, True),
        ({"decision": "winner", "winner": "gone", "reason": "scheduled"}, True),
        ({"decision": "winner", "winner": "c", "reason": "manual", "chosenBy": "manual"}, False),
        ({"decision": "control_wins", "winner": "a", "reason": "scheduled"}, True),
        ({"decision": "inconclusive", "winner": None, "reason": "scheduled"}, False),
    ],
)
def test_result_that_changed(report: dict[str, Any], changed: bool) -> None:
    assert has_changed(report, RESULTS, bandit=False) is changed


@pytest.mark.parametrize(("winner", "changed"), [("b", False), ("c", True)])
def test_bandit_is_held_by_the_probability_of_being_best(winner: str, changed: bool) -> None:
    report = {"decision": "winner", "winner": winner, "reason": "significance"}

    assert has_changed(report, RESULTS, bandit=True) is changed


def test_control_wins_while_all_others_are_behind() -> None:
    results = {**RESULTS, "variants": {"a": {}, "c": RESULTS["variants"]["c"]}}  # type: ignore[index]

    assert not has_changed({"decision": "control_wins", "winner": "a", "reason": "manual"}, results, bandit=False)
