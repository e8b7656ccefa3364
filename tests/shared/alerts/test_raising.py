"""Raising: severer, again, a storm; in a session of the tenant."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.alerts import Problem, Raised, raise_alert
from shared.db.connections import Connection, connect
from shared.db.sessions import tenant_transaction
from shared.jobs.context import Tenant

Rows = Any
NOON = datetime(2026, 11, 20, 12, 2, tzinfo=UTC)
BASE = Problem(
    kind="apiFailure",
    severity="warning",
    source="mail",
    title="Mail is refused",
    message="401",
    dedupe_key="mail:401",
    context={},
    occurred_at=NOON,
    event_id="0",
)
Raise = Callable[..., Raised]


@pytest.fixture
def login(database_url: str) -> Iterator[Connection]:
    with connect(database_url, application_name="test") as connection:
        yield connection


@pytest.fixture
def file(login: Connection, tenant: Tenant) -> Raise:
    """file(at_s=60, severity="error") raises one event so many seconds after noon."""
    events = iter(range(1, 1000))

    def run(at_s: float = 0, **changes: Any) -> Raised:
        at = NOON + timedelta(seconds=at_s)
        event = replace(BASE, **{"occurred_at": at, "event_id": str(next(events)), **changes})
        with tenant_transaction(login, tenant) as session:
            return raise_alert(session, event, tenant, at)  # type: ignore[arg-type]  # emits nothing

    return run


def test_severer_event_raises_the_row_and_starts_the_escalation_anew(file: Raise, rows: Rows) -> None:
    file()
    rows.execute("UPDATE platform_alerts SET status = 'acknowledged', escalation_level = 2, acknowledged_at = now()")

    raised = file(60, severity="error")

    assert (raised.outcome, raised.severity, raised.notice) == ("raised", "error", "raise:error")
    [row] = rows("SELECT * FROM platform_alerts")
    assert (row["severity"], row["metadata"]["severity"], row["status"]) == ("p2", "error", "open")
    assert (row["escalation_level"], row["escalated_at"]) == (0, NOON + timedelta(seconds=60))
    assert row["acknowledged_at"] is None


def test_milder_event_never_lowers_the_row(file: Raise) -> None:
    file(severity="error")

    again = file(60, severity="info")

    assert (again.outcome, again.severity, again.notice) == ("repeated", "error", None)


@pytest.mark.parametrize(
    ("severity", "after_s", "told"),
    [
        ("critical", 3600, True),
        ("critical", 3599, False),
        ("error", 4 * 3600, True),
        ("warning", 24 * 3600, True),
        ("warning", 24 * 3600 - 1, False),
        ("info", 30 * 24 * 3600, False),
    ],
)
def test_problem_that_goes_on_is_told_again_so_often(
    file: Raise, rows: Rows, severity: str, after_s: int, told: bool
) -> None:
    file(severity=severity)
    rows.execute("UPDATE platform_alerts SET last_notified_at = %s", (NOON,))

    assert (file(after_s, severity=severity).notice == "again:2") is told


@pytest.mark.parametrize(
    ("changes", "source"),
    [
        ({"source": "health"}, "health_check"),
        ({"source": "health.tenant"}, "health_check"),
        ({"context": {"manual": True}}, "manual"),
        ({"metric": "refunds", "current_value": 0, "threshold_value": 5}, "threshold"),
        ({"metric": "refunds", "current_value": 3}, "error_tracker"),
    ],
)
def test_table_says_who_found_it(file: Raise, rows: Rows, changes: dict[str, Any], source: str) -> None:
    file(**changes)

    [row] = rows("SELECT source, current_value FROM platform_alerts")
    assert row["source"] == source
    if "current_value" in changes:
        assert row["current_value"] == changes["current_value"]  # a true 0 stays 0


def test_storm_is_told_once_instead_of_each_alert(file: Raise, rows: Rows) -> None:
    for n in range(30):
        assert file(n, dedupe_key=f"p{n}").notice == "new:0"

    first, second = file(31, dedupe_key="p31"), file(32, dedupe_key="p32")

    assert (first.notice, second.notice) == (None, None)
    assert first.storm is not None
    assert second.storm is not None
    assert (first.storm.outcome, first.storm.severity, first.storm.notice) == ("created", "error", "new:0")
    assert (second.storm.outcome, second.storm.notice) == ("repeated", None)
    suppressed = rows("SELECT dedupe_key FROM platform_alerts WHERE metadata->>'suppressed' = 'storm' ORDER BY 1")
    assert [row["dedupe_key"] for row in suppressed] == ["p31", "p32"]
    [storm] = rows("SELECT * FROM platform_alerts WHERE dedupe_key LIKE 'alert-storm:%'")
    assert (storm["dedupe_key"], storm["title"], storm["kind"]) == (
        "alert-storm:2026-11-20T12:00Z",
        "Alert storm",
        "systemError",
    )
    assert storm["metadata"]["context"]["sources"]["mail"] == 31


def test_storm_swallows_nothing_critical(file: Raise) -> None:
    for n in range(31):
        file(n, dedupe_key=f"p{n}")

    critical = file(32, dedupe_key="down", severity="critical")

    assert (critical.notice, critical.storm) == ("new:0", None)


def test_calm_after_the_storm(file: Raise) -> None:
    for n in range(30):
        file(n, dedupe_key=f"p{n}")

    assert file(330, dedupe_key="later").notice == "new:0"


def test_event_that_comes_twice_counts_once(file: Raise, rows: Rows) -> None:
    file(event_id="same")
    again = file(30, event_id="same")

    assert (again.outcome, again.notice, again.again) == ("created", "new:0", True)
    assert rows("SELECT occurrences FROM platform_alerts") == [{"occurrences": 1}]


def test_end_that_comes_twice_is_the_same_end(file: Raise) -> None:
    file()
    first = file(60, resolve=True, event_id="end")
    again = file(90, resolve=True, event_id="end")

    assert (first.outcome, again.outcome, again.notice) == ("resolved", "resolved", "recovered:0")


def test_two_tenants_have_rows_of_their_own(file: Raise, login: Connection, other_tenant: Tenant, rows: Rows) -> None:
    file()
    with tenant_transaction(login, other_tenant) as session:
        other = raise_alert(session, BASE, other_tenant, NOON)  # type: ignore[arg-type]  # emits nothing

    assert other.outcome == "created"
    assert len(rows("SELECT * FROM platform_alerts")) == 2
