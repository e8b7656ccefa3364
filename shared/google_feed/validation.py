"""What Google would refuse, found before anything is sent.

An error keeps the offer back; a warning goes to the admin pages and the offer out. GTIN: 8, 12, 13 or 14 digits with
the check digit of the GS1 General Specifications, section 7.9 (weights 3 and 1 from the right), outside the ranges of
restricted distribution and coupons.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

from shared.google_feed.taxonomy import APPAREL_CATEGORIES

OFFER_ID_MAX = 50
URL_MAX = 2000
SIZES_FROM = date(2027, 1, 31)
"""From this day on every image needs 500 x 500 pixels."""
MIN_SIDE_NEW = 500
MIN_SIDE_APPAREL = 250
MIN_SIDE_OTHER = 100
RECOMMENDED_SIDE = 800
"""Pixels; below them an image is warned of."""
APPAREL_PATH = "Apparel & Accessories"
APPAREL = re.compile(
    r"\b(apparel|clothing|clothes|shoes?|footwear|sneakers?|boots?|dress(es)?|t-?shirts?|shirts?|tops?|hoodies?|jackets?"
    r"|coats?|pants|trousers|jeans|skirts?|shorts|socks?|sweaters?|underwear|swimwear)\b",
    re.IGNORECASE,
)
APPAREL_NEEDS = ("color", "size", "gender", "ageGroup")


@dataclass(frozen=True, slots=True)
class Issue:
    """One finding; `attribute` in Google's spelling of feed files."""

    severity: Literal["error", "warning"]
    code: str
    attribute: str
    description: str

    def wire(self) -> dict[str, str]:
        """As merchant_issues keeps it; `source` tells ours from Google's."""
        return {
            "severity": self.severity,
            "code": self.code,
            "attribute": self.attribute,
            "description": self.description,
            "source": "validation",
        }


def error(code: str, attribute: str, description: str) -> Issue:
    """Something that keeps the offer back."""
    return Issue("error", code, attribute, description)


def warning(code: str, attribute: str, description: str) -> Issue:
    """Something to be told."""
    return Issue("warning", code, attribute, description)


def valid_gtin(text: str | None) -> bool:
    """Whether a text is a GTIN that Google takes.

    >>> valid_gtin("4006381333931"), valid_gtin("4006381333932")
    (True, False)
    """
    digits = (text or "").strip()
    if not re.fullmatch(r"[0-9]{8}|[0-9]{12,14}", digits) or not digits.strip("0"):
        return False
    weighted = sum(int(d) * (1 if n % 2 == 0 else 3) for n, d in enumerate(reversed(digits)))
    return weighted % 10 == 0 and not _restricted(digits)


def _restricted(digits: str) -> bool:
    """Prefixes 02, 04, 2, 98 and 99 of the form with 13 digits."""
    thirteen = digits.zfill(13)[-13:]
    return thirteen[:1] == "2" or thirteen[:2] in ("02", "04", "98", "99")


def apparel_category(category: str) -> bool:
    """Whether a category, an id or a path, is apparel."""
    return category.strip() in APPAREL_CATEGORIES or category.split(">")[0].strip() == APPAREL_PATH


def apparel(attributes: Mapping[str, Any]) -> bool:
    """Whether an offer is apparel by its category, or, without one, by the words of its product type."""
    category = str(attributes.get("googleProductCategory") or "")
    if category:
        return apparel_category(category)
    return apparel_words(attributes)


def apparel_words(attributes: Mapping[str, Any]) -> bool:
    """Whether the product type of an offer speaks of apparel."""
    return bool(APPAREL.search(" ".join(attributes.get("productTypes") or ())))


def minimum_side(today: date, *, is_apparel: bool) -> int:
    """Pixels that both sides of an image must have."""
    if today >= SIZES_FROM:
        return MIN_SIDE_NEW
    return MIN_SIDE_APPAREL if is_apparel else MIN_SIDE_OTHER


def check(
    offer_id: str, attributes: Mapping[str, Any], *, size: tuple[int, int] | None, today: date, price_cents: int
) -> list[Issue]:
    """Findings on the attributes of an offer; `size`: width and height of its image where they are known."""
    found: list[Issue] = []
    if len(offer_id) > OFFER_ID_MAX:
        found.append(error("OFFER_ID_TOO_LONG", "id", f"The id has more than {OFFER_ID_MAX} characters."))
    if not attributes.get("title"):
        found.append(error("MISSING_TITLE", "title", "The product has no title."))
    if not attributes.get("link"):
        found.append(error("MISSING_LINK", "link", "The product has no address in the shop."))
    if price_cents <= 0:
        found.append(error("PRICE_NOT_POSITIVE", "price", "The price is not above zero."))
    found += _image_issues(attributes, size, today)
    if not attributes.get("brand"):
        found.append(warning("MISSING_BRAND", "brand", "No brand: set one for the feed or the product."))
    missing = [name for name in APPAREL_NEEDS if not attributes.get(name)]
    if missing and (apparel(attributes) or apparel_words(attributes)):
        text = f"Apparel without {', '.join(missing)}."
        found.append(warning("MISSING_APPAREL_ATTRIBUTE", missing[0], text))
    return found


def _image_issues(attributes: Mapping[str, Any], size: tuple[int, int] | None, today: date) -> list[Issue]:
    link = str(attributes.get("imageLink") or "")
    if not link:
        return [error("MISSING_IMAGE", "image_link", "The product has no image.")]
    if not link.startswith(("https://", "http://")) or len(link) > URL_MAX:
        return [error("INVALID_IMAGE_URL", "image_link", "The image's address is no web address Google takes.")]
    if size is None:
        return []
    least = minimum_side(today, is_apparel=apparel(attributes))
    if min(size) < least:
        text = f"The image has {size[0]} x {size[1]} pixels; Google asks for {least} x {least}."
        return [error("IMAGE_TOO_SMALL", "image_link", text)]
    if min(size) < RECOMMENDED_SIDE:
        text = f"The image has {size[0]} x {size[1]} pixels; 1500 x 1500 is recommended."
        return [warning("IMAGE_BELOW_RECOMMENDED", "image_link", text)]
    return []
