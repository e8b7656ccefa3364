"""The fake: its accounts, what was asked, the trouble that is ordered, and how it answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from shared.fakes import serving
from shared.fakes.merchant.account import Account, Input
from shared.fakes.merchant.rules import KNOWN, Problem, attributes_problem, input_problem, source_problem
from shared.fakes.merchant.tokens import Tokens

REVIEW_S = 900.0
PAGE_MAX = 1000
NETWORK = ("timeout", "cut")
"""Faults of the network: no answer and nothing done; done, but the answer is lost."""
STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    412: "FAILED_PRECONDITION",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
}
QUOTAS = {"rate": "quota/request_rate_too_high", "daily": "quota/daily_limit_exceeded"}


@dataclass(frozen=True)
class Answer:
    """Status, JSON and headers."""

    status: int
    body: dict[str, Any]
    headers: dict[str, str] = field(default_factory=dict)
    problem: str = ""


@dataclass(frozen=True)
class Asked:
    """One request to the API, and how it was answered. `what`: insert, patch, delete, products, sources, source."""

    what: str
    status: int
    path: str
    query: Mapping[str, str]
    body: Any
    problem: str = ""

    @property
    def mask(self) -> list[str]:
        """The update mask of a patch."""
        return self.query.get("updateMask", "").split(",")


@dataclass
class Fault(serving.Fault):
    """Further kinds: rate, daily. A field and message go with a 400."""

    retry_after: str | None = None
    field: str = ""
    message: str = "On demand."


class MerchantFake(serving.Fake[Fault]):
    """A running fake. Use `MerchantFake.start(...)`, and `stop()` or a with-block."""

    fault = Fault

    def __init__(self, now: Callable[[], datetime], review_s: float) -> None:
        super().__init__()
        self.now, self.review_s = now, review_s
        self.tokens = Tokens(now)
        self.accounts: dict[str, Account] = {}
        self.asked: list[Asked] = []
        self.token_requests = 0
        self.before: Callable[[str, Any], None] | None = None
        """Called with (what, body) of each request before it is answered: tests let the world move in between."""

    @classmethod
    def start(
        cls, *, port: int = 0, now: Callable[[], datetime] | None = None, review_s: float = REVIEW_S
    ) -> MerchantFake:
        """Serve on 127.0.0.1 (port 0: any free one). `review_s`: until a product has its verdict. Raises OSError."""
        from shared.fakes.merchant.server import Handler

        fake = cls(now or (lambda: datetime.now(UTC)), review_s)
        return fake.serve(port, Handler)

    def account(
        self,
        id: str,
        *,
        refresh_token: str | None = None,
        client: tuple[str, str] = ("client-id", "client-secret"),
        service: tuple[str, str] | None = None,
    ) -> Account:
        """Make an account that a refresh token opens, or a service account (client_email, public key as PEM)."""
        made = self.accounts[id] = Account(id, self.now, self.review_s)
        if refresh_token is not None:
            _, _, opens = self.tokens.clients.get(refresh_token, ("", "", set()))
            self.tokens.clients[refresh_token] = (*client, opens | {id})
        if service is not None:
            self.tokens.services[service[0]] = (service[1], {id})
        return made

    def revoke(self) -> None:
        """Tokens that were given open nothing any more."""
        with self.lock:
            self.tokens.given.clear()

    def forget(self) -> None:
        """Forget what was asked."""
        with self.lock:
            self.asked.clear()

    def asks(self, *what: str) -> list[Asked]:
        """What was asked, of these kinds or of all."""
        return [each for each in self.asked if not what or each.what in what]

    def problems(self) -> list[str]:
        """Everything that any request did against the documentation."""
        return [asked.problem for asked in self.asked if asked.problem]

    def shown(self) -> list[dict[str, Any]]:
        """The state of every product, for people."""
        with self.lock:
            return [_shown(account, each) for account in self.accounts.values() for each in account.held().values()]

    # Answering.

    def answer(self, what: str, account_id: str, rest: str, query: Mapping[str, str], token: str, body: Any) -> Answer:
        """Answer a request to the API."""
        with self.lock:
            opens = self.tokens.accounts_of(token)
            if opens is None:
                return error(401, "UNAUTHENTICATED", "Request had invalid authentication credentials.")
            account = self.accounts.get(account_id)
            if account is None or account_id not in opens:
                return error(403, "PERMISSION_DENIED_ACCOUNTS", "The caller does not have access to the accounts.")
            match what:
                case "products":
                    return _page(account.products(), "products", query)
                case "sources":
                    return _page(list(account.sources.values()), "dataSources", query)
                case "source":
                    return _make_source(account, body)
            if (quota := account.over_quota()) is not None:
                return error(429, quota, "Quota exceeded.")
            return _write(account, what, rest, query, body)


def _write(account: Account, what: str, name: str, query: Mapping[str, str], body: Any) -> Answer:
    source = account.sources.get(query.get("dataSource", ""))
    if not query.get("dataSource"):
        return _wrong(("MISSING_DATA_SOURCE", "dataSource is required.", "dataSource"))
    if source is None:
        return error(404, "DATA_SOURCE_NOT_FOUND", "The data source was not found.")
    if what == "insert":
        return _insert(account, source, body)
    found = account.find(source["name"], name)
    if found is None:
        return error(404, "PRODUCT_INPUT_NOT_FOUND", "The product input was not found.")
    if what == "delete":
        account.delete(found)
        return Answer(200, {})
    return _patch(account, found, query.get("updateMask", ""), body)


def _insert(account: Account, source: Mapping[str, Any], body: Any) -> Answer:
    if (problem := input_problem(body)) is not None:
        return _wrong(problem)
    if source.get("fileInput"):
        return _wrong(("DATA_SOURCE_NOT_API", "The data source takes files.", "dataSource"))
    primary = source["primaryProductDataSource"]
    if (primary["contentLanguage"], primary["feedLabel"]) != (body["contentLanguage"], body["feedLabel"]):
        return _wrong(("LABEL_MISMATCH", "Language and label are not those of the data source.", "feedLabel"))
    made = account.insert(source["name"], body)
    return Answer(200, {"name": f"{account.path}/productInputs/{made.name}", **body})


def _patch(account: Account, found: Input, mask: str, body: Any) -> Answer:
    attributes = body.get("productAttributes", {}) if isinstance(body, dict) else None
    if (problem := attributes_problem(attributes)) is not None:
        return _wrong(problem)
    names = [name.removeprefix("productAttributes.") for name in mask.split(",")]
    if not mask or not all(name in KNOWN for name in names):
        return _wrong(("INVALID_UPDATE_MASK", f"updateMask: {mask}", "updateMask"))
    if stray := sorted(set(attributes or {}) - set(names)):
        return _wrong(("INVALID_UPDATE_MASK", f"{stray[0]} is not in the mask and would be ignored.", "updateMask"))
    account.patch(found, attributes or {}, names)
    return Answer(200, {"name": f"{account.path}/productInputs/{found.name}", "offerId": found.offer_id})


def _make_source(account: Account, body: Any) -> Answer:
    if (problem := source_problem(body)) is not None:
        return _wrong(problem)
    primary = body["primaryProductDataSource"]
    name = account.source(body["displayName"], language=primary["contentLanguage"], label=primary["feedLabel"])
    account.sources[name]["primaryProductDataSource"] = primary
    return Answer(200, account.sources[name])


def _page(items: list[dict[str, Any]], name: str, query: Mapping[str, str]) -> Answer:
    size, first = min(int(query.get("pageSize") or 25), PAGE_MAX), int(query.get("pageToken") or 0)
    more = {"nextPageToken": str(first + size)} if first + size < len(items) else {}
    return Answer(200, {name: items[first : first + size], **more})


def _wrong(problem: Problem) -> Answer:
    reason, message, place = problem
    return error(400, reason, message, place=place, problem=f"{reason}: {message}")


def error(
    status: int, reason: str, message: str, *, place: str = "", headers: dict[str, str] | None = None, problem: str = ""
) -> Answer:
    """An error as Google words it: AIP-193, with REASON and FIELD_LOCATION in the metadata of ErrorInfo."""
    facts = {"REASON": reason, **({"FIELD_LOCATION": place} if place else {})}
    detail = {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": reason.replace("/", "_").upper(),
        "domain": "merchantapi.googleapis.com",
        "metadata": facts,
    }
    said = {"code": status, "message": message, "status": STATUSES.get(status, "UNKNOWN"), "details": [detail]}
    return Answer(status, {"error": said}, headers or {}, problem)


def ordered(fault: Fault) -> Answer:
    """The answer that a fault asks for."""
    headers = {"Retry-After": fault.retry_after} if fault.retry_after else {}
    if fault.kind in QUOTAS:
        return error(429, QUOTAS[fault.kind], "Quota exceeded.", headers=headers)
    status = int(fault.kind)
    return error(status, "ON_DEMAND", fault.message, place=fault.field, headers=headers)


def _shown(account: Account, each: Input) -> dict[str, Any]:
    standing, issues = account.standing(each)
    return {
        "account": account.id,
        "offerId": each.offer_id,
        "language": each.language,
        "feedLabel": each.label,
        "title": each.attributes.get("title"),
        "price": each.attributes.get("price"),
        "salePrice": each.attributes.get("salePrice"),
        "availability": each.attributes.get("availability"),
        "imageLink": each.attributes.get("imageLink"),
        "status": standing,
        "issues": [f"{i['code']} ({i['severity']})" for i in issues],
        "inserts": each.inserts,
        "patches": each.patches,
        "insertedAt": each.inserted_at.isoformat(),
        "changedAt": each.changed_at.isoformat(),
    }


def parsed(body: bytes) -> Any:
    """A body as JSON; None when it is none."""
    try:
        return json.loads(body) if body else None
    except ValueError:
        return None
