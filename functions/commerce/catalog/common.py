"""What the jobs of the catalogue share: settings, ids, keys, and who is told of changes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

from shared.catalog.stock import Moved as Moved
from shared.catalog.stock import Verdict, evaluate, tell
from shared.events.google_feed import GoogleFeedProductUpdate, GoogleFeedSync
from shared.ids import as_legacy_id
from shared.jobs import Delivery, Permanent, Retry, Session
from shared.tenant_settings import config

FeedKind = Literal["webhook", "schedule"]
RETRY = Retry(attempts=5, factor=2, min_s=2, max_s=60)
BATCH_RETRY = Retry(attempts=3, factor=2, min_s=5, max_s=120)
IDS_MAX = 1_000
"""Ids in one batch message."""
FEED_EVENTS_MAX = 200
"""Products told to the feed one by one; more are one comparison of the feed."""

SETTINGS: dict[str, Any] = {
    "products": True,
    "customers": True,
    "inventory": True,
    "collections": True,
    "customerAutoTags": [],
}
"""Defaults of the tenant's setting catalog.sync."""

CONNECTION = """
-- catalog: the active connection; its currency is that of the shop's prices
SELECT store_currency FROM shopify_connections
WHERE status = 'active' AND access_token_encrypted IS NOT NULL
ORDER BY installed_at DESC NULLS LAST, id LIMIT 1
"""

FEED = """
-- catalog: whether the product feed is connected
SELECT EXISTS (SELECT FROM google_feed_settings WHERE is_connected)
"""

KLAVIYO = """
-- catalog: whether Klaviyo is connected
SELECT EXISTS (SELECT FROM klaviyo_connections WHERE is_active)
"""

SYNCED = """
-- catalog: the shop was read
UPDATE shopify_connections SET last_sync_at = %(now)s WHERE status = 'active'
"""


def enabled(session: Session, kind: Literal["products", "customers", "inventory", "collections"]) -> bool:
    """Whether the tenant wants this part of the catalogue synchronised."""
    return config(session, "catalog.sync", SETTINGS)[kind] is not False


def shop_currency(session: Session) -> str:
    """Currency of the shop's prices. Raises Permanent SHOPIFY_NOT_CONNECTED without an active connection."""
    row = session.one(CONNECTION)
    if row is None:
        raise Permanent("SHOPIFY_NOT_CONNECTED", "the tenant has no active Shopify connection")
    return (row["store_currency"] or "USD").upper()


def feed_connected(session: Session) -> bool:
    """Whether anything has to be told to the product feed."""
    return bool(session.value(FEED))


def klaviyo_active(session: Session) -> bool:
    """Whether anything has to be told to Klaviyo."""
    return bool(session.value(KLAVIYO))


def shop_read(session: Session, now: datetime) -> None:
    """Note that the shop was read."""
    session.execute(SYNCED, {"now": now})


def judge_stock(session: Session, moved: Sequence[Moved], *, now: datetime) -> list[Verdict]:
    """Judge variants whose quantity moved and tell the apps; the caller serves Slack after the commit."""
    verdicts = evaluate(session, moved, now=now)
    tell(session, verdicts)
    return verdicts


def tell_feed(
    session: Session,
    changed: Sequence[str],
    deleted: Sequence[str] = (),
    *,
    triggered_by: Literal["webhook", "schedule"],
) -> None:
    """Tell the feed, if it is connected, of products (legacy ids) that it shows differently or not at all."""
    if not (changed or deleted) or not feed_connected(session):
        return
    if len(changed) + len(deleted) > FEED_EVENTS_MAX:
        session.emit(GoogleFeedSync(full_sync=False, triggered_by=triggered_by))
        return
    events = [GoogleFeedProductUpdate(product_id=id, action="update") for id in sorted(set(changed) - set(deleted))]
    events += [GoogleFeedProductUpdate(product_id=id, action="delete") for id in sorted(set(deleted))]
    session.emit_many([(event, None) for event in events])


SELLABLE = """
-- catalog: products of variants that can be sold now and could not before, or the other way round
SELECT v.shopify_product_id AS product_id, v.shopify_variant_id AS variant_id
FROM product_variants v
JOIN unnest(%(ids)s::text[], %(before)s::integer[]) AS t (id, before) ON t.id = v.shopify_variant_id
WHERE (COALESCE(v.inventory_quantity, 0) > 0) <> (t.before > 0)
ORDER BY v.shopify_product_id, v.shopify_variant_id
"""


def tell_feed_of_variants(session: Session, moved: Sequence[Moved], *, triggered_by: FeedKind) -> None:
    """Tell the feed of variants whose sellability flipped, one by one."""
    known = [each for each in moved if each.before is not None]
    if not known or not feed_connected(session):
        return
    flipped = session.all(SELLABLE, {"ids": [m.variant_id for m in known], "before": [m.before for m in known]})
    session.emit_many([(GoogleFeedProductUpdate(**row, action="update"), None) for row in flipped])


def object_key(delivery: Delivery, *named: str | None, action: str, updated_at: datetime | None) -> str:
    """Run key of a job about one object: its id, the action, and the vendor's instant, else the message."""
    id = next((as_legacy_id(each) or each for each in named if each), "")
    return f"{id}:{action}:{updated_at.isoformat() if updated_at else delivery.id}"
