"""Raise an alert: one row per problem, and what of it is to be told.

    (none)        -> open                created
    open          -> counted             repeated; told again after RENOTIFY
    acknowledged  -> counted             repeated, silently
    live          -> open, severer       raised; told, escalation starts anew
    resolved < 15 min ago -> open        reopened, the same row; told
    live          -> resolved            resolve: told to those who were told before
    (none)        -> nothing             resolve: ignored

The row remembers the last events in metadata.events, so that an event that comes twice counts once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from psycopg.types.json import Jsonb

from shared.alerts.problem import PRIORITY, Problem, rank
from shared.jobs.admission import SYSTEM_TENANT
from shared.jobs.context import Row, Session, Tenant

REOPEN_WINDOW = timedelta(minutes=15)
"""A problem that comes back sooner after its end is the same problem."""
RENOTIFY: Mapping[str, timedelta] = {
    "critical": timedelta(minutes=60),
    "error": timedelta(hours=4),
    "warning": timedelta(hours=24),
}
"""A problem that goes on is told again at most so often; info never."""
STORM_LIMIT = 30
STORM_WINDOW = timedelta(minutes=5)
"""So many new alerts of one tenant within so long are a storm: below critical it is told once instead of each."""
EVENTS_KEPT = 50

Kind = Literal["created", "repeated", "raised", "reopened", "resolved", "ignored"]


@dataclass(frozen=True, slots=True)
class Raised:
    """What became of an event. `notice` names what is to be told (None: nothing); `again`: the event came before.

    `storm`: the alert about the storm that swallowed this one.
    """

    alert_id: UUID | None
    outcome: Kind
    severity: str
    notice: str | None = None
    again: bool = False
    storm: Raised | None = None


FIND = """
-- alerts: the live row of a problem, else the one that was resolved last
SELECT id, status, metadata, occurrences, last_seen_at, last_notified_at, resolved_at, reopened_count, reopened_at,
       created_at
FROM public.platform_alerts
WHERE tenant_id IS NOT DISTINCT FROM %(tenant_id)s::uuid AND dedupe_key = %(key)s
ORDER BY (status <> 'resolved') DESC, resolved_at DESC NULLS LAST, created_at DESC
LIMIT 1
FOR UPDATE
"""

INSERT = """
-- alerts: a new problem
INSERT INTO public.platform_alerts (
    severity, source, service, tenant_id, metric, current_value, threshold_value, title, message, metadata, status,
    created_at, dedupe_key, kind, occurrences, last_seen_at
)
VALUES (
    %(priority)s, %(table_source)s, %(service)s, %(tenant_id)s, %(metric)s, %(current)s, %(threshold)s, %(title)s,
    %(message)s, %(metadata)s, 'open', %(now)s, %(key)s, %(kind)s, 1, %(seen_at)s
)
RETURNING id
"""

UPDATE = """
-- alerts: the problem again; severer, back, or only counted
UPDATE public.platform_alerts
SET severity = %(priority)s, metadata = %(metadata)s,
    message = CASE WHEN %(newest)s THEN %(message)s ELSE message END,
    current_value = CASE WHEN %(newest)s AND %(current)s::numeric IS NOT NULL THEN %(current)s ELSE current_value END,
    occurrences = occurrences + 1, last_seen_at = GREATEST(last_seen_at, %(seen_at)s::timestamptz),
    status = CASE WHEN %(anew)s THEN 'open' ELSE status END,
    acknowledged_at = CASE WHEN %(anew)s THEN NULL ELSE acknowledged_at END,
    acknowledged_by = CASE WHEN %(anew)s THEN NULL ELSE acknowledged_by END,
    ack_reminded_at = CASE WHEN %(anew)s THEN NULL ELSE ack_reminded_at END,
    escalation_level = CASE WHEN %(anew)s THEN 0 ELSE escalation_level END,
    escalation_repeats = CASE WHEN %(anew)s THEN 0 ELSE escalation_repeats END,
    escalated_at = CASE WHEN %(reopened)s THEN NULL WHEN %(anew)s THEN %(now)s::timestamptz ELSE escalated_at END,
    reopened_count = reopened_count + CASE WHEN %(reopened)s THEN 1 ELSE 0 END,
    reopened_at = CASE WHEN %(reopened)s THEN %(now)s::timestamptz ELSE reopened_at END,
    resolved_at = CASE WHEN %(reopened)s THEN NULL ELSE resolved_at END,
    resolved_by = CASE WHEN %(reopened)s THEN NULL ELSE resolved_by END,
    resolution_notes = CASE WHEN %(reopened)s THEN NULL ELSE resolution_notes END
WHERE id = %(id)s
"""

RESOLVE = """
-- alerts: the problem is over
UPDATE public.platform_alerts
SET status = 'resolved', resolved_at = %(now)s, resolution_notes = %(notes)s, metadata = %(metadata)s
WHERE id = %(id)s
"""

NEWCOMERS = """
-- alerts: how many new problems a tenant had lately, by source
SELECT service, count(*) AS alerts
FROM public.platform_alerts
WHERE tenant_id IS NOT DISTINCT FROM %(tenant_id)s::uuid AND created_at > %(since)s
GROUP BY service ORDER BY count(*) DESC, service
"""


def raise_alert(session: Session, problem: Problem, tenant: Tenant, now: datetime) -> Raised:
    """File one event about a problem, in the caller's transaction. For the tenant `system` the row has no tenant."""
    session.lock(f"alerts:{tenant.slug}:{problem.dedupe_key}", everywhere=True)
    row = session.one(FIND, {"tenant_id": _tenant_id(tenant), "key": problem.dedupe_key})
    if row is not None and (before := _before(row, problem)) is not None:
        return before
    live = row is not None and row["status"] != "resolved"
    if problem.resolve:
        return _resolve(session, row, problem, now) if row and live else Raised(None, "ignored", problem.severity)
    if row is not None and live:
        return _repeat(session, row, problem, now)
    if row is not None and row["resolved_at"] is not None and now - row["resolved_at"] < REOPEN_WINDOW:
        return _reopen(session, row, problem, now)
    return _create(session, problem, tenant, now)


def _tenant_id(tenant: Tenant) -> UUID | None:
    return None if tenant.slug == SYSTEM_TENANT.slug else tenant.organization_id


def _before(row: Row, problem: Problem) -> Raised | None:
    """What this very event led to when it came first: the run's earlier attempt, or a replay."""
    for event in row["metadata"].get("events", ()):
        if event["id"] == problem.event_id:
            return Raised(row["id"], event["outcome"], row["metadata"]["severity"], event["notice"], again=True)
    return None


def _create(session: Session, problem: Problem, tenant: Tenant, now: datetime) -> Raised:
    storm = None
    if problem.severity != "critical" and not problem.dedupe_key.startswith("alert-storm:"):
        storm = _storm(session, problem, tenant, now)
    notice = None if storm else "new:0"
    metadata = _metadata(problem, {}, problem.severity, "created", notice)
    if storm:
        metadata["suppressed"] = "storm"
    params = {**_facts(problem, problem.severity, now), "tenant_id": _tenant_id(tenant), "metadata": Jsonb(metadata)}
    return Raised(session.value(INSERT, params), "created", problem.severity, notice, storm=storm)


def _repeat(session: Session, row: Row, problem: Problem, now: datetime) -> Raised:
    told: str = row["metadata"].get("severity", "critical")
    severer = rank(problem.severity) > rank(told)
    severity = problem.severity if severer else told
    notice = None
    if severer:
        notice = f"raise:{severity}"
    elif row["status"] == "open" and severity in RENOTIFY:
        last = row["last_notified_at"] or row["reopened_at"] or row["created_at"]
        notice = f"again:{row['occurrences'] + 1}" if now - last >= RENOTIFY[severity] else None
    outcome: Kind = "raised" if severer else "repeated"
    _update(session, row, problem, severity, outcome, notice, now, anew=severer)
    return Raised(row["id"], outcome, severity, notice)


def _reopen(session: Session, row: Row, problem: Problem, now: datetime) -> Raised:
    notice = f"new:{row['reopened_count'] + 1}"
    _update(session, row, problem, problem.severity, "reopened", notice, now, anew=True)
    return Raised(row["id"], "reopened", problem.severity, notice)


def _resolve(session: Session, row: Row, problem: Problem, now: datetime) -> Raised:
    severity: str = row["metadata"].get("severity", problem.severity)
    notice = f"recovered:{row['reopened_count']}"
    metadata = {**row["metadata"], "events": _events(row["metadata"], problem, "resolved", notice)}
    notes = f"recovered: {problem.message}"
    session.execute(RESOLVE, {"id": row["id"], "now": now, "notes": notes, "metadata": Jsonb(metadata)})
    return Raised(row["id"], "resolved", severity, notice)


def _update(
    session: Session,
    row: Row,
    problem: Problem,
    severity: str,
    outcome: Kind,
    notice: str | None,
    now: datetime,
    *,
    anew: bool,
) -> None:
    """The newest occurrence gives message and context; one that arrives late is only counted."""
    seen = row["last_seen_at"]
    newest = seen is None or problem.occurred_at >= seen or anew
    metadata = _metadata(problem, row["metadata"], severity, outcome, notice, newest=newest)
    params = _facts(problem, severity, now) | {
        "id": row["id"],
        "metadata": Jsonb(metadata),
        "anew": anew,
        "reopened": outcome == "reopened",
        "newest": newest,
    }
    session.execute(UPDATE, params)


def _facts(problem: Problem, severity: str, now: datetime) -> dict[str, Any]:
    return {
        "priority": PRIORITY[severity],
        "table_source": problem.table_source,
        "service": problem.source,
        "metric": problem.metric,
        "current": problem.current_value,
        "threshold": problem.threshold_value,
        "title": problem.title,
        "message": problem.message,
        "key": problem.dedupe_key,
        "kind": problem.kind,
        "seen_at": problem.occurred_at,
        "now": now,
    }


def _metadata(
    problem: Problem,
    before: Mapping[str, Any],
    severity: str,
    outcome: Kind,
    notice: str | None,
    *,
    newest: bool = True,
) -> dict[str, Any]:
    metadata = {**before, "severity": severity, "events": _events(before, problem, outcome, notice)}
    if newest:
        metadata |= {"context": dict(problem.context), "url": problem.url}
    return metadata


def _events(before: Mapping[str, Any], problem: Problem, outcome: Kind, notice: str | None) -> list[dict[str, Any]]:
    entry = {"id": problem.event_id, "outcome": outcome, "notice": notice}
    return [*before.get("events", ()), entry][-EVENTS_KEPT:]


def _storm(session: Session, problem: Problem, tenant: Tenant, now: datetime) -> Raised | None:
    """The alert about a storm, when there is one."""
    since = now - STORM_WINDOW
    counts = session.all(NEWCOMERS, {"tenant_id": _tenant_id(tenant), "since": since})
    total = sum(row["alerts"] for row in counts)
    if total < STORM_LIMIT:
        return None
    start = datetime.fromtimestamp(now.timestamp() // 300 * 300, UTC)
    about = replace(
        problem,
        kind="systemError",
        severity="error",
        source="alerts",
        title="Alert storm",
        message=f"{total} new alerts within {STORM_WINDOW.seconds // 60} minutes; those below critical are not told.",
        dedupe_key=f"alert-storm:{start:%Y-%m-%dT%H:%MZ}",
        context={"sources": {row["service"]: row["alerts"] for row in counts[:10]}},
        occurred_at=now,
        resolve=False,
        url=None,
        notify_emails=(),
        notify_phones=(),
        metric=None,
        current_value=None,
        threshold_value=None,
    )
    return raise_alert(session, about, tenant, now)
