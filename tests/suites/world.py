"""The world in which every job is tried: two tenants, each with a row in every table, a shop, an order, a creator.

It knows no job. Ids are those of the sample payloads for the tenant acme, others for globex; every text is a mark.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from shared.crypto import encrypt_platform
from shared.db.names import tenant_schema
from shared.jobs.registry import Registry, build_registry
from shared.jobs.testing import START, Bench, ManualClock
from tests.conftest import ENCRYPTION_KEY
from tests.suites import subjects
from tests.suites.marks import Side, acme, globex
from tests.suites.sowing import Sower, Sown
from tests.suites.store import Store
from tests.suites.vendors import Vendors, code_of, shop_of, token_of

SCOPES = (
    "{read_orders,read_all_orders,read_customers,read_products,read_inventory,read_locations,write_inventory,"
    "read_discounts,write_discounts}"
)
CREATORS = {"acme": "11111111-1111-4111-8111-111111111111", "globex": "11111111-1111-4111-8111-111111111122"}
APPLICANTS = {"acme": "11111111-1111-4111-8111-111111111133", "globex": "11111111-1111-4111-8111-111111111144"}
SECRETS = {"INTEGRATION_ENCRYPTION_KEY": ENCRYPTION_KEY}
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
APPLICATION_ROWS = """
INSERT INTO {schema}.creator_applications (id, name, email, phone, instagram, why_interested)
VALUES (%(number)s, %(first)s, %(applicant)s, %(first)s, %(first)s, %(first)s);
INSERT INTO {schema}.creator_application_reviews (application_id) VALUES (%(number)s);
INSERT INTO public.creators (id, email, name) VALUES (%(identity)s, %(applicant)s, %(first)s)
"""
"""An applicant who has an identity of another brand: what follows from her id is then the same in every run."""

AB_ROWS = """
INSERT INTO {schema}.ab_tests (id, name, status, mode, base_url, started_at)
VALUES (%(number)s, 'A test', 'running', 'thompson', 'https://shop.example.com/', '2026-11-12T00:00:00Z');
INSERT INTO {schema}.ab_variants (id, test_id, name, is_control, traffic_allocation, weight)
SELECT %(number)s || '_' || n, %(number)s, 'Variant ' || n, n = 1, 50, 50 FROM generate_series(1, 2) n;
INSERT INTO {schema}.ab_visitors (visitor_id, test_id, variant_id, assigned_at)
SELECT %(first)s || '-' || i, %(number)s, %(number)s || '_' || 1 + i %% 2, '2026-11-12T00:00:00Z'
FROM generate_series(1, 400) i;
INSERT INTO {schema}.ab_order_attributions (test_id, order_id, variant_id, visitor_id, method, assigned_at, ordered_at,
                                            currency, gross_cents, net_cents)
SELECT test_id, 'o-' || visitor_id, variant_id, visitor_id, 'visitor', assigned_at, assigned_at + interval '1 hour',
       'USD', 5000, 5000
FROM {schema}.ab_visitors WHERE visitor_id ~ '-[1-9]?[02468]$';
INSERT INTO {schema}.ab_allocation_epochs (test_id, epoch, started_at, shares, reason)
VALUES (%(number)s, 1, '2026-11-12T00:00:00Z', jsonb_build_object(%(number)s || '_1', 50, %(number)s || '_2', 50),
        'started');
INSERT INTO {schema}.ab_test_state (test_id, last_status) VALUES (%(number)s, 'running')
"""
"""A running bandit test of two variants with 200 visitors each, the first of which alone sells."""


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
        subjects.connect(admin, side)
    _store_orders(database_url, registry, vendors, sides, clock)
    sown: dict[str, Sown] = {}
    for side in sides:
        schema = tenant_schema(side.slug)
        sown[schema] = Sower(admin, schema, side, ENCRYPTION_KEY).sow(leave=_filled(admin, schema))
        sown[f"public of {side.slug}"] = Sower(admin, "public", side, ENCRYPTION_KEY).sow(leave=SHARED_AND_FILLED)
        _webhook(admin, side)
        subjects.ready(admin, side)
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
        "code": code_of(side),
        "number": side.number,
        "identity": APPLICANTS[side.slug],
        "applicant": f"{side.mark('pii')}@example.com",
    }
    for part in (SHOP_ROW, *CREATOR_ROWS.split(";"), *APPLICATION_ROWS.split(";"), *AB_ROWS.split(";")):
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
