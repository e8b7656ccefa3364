"""Attributing a page of orders: read Shopify for what is not known, judge, write the truth and its mirrors, recount.

The arm of a linked attribution never changes afterwards; money and exclusion follow the order. A repetition finds
nothing to write.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from psycopg.types.json import Jsonb
from pydantic_core import to_jsonable_python

from functions.commerce.ab_tests import order_rows as sql
from functions.commerce.ab_tests.daily import hold_tests, recount
from functions.commerce.ab_tests.evidence import (
    CORRECTION_WINDOW,
    METHODS,
    CartAttributes,
    Evidence,
    Trial,
    cart_attributes,
    conflicts,
    evidence_of,
    exclusion,
    is_read,
    refusal,
    window_of,
)
from functions.commerce.ab_tests.rules import VARIANTS, by_test
from shared.integrations.shopify import Shopify
from shared.jobs import JobContext, Permanent, Session
from shared.jobs.context import Row
from shared.money import cents
from shared.tenant_settings import base_currency, config
from shared.time import local_date, tenant_zone

RENEWAL_TAGS = ["Subscription Recurring Order", "recurring-order", "subscription_renewal"]
SHOPIFY_IDS = 50
"""Orders per call."""
WITHOUT_SHOPIFY = ("SHOPIFY_NOT_CONNECTED", "SHOPIFY_UNAUTHORIZED", "SHOPIFY_SHOP_FROZEN", "SHOPIFY_SHOP_GONE")
"""Refusals after which we go on by our own data."""

CARTS = """
query abOrders($ids: [ID!]!) {
  nodes(ids: $ids) {
    ... on Order {
      id legacyResourceId
      customAttributes { key value }
      shippingLine { title originalPriceSet { shopMoney { amount currencyCode } } }
    }
  }
}
"""


@dataclass(frozen=True, slots=True)
class World:
    """What is the same for all orders of a run."""

    trials: tuple[Trial, ...]
    slot: datetime
    zone: ZoneInfo
    currency: str
    renewal_tags: frozenset[str]

    @property
    def test_ids(self) -> list[str]:
        return [trial.id for trial in self.trials]


@dataclass(frozen=True, slots=True)
class Cart:
    """What Shopify says of an order: its attributes, and the first shipping line (None: there is none)."""

    notes: Mapping[str, str]
    method: str | None
    price_cents: int | None


@dataclass(slots=True)
class Counts:
    """What a run did, by members of its result."""

    checked: int = 0
    attributed: int = 0
    corrected: int = 0
    excluded: int = 0
    unlinked: int = 0
    conflicts: int = 0
    shopify_asked: int = 0

    def add(self, other: Counts) -> None:
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


@dataclass(slots=True)
class Work:
    """The rows that a page changes. `days`: what the daily numbers must be counted anew for."""

    rows: list[Row] = field(default_factory=list)
    shipping: list[Row] = field(default_factory=list)
    days: set[tuple[str, date]] = field(default_factory=set)
    counts: Counts = field(default_factory=Counts)


def world_of(session: Session, slot: datetime, *, test_id: str | None = None, any_age: bool = False) -> World:
    """The tests that can take orders at `slot`, or one of them; `any_age` takes those that ended long ago too."""
    names = {"test_id": test_id, "any_age": any_age, "oldest": slot - CORRECTION_WINDOW}
    rows = [row for row in session.all(sql.TRIALS, names) if row["started_at"] is not None]
    variants = by_test(session.all(VARIANTS, {"ids": [row["id"] for row in rows]}))
    return World(
        trials=tuple(_trial(row, {v.id: v for v in variants.get(row["id"], [])}) for row in rows),
        slot=slot,
        zone=tenant_zone(session),
        currency=base_currency(session),
        renewal_tags=frozenset(str(tag).strip().lower() for tag in _renewal_tags(session)),
    )


def _renewal_tags(session: Session) -> list[Any]:
    """The tenant's tags of renewals; what is no list counts as not set."""
    given = config(session, "ab.orders", {"renewalTags": RENEWAL_TAGS})
    tags = given.get("renewalTags") if isinstance(given, dict) else None
    return tags if isinstance(tags, list) else RENEWAL_TAGS


def _trial(row: Row, variants: Mapping[str, Any]) -> Trial:
    same = {name: row[name] for name in ("id", "completed", "started_at", "ended_at", "shipping")}
    settings = row["config"] if isinstance(row["config"], dict) else {}
    return Trial(**same, config=settings, window=window_of(row["window_days"]), variants=variants)


# -- what only Shopify knows -------------------------------------------------------------------------------------------


def ask_shopify(ctx: JobContext, orders: Sequence[Row]) -> dict[str, Cart]:
    """Carts of orders, by orders.id. Empty where the shop is not connected or refuses us: own data must do."""
    known = {order["legacy_id"]: order["id"] for order in orders if order["legacy_id"]}
    if not known:
        return {}
    found: dict[str, Cart] = {}
    ids = list(known)
    try:
        shop = Shopify.connect(ctx, reserve=0.5, alert_source="ab_tests")
        for start in range(0, len(ids), SHOPIFY_IDS):
            gids = [f"gid://shopify/Order/{id}" for id in ids[start : start + SHOPIFY_IDS]]
            for node in shop.graphql(CARTS, {"ids": gids})["nodes"]:
                if node:
                    found[known[node["legacyResourceId"]]] = _cart(node)
    except Permanent as error:
        if error.code not in WITHOUT_SHOPIFY:
            raise
        ctx.log.info("orders without cart attributes go by our own data", extra={"code": error.code})
    return found


def _cart(node: Mapping[str, Any]) -> Cart:
    line = node.get("shippingLine") or {}
    notes = {each["key"]: each.get("value") or "" for each in node.get("customAttributes") or ()}
    price = (line.get("originalPriceSet") or {}).get("shopMoney")
    return Cart(notes, line.get("title"), cents(price["amount"]) if price else None)


def to_ask(session: Session, world: World, orders: Sequence[Row]) -> list[Row]:
    """Orders whose cart attributes nobody has read, and those of shipping tests whose shipping is not known."""
    shipping = [trial for trial in world.trials if trial.shipping]
    names = {"orders": [order["id"] for order in orders], "tests": [trial.id for trial in shipping]}
    held = {(row["test_id"], row["order_id"]) for row in session.all(sql.HELD_SHIPPING, names)} if shipping else set()
    return [
        order
        for order in orders
        if not is_read(order["attribution_data"])
        or any(t.holds(order["ordered_at"], world.slot) and (t.id, order["id"]) not in held for t in shipping)
    ]


# -- a page ------------------------------------------------------------------------------------------------------------


def attribute(
    ctx: JobContext, session: Session, world: World, orders: Sequence[Row], carts: Mapping[str, Cart]
) -> Counts:
    """Judge and write a page of orders, in the caller's transaction; the daily numbers follow at once."""
    hold_tests(session, world.test_ids, ctx.now())
    keep_notes(session, orders, carts)
    attributes = {order["id"]: attributes_of(order, carts) for order in orders}
    records = sql.records_of(session, orders, attributes.values(), world.test_ids)
    names = {"orders": [order["id"] for order in orders], "tests": world.test_ids}
    held = {(row["test_id"], row["order_id"]): row for row in session.all(sql.HELD, names)}
    work = Work()
    for order in orders:
        for trial in world.trials:
            evidence = evidence_of(order, attributes[order["id"]], trial, records)
            row = judged(world, order, trial, evidence, held.get((trial.id, order["id"])))
            if row is not None:
                note(work, world, row, held.get((trial.id, order["id"])))
    write(ctx, session, world, work, orders, carts)
    work.counts.checked = len(orders)
    return work.counts


def attributes_of(order: Row, carts: Mapping[str, Cart]) -> CartAttributes:
    """What the order's cart says, as Shopify has just told it or as it is stored."""
    if order["id"] not in carts:
        return cart_attributes(order["attribution_data"])
    stored = order["attribution_data"] if isinstance(order["attribution_data"], dict) else {}
    return cart_attributes({**stored, "noteAttributes": dict(carts[order["id"]].notes)})


def judged(world: World, order: Row, trial: Trial, evidence: Sequence[Evidence], held: Row | None) -> Row | None:
    """The attribution of an order to a test as it should stand, None when there is and should be none."""
    chosen = evidence[0] if evidence else None
    if held is None:
        if chosen is None or not trial.takes_new(world.slot):
            return None
        if refusal(chosen, trial, order["ordered_at"], world.slot) is not None:
            return None
        return attribution_row(world, order, trial, chosen, conflict=conflicts(chosen, evidence))
    if chosen is not None and _replaces(chosen, held, trial, order, world.slot):
        return attribution_row(world, order, trial, chosen, conflict=conflicts(chosen, evidence))
    return {**held, **_money(world, order)}


def _replaces(chosen: Evidence, held: Row, trial: Trial, order: Row, slot: datetime) -> bool:
    """Whether new evidence may take the place of what is held: it is stronger, and the arm stays or was unlinked."""
    stronger = METHODS.index(chosen.method) < METHODS.index(held["method"])
    allowed = held["visitor_id"] is None or chosen.variant_id == held["variant_id"]
    taken = trial.takes_new(slot) or chosen.variant_id == held["variant_id"]
    return stronger and allowed and taken and refusal(chosen, trial, order["ordered_at"], slot) is None


def attribution_row(world: World, order: Row, trial: Trial, chosen: Evidence, *, conflict: bool) -> Row:
    """A row of ab_order_attributions."""
    return {
        "test_id": trial.id,
        "order_id": order["id"],
        "variant_id": chosen.variant_id,
        "visitor_id": chosen.visitor_id,
        "session_id": chosen.session_id,
        "customer_id": order["customer_id"],
        "method": chosen.method,
        "conflict": conflict,
        "assigned_at": chosen.assigned_at,
        "ordered_at": order["ordered_at"],
        **_money(world, order),
    }


def _money(world: World, order: Row) -> Row:
    return {
        "currency": order["currency"],
        "gross_cents": order["gross_cents"],
        "refunded_cents": order["refunded_cents"],
        "net_cents": order["gross_cents"] - order["refunded_cents"],
        "excluded_reason": exclusion(order, currency=world.currency, renewal_tags=world.renewal_tags),
    }


def note(work: Work, world: World, row: Row, held: Row | None) -> bool:
    """Take a row into the work when it differs from what is held; whether it does."""
    if held is not None and all(row[name] == held[name] for name in row):
        return False
    work.rows.append(row)
    work.days |= {(r["test_id"], local_date(r["ordered_at"], world.zone)) for r in (row, held) if r is not None}
    work.counts.attributed += held is None
    work.counts.corrected += held is not None
    work.counts.excluded += row["excluded_reason"] is not None
    work.counts.unlinked += row["visitor_id"] is None
    work.counts.conflicts += row["conflict"]
    return True


# -- writing -----------------------------------------------------------------------------------------------------------


def keep_notes(session: Session, orders: Sequence[Row], carts: Mapping[str, Cart]) -> None:
    """Keep the attributes that Shopify told of orders that had none."""
    notes = {
        order["id"]: dict(carts[order["id"]].notes)
        for order in orders
        if order["id"] in carts and not is_read(order["attribution_data"])
    }
    if notes:
        session.execute(sql.KEEP_NOTES, {"ids": list(notes), "notes": [Jsonb(each) for each in notes.values()]})


def write(
    ctx: JobContext,
    session: Session,
    world: World,
    work: Work,
    orders: Sequence[Row],
    carts: Mapping[str, Cart],
) -> None:
    """Write what the work has collected: attributions, mirrors, shipping, the customers of sessions, daily numbers."""
    if work.rows:
        session.execute(sql.KEEP, {"rows": Jsonb(to_jsonable_python(work.rows)), "now": ctx.now()})
        mirror(session, [(row["test_id"], row["order_id"]) for row in work.rows])
        shipping = _shipping_rows(session, world, work.rows, {order["id"]: order for order in orders}, carts)
        if shipping:
            session.execute(sql.KEEP_SHIPPING, {"rows": Jsonb(shipping), "now": ctx.now()})
        _name_customers(session, work.rows)
    recount(session, work.days, world.zone, slug=ctx.tenant.slug)


def mirror(session: Session, pairs: Sequence[tuple[str, str]]) -> None:
    """Bring the mirrors of (test, order) pairs to what is attributed."""
    names = {"tests": [test_id for test_id, _ in pairs], "orders": [order_id for _, order_id in pairs]}
    for statement in (sql.DROP_MIRRORS, sql.MIRROR_CONVERSIONS, sql.MIRROR_EVENTS):
        session.execute(statement, names)


def _name_customers(session: Session, rows: Sequence[Row]) -> None:
    known = [row for row in rows if row["session_id"] and row["customer_id"]]
    if known:
        columns = {"tests": "test_id", "sessions": "session_id", "customers": "customer_id"}
        names = {name: [row[column] for row in known] for name, column in columns.items()}
        session.execute(sql.NAME_CUSTOMERS, names)


def _shipping_rows(
    session: Session,
    world: World,
    rows: Sequence[Row],
    orders: Mapping[str, Row],
    carts: Mapping[str, Cart],
) -> list[Row]:
    trials = {trial.id: trial for trial in world.trials if trial.shipping}
    mine = [row for row in rows if row["test_id"] in trials and row["variant_id"] in trials[row["test_id"]].variants]
    if not mine:
        return []
    names = {"orders": [row["order_id"] for row in mine], "tests": list(trials)}
    held = {(row["test_id"], row["order_id"]): row for row in session.all(sql.HELD_SHIPPING, names)}
    return [
        shipping_row(
            trials[row["test_id"]],
            row,
            orders[row["order_id"]],
            held.get((row["test_id"], row["order_id"])),
            carts.get(row["order_id"]),
        )
        for row in mine
    ]


def shipping_row(trial: Trial, row: Row, order: Row, held: Row | None, cart: Cart | None) -> Row:
    """The shipping of one attributed order: what was charged, what is earned, whether the rate was the arm's own."""
    before = held or {"actual_shipping_method": None, "actual_shipping_price_cents": None, "shipping_cost_cents": None}
    method = cart.method if cart else before["actual_shipping_method"]
    price = cart.price_cents if cart else before["actual_shipping_price_cents"]
    price = order["shipping_cents"] if price is None else price
    cost = before["shipping_cost_cents"]
    cost = (_amount(trial, "estimatedCostCents") or 0) if cost is None else cost
    charged = price if trial.config.get("trackShippingRevenue", True) else 0
    suffix = trial.variants[row["variant_id"]].shipping_suffix if row["variant_id"] in trial.variants else None
    return {
        "test_id": row["test_id"],
        "variant_id": row["variant_id"],
        "order_id": row["order_id"],
        "suffix": suffix,
        "method": method,
        "price_cents": price,
        "product_cents": row["net_cents"],
        "net_cents": row["net_cents"] + charged - cost,
        "mismatch": _mismatch(trial, order, suffix, method),
    }


def _amount(trial: Trial, name: str) -> int | None:
    """Cents of shipping_config; what is no whole number counts as not set."""
    value = trial.config.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _mismatch(trial: Trial, order: Row, suffix: str | None, method: str | None) -> str | None:
    most = _amount(trial, "maxOrderValueCents")
    title = (method or "").rstrip()
    got = title[-2:-1] if title[-3:] in ("(A)", "(B)", "(C)", "(D)") else None
    if suffix is None or got in (None, suffix) or (most is not None and order["total_cents"] > most):
        return None
    return f"expected {suffix}, got {got}"


def live_since(world: World, fallback: datetime) -> datetime:
    """From when on orders can belong to a test: the earliest start."""
    return min((trial.started_at for trial in world.trials), default=fallback) - timedelta(microseconds=1)
