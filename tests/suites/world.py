"""The world in which every job is tried: two tenants, each with a row in every table, a shop, an order, a creator.

It knows no job. Ids are those of the sample payloads for the tenant acme, others for globex; every text is a mark.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from shared.crypto import encrypt_platform
from shared.db.names import tenant_schema
from shared.fakes.shopify import ShopifyFake
from shared.fakes.vendor_files import shopify_schema
from shared.jobs.registry import Registry, build_registry
from shared.jobs.testing import START, Bench, ManualClock
from tests.builders.orders import a_fulfillment, a_line, an_order
from tests.conftest import ENCRYPTION_KEY
from tests.suites.marks import Side, acme, globex
from tests.suites.sowing import Sower, Sown
from tests.suites.store import Store

SCOPES = "{read_orders,read_all_orders,read_customers,read_products,read_inventory,read_locations,write_inventory}"
CREATORS = {"acme": "11111111-1111-4111-8111-111111111111", "globex": "11111111-1111-4111-8111-111111111122"}
SECRETS = {"INTEGRATION_ENCRYPTION_KEY": ENCRYPTION_KEY}
NOWHERE = "http://127.0.0.1:9"
"""Where every vendor without a fake is: nothing listens there."""
BUILDER = "commerce-sync-order"
"""Brings the shops' orders into the tenants when the world is made."""

SHARED_AND_FILLED = frozenset({"organizations", "creators", "creator_brand_memberships"})
"""Tables of schema public that have a row of each tenant before anything is sown."""

SHOP_ROW = """
INSERT INTO {schema}.shopify_connections (tenant_id, shop, access_token_encrypted, scopes, store_timezone, status)
VALUES (%(org)s, %(shop)s, %(token)s, %(scopes)s, 'UTC', 'active')
"""
CREATOR_ROWS = """
INSERT INTO {schema}.creators (id, email, first_name, last_name, status)
VALUES (%(creator)s, %(email)s, %(first)s, %(last)s, 'approved');
INSERT INTO {schema}.promo_code_metadata (id, code, creator_id) VALUES (%(code)s, %(code)s, %(creator)s);
INSERT INTO public.creators (id, email, name) VALUES (%(creator)s, %(email)s, %(first)s);
INSERT INTO public.creator_brand_memberships (creator_id, organization_id, status)
VALUES (%(creator)s, %(org)s, 'active')
"""


class Settings(dict[str, str]):
    """Settings in which every vendor without a fake has an address that nobody serves."""

    def get(self, key: str, default: Any = None) -> Any:
        return super().get(key, NOWHERE if key.endswith("_BASE_URL") else default)


@dataclass
class Vendors:
    """The fakes, on whatever clock the case has."""

    shopify: ShopifyFake
    clock: ManualClock = field(default_factory=ManualClock)

    @classmethod
    def start(cls) -> Vendors:
        holder: list[Vendors] = []
        fake = ShopifyFake.start(shopify_schema(), now=lambda: holder[0].clock.now() if holder else START)
        holder.append(cls(fake))
        return holder[0]

    @property
    def settings(self) -> Settings:
        return Settings(SHOPIFY_BASE_URL=self.shopify.base_url)

    def reset(self, sides: tuple[Side, ...], clock: ManualClock, *, later: bool = True) -> None:
        """The shops as they are at the beginning of a case. `later`: with the order changed since it was stored."""
        self.clock = clock
        self.shopify.requests.clear()
        for side in sides:
            shop = self.shopify.shop(shop_of(side), token=token_of(side))
            shop.put_order(_order(side, later=later))


def shop_of(side: Side) -> str:
    return f"{side.slug}.myshopify.com"


def token_of(side: Side) -> str:
    """The shop's access token: a secret mark."""
    return f"cnry-{side.slug}-sec-0"


def _order(side: Side, *, later: bool) -> dict[str, Any]:
    """The order `side.number` of a customer whose every particular is a mark."""
    n, who = int(side.number), f"cnry-{side.slug}-pii-0"
    node = an_order(
        n,
        lines=[a_line(n * 10, quantity=2, price="50.00")],
        email=f"{who}@example.com",
        note=who,
        discountCodes=[_code(side)],
        shippingAddress=_address(who),
    )
    if later:
        node |= {
            "updatedAt": "2026-11-20T11:30:00Z",
            "fulfillments": [a_fulfillment(n)],
            "displayFulfillmentStatus": "FULFILLED",
        }
    return node


def _address(who: str) -> dict[str, Any]:
    lines = dict.fromkeys(("firstName", "lastName", "name", "address1", "city", "zip", "phone"), who)
    rest = ("address2", "company", "country", "countryCodeV2", "province", "provinceCode", "latitude", "longitude")
    return {**dict.fromkeys(rest), **lines}


def _code(side: Side) -> str:
    return f"CODE{side.number}"


@dataclass(frozen=True)
class World:
    """A database with both tenants. `sown`: schema -> what was sown there."""

    acme: Side
    globex: Side
    sown: dict[str, Sown]

    @property
    def sides(self) -> tuple[Side, Side]:
        return self.acme, self.globex


def build(admin: psycopg.Connection[Any], database_url: str, registry: Registry, vendors: Vendors) -> World:
    """Fill a freshly migrated database and take its snapshot."""
    ids = dict(admin.execute("SELECT slug, id FROM public.organizations").fetchall())
    sides = acme(ids["acme"]), globex(ids["globex"])
    clock = ManualClock(START - timedelta(minutes=45))
    vendors.reset(sides, clock, later=False)
    for side in sides:
        _connect(admin, side)
    _store_orders(database_url, registry, vendors, sides, clock)
    sown: dict[str, Sown] = {}
    for side in sides:
        schema = tenant_schema(side.slug)
        sown[schema] = Sower(admin, schema, side, ENCRYPTION_KEY).sow(leave=_filled(admin, schema))
        sown[f"public of {side.slug}"] = Sower(admin, "public", side, ENCRYPTION_KEY).sow(leave=SHARED_AND_FILLED)
        _webhook(admin, side)
    Store.take(admin, schemas(sides))
    return World(*sides, sown)


def schemas(sides: tuple[Side, ...]) -> list[str]:
    """The schemas that hold business data."""
    return ["public", *(tenant_schema(side.slug) for side in sides)]


def _filled(admin: psycopg.Connection[Any], schema: str) -> frozenset[str]:
    return frozenset(name for (_, name), sum_ in Store.open(admin, [schema]).before.items() if sum_)


def _connect(admin: psycopg.Connection[Any], side: Side) -> None:
    schema, who = tenant_schema(side.slug), side.mark("pii")
    values = {
        "org": side.organization_id,
        "shop": shop_of(side),
        "token": encrypt_platform(token_of(side), ENCRYPTION_KEY),
        "scopes": SCOPES,
        "creator": CREATORS[side.slug],
        "email": f"{who}@example.com",
        "first": who,
        "last": side.mark("pii"),
        "code": _code(side),
    }
    for part in (SHOP_ROW, *CREATOR_ROWS.split(";")):
        admin.execute(part.format(schema=schema), values)


def _store_orders(
    database_url: str, registry: Registry, vendors: Vendors, sides: tuple[Side, ...], clock: ManualClock
) -> None:
    jobs = [registry.jobs[BUILDER]] if BUILDER in registry.jobs else []
    bench = Bench(build_registry(jobs), database_url, dict(SECRETS), vendors.settings, clock)
    for side in sides:
        if jobs:
            bench.send(BUILDER, {"tenantId": side.slug, "shopifyOrderId": side.number})
    bench.drain()
    bench.connections.discard()


def _webhook(admin: psycopg.Connection[Any], side: Side) -> None:
    """The sown webhook is one that a shop may send."""
    body = {"id": int(side.number), "admin_graphql_api_id": f"gid://shopify/Order/{side.number}"}
    admin.execute(
        f"UPDATE {tenant_schema(side.slug)}.webhook_events SET shop = %s, topic = 'orders/updated', payload = %s,"  # noqa: S608
        " external_id = %s, idempotency_key = %s, hmac_verified = true, skip_reason = NULL, lease_owner = NULL"
        " WHERE id = %s",
        (shop_of(side), Jsonb(body), side.number, f"shopify:orders/updated:{side.number}", side.uuid),
    )
