"""What an order says of its origin, whoever wrote it, and the channel that follows."""

from __future__ import annotations

from typing import Any

import pytest

from shared.attribution.marketing import Origin, channel_of, host_of, read_origin, without_query

META_NBT = {"fbclid": "f1", "nbt": "Spring~Broad~Ad7"}


@pytest.mark.parametrize(
    ("origin", "channel", "platform"),
    [
        ({"gclid": "g", "medium": "email"}, "paid_search", "google"),
        ({"msclkid": "m", "source": "google"}, "paid_search", "microsoft"),
        ({"ttclid": "t"}, "paid_social", "tiktok"),
        ({"gclid": "g", "ttclid": "t", "fbclid": "f"}, "paid_search", "google"),
        ({"fbclid": "f", "medium": "cpc"}, "paid_social", "meta"),
        (META_NBT, "paid_social", "meta"),
        ({"fbclid": "f"}, "organic_social", "organic"),
        ({"source": "Facebook", "medium": "Paid-Social"}, "paid_social", "meta"),
        ({"source": "ig", "medium": "cpm"}, "paid_social", "meta"),
        ({"source": "tiktok", "medium": "paid"}, "paid_social", "tiktok"),
        ({"source": "youtube", "medium": "display"}, "paid_search", "google"),
        ({"source": "bing", "medium": "ppc"}, "paid_search", "microsoft"),
        ({"source": "pinterest", "medium": "paidsocial"}, "paid_social", "pinterest"),
        ({"source": "podcast", "medium": "cpc"}, "paid_other", "other"),
        ({"source": "x", "creator_code": "SARA10"}, "creator", "organic"),
        ({"source": "sara", "medium": "influencer"}, "creator", "organic"),
        ({"source": "awin", "medium": "affiliate"}, "affiliate", "other"),
        ({"source": "my-affiliates"}, "affiliate", "other"),
        ({"source": "klaviyo", "medium": "flow"}, "email", "email"),
        ({"source": "june", "medium": "newsletter"}, "email", "email"),
        ({"source": "attentive", "medium": "sms"}, "sms", "other"),
        ({"source": "reddit"}, "organic_social", "organic"),
        ({"source": "any", "medium": "social"}, "organic_social", "organic"),
        ({"source": "google", "medium": "organic"}, "organic_search", "organic"),
        ({"referrer": "https://www.google.co.uk/search?q=x"}, "organic_search", "organic"),
        ({"referrer": "https://blog.example.com/a"}, "referral", "other"),
        ({"referrer": "https://www.shop.example/a"}, "direct", "direct"),
        ({"referrer": "https://checkout.shop.example/a"}, "direct", "direct"),
        ({"referrer": "https://here.example/a", "landing_page": "https://here.example/p"}, "direct", "direct"),
        ({"source": "flyer"}, "direct", "direct"),
        ({}, "direct", "direct"),
    ],
    ids=lambda value: ",".join(map(str, value)) if isinstance(value, dict) else None,
)
def test_channel_by_the_first_rule_that_holds(origin: dict[str, Any], channel: str, platform: str) -> None:
    assert channel_of(Origin(**origin), {"shop.example", "acme.myshopify.com"}) == (channel, platform)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"visitorId": "a"}, {"visitor_ids": ("a",)}),
        ({"visitor_id": 17}, {"visitor_ids": ("17",)}),
        ({"_visitor_id": " a ", "abVisitorId": "b"}, {"visitor_ids": ("a", "b")}),
        ({"abVisitorId": "b"}, {"visitor_ids": ("b",)}),
        ({"visitorId": "", "visitor_id": "a"}, {"visitor_ids": ("a",)}),
        ({"_session_id": "s"}, {"session_id": "s"}),
        ({"utm_source": "google", "utmMedium": "cpc"}, {"source": "google", "medium": "cpc"}),
        ({"_attribution_campaign": "Spring", "term": "shoes"}, {"campaign": "Spring", "term": "shoes"}),
        ({"_landing_page": "https://a.example/?x=1"}, {"landing_page": "https://a.example/?x=1"}),
        ({"_creator_code": "SARA10"}, {"creator_code": "SARA10"}),
        (META_NBT, {"campaign": "Spring", "adset_id": "Broad", "ad_id": "Ad7", **META_NBT}),
        ({"nbt": "Spring", "utm_campaign": "Own"}, {"campaign": "Own", "nbt": "Spring"}),
        ({"visitorId": True, "utm_source": ["a"], "gclid": {"a": 1}}, {}),
        ("not an object", {}),
        (None, {}),
    ],
)
def test_attribution_data_is_read_in_any_spelling(data: Any, expected: dict[str, Any]) -> None:
    assert read_origin(data) == Origin(**expected)


def test_columns_of_the_order_and_the_publishers_visitor_join_in() -> None:
    data = {"utm_source": "google", "utm_medium": "organic", "visitorId": "a", "abVisitorId": "b"}

    origin = read_origin(data, utm_source="newsletter", utm_campaign=" ", visitor_id="p")

    assert (origin.source, origin.medium, origin.campaign) == ("newsletter", "organic", None)
    assert origin.visitor_ids == ("a", "p", "b")


def test_long_texts_are_cut_and_addresses_lose_their_query() -> None:
    address = "https://a.example/p?" + "q" * 600

    origin = read_origin({"utm_source": "s" * 600, "landingPage": address})

    assert origin.source == "s" * 512
    assert origin.landing_page == address
    assert without_query(address) == "https://a.example/p"
    assert without_query("https://a.example/#part") == "https://a.example/"


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://WWW.Google.com:443/x", "google.com"),
        ("shop.example/p", "shop.example"),
        ("android-app://com.google.android.gm/", "com.google.android.gm"),
        ("http://[broken", ""),
        ("", ""),
    ],
)
def test_host_of_an_address(url: str, host: str) -> None:
    assert host_of(url) == host
