"""The morning's word on the bandit tests: what their splits did in a day, what that brought, which want a decision."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Literal

from functions.commerce.ab_tests.comparing import MIN_VISITORS
from functions.commerce.ab_tests.deciding import MIN_RUNTIME
from functions.commerce.ab_tests.mailing import admin_page, send_mails, telling_of
from functions.commerce.ab_tests.optimizing import weighed_by
from functions.commerce.ab_tests.rules import short, slot_of
from functions.commerce.ab_tests.subjects import Subject, subject_of
from functions.commerce.ab_tests.summaries import blocks_of
from functions.commerce.ab_tests.sums import Arms, Tally, pooled, read_sums
from functions.commerce.ab_tests.telling import COMPLETE, SUMMARY, say
from shared.ab_tests.mails import OPTIMIZATION
from shared.events.ab_tests import AbOptimizationSummary
from shared.events.base import Payload
from shared.jobs import Delivery, JobContext, Retry, Session, job
from shared.jobs.queues import AB_TESTING
from shared.mail import EMITS as MAIL_EMITS
from shared.mail import money_text
from shared.tenant_settings import base_currency
from shared.time import local_date, tenant_zone

DAY = timedelta(hours=24)
CONVERGING = 0.9
"""Probability of being best from which on a bandit is near its end."""
MANY_DAYS = 30
"""Days left beyond which a test wants more traffic."""
Kind = Literal["check_quality", "conclude", "converging", "more_traffic"]


class Recommendation(Payload):
    test_id: str
    kind: Kind


class AbOptimizationSummaryResult(Payload):
    """`changes` are new splits of the last day, `converging` tests with an arm that is nearly surely the best."""

    date: date
    tests: int = 0
    changes: int = 0
    converging: int = 0
    recommendations: list[Recommendation]
    slack: bool = False
    mails: int = 0


BANDITS = """
-- A/B bandits: those that run, and those that were given a new split in the last day
SELECT t.id
FROM ab_tests t
WHERE (t.status = 'running' AND (t.mode = ANY(%(modes)s) OR t.settings ->> 'optimization' = ANY(%(modes)s)))
   OR EXISTS (SELECT FROM ab_allocation_epochs e
              WHERE e.test_id = t.id AND e.reason = 'bandit' AND e.started_at >= %(since)s AND e.started_at < %(slot)s)
ORDER BY t.id
"""

SPLITS = """
-- A/B bandits: new splits of the last day
SELECT e.test_id, e.shares, e.details -> 'previous' AS previous
FROM ab_allocation_epochs e
WHERE e.test_id = ANY(%(ids)s) AND e.reason = 'bandit' AND e.started_at >= %(since)s AND e.started_at < %(slot)s
ORDER BY e.test_id, e.epoch
"""

MODES = ["mab", "thompson", "epsilon_greedy"]


def run_key(p: AbOptimizationSummary, m: Delivery) -> str:
    """The slot, or the message that asks; the day's dedupe keys keep a repetition silent."""
    return p.slot.isoformat() if p.slot else m.id


@job(
    "ab-optimization-summary",
    on=AbOptimizationSummary,
    queue=AB_TESTING,
    emits=MAIL_EMITS,
    retry=Retry(attempts=3, factor=2, min_s=2, max_s=30),
    timeout_s=120,
    key=run_key,
)
def summarize_optimization(ctx: JobContext, payload: AbOptimizationSummary) -> AbOptimizationSummaryResult:
    """Tell the team what the bandits did. RateLimited SLACK_RATE_LIMITED, Transient SLACK_UNAVAILABLE."""
    slot = slot_of(ctx, payload)
    with ctx.tenant_session(read_only=True) as session:
        day, currency = local_date(slot, tenant_zone(session)), base_currency(session)
        telling = telling_of(session)
        reports = reports_of(session, slot)
    result = AbOptimizationSummaryResult(
        date=day,
        tests=len(reports),
        changes=sum(len(report.splits) for report in reports),
        converging=sum(report.best >= CONVERGING for report in reports),
        recommendations=_recommendations(reports, slot) if payload.include_recommendations else [],
    )
    if not reports:
        return result
    kinds = {each.test_id: each.kind for each in result.recommendations}
    texts = [lines_of(report, currency, kinds.get(report.subject.id)) for report in reports]
    variables = {
        "date": day,
        "tests": "\n\n".join("\n".join(lines) for lines in texts),
        "changes": result.changes,
        "adminUrl": admin_page(ctx),
    }
    key, heading = f"ab-opt:{day.isoformat()}", f"A/B traffic optimisation on {day.isoformat()}"
    mails = send_mails(ctx, OPTIMIZATION, telling.addresses, variables, dedupe=key, raising=True)
    fallback = f"{heading}: {result.tests} tests, {result.changes} weight changes"
    slack = telling.slack and say(ctx, [SUMMARY, COMPLETE], fallback, blocks_of(heading, texts), dedupe_key=key)
    return result.model_copy(update={"slack": slack, "mails": mails})


# -- one test ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Gain:
    """What the split brought against equal shares: in conversions or cents, and in percent."""

    units: float
    percent: float


@dataclass(frozen=True, slots=True)
class Report:
    """`splits`: (shares before, shares after) of each change of the day, in order."""

    subject: Subject
    totals: Arms
    splits: tuple[tuple[Mapping[str, int] | None, Mapping[str, int]], ...]

    @property
    def variants(self) -> Mapping[str, Any]:
        found = (self.subject.state.get("results") or {}).get("variants")
        return found if isinstance(found, dict) else {}

    @property
    def best(self) -> float:
        """The highest probability of being best, 0 where none is known."""
        return max((shown.get("pBest") or 0.0 for shown in self.variants.values()), default=0.0)


def reports_of(session: Session, slot: datetime) -> list[Report]:
    """The bandit tests of the day."""
    names = {"modes": MODES, "since": slot - DAY, "slot": slot}
    ids = [row["id"] for row in session.all(BANDITS, names)]
    splits: dict[str, list[tuple[Mapping[str, int] | None, Mapping[str, int]]]] = {}
    for row in session.all(SPLITS, {**names, "ids": ids}):
        splits.setdefault(row["test_id"], []).append((row["previous"], row["shares"]))
    reports = []
    for id in ids:
        subject = subject_of(session, id)
        if subject is not None:
            totals = pooled(read_sums(session, subject, slot).epochs())
            reports.append(Report(subject, totals, tuple(splits.get(id, ()))))
    return reports


def convergence(shares: Sequence[int]) -> float:
    """1 less the split's entropy as a part of an equal split's: 0 is equal shares, 1 is all to one arm.

    >>> round(convergence([27, 30, 43]), 4)
    0.0191
    """
    if len(shares) < 2:
        return 1.0
    weights = [share / sum(shares) for share in shares if share > 0]
    return 1 + math.fsum(w * math.log(w) for w in weights) / math.log(len(shares))


def gain_of(arms: Sequence[tuple[int, float]]) -> Gain | None:
    """From (visitors, mean) per arm: what they brought, less what equal shares would have.

    >>> found = gain_of([(2700, 41 / 1002), (3000, 53 / 1002), (4300, 62 / 1002)])
    >>> round(found.units, 8), round(found.percent, 9)
    (16.26746507, 3.134615385)
    """
    visitors = sum(n for n, _ in arms)
    if not visitors:
        return None
    equal = visitors * math.fsum(mean for _, mean in arms) / len(arms)
    units = math.fsum(n * mean for n, mean in arms) - equal
    return Gain(units, units / equal * 100) if equal else None


def _means(report: Report) -> list[tuple[int, float]]:
    """Visitors and expected value per active arm."""
    active = [v.id for v in report.subject.variants if (v.share or 0) > 0 or report.totals.get(v.id, Tally()).n]
    tallies = [report.totals.get(id, Tally()) for id in active]
    if weighed_by(report.subject.metric) == "conversion_rate":
        return [(t.n, (1 + t.converted) / (2 + t.n)) for t in tallies]
    return [(t.n, t.revenue / t.n if t.n else 0.0) for t in tallies]


def _recommendations(reports: Sequence[Report], slot: datetime) -> list[Recommendation]:
    found = []
    for report in reports:
        kind = recommended(report, slot)
        if kind is not None:
            found.append(Recommendation(test_id=report.subject.id, kind=kind))
    return found


def recommended(report: Report, slot: datetime) -> Kind | None:
    """The one thing that a test wants, the most urgent first."""
    state = report.subject.state
    decided = state.get("decision") in ("winner", "control_wins")
    if state.get("needs_attention"):
        return "check_quality"
    if report.subject.status == "completed":
        return None  # nothing is left to decide
    if decided:
        return "conclude"
    if report.best >= CONVERGING:
        return "converging"
    left = (state.get("results") or {}).get("daysLeft")
    few = any(report.totals.get(v.id, Tally()).n < MIN_VISITORS for v in report.subject.variants if (v.share or 0) > 0)
    slow = left is not None and left > MANY_DAYS
    return "more_traffic" if slow or (few and report.subject.age(slot) >= MIN_RUNTIME) else None


ADVICE: Mapping[Kind, str] = {
    "check_quality": "check the data of this test first",
    "conclude": "the result is there, end the test",
    "converging": "one variant is nearly surely the best",
    "more_traffic": "send more traffic, or end the test",
}


def lines_of(report: Report, currency: str, kind: Kind | None) -> list[str]:
    """A test in plain lines, the first of them its heading."""
    subject = report.subject
    shares = {v.id: v.share or 0 for v in subject.variants}
    lines = [f"{short(subject.test['name'])} ({subject.status}): {len(report.splits)} weight changes"]
    if report.splits:
        before, after = report.splits[0][0] or report.splits[0][1], report.splits[-1][1]
        lines.append(f"Shares {_shares_text(subject, before)} -> {_shares_text(subject, after)}")
    else:
        lines.append(f"Shares {_shares_text(subject, shares)}")
    active = [share for share in shares.values() if share > 0]
    lines.append(f"Convergence {convergence(active):.4f}")
    for variant in subject.variants:
        shown = report.variants.get(variant.id) or {}
        best, loss = shown.get("pBest"), shown.get("expectedLoss")
        if best is not None:
            lost = "" if loss is None else f", expected loss {loss:.6g}"
            lines.append(f"{short(variant.name)}: best with {best:.1%}{lost}")
    gain = gain_of(_means(report))
    if gain is not None:
        lines.append(f"Gain against an equal split: {_gain_text(subject, gain, currency)}")
    if kind is not None:
        lines.append(f"Recommendation: {ADVICE[kind]}")
    return lines


def _shares_text(subject: Subject, shares: Mapping[str, int]) -> str:
    return "/".join(str(shares.get(variant.id, 0)) for variant in subject.variants)


def _gain_text(subject: Subject, gain: Gain, currency: str) -> str:
    percent = round(gain.percent, 2) + 0.0  # no minus before a zero
    if weighed_by(subject.metric) == "conversion_rate":
        return f"{round(gain.units)} conversions ({percent:+.2f}%)"
    return f"{money_text(round(gain.units), currency)} ({percent:+.2f}%)"
