"""The tenant's settings of the product feed, and the address of the storefront that the offers lead to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from shared.jobs.context import Session
from shared.jobs.errors import Permanent

# One row per tenant; the oldest, should an application have made two.
SETTINGS = """
-- google feed: the tenant's settings
SELECT id, merchant_id, api_credentials, feed_name, feed_token, upper(target_country) AS target_country,
       lower(language) AS language, upper(currency) AS currency, update_frequency, feed_format, default_brand,
       default_availability, default_condition::text AS default_condition, default_shipping_label, exclusion_rules,
       category_mapping, custom_label_rules, include_variants, include_out_of_stock,
       COALESCE(minimum_price_cents, 0) AS minimum_price_cents, shipping_overrides, last_sync_at, next_sync_at,
       is_connected, data_source_name, feed_storage_key
FROM google_feed_settings ORDER BY created_at, id LIMIT 1
"""

STOREFRONT = """
-- google feed: where the shop can be reached, the most trusted first
SELECT NULLIF(trim(c.site_url), '') AS site_url,
       (SELECT NULLIF(trim(o.custom_domain), '') FROM public.organizations o
         WHERE o.id = current_setting('cgk.tenant_id')::uuid AND o.custom_domain_verified) AS custom_domain,
       COALESCE(NULLIF(trim(c.store_domain), ''), NULLIF(trim(c.shop), '')) AS shop
FROM (VALUES (1)) one
LEFT JOIN LATERAL (
    SELECT site_url, store_domain, shop FROM shopify_connections
    ORDER BY (status = 'active') DESC NULLS LAST, installed_at DESC NULLS LAST, id LIMIT 1
) c ON true
"""

SET_DATA_SOURCE = """
-- google feed: the data source that takes our inputs
UPDATE google_feed_settings SET data_source_name = %(name)s WHERE id = %(id)s
"""

DISCONNECT = """
-- google feed: Google does not accept the credentials any more
UPDATE google_feed_settings SET is_connected = false, last_sync_status = 'failed', last_sync_error = %(error)s
WHERE id = %(id)s
"""


@dataclass(frozen=True, slots=True)
class FeedSettings:
    """A row of google_feed_settings. Country, currency upper case; language lower case; amounts in cents."""

    id: UUID
    merchant_id: str | None
    api_credentials: Mapping[str, Any] | None = field(repr=False)
    feed_name: str
    feed_token: str | None = field(repr=False)
    target_country: str
    language: str
    currency: str
    update_frequency: str
    feed_format: str
    default_brand: str | None
    default_availability: str
    default_condition: str
    default_shipping_label: str | None
    exclusion_rules: Any
    category_mapping: Any
    custom_label_rules: Any
    include_variants: bool
    include_out_of_stock: bool
    minimum_price_cents: int
    shipping_overrides: Any
    last_sync_at: Any
    next_sync_at: Any
    is_connected: bool
    data_source_name: str | None
    feed_storage_key: str | None

    @property
    def connected(self) -> bool:
        """Whether Google takes our inputs; else the feed is a file."""
        return self.is_connected and bool(self.merchant_id)

    @property
    def place(self) -> tuple[str, str]:
        """(content language, feed label): with the offer id it names an input."""
        return self.language, self.target_country

    @property
    def rules(self) -> Sequence[Mapping[str, Any]]:
        """The exclusion rules that are switched on; a malformed column counts as none."""
        found = self.exclusion_rules if isinstance(self.exclusion_rules, list) else []
        return [rule for rule in found if isinstance(rule, dict) and rule.get("enabled", True) is not False]

    @property
    def label_rules(self) -> Mapping[str, Mapping[str, Any]]:
        """label0..label4 -> rule."""
        found = self.custom_label_rules if isinstance(self.custom_label_rules, dict) else {}
        return {name: rule for name, rule in found.items() if isinstance(rule, dict)}

    @property
    def categories(self) -> Mapping[str, str]:
        """product type -> Google's category."""
        found = self.category_mapping if isinstance(self.category_mapping, dict) else {}
        return {str(name): str(value) for name, value in found.items() if value not in (None, "")}


def load_settings(session: Session) -> FeedSettings | None:
    """The tenant's settings, None when it has no feed."""
    row = session.one(SETTINGS)
    return FeedSettings(**row) if row else None


def storefront(session: Session) -> str:
    """Address of the shop without a slash at its end. Raises Permanent STOREFRONT_URL_MISSING."""
    row = session.one(STOREFRONT) or {}
    found = row.get("site_url") or row.get("custom_domain") or row.get("shop")
    if not found:
        raise Permanent("STOREFRONT_URL_MISSING", "neither a site address nor a domain nor a shop is known")
    text = str(found).strip().rstrip("/")
    return text if text.startswith(("https://", "http://")) else f"https://{text}"
