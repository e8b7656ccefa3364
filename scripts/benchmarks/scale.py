"""100,000 orders, 50,000 customers, 20,000 products and their 300,000 stock levels, stored as a full sync does it.

Beside COPY of the same rows into the same tables with their indexes: it has nothing to look up, compare or announce.
A second pass over the same objects shows what a sync costs when nothing has changed, and the number of statements per
chunk shows that none depends on what the tables hold.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain, islice
from typing import Any

import psycopg

from scripts.benchmarks.lab import TENANTS, Lab
from scripts.benchmarks.orders import FLAT, Quiet, nodes, peak_kib, the_tenant
from scripts.benchmarks.orders import TABLES as ORDER_TABLES
from scripts.benchmarks.results import Goal, Result, in_turns, ratio
from scripts.benchmarks.tables import Rows
from scripts.local import ROOT
from shared.catalog.customer_mapping import map_customer
from shared.catalog.customers import store_customers
from shared.catalog.levels import store_levels, store_locations
from shared.catalog.mapping import map_level, map_product
from shared.catalog.products import store_products
from shared.db.connections import connect
from shared.db.sessions import commit, open_tenant
from shared.jobs.context import Session, Tenant
from shared.orders.mapping import map_order
from shared.orders.store import store_orders

ROUNDS = 1
CHUNK = 500
"""Objects per transaction, as the full syncs take them."""
COPY_SHARE = 0.5
LOCATIONS = 5
VARIANTS = 3
QUICK = 20
"""`--quick`: a so-manieth part of the shop."""
CDNOW = 69_659
AT = "2026-11-01T08:00:00Z"
VENDORS_ID = re.compile(r"\b([4-7]\d{9,10})\b")
"""Shopify's ids in an order of the log and of its lines, but for the customer's."""
COPIES_OFFSET = 20_000_000_000

Node = dict[str, Any]


@dataclass(frozen=True)
class Subject:
    """What is stored: `count` objects as text, how one is read, how a chunk is stored, and the tables it goes to."""

    name: str
    count: int
    texts: Callable[[int], Iterator[str]]
    read: Callable[[str], Any]
    store: Callable[[Session, Sequence[Any], Tenant], object]
    tables: tuple[str, ...]
    together: tuple[str, ...] = ()


# -- the shop ----------------------------------------------------------------------------------------------------------


def _orders(count: int) -> Iterator[str]:
    """The purchases of the log; beyond them, copies under other ids."""
    texts = nodes(min(count, CDNOW))
    copies = (VENDORS_ID.sub(lambda id: str(int(id[1]) + COPIES_OFFSET), text) for text in texts)
    return islice(chain(texts, copies), count)


def _customers(count: int) -> Iterator[str]:
    from shared.fakes.shopify.catalog import address_node, customer_node

    for id in range(1, count + 1):
        subscribed = "SUBSCRIBED" if id % 3 else "NOT_SUBSCRIBED"
        addresses = [address_node(id * 10 + n, city=f"City {id % 500}") for n in range(1 + id % 2)]
        yield json.dumps(customer_node(id, marketing=subscribed, marketing_at=AT, spent="12.50", addresses=addresses))


def _products(count: int) -> Iterator[str]:
    from shared.fakes.shopify.catalog import product_node, variant_node

    for id in range(1, count + 1):
        variants = [variant_node(id * 10 + n, f"{10 + id % 90}.99", cost="4.20") for n in range(VARIANTS)]
        yield json.dumps(product_node(id, variants))


def _levels(count: int) -> Iterator[str]:
    for n in range(count):
        numbers = {"available": n % 50, "on_hand": n % 50 + 2, "committed": 2, "incoming": 0}
        quantities = [{"name": name, "quantity": value, "updatedAt": AT} for name, value in numbers.items()]
        place = {"item": str(n // LOCATIONS + 1), "location": str(n % LOCATIONS + 1)}
        yield json.dumps({**place, "updatedAt": AT, "quantities": quantities})


def _level(text: str) -> Any:
    node: Node = json.loads(text)
    return map_level(node, item_id=node["item"], location_id=node["location"])


def _store_orders(session: Session, chunk: Sequence[Any], tenant: Tenant) -> object:
    return store_orders(session, chunk, tenant=tenant, now=datetime.now(UTC), source="batch", announce="none")


def _store_levels(session: Session, chunk: Sequence[Any], tenant: Tenant) -> object:
    return store_levels(session, chunk, now=datetime.now(UTC), generation=1)


SUBJECTS = (
    Subject(
        "orders",
        100_000,
        _orders,
        lambda text: map_order(json.loads(text)),
        _store_orders,
        ORDER_TABLES,
        ("refund_line_items",),
    ),
    Subject(
        "customers",
        50_000,
        _customers,
        lambda text: map_customer(json.loads(text)),
        lambda session, chunk, tenant: store_customers(session, chunk, now=datetime.now(UTC), generation=1),
        ("customers", "customer_addresses", "catalog_sync_marks"),
        ("customer_addresses",),
    ),
    Subject(
        "products",
        20_000,
        _products,
        lambda text: map_product(json.loads(text), "USD"),
        lambda session, chunk, tenant: store_products(session, chunk, now=datetime.now(UTC), generation=1),
        ("products", "product_variants", "catalog_sync_marks"),
        ("product_variants",),
    ),
    Subject(
        "stock levels",
        20_000 * VARIANTS * LOCATIONS,
        _levels,
        _level,
        _store_levels,
        ("inventory_levels", "catalog_sync_marks"),
    ),
)


# -- the measurement ---------------------------------------------------------------------------------------------------


def scale(lab: Lab) -> list[Result]:
    """The SQL part of each full sync beside COPY, the second pass, statements per chunk, and the memory of it all."""
    found: list[Result] = []
    with (
        connect(lab.admin_url, application_name="bench") as admin,
        connect(lab.database_url, application_name="bench") as conn,
    ):
        for slug in TENANTS:
            _places(conn, the_tenant(admin, slug))
        for subject in SUBJECTS:
            found += _subject(lab, subject, admin, conn)
    return found


def _places(conn: psycopg.Connection[Any], tenant: Tenant) -> None:
    open_tenant(conn, tenant)
    places = [(str(n), f"Place {n}", True) for n in range(1, LOCATIONS + 1)]
    store_locations(Quiet(conn), places, now=datetime.now(UTC))
    commit(conn)


def _subject(lab: Lab, subject: Subject, admin: psycopg.Connection[Any], conn: psycopg.Connection[Any]) -> list[Result]:
    count = subject.count // (QUICK if lab.quick else 1)
    tenant = the_tenant(admin, TENANTS[0])
    texts = list(subject.texts(count))
    began = time.perf_counter()
    records = [subject.read(text) for text in texts]
    read_s = time.perf_counter() - began
    parts = max(1, count // CHUNK)
    rows = Rows(admin, tenant, TENANTS[1], tables=subject.tables, parts=parts, together=subject.together)
    rows.empty()
    with lab.profiled(conn):
        statements = _store(conn, tenant, subject, records)
    rows.take(loop=False)
    times = in_turns(
        ROUNDS,
        copy=lambda: rows.timed(rows.copy),
        sql=lambda: rows.timed(lambda: _store(conn, tenant, subject, records)),
        again=lambda: _timed(lambda: _store(conn, tenant, subject, records)),
    )
    rows.empty()
    return _results(lab, subject, count, times, statements, read_s)


def _results(
    lab: Lab, subject: Subject, count: int, times: dict[str, list[float]], statements: list[int], read_s: float
) -> list[Result]:
    name, sql_s = subject.name, times["sql"][0]
    copied = f"COPY ({count / times['copy'][0]:,.0f}/s)"
    share = ratio(times["copy"], times["sql"])
    parsed = f"reading them takes {read_s / sql_s:.0%} of that on top"
    per_chunk = f"{min(statements)} to {max(statements)}"
    few, many = (_peak_mib(lab, subject, count // part) for part in (5, 1))
    return [
        Result(f"{name}, {count:,}", count / sql_s, "/s", share, copied, Goal(at_least=COPY_SHARE), parsed),
        Result(
            f"{name}, nothing changed", count / times["again"][0], "/s", ratio(times["sql"], times["again"]), "all new"
        ),
        Result(
            f"{name}, statements per chunk",
            max(statements),
            "",
            max(statements[1:] or statements) / max(min(statements), 1),
            f"the fewest ({per_chunk})",
        ),
        Result(f"{name}, peak memory", many, "MiB", many / few, f"a fifth of them ({few:.0f} MiB)", Goal(at_most=FLAT)),
    ]


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _store(conn: psycopg.Connection[Any], tenant: Tenant, subject: Subject, records: Sequence[Any]) -> list[int]:
    """Store all records by chunks, a transaction each; the number of statements of each chunk."""
    counts: list[int] = []
    for start in range(0, len(records), CHUNK):
        chunk = records[start : start + CHUNK]
        open_tenant(conn, tenant)
        session = Counting(conn)
        subject.store(session, chunk, tenant)
        commit(conn)
        counts.append(session.statements)
    return counts


class Counting(Quiet):
    """A tenant's transaction that counts its statements."""

    statements = 0

    def _run(self, *args: Any, **options: Any) -> Any:
        self.statements += 1
        return super()._run(*args, **options)


def _peak_mib(lab: Lab, subject: Subject, count: int) -> float:
    """Peak resident memory of a fresh process that streams `count` objects from a file into the tables."""
    path = lab.folder / f"{subject.name}-{count}.jsonl"
    with path.open("w", encoding="utf-8") as lines:
        lines.writelines(text + "\n" for text in subject.texts(count))
    command = [sys.executable, "-m", "scripts.benchmarks.scale", subject.name, str(path)]
    done = subprocess.run(
        [*command, lab.admin_url, lab.database_url], cwd=ROOT, capture_output=True, text=True, check=False
    )
    path.unlink()
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])
    return float(done.stdout)


def _stream(name: str, path: str, admin_url: str, database_url: str) -> float:
    subject = next(each for each in SUBJECTS if each.name == name)
    with connect(admin_url, application_name="bench") as admin:
        tenant = the_tenant(admin, TENANTS[1])
    with connect(database_url, application_name="bench") as conn, open(path, encoding="utf-8") as lines:
        while chunk := [subject.read(text) for text in islice(lines, CHUNK)]:
            _store(conn, tenant, subject, chunk)
    return peak_kib() / 1024


if __name__ == "__main__":
    print(_stream(*sys.argv[1:5]))
