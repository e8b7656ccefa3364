"""The whole feed: what Google must be told so that it shows the shop's products as they are.

    prepare   judge every offer; what must be sent waits                     (not connected: the feed as a file)
    send      insert, patch or nothing, 200 offers at a time
    delete    what has left the feed                                         (full runs only)
    finish    the run's row and the time of the next run
    status    15 minutes later: Google's verdict on every offer

One run per tenant. The steps follow one another within a message and its legs; after 25 minutes of work, and when
Google's quota of the day is used up, a new message goes on.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Literal
from uuid import UUID

from functions.commerce.catalog.paging import RUN_TIME_BUDGET_S, Legs
from functions.commerce.google_feed import deleting, preparing, sending, status
from functions.commerce.google_feed.line import Line
from functions.commerce.google_feed.telling import Superseded, failing
from shared.events.alerts import AlertApiFailure
from shared.events.base import Payload
from shared.events.google_feed import GoogleFeedImageOptimize, GoogleFeedSync
from shared.google_feed import history
from shared.google_feed.catalogue import sales
from shared.google_feed.exclusion import unknown_rules
from shared.google_feed.history import FeedFileFacts, Figures
from shared.google_feed.offers import Feed
from shared.google_feed.settings import load_settings, storefront
from shared.integrations.merchant import DailyLimit, quota_returns_at
from shared.jobs import Delivery, JobContext, Permanent, Retry, Session, job
from shared.jobs.queues import CATALOG_SYNC

STATUS_DELAY_S = 900
"""Seconds between the last send and the look at Google's verdict: processing takes some minutes."""
DUE_SOON = timedelta(hours=1)
"""A scheduled message this much before the time of the next run counts as that run."""
ADMIN_URL = "ADMIN_URL"
"""Setting: address of the app that serves the feed's file."""

Outcome = Literal["completed", "joined", "not_due", "failed", "superseded", "continued"]


class FeedSyncResult(Payload):
    """What the run has come to, in offers; `sync_id` names its row in google_feed_sync_history."""

    sync_id: UUID | None = None
    outcome: Outcome
    total: int = 0
    added: int = 0
    updated: int = 0
    removed: int = 0
    excluded: int = 0
    errors: int = 0
    unchanged: int = 0


def run_key(payload: GoogleFeedSync, delivery: Delivery) -> str:
    """The run's step and its message; of a first message what started it. The tick is in a scheduled message's id."""
    return f"{payload.sync_id or payload.triggered_by}:{payload.step}:{delivery.id}"


@job(
    "google-feed-sync",
    on=GoogleFeedSync,
    queue=CATALOG_SYNC,
    emits=(GoogleFeedSync, GoogleFeedImageOptimize, AlertApiFailure),
    retry=Retry(attempts=3, factor=2, min_s=5, max_s=60),
    timeout_s=600,
    key=run_key,
    files=("feeds",),
)
def sync_feed(ctx: JobContext, payload: GoogleFeedSync) -> FeedSyncResult:
    """Compare the product feed with what Google holds and send the differences; later collect Google's verdict.

    Permanent: FEED_NOT_CONFIGURED, STOREFRONT_URL_MISSING, GOOGLE_UNAUTHORIZED, GOOGLE_FORBIDDEN, DATA_SOURCE_GONE,
    FEED_MOSTLY_REFUSED, QUOTA_EXHAUSTED; RATE_LIMITED waits.
    """
    feed = open_feed(ctx)
    if payload.step == "status":
        return _status(ctx, feed, payload)
    run = payload.sync_id or ctx.run_id
    if payload.sync_id is None and ctx.cursor is None:
        with ctx.tenant_session() as session:
            spared = _begin(session, ctx, feed, payload, run)
        if spared is not None:
            return spared
    try:
        with failing(ctx, run, feed.settings):
            return _walk(ctx, feed, payload, run)
    except DailyLimit:
        return _wait_for_quota(ctx, feed, payload, run)
    except Superseded:
        return _result(ctx, run, "superseded")


def open_feed(ctx: JobContext) -> Feed:
    """What offers are built by. Raises Permanent FEED_NOT_CONFIGURED, STOREFRONT_URL_MISSING."""
    with ctx.tenant_session(read_only=True) as session:
        settings = load_settings(session)
        if settings is None:
            raise Permanent("FEED_NOT_CONFIGURED", "the tenant has no settings for a feed")
        feed = Feed(settings, storefront(session), ctx.now(), sales(session, settings, ctx.now()))
    if unknown := unknown_rules(settings):
        ctx.log.warning("exclusion rules of an unknown type are passed over", extra={"rules": unknown})
    return feed


def _begin(session: Session, ctx: JobContext, feed: Feed, payload: GoogleFeedSync, run: UUID) -> FeedSyncResult | None:
    """Open the run; a result when there is nothing to do."""
    other = history.open_run(session, run, ctx.now(), due=_due(ctx, feed, payload))
    if other == run:
        return None
    return FeedSyncResult(sync_id=other, outcome="joined" if other else "not_due")


def _due(ctx: JobContext, feed: Feed, payload: GoogleFeedSync) -> bool:
    following = feed.settings.next_sync_at
    return payload.triggered_by != "schedule" or following is None or following <= ctx.now() + DUE_SOON


def _walk(ctx: JobContext, feed: Feed, payload: GoogleFeedSync, run: UUID) -> FeedSyncResult:
    """The steps from where the last leg or message left off."""
    legs, kept = Legs(ctx), dict(ctx.cursor or {})
    with ctx.tenant_session(read_only=True) as session:
        if not history.alive(session, run):
            raise Superseded
    step = kept.get("step") or payload.step
    if not feed.settings.connected:
        return _finish(ctx, feed, run, preparing.render(ctx, feed, run))
    if step == "prepare":
        preparing.prepare(ctx, feed, run, since=_since(ctx, feed, payload), legs=legs)
        step = "send"
    line = Line(ctx, feed.settings)
    if step == "send":
        progress = sending.Progress.of(kept["sending"]) if "sending" in kept else sending.resumed(ctx, run)
        while sending.send_page(ctx, line, feed, run, progress):
            if legs.over():
                return _hand_on(ctx, payload, run, legs, {"step": "send", "sending": progress.wire()})
        step = "delete"
    if step == "delete" and payload.full_sync and ("at" in kept or not deleting.guarded(ctx, feed, run)):
        position = _position(kept)
        while (following := deleting.delete_page(ctx, line, feed, run, position)) is not None:
            position = following
            if legs.over():
                return _hand_on(ctx, payload, run, legs, {"step": "delete", "at": list(position)})
    return _finish(ctx, feed, run, None)


def _position(kept: dict[str, Any]) -> deleting.Position:
    language, label, offer_id = kept.get("at", deleting.START)
    return language, label, offer_id


def _since(ctx: JobContext, feed: Feed, payload: GoogleFeedSync) -> Any:
    """From when on products count; None: all of them, also when there was no run before."""
    if payload.full_sync:
        return None
    with ctx.tenant_session(read_only=True) as session:
        return history.changed_since(session, feed.settings)


def _hand_on(ctx: JobContext, payload: GoogleFeedSync, run: UUID, legs: Legs, cursor: dict[str, Any]) -> FeedSyncResult:
    """Go on in another leg while the run's time lasts, else in a new message."""
    if legs.worked_s < RUN_TIME_BUDGET_S:
        ctx.continue_from({"workedS": round(legs.worked_s, 1), **cursor})
    with ctx.final_session() as session:
        following = payload.model_copy(update={"sync_id": run, "step": cursor["step"]})
        session.emit(following, key=f"{run}:{cursor['step']}:{ctx.delivery.id}")
        return _read(session, run, "continued")


def _wait_for_quota(ctx: JobContext, feed: Feed, payload: GoogleFeedSync, run: UUID) -> FeedSyncResult:
    """The day's quota is used up: go on when it returns; the second time the run fails.

    What has been done waits no more, so the place is kept by itself.
    """
    with ctx.tenant_session() as session:
        figures = history.read(session, run)
    if figures is not None and figures.quota_stopped:
        with failing(ctx, run, feed.settings):
            raise Permanent("QUOTA_EXHAUSTED", "the quota of a second day was used up")
    at = quota_returns_at(ctx.now())
    with ctx.final_session() as session:
        note = {"offerId": None, "code": history.QUOTA_STOP, "message": f"goes on at {at.isoformat()}"}
        history.note(session, run, [note])
        following = payload.model_copy(update={"sync_id": run, "step": "send"})
        session.emit(following, key=f"{run}:quota:{at.date()}", deliver_at=at)
        return _read(session, run, "continued")


def _finish(ctx: JobContext, feed: Feed, run: UUID, file: FeedFileFacts | None) -> FeedSyncResult:
    """End the run; of a connected feed somebody looks at the verdict later."""
    settings, base = feed.settings, ctx.setting(ADMIN_URL)
    path = f"/api/feeds/google/{settings.feed_token}/products.{settings.feed_format}"
    feed_url = f"{base.rstrip('/')}{path}" if base and settings.feed_token else None
    with ctx.final_session() as session:
        if not history.end(session, run, settings, "completed", now=ctx.now(), feed_url=feed_url, file=file):
            raise Superseded
        if settings.connected:
            event = GoogleFeedSync(sync_id=run, step="status")
            session.emit(event, key=f"{run}:status", delay_s=STATUS_DELAY_S)
        return _read(session, run, "completed")


def _status(ctx: JobContext, feed: Feed, payload: GoogleFeedSync) -> FeedSyncResult:
    """Google's verdict; a feed that is not connected any more has none."""
    if not feed.settings.connected:
        return FeedSyncResult(sync_id=payload.sync_id, outcome="superseded")
    try:
        total = status.collect(ctx, feed, payload.sync_id)
    except DailyLimit:
        at = quota_returns_at(ctx.now())
        with ctx.final_session() as session:
            session.emit(payload, key=f"{payload.sync_id}:status:{at.date()}", deliver_at=at)
        return FeedSyncResult(sync_id=payload.sync_id, outcome="continued")
    return FeedSyncResult(sync_id=payload.sync_id, outcome="completed", total=total)


def _result(ctx: JobContext, run: UUID, outcome: Outcome) -> FeedSyncResult:
    with ctx.tenant_session(read_only=True) as session:
        return _read(session, run, outcome)


def _read(session: Session, run: UUID, outcome: Outcome) -> FeedSyncResult:
    figures: Figures | None = history.read(session, run)
    if figures is None:
        return FeedSyncResult(sync_id=run, outcome=outcome)
    names = ("total", "added", "updated", "removed", "excluded", "errors", "unchanged")
    return FeedSyncResult(sync_id=run, outcome=outcome, **{name: getattr(figures, name) for name in names})
