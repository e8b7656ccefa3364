"""What the checks leave behind: the state of each service, the history, and what is told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from functions.scheduled.health.state import Change, State, step
from functions.scheduled.health.verdicts import Verdict
from shared.events.alerts import AlertCritical, AlertSystemError
from shared.jobs.context import Session
from shared.privacy import scrub_values

SHOWN_NAMES: Mapping[str, str] = {"database": "Database", "redis": "Redis", "inngest": "Job system"}
"""The services of this check that raise alerts; `inngest` is the name under which the app's matrix shows the jobs."""

SETTINGS = """
-- health: what the platform has set
SELECT key, value FROM public.platform_config
WHERE key IN ('health.thresholds', 'health.maintenance', 'health.services')
"""

STATES = """
-- health: the states of the platform's services, locked
SELECT service, status, since, fail_streak, bad_streak, good_streak, better_streak, alert_open, last_result, last_code,
       last_latency_ms, last_checked_at
FROM public.health_check_state WHERE tenant_id IS NULL AND service = ANY(%(services)s)
ORDER BY service FOR UPDATE
"""

STORE = """
-- health: the states after this check
INSERT INTO public.health_check_state (
    service, tenant_id, status, since, fail_streak, bad_streak, good_streak, better_streak, alert_open, last_result,
    last_code, last_latency_ms, last_checked_at
)
SELECT s.service, NULL, s.status, s.since, s.fail_streak, s.bad_streak, s.good_streak, s.better_streak, s.alert_open,
       s.last_result, s.last_code, s.last_latency_ms, s.last_checked_at
FROM unnest(
    %(service)s::text[], %(status)s::text[], %(since)s::timestamptz[], %(fail_streak)s::int[], %(bad_streak)s::int[],
    %(good_streak)s::int[], %(better_streak)s::int[], %(alert_open)s::boolean[], %(last_result)s::text[],
    %(last_code)s::text[], %(last_latency_ms)s::int[], %(last_checked_at)s::timestamptz[]
) AS s (service, status, since, fail_streak, bad_streak, good_streak, better_streak, alert_open, last_result,
        last_code, last_latency_ms, last_checked_at)
ON CONFLICT (service, tenant_id) DO UPDATE SET
    status = EXCLUDED.status, since = EXCLUDED.since, fail_streak = EXCLUDED.fail_streak,
    bad_streak = EXCLUDED.bad_streak, good_streak = EXCLUDED.good_streak, better_streak = EXCLUDED.better_streak,
    alert_open = EXCLUDED.alert_open, last_result = EXCLUDED.last_result, last_code = EXCLUDED.last_code,
    last_latency_ms = EXCLUDED.last_latency_ms, last_checked_at = EXCLUDED.last_checked_at
"""

HISTORY = """
-- health: one row per check of a platform service
INSERT INTO public.health_check_history (service, tenant_id, status, latency_ms, details, checked_at)
SELECT h.service, NULL, h.status, h.latency_ms, h.details, %(now)s
FROM unnest(%(service)s::text[], %(status)s::text[], %(latency_ms)s::int[], %(details)s::jsonb[])
     AS h (service, status, latency_ms, details)
"""

COLUMNS = (
    "service",
    "status",
    "since",
    "fail_streak",
    "bad_streak",
    "good_streak",
    "better_streak",
    "alert_open",
    "last_result",
    "last_code",
    "last_latency_ms",
    "last_checked_at",
)


@dataclass(frozen=True, slots=True)
class Settings:
    """platform_config, as far as health reads it; what is of another shape counts as absent."""

    thresholds: Any = None
    maintenance: tuple[Mapping[str, Any], ...] = ()
    disabled: frozenset[str] = frozenset()

    @classmethod
    def read(cls, session: Session) -> Settings:
        found = {row["key"]: row["value"] for row in session.all(SETTINGS)}
        windows, services = found.get("health.maintenance"), found.get("health.services")
        disabled = services.get("disabled") if isinstance(services, dict) else None
        return cls(
            thresholds=found.get("health.thresholds"),
            maintenance=tuple(each for each in windows if isinstance(each, dict)) if isinstance(windows, list) else (),
            disabled=frozenset(str(each) for each in disabled) if isinstance(disabled, list) else frozenset(),
        )

    def in_maintenance(self, service: str, now: datetime) -> bool:
        """Whether maintenance of the platform's service is announced for now; a window for tenants is not."""
        for window in self.maintenance:
            start, end = _instant(window.get("from")), _instant(window.get("to"))
            services = window.get("services")
            named = not services or (isinstance(services, list) and service in services)
            if named and not window.get("tenants") and start is not None and end is not None and start <= now < end:
                return True
        return False


def _instant(value: Any) -> datetime | None:
    try:
        found = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None
    return found if found.tzinfo else None


def keep(session: Session, verdicts: Sequence[Verdict], settings: Settings, now: datetime) -> None:
    """Move the states on, write the history, and publish what changed; in the caller's transaction."""
    known = {row["service"]: State(**row) for row in session.all(STATES, {"services": _names(verdicts)})}
    states: list[State] = []
    for verdict in verdicts:
        maintenance = settings.in_maintenance(verdict.service, now)
        before = known.get(verdict.service, State(verdict.service))
        state, change = step(before, verdict, now, maintenance=maintenance)
        if verdict.service not in SHOWN_NAMES:
            state, change = replace(state, alert_open=False), None  # told by the vendor's own alert, not by this one
        states.append(state)
        if change is not None:
            _tell(session, before, verdict, change)
    session.execute(STORE, {name: [getattr(state, name) for state in states] for name in COLUMNS})
    _remember(session, verdicts, settings, now)


def _names(verdicts: Sequence[Verdict]) -> list[str]:
    return [verdict.service for verdict in verdicts]


def _remember(session: Session, verdicts: Sequence[Verdict], settings: Settings, now: datetime) -> None:
    details = [
        scrub_values(dict(verdict.details))
        | ({"code": verdict.code} if verdict.code else {})
        | ({"maintenance": True} if settings.in_maintenance(verdict.service, now) else {})
        for verdict in verdicts
    ]
    session.execute(
        HISTORY,
        {
            "service": _names(verdicts),
            "status": [verdict.status for verdict in verdicts],
            "latency_ms": [verdict.latency_ms or 0 for verdict in verdicts],
            "details": [Jsonb(each) for each in details],
            "now": now,
        },
    )


def _tell(session: Session, before: State, verdict: Verdict, change: Change) -> None:
    """One event per change. The key names the service, not its status: degraded and unhealthy are one problem."""
    name = SHOWN_NAMES[verdict.service]
    over = change in ("recovered", "gone")
    facts = {
        "source": "health",
        "dedupeKey": f"health:{verdict.service}:platform",
        "context": {
            "audience": "platform",
            "code": verdict.code or "OK",
            "figures": {key: value for key, value in verdict.details.items() if not isinstance(value, list)},
        },
        "resolve": over,
    }
    critical = change in ("unhealthy", "still_unhealthy") or (over and before.status == "unhealthy")
    words = {"degraded": "is degraded", "recovered": "works again", "gone": "is no longer configured"}
    facts["title"] = f"{name} {words.get(change, 'is unhealthy')}"
    facts["message"] = _message(verdict, change)
    if critical:
        session.emit(AlertCritical.model_validate(facts))
    else:
        session.emit(AlertSystemError.model_validate({**facts, "severity": "warning"}))


def _message(verdict: Verdict, change: Change) -> str:
    if change == "gone":
        return "not configured"
    named = [each for value in verdict.details.values() if isinstance(value, list) for each in value]
    figures = [f"{key} {value}" for key, value in verdict.details.items() if not isinstance(value, list)]
    said = f"{verdict.code or 'All figures are within their limits'}. {'; '.join([*named, *figures])}"
    return said.rstrip(". ")[:3000]
