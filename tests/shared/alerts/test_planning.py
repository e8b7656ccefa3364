"""Whom an alert goes to, and what quiet hours hold back."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, time
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from shared.alerts.planning import audience, plan
from shared.alerts.problem import Problem
from shared.alerts.scopes import QuietHours, Scope, Target
from shared.alerts.scopes import _quiet as quiet_of
from shared.jobs.context import Tenant

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
TENANT = Tenant("acme", UUID(int=1), "active")
SCOPE = Scope(
    name="tenant",
    label="acme",
    title="Acme",
    emails=(Target.of("ann@acme.example", "u1"),),
    phones=(Target.of("+12125550100", "phones:0"),),
    slack_channels={
        "system.error.critical": "C1",
        "system.alert": "C2",
        "system.api.error": "C3",
        "system.security": "C4",
    },
    webhook_url="https://example.com/hook",
    pagerduty_key="sealed",
    sms_tenant="acme",
)


def a_problem(**changes: Any) -> Problem:
    values = {
        "kind": "systemError",
        "severity": "error",
        "source": "orders",
        "title": "t",
        "message": "m",
        "dedupe_key": "k",
        "context": {},
        "occurred_at": NOON,
        "event_id": "1",
        **changes,
    }
    return Problem(**values)


def channels(problem: Problem, scope: Scope = SCOPE, severity: str | None = None) -> list[str]:
    return [each.channel for each in plan(problem, severity or problem.severity, [scope], "tenant", NOON).deliveries]


@pytest.mark.parametrize(
    ("severity", "wanted"),
    [
        ("critical", ["pagerduty", "sms", "slack", "webhook", "email"]),
        ("error", ["slack", "webhook", "email"]),
        ("warning", ["slack"]),
        ("info", ["slack"]),
    ],
)
def test_severity_decides_the_channels(severity: str, wanted: list[str]) -> None:
    assert channels(a_problem(severity=severity)) == wanted


@pytest.mark.parametrize(
    ("kind", "severity", "channel"),
    [
        ("critical", "critical", "C1"),
        ("systemError", "error", "C1"),
        ("systemError", "warning", "C2"),
        ("apiFailure", "error", "C3"),
        ("security", "critical", "C4"),
        ("creatorComplaint", "error", "C2"),
        ("milestone", "info", "C2"),
    ],
)
def test_kind_and_severity_decide_the_slack_channel(kind: str, severity: str, channel: str) -> None:
    assert SCOPE.slack_channel(kind, severity) == channel


@pytest.mark.parametrize(
    ("columns", "severity", "channel"),
    [
        ({"critical": "C1", "info": "C9"}, "critical", "C1"),
        ({"critical": "C1", "info": "C9"}, "warning", "C9"),
        ({"critical": "C1"}, "error", None),
    ],
)
def test_platforms_channel_falls_back_to_that_for_information(
    columns: dict[str, str], severity: str, channel: str | None
) -> None:
    scope = Scope(name="platform", label="Platform", title="Platform", slack_channels=columns)

    assert scope.slack_channel("critical", severity) == channel


@pytest.mark.parametrize(
    ("source", "left_out"), [("slack", "slack"), ("mail", "email"), ("sms", None), ("orders", None)]
)
def test_channel_is_not_told_of_its_own_trouble_on_itself(source: str, left_out: str | None) -> None:
    found = plan(a_problem(source=source), "error", [SCOPE], "tenant", NOON)

    assert found.skipped == ({left_out: "echo"} if left_out else {})
    assert left_out not in [each.channel for each in found.deliveries]
    assert len(channels(a_problem(source=source, severity="critical"))) == 5  # unless it is critical


@pytest.mark.parametrize(
    ("rules", "wanted"),
    [
        ([{"channels": ["sms"]}], ["sms"]),
        ([{"kind": "security", "channels": ["sms"]}], ["slack", "webhook", "email"]),
        ([{"minSeverity": "critical", "channels": []}, {"source": "orders", "channels": ["pagerDuty"]}], ["pagerduty"]),
        ([{"minSeverity": "nonsense", "channels": []}], ["slack", "webhook", "email"]),
    ],
    ids=["replaces", "another kind", "the first that fits", "not understood"],
)
def test_first_rule_that_fits_replaces_the_channels(rules: list[dict[str, Any]], wanted: list[str]) -> None:
    scope = replace(SCOPE, rules=tuple(rules))

    assert channels(a_problem(), scope) == wanted


@pytest.mark.parametrize(
    ("kind", "severity", "context", "status", "wanted"),
    [
        ("systemError", "error", {}, "active", {"tenant", "platform"}),
        ("systemError", "warning", {}, "active", {"tenant"}),
        ("systemError", "error", {"audience": "platform"}, "active", {"platform"}),
        ("systemError", "error", {"audience": "tenant"}, "active", {"tenant"}),
        ("systemError", "warning", {}, "suspended", {"platform"}),
        ("milestone", "critical", {}, "active", {"tenant"}),
        ("milestone", "critical", {}, "suspended", set()),
    ],
)
def test_who_is_told(kind: str, severity: str, context: dict[str, Any], status: Any, wanted: set[str]) -> None:
    tenant = Tenant("acme", UUID(int=1), status)

    assert audience(a_problem(kind=kind, context=context), severity, tenant) == wanted


# -- quiet hours -----------------------------------------------------------------------------------------------------

NIGHT = QuietHours(time(22), time(7), ZoneInfo("Europe/Berlin"))


@pytest.mark.parametrize(
    ("now", "until"),
    [
        (datetime(2026, 11, 20, 20, 59, tzinfo=UTC), None),
        (datetime(2026, 11, 20, 21, 0, tzinfo=UTC), datetime(2026, 11, 21, 6, 0, tzinfo=UTC)),
        (datetime(2026, 11, 21, 5, 59, tzinfo=UTC), datetime(2026, 11, 21, 6, 0, tzinfo=UTC)),
        (datetime(2026, 11, 21, 6, 0, tzinfo=UTC), None),
        (datetime(2026, 3, 28, 22, 0, tzinfo=UTC), datetime(2026, 3, 29, 5, 0, tzinfo=UTC)),
    ],
    ids=["just before", "begins", "just before the end", "ends", "the night of the clock change"],
)
def test_window_is_half_open_and_spans_midnight(now: datetime, until: datetime | None) -> None:
    assert NIGHT.until(now) == until


@pytest.mark.parametrize(
    ("severity", "held"),
    [("critical", set()), ("error", {"email"}), ("warning", {"slack"}), ("info", {"slack"})],
)
def test_quiet_hours_hold_what_can_wait(severity: str, held: set[str]) -> None:
    scope = replace(SCOPE, quiet=NIGHT)
    night = datetime(2026, 11, 20, 23, 0, tzinfo=UTC)

    found = plan(a_problem(severity=severity), severity, [scope], "tenant", night)

    assert {each.channel for each in found.deliveries if each.not_before} == held
    assert {each.not_before for each in found.deliveries if each.not_before} <= {datetime(2026, 11, 21, 6, tzinfo=UTC)}


@pytest.mark.parametrize(
    ("settings", "kept"),
    [
        ({"enabled": True, "start": "22:00", "end": "07:00", "timezone": "Europe/Berlin"}, True),
        ({"enabled": True, "start": 22, "end": 7, "timezone": "Europe/Berlin"}, True),
        ({"start": "22:00", "end": "07:00", "timezone": "Europe/Berlin"}, False),
        ({"enabled": True, "start": "22:00", "end": "22:00", "timezone": "Europe/Berlin"}, False),
        ({"enabled": True, "start": "22:00", "end": "07:00", "timezone": "Mars/Base"}, False),
        ({"enabled": True, "start": "late", "end": "07:00", "timezone": "Europe/Berlin"}, False),
        ("nonsense", False),
    ],
)
def test_settings_that_make_no_sense_are_no_quiet_hours(settings: Any, kept: bool) -> None:
    assert (quiet_of(settings) is not None) is kept
