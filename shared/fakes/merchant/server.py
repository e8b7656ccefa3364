"""The HTTP face of the fake."""

from __future__ import annotations

import re
from dataclasses import asdict
from html import escape
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from shared.fakes import serving
from shared.fakes.merchant.fake import NETWORK, Answer, Asked, MerchantFake, error, ordered, parsed

ROUTES = (
    ("POST", re.compile(r"/products/v1/accounts/([^/]+)/productInputs:insert()"), "insert"),
    ("PATCH", re.compile(r"/products/v1/accounts/([^/]+)/productInputs/([^/]+)"), "patch"),
    ("DELETE", re.compile(r"/products/v1/accounts/([^/]+)/productInputs/([^/]+)"), "delete"),
    ("GET", re.compile(r"/products/v1/accounts/([^/]+)/products()"), "products"),
    ("GET", re.compile(r"/datasources/v1/accounts/([^/]+)/dataSources()"), "sources"),
    ("POST", re.compile(r"/datasources/v1/accounts/([^/]+)/dataSources()"), "source"),
)
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; color: #1f2933; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .4rem .6rem; border-bottom: 1px solid #d9e2ec; vertical-align: top; }
"""


class Handler(serving.Handler):
    """One request."""

    @property
    def fake(self) -> MerchantFake:
        fake: MerchantFake = self.server.fake
        return fake

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if path == "/":
            self._page()
        elif path == "/_fake/products":
            self._json(Answer(200, {"products": self.fake.shown()}))
        elif path == "/_fake/health":
            self._json(Answer(200, {"ok": True, "accounts": sorted(self.fake.accounts)}))
        elif path == "/_fake/requests":
            self._json(Answer(200, {"requests": [asdict(each) for each in self.fake.asked]}))
        else:
            self._api()

    def do_POST(self) -> None:
        path = urlsplit(self.path).path
        if path == "/token":
            self.fake.token_requests += 1
            with self.fake.lock:
                status, said = self.fake.tokens.answer(dict(parse_qsl(self.body().decode())))
            self._json(Answer(status, said))
        elif path == "/_fake/faults":
            self.order_fault()
        else:
            self._api()

    def do_PATCH(self) -> None:
        self._api()

    def do_DELETE(self) -> None:
        if urlsplit(self.path).path == "/_fake/faults":
            self.forget_faults()
        else:
            self._api()

    def _api(self) -> None:
        """A request to the API, with whatever trouble is ordered for it."""
        fake, raw, parts = self.fake, self.body(), urlsplit(self.path)
        found = next(((m, w) for v, r, w in ROUTES if v == self.command and (m := r.fullmatch(parts.path))), None)
        if found is None:
            self._json(error(404, "NOT_FOUND", "The requested URL was not found."))
            return
        (account, name), what = found[0].groups(), found[1]
        body, query = parsed(raw), dict(parse_qsl(parts.query))
        if fake.before is not None:
            fake.before(what, body)
        fault = fake.next_fault(f"{what} {unquote(self.path)} {raw.decode('utf-8', 'replace')}")
        if fault is None or fault.kind == "cut":
            answer = fake.answer(what, account, unquote(name), query, self.bearer() or "", body)
        elif fault.kind == "timeout":
            answer = Answer(0, {})
        else:
            answer = ordered(fault)
        with fake.lock:
            fake.asked.append(Asked(what, answer.status, unquote(parts.path), query, body, answer.problem))
        if fault is not None and fault.kind in NETWORK:
            self.hang_up(fault)
            return
        self._json(answer)

    def _page(self) -> None:
        """The products, for people."""
        names = ("offerId", "title", "status", "availability", "price", "issues", "changedAt")
        rows = ("".join(f"<td>{escape(_cell(each[name]))}</td>" for name in names) for each in self.fake.shown())
        head = "".join(f"<th>{name}</th>" for name in names)
        table = f"<table><tr>{head}</tr>{''.join(f'<tr>{row}</tr>' for row in rows)}</table>"
        top = f'<meta charset="utf-8"><title>Merchant Center</title><style>{STYLE}</style>'
        page = f"<!doctype html><html lang=en><head>{top}</head><body><h1>Products</h1>{table}</body></html>"
        self.show(200, page)

    def _json(self, answer: Answer) -> None:
        self.say(answer.status, answer.body, answer.headers)


def _cell(value: Any) -> str:
    if isinstance(value, dict):
        return f"{int(value['amountMicros']) / 1_000_000:.2f} {value['currencyCode']}"
    return ", ".join(value) if isinstance(value, list) else str(value or "")
