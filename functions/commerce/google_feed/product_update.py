"""One product, soon after a change: its offers are sent, or deleted where they do not arise any more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal
from uuid import UUID

from functions.commerce.google_feed import sending
from functions.commerce.google_feed.deleting import reasons_of
from functions.commerce.google_feed.line import Kept, Line, Sent, Stop, Task
from functions.commerce.google_feed.sending import Plan
from functions.commerce.google_feed.telling import disconnect
from shared.events.alerts import AlertApiFailure
from shared.events.base import Payload
from shared.events.google_feed import GoogleFeedProductUpdate, GoogleFeedSync
from shared.google_feed import history, store
from shared.google_feed.catalogue import products_by_key, sales
from shared.google_feed.differences import Held, decide
from shared.google_feed.offers import Feed, Offer, build_all
from shared.google_feed.settings import FeedSettings, load_settings, storefront
from shared.google_feed.store import Stands, There
from shared.ids import as_legacy_id, find_product
from shared.integrations.google_auth import UNAUTHORIZED
from shared.integrations.merchant import DailyLimit
from shared.jobs import Delivery, JobContext, Permanent, Retry, Session, job
from shared.jobs.queues import CATALOG_SYNC

BURST = timedelta(seconds=10)
"""A product that was sent so short a time ago waits once: webhooks come in bursts."""
BURST_KEY = "burst:"
"""Begins the id of a message that has waited."""
PER_LEG = 100
"""Offers sent or deleted in one leg."""

Outcome = Literal["sent", "unchanged", "deleted", "deferred", "limited", "unknown", "not_configured"]

PASSED = """
-- google feed: whether the run under way has seen to this product
SELECT EXISTS (SELECT FROM google_feed_offers WHERE shopify_product_id = %(key)s AND generation = %(run)s)
   AND NOT EXISTS (SELECT FROM google_feed_products WHERE shopify_product_id = %(key)s AND sync_status = 'pending')
"""
LAST_SENT = """
-- google feed: when Google was last told of this product
SELECT max(last_sync_at) FROM google_feed_products WHERE shopify_product_id = %(key)s
"""


class ProductFeedResult(Payload):
    """What was done, in offers."""

    outcome: Outcome
    inserted: int = 0
    patched: int = 0
    deleted: int = 0
    errors: int = 0


def run_key(payload: GoogleFeedProductUpdate, delivery: Delivery) -> str:
    """Product, variant, action and the message."""
    return f"{payload.product_id}:{payload.variant_id or ''}:{payload.action}:{delivery.id}"


@job(
    "google-feed-product-update",
    on=GoogleFeedProductUpdate,
    queue=CATALOG_SYNC,
    emits=(GoogleFeedSync, AlertApiFailure),
    retry=Retry(attempts=5, factor=2, min_s=1, max_s=60),
    timeout_s=120,
    key=run_key,
)
def update_product(ctx: JobContext, payload: GoogleFeedProductUpdate) -> ProductFeedResult:
    """Send or remove the offers of one product soon after a change, without waiting for the daily run.

    Permanent: GOOGLE_UNAUTHORIZED, GOOGLE_FORBIDDEN, DATA_SOURCE_GONE, STOREFRONT_URL_MISSING; RATE_LIMITED waits.
    """
    with ctx.tenant_session() as session:
        settings = load_settings(session)
        if settings is None:
            return ProductFeedResult(outcome="not_configured")
        subject = _subject(session, payload)
        if not settings.connected:
            store.wait(session, [subject.key], subject.variant)
            return ProductFeedResult(outcome="deferred")
        if settings.data_source_name is None:
            session.emit(GoogleFeedSync(full_sync=False, triggered_by="webhook"))
            return ProductFeedResult(outcome="deferred")
        session.lock(f"google-feed:product:{subject.key}")  # the messages of a burst may run side by side
        feed = Feed(settings, storefront(session), ctx.now(), sales(session, settings, ctx.now()))
        work = _look(session, feed, subject, payload)
        if _put_off(ctx, session, work, payload):
            return ProductFeedResult(outcome="deferred")
        _mark(ctx, session, feed, work)
    if not work.subject.known and not work.there:
        return ProductFeedResult(outcome="unknown")
    return _carry_out(ctx, feed, work)


@dataclass(frozen=True, slots=True)
class Subject:
    """Which product, and which of its variants, a message is about. `known`: whether we have the product."""

    key: str
    variant: str | None
    known: bool


@dataclass(slots=True)
class Work:
    """What the message asks for. `offers` as they should be; `held` by offer id and `there`: what Google holds; `gone`
    what of it must go; `run`: the synchronisation under way that has passed the product."""

    subject: Subject
    offers: list[Offer]
    there: list[There]
    gone: list[There]
    held: Mapping[str, Held]
    run: UUID | None = None


def _subject(session: Session, payload: GoogleFeedProductUpdate) -> Subject:
    row = find_product(session, payload.product_id)
    named = as_legacy_id(payload.product_id) or payload.product_id
    variant = payload.variant_id and (as_legacy_id(payload.variant_id) or payload.variant_id)
    key = (row["legacy_id"] or row["id"]) if row else named
    return Subject(key, variant, row is not None)


def _look(session: Session, feed: Feed, subject: Subject, payload: GoogleFeedProductUpdate) -> Work:
    """What there is and what there should be; of one variant, when one is meant and offers are variants."""
    products = products_by_key(session, [subject.key])
    offers = build_all(feed, list(products.values())) if payload.action == "update" else []
    there = store.of_product(session, [subject.key])
    if subject.variant is not None and feed.settings.include_variants:
        offers = [offer for offer in offers if offer.variant_id == subject.variant]
        there = [each for each in there if each.shopify_variant_id == subject.variant]
    wanted = {offer.offer_id for offer in offers if offer.excluded is None}
    held = store.held(session, feed.settings.place, [offer.offer_id for offer in offers])
    return Work(subject, offers, there, [each for each in there if each.offer_id not in wanted], held)


def _put_off(ctx: JobContext, session: Session, work: Work, payload: GoogleFeedProductUpdate) -> bool:
    """Whether a run under way will send the product, or a burst is waited out.

    What must go at Google goes at once: a run that has seen the offer would not delete it.
    """
    run = history.running(session, ctx.now())
    if run is not None and work.offers and not work.gone:
        if not session.value(PASSED, {"key": work.subject.key, "run": run}):
            waiting = [Stands(offer.key, "pending") for offer in work.offers if offer.sendable]
            store.stand(session, waiting, now=ctx.now())
            return True
        work.run = run
    if ctx.cursor is not None or ctx.delivery.id.startswith(BURST_KEY):
        return False
    last = session.value(LAST_SENT, {"key": work.subject.key})
    if last is None or ctx.now() - last >= BURST or ctx.attempt > 1:
        return False
    name = f"{work.subject.key}:{work.subject.variant or ''}:{payload.action}:{last.isoformat()}"
    session.again(payload, delay_s=BURST.total_seconds(), key=f"{BURST_KEY}{name}")
    return True


def _mark(ctx: JobContext, session: Session, feed: Feed, work: Work) -> None:
    """Say that the product is being sent: the other messages of its burst wait. Rows that stand as sent stay so, lest a
    run under way sends them as well."""
    due = [offer for offer in work.offers if offer.sendable and _sends(offer, work, feed)]
    rows = [Stands(each.key, "synced" if each.standing == "synced" else "pending", sent=True) for each in due]
    store.stand(session, rows, now=ctx.now())


def _sends(offer: Offer, work: Work, feed: Feed) -> bool:
    return decide(offer, work.held.get(offer.offer_id), feed.now).act in ("insert", "patch")


def _carry_out(ctx: JobContext, feed: Feed, work: Work) -> ProductFeedResult:
    """Send and delete up to PER_LEG offers, keep what became of them, and go on in another leg if there are more."""
    keys, held = [offer.key for offer in work.offers], work.held
    plan = sending.plan_of(keys, {offer.key: offer for offer in work.offers}, held, {}, feed)
    tasks, gone = plan.tasks[:PER_LEG], work.gone[: max(0, PER_LEG - len(plan.tasks))]
    more = len(tasks) + len(gone) < len(plan.tasks) + len(work.gone)
    sent, dropped, kept, stop = _call(ctx, feed.settings, tasks, gone)
    sending.take(plan, sent, held, now=feed.now)
    plan.refused, plan.counts.errors = plan.refused + len(kept), plan.counts.errors + len(kept)
    _keep(ctx, feed, work, plan, sent, dropped)
    done = _counted(ctx, plan, dropped)
    if isinstance(stop, DailyLimit):
        return done.model_copy(update={"outcome": "limited"})  # what was not tried waits for the next run
    if stop is not None:
        if stop.code == UNAUTHORIZED:
            disconnect(ctx, feed.settings)
        raise stop
    if more and (tasks or dropped):  # where Google deletes nothing, another leg would ask for the same again
        ctx.continue_from(done.wire())
    return done


def _call(
    ctx: JobContext, settings: FeedSettings, tasks: list[Task], gone: list[There]
) -> tuple[list[Sent], list[There], list[Kept], Stop | None]:
    if not tasks and not gone:
        return [], [], [], None
    try:
        line = Line(ctx, settings)
        sent, stop = line.push(tasks)
        if stop is not None:
            return sent, [], [], stop
        return sent, *line.drop(gone)
    except DailyLimit as limit:
        return [], [], [], limit
    except Permanent as error:
        return [], [], [], error


def _keep(ctx: JobContext, feed: Feed, work: Work, plan: Plan, sent: list[Sent], dropped: list[There]) -> None:
    untried = [Stands(each.task.offer.key, "pending") for each in sent if each.answer is None]
    with ctx.tenant_session() as session:
        store.record(session, feed.settings.place, plan.records, run=work.run, now=ctx.now())
        store.deleted(session, dropped, now=ctx.now())
        live = {offer.key for offer in work.offers}
        reasons = reasons_of(session, feed, {each.key for each in dropped})
        away = [Stands(key, "excluded", reasons[key], issues=[]) for key in reasons if key not in live]
        store.stand(session, [*plan.stands, *untried, *away], now=ctx.now())


def _counted(ctx: JobContext, plan: Plan, dropped: list[There]) -> ProductFeedResult:
    """The figures of all legs so far, and what they come to."""
    before = ProductFeedResult.model_validate(ctx.cursor) if ctx.cursor else ProductFeedResult(outcome="unchanged")
    figures = {
        "inserted": before.inserted + plan.inserted,
        "patched": before.patched + plan.patched,
        "deleted": before.deleted + len(dropped),
        "errors": before.errors + plan.refused + _invalid(plan),
    }
    outcome: Outcome = "unchanged"
    if plan.limited or before.outcome == "limited":
        outcome = "limited"
    elif figures["inserted"] or figures["patched"]:
        outcome = "sent"
    elif figures["deleted"]:
        outcome = "deleted"
    return ProductFeedResult(outcome=outcome, **figures)


def _invalid(plan: Plan) -> int:
    """Offers that our own validation keeps back, or Google refused before."""
    return plan.counts.errors - plan.refused
