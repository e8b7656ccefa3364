"""store_orders on real purchases, beside COPY of the same rows into the same tables and beside a loop over rows.

The purchases are those of the CDNOW log as Shopify nodes. COPY gets the rows that store_orders wrote, ready-made, and
has nothing to look up, compare or announce: it is the floor, not a rival. The loop writes the same rows one statement
each. All three commit after the same number of orders.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import psycopg

from scripts.benchmarks.lab import TENANTS, Lab
from scripts.benchmarks.results import Goal, Result, in_turns, ratio
from scripts.benchmarks.tables import Rows
from scripts.local import ROOT
from shared.db.connections import connect
from shared.db.sessions import TransactionSession, commit, open_tenant
from shared.events import Event, Payload
from shared.jobs.context import Tenant
from shared.orders.mapping import map_order
from shared.orders.records import OrderRecord
from shared.orders.store import store_orders

ROUNDS = 5
ORDERS = 2_000
CHUNK = 500
"""Orders per transaction, as the backfill takes them."""
COPY_SHARE = 0.4
LOOP_TIMES = 5
FLAT = 1.10
"""Peak memory of five times the orders, at most so many times the memory of the few."""
MEMORY_ORDERS = (5_000, 25_000)
TABLES = ("orders", "order_line_items", "fulfillments", "refunds", "refund_line_items", "order_sync_marks")
"""What store_orders writes; tables that reference others come after them."""

ORGANIZATION = "SELECT id FROM public.organizations WHERE slug = %(slug)s"


class Quiet(TransactionSession):
    """A tenant's transaction whose events only count."""

    emitted = 0

    def emit(self, event: Event, **options: Any) -> None:
        self.emitted += 1

    def emit_many(self, events: Sequence[tuple[Event, str | None]]) -> None:
        self.emitted += len(events)

    def again(self, payload: Payload, **options: Any) -> None:
        self.emitted += 1


def orders(lab: Lab) -> list[Result]:
    """SQL part against COPY and a row loop; the whole with parsing; memory."""
    texts = nodes(ORDERS)
    records = [map_order(json.loads(text)) for text in texts]
    with (
        connect(lab.admin_url, application_name="bench") as admin,
        connect(lab.database_url, application_name="bench") as conn,
    ):
        tenant = the_tenant(admin, TENANTS[0])
        rows = Rows(admin, tenant, TENANTS[1], tables=TABLES, parts=ORDERS // CHUNK, together=("refund_line_items",))
        rows.empty()
        store(conn, tenant, records)
        rows.take()
        rows.empty()
        with lab.profiled(conn):
            store_texts(conn, tenant, texts)
        found = in_turns(
            lab.rounds(ROUNDS),
            copy=lambda: rows.timed(rows.copy),
            sql=lambda: rows.timed(lambda: store(conn, tenant, records)),
            whole=lambda: rows.timed(lambda: store_texts(conn, tenant, texts)),
            loop=lambda: rows.timed(rows.loop),
        )
    return [*_speeds(found), _memory(lab)]


def _speeds(found: dict[str, list[float]]) -> list[Result]:
    def per_s(name: str) -> float:
        return ORDERS / statistics.median(found[name])

    copy, loop = f"COPY ({per_s('copy'):,.0f}/s)", f"a row loop ({per_s('loop'):,.0f}/s)"
    return [
        Result(
            "SQL part", per_s("sql"), "orders/s", ratio(found["copy"], found["sql"]), copy, Goal(at_least=COPY_SHARE)
        ),
        Result(
            "SQL part", per_s("sql"), "orders/s", ratio(found["loop"], found["sql"]), loop, Goal(at_least=LOOP_TIMES)
        ),
        Result("with parsing and mapping", per_s("whole"), "orders/s", ratio(found["copy"], found["whole"]), copy),
    ]


def nodes(count: int) -> list[str]:
    """The last `count` purchases of the log as Shopify answers them, as text."""
    from datetime import date

    from shared.fakes.cdnow import CdnowOrders, read_log
    from shared.fakes.vendor_files import cdnow_log

    shop = CdnowOrders(read_log(cdnow_log()), date(2026, 11, 1), last=count)
    return [json.dumps(shop.node(facts.legacy_id)) for facts in shop.facts()]


def the_tenant(admin: psycopg.Connection[Any], slug: str) -> Tenant:
    row = admin.execute(ORGANIZATION, {"slug": slug}).fetchone()
    assert row is not None
    return Tenant(slug, UUID(str(row[0])), "active")


def store(conn: psycopg.Connection[Any], tenant: Tenant, records: Sequence[OrderRecord]) -> None:
    """Store records by chunks, a transaction each."""
    for start in range(0, len(records), CHUNK):
        open_tenant(conn, tenant)
        now = datetime.now(UTC)
        store_orders(
            Quiet(conn), records[start : start + CHUNK], tenant=tenant, now=now, source="batch", announce="none"
        )
        commit(conn)


def store_texts(conn: psycopg.Connection[Any], tenant: Tenant, texts: Sequence[str]) -> None:
    """From the answer's text to the tables."""
    for start in range(0, len(texts), CHUNK):
        store(conn, tenant, [map_order(json.loads(text)) for text in texts[start : start + CHUNK]])


def _memory(lab: Lab) -> Result:
    few, many = (peak_mib(lab, count) for count in MEMORY_ORDERS)
    what, against = f"peak memory, {MEMORY_ORDERS[1]:,} orders", f"{MEMORY_ORDERS[0]:,} orders ({few:.0f} MiB)"
    return Result(what, many, "MiB", many / few, against, Goal(at_most=FLAT))


def peak_mib(lab: Lab, count: int) -> float:
    """Peak resident memory of a fresh process that streams `count` orders from a file into the tables."""
    path = lab.folder / f"orders-{count}.jsonl"
    path.write_text("\n".join(nodes(count)), encoding="utf-8")
    command = [sys.executable, "-m", "scripts.benchmarks.orders", str(path), lab.admin_url, lab.database_url]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])
    return float(done.stdout)


def _stream(path: str, admin_url: str, database_url: str) -> float:
    import itertools

    with connect(admin_url, application_name="bench") as admin:
        tenant = the_tenant(admin, TENANTS[1])
    with connect(database_url, application_name="bench") as conn, open(path, encoding="utf-8") as lines:
        while chunk := list(itertools.islice(lines, CHUNK)):
            store_texts(conn, tenant, chunk)
    return peak_kib() / 1024


def peak_kib() -> int:
    """Of this program alone: getrusage would count the process that started it."""
    from pathlib import Path

    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM:")).split()[1])


if __name__ == "__main__":
    print(_stream(*sys.argv[1:4]))
