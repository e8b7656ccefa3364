"""Step delete: what Google still holds although it has left the feed.

Candidates are offers that the run has not seen. Each page of them is held against the catalogue once more before
anything is deleted: a product that came back, or was changed, while the run worked is not taken for one that is gone.
"""

from __future__ import annotations

from uuid import UUID

from functions.commerce.google_feed.line import Line
from functions.commerce.google_feed.telling import SHRUNK, Superseded, alert
from shared.google_feed import history, store
from shared.google_feed.catalogue import products_by_key
from shared.google_feed.history import Counts
from shared.google_feed.offers import Feed, build_all
from shared.google_feed.store import Stands, There
from shared.jobs import JobContext, Session

PAGE = 200
"""Offers per transaction."""
DELETE_GUARD_FRACTION = 0.30
"""Share of the active offers above which a deletion is not believed."""
DELETE_GUARD_FROM = 20
"""Candidates; fewer are never doubted."""

Position = tuple[str, str, str]
"""(language, label, offer id) of the last candidate looked at."""
START: Position = ("", "", "")


def guarded(ctx: JobContext, feed: Feed, run: UUID) -> bool:
    """Whether so much has left the feed that nothing is deleted; then it is noted, and somebody is told."""
    with ctx.tenant_session() as session:
        active, gone = store.shrinking(session, feed.settings.place, run)
        if gone < DELETE_GUARD_FROM or gone <= DELETE_GUARD_FRACTION * active:
            return False
        history.note(session, run, [{"offerId": None, "code": SHRUNK, "message": f"{gone} of {active} offers"}])
        alert(ctx, session, SHRUNK, severity="error", sync_id=run, counts={"active": active, "gone": gone})
    return True


def delete_page(ctx: JobContext, line: Line, feed: Feed, run: UUID, after: Position) -> Position | None:
    """Delete one page of candidates behind `after`; the position of the next page, None when there is none.

    Raises Superseded and what Google's answers raise, after the page's results are kept.
    """
    with ctx.tenant_session() as session:
        page = store.left(session, feed.settings.place, run, after, PAGE)
        gone = leaving(session, feed, page)
        back = [each.offer_id for each in page if each not in gone and each.place == feed.settings.place]
        store.seen(session, feed.settings.place, back, run)
    if not page:
        return None
    dropped, kept, stop = line.drop(gone)
    with ctx.tenant_session() as session:
        if not history.add(session, run, Counts(removed=len(dropped), errors=len(kept))):
            raise Superseded
        forget(ctx, session, feed, dropped)
        entries = [{"offerId": o.offer_id, "code": why.code, "message": why.message[:300]} for o, why in kept]
        history.note(session, run, entries)
    if stop is not None:
        raise stop
    last = page[-1]
    return last.content_language, last.feed_label, last.offer_id


def leaving(session: Session, feed: Feed, offers: list[There]) -> list[There]:
    """Those of the offers that the catalogue as it stands now does not give."""
    products = products_by_key(session, sorted({each.shopify_product_id for each in offers}))
    built = build_all(feed, list(products.values()))
    wanted = {offer.offer_id for offer in built if offer.excluded is None}
    return [each for each in offers if each.place != feed.settings.place or each.offer_id not in wanted]


def forget(ctx: JobContext, session: Session, feed: Feed, dropped: list[There]) -> None:
    """Google holds these no more, and the admin pages show them as excluded, unless they live on elsewhere."""
    store.deleted(session, dropped, now=ctx.now())
    shown = {each.key for each in dropped if each.place == feed.settings.place}
    reasons = reasons_of(session, feed, shown)
    store.stand(session, [Stands(key, "excluded", reasons.get(key), issues=[]) for key in shown], now=ctx.now())


def reasons_of(session: Session, feed: Feed, keys: set[tuple[str, str | None]]) -> dict[tuple[str, str | None], str]:
    """Why offers are out of the feed; of those that do not arise any more, that they do not."""
    products = products_by_key(session, sorted({key for key, _ in keys}))
    built = {offer.key: offer.excluded for offer in build_all(feed, list(products.values()))}
    return {key: built.get(key) or "not_in_catalogue" for key in keys}
