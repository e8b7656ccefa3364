"""The two demo tenants: provisioned, connected to the fake's shops, with creators whose codes the orders use."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import psycopg

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
WORKSPACE = """
WITH workspace AS (
    INSERT INTO tenant_slack_workspaces (tenant_id, workspace_id, workspace_name, bot_token_encrypted, bot_scopes)
    VALUES (%(tenant)s, 'T00000000', 'Demo', %(token)s, '{chat:write}') ON CONFLICT (tenant_id) DO NOTHING
)
INSERT INTO tenant_slack_channel_mappings (tenant_id, notification_type, channel_id, channel_name)
VALUES (%(tenant)s, 'system.error.critical', 'C00000001', 'alerts') ON CONFLICT DO NOTHING
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
            _connect(admin, slug, organization, encryption_key)
    return found


def _connect(admin: psycopg.Connection[Any], slug: str, organization: UUID, encryption_key: str) -> None:
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
