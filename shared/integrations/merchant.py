"""Google's Merchant API v1: product inputs, processed products, data sources.

developers.google.com/merchant/api, products_v1 and datasources_v1, looked at 2026-11. Authorization: Bearer, scope
content. insert is an upsert, patch sets values, a second delete answers 404: all may be repeated. Quotas are per method
and adjust themselves. An error names its fact in details[ErrorInfo].metadata.REASON and the field in FIELD_LOCATION
(guides/error-handling).

    Taken           2xx
    Refused         400                  the offer's own error: reason, words, attribute
    Missing         404                  of an insert: the data source is gone; of a delete: it was deleted before
    Unauthorized    401                  raised; the caller renews the token once
    DailyLimit      429 quota/daily_limit_exceeded     raised; goes on after noon UTC
    raised          RateLimited RATE_LIMITED           429 else (Retry-After, else 60 s)
                    Permanent GOOGLE_FORBIDDEN         403
                    Transient GOOGLE_CONFLICT          409, 412
                    Transient GOOGLE_MERCHANT_UNAVAILABLE, _TIMEOUT, _ANSWER_UNREADABLE   5xx and below HTTP

Safe to use from several threads.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from typing import Any
from urllib.parse import quote, urlencode

from shared.integrations.http import Response, retry_after_s
from shared.jobs.context import JobContext
from shared.jobs.errors import Permanent, RateLimited, Transient

VENDOR = "google-merchant"
BASE_URL = "https://merchantapi.googleapis.com"
SETTING_BASE_URL = "MERCHANT_BASE_URL"
TIMEOUT_S = 20.0
PRODUCTS_PAGE = 1000
DATA_SOURCES_PAGE = 1000
RATE_WAIT_S = 60.0
"""Wait after a 429 that names none: the quota is counted by the minute."""
QUOTA_RETURNS = time(12, 0, tzinfo=UTC)
"""The quota's new day begins (reference/rest/quota_v1/accounts.quotas, quotaUsage: midday UTC, not midnight)."""
QUOTA_SLACK = timedelta(minutes=10)
"""Between the quota's new day and the run that goes on: clocks differ."""
DAILY_LIMIT = ("daily_limit_exceeded", "QUOTA_TOO_MANY_REQUESTS")
"""The two spellings of a used-up day; the quota of the minute is request_rate_too_high in either."""
ANSWERED = (400, 401, 403, 404, 409, 412, 429)

_SIMPLE = re.compile(r"[A-Za-z0-9_-]+")
_WORD = re.compile(r"[A-Za-z0-9_/.-]{1,80}")


class Unauthorized(Exception):
    """The access token is not accepted."""


class DailyLimit(Exception):
    """The account's quota of the day is used up."""


@dataclass(frozen=True, slots=True)
class Taken:
    """Google has it."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The offer itself is wrong. `attribute` in the spelling of feed files, "" when Google names none."""

    code: str
    message: str = field(repr=False)
    attribute: str


@dataclass(frozen=True, slots=True)
class Missing:
    """What the path or the query names is not there."""


Answer = Taken | Refused | Missing


@dataclass(frozen=True, slots=True)
class DataSource:
    """A primary product data source fed by the API. `name`: accounts/<a>/dataSources/<d>."""

    name: str
    display_name: str
    language: str
    label: str


@dataclass(frozen=True, slots=True)
class Page:
    """Processed products, and the token of the next page."""

    products: Sequence[Mapping[str, Any]]
    next_token: str | None


def input_name(language: str, label: str, offer_id: str) -> str:
    """Last segment of a product input's name.

    >>> input_name("en", "US", "1_2"), input_name("en", "US", "a/b")
    ('en~US~1_2', 'ZW5-VVN-YS9i')
    """
    parts = (language, label, offer_id)
    plain = "~".join(parts)
    if all(_SIMPLE.fullmatch(part) for part in parts):
        return plain
    return base64.urlsafe_b64encode(plain.encode()).rstrip(b"=").decode()


def quota_returns_at(now: datetime) -> datetime:
    """12:10 UTC after the next noon UTC behind `now`."""
    noon = datetime.combine(now.astimezone(UTC).date(), QUOTA_RETURNS)
    return (noon if noon > now else noon + timedelta(days=1)) + QUOTA_SLACK


class Merchant:
    """One merchant account with one access token."""

    def __init__(self, ctx: JobContext, account: str, token: str) -> None:
        self._http = ctx.http
        self._base = ctx.setting(SETTING_BASE_URL) or BASE_URL
        self._account = f"accounts/{quote(account.strip(), safe='')}"
        self._headers = {"Authorization": f"Bearer {token}"}

    def __repr__(self) -> str:
        return f"Merchant({self._account})"  # the token stays out of sight

    # Product inputs.

    def insert(
        self, data_source: str, offer_id: str, language: str, label: str, attributes: Mapping[str, Any]
    ) -> Answer:
        """Write a whole product input."""
        body = {
            "offerId": offer_id,
            "contentLanguage": language,
            "feedLabel": label,
            "productAttributes": dict(attributes),
        }
        return self._write("POST", "productInputs:insert", {"dataSource": data_source}, body)

    def patch(self, data_source: str, name: str, attributes: Mapping[str, Any], mask: Sequence[str]) -> Answer:
        """Set attributes of an input; one that is in the mask and not in `attributes` is taken away."""
        query = {"dataSource": data_source, "updateMask": ",".join(f"productAttributes.{each}" for each in mask)}
        return self._write("PATCH", f"productInputs/{name}", query, {"productAttributes": dict(attributes)})

    def delete(self, data_source: str, name: str) -> Answer:
        """Take an input away; Missing when it was not there."""
        return self._write("DELETE", f"productInputs/{name}", {"dataSource": data_source}, None)

    # Reading.

    def products(self, page_token: str | None) -> Page:
        """A page of processed products, of all data sources."""
        query = {"pageSize": str(PRODUCTS_PAGE), **({"pageToken": page_token} if page_token else {})}
        said = self._read("GET", f"products/v1/{self._account}/products?{urlencode(query)}")
        products = said.get("products")
        return Page(products if isinstance(products, list) else [], str(said.get("nextPageToken") or "") or None)

    def data_sources(self) -> list[DataSource]:
        """The account's primary product data sources that are no files."""
        found: list[DataSource] = []
        token = ""
        while True:
            query = {"pageSize": str(DATA_SOURCES_PAGE), **({"pageToken": token} if token else {})}
            said = self._read("GET", f"datasources/v1/{self._account}/dataSources?{urlencode(query)}")
            found += [source for each in said.get("dataSources") or () if (source := _data_source(each))]
            token = str(said.get("nextPageToken") or "")
            if not token:
                return found

    def create_data_source(self, display_name: str, *, language: str, label: str) -> str:
        """Make a data source for inputs by the API; its name."""
        primary = {"contentLanguage": language, "feedLabel": label, "countries": [label]}
        body = {"displayName": display_name, "primaryProductDataSource": primary}
        said = self._read("POST", f"datasources/v1/{self._account}/dataSources", body)
        name = said.get("name")
        if not isinstance(name, str) or not name:
            raise Transient("GOOGLE_MERCHANT_ANSWER_UNREADABLE", "a data source without a name")
        return name

    # Inside.

    def _write(self, method: str, what: str, query: Mapping[str, str], body: Any) -> Answer:
        path = f"products/v1/{self._account}/{what}?{urlencode(query, safe='/,')}"
        answer = self._send(method, path, body)
        if answer.status == 404:
            return Missing()
        if answer.status == 400:
            return read_refusal(answer)
        return Taken()

    def _read(self, method: str, path: str, body: Any = None) -> Mapping[str, Any]:
        answer = self._send(method, path, body)
        if answer.status == 404:
            raise Permanent("GOOGLE_FORBIDDEN", "the merchant account is not there")
        if answer.status == 400:
            raise Permanent("GOOGLE_REQUEST_REFUSED", read_refusal(answer).code)
        said = answer.json()
        return said if isinstance(said, dict) else {}

    def _send(self, method: str, path: str, body: Any) -> Response:
        """Send; the answer if it is 2xx, 400 or 404."""
        answer = self._http.request(
            method,
            f"{self._base}/{path}",
            vendor=VENDOR,
            headers=self._headers,
            json=body,
            timeout_s=TIMEOUT_S,
            ok=ANSWERED,
        )
        match answer.status:
            case 401:
                raise Unauthorized
            case 403:
                raise Permanent("GOOGLE_FORBIDDEN", _facts(answer)[0])
            case 409 | 412:
                raise Transient("GOOGLE_CONFLICT", f"status {answer.status}")
            case 429:
                raise _too_much(answer)
        return answer


def read_refusal(answer: Response) -> Refused:
    """What a 400 says of the offer."""
    reason, message, attribute = _facts(answer)
    return Refused(reason, message, attribute)


def _too_much(answer: Response) -> Exception:
    reason, message, _ = _facts(answer)
    if any(word in f"{reason} {message}" for word in DAILY_LIMIT):
        return DailyLimit()
    after_s = retry_after_s(answer.headers)
    return RateLimited(RATE_WAIT_S if after_s is None else after_s, "RATE_LIMITED", "Google's quota per minute")


def _facts(answer: Response) -> tuple[str, str, str]:
    """(reason, message, attribute) of an error."""
    try:
        said: Any = json.loads(answer.body)
    except ValueError:
        said = {}
    error = said.get("error") if isinstance(said, dict) else None
    error = error if isinstance(error, dict) else {}
    reason, place = str(error.get("status") or f"HTTP_{answer.status}"), ""
    for detail in error.get("details") or ():
        facts = detail.get("metadata") if isinstance(detail, dict) else None
        if isinstance(facts, dict):
            reason = str(facts.get("REASON") or detail.get("reason") or reason)
            place = str(facts.get("FIELD_LOCATION") or place)
        for violation in detail.get("fieldViolations") or () if isinstance(detail, dict) else ():
            place = place or str(violation.get("field") or "")
    return (reason if _WORD.fullmatch(reason) else "UNKNOWN"), str(error.get("message") or "")[:1000], _attribute(place)


def _attribute(place: str) -> str:
    """productInput.productAttributes.imageLink -> image_link."""
    last = place.rsplit("productAttributes.", 1)[-1].split(".")[0].split("[")[0]
    return re.sub(r"(?<=[a-z0-9])([A-Z])", lambda m: "_" + m[1].lower(), last)


def _data_source(said: Any) -> DataSource | None:
    primary = said.get("primaryProductDataSource") if isinstance(said, dict) else None
    if not isinstance(primary, dict) or said.get("fileInput"):
        return None
    texts = (said.get("name"), said.get("displayName"), primary.get("contentLanguage"), primary.get("feedLabel"))
    return DataSource(*(str(text or "") for text in texts))
