"""Figures, their limits, and the verdict of one check: the worst of its figures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Status = Literal["healthy", "degraded", "unhealthy", "unknown"]
BADNESS: Mapping[str, int] = {"healthy": 0, "degraded": 1, "unhealthy": 2}

NOT_CONFIGURED = "NOT_CONFIGURED"
AUTH = "AUTH"
TIMEOUT = "TIMEOUT"
NOT_STARTED = "CHECK_TIMEOUT_LOCAL"
NAMED_MOST = 10
"""Queues or jobs named in a check's details, worst first."""

Limits = tuple[float, float]

LIMITS: Mapping[str, Limits] = {
    "database.latency": (100, 500),  # ms, the median of three SELECT 1
    "database.connections_pct": (70, 90),
    "database.longest_transaction_s": (300, 1800),
    "database.replication_lag_s": (30, 300),
    "database.xid_age_millions": (1000, 1500),
    "redis.latency": (500, 2000),  # ms
    "redis.memory_pct": (70, 90),
    "jobs.oldest_message_s": (300, 1800),
    "jobs.oldest_message_bulk_s": (1800, 7200),
    "jobs.dlq_depth": (1, 50),  # messages of one queue
    "jobs.failed_runs_hour": (10, 50),
    "jobs.outbox_age_s": (120, 600),
    "jobs.backlog": (1000, 5000),  # visible messages of one queue
    "jobs.missed_heartbeats": (1, 3),
    "jobs.expired_leases": (1, 50),  # runs whose process died, and that nothing has taken over
}
"""(degraded from, unhealthy from) per figure; platform_config `health.thresholds` overrides single ones."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value. `of`: the queue it belongs to, where there are many."""

    name: str
    value: float
    of: str | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of one check. `code`: the figure or the trouble that decided it; `details`: figures, names at most."""

    service: str
    status: Status
    code: str | None = None
    latency_ms: int | None = None
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def steps(self) -> int:
        """Failures that an unhealthy result counts for: refused credentials are sure at the second one."""
        return 2 if self.code == AUTH else 1


def limits_with(overrides: Any) -> dict[str, Limits]:
    """The limits, single ones replaced by a setting {"figure": [degraded, unhealthy]}, where that makes sense."""
    found = dict(LIMITS)
    for name, pair in overrides.items() if isinstance(overrides, dict) else ():
        if name in found and isinstance(pair, list) and len(pair) == 2 and all(_number(value) for value in pair):
            found[name] = (float(pair[0]), float(pair[1]))
    return found


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def status_of(figure: Figure, limits: Mapping[str, Limits]) -> Status:
    """The status of one figure: from the first limit on degraded, from the second on unhealthy."""
    degraded, unhealthy = limits[figure.name]
    if figure.value >= unhealthy:
        return "unhealthy"
    return "degraded" if figure.value >= degraded else "healthy"


def judge(
    service: str,
    figures: Iterable[Figure],
    limits: Mapping[str, Limits],
    *,
    latency_ms: int | None = None,
    details: Mapping[str, Any] | None = None,
) -> Verdict:
    """The verdict of a check over its figures; without any figure nothing is known."""
    measured = list(figures)
    if not measured:
        return Verdict(service, "unknown", NOT_STARTED, latency_ms, details or {})
    judged = [(status_of(figure, limits), figure) for figure in measured]
    status, worst = max(judged, key=lambda each: (BADNESS[each[0]], _excess(each[1], limits)))
    code = None if status == "healthy" else worst.name.replace(".", "_").upper()
    shown = {**_shown(measured), "bad": _named(judged), **(details or {})}
    return Verdict(service, status, code, latency_ms, {name: value for name, value in shown.items() if value != []})


def _excess(figure: Figure, limits: Mapping[str, Limits]) -> float:
    return figure.value / limits[figure.name][1] if limits[figure.name][1] else figure.value


def _shown(figures: Sequence[Figure]) -> dict[str, float]:
    """Figure -> value, the largest where there are many."""
    found: dict[str, float] = {}
    for figure in figures:
        short = figure.name.partition(".")[2]
        found[short] = max(found.get(short, figure.value), figure.value)
    return {name: round(value, 1) for name, value in found.items()}


def _named(judged: Sequence[tuple[Status, Figure]]) -> list[str]:
    """The queues whose figures are bad, worst first."""
    bad = [(status, figure) for status, figure in judged if status != "healthy" and figure.of is not None]
    bad.sort(key=lambda each: (-BADNESS[each[0]], -each[1].value))
    return [f"{figure.of} {figure.name.partition('.')[2]} {figure.value:g}" for _, figure in bad[:NAMED_MOST]]
