"""Step send: the offers that wait, 200 at a time, each inserted, patched or left alone.

The rows that wait are the list of work: what a page has done waits no longer, so that a worker that dies repeats at
most one page, whose requests may all be repeated. Offers are built anew from the catalogue as it stands at that moment.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from functions.commerce.google_feed.line import Line, Sent, Stop, Task
from functions.commerce.google_feed.telling import MOSTLY_REFUSED, Superseded
from shared.google_feed import history, store
from shared.google_feed.catalogue import Product, products_by_key
from shared.google_feed.differences import Held, decide
from shared.google_feed.history import Counts
from shared.google_feed.offers import Feed, Key, Offer, build_all
from shared.google_feed.store import Recorded, Stands
from shared.integrations.merchant import Refused, Taken
from shared.jobs import JobContext, Permanent

PAGE = 200
"""Offers per transaction."""
ERROR_ABORT_FRACTION = 0.50
"""Share of refused offers above which a setting is wrong, not the products."""
ERROR_ABORT_FROM = 50
"""Offers; fewer are no sign of anything."""
PASSES = 3
"""Times the list is gone through: rows that begin to wait behind the run are sent in the next pass."""
LEFT_FEED = "not_in_catalogue"
"""Reason of a row whose offer does not arise any more."""


@dataclass(slots=True)
class Progress:
    """How far sending has come. `at`: the last row seen (product, variant or ""); counted over the run."""

    at: tuple[str, str] = ("", "")
    tried: int = 0
    refused: int = 0
    waiting: int = 0
    """Rows of this pass that stay pending: their content waits for another day."""
    passes: int = 1

    def wire(self) -> dict[str, Any]:
        """As the cursor keeps it."""
        return {name: getattr(self, name) for name in ("at", "tried", "refused", "waiting", "passes")}

    @classmethod
    def of(cls, kept: Mapping[str, Any]) -> Progress:
        return cls(**{**kept, "at": tuple(kept["at"])}) if kept else cls()


@dataclass
class Plan:
    """What is to become of some offers: what is clear at once, and what Google has to be asked for."""

    stands: list[Stands] = field(default_factory=list)
    tasks: list[Task] = field(default_factory=list)
    records: list[Recorded] = field(default_factory=list)
    entries: list[dict[str, Any]] = field(default_factory=list)
    counts: Counts = field(default_factory=Counts)
    limited: int = 0
    refused: int = 0
    inserted: int = 0
    patched: int = 0


def resumed(ctx: JobContext, run: UUID) -> Progress:
    """Where a message of its own begins to send: what the run's earlier messages have tried still counts."""
    with ctx.tenant_session(read_only=True) as session:
        figures, refused = history.read(session, run), store.refused(session, run)
    taken = figures.added + figures.updated if figures is not None else 0
    return Progress(tried=taken + refused, refused=refused)


def send_page(ctx: JobContext, line: Line, feed: Feed, run: UUID, progress: Progress) -> bool:
    """Send one page and keep what became of it; False when nothing waits any more.

    Raises Superseded, Permanent FEED_MOSTLY_REFUSED, DATA_SOURCE_GONE, GOOGLE_UNAUTHORIZED, GOOGLE_FORBIDDEN,
    DailyLimit, RateLimited and what is transient, each after the page's results are kept.
    """
    with ctx.tenant_session(read_only=True) as session:
        keys = store.pending(session, progress.at, PAGE)
        products = products_by_key(session, sorted({key for key, _ in keys}))
        offers = {offer.key: offer for offer in build_all(feed, list(products.values()))}
        held = store.held(session, feed.settings.place, [offers[key].offer_id for key in keys if key in offers])
    if not keys:
        return _another_pass(ctx, progress)
    plan = plan_of(keys, offers, held, products, feed)
    sent, stop = line.push(plan.tasks)
    take(plan, sent, held, now=feed.now)
    with ctx.tenant_session() as session:
        if not history.add(session, run, plan.counts):
            raise Superseded
        store.record(session, feed.settings.place, plan.records, run=run, now=ctx.now())
        store.unseen(session, [row.key for row in plan.stands if row.standing == "excluded"])
        store.stand(session, plan.stands, now=ctx.now())
        history.note(session, run, plan.entries)
    _judge(progress, plan, stop)
    progress.at = (keys[-1][0], keys[-1][1] or "")
    return True


def plan_of(
    keys: Sequence[Key],
    offers: Mapping[Key, Offer],
    held: Mapping[str, Held],
    products: Mapping[str, Product],
    feed: Feed,
) -> Plan:
    """What each row comes to, before Google is asked."""
    plan = Plan()
    for key in keys:
        offer = offers.get(key)
        if offer is None:
            plan.stands.append(_without_offer(key, products, feed))
        elif offer.excluded is not None:
            plan.counts.excluded += 1
            plan.stands.append(Stands(key, "excluded", offer.excluded, issues=[]))
        elif offer.errors:
            plan.counts.errors += 1
            plan.stands.append(Stands(key, "error", issues=[issue.wire() for issue in offer.issues]))
        else:
            _decide(plan, offer, held.get(offer.offer_id), feed.now)
    return plan


def _without_offer(key: Key, products: Mapping[str, Product], feed: Feed) -> Stands:
    """A row of a whole product carries overrides of its variants' offers; any other one has left the feed."""
    product = products.get(key[0])
    carries = key[1] is None and feed.settings.include_variants and product is not None and product.listed
    return Stands(key, "synced") if carries else Stands(key, "excluded", LEFT_FEED, issues=[])


def _decide(plan: Plan, offer: Offer, held: Held | None, now: datetime) -> None:
    decision = decide(offer, held, now)
    plan.limited += decision.limited
    if decision.act in ("insert", "patch"):
        plan.tasks.append(Task(offer, decision))
    elif decision.act == "refused":
        plan.counts.errors += 1
        plan.stands.append(Stands(offer.key, "error"))
    elif decision.limited:
        plan.stands.append(Stands(offer.key, "pending"))
    else:
        plan.counts.synced += 1
        plan.stands.append(Stands(offer.key, "synced", issues=[issue.wire() for issue in offer.issues]))


def take(plan: Plan, sent: Sequence[Sent], held: Mapping[str, Held], *, now: datetime) -> None:
    """Put Google's answers into the plan."""
    for each in sent:
        offer = each.task.offer
        if isinstance(each.answer, Refused):
            _refuse(plan, each, each.answer)
        elif isinstance(each.answer, Taken):
            limited = each.task.decision.limited and each.act == "patch"
            there = held.get(offer.offer_id)
            new = there is None or there.last_inserted_at is None or there.state == "deleted"
            plan.counts.added += each.act == "insert" and new
            plan.counts.updated += not (each.act == "insert" and new)
            plan.counts.synced += 1
            plan.inserted += each.act == "insert"
            plan.patched += each.act == "patch"
            terms = each.task.decision.offer_hash
            plan.records.append(Recorded(offer.offer_id, offer.key, "active", each.content_hash, terms, each.act))
            issues = [issue.wire() for issue in offer.issues]
            plan.stands.append(Stands(offer.key, "pending" if limited else "synced", issues=issues, sent=True))


def _refuse(plan: Plan, sent: Sent, refused: Refused) -> None:
    offer = sent.task.offer
    plan.counts.errors += 1
    plan.refused += 1
    issue = {
        "severity": "error",
        "code": refused.code,
        "attribute": refused.attribute,
        "description": refused.message[:500],
        "source": "validation",  # ours to replace, like what we find ourselves
    }
    plan.records.append(
        Recorded(
            offer.offer_id,
            offer.key,
            "refused",
            sent.content_hash,
            sent.task.decision.offer_hash,
            code=refused.code,
            error=refused.message[:500],
        )
    )
    plan.stands.append(Stands(offer.key, "error", issues=[issue, *(each.wire() for each in offer.issues)]))
    plan.entries.append({"offerId": offer.offer_id, "code": refused.code, "message": refused.message[:300]})


def _judge(progress: Progress, plan: Plan, stop: Stop | None) -> None:
    progress.tried += plan.refused + plan.inserted + plan.patched
    progress.refused += plan.refused
    progress.waiting += plan.limited
    if progress.tried >= ERROR_ABORT_FROM and progress.refused > ERROR_ABORT_FRACTION * progress.tried:
        raise Permanent(MOSTLY_REFUSED, f"{progress.refused} of {progress.tried} offers were refused")
    if stop is not None:
        raise stop


def _another_pass(ctx: JobContext, progress: Progress) -> bool:
    """Whether rows began to wait behind the run: applications and single updates may do that at any time."""
    if progress.passes >= PASSES:
        return False
    with ctx.tenant_session(read_only=True) as session:
        waiting = int(session.value(STILL_WAITING))
    if waiting <= progress.waiting:
        return False
    progress.at, progress.waiting, progress.passes = ("", ""), 0, progress.passes + 1
    return True


STILL_WAITING = """
-- google feed: how many rows wait
SELECT count(*)::integer FROM google_feed_products WHERE sync_status = 'pending'
"""
