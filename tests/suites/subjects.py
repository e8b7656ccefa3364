"""What the world's rows are like where a vendor is behind them: connected, due, running. It knows no job.

`connect` before anything is sown: a tenant's accounts at the vendors, whose secrets are marks. `ready` after it: sown
rows in a state in which there is work to do.
"""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from shared.applications.slack_types import NOTICES
from shared.crypto import encrypt_platform
from shared.db.names import tenant_schema
from tests.conftest import ENCRYPTION_KEY
from tests.suites.marks import Side
from tests.suites.vendors import (
    CHANNELS,
    GA4,
    GOOGLE,
    GOOGLE_CLIENT,
    META,
    PLATFORM_CHANNEL,
    PLATFORM_TOKEN,
    REDIS,
    RESEND,
    SLACK,
    domain_of,
    source_of,
    token_of,
)

NOTIFICATIONS = (
    *dict.fromkeys(type for notice in NOTICES.values() for type in notice.types),
    "ab_test_summary",
    "ab_test_complete",
    "system.alert",
    "system.error.critical",
    "system.security",
    "system.api.error",
)
"""What a tenant maps to channels; types of creators' notices are those that the apps know, too."""

ACCOUNTS = """
INSERT INTO {schema}.tenant_resend_config (id, tenant_id, api_key_encrypted, default_from_email, default_from_name,
                                           verified_domains)
VALUES (%(uuid)s, %(slug)s, %(resend)s, 'hello@' || %(domain)s, %(shown)s, jsonb_build_array(%(domain)s::text));
INSERT INTO {schema}.tenant_slack_workspaces (id, tenant_id, workspace_id, bot_token_encrypted, bot_scopes)
VALUES (%(uuid)s, %(org)s, 'T' || %(number)s, %(slack)s, '{{chat:write}}');
INSERT INTO {schema}.tenant_slack_channel_mappings (tenant_id, notification_type, channel_id)
SELECT %(org)s, type, %(channel)s FROM unnest(%(types)s::text[]) type;
INSERT INTO {schema}.tenant_api_credentials (id, tenant_id, service_name, api_key_encrypted, metadata)
VALUES (%(uuid)s, %(slug)s, 'upstash_redis', %(redis)s,
        jsonb_build_object('restUrl', 'https://' || %(slug)s || '-1.upstash.io'));
INSERT INTO {schema}.google_feed_settings (id, merchant_id, api_credentials, is_connected, data_source_name)
VALUES (%(uuid)s, %(number)s, %(google)s, true, %(source)s);
INSERT INTO {schema}.tenant_config (key, value)
VALUES ('ab.summary', jsonb_build_object('emails', jsonb_build_array(%(person)s::text), 'sendWhenQuiet', true))
"""
PLATFORM = """
INSERT INTO public.platform_slack_workspace (workspace_id, bot_token_encrypted, channel_critical, channel_errors,
                                             channel_warnings, channel_info)
SELECT 'T00000000', %(platform)s, %(channel)s, %(channel)s, %(channel)s, %(channel)s
WHERE NOT EXISTS (SELECT FROM public.platform_slack_workspace)
"""
SITE = """
UPDATE public.organizations SET custom_domain = 'shop.' || %(domain)s, custom_domain_verified = true WHERE id = %(org)s;
UPDATE {schema}.site_config SET ga4_measurement_id = 'G-' || %(number)s, fb_pixel_id = %(number)s;
UPDATE {schema}.meta_ad_connections SET access_token_encrypted = %(meta)s, status = 'active', needs_reauth = false
"""
STAFF = "DELETE FROM public.super_admin_users WHERE user_id = %(uuid)s"
"""The platform's staff hears of every tenant, so nobody of the other tenant is among it."""
REVIEWS = """
UPDATE {schema}.review_settings SET provider_credentials = NULL, incentive_enabled = true,
       auto_approve_min_rating = NULL, incentive_discount_type = 'percentage', incentive_discount_value = 10;
UPDATE {schema}.review_email_templates SET type = 'request', subject = subject || ' {{{{productTitle}}}}',
       body_html = '<p>' || body_html || ' <a href="{{{{reviewLink}}}}">Review</a></p>';
UPDATE {schema}.reviews SET status = 'approved', rating = 5, imported_from = NULL, original_id = NULL,
       order_id = order_id || '-reviewed', created_at = '2026-11-20T11:00:00Z';
UPDATE {schema}.review_email_queue SET status = 'scheduled', scheduled_at = '2026-11-20T11:59:00Z',
       template_type = 'request', incentive_code = NULL, skip_reason = NULL, skipped_by = NULL, error_message = NULL,
       error_code = NULL, resend_message_id = NULL,
       mail_message_id = NULL, product_id = %(number)s, created_at = '2026-11-10T12:00:00Z';
INSERT INTO {schema}.review_email_queue (id, tenant_id, order_id, order_number, customer_email, status, template_type,
        product_title, product_id, sequence_id, created_at, scheduled_at, last_attempt_at, fulfilled_at, attempts,
        error_code)
SELECT id || '-' || other.status, tenant_id, order_id || '-' || other.status, order_number,
       other.status || '-' || customer_email, other.status, template_type, product_title, product_id,
       id || '-' || other.status, created_at, other.at, other.at, other.at, 1, other.code
FROM {schema}.review_email_queue,
     (VALUES ('failed', '2026-11-20T08:00:00Z'::timestamptz, 'RESEND_UNAVAILABLE'),
             ('awaiting_delivery', '2026-10-20T12:00:00Z', NULL)) AS other (status, at, code)
"""
FEED = """
UPDATE {schema}.google_feed_sync_history SET status = 'completed', completed_at = '2026-11-19T06:01:00Z',
       started_at = '2026-11-19T06:00:00Z', created_at = '2026-11-19T06:00:00Z';
UPDATE {schema}.google_feed_products SET gtin = NULL, sale_price_cents = NULL, google_category_id = NULL,
       exclude_reason = NULL, age_group = 'adult', merchant_status = NULL;
UPDATE {schema}.google_feed_offers SET offer_id = %(number)s || '_' || %(number)s, content_language = 'en',
       feed_label = 'US', last_error_code = NULL,
       last_error = NULL, last_inserted_at = '2026-11-19T06:00:00Z';
UPDATE {schema}.products SET published_at = '2026-01-01T00:00:00Z', synced_at = '2026-11-19T00:00:00Z';
UPDATE {schema}.product_variants SET barcode = '4006381333931', price_cents = 1999, compare_at_price_cents = 2999,
       inventory_quantity = 10, available_for_sale = true, synced_at = '2026-11-19T00:00:00Z',
       updated_at = '2026-11-19T00:00:00Z'
"""


def connect(admin: psycopg.Connection[Any], side: Side) -> None:
    """The tenant's accounts at every vendor that has a fake, and the platform's own Slack."""
    _run(admin, side, ACCOUNTS)
    platform = {"platform": _sealed(PLATFORM_TOKEN), "channel": PLATFORM_CHANNEL}
    admin.execute(PLATFORM, platform)


def ready(admin: psycopg.Connection[Any], side: Side) -> None:
    """Sown rows as they are when there is something to do."""
    for part in (SITE, REVIEWS, FEED, *([STAFF] if side.slug == "globex" else [])):
        _run(admin, side, part)


def _run(admin: psycopg.Connection[Any], side: Side, statements: str) -> None:
    client = dict(zip(("clientId", "clientSecret"), map(_sealed, GOOGLE_CLIENT), strict=True))
    values = {
        "org": side.organization_id,
        "slug": side.slug,
        "number": side.number,
        "uuid": side.uuid,
        "domain": domain_of(side),
        "shown": side.mark("txt"),
        "person": f"{side.mark('pii')}@example.com",
        "channel": CHANNELS[side.slug],
        "types": list(NOTIFICATIONS),
        "resend": _sealed(token_of(side, RESEND)),
        "slack": _sealed(token_of(side, SLACK)),
        "redis": _sealed(token_of(side, REDIS)),
        "meta": _sealed(token_of(side, META)),
        "ga4": _sealed(token_of(side, GA4)),
        "source": source_of(side),
        "google": Jsonb({**client, "refreshToken": _sealed(token_of(side, GOOGLE))}),
    }
    for part in statements.format(schema=tenant_schema(side.slug)).split(";\n"):
        admin.execute(part, values)


def _sealed(text: str) -> str:
    return encrypt_platform(text, ENCRYPTION_KEY)
