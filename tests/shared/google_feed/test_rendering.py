"""The feed as a file: how prices and shipping costs are spelt in each format."""

from __future__ import annotations

import io
import json
from xml.etree import ElementTree

import pytest

from shared.google_feed.attributes import money
from shared.google_feed.offers import Offer
from shared.google_feed.rendering import FeedFile, price_text

G = "{http://base.google.com/ns/1.0}"
COSTS = [
    {"country": "US", "region": "MA", "service": "Ground", "price": money(599, "USD")},
    {"country": "CA", "price": money(1200, "USD")},
]


def rendered(kind: str, **content: object) -> str:
    """A file of one offer."""
    out = io.BytesIO()
    file = FeedFile(out, kind, name="Feed", link="https://shop.test")
    file.add(Offer("11", "11", None, {"title": "Knife", **content}, {"price": money(1999, "USD")}))
    file.close()
    return out.getvalue().decode()


@pytest.mark.parametrize(
    ("cents", "currency", "text"),
    [(1999, "USD", "19.99 USD"), (120_000, "JPY", "1200 JPY"), (123, "KWD", "1.230 KWD"), (5, "EUR", "0.05 EUR")],
)
def test_price_has_its_currency_s_own_decimals(cents: int, currency: str, text: str) -> None:
    assert price_text(money(cents, currency)) == text


def test_shipping_costs_are_elements_in_xml() -> None:
    """support.google.com/merchants/answer/6324484: in XML each part is an element of its own."""
    [item] = ElementTree.fromstring(rendered("xml", shipping=COSTS)).iter("item")

    parts = [{part.tag.removeprefix(G): part.text for part in each} for each in item.findall(f"{G}shipping")]
    assert parts == [
        {"country": "US", "region": "MA", "service": "Ground", "price": "5.99 USD"},
        {"country": "CA", "price": "12.00 USD"},
    ]


@pytest.mark.parametrize("kind", ["tsv", "json"])
def test_shipping_costs_are_one_text_elsewhere(kind: str) -> None:
    text = rendered(kind, shipping=COSTS)

    if kind == "tsv":
        head, line = text.rstrip("\n").split("\n")
        found = dict(zip(head.split("\t"), line.split("\t"), strict=True))["shipping"]
        assert found == "US:MA:Ground:5.99 USD,CA:::12.00 USD"
    else:
        [item] = json.loads(text)["items"]
        assert item["shipping"] == ["US:MA:Ground:5.99 USD", "CA:::12.00 USD"]


def test_characters_that_xml_does_not_know_are_left_out() -> None:
    [item] = ElementTree.fromstring(rendered("xml", brand="A\x00\x1b\uffff & <B>")).iter("item")

    assert item.findtext(f"{G}brand") == "A & <B>"
