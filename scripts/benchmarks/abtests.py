"""Counting A/B events: five million of twenty tests over a month, recounted as the jobs do it.

Beside one bare pass over the same events by the same index order (count by test, variant and day): what any count must
pay. The hour's recount touches the last day only, so its cost follows that day's events and not the table.
"""

from __future__ import annotations

import time
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import psycopg

from functions.commerce.ab_tests.daily import RECOUNT_TIMEOUT_S, hold_tests, recount
from scripts.benchmarks.lab import TENANTS, Lab
from scripts.benchmarks.orders import Quiet, the_tenant
from scripts.benchmarks.results import Goal, Result
from shared.db.connections import connect
from shared.db.names import tenant_schema
from shared.db.sessions import commit, open_tenant, rollback
from shared.jobs.context import Tenant

EVENTS = 5_000_000
QUICK_EVENTS = 200_000
TESTS = 20
DAYS = 30
PER_VISITOR = 5
"""Events of a visitor."""
FIRST = datetime(2026, 10, 1, tzinfo=UTC)
ZONE = ZoneInfo("UTC")
PASSES = 10
"""A recount of everything, at most so many bare passes."""

LAST_DAY = Goal(at_most=0.1)
"""The hour's recount follows the day's events and not the table."""

FILL = """
INSERT INTO ab_tests (id, name, base_url, status, started_at)
SELECT 't' || t, 'Test ' || t, 'https://shop.example/', 'running', %(first)s FROM generate_series(1, %(tests)s) t;
INSERT INTO ab_variants (id, test_id, name, is_control, traffic_allocation, weight)
SELECT 't' || t || v, 't' || t, v, v = 'a', 50, 50 FROM generate_series(1, %(tests)s) t, unnest(ARRAY['a', 'b']) v;
INSERT INTO ab_visitors (visitor_id, test_id, variant_id, assigned_at, user_agent)
SELECT 'v' || i, 't' || 1 + i %% %(tests)s,
       't' || 1 + i %% %(tests)s || CASE WHEN i / %(tests)s %% 2 = 0 THEN 'a' ELSE 'b' END,
       %(first)s::timestamptz + make_interval(secs => i::float8 * %(span)s / %(visitors)s),
       'Mozilla/5.0 (Windows NT 10.0) Chrome/' || 120 + i %% 20
FROM generate_series(0, %(visitors)s - 1) i;
INSERT INTO ab_events (test_id, variant_id, visitor_id, event_type, created_at)
SELECT w.test_id, w.variant_id, w.visitor_id,
       (ARRAY['page_view', 'page_view', 'add_to_cart', 'begin_checkout', 'view'])[1 + k %% 5],
       w.assigned_at + make_interval(mins => k)
FROM ab_visitors w, generate_series(0, %(each)s - 1) k ORDER BY w.assigned_at;
ANALYZE ab_tests; ANALYZE ab_variants; ANALYZE ab_visitors; ANALYZE ab_events
"""
BARE = """
-- A/B: one bare pass over all events
SELECT test_id, variant_id, created_at::date, event_type, count(*) FROM ab_events GROUP BY 1, 2, 3, 4
"""


def abtests(lab: Lab) -> list[Result]:
    """All days of all tests, the last day alone, and the same a second time."""
    events = QUICK_EVENTS if lab.quick else EVENTS
    with (
        connect(lab.admin_url, application_name="bench") as admin,
        connect(lab.database_url, application_name="bench") as conn,
    ):
        tenant = the_tenant(admin, TENANTS[0])
        _fill(admin, events)
        every = [FIRST.date() + timedelta(days=n) for n in range(DAYS)]
        bare = _bare(conn, tenant)
        with lab.profiled(conn):
            whole = _recount(conn, tenant, every)
        again = _recount(conn, tenant, every)
        last = _recount(conn, tenant, every[-1:])
        if lab.profile:
            lab.say(_plan(conn, tenant, every))
    passes = f"one bare pass over the events ({bare:.2f} s)"
    return [
        Result(f"{events:,} events of {TESTS} tests, all days", whole, "s", whole / bare, passes, Goal(at_most=PASSES)),
        Result("the same again, nothing to write", again, "s", again / whole, "all days"),
        Result("the last day alone", last, "s", last / whole, f"all days; its share is {1 / DAYS:.0%}", LAST_DAY),
    ]


def _fill(admin: psycopg.Connection[Any], events: int) -> None:
    visitors = events // PER_VISITOR
    span = int(timedelta(days=DAYS, hours=-1).total_seconds())
    names = {"first": FIRST, "tests": TESTS, "visitors": visitors, "span": span, "each": PER_VISITOR}
    admin.execute("SELECT set_config('search_path', %s, false)", (f"{tenant_schema(TENANTS[0])}, public",))
    for statement in FILL.split(";"):
        admin.execute(statement.encode(), names if "%(" in statement else None)


def _bare(conn: psycopg.Connection[Any], tenant: Tenant) -> float:
    """The quicker of two: the first one finds the pages cold."""
    taken: list[float] = []
    for _ in range(2):
        open_tenant(conn, tenant, statement_timeout_s=RECOUNT_TIMEOUT_S)
        began = time.perf_counter()
        conn.execute(BARE).fetchall()
        taken.append(time.perf_counter() - began)
        rollback(conn)
    return min(taken)


def _recount(conn: psycopg.Connection[Any], tenant: Tenant, days: list[date]) -> float:
    open_tenant(conn, tenant, statement_timeout_s=RECOUNT_TIMEOUT_S)
    session, tests = Quiet(conn), [f"t{n}" for n in range(1, TESTS + 1)]
    began = time.perf_counter()
    hold_tests(session, tests, datetime.now(UTC))
    recount(session, [(test, day) for test in tests for day in days], ZONE, slug=tenant.slug)
    taken = time.perf_counter() - began
    commit(conn)
    return taken


def _plan(conn: psycopg.Connection[Any], tenant: Tenant, days: list[date]) -> str:
    """How PostgreSQL recounts all days of all tests."""
    open_tenant(conn, tenant, statement_timeout_s=RECOUNT_TIMEOUT_S)
    session = Explaining(conn)
    recount(session, [(f"t{n}", day) for n in range(1, TESTS + 1) for day in days], ZONE, slug=tenant.slug)
    rollback(conn)
    return session.plan


class Explaining(Quiet):
    """A transaction that asks for the plan of what it is given, and runs it."""

    plan = ""

    def execute(self, sql: str, params: dict[str, Any] | None = None) -> int:
        rows = self.all(f"EXPLAIN (ANALYZE, COSTS off, TIMING off, BUFFERS off) {sql}", params)
        self.plan = "\n".join(str(row["QUERY PLAN"]) for row in rows)
        return 0
