"""The way of one alert event through an alert job: file it, plan, send, and say how it stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from shared.alerts.delivery import DELIVERY_STATUS, Report, deliver, standing
from shared.alerts.mail import Mail
from shared.alerts.planning import TRY_AGAIN, audience, plan, plan_recovery, store_plan
from shared.alerts.problem import Problem
from shared.alerts.raising import Raised, raise_alert
from shared.alerts.scopes import Scope, ScopeName, load_platform, load_tenant
from shared.alerts.texts import is_recovery
from shared.jobs.admission import SYSTEM_TENANT
from shared.jobs.context import JobContext, Session
from shared.jobs.errors import JobError, Permanent, RateLimited, Transient


@dataclass(frozen=True, slots=True)
class Handled:
    """The result of an alert event. `delivered`: channels on which somebody was told; `skipped`: channel -> code."""

    alert_id: UUID | None
    outcome: str
    severity: str
    delivered: tuple[str, ...] = ()
    skipped: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Filed:
    """What the first transaction left: what became of the event, and for which channels nothing was planned."""

    raised: Raised
    skipped: Mapping[str, str]


def handle(ctx: JobContext, problem: Problem, mail: Mail) -> Handled:
    """File the event, tell whom it concerns, and end the run.

    Raises Transient ALERT_DELIVERY_PENDING (some deliveries could not be made yet; the next attempt makes only
    these), RateLimited with the vendor's code when a rate is all that is in the way, and Permanent ALERT_UNDELIVERED
    when a critical alert reached nobody at all.
    """
    scopes = _sides(ctx, problem)
    with ctx.tenant_session() as session:
        if ctx.tenant.slug != SYSTEM_TENANT.slug and ctx.tenant.status == "active":
            scopes["tenant"] = load_tenant(session, ctx.tenant)
        filed = _file(session, ctx, problem, scopes)
    waits: list[JobError] = []
    for each in filed:
        if each.raised.alert_id is not None:
            waits += deliver(ctx, each.raised.alert_id, scopes, mail)
    return _end(ctx, filed, waits)


def _sides(ctx: JobContext, problem: Problem) -> dict[str, Scope]:
    """The platform's side, where it may be told. Read first: a run has one session at a time."""
    if ctx.tenant.slug != SYSTEM_TENANT.slug and not problem.ops:
        return {}
    with ctx.platform_session(read_only=True) as session:
        return {"platform": load_platform(session)}


def _file(session: Session, ctx: JobContext, problem: Problem, scopes: Mapping[str, Scope]) -> list[_Filed]:
    """The first transaction: the alert's row, and its deliveries as rows."""
    raised = raise_alert(session, problem, ctx.tenant, ctx.now())
    filed = [_plan(session, ctx, problem, raised, scopes)]
    if raised.storm is not None:
        filed.append(_plan(session, ctx, problem, raised.storm, scopes))
    return filed


def _plan(session: Session, ctx: JobContext, problem: Problem, raised: Raised, scopes: Mapping[str, Scope]) -> _Filed:
    if raised.alert_id is None or raised.notice is None:
        return _Filed(raised, {})
    if is_recovery(raised.notice):
        made = plan_recovery(session, raised.alert_id, raised.severity, scopes, ctx.now())
    else:
        told = audience(problem, raised.severity, ctx.tenant)
        sides = [scope for scope in scopes.values() if scope.name in told]
        own: ScopeName = "platform" if ctx.tenant.slug == SYSTEM_TENANT.slug else "tenant"
        made = plan(problem, raised.severity, sides, own, ctx.now())
    store_plan(session, raised, made, ctx.tenant, ctx.now())
    if raised.again and ctx.attempt == 1:
        session.execute(TRY_AGAIN, {"alert_id": raised.alert_id, "notice": raised.notice})
    return _Filed(raised, made.skipped)


def _end(ctx: JobContext, filed: list[_Filed], waits: list[JobError]) -> Handled:
    """The second transaction: how the channels stand. It commits before an error ends the attempt."""
    main = filed[0].raised
    with ctx.tenant_session() as session:
        report = _show(session, ctx, filed)
    if waits:
        raise _wait(waits)
    telling = main.notice is not None and not is_recovery(main.notice)
    if telling and main.severity == "critical" and not any(report.told.values()):
        raise Permanent("ALERT_UNDELIVERED", ", ".join(f"{name}: {why}" for name, why in report.skipped.items()))
    return Handled(main.alert_id, main.outcome, main.severity, tuple(report.delivered), report.skipped)


def _show(session: Session, ctx: JobContext, filed: list[_Filed]) -> Report:
    """Write delivery_status of each alert that is being told; the report of the event's own."""
    reports = []
    for each in filed:
        if each.raised.alert_id is None or each.raised.notice is None:
            reports.append(Report())
            continue
        report = standing(session, each.raised.alert_id, each.raised.notice, each.skipped)
        params: dict[str, Any] = {"alert_id": each.raised.alert_id, "status": Jsonb(dict(report.channels))}
        session.execute(DELIVERY_STATUS, params)
        reports.append(report)
    return reports[0]


def _wait(waits: list[JobError]) -> JobError:
    """A rate asks for patience and costs no attempt, unless something else is in the way too."""
    if all(isinstance(error, RateLimited) for error in waits):
        return max(waits, key=lambda error: error.after_s if isinstance(error, RateLimited) else 0)
    codes = sorted({error.code for error in waits})
    return Transient("ALERT_DELIVERY_PENDING", ", ".join(codes))
