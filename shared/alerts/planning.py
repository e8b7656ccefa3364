"""Which channels and receivers a notice goes to, as rows of alert_deliveries, before anything is sent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from shared.alerts.problem import Problem, rank
from shared.alerts.raising import Raised
from shared.alerts.scopes import CHANNELS, Scope, ScopeName, Target
from shared.jobs.admission import SYSTEM_TENANT
from shared.jobs.context import Session, Tenant

NOT_CONFIGURED = "not_configured"
ECHO = "echo"
"""A channel is not told of its own trouble on itself."""
OWN_CHANNEL: Mapping[str, str] = {"slack": "slack", "mail": "email", "sms": "sms"}
RECOVERED_CRITICAL_ONLY = ("email", "sms")
"""Channels on which only the end of a critical problem is told."""


@dataclass(frozen=True, slots=True)
class Planned:
    """One delivery to be made. `not_before`: held by quiet hours until then."""

    channel: str
    scope: ScopeName
    target: Target
    not_before: datetime | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """The deliveries of a notice, why a channel got none, and how many named receivers were strangers."""

    deliveries: tuple[Planned, ...]
    skipped: Mapping[str, str]
    strangers: int = 0


def audience(problem: Problem, severity: str, tenant: Tenant) -> frozenset[ScopeName]:
    """Who is told: the tenant, the platform, both, or nobody (a suspended tenant's own business)."""
    if tenant.slug == SYSTEM_TENANT.slug:
        return frozenset({"platform"})
    if not problem.ops:
        return frozenset({"tenant"}) if tenant.status == "active" else frozenset()
    if tenant.status != "active" or problem.audience == "platform":
        return frozenset({"platform"})
    if problem.audience == "tenant" or rank(severity) < rank("error"):
        return frozenset({"tenant"})
    return frozenset({"tenant", "platform"})


def plan(problem: Problem, severity: str, scopes: Sequence[Scope], own: ScopeName, now: datetime) -> Plan:
    """The deliveries of an alert to `scopes`; `own`: the side that the receivers named by the event belong to."""
    planned: list[Planned] = []
    skipped: dict[str, str] = {}
    strangers = 0
    for scope in scopes:
        wanted = scope.channels(problem.kind, problem.source, severity)
        for channel in CHANNELS:
            if channel not in wanted:
                continue
            if severity != "critical" and OWN_CHANNEL.get(problem.source) == channel:
                skipped.setdefault(channel, ECHO)
                continue
            targets, unknown = _targets(scope, channel, problem, severity, named=scope.name == own)
            strangers += unknown
            held = hold_until(scope, channel, severity, now)
            planned += [Planned(channel, scope.name, target, held) for target in targets]
            if not targets:
                skipped.setdefault(channel, NOT_CONFIGURED)
    told = {each.channel for each in planned}
    return Plan(tuple(planned), {channel: code for channel, code in skipped.items() if channel not in told}, strangers)


def hold_until(scope: Scope, channel: str, severity: str, now: datetime) -> datetime | None:
    """Until when quiet hours hold a delivery: below error all, of an error the mail, of what is critical none."""
    until = scope.quiet.until(now) if scope.quiet else None
    if until is None or severity == "critical" or (severity == "error" and channel != "email"):
        return None
    return until


def _targets(
    scope: Scope, channel: str, problem: Problem, severity: str, *, named: bool
) -> tuple[Sequence[Target], int]:
    """The receivers on one channel, and how many of those that the event names are not ours to write to."""
    match channel:
        case "slack":
            found = scope.slack_channel(problem.kind, severity)
            usable = found is not None and (scope.name == "tenant" or scope.slack_token is not None)
            return ([Target.of(found, found)] if found and usable else []), 0
        case "email":
            return _instead(problem.notify_emails if named else (), scope.email_book, scope.emails)
        case "sms":
            phones, strangers = _instead(problem.notify_phones if named else (), scope.phone_book, scope.phones)
            return (phones if scope.sms_tenant else []), strangers
        case "pagerduty":
            # There is one per side, and its key may be changed between the alert and its end.
            return ([Target.of("pagerduty", None)] if scope.pagerduty_key else []), 0
        case _:
            return ([Target.of(scope.webhook_url, None)] if scope.webhook_url else []), 0


def _instead(
    named: Iterable[str], book: Mapping[str, Target], default: Sequence[Target]
) -> tuple[Sequence[Target], int]:
    """The named receivers as far as we may write to them, in place of the default list."""
    wanted = [Target.of(address.strip().lower(), None).hash for address in named]
    known = [book[hash] for hash in dict.fromkeys(wanted) if hash in book]
    return known or default, len(set(wanted)) - len(known)


# -- rows ------------------------------------------------------------------------------------------------------------

INSERT = """
-- alerts: what is to be sent; a delivery that was planned before stays as it is
INSERT INTO public.alert_deliveries (
    alert_id, tenant_id, channel, scope, target_hash, target_ref, notice, not_before, created_at
)
SELECT %(alert_id)s, %(tenant_id)s, d.channel, d.scope, d.hash, d.ref, %(notice)s, d.not_before, %(now)s
FROM unnest(%(channel)s::text[], %(scope)s::text[], %(hash)s::text[], %(ref)s::text[], %(not_before)s::timestamptz[])
     AS d (channel, scope, hash, ref, not_before)
ON CONFLICT (alert_id, channel, scope, target_hash, notice) DO NOTHING
"""

TOLD = """
-- alerts: who was told of a problem, for the news of its end
SELECT DISTINCT channel, scope, target_hash, target_ref FROM public.alert_deliveries
WHERE alert_id = %(alert_id)s AND status = 'sent' AND notice NOT LIKE 'recovered:%%'
ORDER BY channel, scope, target_hash
"""

NOTIFIED = """
-- alerts: the problem is being told; how many receivers that the event named were left out
UPDATE public.platform_alerts
SET last_notified_at = CASE WHEN %(told)s THEN %(now)s::timestamptz ELSE last_notified_at END,
    metadata = CASE WHEN %(strangers)s > 0
        THEN jsonb_set(metadata, '{droppedRecipients}', to_jsonb(%(strangers)s::integer)) ELSE metadata END
WHERE id = %(alert_id)s
"""

TRY_AGAIN = """
-- alerts: a replay gives what failed for good, or had no service to go through, another chance
UPDATE public.alert_deliveries SET status = 'pending', reason = NULL, attempts = 0
WHERE alert_id = %(alert_id)s AND notice = %(notice)s
  AND (status = 'failed' OR (status = 'skipped' AND reason = 'not_configured'))
"""


def store_plan(session: Session, raised: Raised, made: Plan, tenant: Tenant, now: datetime) -> None:
    """Insert the rows of a notice and note that it is told."""
    params: dict[str, Any] = {
        "alert_id": raised.alert_id,
        "tenant_id": None if tenant.slug == SYSTEM_TENANT.slug else tenant.organization_id,
        "notice": raised.notice,
        "now": now,
        "channel": [each.channel for each in made.deliveries],
        "scope": [each.scope for each in made.deliveries],
        "hash": [each.target.hash for each in made.deliveries],
        "ref": [each.target.ref for each in made.deliveries],
        "not_before": [each.not_before for each in made.deliveries],
    }
    session.execute(INSERT, params)
    if not raised.again:
        session.execute(
            NOTIFIED,
            {
                "alert_id": raised.alert_id,
                "told": bool(made.deliveries),
                "strangers": made.strangers,
                "now": now,
            },
        )


def plan_recovery(session: Session, alert_id: UUID, severity: str, scopes: Mapping[str, Scope], now: datetime) -> Plan:
    """The news of the end goes to exactly those who were told; by mail and SMS only when the problem was critical."""
    planned = []
    for row in session.all(TOLD, {"alert_id": alert_id}):
        if row["channel"] in RECOVERED_CRITICAL_ONLY and severity != "critical":
            continue
        scope = scopes.get(row["scope"])
        held = hold_until(scope, row["channel"], severity, now) if scope else None
        planned.append(Planned(row["channel"], row["scope"], Target(row["target_hash"], row["target_ref"], ""), held))
    return Plan(tuple(planned), {})
