"""Where a visit came from: reading what an order says of its origin, and the channel of a touchpoint that we make."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple
from urllib.parse import urlsplit

MAX_TEXT = 512
"""Characters kept of a marketing text and of an id."""
CLICK_IDS = ("fbclid", "gclid", "ttclid", "msclkid", "nbt")
"""Click ids of Meta, Google, TikTok and Microsoft, and Meta's URL parameter `<campaign>~<adset>~<ad>`."""

PAID_MEDIA = frozenset({"cpc", "ppc", "paid", "paidsocial", "paid_social", "paid-social", "cpm", "display"})
META = frozenset({"facebook", "instagram", "fb", "ig", "meta"})
GOOGLE_ADS = frozenset({"google", "youtube"})
OTHER_PAID_SOCIAL = frozenset({"snapchat", "pinterest", "linkedin"})
SOCIAL = frozenset({"facebook", "instagram", "tiktok", "youtube", "twitter", "x", "pinterest", "linkedin", "reddit"})
MAIL = frozenset({"email", "newsletter", "klaviyo"})
SEARCH_ENGINES = frozenset({"google", "bing", "yahoo", "duckduckgo", "ecosia", "baidu"})


class Channel(NamedTuple):
    """Channel and platform of a touchpoint, e.g. paid_social / meta."""

    name: str
    platform: str


@dataclass(frozen=True, slots=True)
class Origin:
    """What an order's own data says of where it came from. Texts are trimmed; an empty one is None.

    `landing_page` and `referrer` are whole here; stored touchpoints lose the query string, which may hold anything.
    """

    visitor_ids: tuple[str, ...] = ()
    session_id: str | None = None
    source: str | None = None
    medium: str | None = None
    campaign: str | None = None
    content: str | None = None
    term: str | None = None
    ad_id: str | None = None
    adset_id: str | None = None
    fbclid: str | None = None
    gclid: str | None = None
    ttclid: str | None = None
    msclkid: str | None = None
    nbt: str | None = None
    landing_page: str | None = None
    referrer: str | None = None
    creator_code: str | None = None

    @property
    def click_ids(self) -> frozenset[tuple[str, str]]:
        """(name, value) of each click id."""
        return frozenset((name, value) for name in CLICK_IDS if (value := getattr(self, name)))


def read_origin(
    data: Any,
    *,
    utm_source: str | None = None,
    utm_medium: str | None = None,
    utm_campaign: str | None = None,
    visitor_id: str | None = None,
) -> Origin:
    """Read orders.attribution_data, whoever wrote it: several spellings of each key, anything odd counts as absent.

    The order's utm columns win over it. `visitor_id`: one more visitor that a publisher knows of.
    """
    given = _Given(data)
    visitors = (
        given.first("visitorId", "visitor_id", "_visitor_id", "abVisitorId"),
        visitor_id,
        given.first("abVisitorId"),
    )
    return _with_meta_parameter(
        Origin(
            visitor_ids=tuple(dict.fromkeys(v for v in visitors if v)),
            session_id=given.first("sessionId", "session_id", "_session_id"),
            source=_text(utm_source) or given.utm("source"),
            medium=_text(utm_medium) or given.utm("medium"),
            campaign=_text(utm_campaign) or given.utm("campaign"),
            content=given.utm("content"),
            term=given.utm("term"),
            **{name: given.first(name) for name in CLICK_IDS},
            landing_page=given.first("landingPage", "landing_page", "_landing_page"),
            referrer=given.first("referrer", "_referrer"),
            creator_code=given.first("creatorCode", "_creator_code"),
        )
    )


def channel_of(origin: Origin, own_hosts: Collection[str] = ()) -> Channel:
    """Channel and platform by the first of these that holds: an ad network's click id; a paid medium, by its source; a
    creator; an affiliate; mail; text message; social network; search engine; another site; else direct.

    `own_hosts`: the shop's hosts, a referrer from there is no referral.
    """
    source, medium = (origin.source or "").lower(), (origin.medium or "").lower()
    if paid := _paid(origin, source, medium):
        return paid
    if origin.creator_code or medium in ("influencer", "creator"):
        return Channel("creator", "organic")
    if medium == "affiliate" or "affiliate" in source:
        return Channel("affiliate", "other")
    if medium in MAIL or source in MAIL:
        return Channel("email", "email")
    if medium == "sms":
        return Channel("sms", "other")
    if medium == "social" or source in SOCIAL or origin.fbclid:
        return Channel("organic_social", "organic")
    referrer = host_of(origin.referrer)
    if _is_search_engine(source) or _is_search_engine(referrer):
        return Channel("organic_search", "organic")
    if referrer and not _is_own(referrer, {host_of(origin.landing_page), *own_hosts}):
        return Channel("referral", "other")
    return Channel("direct", "direct")


def host_of(url: str | None) -> str:
    """Lower-case host of an address, with or without scheme; empty when there is none."""
    if not url:
        return ""
    try:
        return (urlsplit(url if "//" in url else f"//{url}").hostname or "").removeprefix("www.")
    except ValueError:
        return ""


def without_query(url: str | None) -> str | None:
    """The address up to its query string or fragment, cut to MAX_TEXT characters."""
    return (url.partition("?")[0].partition("#")[0][:MAX_TEXT] or None) if url else None


def _paid(origin: Origin, source: str, medium: str) -> Channel | None:
    by_medium = medium in PAID_MEDIA
    if origin.gclid:
        return Channel("paid_search", "google")
    if origin.msclkid:
        return Channel("paid_search", "microsoft")
    if origin.ttclid:
        return Channel("paid_social", "tiktok")
    # Meta puts nbt on the addresses of advertisements only, so it needs no click id beside it.
    if origin.nbt or (origin.fbclid and by_medium) or (by_medium and source in META):
        return Channel("paid_social", "meta")
    if not by_medium:
        return None
    if source == "tiktok":
        return Channel("paid_social", "tiktok")
    if source in GOOGLE_ADS:
        return Channel("paid_search", "google")
    if source == "bing":
        return Channel("paid_search", "microsoft")
    if source in OTHER_PAID_SOCIAL:
        return Channel("paid_social", source)
    return Channel("paid_other", "other")


def _is_search_engine(name: str) -> bool:
    """A source such as `google`, or a host such as google.co.uk or search.yahoo.com."""
    return not SEARCH_ENGINES.isdisjoint(name.split("."))


def _is_own(host: str, own: Collection[str]) -> bool:
    return any(host == name or host.endswith(f".{name}") for name in own if name)


def _with_meta_parameter(origin: Origin) -> Origin:
    """Fill campaign, ad set and ad from nbt where they are empty."""
    if not origin.nbt:
        return origin
    campaign, adset, ad = [*(part.strip() or None for part in origin.nbt.split("~", 2)), None, None][:3]
    return replace(
        origin,
        campaign=origin.campaign or campaign,
        adset_id=origin.adset_id or adset,
        ad_id=origin.ad_id or ad,
    )


class _Given:
    """Attribution data by key; anything but a text or a whole number counts as absent."""

    def __init__(self, data: Any) -> None:
        self._data: Mapping[str, Any] = data if isinstance(data, Mapping) else {}

    def first(self, *names: str) -> str | None:
        return next((text for name in names if (text := _text(self._data.get(name), self._limit(name)))), None)

    def utm(self, part: str) -> str | None:
        return self.first(f"utm_{part}", f"utm{part.capitalize()}", part, f"_attribution_{part}")

    @staticmethod
    def _limit(name: str) -> int | None:
        # An address keeps its query string until it is stored: the cut comes after the query is gone.
        return None if "page" in name.lower() or "referrer" in name else MAX_TEXT


def _text(value: Any, limit: int | None = MAX_TEXT) -> str | None:
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    return (value.strip()[:limit] or None) if isinstance(value, str) else None
