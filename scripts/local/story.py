"""What scripts/dev shows: a backfill and a live trickle through the real wiring, then the figures that must agree.

What other jobs do for the demo shops is told by the chapters.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.rows import dict_row
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from scripts.local import chapters, deploy, fakes
from scripts.local.fakes import Shops, Vendors
from scripts.local.platform import Platform
from scripts.local.tenants import BACKFILL, SHOPS, TRICKLE
from scripts.local.wording import dollars
from shared.db.connections import connect
from shared.db.names import tenant_schema
from shared.events.alerts import AlertCritical
from shared.events.orders import OrderSyncBatch
from shared.events.webhooks import WebhookReceived
from shared.jobs.aws import EventBridgeBus, SqsQueues
from shared.jobs.ports import OutMessage
from shared.jobs.publisher import Publisher
from shared.jobs.registry import Registry, load_registry
from shared.jobs.ticks import tick_body

if TYPE_CHECKING:
    from shared.fakes.cdnow import CdnowOrders

PATIENCE_S = 900.0
"""Seconds without any progress after which the story is given up."""
TRICKLE_ORDERS = 500
APP = "cgk.apps.demo"
"""EventBridge source of what the demo publishes, as an app of the platform would."""

ORDERS = "SELECT count(*) AS orders, COALESCE(sum(total_cents), 0)::bigint AS cents FROM orders"
LAST_RUN = """
SELECT status, expected, checked, created, stored, stale, missing, failed, started_at, completed_at
FROM order_sync_runs ORDER BY started_at DESC LIMIT 1
"""
CREDITS = """
SELECT count(DISTINCT conversion_id) AS orders, count(*) AS splits,
       count(*) FILTER (WHERE credited <> revenue) AS wrong
FROM (
    SELECT r.conversion_id, c.revenue, sum(r.attributed_revenue) AS credited
    FROM attribution_results r JOIN attribution_conversions c ON c.id = r.conversion_id
    GROUP BY r.conversion_id, c.revenue, r.model, r.attribution_window
) AS split
"""
COMMISSIONS = """
SELECT c.promo_code AS creator, count(*) AS orders, sum(c.net_sales_cents)::bigint AS sales,
       sum(c.commission_cents)::bigint AS commission
FROM commissions c GROUP BY c.promo_code ORDER BY commission DESC
"""
ALERT_TITLE = "Demo: the shop answers slowly"
ALERTED = "SELECT count(*) AS n FROM jobs.runs WHERE job = 'alert-critical' AND ended_at IS NOT NULL"
CRON = "commerce-order-reconciliation-scheduled"
FANNED_OUT = """
SELECT t.tenants, t.due, t.sent, t.failed, to_char(t.tick_at, 'HH24:MI') AS tick
FROM jobs.ticks t WHERE t.job = 'commerce-order-reconciliation-scheduled' AND t.state = 'done'
ORDER BY t.tick_at DESC LIMIT 1
"""
LEDGER = (
    "SELECT tenant, job, state, count(*) AS n FROM jobs.runs GROUP BY tenant, job, state ORDER BY tenant, job, state"
)
OPEN_RUNS = "SELECT count(*) AS n FROM jobs.claims WHERE state IN ('running', 'waiting', 'continuing')"
OUTBOX = "SELECT count(*) AS n FROM jobs.outbox"


@dataclass
class Story:
    """One telling. `checks` collects (what, whether it holds) for the exit code."""

    up: Platform
    vendors: Vendors
    console: Console
    after_step: Callable[[], None] = lambda: None
    checks: list[tuple[str, bool]] = field(default_factory=list)

    @property
    def shops(self) -> Shops:
        """The running Shopify fake."""
        return self.vendors.shops

    def tell(self) -> bool:
        """Import, trickle, check, import again, check; whether all is well."""
        with connect(self.up.database.admin_url, application_name="cgk-dev") as self.admin:
            self.registry: Registry = load_registry()
            self.publisher = Publisher(EventBridgeBus("cgk", APP), SqsQueues("cgk-"), self.registry, source=APP)
            vendor = self.shops.gross()
            first = self.rows(ORDERS, BACKFILL)[0]
            if first["orders"] == vendor[SHOPS[BACKFILL]][0]:
                self.console.print(f"{first['orders']:,} orders are here from an earlier start; nothing to import.")
            else:
                self._import_all(vendor)
            chapters.tell(self)
            self._summary(vendor)
        return all(holds for _, holds in self.checks)

    def _import_all(self, vendor: dict[str, tuple[int, int]]) -> None:
        chapters.begin(self)
        started = time.monotonic()
        before = self.rows(ORDERS, BACKFILL)[0]["orders"]
        self._backfill("onboarding", vendor[SHOPS[BACKFILL]][0], trickle=True)
        seconds = time.monotonic() - started
        stored = self.rows(ORDERS, BACKFILL)[0]["orders"] - before
        self.console.print(f"Imported {stored:,} orders in {seconds:.0f} s: {stored / seconds:,.0f} orders/s.")
        figures = self._figures()
        again = self._backfill("app", vendor[SHOPS[BACKFILL]][0], trickle=False)
        self._tick()
        self._alert()
        untouched = figures == self._figures() and again["stored"] == 0
        self.check(
            f"second backfill looked at {again['checked']:,} orders and changed nothing",
            untouched and again["checked"] == vendor[SHOPS[BACKFILL]][0],
        )

    def _figures(self) -> tuple[Any, ...]:
        """What a backfill that changes nothing leaves as it is."""
        sql = (
            "SELECT count(*), sum(total_cents), sum(refunded_cents), sum(net_sales_cents), max(updated_at) FROM orders"
        )
        return tuple(self.rows(sql, BACKFILL)[0].values())

    def _backfill(self, source: str, expected: int, *, trickle: bool) -> dict[str, Any]:
        """Ask for everything, follow the run to its end; its row."""
        asked_at = datetime.now(UTC)
        window = {"startDate": (asked_at - timedelta(days=600)).date().isoformat(), "windowBy": "created"}
        announce = {"announce": "recent", "source": source}
        self.publisher.publish(OrderSyncBatch.model_validate_json(_json(window | announce)), BACKFILL)
        deliveries = self._trickle() if trickle else iter(())
        with self._progress() as progress:
            task = progress.add_task("backfill" if trickle else "backfill again", total=expected)
            run = self._follow(asked_at, lambda done: progress.update(task, completed=done), deliveries)
        self.check(f"backfill run completed ({source})", run["status"] == "completed" and run["failed"] == 0)
        self.settle_down()
        return run

    def _follow(self, asked_at: datetime, show: Callable[[int], None], deliveries: Iterator[None]) -> dict[str, Any]:
        seen, moved = -1, time.monotonic()
        while True:
            next(deliveries, None)
            rows = [row for row in self.rows(LAST_RUN, BACKFILL) if row["started_at"] >= asked_at]
            done = rows[0]["checked"] if rows else 0
            if done != seen:
                seen, moved = done, time.monotonic()
                show(done)
            if rows and rows[0]["status"] not in ("requested", "running"):
                for _ in deliveries:
                    continue
                return rows[0]
            if time.monotonic() - moved > PATIENCE_S:
                raise TimeoutError("the backfill made no progress; look at `cgk-jobs runs` and `cgk-jobs dlq list`")
            self.after_step()
            time.sleep(0.25)

    def trickle_orders(self) -> CdnowOrders:
        """The orders of the second shop."""
        from shared.fakes import cdnow

        day = cdnow.anchored_last_day(self.shops.log.parent, datetime.now(UTC))
        return cdnow.trickle(cdnow.read_log(self.shops.purchases), day, TRICKLE_ORDERS)

    def _trickle(self) -> Iterator[None]:
        """Webhooks of the second shop, ten at a time: single orders, some twice, some out of order."""
        from shared.fakes import cdnow

        webhooks = cdnow.webhooks(self.trickle_orders(), SHOPS[TRICKLE], TRICKLE_ORDERS)
        for start in range(0, len(webhooks), 10):
            for webhook in webhooks[start : start + 10]:
                received = {
                    "provider": "shopify",
                    "topic": webhook.topic,
                    "eventId": webhook.event_id,
                    "account": SHOPS[TRICKLE],
                    "triggeredAt": webhook.triggered_at.isoformat(),
                    "receivedAt": datetime.now(UTC).isoformat(),
                    "body": webhook.body,
                }
                self.publisher.publish(WebhookReceived.model_validate_json(_json(received)), TRICKLE)
            yield

    def settle_down(self) -> None:
        """Wait until no message is on its way any more."""
        moved, last = time.monotonic(), -1
        while left := self._waiting():
            if left != last:
                last, moved = left, time.monotonic()
            if time.monotonic() - moved > PATIENCE_S:
                raise TimeoutError(f"{left} messages do not come to an end; look at `cgk-jobs runs`")
            self.after_step()
            time.sleep(0.5)

    def _waiting(self) -> int:
        depths = [self._depth(binding.name) for binding in self.registry.queues()]
        for_later = min(chapters.put_off(self), sum(delayed for _, _, delayed in depths))
        return sum(map(sum, depths)) - for_later + self._one(OPEN_RUNS) + self._one(OUTBOX)

    def _summary(self, vendor: dict[str, tuple[int, int]]) -> None:
        table = Table("tenant", "orders", "gross total", "at the shop", title="Orders")
        for slug, shop in SHOPS.items():
            row = self.rows(ORDERS, slug)[0]
            here, there = (row["orders"], row["cents"]), vendor[shop]
            table.add_row(slug, f"{here[0]:,}", dollars(here[1]), f"{there[0]:,} / {dollars(there[1])}")
            self.check(f"{slug}: {here[0]:,} orders, {dollars(here[1])}, as at the shop to the cent", here == there)
        self.console.print(table)
        self._derived()
        ledger = Table("tenant", "job", "state", "messages", title="Ledger")
        for row in self.rows(LEDGER, None):
            ledger.add_row(row["tenant"], row["job"], row["state"], f"{row['n']:,}")
        self.console.print(ledger)
        self.check("every message of the ledger has come to an end", self._one(OPEN_RUNS) == 0)
        self.check("the outbox is empty", self._one(OUTBOX) == 0)
        dead = {binding.name: sum(self._depth(f"{binding.name}-dlq")) for binding in self.registry.queues()}
        self.check(f"all {len(dead)} dead-letter queues are empty", not any(dead.values()))

    def _tick(self) -> None:
        """Let a cron's schedule fire now: its tick is a message, which the pipeline fans out over the tenants."""
        at = datetime.now(UTC).replace(second=0, microsecond=0)
        job = self.registry.jobs[CRON]
        SqsQueues("cgk-").send(job.queue_name, [OutMessage(tick_body(CRON, at.isoformat()))])
        self.until(f"the tick of {CRON}", lambda: bool(self.rows(FANNED_OUT, None)))
        self.settle_down()

    def _alert(self) -> None:
        """One problem reported three times: one record, one message to the people in charge."""
        alert = {"title": ALERT_TITLE, "message": "Orders come in slowly.", "source": "demo", "dedupeKey": "demo-alert"}
        for _ in range(3):
            self.publisher.publish(AlertCritical.model_validate_json(_json(alert)), BACKFILL)
        self.until("the alert", lambda: self._one(ALERTED) >= 3)
        self.settle_down()
        told = [message for message in fakes.posted(self.vendors.slack) if ALERT_TITLE in str(message)]
        self.check(f"alert {ALERT_TITLE!r}, raised three times, told once in Slack", len(told) == 1)

    def _derived(self) -> None:
        """What other jobs made of the orders: credits, commissions, the cron's fan-out."""
        for slug in SHOPS:
            found = self.rows(CREDITS, slug)[0]
            what = f"{slug}: credits of {found['orders']:,} orders, {found['splits']:,} models and windows of them,"
            self.check(f"{what} sum exactly to each order", found["wrong"] == 0 and found["orders"] > 0)
        table = Table("tenant", "code", "orders", "net sales", "commission", title="Commissions per creator")
        for slug in SHOPS:
            for row in self.rows(COMMISSIONS, slug):
                orders, sales, commission = row["orders"], dollars(row["sales"]), dollars(row["commission"])
                table.add_row(slug, row["creator"], f"{orders:,}", sales, commission)
        self.console.print(table)
        for row in self.rows(FANNED_OUT, None):
            what = f"cron {CRON}, tick of {row['tick']}: {row['due']} of {row['tenants']} tenants due"
            self.check(f"{what}, {row['sent']} messages sent", row["failed"] == 0 and row["sent"] == row["due"])

    # Small parts.

    def check(self, what: str, holds: bool) -> None:
        self.checks.append((what, holds))
        mark = f"[{'green' if holds else 'red'}]{'ok' if holds else 'WRONG':>5}[/]"
        self.console.print(f"{mark}  {what}", soft_wrap=True)

    def _depth(self, queue: str) -> tuple[int, int, int]:
        sqs = deploy.client("sqs", self.up.engine.endpoint)
        names = [f"ApproximateNumberOfMessages{kind}" for kind in ("", "NotVisible", "Delayed")]
        url = sqs.get_queue_url(QueueName=f"cgk-{queue}")["QueueUrl"]
        found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
        visible, hidden, delayed = (int(found.get(name, 0)) for name in names)
        return visible, hidden, delayed

    def until(self, what: str, holds: Callable[[], bool]) -> None:
        """Wait until something holds that comes without a message of ours. Raises TimeoutError, saying `what`."""
        end = time.monotonic() + PATIENCE_S
        while not holds():
            if time.monotonic() > end:
                raise TimeoutError(f"{what} did not happen; look at `cgk-jobs runs`")
            self.after_step()
            time.sleep(0.25)

    def rows(self, sql: str, slug: str | None, params: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """The rows of a statement in a tenant's schema, or in none; of one that only writes there are none."""
        with self.admin.transaction(), self.admin.cursor(row_factory=dict_row) as cursor:
            if slug is not None:
                cursor.execute("SELECT set_config('search_path', %s, true)", (f"{tenant_schema(slug)}, public",))
            cursor.execute(sql.encode(), params)
            return cursor.fetchall() if cursor.description is not None else []

    def _one(self, sql: str) -> int:
        return int(self.rows(sql, None)[0]["n"])

    def _progress(self) -> Progress:
        columns: Sequence[Any] = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        return Progress(*columns, console=self.console)

    admin: psycopg.Connection[Any] = field(init=False, repr=False)
    publisher: Publisher = field(init=False, repr=False)
    registry: Registry = field(init=False, repr=False)


def _json(value: Any) -> str:
    import json

    return json.dumps(value)
