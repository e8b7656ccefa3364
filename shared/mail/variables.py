"""Variables that every mail has: the brand, its addresses, the day, and a creator's own facts."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from shared.jobs.context import Row, Session
from shared.mail.values import Value, Variables, date_text, with_amounts
from shared.tenant_settings import base_currency, config

PORTAL_SETTING = "CREATOR_PORTAL_URL"
PORTAL_CONFIG = "creator.portal_url"

BRAND = """
-- mail: the tenant as its readers know it, and the creator who is written to
SELECT o.name, o.settings ->> 'supportEmail' AS support_email, o.custom_domain, o.custom_domain_verified,
       o.shopify_store_domain, c.id AS creator_id, c.email AS creator_email, c.display_name, c.first_name, c.last_name,
       c.referral_code, c.commission_rate_pct, r.default_reply_to
FROM public.organizations o
LEFT JOIN creators c ON c.id = %(creator_id)s
LEFT JOIN LATERAL (SELECT t.default_reply_to FROM tenant_resend_config t ORDER BY t.created_at LIMIT 1) r ON true
WHERE o.id = current_setting('cgk.tenant_id')::uuid
"""


@dataclass(frozen=True, slots=True)
class Brand:
    """What the standard variables are made of."""

    name: str
    portal_url: str
    zone: ZoneInfo
    currency: str
    row: Row = field(repr=False)


def find_brand(session: Session, *, portal_setting: str | None, creator_id: str | None, zone: ZoneInfo) -> Brand:
    """Read the brand, and the creator when there is one. `portal_setting`: the installation's CREATOR_PORTAL_URL."""
    row = session.one(BRAND, {"creator_id": creator_id}) or {}
    portal = config(session, PORTAL_CONFIG, {"url": portal_setting or ""})
    url = portal.get("url") if isinstance(portal, dict) else portal
    return Brand(row.get("name") or "", str(url or ""), zone, base_currency(session), row)


def standard(brand: Brand, *, sender_address: str, now: datetime) -> dict[str, Value]:
    """The standard variables, without unsubscribeUrl."""
    row = brand.row
    domain = row.get("custom_domain") if row.get("custom_domain_verified") else None
    domain = domain or row.get("shopify_store_domain")
    local = now.astimezone(brand.zone)
    made: dict[str, Value] = {
        "brandName": brand.name,
        "supportEmail": row.get("support_email") or row.get("default_reply_to") or sender_address,
        "websiteUrl": f"https://{domain}" if domain else "",
        "portalUrl": brand.portal_url,
        "currentYear": str(local.year),
        "currentDate": date_text(local.date()),
    }
    if row.get("creator_id") is not None:
        made |= _creator(row)
    return made


def _creator(row: Row) -> dict[str, Value]:
    full = " ".join(part for part in (row["first_name"], row["last_name"]) if part)
    return {
        "creatorName": row["display_name"] or full,
        "creatorFirstName": row["first_name"],
        "creatorEmail": row["creator_email"],
        "discountCode": row["referral_code"],
        "commissionRate": percent_text(row["commission_rate_pct"]),
    }


def percent_text(value: Any) -> str:
    """A percentage without trailing zeros: 12.50 -> 12.5, 10.00 -> 10."""
    return format(Decimal(value).normalize(), "f") if value is not None else ""


def merged(own: Variables, brand: Brand, standards: Variables, unsubscribe_url: str) -> dict[str, Value]:
    """All variables of a mail: the caller's win over the standard ones, except unsubscribeUrl.

    An empty value of the caller's does not hide a standard one.
    """
    given = {name: value for name, value in own.items() if value is not None and value != ""}
    return {**standards, **with_amounts(given, brand.currency), "unsubscribeUrl": unsubscribe_url}
