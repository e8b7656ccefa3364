"""Step prepare: which offers the feed should have, and which of them have to be sent.

Pages of 500 products, the same few statements for each. A shop that is not connected gets its feed as a file on the
way: rendered to disk offer by offer, stored when it is whole.
"""

from __future__ import annotations

import tempfile
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from functions.commerce.catalog.paging import Legs
from functions.commerce.google_feed.telling import Superseded
from shared.google_feed import history, store
from shared.google_feed.catalogue import next_page
from shared.google_feed.differences import decide
from shared.google_feed.history import FeedFileFacts
from shared.google_feed.offers import Feed, Offer, build_all
from shared.google_feed.rendering import CONTENT_TYPES, FeedFile
from shared.google_feed.store import Stands
from shared.integrations import files
from shared.jobs import JobContext, Permanent, Session

SPOOL_BYTES = 8 * 1024 * 1024
"""A file up to this size stays in memory, a larger one goes to disk."""
FEED_CACHE = "public, max-age=300"


@dataclass(slots=True)
class Prepared:
    """How far the preparation has come, in offers. `after`: products.id of the last product seen."""

    after: str = ""
    total: int = 0
    unchanged: int = 0
    excluded: int = 0
    errors: int = 0


@dataclass
class Page:
    """What a page of offers comes to."""

    stands: list[Stands] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)
    entries: list[dict[str, Any]] = field(default_factory=list)
    rendered: list[Offer] = field(default_factory=list)


def prepare(ctx: JobContext, feed: Feed, run: UUID, *, since: datetime | None, legs: Legs) -> None:
    """Judge every offer of the feed, or with `since` of what moved; leave what must be sent pending.

    May end the leg. Raises Superseded.
    """
    done = Prepared(**(ctx.cursor or {}).get("prepared", {}))
    while _next(ctx, feed, run, done, since=since, out=None):
        if legs.over():
            ctx.continue_from({"workedS": round(legs.worked_s, 1), "step": "prepare", "prepared": asdict(done)})
    _settle(ctx, run, done)


def render(ctx: JobContext, feed: Feed, run: UUID) -> FeedFileFacts:
    """Judge every offer and store the feed as a file. Raises Superseded, and what storing raises."""
    settings = feed.settings
    kind, done = settings.feed_format, Prepared()
    if not settings.feed_token:
        raise Permanent("FEED_NOT_CONFIGURED", "the feed has neither a connection nor a token for its file")
    with tempfile.SpooledTemporaryFile(max_size=SPOOL_BYTES) as spool:
        out = FeedFile(spool, kind, name=settings.feed_name, link=feed.storefront)
        while _next(ctx, feed, run, done, since=None, out=out):
            pass
        out.close()
        size = spool.tell()
        spool.seek(0)
        key = f"feeds/google/{settings.feed_token}/products.{kind}"
        files.put(ctx, key, spool, content_type=CONTENT_TYPES[kind], cache_control=FEED_CACHE)
    _settle(ctx, run, done)
    with ctx.tenant_session() as session:
        store.rendered(session, now=ctx.now())
        if not history.add(session, run, history.Counts(synced=out.count)):
            raise Superseded
    return FeedFileFacts(key, size, out.count)


def _next(
    ctx: JobContext, feed: Feed, run: UUID, done: Prepared, *, since: datetime | None, out: FeedFile | None
) -> bool:
    """One page in one transaction; False when there was none."""
    with ctx.tenant_session() as session:
        products = next_page(session, done.after, since=since)
        if not products:
            return False
        if not history.alive(session, run):
            raise Superseded
        offers = build_all(feed, products)
        page = _judge(session, feed, offers, done)
        if feed.settings.connected:  # offers before products, as everywhere: no two transactions wait for each other
            store.seen(session, feed.settings.place, page.seen, run)
        store.stand(session, page.stands, now=ctx.now())
        history.note(session, run, page.entries)
    done.after, done.total = products[-1].id, done.total + len(offers)
    for offer in page.rendered if out is not None else ():
        assert out is not None
        out.add(offer)
    ctx.progress(done.total)
    return True


def _judge(session: Session, feed: Feed, offers: list[Offer], done: Prepared) -> Page:
    """How each offer stands; counts into `done`, which a failed transaction throws away with the leg."""
    connected, page = feed.settings.connected, Page()
    held = store.held(session, feed.settings.place, [offer.offer_id for offer in offers]) if connected else {}
    for offer in offers:
        issues = [issue.wire() for issue in offer.issues]
        if offer.excluded is not None:
            done.excluded += 1
            page.stands.append(Stands(offer.key, "excluded", offer.excluded, issues=[]))
            continue
        page.seen.append(offer.offer_id)
        if offer.errors:
            done.errors += 1
            page.stands.append(Stands(offer.key, "error", issues=issues))
            page.entries += [entry(offer, issue.code, issue.description) for issue in offer.errors]
            continue
        page.rendered.append(offer)
        decision = decide(offer, held.get(offer.offer_id), feed.now) if connected else None
        if decision is not None and decision.act == "refused":
            done.errors += 1
            page.stands.append(Stands(offer.key, "error"))
        elif decision is not None and decision.act == "nothing" and not decision.limited:
            done.unchanged += 1
            page.stands.append(Stands(offer.key, "synced", issues=issues))
        elif decision is None and offer.standing == "synced":
            page.stands.append(Stands(offer.key, "synced", issues=issues))  # it is in the file, and stays in it
        else:
            page.stands.append(Stands(offer.key, "pending", issues=issues))
    return page


def entry(offer: Offer, code: str, message: str) -> dict[str, Any]:
    """An entry of google_feed_sync_history.errors."""
    return {"offerId": offer.offer_id, "code": code, "message": message[:300]}


def _settle(ctx: JobContext, run: UUID, done: Prepared) -> None:
    with ctx.tenant_session() as session:
        figures = {"total": done.total, "synced": done.unchanged, "excluded": done.excluded, "errors": done.errors}
        if not history.prepared(session, run, **figures):
            raise Superseded
