"""The address in a review mail: the tenant's review page with a signed token, and nothing that names a person.

    <base>/review?token=...     {t: tenant, o: orders.id, q: review_email_queue.id, e: Unix second of its end}

The application checks the token with the same key (shared.tokens, REVIEW_LINK).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from urllib.parse import urlsplit

from shared.crypto import Keyring
from shared.jobs.context import Session
from shared.tenant_settings import config
from shared.tokens import REVIEW_LINK, sign_token

LINK_TTL = timedelta(days=120)
LINK_CONFIG = "reviews.link"
PAGE = "review"

DOMAINS = """
-- reviews: where the tenant's shop is
SELECT CASE WHEN custom_domain_verified THEN NULLIF(custom_domain, '') END AS own, shopify_store_domain AS shop
FROM public.organizations WHERE id = current_setting('cgk.tenant_id')::uuid
"""


def link_base(session: Session) -> str | None:
    """What review links begin with: the tenant's setting, its own domain, the shop's; None when there is none."""
    setting = config(session, LINK_CONFIG, {"baseUrl": ""})
    base = str(setting.get("baseUrl") or "").strip() if isinstance(setting, dict) else ""
    parts = urlsplit(base)
    if parts.scheme in ("http", "https") and parts.hostname:
        return base.rstrip("/")
    row = session.one(DOMAINS) or {}
    domain = row.get("own") or row.get("shop")
    return f"https://{domain}" if domain else None


def review_url(
    keyring: Keyring, base: str | None, *, tenant: str, order_id: str, queue_id: str, now: datetime
) -> str | None:
    """The link of one mail; it works for LINK_TTL. None without a base."""
    if base is None:
        return None
    token = sign_token(keyring, REVIEW_LINK, {"t": tenant, "o": order_id, "q": queue_id}, now=now, ttl=LINK_TTL)
    return f"{base}/{PAGE}?token={token}"
