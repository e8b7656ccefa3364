"""A step of the funnel as Meta and GA4 hear of it: event names, who the person is (hashed), what is never told.

An approval or a rejection judges a person: Meta hears of neither, GA4 of no rejection.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from shared.applications.resolve import split_name
from shared.integrations.meta_conversions import hashed, normalised_phone
from shared.jobs.context import Row, Session
from shared.tenant_settings import config

META_NAMES = {"submitted": "Lead", "completed_setup": "CompleteRegistration"}
GA4_NAMES = {
    "submitted": "creator_submitted",
    "approved": "creator_approved",
    "completed_setup": "creator_completed_setup",
}
UTM = ("utm_source", "utm_medium", "utm_campaign")
TRACKING_KEY = "privacy.creator_ads_tracking"
CONSENT_TYPES = {"meta": "third_party", "ga4": "analytics"}

UPSERT = """
-- applications: a step of the funnel happened
INSERT INTO creator_application_events (application_id, creator_id, event, occurred_at, source, utm, created_at)
VALUES (%(application)s, %(creator)s, %(event)s, %(occurred_at)s, %(source)s, %(utm)s, %(now)s)
ON CONFLICT (application_id, event) DO UPDATE
SET creator_id = COALESCE(creator_application_events.creator_id, EXCLUDED.creator_id)
RETURNING *
"""
MARK = """
-- applications: what became of a platform's share; what is sent stays sent
UPDATE creator_application_events
SET meta_status = CASE WHEN %(platform)s = 'meta' AND meta_status <> 'sent' THEN %(status)s ELSE meta_status END,
    meta_detail = CASE WHEN %(platform)s = 'meta' AND meta_status <> 'sent' THEN %(detail)s ELSE meta_detail END,
    ga4_status = CASE WHEN %(platform)s = 'ga4' AND ga4_status <> 'sent' THEN %(status)s ELSE ga4_status END,
    ga4_detail = CASE WHEN %(platform)s = 'ga4' AND ga4_status <> 'sent' THEN %(detail)s ELSE ga4_detail END
WHERE application_id = %(application)s AND event = %(event)s
"""
REFUSALS = """
-- applications: the platforms' kinds of consent that the address has refused last
SELECT consent_type::text AS type FROM (
    SELECT DISTINCT ON (consent_type) consent_type, granted AND revoked_at IS NULL AS given
    FROM consent_records
    WHERE lower(customer_email) = lower(%(email)s) AND consent_type IN ('third_party', 'analytics')
    ORDER BY consent_type, created_at DESC, id DESC
) latest
WHERE NOT given
"""
ACCOUNTS = """
-- applications: the tenant's pixel, measurement and their keys
SELECT s.fb_pixel_id, s.ga4_measurement_id, m.access_token_encrypted, g.api_secret_encrypted, g.api_key_encrypted
FROM (VALUES (1)) one
LEFT JOIN LATERAL (SELECT * FROM site_config ORDER BY updated_at DESC, id LIMIT 1) s ON true
LEFT JOIN LATERAL (
    SELECT access_token_encrypted FROM meta_ad_connections
    WHERE status IN ('active', 'connected') AND NOT COALESCE(needs_reauth, false)
    ORDER BY connected_at DESC, id LIMIT 1
) m ON true
LEFT JOIN LATERAL (
    SELECT api_secret_encrypted, api_key_encrypted FROM tenant_api_credentials
    WHERE service_name = 'ga4' AND is_active ORDER BY updated_at DESC, id LIMIT 1
) g ON true
"""


def occurred_at(event: str, application: Row, creator: Row | None, now: datetime) -> datetime:
    """When the step happened, by the rows that tell it."""
    if event == "submitted":
        found = application["created_at"]
    elif event == "completed_setup":
        found = creator["onboarding_completed_at"] if creator else None
    else:
        found = application["reviewed_at"]
    return found or now


def refused(session: Session, email: str) -> frozenset[str]:
    """Platforms (meta, ga4) to which nothing may be told of this address."""
    allowed = config(session, TRACKING_KEY, {"enabled": True})
    if isinstance(allowed, dict) and allowed.get("enabled") is False:
        return frozenset(CONSENT_TYPES)
    types = {row["type"] for row in session.all(REFUSALS, {"email": email.strip()})}
    return frozenset(platform for platform, kind in CONSENT_TYPES.items() if kind in types)


def meta_event(event: str, application: Row, at: datetime) -> dict[str, Any]:
    """Meta's event; of the person only SHA-256 of normalised values."""
    social = application["other_social"] if isinstance(application["other_social"], dict) else {}
    own_id = social.get("metaEventId") if event == "submitted" else None
    custom = {"content_name": "creator_application", "content_category": "creator", "status": event}
    return {
        "event_name": META_NAMES[event],
        "event_id": str(own_id) if own_id else f"creator-app:{application['id']}:{event}",
        "event_time": int(at.timestamp()),
        "action_source": "website",
        "user_data": _person(application, social),
        "custom_data": {**custom, **_utm(application)},
    }


def _person(application: Row, social: Mapping[str, Any]) -> dict[str, list[str]]:
    first, last = split_name(application["name"])
    clear = {
        "em": application["email"].strip().lower(),
        "ph": normalised_phone(application["phone"] or ""),
        "fn": first.lower(),
        "ln": last.lower(),
        "country": str(social.get("country") or "").strip().lower(),
        "external_id": str(application["id"]),
    }
    return {name: [hashed(value)] for name, value in clear.items() if value}


def ga4_params(application: Row) -> dict[str, Any]:
    """Parameters of GA4's event."""
    source = application["source"] or "organic"
    return {"application_id": str(application["id"]), "source": source, "engagement_time_msec": 1, **_utm(application)}


def _utm(application: Row) -> dict[str, str]:
    return {name: application[name] for name in UTM if application[name]}


def utm_of(application: Row) -> dict[str, str]:
    """The application's utm columns that are set."""
    return _utm(application)
