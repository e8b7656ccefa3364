"""The two demo tenants: provisioned, connected to the vendors' fakes, with creators whose codes the orders use."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import psycopg
from psycopg.types.json import Jsonb

from scripts.local.postgres import JOBS_ROLE, Database
from shared.crypto import encrypt_platform
from shared.db.connections import connect
from shared.db.migrations import ensure_login_role, migrate, provision_tenant
from shared.db.names import tenant_schema

BACKFILL = "demo_one"
"""Imports the whole purchase log."""
TRICKLE = "demo_two"
"""Gets single orders by webhook."""
SHOPS = {BACKFILL: "demo-one.myshopify.com", TRICKLE: "demo-two.myshopify.com"}
SCOPES = ["read_orders", "read_all_orders", "read_customers", "read_products", "read_inventory", "read_locations"]

CONNECT = """
INSERT INTO shopify_connections
    (tenant_id, shop, access_token_encrypted, scopes, store_currency, store_timezone, status)
SELECT %(tenant)s, %(shop)s, %(token)s, %(scopes)s, 'USD', 'UTC', 'active'
WHERE NOT EXISTS (SELECT FROM shopify_connections WHERE shop = %(shop)s)
"""
SLACK_TOKEN = "xoxb-fake"
RESEND_KEY = "re_fake"
REDIS_TOKEN = "rest_fake"
MERCHANT_ID = "1234567"
GOOGLE_REFRESH_TOKEN = "rt_fake"
GOOGLE_CLIENT = ("client-id", "client-secret")
TEAM = "team@demo-two.example"
"""Who is told of the results of A/B tests."""
WORKSPACE = """
WITH workspace AS (
    INSERT INTO tenant_slack_workspaces (tenant_id, workspace_id, workspace_name, bot_token_encrypted, bot_scopes)
    VALUES (%(tenant)s, 'T00000000', 'Demo', %(token)s, '{chat:write}') ON CONFLICT (tenant_id) DO NOTHING
)
INSERT INTO tenant_slack_channel_mappings (tenant_id, notification_type, channel_id, channel_name)
VALUES (%(tenant)s, 'system.error.critical', 'C00000001', 'alerts'),
       (%(tenant)s, 'ab_test_complete', 'C00000002', 'tests')
ON CONFLICT DO NOTHING
"""
DOMAIN = """
UPDATE public.organizations SET custom_domain = %(domain)s, custom_domain_verified = true
WHERE id = %(tenant)s AND custom_domain IS NULL
"""
SENDER = """
INSERT INTO tenant_resend_config (tenant_id, api_key_encrypted, default_from_email, default_from_name, verified_domains)
VALUES (%(slug)s, %(resend)s, 'hello@' || %(domain)s, %(name)s, jsonb_build_array(%(domain)s::text))
ON CONFLICT (tenant_id) DO NOTHING
"""
REVIEWS = "INSERT INTO review_settings (id, reminder_count) VALUES ('default', 2) ON CONFLICT (id) DO NOTHING"
TESTS = """
INSERT INTO tenant_config (key, value)
VALUES ('ab.summary', jsonb_build_object('emails', jsonb_build_array(%(team)s::text)))
ON CONFLICT (key) DO NOTHING
"""
STOREFRONT = """
INSERT INTO tenant_api_credentials (tenant_id, service_name, api_key_encrypted, metadata)
VALUES (%(slug)s, 'upstash_redis', %(redis)s, jsonb_build_object('restUrl', 'https://' || %(domain)s || '.upstash.io'))
ON CONFLICT (tenant_id, service_name) DO NOTHING
"""
FEED = """
INSERT INTO google_feed_settings (merchant_id, api_credentials, feed_name, default_brand, is_connected)
SELECT %(merchant)s, %(google)s, 'Demo', 'Demo Records', true WHERE NOT EXISTS (SELECT FROM google_feed_settings)
"""
CREATORS = """
INSERT INTO creators (id, email, first_name, last_name, status, referral_code)
SELECT md5(code)::uuid::text, lower(code) || '@creators.invalid', initcap(code), 'Demo', 'active', code
FROM unnest(%(codes)s::text[]) AS code
ON CONFLICT DO NOTHING
"""


def prepare(database: Database, encryption_key: str) -> dict[str, UUID]:
    """Migrate, make the tenants and what they need; slug -> organizations.id. Idempotent, nothing is overwritten."""
    login = JOBS_ROLE
    if database.folder is not None:
        ensure_login_role(database.admin_url, JOBS_ROLE, encryption_key)
    else:
        login = str(psycopg.conninfo.conninfo_to_dict(database.url).get("user") or JOBS_ROLE)
    migrate(database.admin_url, login_role=login)
    found: dict[str, UUID] = {}
    for slug in SHOPS:
        found[slug] = provision_tenant(database.admin_url, slug, slug.replace("_", " ").title(), login_role=login)
    with connect(database.admin_url, application_name="cgk-dev") as admin:
        for slug, organization in found.items():
            connect_vendors(admin, slug, organization, encryption_key)
    return found


def connect_vendors(admin: psycopg.Connection[Any], slug: str, organization: UUID, encryption_key: str) -> None:
    """Give a demo tenant its accounts at the fakes. Idempotent, nothing is overwritten."""
    from shared.fakes.cdnow import CREATOR_CODES
    from shared.fakes.shopify.__main__ import DEMO_TOKEN

    with admin.transaction():
        admin.execute("SELECT set_config('search_path', %s, true)", (f"{tenant_schema(slug)}, public",))
        admin.execute(
            CONNECT,
            {
                "tenant": organization,
                "shop": SHOPS[slug],
                "token": encrypt_platform(DEMO_TOKEN, encryption_key),
                "scopes": SCOPES,
            },
        )
        admin.execute(WORKSPACE, {"tenant": organization, "token": encrypt_platform(SLACK_TOKEN, encryption_key)})
        admin.execute(CREATORS, {"codes": list(CREATOR_CODES)})
        _set_up_chapters(admin, slug, organization, encryption_key)


def _set_up_chapters(admin: psycopg.Connection[Any], slug: str, organization: UUID, encryption_key: str) -> None:
    """What the jobs of the chapters look for: a domain, a sender, the storefront's Redis, the feed's account."""
    names = ("clientId", "clientSecret", "refreshToken")
    google = dict(zip(names, (*GOOGLE_CLIENT, GOOGLE_REFRESH_TOKEN), strict=True))
    values = {
        "tenant": organization,
        "slug": slug,
        "name": slug.replace("_", " ").title(),
        "domain": f"{slug.replace('_', '-')}.example",
        "resend": encrypt_platform(RESEND_KEY, encryption_key),
        "redis": encrypt_platform(REDIS_TOKEN, encryption_key),
        "merchant": MERCHANT_ID,
        "google": Jsonb({name: encrypt_platform(text, encryption_key) for name, text in google.items()}),
        "team": TEAM,
    }
    own = (*((REVIEWS, FEED) if slug == BACKFILL else ()), *((TESTS, STOREFRONT) if slug == TRICKLE else ()))
    for statement in (DOMAIN, SENDER, *own):
        admin.execute(statement, values)
