"""The verdict from findings alone: which conditions a decision needs, and which p decides at an end."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from functions.commerce.ab_tests.comparing import Split
from functions.commerce.ab_tests.deciding import Arm, Decision, Findings, at_the_end, split_wrong, while_running
from shared.stats import Comparison, holm
from tests.functions.commerce.ab_tests.conftest import NOON

WEEK = timedelta(days=7)


def arm(
    id: str, mean: float, *, fixed: float = 1.0, sequential: float = 1.0, control: float = 0.03, **more: Any
) -> Arm:
    """An arm with 1,000 visitors and 30 conversions; the p-values are adjusted already."""
    difference = mean - control
    comparison = Comparison(difference, 1e-6, 0.0, fixed, 0.0, 0.0, difference / control * 100)
    values = {"n": 1_000, "conversions": 30, **more}
    direction = (difference > 0) - (difference < 0)
    return Arm(
        id,
        mean=mean,
        comparison=comparison,
        direction=direction,
        fixed_adjusted=fixed,
        sequential_adjusted=sequential,
        **values,
    )


def found(*challengers: Arm, **more: Any) -> Findings:
    """A clean test of eight days."""
    control = more.pop("control", Arm("a", n=1_000, conversions=30, mean=0.03))
    values = {
        "split": Split("none", 0.5),
        "alpha": 0.05,
        "runtime": timedelta(days=8),
        "guarded": False,
        "unlinked_share": 0.0,
        "arms": [control, *challengers],
    }
    return Findings(control=control, challengers=list(challengers), **{**values, **more})


def test_of_two_that_are_significant_after_holm_the_one_with_the_higher_rate_wins() -> None:
    """Fixed p of 0.012 and 0.030 become 0.024 and 0.030."""
    adjusted = holm([0.012, 0.030])
    assert adjusted == [pytest.approx(0.024), pytest.approx(0.030)]
    two = [arm("b", 0.036, fixed=adjusted[0]), arm("c", 0.037, fixed=adjusted[1])]

    assert at_the_end(found(*two), planned=True) == Decision("winner", "c", True)
    assert at_the_end(found(*two), planned=False).word == "inconclusive"


@pytest.mark.parametrize(
    ("more", "word"),
    [
        ({"runtime": WEEK}, "winner"),
        ({"runtime": WEEK - timedelta(seconds=1)}, "leading"),
        ({"unlinked_share": 0.10}, "winner"),
        ({"unlinked_share": 0.101}, "leading"),
        ({"guarded": True}, "leading"),
        ({"split": Split("critical", 1e-4)}, "leading"),
        ({"split": Split("warning", 0.04)}, "winner"),
        ({"control": Arm("a", n=1_000, conversions=24, mean=0.03)}, "leading"),
        ({"control": Arm("a", n=1_000, conversions=25, mean=0.03)}, "winner"),
    ],
)
def test_what_a_winner_needs_besides_its_p(more: dict[str, Any], word: str) -> None:
    assert while_running(found(arm("b", 0.04, sequential=0.05), **more)).word == word


@pytest.mark.parametrize(
    ("challenger", "word"),
    [
        (arm("b", 0.04, sequential=0.0501), "collecting"),
        (arm("b", 0.04, sequential=0.01, conversions=24), "leading"),
        (arm("b", 0.04, sequential=0.01, recent=-0.001), "leading"),
        (arm("b", 0.04, sequential=0.01, recent=0.0), "winner"),
        (arm("b", 0.02, sequential=0.01), "control_wins"),
        (arm("b", 0.02, sequential=0.01, conversions=24), "collecting"),
    ],
)
def test_what_is_said_of_one_challenger(challenger: Arm, word: str) -> None:
    assert while_running(found(challenger)).word == word


@pytest.mark.parametrize(
    ("age", "word"), [(timedelta(days=21) - timedelta(seconds=1), "leading"), (timedelta(days=21), "winner")]
)
def test_last_days_are_not_asked_after_three_weeks(age: timedelta, word: str) -> None:
    assert while_running(found(arm("b", 0.04, sequential=0.01, recent=-0.001), runtime=age)).word == word


def test_control_does_not_win_before_every_challenger_is_behind() -> None:
    behind, level = arm("b", 0.02, sequential=0.01), arm("c", 0.03, sequential=1.0)

    assert while_running(found(behind, level)).word == "collecting"


@pytest.mark.parametrize(("minutes", "wrong"), [(54, False), (55, True)])
def test_critical_split_is_acted_on_after_55_minutes(minutes: int, wrong: bool) -> None:
    assert split_wrong(Split("critical", 1e-4), NOON, NOON + timedelta(minutes=minutes)) is wrong
    assert not split_wrong(Split("warning", 0.01), NOON, NOON + timedelta(minutes=minutes))
