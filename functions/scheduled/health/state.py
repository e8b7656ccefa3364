"""The debounced state of a service: what is shown and alerted, out of what single checks said.

    unknown              -> the first result, at once and without an alert
    healthy              -> degraded    5 results in a row that are degraded or worse
    healthy, degraded    -> unhealthy   3 results in a row that are unhealthy (refused credentials count twice)
    degraded, unhealthy  -> healthy     2 healthy results in a row
    unhealthy            -> degraded    2 results in a row that are degraded or better, not all healthy
    any                  -> unknown     the service is no longer configured

A check that could not be made changes no counter. While maintenance is announced nothing changes but the last result:
what is still bad at its end counts from zero.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from functions.scheduled.health.verdicts import NOT_CONFIGURED, Status, Verdict

UNHEALTHY_AFTER = 3
DEGRADED_AFTER = 5
RECOVER_AFTER = 2
REPEAT_EVERY = 12
"""While a service stays unhealthy, every so many further failures its alert is repeated."""

Change = Literal["degraded", "unhealthy", "recovered", "still_unhealthy", "gone"]


@dataclass(frozen=True, slots=True)
class State:
    """One row of health_check_state, as far as the rules need it."""

    service: str
    status: Status = "unknown"
    since: datetime | None = None
    fail_streak: int = 0
    bad_streak: int = 0
    good_streak: int = 0
    better_streak: int = 0
    alert_open: bool = False
    last_result: str | None = None
    last_code: str | None = None
    last_latency_ms: int | None = None
    last_checked_at: datetime | None = None


def step(state: State, verdict: Verdict, now: datetime, *, maintenance: bool = False) -> tuple[State, Change | None]:
    """The state after one result, and what is to be told of it. A result older than the last one changes nothing."""
    if state.last_checked_at is not None and now < state.last_checked_at:
        return state, None
    seen = replace(
        state,
        last_result=verdict.status,
        last_code=verdict.code,
        last_latency_ms=verdict.latency_ms,
        last_checked_at=now,
        since=state.since or now,
    )
    if verdict.status == "unknown":
        gone = verdict.code == NOT_CONFIGURED and state.status != "unknown"
        if not gone:
            return seen, None
        still = replace(_calm(seen), status="unknown", since=now, alert_open=False)
        return still, "gone" if state.alert_open else None
    if maintenance:
        return _calm(seen), None
    counted = _counted(seen, verdict)
    return _changed(counted, verdict, now, failures_before=state.fail_streak)


def _calm(state: State) -> State:
    return replace(state, fail_streak=0, bad_streak=0, good_streak=0, better_streak=0)


def _counted(state: State, verdict: Verdict) -> State:
    unhealthy, healthy = verdict.status == "unhealthy", verdict.status == "healthy"
    return replace(
        state,
        fail_streak=state.fail_streak + verdict.steps if unhealthy else 0,
        bad_streak=0 if healthy else state.bad_streak + 1,
        good_streak=state.good_streak + 1 if healthy else 0,
        better_streak=0 if unhealthy else state.better_streak + 1,
    )


def _changed(state: State, verdict: Verdict, now: datetime, *, failures_before: int) -> tuple[State, Change | None]:
    if state.status == "unknown":
        return replace(state, status=verdict.status, since=now), None
    if state.status != "unhealthy" and state.fail_streak >= UNHEALTHY_AFTER:
        return replace(state, status="unhealthy", since=now, alert_open=True), "unhealthy"
    if state.status == "healthy" and state.bad_streak >= DEGRADED_AFTER:
        return replace(state, status="degraded", since=now, alert_open=True), "degraded"
    if state.status in ("degraded", "unhealthy") and state.good_streak >= RECOVER_AFTER:
        recovered = replace(state, status="healthy", since=now, alert_open=False)
        return recovered, "recovered" if state.alert_open else None
    if state.status == "unhealthy" and state.better_streak >= RECOVER_AFTER:
        return replace(state, status="degraded", since=now, alert_open=True), "degraded"
    if state.status == "unhealthy" and _due_again(failures_before, state.fail_streak):
        return replace(state, alert_open=True), "still_unhealthy"
    return state, None


def _due_again(before: int, after: int) -> bool:
    """Whether the failures beyond the one that raised the alert have reached a further multiple of REPEAT_EVERY."""
    return (after - UNHEALTHY_AFTER) // REPEAT_EVERY > max(0, before - UNHEALTHY_AFTER) // REPEAT_EVERY
