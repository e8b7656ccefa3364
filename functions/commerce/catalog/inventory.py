"""Stock of one item: taken over as Shopify announced it, read again, or corrected at Shopify because an app asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal
from uuid import UUID, uuid5

from functions.commerce.catalog.common import RETRY, FeedKind, judge_stock, shop_currency, tell_feed_of_variants
from functions.commerce.catalog.products import FEED_EVENTS, STOCK_EVENTS
from shared.catalog.levels import store_levels
from shared.catalog.mapping import map_level
from shared.catalog.records import LevelRecord
from shared.catalog.stock import Verdict, settle_items
from shared.catalog.stock_messages import post_news
from shared.events.alerts import AlertApiFailure
from shared.events.base import Payload
from shared.events.catalog import InventoryUpdate, ProductSyncOne
from shared.ids import as_legacy_id, legacy_id
from shared.integrations.shopify_catalog import Node, ShopifyCatalog, StaleQuantity
from shared.jobs import Delivery, JobContext, Permanent, Session, Transient, job
from shared.jobs.queues import CATALOG_SYNC

Mode = Literal["observed", "change", "refresh"]
Outcome = Literal["observed", "changed", "refreshed", "unchanged", "skipped_stale", "unknown_item"]

MAX_ROUNDS = 3
"""Times that stock is read again because somebody else moved it between our reading and our writing."""
KEYS = UUID("6f1c9d0e-6c0d-5c55-9c5e-0a8a5f1b7f21")
"""Namespace of the keys under which Shopify changes stock once."""
FEED: FeedKind = "webhook"


class InventoryUpdateResult(Payload):
    """Quantities of the variant over all places, before and after; `stockState` after."""

    outcome: Outcome
    previous_quantity: int | None = None
    new_quantity: int | None = None
    stock_state: str | None = None


VARIANT = """
-- catalog: the variant whose stock is meant
SELECT shopify_variant_id, shopify_product_id, inventory_item_id, inventory_quantity, stock_state
FROM product_variants
WHERE inventory_item_id = %(item)s OR shopify_variant_id = %(variant)s
ORDER BY (inventory_item_id = %(item)s) DESC NULLS LAST LIMIT 1
"""

ACTIVE_LOCATIONS = """
-- catalog: the places in use; two tell that there is no only one
SELECT shopify_location_id FROM inventory_locations WHERE is_active ORDER BY shopify_location_id LIMIT 2
"""

# The intent is committed before the call: a repetition sends the very same request, which Shopify answers as before.
INTENTS = """
-- catalog: the settings of stock that this run has tried
SELECT line_no AS round, (data ->> 'before')::integer AS before FROM catalog_sync_stage
WHERE run_id = %(run_id)s AND object_type = 'SetQuantity' ORDER BY line_no
"""

INTEND = """
-- catalog: this run is about to set stock
INSERT INTO catalog_sync_stage (run_id, line_no, object_type, external_id, data)
VALUES (%(run_id)s, %(round)s, 'SetQuantity', %(item)s, jsonb_build_object('before', %(before)s::integer))
"""

FORGET = """
-- catalog: stock was set, and what it led to is stored
DELETE FROM catalog_sync_stage WHERE run_id = %(run_id)s
"""

ITEM_LEVELS = """
-- catalog: where an item is stocked as far as we know
SELECT shopify_location_id FROM inventory_levels WHERE inventory_item_id = %(item)s
"""


def run_key(payload: InventoryUpdate, delivery: Delivery) -> str:
    """An observation: item, place and instant. Anything else: the message, which also names the change at Shopify."""
    if mode_of(payload) == "observed" and payload.updated_at is not None:
        place = payload.shopify_location_id or payload.location_id
        return f"{payload.inventory_item_id}:{place}:{payload.updated_at.isoformat()}"
    return delivery.id


def mode_of(payload: InventoryUpdate) -> Mode | None:
    """What is meant; None when it is ambiguous. An observation without a number: not stocked there any more."""
    changes = (payload.quantity_adjustment is not None) + (payload.new_quantity is not None)
    if changes > 1 or (changes and payload.available is not None):
        return None
    if changes:
        return "change"
    place = payload.shopify_location_id or payload.location_id
    observed = payload.available is not None or (payload.updated_at is not None and place is not None)
    return "observed" if observed and payload.inventory_item_id and place else "refresh"


@job(
    "commerce-inventory-update",
    on=InventoryUpdate,
    queue=CATALOG_SYNC,
    emits=(*STOCK_EVENTS, *FEED_EVENTS, ProductSyncOne, AlertApiFailure),
    retry=RETRY,
    timeout_s=60,
    key=run_key,
)
def update_inventory(ctx: JobContext, payload: InventoryUpdate) -> InventoryUpdateResult:
    """Take over an announced stock level, read an item's levels again, or set or adjust its stock at Shopify.

    A change carries a key of the message, so that Shopify makes it once however often the message runs. Permanent:
    AMBIGUOUS_QUANTITY, INVENTORY_ITEM_UNKNOWN, LOCATION_REQUIRED, NON_MUTABLE_INVENTORY_ITEM, INVALID_QUANTITY and
    the client's; transient: STOCK_CONTENDED.
    """
    mode = mode_of(payload)
    if mode is None:
        raise Permanent("AMBIGUOUS_QUANTITY", "give one of available, quantityAdjustment and newQuantity")
    with ctx.tenant_session(read_only=True) as session:
        shop_currency(session)
        item, known = _find(session, payload)
    if item is None or not known:
        found = _ask_for_item(ctx, payload, item)
        if found is None or mode != "change":
            return _unknown(ctx, mode, found)
        item = found[0]
    if mode == "observed":
        return _store(ctx, item, [_observed(ctx, payload, item)], "observed")
    if mode == "change":
        return _change(ctx, payload, item)
    return _refresh(ctx, item)


# -- which item --------------------------------------------------------------------------------------------------------


def _find(session: Session, payload: InventoryUpdate) -> tuple[str | None, bool]:
    """(inventory item, whether we hold its variant)."""
    item = as_legacy_id(payload.inventory_item_id) if payload.inventory_item_id else None
    variant = payload.shopify_variant_id or payload.variant_id
    wanted = {"item": item, "variant": as_legacy_id(variant) if variant else None}
    row = session.one(VARIANT, wanted)
    return item or (row["inventory_item_id"] if row else None), row is not None


def _ask_for_item(ctx: JobContext, payload: InventoryUpdate, item: str | None) -> tuple[str, str | None] | None:
    """(inventory item, product) as Shopify knows them; None when it does not."""
    shopify = ShopifyCatalog.connect(ctx)
    variant = payload.shopify_variant_id or payload.variant_id
    if item is None:
        variant_id = as_legacy_id(variant) if variant else None
        return shopify.item_of_variant(variant_id) if variant_id else None
    node = shopify.item(item)
    if node is None:
        return None
    variants = node["variants"]["nodes"]
    return item, legacy_id(variants[0]["product"]["id"]) if variants else None


def _unknown(ctx: JobContext, mode: Mode, found: tuple[str, str | None] | None) -> InventoryUpdateResult:
    if mode == "change":
        raise Permanent("INVENTORY_ITEM_UNKNOWN", "neither we nor Shopify know this item")
    if found is not None and found[1] is not None:
        ctx.emit(ProductSyncOne(shopify_product_id=found[1], source="job"))
    return InventoryUpdateResult(outcome="unknown_item")


# -- the three modes ---------------------------------------------------------------------------------------------------


def _observed(ctx: JobContext, payload: InventoryUpdate, item: str) -> LevelRecord:
    place = payload.shopify_location_id or payload.location_id or ""
    return LevelRecord(
        item_id=item,
        location_id=as_legacy_id(place) or place,
        available=payload.available,
        updated_at=payload.updated_at or ctx.delivery.sent_at,
    )


def _refresh(ctx: JobContext, item: str) -> InventoryUpdateResult:
    node = ShopifyCatalog.connect(ctx).item(item)
    if node is None:
        raise Permanent("INVENTORY_ITEM_UNKNOWN", "Shopify does not know this item")
    more = node["inventoryLevels"]["pageInfo"]["hasNextPage"]
    return _store(ctx, item, _levels(node, item), "refreshed", whole=not more)


def _levels(node: Node, item: str) -> list[LevelRecord]:
    return [
        map_level(level, item_id=item, location_id=legacy_id(level["location"]["id"]))
        for level in node["inventoryLevels"]["nodes"]
    ]


def _change(ctx: JobContext, payload: InventoryUpdate, item: str) -> InventoryUpdateResult:
    """Set or adjust, and store what Shopify has afterwards."""
    place = _place(ctx, payload)
    shopify = ShopifyCatalog.connect(ctx)
    uri = f"gid://cgk/InventoryUpdate/{ctx.delivery.id}"
    if payload.quantity_adjustment is not None:
        shopify.adjust_quantity(
            item, place, delta=payload.quantity_adjustment, reason=payload.reason, uri=uri, key=_once(ctx)
        )
        sent = True
    else:
        sent = _set(ctx, shopify, item, place, payload)
    levels = [level for level in _fresh(shopify, item) if level.location_id == place]
    return _store(ctx, item, levels, "changed" if sent else "unchanged")


def _once(ctx: JobContext, round: int = 0) -> str:
    """The key under which Shopify does a change once: by job, tenant and the run's key (and round)."""
    return str(uuid5(KEYS, f"{ctx.job_id}:{ctx.tenant.slug}:{ctx.delivery.id}:{round}"))


def _fresh(shopify: ShopifyCatalog, item: str) -> list[LevelRecord]:
    node = shopify.item(item)
    if node is None:
        raise Permanent("INVENTORY_ITEM_UNKNOWN", "Shopify does not know this item")
    return _levels(node, item)


def _set(ctx: JobContext, shopify: ShopifyCatalog, item: str, place: str, payload: InventoryUpdate) -> bool:
    """Set the quantity against what was just read, again when somebody else moved it meanwhile.

    False when the stock is as wanted and nothing was sent.
    """
    quantity = payload.new_quantity or 0
    with ctx.tenant_session(read_only=True) as session:
        tried = {row["round"]: row["before"] for row in session.all(INTENTS, {"run_id": ctx.run_id})}
    for round in range(1, len(tried) + MAX_ROUNDS + 1):
        before = tried.get(round)
        if before is None:
            held = [level.available or 0 for level in _fresh(shopify, item) if level.location_id == place]
            before = held[0] if held else 0
            if before == quantity:
                return False
            with ctx.tenant_session() as session:
                session.execute(INTEND, {"run_id": ctx.run_id, "round": round, "item": item, "before": before})
        try:
            shopify.set_quantity(
                item,
                place,
                quantity=quantity,
                change_from=before,
                reason=payload.reason,
                uri=f"gid://cgk/InventoryUpdate/{ctx.delivery.id}",
                key=_once(ctx, round),
            )
        except StaleQuantity:
            continue
        return True
    raise Transient("STOCK_CONTENDED", f"the stock moved {MAX_ROUNDS} times while it was being set")


def _place(ctx: JobContext, payload: InventoryUpdate) -> str:
    named = payload.shopify_location_id or payload.location_id
    if named is not None:
        place = as_legacy_id(named)
        if place is None:
            raise Permanent("LOCATION_REQUIRED", "the location is no Shopify id")
        return place
    with ctx.tenant_session(read_only=True) as session:
        places = session.all(ACTIVE_LOCATIONS)
    if len(places) != 1:
        raise Permanent("LOCATION_REQUIRED", "the shop has not exactly one active location; name one")
    return str(places[0]["shopify_location_id"])


# -- what follows ------------------------------------------------------------------------------------------------------


def _store(
    ctx: JobContext, item: str, levels: Sequence[LevelRecord], done: Outcome, *, whole: bool = False
) -> InventoryUpdateResult:
    """Write levels and judge the variant. `whole`: these are all levels of the item."""
    with ctx.tenant_session() as session:
        now = ctx.now()
        before = session.one(VARIANT, {"item": item, "variant": None}) or {}
        counts = store_levels(session, [*levels, *(_ended(session, item, levels, ctx) if whole else ())], now=now)
        moved = settle_items(session, [item], now=now) if counts.items else []
        verdicts: list[Verdict] = judge_stock(session, moved, now=now)
        tell_feed_of_variants(session, moved, triggered_by=FEED)
        session.execute(FORGET, {"run_id": ctx.run_id})
        after = session.one(VARIANT, {"item": item, "variant": None}) or {}
    post_news(ctx, verdicts, run=str(ctx.run_id))
    # A change was made whether or not our row is newer by now: the webhook about it may have come first.
    stale = done in ("observed", "refreshed") and levels and len(counts.stale) == len(levels)
    outcome: Outcome = "skipped_stale" if stale else done
    return InventoryUpdateResult(
        outcome=outcome,
        previous_quantity=before.get("inventory_quantity"),
        new_quantity=after.get("inventory_quantity"),
        stock_state=after.get("stock_state"),
    )


def _ended(session: Session, item: str, levels: Sequence[LevelRecord], ctx: JobContext) -> list[LevelRecord]:
    """Places at which we have the item stocked and Shopify has not."""
    held = {row["shopify_location_id"] for row in session.all(ITEM_LEVELS, {"item": item})}
    gone = held - {level.location_id for level in levels}
    return [LevelRecord(item, place, None, updated_at=ctx.now()) for place in sorted(gone)]
