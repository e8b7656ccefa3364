"""The rules of the feed: what an offer is made of, what is left out, what Google would refuse."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from shared.google_feed import attributes, validation
from shared.google_feed.catalogue import Picture, Product, Sales, Variant, _bestseller_from
from shared.google_feed.differences import VOLATILE, Held, changed, decide, offer_digest
from shared.google_feed.exclusion import reason
from shared.google_feed.labels import Facts, holds, labels_of
from shared.google_feed.offers import Feed, Offer, build
from shared.google_feed.settings import FeedSettings
from shared.google_feed.validation import valid_gtin
from shared.google_feed.verdicts import verdict, verdicts

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


def settings(**fields: Any) -> FeedSettings:
    values: dict[str, Any] = {
        "id": UUID(int=1), "merchant_id": "1", "api_credentials": None, "feed_name": "Feed", "feed_token": "t",
        "target_country": "US", "language": "en", "currency": "USD", "update_frequency": "daily", "feed_format": "xml",
        "default_brand": None, "default_availability": "in_stock", "default_condition": "new",
        "default_shipping_label": None, "exclusion_rules": [], "category_mapping": {}, "custom_label_rules": {},
        "include_variants": True, "include_out_of_stock": False, "minimum_price_cents": 0, "shipping_overrides": None,
        "last_sync_at": None, "next_sync_at": None, "is_connected": True, "data_source_name": "d",
        "feed_storage_key": None, **fields,
    }  # fmt: skip
    return FeedSettings(**values)


def variant(**fields: Any) -> Variant:
    values: dict[str, Any] = {
        "id": "1101", "sku": "SKU-1", "barcode": "4006381333931", "options": (("Title", "Default Title"),),
        "price": 1999, "compare_at": None, "cost": None, "currency": "USD", "quantity": 5, "policy": "deny",
        "sellable": True, "weight": None, "image": None, **fields,
    }  # fmt: skip
    return Variant(**values)


def product(*variants: Variant, **fields: Any) -> Product:
    values: dict[str, Any] = {
        "id": "11", "key": "11", "title": "Knife", "handle": "knife", "description": "<p>Sharp &amp; good.</p>",
        "vendor": "Acme", "product_type": "Tools", "tags": (), "published_at": NOW, "availability_date": None,
        "listed": True, "variants": variants or (variant(),),
        "images": (Picture("https://cdn.test/1.jpg", 1600, 1600),), "featured": "https://cdn.test/1.jpg",
        "overrides": {}, "pictures": {}, "collections": frozenset(), "costs": {}, **fields,
    }  # fmt: skip
    return Product(**values)


def offer(of: Product | None = None, sales: Sales | None = None, **feed: Any) -> Offer:
    """The first offer of a product."""
    return build(Feed(settings(**feed), "https://shop.test", NOW, sales or Sales()), of or product())[0]


def codes(made: Offer) -> list[str]:
    return [issue.code for issue in made.issues]


# -- attributes --------------------------------------------------------------------------------------------------------


def test_attributes_of_an_ordinary_offer() -> None:
    made = offer()

    assert (made.offer_id, made.key, made.issues) == ("11_1101", ("11", "1101"), ())
    assert made.attributes == {
        "title": "Knife",
        "description": "Sharp & good.",
        "link": "https://shop.test/products/knife?variant=1101",
        "imageLink": "https://cdn.test/1.jpg",
        "brand": "Acme",
        "gtins": ["4006381333931"],
        "mpn": "SKU-1",
        "productTypes": ["Tools"],
        "condition": "NEW",
        "price": {"amountMicros": "19990000", "currencyCode": "USD"},
        "availability": "IN_STOCK",
    }


def test_title_names_the_options_and_is_cut_within_the_limit() -> None:
    two = product(variant(options=(("Size", "M"), ("Colour", "Red"))), variant(id="1102"))
    assert offer(two).content["title"] == "Knife - M / Red"
    assert (offer(two).content["size"], offer(two).content["color"]) == ("M", "Red")

    long = offer(product(title="x" * 160))
    assert long.content["title"] == "x" * 147 + "..."
    assert codes(long) == ["TITLE_CUT"]


@pytest.mark.parametrize(
    ("fields", "variant_fields", "expected"),
    [
        ({}, {}, None),
        ({}, {"barcode": None}, None),
        ({}, {"barcode": None, "sku": None}, False),
        ({"vendor": None}, {"barcode": None}, False),
        ({"vendor": None}, {}, None),
    ],
    ids=["everything", "brand and mpn", "brand only", "mpn only", "gtin only"],
)
def test_identifier_exists_is_denied_only_without_gtin_and_without_brand_with_mpn(
    fields: Any, variant_fields: Any, expected: bool | None
) -> None:
    made = offer(product(variant(**variant_fields), **fields))

    assert made.content.get("identifierExists") == expected
    assert "Unknown" not in str(made.attributes)


def test_brand_override_then_default_then_vendor() -> None:
    own = {"": {"brand_override": "Own"}}
    assert offer(product(overrides=own), default_brand="House").content["brand"] == "Own"
    assert offer(default_brand="House").content["brand"] == "House"
    assert offer(product(vendor=None)).content.get("brand") is None


@pytest.mark.parametrize("word", ["Unknown", "n/a", " GENERIC ", "No brand", "Does not exist"])
def test_placeholder_is_no_brand(word: str) -> None:
    made = offer(product(vendor=word))

    assert "brand" not in made.content
    assert codes(made) == ["MISSING_BRAND"]
    assert offer(product(overrides={"": {"brand_override": word}})).content["brand"] == "Acme"


@pytest.mark.parametrize(
    ("own", "expected"),
    [("<b>Own</b> &amp; more\n text", "Own & more text"), ("<p></p>", "Sharp & good."), (None, "Sharp & good.")],
)
def test_description_is_plain_text_whoever_wrote_it(own: str | None, expected: str) -> None:
    made = offer(product(overrides={"": {"description_override": own}}))

    assert made.content["description"] == expected


def test_overrides_of_the_variant_win_field_by_field() -> None:
    rows = {"": {"title_override": "Whole", "color": "Blue", "is_excluded": False}, "1101": {"title_override": "Own"}}
    made = offer(product(overrides=rows))

    assert (made.content["title"], made.content["color"]) == ("Own", "Blue")


@pytest.mark.parametrize(
    ("variant_fields", "override", "expected"),
    [
        ({"compare_at": 2500}, {}, ("25000000", "19990000")),
        ({"compare_at": 1999}, {}, ("19990000", None)),
        ({}, {"sale_price_cents": 1500}, ("19990000", "15000000")),
        ({}, {"sale_price_cents": 1999}, ("19990000", None)),
        ({}, {"sale_price_cents": 1500, "sale_price_effective_end": "2026-11-20T11:59:00Z"}, ("19990000", None)),
    ],
    ids=["compare-at", "no reduction", "own sale", "own sale not lower", "own sale over"],
)
def test_prices(variant_fields: Any, override: Any, expected: tuple[str, str | None]) -> None:
    made = offer(product(variant(**variant_fields), overrides={"1101": override}))

    sale = made.offer.get("salePrice")
    assert (made.offer["price"]["amountMicros"], sale and sale["amountMicros"]) == expected


def test_sale_with_both_ends_has_its_dates() -> None:
    dates = {
        "sale_price_effective_start": "2026-11-20T00:00:00+00:00",
        "sale_price_effective_end": "2026-12-01T00:00:00Z",
    }
    made = offer(product(overrides={"1101": {"sale_price_cents": 1500, **dates}}))

    assert made.offer["salePriceEffectiveDate"] == {
        "startTime": "2026-11-20T00:00:00Z", "endTime": "2026-12-01T00:00:00Z",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "default", "date", "expected"),
    [
        ({}, "backorder", None, {"availability": "IN_STOCK"}),
        ({"sellable": False}, "backorder", None, {"availability": "OUT_OF_STOCK"}),
        ({"quantity": 0}, "backorder", None, {"availability": "IN_STOCK"}),
        (
            {"quantity": 0, "policy": "continue"}, "backorder", None,
            {"availability": "BACKORDER", "availabilityDate": "2026-12-04T00:00:00Z"},
        ),
        ({"quantity": 0, "policy": "continue"}, "preorder", None, {"availability": "IN_STOCK"}),
        (
            {"quantity": -3, "policy": "continue"}, "preorder", "2027-01-05",
            {"availability": "PREORDER", "availabilityDate": "2027-01-05T00:00:00Z"},
        ),
        ({"quantity": 0, "policy": "continue"}, "in_stock", "2027-01-05", {"availability": "IN_STOCK"}),
    ],
)  # fmt: skip
def test_availability(fields: Any, default: str, date: str | None, expected: Any) -> None:
    of = product(variant(**fields), availability_date=date)
    made = offer(of, default_availability=default, include_out_of_stock=True)

    assert {n: v for n, v in made.offer.items() if n.startswith("availability")} == expected


def test_shipping() -> None:
    own = {"shipping_weight_grams": 250, "shipping_length_cm": 10.5, "shipping_width_cm": 5, "shipping_height_cm": 2}
    costs = [{"country": "us", "service": "Standard", "price": "5.99 USD"}, {"country": "CA", "price": "free"}]
    made = offer(product(overrides={"1101": own}), shipping_overrides=costs, default_shipping_label="small")

    assert made.content["shippingWeight"] == {"value": 250, "unit": "g"}
    assert made.content["shippingLength"] == {"value": 10.5, "unit": "cm"}
    assert made.content["shipping"] == [
        {"country": "US", "service": "Standard", "price": {"amountMicros": "5990000", "currencyCode": "USD"}}
    ]
    assert made.content["shippingLabel"] == "small"
    assert "shippingWidth" not in offer(product(overrides={"1101": {"shipping_width_cm": 5}})).content


def test_images_own_one_first_and_the_copy_instead() -> None:
    images = tuple(Picture(f"https://cdn.test/{n}.jpg", 900, 900) for n in range(15))
    copy = {"https://cdn.test/7.jpg": Picture("https://cdn.test/7.jpg", 900, 900, "https://f.test/7.jpg", "approved")}
    made = offer(product(variant(image="https://cdn.test/7.jpg"), images=images, pictures=copy, featured=None))

    assert made.content["imageLink"] == "https://f.test/7.jpg"
    assert made.content["additionalImageLinks"] == [
        f"https://cdn.test/{n}.jpg" for n in (0, 1, 2, 3, 4, 5, 6, 8, 9, 10)
    ]
    own = offer(product(overrides={"1101": {"additional_image_urls": ["https://cdn.test/extra.jpg"]}}))
    assert own.content["additionalImageLinks"] == ["https://cdn.test/extra.jpg"]


def test_cut_is_within_the_limit() -> None:
    assert attributes.cut("abcdefghij", 10) == "abcdefghij"
    assert attributes.cut("abcdefghijk", 10) == "abcdefg..."


# -- validation --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("4006381333931", True),
        ("4006381333932", False),
        ("036000291452", True),  # UPC-A of the GS1 General Specifications
        ("96385074", True),  # EAN-8
        ("14006381333938", True),
        ("0000000000000", False),
        ("2000000000008", False),
        ("0200000000004", False),
        ("9800000000002", False),
        ("400638133393", False),
        ("40063813x3931", False),
        ("", False),
        (None, False),
    ],
)
def test_gtin(text: str | None, good: bool) -> None:
    assert valid_gtin(text) is good


@pytest.mark.parametrize(
    ("fields", "variant_fields", "code"),
    [
        ({"title": ""}, {}, "MISSING_TITLE"),
        ({"handle": None}, {}, "MISSING_LINK"),
        ({"images": (), "featured": None}, {}, "MISSING_IMAGE"),
        ({"images": (), "featured": "ftp://x/1.jpg"}, {}, "INVALID_IMAGE_URL"),
        ({"images": (), "featured": "https://x/" + "y" * 2000}, {}, "INVALID_IMAGE_URL"),
        ({}, {"price": 0}, "PRICE_NOT_POSITIVE"),
        ({}, {"currency": "EUR"}, "CURRENCY_MISMATCH"),
        ({"key": "x" * 50}, {}, "OFFER_ID_TOO_LONG"),
        ({"images": (Picture("https://cdn.test/1.jpg", 99, 500),)}, {}, "IMAGE_TOO_SMALL"),
    ],
)
def test_errors_keep_an_offer_back(fields: Any, variant_fields: Any, code: str) -> None:
    made = offer(product(variant(**variant_fields), **fields))

    assert code in [issue.code for issue in made.errors]
    assert not made.sendable


@pytest.mark.parametrize(
    ("fields", "variant_fields", "code"),
    [
        ({}, {"barcode": "123"}, "INVALID_GTIN"),
        ({"vendor": None}, {}, "MISSING_BRAND"),
        ({"description": "<p></p>"}, {}, "MISSING_DESCRIPTION"),
        ({"images": (Picture("https://cdn.test/1.jpg", 700, 1600),)}, {}, "IMAGE_BELOW_RECOMMENDED"),
        ({"product_type": "Women's Shoes"}, {}, "MISSING_APPAREL_ATTRIBUTE"),
    ],
)
def test_warnings_go_out(fields: Any, variant_fields: Any, code: str) -> None:
    made = offer(product(variant(**variant_fields), **fields))

    assert codes(made) == [code]
    assert made.sendable


def test_apparel_by_its_words_needs_its_attributes_whatever_the_category() -> None:
    made = offer(product(product_type="Women's Shoes"), category_mapping={"Women's Shoes": "632"})

    assert codes(made) == ["MISSING_APPAREL_ATTRIBUTE"]


@pytest.mark.parametrize(
    ("today", "apparel", "least"),
    [("2027-01-30", False, 100), ("2027-01-30", True, 250), ("2027-01-31", False, 500), ("2027-01-31", True, 500)],
)
def test_least_size_of_an_image(today: str, apparel: bool, least: int) -> None:
    assert validation.minimum_side(date.fromisoformat(today), is_apparel=apparel) == least


@pytest.mark.parametrize(
    ("category", "expected"),
    [
        ("166", True),
        ("1604", True),
        ("5598", True),  # Clothing > Outerwear > Coats & Jackets
        ("543644", True),  # Clothing Accessories > Hair Accessories > Hair Pins, Claws & Clips > Hair Pins
        ("201", True),  # Jewelry > Watches
        ("Apparel & Accessories > Shoes", True),
        ("1", False),
        ("8", False),
        ("5004", False),  # Animals & Pet Supplies > Dog Apparel
        ("Hardware", False),
    ],
)
def test_apparel_category(category: str, expected: bool) -> None:
    assert validation.apparel_category(category) is expected


# -- exclusion ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "excluded"),
    [
        ({"type": "tag", "value": "NO-feed"}, "rule:tag:NO-feed"),
        ({"type": "tag", "value": "feed"}, None),
        ({"type": "vendor", "value": "acme"}, "rule:vendor:acme"),
        ({"type": "product_type", "value": "tools"}, "rule:product_type:tools"),
        ({"type": "collection", "value": "summer"}, "rule:collection:summer"),
        ({"type": "collection", "value": "gid://shopify/Collection/77"}, "rule:collection:gid://shopify/Collection/77"),
        ({"type": "price_below", "value": "2000"}, "rule:price_below:2000"),
        ({"type": "price_below", "value": 1999}, None),
        ({"type": "price_below", "value": "cheap"}, None),
        ({"type": "out_of_stock"}, None),
        ({"type": "moon", "value": "full"}, None),
        ({"type": "tag", "value": "no-feed", "enabled": False}, None),
    ],
)
def test_exclusion_rules(rule: Mapping[str, Any], excluded: str | None) -> None:
    of = product(tags=("new", "no-feed"), collections=frozenset({"77", "summer"}))

    assert reason(settings(exclusion_rules=[rule]), of, of.variants[0], []) == excluded


def test_first_reason_wins() -> None:
    of = product(variant(sellable=False, price=1))
    wanted = settings(minimum_price_cents=500, exclusion_rules=[{"type": "vendor", "value": "acme"}])

    assert reason(wanted, of, of.variants[0], [{"is_excluded": True}]) == "excluded"
    assert reason(wanted, of, of.variants[0], []) == "out_of_stock"
    shown = replace(wanted, include_out_of_stock=True)
    assert reason(shown, of, of.variants[0], []) == "below_minimum_price"


# -- labels ------------------------------------------------------------------------------------------------------------

FACTS = Facts(2500, "Acme", "Tools", ("New", "blue"), 3, 40.0, 7, 10)


@pytest.mark.parametrize(
    ("field", "operator", "value", "expected"),
    [
        ("vendor", "equals", "ACME", True),
        ("tags", "equals", "new", True),
        ("tags", "contains", "lu", True),
        ("product_type", "contains", "oo", True),
        ("price", "greater_than", 2500, False),
        ("price", "greater_than", "2499", True),
        ("inventory", "less_than", 4, True),
        ("margin", "between", [40, 50], True),
        ("margin", "between", {"min": 41, "max": 50}, False),
        ("units_30d", "between", [7, 7], True),
        ("days_since_published", "less_than", 10, False),
        ("moon", "equals", "x", False),
        ("price", "roughly", 2500, False),
        ("price", "greater_than", "dear", False),
    ],
)
def test_conditions_of_labels(field: str, operator: str, value: Any, expected: bool) -> None:
    assert holds({"field": field, "operator": operator, "value": value}, FACTS) is expected


def test_unknown_cost_holds_no_condition() -> None:
    rules = {"label0": {"conditions": [{"field": "margin", "operator": "less_than", "value": 99, "label": "low"}],
                        "defaultValue": "none"}}  # fmt: skip
    of = product()

    assert labels_of({}, rules, of, of.variants[0], Sales(), NOW) == {"customLabel0": "none"}
    known = product(costs={"": 1000})
    assert labels_of({}, rules, known, known.variants[0], Sales(), NOW) == {"customLabel0": "low"}


def test_labels_without_conditions() -> None:
    rules = {"label0": {"type": "bestseller"}, "label1": {"type": "new_arrival", "defaultValue": "old"}}
    of = product()
    best = labels_of({}, rules, of, of.variants[0], Sales({"1101": 9}, 9), NOW)
    later = labels_of({"custom_label_4": "own"}, rules, of, of.variants[0], Sales({}, 9), NOW + timedelta(days=31))

    assert best == {"customLabel0": "bestseller", "customLabel1": "new"}
    assert later == {"customLabel1": "old", "customLabel4": "own"}


@pytest.mark.parametrize(
    ("units", "variants", "expected"),
    [([], 10, None), ([5, 3, 1], 20, 3), ([5, 3, 1], 9, 5), ([2, 2, 2], 10, 2)],
)
def test_bestsellers_are_a_tenth_of_the_variants(units: list[int], variants: int, expected: int | None) -> None:
    assert _bestseller_from(units, variants) == expected


# -- differences -------------------------------------------------------------------------------------------------------


def held(made: Offer, **fields: Any) -> Held:
    """What Google holds when an offer was inserted an hour ago."""
    from shared.google_feed.differences import digest

    values: dict[str, Any] = {
        "offer_id": made.offer_id, "state": "active", "content_hash": digest(made.content),
        "offer_hash": offer_digest(made.offer), "last_inserted_at": NOW - timedelta(hours=1), "inserts_today": 1,
        "inserts_day": NOW.date(), **fields,
    }  # fmt: skip
    return Held(**values)


@pytest.mark.parametrize(
    ("fields", "act", "limited"),
    [
        ({}, "nothing", False),
        ({"content_hash": "x"}, "insert", False),
        ({"content_hash": "x", "inserts_today": 2}, "nothing", True),
        ({"content_hash": "x", "inserts_today": 2, "inserts_day": date(2026, 11, 19)}, "insert", False),
        ({"content_hash": "x", "offer_hash": "-.-.-.-.-", "inserts_today": 2}, "patch", True),
        ({"offer_hash": "-.-.-.-.-"}, "patch", False),
        ({"last_inserted_at": NOW - timedelta(days=25, seconds=1)}, "insert", False),
        ({"last_inserted_at": NOW - timedelta(days=25)}, "nothing", False),
        ({"last_inserted_at": NOW - timedelta(days=24, hours=23)}, "nothing", False),
        ({"state": "deleted"}, "insert", False),
        ({"state": "refused"}, "refused", False),
        ({"state": "refused", "content_hash": "x"}, "insert", False),
        ({"state": "refused", "offer_hash": "x"}, "insert", False),
    ],
)
def test_what_has_to_be_sent(fields: Any, act: str, limited: bool) -> None:
    made = offer()

    decision = decide(made, held(made, **fields), NOW)

    assert (decision.act, decision.limited) == (act, limited)


def test_mask_names_what_changed() -> None:
    before = offer(product(variant(compare_at=2500)))
    after = offer()

    assert decide(after, held(before), NOW).mask == ("price", "salePrice")
    assert changed(None, offer_digest(after.offer)) == VOLATILE


# -- verdicts ----------------------------------------------------------------------------------------------------------


def processed(places: list[dict[str, Any]], issues: list[dict[str, Any]], **fields: Any) -> dict[str, Any]:
    status = {"destinationStatuses": places, "itemLevelIssues": issues}
    return {
        "offerId": "1",
        "contentLanguage": "en",
        "feedLabel": "US",
        "dataSource": "d",
        "productStatus": status,
        **fields,
    }


ADS, FREE = {"reportingContext": "SHOPPING_ADS"}, {"reportingContext": "FREE_LISTINGS"}
DEMOTED = {"severity": "DEMOTED", "code": "c", "applicableCountries": ["US"], "attribute": "n:image link"}


@pytest.mark.parametrize(
    ("places", "issues", "expected"),
    [
        ([{**ADS, "approvedCountries": ["US"]}], [], "approved"),
        ([{**ADS, "approvedCountries": ["US"]}], [DEMOTED], "warning"),
        ([{**ADS, "approvedCountries": ["US"]}], [{**DEMOTED, "applicableCountries": ["GB"]}], "approved"),
        ([{**ADS, "approvedCountries": ["US"]}, {**FREE, "disapprovedCountries": ["US"]}], [], "disapproved"),
        ([{**ADS, "approvedCountries": ["US"]}, {**FREE, "pendingCountries": ["US"]}], [DEMOTED], "pending"),
        ([{**ADS, "disapprovedCountries": ["GB"], "approvedCountries": ["US"]}], [], "approved"),
        ([{"reportingContext": "YOUTUBE_SHOPPING", "disapprovedCountries": ["US"]}], [], "pending"),
        ([], [], "pending"),
    ],
)
def test_verdict(places: Any, issues: Any, expected: str) -> None:
    found = verdict(processed(places, issues), "US")

    assert found.status == expected
    assert all(issue["attribute"] == "image_link" for issue in found.issues)


def test_products_of_others_are_passed_over() -> None:
    page = [processed([], []), processed([], [], dataSource="x"), processed([], [], feedLabel="GB", offerId="2")]

    assert [each.offer_id for each in verdicts(page, data_source="d", language="en", label="US")] == ["1"]
