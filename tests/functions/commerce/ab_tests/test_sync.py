"""The storefront's counters come into PostgreSQL exactly once, whatever dies when."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from shared.crypto import encrypt_platform
from shared.events.ab_tests import AbCounterSync
from shared.fakes.redis import Asked, Database, RedisFake
from shared.jobs.context import Tenant
from shared.jobs.testing import Bench, Deliver, Delivered, ManualClock
from tests.builders.ab_tests import TEST, add_state, add_test, insert
from tests.conftest import ENCRYPTION_KEY, Rows
from tests.functions.commerce.ab_tests.conftest import NOON

pytestmark = pytest.mark.usefixtures("running_test")
JOB, QUEUE = "ab-sync-redis-to-postgres", "ab-testing-bulk"
KEY = "ab:acme:test_1:test_1_b:counters"
CLAIM, DROP = "RENAME", "that is safe"
"""Words that only the script of that name has."""


def count(store: Database, key: str = KEY, **fields: int) -> None:
    """What the storefront does."""
    for name, by in fields.items():
        store.execute(["HINCRBY", key, name, by])


def sync(deliver: Deliver, minutes: int = 0, **more: Any) -> Delivered:
    """The run of so many minutes after noon."""
    return deliver(AbCounterSync(slot=NOON + timedelta(minutes=minutes)), **more)


def batches(rows: Rows) -> list[dict[str, Any]]:
    return rows("SELECT * FROM ab_counter_batches ORDER BY to_at, batch_id")


def total(rows: Rows, column: str = "impressions") -> int:
    return int(rows(f"SELECT COALESCE(sum({column}), 0) AS n FROM ab_counter_batches")[0]["n"])  # noqa: S608


def test_counters_become_one_batch_and_the_key_is_gone(deliver: Deliver, rows: Rows, store: Database) -> None:
    count(store, impressions=120, conversions=4, revenue=19_996)

    done = sync(deliver)

    assert done.result == {
        "redis": "ok",
        "tests": 1,
        "variants": 2,
        "batches": 1,
        "impressions": 120,
        "conversions": 4,
        "revenueCents": 19_996,
        "badFields": 0,
        "unknownTests": 0,
    }
    (row,) = batches(rows)
    assert (row["test_id"], row["variant_id"], row["source_key"]) == (TEST, "test_1_b", KEY)
    assert (row["impressions"], row["conversions"], row["revenue_cents"]) == (120, 4, 19_996)
    assert (row["from_at"], row["to_at"]) == (NOON - timedelta(days=10), NOON)
    assert store.keys == {}
    assert rows("SELECT counters_drained_at AS at FROM ab_test_state") == [{"at": NOON}]


def test_second_run_adds_nothing(deliver: Deliver, rows: Rows, store: Database) -> None:
    count(store, impressions=120)
    sync(deliver)

    again = sync(deliver, 360)

    assert (again.result["batches"], total(rows)) == (0, 120)


def test_next_batch_begins_where_the_last_one_ended(deliver: Deliver, rows: Rows, store: Database) -> None:
    count(store, impressions=1)
    sync(deliver)
    count(store, impressions=1)

    sync(deliver, 360)

    assert [row["from_at"] for row in batches(rows)] == [NOON - timedelta(days=10), NOON]


def test_hash_of_the_older_layout_comes_too(deliver: Deliver, rows: Rows, store: Database) -> None:
    count(store, "ab:acme:test_1:test_1_b", impressions=7, unheard_of=1)
    count(store, impressions=3)

    assert sync(deliver).result["impressions"] == 10
    assert {row["source_key"] for row in batches(rows)} == {KEY, "ab:acme:test_1:test_1_b"}
    assert total(rows) == 10


# -- dying -------------------------------------------------------------------------------------------------------------


class Trial:
    """One transfer of 120 impressions, again and again."""

    def __init__(self, bench: Bench, rows: Rows, store: Database) -> None:
        self.bench, self.rows, self.store, self.runs = bench, rows, store, 0

    def run(self, crash: tuple[str, int] | None) -> list[str]:
        """Transfer, dying at the point for the nth time; what was reached."""
        self.rows.execute("TRUNCATE ab_counter_batches")
        count(self.store, impressions=120)
        self.runs += 1
        self.bench.faults.clear()
        if crash:
            self.bench.faults.crash(crash[0], nth=crash[1])
        self.bench.publish(AbCounterSync(slot=NOON + timedelta(hours=self.runs), force_sync=True), "acme")
        self.bench.pump(QUEUE)
        reached = list(self.bench.faults.reached)
        for _ in range(3):  # the message again, what the sweeper finds, and a later run
            self.bench.drain()
            self.bench.sweep()
        self.bench.publish(AbCounterSync(slot=NOON + timedelta(hours=self.runs, minutes=1), force_sync=True), "acme")
        self.bench.drain()
        return reached

    def total(self) -> int:
        return total(self.rows)

    def left(self) -> dict[str, Any]:
        return self.store.keys


@pytest.fixture
def make_trial(bench: Bench, rows: Rows, store: Database) -> Callable[[], Trial]:
    return lambda: Trial(bench, rows, store)


def test_process_dies_at_every_point(make_trial: Callable[[], Trial]) -> None:
    trial = make_trial()
    reference = trial.run(None)
    reached = [(point, reference[:n].count(point) + 1) for n, point in enumerate(reference)]
    assert {"before-call", "in-session", "before-checkpoint", "after-checkpoint"} <= {point for point, _ in reached}
    for place in reached:
        trial.run(place)
        assert (trial.total(), trial.left()) == (120, {}), place


def test_process_that_dies_before_the_drop_leaves_nothing_in_redis_without_a_slot_either(
    bench: Bench, rows: Rows, store: Database
) -> None:
    """A retry decides by the minute in which the message was sent, so the counters of its own run are not fresh."""
    count(store, impressions=120)
    bench.faults.crash("before-call", nth=2)
    bench.publish(AbCounterSync(), "acme")

    bench.drain()

    assert (bench.crashes, total(rows), store.keys) == (1, 120, {})


@pytest.mark.parametrize("kind", ["cut", "half", "timeout", "503"])
@pytest.mark.parametrize("step", [CLAIM, DROP])
def test_call_that_fails_is_made_again_and_nothing_counts_twice(
    deliver: Deliver, bench: Bench, redis: RedisFake, rows: Rows, store: Database, kind: str, step: str
) -> None:
    count(store, impressions=120)
    count(store, KEY.replace("_b:", "_a:"), impressions=30)
    redis.fail(kind, match=step, hold_s=0.01)

    failed = sync(deliver, expect="retrying")

    assert failed.code == "REDIS_UNAVAILABLE"
    bench.drain()
    assert (total(rows), len(batches(rows)), store.keys) == (150, 2, {})


def test_answer_of_the_claim_is_lost_and_the_storefront_counts_on(
    deliver: Deliver, bench: Bench, redis: RedisFake, rows: Rows, store: Database
) -> None:
    count(store, impressions=120)
    redis.fail("cut", match=CLAIM)
    sync(deliver, expect="retrying")
    (claimed,) = [key for key in store.keys if key.endswith(":drain")]
    batch_id = store.hash(claimed)["_batch"]
    count(store, impressions=5)

    bench.drain()

    assert [(row["batch_id"], row["impressions"]) for row in batches(rows)] == [(batch_id, 120)]
    assert list(store.keys) == [KEY]  # the five wait for the next run
    sync(deliver, 360)
    assert total(rows) == 125


def test_five_more_between_claim_and_drop_come_with_the_next_batch(
    deliver: Deliver, redis: RedisFake, rows: Rows, store: Database
) -> None:
    def storefront(asked: Asked) -> None:
        if CLAIM in str(asked.commands):
            count(store, impressions=5)
            redis.after = None

    count(store, impressions=120)
    redis.after = storefront

    assert sync(deliver).result["impressions"] == 120
    assert sync(deliver, 360).result["impressions"] == 5
    assert total(rows) == 125


@pytest.mark.parametrize("step", [CLAIM, DROP])
def test_two_runs_at_once(
    deliver: Deliver, bench: Bench, redis: RedisFake, rows: Rows, store: Database, step: str
) -> None:
    """The second run is a whole one, while the first waits for the answer to its claim, or to its drop."""
    other = bench.twin()

    def second(asked: Asked) -> None:
        if step in str(asked.commands):
            redis.after = None
            count(store, impressions=5)
            other.publish(AbCounterSync(slot=NOON + timedelta(minutes=1), force_sync=True), "acme")
            other.pump(QUEUE)

    count(store, impressions=120)
    redis.after = second

    sync(deliver)

    sync(deliver, 360)
    assert (total(rows), store.keys) == (125, {})
    other.connections.discard()


def test_test_that_is_deleted_takes_its_counters_along(deliver: Deliver, rows: Rows, redis: RedisFake) -> None:
    def deleted(asked: Asked) -> None:
        redis.after = None
        rows.execute("DELETE FROM ab_tests")

    count(redis.databases["rest-acme-token"], impressions=1)
    redis.after = deleted

    assert (sync(deliver).result["batches"], batches(rows)) == (0, [])


# -- what stands in a hash ---------------------------------------------------------------------------------------------


def test_field_that_is_no_number_counts_as_nothing(deliver: Deliver, rows: Rows, store: Database) -> None:
    count(store, impressions=10, revenue=-500)
    store.execute(["HSET", KEY, "conversions", "abc", "clicks", "9" * 18, "odd\x00name", "\x00"])

    done = sync(deliver)

    assert (done.result["badFields"], done.result["conversions"], done.result["revenueCents"]) == (2, 0, -500)
    (row,) = batches(rows)
    assert (row["fields"]["conversions"], row["fields"]["odd?name"], row["clicks"]) == ("abc", "?", 0)


def test_revenue_that_is_taken_back_lowers_the_sum(deliver: Deliver, rows: Rows, store: Database) -> None:
    count(store, revenue=2_000)
    sync(deliver)
    count(store, revenue=-500)

    sync(deliver, 360)

    assert total(rows, "revenue_cents") == 1_500


def test_key_of_another_type_is_left_alone(deliver: Deliver, rows: Rows, store: Database) -> None:
    store.execute(["SET", "ab:acme:test_1:test_1_b", "a storefront's own"])
    count(store, impressions=3)

    assert sync(deliver).result["impressions"] == 3
    assert store.keys == {"ab:acme:test_1:test_1_b": "a storefront's own"}


# -- which tests -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("columns", "found"),
    [
        ({"status": "paused"}, 1),
        ({"status": "completed", "ended_at": NOON - timedelta(hours=47)}, 1),
        ({"status": "completed", "ended_at": NOON - timedelta(hours=49)}, 0),
        ({"status": "draft"}, 0),
    ],
    ids=["paused", "ended lately", "ended long ago", "draft"],
)
def test_live_tests_are_asked_for(
    deliver: Deliver, rows: Rows, store: Database, columns: dict[str, Any], found: int
) -> None:
    rows.execute("UPDATE ab_tests SET status = %(status)s, ended_at = %(ended_at)s", {"ended_at": None, **columns})
    count(store, impressions=1)

    assert sync(deliver).result["tests"] == found


def test_variants_taken_in_lately_are_left_out_unless_forced(deliver: Deliver, rows: Rows, store: Database) -> None:
    add_state(rows, counters_drained_at=NOON - timedelta(minutes=9))
    count(store, impressions=1)

    assert sync(deliver).result["variants"] == 0
    assert deliver(AbCounterSync(slot=NOON, test_ids=[TEST], force_sync=True)).result["impressions"] == 1


def test_named_tests_that_do_not_exist_are_counted(deliver: Deliver, rows: Rows, store: Database) -> None:
    add_test(rows, "test_2", status="running", started_at=NOON - timedelta(days=1))
    count(store, impressions=1)
    count(store, "ab:acme:test_2:test_2_a:counters", impressions=1)

    done = deliver(AbCounterSync(test_ids=["test_2", "nobody"]))

    assert (done.result["unknownTests"], done.result["tests"], done.result["impressions"]) == (1, 1, 1)
    assert list(store.keys) == [KEY]


def test_pages_go_on_in_another_leg(
    deliver: Deliver, bench: Bench, rows: Rows, store: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("functions.commerce.ab_tests.sync.PAGE", 1)
    monkeypatch.setattr("functions.commerce.ab_tests.sync.PAGE_ROOM_S", 1e9)
    for n in (2, 3):
        add_test(rows, f"test_{n}", status="running", started_at=NOON - timedelta(days=1))
        count(store, f"ab:acme:test_{n}:test_{n}_a:counters", impressions=n)

    sync(deliver, expect="continuing")
    *_, last = bench.drain()

    assert (last.state, last.result["tests"], last.result["impressions"], total(rows)) == ("succeeded", 3, 5, 5)


def test_other_tenants_counters_are_not_asked_for(
    deliver: Deliver, redis: RedisFake, rows: Rows, store: Database, other_tenant: Tenant
) -> None:
    add_test(rows, status="running", started_at=NOON - timedelta(days=1), tenant=other_tenant)
    count(store, impressions=1)
    count(store, "ab:globex:test_1:test_1_b:counters", impressions=99)

    sync(deliver)

    keys = {key for asked in redis.asked for key in asked.keys}
    assert keys
    assert all(key.startswith("ab:acme:test_1:") for key in keys)
    assert (total(rows), rows("SELECT 1 FROM ab_counter_batches", tenant=other_tenant)) == (1, [])


# -- no Redis, and a Redis that refuses --------------------------------------------------------------------------------


def test_tenant_without_redis_asks_nobody(deliver: Deliver, rows: Rows, redis: RedisFake) -> None:
    rows.execute("UPDATE tenant_api_credentials SET is_active = false")

    done = sync(deliver)

    assert (done.result["redis"], done.result["tests"], redis.asked) == ("not_configured", 0, [])


def test_platforms_own_redis_serves_tenants_without_one(
    deliver: Deliver, bench: Bench, rows: Rows, redis: RedisFake
) -> None:
    rows.execute("DELETE FROM tenant_api_credentials")
    bench.settings |= {"UPSTASH_REDIS_REST_URL": "https://platform.upstash.io", "UPSTASH_REDIS_REST_TOKEN": "platform"}
    count(redis.database("platform"), impressions=2)

    assert sync(deliver).result["impressions"] == 2


def test_refused_token_is_dead_with_one_alert_a_day(
    deliver: Deliver, bench: Bench, rows: Rows, redis: RedisFake, clock: ManualClock
) -> None:
    rows.execute("UPDATE tenant_api_credentials SET api_key_encrypted = %s", (encrypt_platform("old", ENCRYPTION_KEY),))

    dead = [sync(deliver, minutes, expect="dead") for minutes in (0, 1)]

    assert [each.code for each in dead] == ["REDIS_UNAUTHORIZED", "REDIS_UNAUTHORIZED"]
    alerts = [detail for name, detail in bench.bus.published if name == "alert.apiFailure"]
    assert {alert["dedupeKey"] for alert in alerts} == {"ab-redis-auth:2026-11-20"}
    assert len({alert["_meta"]["key"] for alert in alerts}) == 1


def test_limit_of_requests_is_waited_out(deliver: Deliver, redis: RedisFake, rows: Rows, store: Database) -> None:
    count(store, impressions=120)
    redis.fail(429, retry_after="30")

    deferred = sync(deliver, expect="deferred")

    assert deferred.code == "REDIS_RATE_LIMITED"
    assert deferred.delay_s == pytest.approx(30, abs=3)
    assert deliver.again(QUEUE).attempt == 1
    assert total(rows) == 120


@pytest.mark.parametrize(
    "url", ["http://acme-1.upstash.io", "http://10.0.0.5", "https://10.0.0.5", "https://upstash.io.evil.example", ""]
)
def test_url_that_leads_elsewhere_is_refused(deliver: Deliver, redis: RedisFake, rows: Rows, url: str) -> None:
    rows.execute("UPDATE tenant_api_credentials SET metadata = jsonb_build_object('restUrl', %s::text)", (url,))

    assert sync(deliver, expect="dead").code == "REDIS_URL_REFUSED"
    assert redis.asked == []


def test_list_that_is_none_is_refused(deliver: Deliver) -> None:
    assert deliver.job(JOB, {"testIds": "x"}, expect="dead").code == "INVALID_PAYLOAD"


def test_counters_show_in_the_daily_numbers_of_a_test_that_counts_by_them(
    deliver: Deliver, rows: Rows, store: Database
) -> None:
    rows.execute("""UPDATE ab_tests SET settings = '{"tracking": "counters"}', started_at = %s""", (NOON,))
    insert(rows, "ab_visitors", {"visitor_id": "v1", "test_id": TEST, "variant_id": "test_1_a", "assigned_at": NOON})
    count(store, impressions=120, add_to_carts=7, begin_checkouts=5, conversions=4)

    sync(deliver, 60)

    (row,) = rows("SELECT * FROM ab_daily_metrics WHERE variant_id = 'test_1_b'")
    assert (row["visitors"], row["page_views"], row["add_to_carts"]) == (0, 120, 7)  # test_1_a has the only visitor
    assert (row["begin_checkouts"], row["purchases"]) == (5, 0)
