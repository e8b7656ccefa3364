"""The offers of a product: one per variant, or one for the whole product, each with its verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from shared.google_feed import attributes, validation
from shared.google_feed.attributes import Source
from shared.google_feed.catalogue import Product, Sales, Variant
from shared.google_feed.exclusion import reason
from shared.google_feed.labels import labels_of
from shared.google_feed.settings import FeedSettings
from shared.google_feed.validation import Issue

Key = tuple[str, str | None]
"""(product key, variant id): the row of google_feed_products that an offer belongs to."""


@dataclass(frozen=True, slots=True)
class Offer:
    """One offer as it should be in the feed. `excluded`: why it is not; `image`: its first image as the shop has it."""

    offer_id: str
    product_key: str
    variant_id: str | None
    content: Mapping[str, Any]
    offer: Mapping[str, Any]
    excluded: str | None = None
    issues: tuple[Issue, ...] = ()
    image: str | None = None
    standing: str | None = None
    """sync_status of its row, None where it has none yet."""

    @property
    def key(self) -> Key:
        return self.product_key, self.variant_id

    @property
    def errors(self) -> list[Issue]:
        """What keeps it back."""
        return [issue for issue in self.issues if issue.severity == "error"]

    @property
    def sendable(self) -> bool:
        return self.excluded is None and not self.errors

    @property
    def attributes(self) -> dict[str, Any]:
        """The whole productAttributes."""
        return {**self.content, **self.offer}


@dataclass(frozen=True, slots=True)
class Feed:
    """What offers are built by: settings, the shop's address, units sold, the time."""

    settings: FeedSettings
    storefront: str
    now: datetime
    sales: Sales = field(default_factory=Sales)


def build(feed: Feed, product: Product) -> list[Offer]:
    """The offers of a product; none when it is not listed or has no variant."""
    if not product.listed or not product.variants:
        return []
    if not feed.settings.include_variants:
        return [_offer(feed, product, _chosen(product), by_variant=False)]
    return [_offer(feed, product, variant, by_variant=True) for variant in product.variants]


def build_all(feed: Feed, products: Sequence[Product]) -> list[Offer]:
    """The offers of many products."""
    return [offer for product in products for offer in build(feed, product)]


def _chosen(product: Product) -> Variant:
    """The cheapest variant that can be sold, else the first."""
    sellable = [variant for variant in product.variants if variant.sellable]
    return min(sellable, key=lambda variant: variant.price) if sellable else product.variants[0]


def _offer(feed: Feed, product: Product, variant: Variant, *, by_variant: bool) -> Offer:
    source = Source(
        settings=feed.settings,
        storefront=feed.storefront,
        product=product,
        variant=variant,
        override=attributes.merged(product, variant.id if by_variant else ""),
        several=by_variant and len(product.variants) > 1,
        by_variant=by_variant,
        now=feed.now,
    )
    labels = labels_of(source.override, feed.settings.label_rules, product, variant, feed.sales, feed.now)
    content = {**attributes.content(source), **labels}
    offer = {**attributes.prices(source), **attributes.availability(source)}
    offer_id = f"{product.key}_{variant.id}" if by_variant else product.key
    images = attributes.original_images(source)[:1]
    own = product.overrides.get(variant.id if by_variant else "", {})
    overrides = [product.overrides.get("", {}), own]
    return Offer(
        offer_id=offer_id,
        product_key=product.key,
        variant_id=variant.id if by_variant else None,
        content=content,
        offer=offer,
        excluded=reason(feed.settings, product, variant, overrides),
        issues=tuple(_issues(feed, source, offer_id, content)),
        image=images[0].url if images else None,
        standing=own.get("sync_status"),
    )


def _issues(feed: Feed, source: Source, offer_id: str, content: Mapping[str, Any]) -> list[Issue]:
    found = validation.check(
        offer_id,
        content,
        size=attributes.image_size(source),
        today=feed.now.astimezone(UTC).date(),
        price_cents=source.variant.price,
    )
    if source.variant.currency.upper() != feed.settings.currency:
        text = f"The price is in {source.variant.currency}, the feed in {feed.settings.currency}."
        found.append(validation.error("CURRENCY_MISMATCH", "price", text))
    if (gtin := attributes.offered_gtin(source)) and not validation.valid_gtin(gtin):
        found.append(validation.warning("INVALID_GTIN", "gtin", "The GTIN is not valid and was left out."))
    if not attributes.has_description(source):
        found.append(validation.warning("MISSING_DESCRIPTION", "description", "No description; the title stands in."))
    if attributes.title_is_cut(source):
        found.append(validation.warning("TITLE_CUT", "title", f"Cut at {attributes.TITLE_MAX} characters."))
    return found
