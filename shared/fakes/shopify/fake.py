"""The fake in a test's hands: start it, give it shops, order trouble, read what was asked."""

from __future__ import annotations

import json
import shutil
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from graphql import GraphQLError

from shared.fakes import serving
from shared.fakes.shopify.cost import requested_cost
from shared.fakes.shopify.execute import Answer
from shared.fakes.shopify.faults import Fault, Faults
from shared.fakes.shopify.orders import OrderBase
from shared.fakes.shopify.schema import BadRequest, Documents, load_schema
from shared.fakes.shopify.server import Handler
from shared.fakes.shopify.shop import Shop

REQUESTS_KEPT = 20_000
DEFAULT_SCOPES = (
    "read_orders", "read_all_orders", "read_products", "read_customers", "read_inventory", "read_locations",
    "write_inventory",
)  # fmt: skip


@dataclass(frozen=True)
class Recorded:
    """One request as it was answered. `status` 0: the connection was held until the client gave up."""

    shop: str
    method: str
    path: str
    operation: str
    variables: dict[str, Any]
    status: int
    requested: int | None = None
    actual: int | None = None
    range: str | None = None
    query: str = field(default="", repr=False)
    error: str | None = None

    def shown(self) -> dict[str, Any]:
        """For /_fake/requests: without the text of the query."""
        return {name: value for name, value in asdict(self).items() if name != "query"}


class ShopifyFake:
    """A running fake. Use `ShopifyFake.start(...)`, and `stop()` or a with-block."""

    def __init__(self, documents: Documents, state_dir: Path, now: Callable[[], datetime]) -> None:
        self.documents, self.state_dir, self.now = documents, state_dir, now
        self.shops: dict[str, Shop] = {}
        self.faults = Faults()
        self.requests: deque[Recorded] = deque(maxlen=REQUESTS_KEPT)
        self.stopping = threading.Event()
        self.base_url = ""
        self._server: serving.Server | None = None
        self._scratch: tempfile.TemporaryDirectory[str] | None = None

    @classmethod
    def start(
        cls,
        schema_path: Path,
        *,
        port: int = 0,
        state_dir: Path | None = None,
        now: Callable[[], datetime] | None = None,
    ) -> ShopifyFake:
        """Serve on 127.0.0.1 (port 0: any free one). `now` gives aware instants; `state_dir` keeps the bulk files.

        Raises OSError when the port is taken.
        """
        scratch = None if state_dir else tempfile.TemporaryDirectory(prefix="shopify-fake-")
        folder = state_dir or Path(scratch.name if scratch else "")
        fake = cls(Documents(load_schema(schema_path)), folder, now or (lambda: datetime.now(UTC)))
        fake._scratch = scratch
        server = fake._server = serving.Server(port, fake, Handler)
        fake.base_url = f"http://127.0.0.1:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return fake

    def stop(self) -> None:
        """Stop serving; requests that are held end now."""
        self.stopping.set()
        for shop in self.shops.values():
            shop.bulk.close()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
        if self._scratch is not None:
            self._scratch.cleanup()

    def __enter__(self) -> ShopifyFake:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def shop(
        self,
        domain: str,
        token: str = "fake-access-token",
        scopes: Iterable[str] = DEFAULT_SCOPES,
        currency: str = "USD",
        *,
        base: OrderBase | None = None,
    ) -> Shop:
        """Open a shop; a second call with its domain opens it anew, without what was. `base`: orders made on demand."""
        before = self.shops.pop(domain, None)
        if before is not None:
            before.bulk.close()
            shutil.rmtree(self.state_dir / domain, ignore_errors=True)
        self.shops[domain] = Shop(
            domain,
            token,
            scopes,
            currency,
            folder=self.state_dir / domain,
            documents=self.documents,
            now=self.now,
            url_of=lambda number: f"{self.base_url}/{domain}/bulk/{number}.jsonl",
            base=base,
        )
        return self.shops[domain]

    def fail(self, kind: str | int, count: int = 1, **more: Any) -> None:
        """Have the next `count` matching requests fail; keywords are those of Fault (shop, match, retry_after, ...)."""
        self.faults.add(Fault(str(kind), count, **more))

    def cost_of(self, query: str, variables: dict[str, Any] | None = None) -> int:
        """The requested cost of a query, in points. Raises BadRequest when the schema refuses it."""
        operation = self.documents.operation(query)
        return requested_cost(operation, self.documents.variables(operation, variables or {}))

    def requests_of(self, shop: str | None = None, operation: str | None = None) -> list[Recorded]:
        """The recorded requests of a shop, of an operation; oldest first."""
        return [
            each for each in list(self.requests) if shop in (None, each.shop) and operation in (None, each.operation)
        ]

    def record(
        self, shop: str, method: str, path: str, body: bytes, made: Answer, asked_range: str | None = None
    ) -> None:
        """Keep what was asked and how it was answered."""
        try:
            request = json.loads(body) if body else {}
            query, variables = str(request.get("query", "")), request.get("variables") or {}
        except (ValueError, AttributeError):
            query, variables = "", {}
        name = made.operation or self._name_of(query)
        errors = made.body.get("errors")
        code = errors[0].get("extensions", {}).get("code") if isinstance(errors, list) else None
        self.requests.append(
            Recorded(
                shop, method, path, name, variables, made.status, made.requested, made.actual, asked_range, query, code
            )
        )

    def totals(self) -> list[dict[str, Any]]:
        """Of every shop: how many orders it has, and the sum of their totals before refunds, in cents."""
        return [
            {"domain": domain, "orders": len(shop.orders), "grossCents": shop.orders.gross_cents()}
            for domain, shop in sorted(self.shops.items())
        ]

    def _name_of(self, query: str) -> str:
        try:
            operation = self.documents.operation(query)
        except (BadRequest, GraphQLError):
            return ""
        return operation.name or operation.fields[0].name
