"""The daily numbers of a test, counted anew from visitors, events, orders and counters."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from functions.commerce.ab_tests.daily import hold_tests, recount
from shared.jobs import JobContext
from shared.jobs.context import Tenant
from tests.builders.ab_tests import TEST, add_test, insert
from tests.conftest import MakeBench, Rows
from tests.functions.commerce.ab_tests.conftest import NOON, Put
from tests.shared.integrations.visit import REGISTRY, Visits

DAY, UTC = date(2026, 11, 20), ZoneInfo("UTC")
COLUMNS = ("visitors", "unique_visitors", "page_views", "add_to_carts", "begin_checkouts", "purchases", "revenue_cents")
Recount = Callable[..., int]


@pytest.fixture
def count(make_bench: MakeBench, tenant: Tenant) -> Recount:
    """count(days): recounts days of the test (by default the 20th) in a run; how many rows changed."""
    visits = Visits(make_bench(REGISTRY), tenant)

    def run(*days: date, test: str = TEST, zone: ZoneInfo = UTC) -> int:
        def inside(ctx: JobContext) -> int:
            with ctx.tenant_session() as session:
                hold_tests(session, [test], NOON)
                return recount(session, [(test, day) for day in days or (DAY,)], zone, slug="acme")

        return int(visits(inside))

    return run


def numbers(rows: Rows, variant: str = "test_1_b", day: date = DAY) -> tuple[int, ...] | None:
    found = rows("SELECT * FROM ab_daily_metrics WHERE variant_id = %s AND date = %s", (variant, day))
    return tuple(found[0][name] for name in COLUMNS) if found else None


def event(rows: Rows, visitor: str, type: str, at: datetime = NOON, *, variant: str = "test_1_b") -> None:
    values = {"test_id": TEST, "variant_id": variant, "visitor_id": visitor, "event_type": type, "created_at": at}
    insert(rows, "ab_events", values)


def batch(rows: Rows, id: str, day: date = DAY, *, variant: str = "test_1_b", **counts: int) -> None:
    values = {"batch_id": id, "test_id": TEST, "variant_id": variant, "bucket_date": day, "to_at": NOON}
    insert(rows, "ab_counter_batches", {**values, "fields": {}, "source_key": "k", **counts})


def attributed(rows: Rows, order: str, cents: int, at: datetime = NOON, **more: Any) -> None:
    values = {"test_id": TEST, "order_id": order, "variant_id": "test_1_b", "method": "visitor", "ordered_at": at}
    more = {"currency": "USD", "gross_cents": cents, "net_cents": cents, **more}
    insert(rows, "ab_order_attributions", {**values, **more})


@pytest.fixture
def by_counters(rows: Rows, running_test: str) -> None:
    rows.execute("""UPDATE ab_tests SET settings = '{"tracking": "counters"}'""")


def test_all_numbers_of_a_day(rows: Rows, count: Recount, visitor: Put, running_test: str) -> None:
    visitor("v1")
    visitor("v2")
    for type in ("page_view", "view", "add_to_cart", "begin_checkout", "checkout_start", "click"):
        event(rows, "v1", type)
    event(rows, "v3", "page_view")  # somebody who was assigned earlier, or never
    attributed(rows, "o1", 5_000)
    attributed(rows, "o2", 2_500)
    attributed(rows, "o3", 9_999, excluded_reason="cancelled")

    assert count() == 1
    assert numbers(rows) == (2, 3, 3, 1, 2, 2, 7_500)
    assert numbers(rows, "test_1_a") is None


def test_second_count_writes_nothing(rows: Rows, count: Recount, visitor: Put, running_test: str) -> None:
    visitor()
    count()
    before = rows("SELECT updated_at FROM ab_daily_metrics")

    assert count() == 0
    assert rows("SELECT updated_at FROM ab_daily_metrics") == before


def test_bots_count_nowhere(rows: Rows, count: Recount, visitor: Put, running_test: str) -> None:
    visitor("v1")
    visitor("bot", user_agent="Mozilla/5.0 (compatible; Googlebot/2.1)")
    event(rows, "bot", "page_view")

    count()

    assert numbers(rows) == (1, 1, 0, 0, 0, 0, 0)


def test_visitor_is_assigned_once_and_seen_on_every_day(
    rows: Rows, count: Recount, visitor: Put, running_test: str
) -> None:
    visitor("v1", at=NOON - timedelta(days=1))
    event(rows, "v1", "page_view", NOON - timedelta(days=1))
    event(rows, "v1", "page_view")

    count(DAY - timedelta(days=1), DAY)

    assert numbers(rows, day=DAY - timedelta(days=1)) == (1, 1, 1, 0, 0, 0, 0)
    assert numbers(rows) == (0, 1, 1, 0, 0, 0, 0)


def test_visitor_seen_in_two_arms_is_one_of_each(rows: Rows, count: Recount, visitor: Put, running_test: str) -> None:
    visitor("v1")
    event(rows, "v1", "page_view", variant="test_1_a")

    count()

    assert (numbers(rows), numbers(rows, "test_1_a")) == ((1, 1, 0, 0, 0, 0, 0), (0, 1, 1, 0, 0, 0, 0))


def test_days_with_gaps_between_them(rows: Rows, count: Recount, running_test: str) -> None:
    days = [date(2026, 11, n) for n in (12, 13, 15, 18, 19, 20)]
    for n in range(10, 21):
        event(rows, "v1", "page_view", NOON.replace(day=n))
        attributed(rows, f"o{n}", n, NOON.replace(day=n, hour=23, minute=59))

    assert count(*days) == 6
    assert [numbers(rows, day=day) for day in days] == [(0, 1, 1, 0, 0, 1, day.day) for day in days]
    assert len(rows("SELECT 1 FROM ab_daily_metrics")) == 6


def test_row_that_has_lost_all_numbers_stays_with_zeros(rows: Rows, count: Recount, running_test: str) -> None:
    insert(rows, "ab_daily_metrics", {"test_id": TEST, "variant_id": "test_1_b", "date": DAY, "purchases": 999})

    assert count() == 1
    assert numbers(rows) == (0,) * 7


def test_days_are_the_tenants_own(rows: Rows, count: Recount, running_test: str) -> None:
    """New York: 03:30Z is the evening before, and the first of November has 25 hours."""
    zone = ZoneInfo("America/New_York")
    attributed(rows, "o1", 1_000, datetime.fromisoformat("2026-11-21T03:30:00+00:00"))
    for n, at in enumerate(("2026-11-01T05:30:00+00:00", "2026-11-01T06:30:00+00:00", "2026-11-02T04:59:00+00:00")):
        attributed(rows, f"long{n}", 1_000, datetime.fromisoformat(at))

    count(DAY, date(2026, 11, 1), zone=zone)

    assert numbers(rows) == (0, 0, 0, 0, 0, 1, 1_000)
    assert numbers(rows, day=date(2026, 11, 1)) == (0, 0, 0, 0, 0, 3, 3_000)


@pytest.mark.usefixtures("by_counters")
class TestCounters:
    """Tests that take their views from the batches of Redis."""

    def test_views_are_sums_of_the_batches_of_the_day(self, rows: Rows, count: Recount, visitor: Put) -> None:
        visitor("v1")
        event(rows, "v1", "page_view")
        batch(rows, "1", impressions=100, visitors=60, add_to_carts=7, begin_checkouts=5, conversions=9)
        batch(rows, "2", impressions=20, add_to_carts=-2)
        batch(rows, "3", DAY - timedelta(days=1), impressions=1_000)
        attributed(rows, "o1", 5_000)

        count()

        # Visitors, unique ones and orders are never those of the counters while there are visitors of our own.
        assert numbers(rows) == (1, 1, 120, 5, 5, 1, 5_000)

    def test_sum_below_zero_shows_as_zero(self, rows: Rows, count: Recount, visitor: Put) -> None:
        visitor("v1", "test_1_a")
        batch(rows, "1", impressions=3, add_to_carts=-5, begin_checkouts=-1)

        count()

        assert numbers(rows) == (0, 0, 3, 0, 0, 0, 0)

    def test_sum_that_no_column_can_hold_shows_as_the_largest_number(self, rows: Rows, count: Recount) -> None:
        for id in ("1", "2"):
            batch(rows, id, impressions=2_000_000_000, add_to_carts=2_000_000_000, begin_checkouts=2_000_000_000)

        count()

        most = 2**31 - 1
        assert numbers(rows) == (most, 0, most, most, most, 0, 0)

    @pytest.mark.parametrize(
        ("counts", "shown"),
        [({"impressions": 90, "visitors": 40}, 40), ({"impressions": 90}, 90), ({"impressions": -90}, 0)],
        ids=["visitors", "impressions stand for them", "below zero"],
    )
    def test_visitors_of_a_test_without_any(
        self, rows: Rows, count: Recount, counts: dict[str, int], shown: int
    ) -> None:
        batch(rows, "1", DAY, variant="test_1_b", **counts)
        insert(rows, "ab_daily_metrics", {"test_id": TEST, "variant_id": "test_1_b", "date": DAY, "visitors": 7})

        count()

        found = numbers(rows)
        assert found is not None
        assert (found[0], found[1]) == (shown, 0)

    def test_bot_is_a_visitor_of_our_own(self, rows: Rows, count: Recount, visitor: Put) -> None:
        visitor("bot", user_agent="spider")
        batch(rows, "1", impressions=90, visitors=40)

        count()

        assert numbers(rows) == (0, 0, 90, 0, 0, 0, 0)

    def test_without_any_batch_events_count(self, rows: Rows, count: Recount) -> None:
        event(rows, "v1", "page_view")

        count()

        assert numbers(rows) == (0, 1, 1, 0, 0, 0, 0)

    def test_variants_do_not_mix(self, rows: Rows, count: Recount) -> None:
        batch(rows, "1", variant="test_1_a", impressions=10)
        batch(rows, "2", impressions=20)

        count()

        assert (numbers(rows, "test_1_a"), numbers(rows)) == ((10, 0, 10, 0, 0, 0, 0), (20, 0, 20, 0, 0, 0, 0))

    def test_events_of_another_test_are_not_touched(self, rows: Rows, count: Recount) -> None:
        add_test(rows, "test_2", status="running", started_at=NOON)
        batch(rows, "1", impressions=10)

        assert count(test="test_2") == 0


def test_counters_of_a_test_that_counts_by_events_are_left_out(rows: Rows, count: Recount, running_test: str) -> None:
    event(rows, "v1", "page_view")
    batch(rows, "1", impressions=500, visitors=300)

    count()

    assert numbers(rows) == (0, 1, 1, 0, 0, 0, 0)


class Explaining:
    """A session that is told the plan of what it is given."""

    def __init__(self, rows: Rows) -> None:
        self._rows, self.plan = rows, ""

    def execute(self, sql: str, params: dict[str, Any]) -> int:
        self.plan = "\n".join(row["QUERY PLAN"] for row in self._rows(f"EXPLAIN {sql}", params))
        return 0


def test_a_day_of_many_tests_is_read_once_by_its_index_whatever_the_tables_hold(rows: Rows) -> None:
    tests = [f"test_{n}" for n in range(1, 21)]
    for test in tests:
        add_test(rows, test, status="running", started_at=NOON - timedelta(days=40))
    rows.execute(
        "INSERT INTO ab_events (test_id, variant_id, visitor_id, event_type, created_at)"
        " SELECT 'test_' || 1 + i %% 20, 'test_' || 1 + i %% 20 || '_a', 'v' || i / 4, 'page_view',"
        " %s::timestamptz - make_interval(mins => 2 * i) FROM generate_series(1, 28000) i",
        (NOON,),
    )
    rows.execute(
        "INSERT INTO ab_visitors (visitor_id, test_id, variant_id, assigned_at)"
        " SELECT 'v' || i, 'test_' || 1 + i %% 20, 'test_' || 1 + i %% 20 || '_a',"
        " %s::timestamptz - make_interval(mins => 2 * i) FROM generate_series(1, 28000) i",
        (NOON,),
    )
    rows.execute("ANALYZE ab_events, ab_tests, ab_variants, ab_visitors")
    session = Explaining(rows)

    recount(session, [(test, DAY) for test in tests], UTC, slug="acme")  # type: ignore[arg-type]  # nothing else is used

    assert session.plan.count(" on ab_events ") == 1, session.plan
    assert session.plan.count("ix_ab_events_test_id_created_at") == 1, session.plan
    assert session.plan.count("ix_ab_visitors_test_id_assigned_at") >= 1, session.plan
    assert "Seq Scan on ab_visitors w " not in session.plan, session.plan
