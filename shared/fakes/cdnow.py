"""Real purchases as Shopify orders: the CDNOW log, every order made on demand from a few compact arrays.

69,659 purchases of 23,570 customers, 2,500,315.63 dollars in all (Fader and Hardie 2001; the file comes from
vendor_files). What the log says is kept to the cent: the customer, the day, the number of CDs and the dollars,
which are `totalPriceSet` (before refunds). Everything else follows from the customer id and the number of the
purchase by fixed rules, so that two processes, or two days, see the same shop:

- All days move by one whole number of days, so that the log's last day is `last_day`.
- Orders are numbered by the time they were placed. One line item carries all CDs; when the dollars do not divide, a
  second one of one CD takes the cents left over. No tax, no shipping.
- 12 of 100 customers use a creator's code: the list price is then higher, the allocation brings it back to the
  dollars of the log.
- 40 of 100 customers came by a link with utm tags and mostly a click id.
- Of 100 orders 2 are cancelled (every other one refunded, else voided), 1 is refunded whole, 2 in part; the rest is
  sent after a day and arrives after four. What would fall behind the last day has not happened yet.
"""

from __future__ import annotations

import uuid
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from shared.fakes.cdnow_order import DAY_S, CdnowOrder, Fate, mix
from shared.fakes.shopify.search import Facts

LOG_LAST_DAY = date(1998, 6, 30)
CREATOR_CODES = ("MAYA10", "JONAS10", "PRIYA10", "LUCA10", "ELENA10", "OMAR10")  # 10 % off; each belongs to one creator
FIRST_ORDER_ID = 4_000_000_001
TRICKLE_FIRST_ORDER_ID = 5_000_000_001
TRICKLE_ORDERS = 500  # orders of the second demo shop


@dataclass(frozen=True)
class PurchaseLog:
    """The log in the order of time. One entry per purchase in every array."""

    customer: array[int]
    sequence: array[int]  # 1 = first purchase of that customer
    placed_s: array[int]  # seconds since 1970 of the log's own days, at a fixed time of the day
    cds: array[int]
    cents: array[int]

    def __len__(self) -> int:
        return len(self.customer)

    @property
    def gross_cents(self) -> int:
        """The dollars of all purchases, in cents."""
        return sum(self.cents)


def read_log(path: Path) -> PurchaseLog:
    """Read the file: a heading, then "customer yyyymmdd number_of_cds dollar_value". About 0.3 s. Raises ValueError."""
    rows: list[tuple[int, int, int, int, int]] = []
    seen: dict[int, int] = {}
    days: dict[str, int] = {}
    with path.open(encoding="ascii") as file:
        next(file)
        for number, line in enumerate(file, start=2):
            parts = line.split()
            if len(parts) != 4:
                raise ValueError(f"{path.name} line {number}: expected 4 columns, found {len(parts)}")
            customer, day, dollars = int(parts[0]), parts[1], parts[3]
            if day not in days:
                days[day] = int(datetime.strptime(day, "%Y%m%d").replace(tzinfo=UTC).timestamp())
            sequence = seen[customer] = seen.get(customer, 0) + 1
            whole, _, part = dollars.partition(".")
            cents = int(whole) * 100 + int(part.ljust(2, "0"))
            placed = days[day] + 8 * 3600 + mix(customer, sequence, 1) % (14 * 3600)
            rows.append((placed, customer, sequence, int(parts[2]), cents))
    rows.sort()
    columns = list(zip(*rows, strict=True)) or [(), (), (), (), ()]
    placed_s, customers, sequences, cds, amounts = (array("q", column) for column in columns)
    return PurchaseLog(customers, sequences, placed_s, cds, amounts)


class Webhook(NamedTuple):
    """One delivery. A second delivery of the same event has the same event id."""

    topic: str
    event_id: str
    body: dict[str, Any]
    triggered_at: datetime


class CdnowOrders:
    """The log (or its last purchases) as the orders of one shop; an OrderBase for `ShopifyFake.shop(..., base=...)`."""

    def __init__(
        self,
        log: PurchaseLog,
        last_day: date,
        *,
        last: int | None = None,
        first_id: int = FIRST_ORDER_ID,
        currency: str = "USD",
    ) -> None:
        self.currency = currency
        self.first_id = first_id
        self._log = log
        self._start = 0 if last is None else max(0, len(log) - last)
        self._shift_s = (last_day - LOG_LAST_DAY).days * DAY_S
        self._end_s = int(datetime(last_day.year, last_day.month, last_day.day, tzinfo=UTC).timestamp()) + DAY_S - 1

    def __len__(self) -> int:
        return len(self._log) - self._start

    def __contains__(self, legacy_id: object) -> bool:
        return isinstance(legacy_id, int) and 0 <= legacy_id - self.first_id < len(self)

    @property
    def gross_cents(self) -> int:
        """Sum of totalPriceSet of all orders of this shop, in cents."""
        return sum(self._log.cents[self._start :])

    def facts(self) -> Iterator[Facts]:
        """Ids and instants of all orders, ascending."""
        for at in range(self._start, len(self._log)):
            created = self._log.placed_s[at] + self._shift_s
            yield Facts(self.first_id + at - self._start, created, self._fate(at).updated_s(created), created)

    def order_of_refund(self, refund_id: int) -> int | None:
        """Refund ids are the order's id and a 5."""
        order_id, kind = divmod(refund_id, 10)
        if kind != 5 or order_id not in self or not self._fate(self._at(order_id)).refund:
            return None
        return order_id

    def total_cents(self, legacy_id: int) -> int:
        """totalPriceSet in cents. KeyError when the shop has no such order."""
        if legacy_id not in self:
            raise KeyError(legacy_id)
        return self._log.cents[self._at(legacy_id)]

    def node(self, legacy_id: int) -> dict[str, Any]:
        """The order in the shape of the schema; parts are shared between orders, copy what you want to change.

        KeyError when the shop has no such order.
        """
        if legacy_id not in self:
            raise KeyError(legacy_id)
        at, log = self._at(legacy_id), self._log
        order = CdnowOrder(
            legacy_id=legacy_id,
            number=1001 + legacy_id - self.first_id,
            customer=log.customer[at],
            customer_id=2 * self.first_id + log.customer[at],
            cds=log.cds[at],
            total=log.cents[at],
            created_s=log.placed_s[at] + self._shift_s,
            fate=self._fate(at),
            currency=self.currency,
        )
        return order.node()

    def webhooks(self, domain: str, count: int) -> list[Webhook]:
        """Deliveries of the first `count` orders: create and updated each.

        Every fifth order's create comes late, every seventh order's deliveries come twice.
        """
        timed: list[tuple[int, Webhook]] = []
        for nth in range(min(count, len(self))):
            order_id = self.first_id + nth
            created, updated = self._webhooks_of(domain, order_id)
            timed.append((4 * nth + (11 if nth % 5 == 3 else 0), created))
            timed.append((4 * nth + 2, updated))
            if nth % 7 == 2:
                timed += [(4 * nth + 17, created), (4 * nth + 3, updated)]
        return [webhook for _, webhook in sorted(timed, key=lambda each: each[0])]

    def _webhooks_of(self, domain: str, order_id: int) -> tuple[Webhook, Webhook]:
        node = self.node(order_id)
        found = []
        for topic, moment in (("orders/create", node["createdAt"]), ("orders/updated", node["updatedAt"])):
            event_id = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{domain}/{order_id}/{topic}/{moment}"))
            found.append(Webhook(topic, event_id, _webhook_body(node, moment), datetime.fromisoformat(moment)))
        return found[0], found[1]

    def _at(self, legacy_id: int) -> int:
        return self._start + legacy_id - self.first_id

    def _fate(self, at: int) -> Fate:
        """The rules of the module's head for one purchase."""
        log = self._log
        customer, cents = log.customer[at], log.cents[at]
        created = log.placed_s[at] + self._shift_s
        code = (
            CREATOR_CODES[mix(customer, 0, 3) % len(CREATOR_CODES)]
            if cents and mix(customer, 0, 2) % 100 < 12
            else None
        )
        lot = mix(customer, log.sequence[at], 4) % 200
        cancelled = self._happened(created + 5 * 3600) if lot < 4 else 0
        if cancelled:
            voided = lot < 2 or not cents
            return Fate(code, cancelled, voided, "" if voided else "full", 0 if voided else cancelled, 0, 0)
        sent = self._happened(created + DAY_S)
        delivered = self._happened(created + 4 * DAY_S)
        refunded = self._happened(created + 9 * DAY_S) if 4 <= lot < 10 and cents else 0
        kind = ("full" if lot < 6 else "part") if refunded else ""
        return Fate(code, 0, False, kind, refunded, sent, delivered)

    def _happened(self, moment_s: int) -> int:
        return moment_s if moment_s <= self._end_s else 0


def yesterday(now: datetime) -> date:
    """The day before `now` in UTC: where the log ends unless it is anchored elsewhere."""
    return (now.astimezone(UTC) - timedelta(days=1)).date()


def whole_log(log: PurchaseLog, last_day: date) -> CdnowOrders:
    """Tenant one: every purchase of the log."""
    return CdnowOrders(log, last_day)


def trickle(log: PurchaseLog, last_day: date, count: int = TRICKLE_ORDERS) -> CdnowOrders:
    """Tenant two: the last purchases of the log, with ids of their own."""
    return CdnowOrders(log, last_day, last=count, first_id=TRICKLE_FIRST_ORDER_ID)


def anchored_last_day(state_dir: Path, now: datetime) -> date:
    """The last day of the log for this state directory: yesterday when it is first asked, the same ever after."""
    anchor = state_dir / "cdnow-last-day"
    if not anchor.exists():
        anchor.parent.mkdir(parents=True, exist_ok=True)
        anchor.write_text(yesterday(now).isoformat(), encoding="ascii")
    return date.fromisoformat(anchor.read_text(encoding="ascii").strip())


def webhooks(orders: CdnowOrders, domain: str, count: int) -> list[Webhook]:
    """The live trickle of a shop; see CdnowOrders.webhooks."""
    return orders.webhooks(domain, count)


def _webhook_body(node: dict[str, Any], updated_at: str) -> dict[str, Any]:
    """The REST shape in which webhooks tell of an order; `updated_at` is that of the event, not of the order now."""
    lines = node["lineItems"]["nodes"]
    return {
        "id": int(node["legacyResourceId"]),
        "admin_graphql_api_id": node["id"],
        "name": node["name"],
        "created_at": node["createdAt"],
        "processed_at": node["processedAt"],
        "updated_at": updated_at,
        "cancelled_at": node["cancelledAt"],
        "currency": node["currencyCode"],
        "total_price": node["totalPriceSet"]["shopMoney"]["amount"],
        "financial_status": node["displayFinancialStatus"].lower(),
        "test": node["test"],
        "customer": {"id": int(node["customer"]["legacyResourceId"])},
        "line_items": [{"id": int(line["id"].rsplit("/", 1)[-1]), "quantity": line["quantity"]} for line in lines],
    }
