"""The feed as a file, for a shop that is not connected: RSS 2.0 with Google's fields, TSV, or JSON.

support.google.com/merchants/answer/7052112 names the attributes. A file is written as it is rendered; only one offer is
in memory.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from decimal import ROUND_HALF_UP, Decimal
from typing import IO, Any
from xml.sax.saxutils import escape

from shared.google_feed.offers import Offer
from shared.mail.values import NO_DECIMALS, THREE_DECIMALS

NAMES = {
    "title": "title", "description": "description", "link": "link", "imageLink": "image_link",
    "additionalImageLinks": "additional_image_link", "availability": "availability",
    "availabilityDate": "availability_date", "price": "price", "salePrice": "sale_price",
    "salePriceEffectiveDate": "sale_price_effective_date", "brand": "brand", "gtins": "gtin", "mpn": "mpn",
    "identifierExists": "identifier_exists", "googleProductCategory": "google_product_category",
    "productTypes": "product_type", "condition": "condition", "adult": "adult", "ageGroup": "age_group",
    "gender": "gender", "color": "color", "size": "size", "material": "material", "pattern": "pattern",
    "itemGroupId": "item_group_id", "shippingWeight": "shipping_weight", "shippingLength": "shipping_length",
    "shippingWidth": "shipping_width", "shippingHeight": "shipping_height", "shippingLabel": "shipping_label",
    "shipping": "shipping", **{f"customLabel{n}": f"custom_label_{n}" for n in range(5)},
}  # fmt: skip
"""Attribute of the API -> field of a file, in the order of a TSV's columns."""
CONTENT_TYPES = {"xml": "application/xml; charset=utf-8", "tsv": "text/tab-separated-values; charset=utf-8",
                 "json": "application/json; charset=utf-8"}  # fmt: skip
MANY = ("additional_image_link", "shipping")
"""Fields that may come several times: lists in JSON."""
LOWER = ("availability", "condition", "ageGroup", "gender")
"""Enumerations, which a file spells in lower case."""


def fields(offer: Offer) -> Iterator[tuple[str, str]]:
    """(field, text) of an offer; a field may come several times."""
    for name, field, value in _values(offer):
        yield field, _text(name, value)


def elements(offer: Offer) -> Iterator[str]:
    """The same as elements of RSS; shipping costs have elements of their own."""
    for name, field, value in _values(offer):
        inside = _cost(value) if name == "shipping" else _escaped(_text(name, value))
        yield f"<g:{field}>{inside}</g:{field}>"


def _values(offer: Offer) -> Iterator[tuple[str, str, Any]]:
    """(attribute, field, value), each member of a list by itself."""
    yield "id", "id", offer.offer_id
    known = offer.attributes
    for name, field in NAMES.items():
        if name in known:
            value = known[name]
            for each in value if isinstance(value, list) else [value]:
                yield name, field, each


def price_text(price: Mapping[str, str]) -> str:
    """The amount in its currency's own decimals: '19.99 USD', '1200 JPY'."""
    code = price["currencyCode"]
    places = 0 if NO_DECIMALS.fullmatch(code) else 3 if THREE_DECIMALS.fullmatch(code) else 2
    amount = Decimal(price["amountMicros"]).scaleb(-6).quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)
    return f"{amount} {code}"


def _cost(cost: Mapping[str, Any]) -> str:
    """A shipping cost of the XML format."""
    parts = {name: cost[name] for name in ("country", "region", "service") if cost.get(name)}
    parts["price"] = price_text(cost["price"])
    return "".join(f"<g:{name}>{_escaped(text)}</g:{name}>" for name, text in parts.items())


def _text(name: str, value: Any) -> str:
    if name in ("price", "salePrice"):
        return price_text(value)
    if name == "salePriceEffectiveDate":
        return f"{value['startTime']}/{value['endTime']}"
    if name == "shipping":
        parts = (value.get("country", ""), value.get("region", ""), value.get("service", ""))
        return ":".join((*parts, price_text(value["price"])))
    if isinstance(value, dict):
        return f"{value['value']} {value['unit']}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value).lower() if name in LOWER else str(value)


class FeedFile:
    """Writes offers into a binary file in one of the three formats; `close` ends the document, not the file."""

    def __init__(self, out: IO[bytes], kind: str, *, name: str, link: str) -> None:
        self._out, self._kind = out, kind
        self.count = 0
        if kind == "xml":
            head = f"<title>{escape(name)}</title><link>{escape(link)}</link><description>{escape(name)}</description>"
            start = '<?xml version="1.0" encoding="UTF-8"?>\n<rss version="2.0" '
            self._write(f'{start}xmlns:g="http://base.google.com/ns/1.0"><channel>{head}\n')
        elif kind == "tsv":
            self._write("\t".join(["id", *NAMES.values()]) + "\n")
        else:
            self._write('{"items":[')

    def add(self, offer: Offer) -> None:
        """One more offer."""
        if self._kind == "xml":
            self._write(f"<item>{''.join(elements(offer))}</item>\n")
        elif self._kind == "tsv":
            cells: dict[str, list[str]] = {}
            for field, text in fields(offer):
                cells.setdefault(field, []).append(" ".join(text.split()))
            self._write("\t".join(",".join(cells.get(name, ())) for name in ("id", *NAMES.values())) + "\n")
        else:
            item: dict[str, Any] = {}
            for field, text in fields(offer):
                if field in MANY:
                    item.setdefault(field, []).append(text)
                else:
                    item[field] = text
            self._write(("," if self.count else "") + json.dumps(item, ensure_ascii=False))
        self.count += 1

    def close(self) -> None:
        """End the document."""
        self._write({"xml": "</channel></rss>\n", "json": "]}\n"}.get(self._kind, ""))

    def _write(self, text: str) -> None:
        self._out.write(text.encode("utf-8", "replace"))


def _escaped(text: str) -> str:
    """Without the characters that XML 1.0 does not know."""
    return escape("".join(c for c in text if (c >= " " or c in "\t\n\r") and c not in "\ufffe\uffff"))
