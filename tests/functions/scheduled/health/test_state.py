"""The state machine of a service, and the verdict over its figures."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from functions.scheduled.health.state import State, step
from functions.scheduled.health.verdicts import LIMITS, Figure, Verdict, judge, limits_with

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
RESULTS = {
    "h": Verdict("s", "healthy"),
    "d": Verdict("s", "degraded", "SLOW"),
    "u": Verdict("s", "unhealthy", "DOWN"),
    "a": Verdict("s", "unhealthy", "AUTH"),
    "?": Verdict("s", "unknown", "CHECK_TIMEOUT_LOCAL"),
    "-": Verdict("s", "unknown", "NOT_CONFIGURED"),
}


def run(results: str, *, maintenance: str = "") -> tuple[State, list[str]]:
    """The state after results, one a minute, and what was told, as `<minute>:<change>`. A . in `maintenance`: none."""
    state, told = State("s"), []
    for n, letter in enumerate(results):
        quiet = n < len(maintenance) and maintenance[n] == "m"
        state, change = step(state, RESULTS[letter], NOON + timedelta(minutes=n), maintenance=quiet)
        told += [f"{n}:{change}"] if change else []
    return state, told


@pytest.mark.parametrize(
    ("results", "status", "told"),
    [
        ("h", "healthy", []),
        ("u", "unhealthy", []),
        ("d", "degraded", []),
        ("hdddd", "healthy", []),
        ("hddddd", "degraded", ["5:degraded"]),
        ("hdudud", "degraded", ["5:degraded"]),
        ("huu", "healthy", []),
        ("huuu", "unhealthy", ["3:unhealthy"]),
        ("huuhu", "healthy", []),
        ("ha", "healthy", []),
        ("haa", "unhealthy", ["2:unhealthy"]),
        ("hau", "unhealthy", ["2:unhealthy"]),
        ("hdddddu", "degraded", ["5:degraded"]),
        ("hddddduuu", "unhealthy", ["5:degraded", "8:unhealthy"]),
        ("huuuh", "unhealthy", ["3:unhealthy"]),
        ("huuuhh", "healthy", ["3:unhealthy", "5:recovered"]),
        ("huuuhd", "degraded", ["3:unhealthy", "5:degraded"]),
        ("huuudd", "degraded", ["3:unhealthy", "5:degraded"]),
        ("huuuddhh", "healthy", ["3:unhealthy", "5:degraded", "7:recovered"]),
        ("huu?u", "unhealthy", ["4:unhealthy"]),
        ("huuu???", "unhealthy", ["3:unhealthy"]),
        ("huuu-", "unknown", ["3:unhealthy", "4:gone"]),
        ("h-", "unknown", []),
        ("uhh", "healthy", []),
        ("---", "unknown", []),
    ],
)
def test_results_in_a_row(results: str, status: str, told: list[str]) -> None:
    state, said = run(results)

    assert (state.status, said) == (status, told)


def test_alert_of_what_stays_unhealthy_is_repeated_every_twelfth_failure() -> None:
    assert run("h" + "u" * 30)[1] == ["3:unhealthy", "15:still_unhealthy", "27:still_unhealthy"]
    assert run("h" + "a" * 15)[1] == ["2:unhealthy", "8:still_unhealthy", "14:still_unhealthy"]


def test_maintenance_changes_nothing_and_starts_from_zero() -> None:
    assert run("huuuuuuu", maintenance=".mmmm...")[1] == ["7:unhealthy"]


def test_result_that_is_older_than_the_last_one_is_dropped() -> None:
    state, _ = run("huu")

    late, change = step(state, RESULTS["u"], NOON)

    assert (late, change) == (state, None)


def test_since_is_the_instant_of_the_change() -> None:
    assert run("huuuu")[0].since == NOON + timedelta(minutes=3)


# -- verdicts --------------------------------------------------------------------------------------------------------


def test_worst_figure_decides() -> None:
    figures = [
        Figure("jobs.dlq_depth", 3, "a-dlq"),
        Figure("jobs.dlq_depth", 60, "b-dlq"),
        Figure("jobs.backlog", 1200, "c"),
        Figure("jobs.outbox_age_s", 1),
    ]

    verdict = judge("inngest", figures, LIMITS)

    assert (verdict.status, verdict.code) == ("unhealthy", "JOBS_DLQ_DEPTH")
    assert verdict.details["bad"] == ["b-dlq dlq_depth 60", "c backlog 1200", "a-dlq dlq_depth 3"]
    assert verdict.details["dlq_depth"] == 60


def test_at_most_ten_queues_are_named() -> None:
    verdict = judge("inngest", [Figure("jobs.dlq_depth", n, f"q{n}") for n in range(1, 20)], LIMITS)

    assert len(verdict.details["bad"]) == 10
    assert verdict.details["bad"][0] == "q19 dlq_depth 19"


def test_without_figures_nothing_is_known() -> None:
    assert judge("redis", [], LIMITS).status == "unknown"


@pytest.mark.parametrize(
    ("setting", "limits"),
    [
        ({"redis.latency": [1, 2]}, (1, 2)),
        ({"redis.latency": [1]}, (500, 2000)),
        ({"redis.latency": ["a", "b"]}, (500, 2000)),
        ({"something": [1, 2]}, (500, 2000)),
        (None, (500, 2000)),
    ],
)
def test_single_limits_may_be_set(setting: object, limits: tuple[float, float]) -> None:
    assert limits_with(setting)["redis.latency"] == limits
