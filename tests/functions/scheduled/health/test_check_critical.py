"""ops-health-check-critical: what it sees, when it speaks, and what is left when the database is down."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from functions.scheduled.health.last_line import LastLine
from shared.jobs.messages import OWN_SOURCE
from shared.jobs.registry import Registry
from shared.jobs.testing import Bench, ManualClock
from shared.jobs.ticks import tick_body
from tests.functions.scheduled.health.conftest import Minute, Rows, ScriptedQueues

State = Callable[[str], dict[str, Any]]


# -- the ordinary way ------------------------------------------------------------------------------------------------


def test_all_is_well(minute: Minute, state: State, bench: Bench, rows: Rows) -> None:
    done = minute()

    assert {name: done.result[name] for name in ("database", "redis", "jobs", "shopify")} == {
        "database": "healthy",
        "redis": "unknown",
        "jobs": "healthy",
        "shopify": "unknown",
    }
    assert done.emitted == []
    assert bench.metrics.total("HealthHeartbeat") == 1
    assert (state("database")["status"], state("database")["last_result"]) == ("healthy", "healthy")
    history = rows("SELECT service, status, tenant_id FROM health_check_history ORDER BY service")
    assert [(row["service"], row["status"]) for row in history] == [
        ("database", "healthy"),
        ("inngest", "healthy"),
        ("redis", "unknown"),
        ("shopify", "unknown"),
    ]


def test_figures_of_the_database_are_kept(minute: Minute, rows: Rows) -> None:
    minute()

    [row] = rows("SELECT details, latency_ms FROM health_check_history WHERE service = 'database'")
    assert {"latency", "connections_pct", "xid_age_millions"} <= row["details"].keys()
    assert row["latency_ms"] >= 0


def test_dead_letter_is_told_at_the_fifth_minute_and_its_end_after_two(
    minute: Minute, queues: ScriptedQueues, state: State
) -> None:
    minute()
    queues.dead["watched-dlq"] = 1

    said = [minute() for _ in range(6)]

    assert [each.result["jobs"] for each in said] == ["degraded"] * 6
    assert [len(each.emitted) for each in said] == [0, 0, 0, 0, 1, 0]
    [(name, alert)] = said[4].emitted
    assert name == "alert.systemError"
    assert alert["severity"] == "warning"
    assert (alert["source"], alert["dedupeKey"], alert["resolve"]) == ("health", "health:inngest:platform", False)
    assert alert["title"] == "Job system is degraded"
    assert alert["context"]["audience"] == "platform"
    assert (alert["context"]["code"], alert["context"]["figures"]["dlq_depth"]) == ("JOBS_DLQ_DEPTH", 1)
    assert "watched-dlq dlq_depth 1" in alert["message"]

    queues.dead["watched-dlq"] = 0
    first, second = minute(), minute()

    assert first.emitted == []
    [(name, over)] = second.emitted
    assert (name, over["resolve"], over["dedupeKey"]) == ("alert.systemError", True, "health:inngest:platform")
    assert (state("inngest")["status"], state("inngest")["alert_open"]) == ("healthy", False)


@pytest.mark.parametrize(
    ("queue", "age_s", "status"),
    [
        ("watched", 299, "healthy"),
        ("watched", 300, "degraded"),
        ("watched", 1799, "degraded"),
        ("watched", 1800, "unhealthy"),
        ("watched-bulk", 1799, "healthy"),
        ("watched-bulk", 1800, "degraded"),
        ("watched-bulk", 7200, "unhealthy"),
    ],
)
def test_age_of_the_oldest_message(
    minute: Minute, queues: ScriptedQueues, queue: str, age_s: float, status: str
) -> None:
    queues.ages[queue] = age_s

    assert minute().result["jobs"] == status


def test_unhealthy_is_told_at_the_third_minute_in_a_row(minute: Minute, queues: ScriptedQueues, state: State) -> None:
    minute()
    queues.ages["watched"] = 1800

    said = [minute() for _ in range(3)]

    assert [len(each.emitted) for each in said] == [0, 0, 1]
    [(name, alert)] = said[2].emitted
    assert (name, alert["dedupeKey"], alert["resolve"]) == ("alert.critical", "health:inngest:platform", False)
    assert alert["context"]["code"] == "JOBS_OLDEST_MESSAGE_S"
    assert state("inngest")["status"] == "unhealthy"

    queues.ages.clear()
    minute()
    [(name, over)] = minute().emitted
    assert (name, over["resolve"]) == ("alert.critical", True)


def test_unhealthy_that_lasts_is_repeated_every_twelfth_time(minute: Minute, queues: ScriptedQueues) -> None:
    minute()
    queues.ages["watched"] = 1800

    said = [len(minute().emitted) for _ in range(27)]

    assert [n for n, told in enumerate(said, 1) if told] == [3, 15, 27]


@pytest.mark.parametrize(
    ("set_up", "code"),
    [
        (
            "INSERT INTO jobs.runs (run_id, run_at, job, tenant, key, state, ended_at)"
            " SELECT gen_random_uuid(), %(now)s, 'j', 'acme', n::text, 'dead', %(now)s FROM generate_series(1, 10) n",
            "JOBS_FAILED_RUNS_HOUR",
        ),
        (
            "INSERT INTO jobs.outbox (id, kind, tenant, target, body, created_at)"
            " VALUES (gen_random_uuid(), 'event', 'acme', 'x', '', %(now)s - interval '3 minutes')",
            "JOBS_OUTBOX_AGE_S",
        ),
        (
            "INSERT INTO jobs.claims (job, tenant, key, run_id, run_at, state, lease_until)"
            " VALUES ('j', 'acme', 'k', gen_random_uuid(), %(now)s, 'running', %(now)s - interval '16 minutes')",
            "JOBS_EXPIRED_LEASES",
        ),
    ],
    ids=["dead runs", "outbox", "leases"],
)
def test_kernels_own_tables_are_watched(
    minute: Minute, state: State, rows: Rows, clock: ManualClock, set_up: str, code: str
) -> None:
    rows.execute(set_up, {"now": clock.now()})

    assert minute().result["jobs"] == "degraded"
    assert state("inngest")["last_code"] == code


def test_three_crons_that_stand_still_are_unhealthy(minute: Minute, rows: Rows, clock: ManualClock) -> None:
    """Last tick 12:00, so 12:05 is missing from 12:15 on."""
    minute()
    clock.advance(s=13 * 60)
    assert minute(ticking=False).result["jobs"] == "unhealthy"

    [row] = rows("SELECT details FROM health_check_history WHERE service = 'inngest' ORDER BY checked_at DESC LIMIT 1")
    assert row["details"]["missedCrons"] == ["watched-cron-0", "watched-cron-1", "watched-cron-2"]


# -- Shopify ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("known", "unhealthy", "age_min", "status"),
    [
        (10, 0, 5, "healthy"),
        (11, 1, 5, "healthy"),
        (10, 1, 5, "degraded"),
        (10, 3, 5, "unhealthy"),
        (10, 3, 11, "unknown"),
        (2, 2, 5, "unknown"),
    ],
    ids=["none", "below 10 %", "10 %", "30 %", "cells of 11 minutes ago", "too few tenants"],
)
def test_share_of_tenants_that_fail_at_shopify(
    minute: Minute,
    state: State,
    rows: Rows,
    clock: ManualClock,
    known: int,
    unhealthy: int,
    age_min: int,
    status: str,
) -> None:
    for n in range(known):
        rows.execute(
            "WITH o AS (INSERT INTO organizations (slug, name) VALUES (%(slug)s, 'x') RETURNING id)"
            " INSERT INTO platform_health_matrix (tenant_id, service_name, status, checked_at)"
            " SELECT id, 'shopify', %(status)s, %(now)s::timestamptz - %(age)s * interval '1 minute' FROM o",
            {
                "slug": f"shop{n}",
                "status": "unhealthy" if n < unhealthy else "healthy",
                "now": clock.now(),
                "age": age_min - 1,  # the check comes a minute later
            },
        )

    done = minute(late_s=0)

    assert done.result["shopify"] == status
    assert state("shopify")["last_result"] == status
    assert [minute().emitted for _ in range(3)] == [[], [], []]  # told by the vendor's own alert only


# -- Redis -----------------------------------------------------------------------------------------------------------


class Redis(ThreadingHTTPServer):
    """A REST Redis: knows PING and INFO."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), RedisHandler)
        self.status = 200
        self.used, self.most = 50 * 1024 * 1024, 100 * 1024 * 1024


class RedisHandler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        server: Any = self.server
        command = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        allowed = self.headers["Authorization"] == "Bearer redis-token"
        info = f"# Memory\r\nused_memory:{server.used}\r\nmaxmemory:{server.most}\r\nused_memory_human:50M\r\n"
        body = json.dumps({"result": "PONG" if command == ["PING"] else info}).encode()
        self.send_response(server.status if allowed else 401)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def redis(bench: Bench) -> Iterator[Redis]:
    server = Redis()
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    bench.settings["KV_REST_API_URL"] = f"http://127.0.0.1:{server.server_address[1]}"
    bench.settings["KV_REST_API_TOKEN"] = "redis-token"
    yield server
    server.shutdown()
    server.server_close()


def test_redis_that_is_not_configured_is_unknown_and_no_alert(minute: Minute, state: State) -> None:
    said = [minute() for _ in range(3)]

    assert [each.result["redis"] for each in said] == ["unknown"] * 3
    assert [each.emitted for each in said] == [[], [], []]
    assert (state("redis")["status"], state("redis")["last_code"]) == ("unknown", "NOT_CONFIGURED")


@pytest.mark.parametrize(
    ("used_mb", "most_mb", "status"),
    [(50, 100, "healthy"), (70, 100, "degraded"), (90, 100, "unhealthy"), (90, 0, "healthy")],
)
def test_memory_of_redis(minute: Minute, redis: Redis, rows: Rows, used_mb: int, most_mb: int, status: str) -> None:
    redis.used, redis.most = used_mb * 1024 * 1024, most_mb * 1024 * 1024

    assert minute().result["redis"] == status

    [row] = rows("SELECT details FROM health_check_history WHERE service = 'redis'")
    assert row["details"]["usedMb"] == used_mb


@pytest.mark.parametrize(
    ("status", "code", "told_at"), [(500, "REDIS_UNAVAILABLE", 3), (401, "AUTH", 2)], ids=["trouble", "refused key"]
)
def test_redis_that_fails(minute: Minute, redis: Redis, state: State, status: int, code: str, told_at: int) -> None:
    minute()
    redis.status = status

    said = [minute() for _ in range(3)]

    assert [n for n, each in enumerate(said, 1) if each.emitted] == [told_at]
    assert state("redis")["last_code"] == code
    assert "redis-token" not in str(said)


def test_redis_that_is_no_longer_configured_closes_its_alert(
    minute: Minute, redis: Redis, bench: Bench, state: State
) -> None:
    minute()
    redis.status = 500
    for _ in range(3):
        minute()
    del bench.settings["KV_REST_API_URL"]

    [(name, over)] = minute().emitted

    assert (name, over["resolve"], over["message"]) == ("alert.critical", True, "not configured")
    assert (state("redis")["status"], state("redis")["alert_open"]) == ("unknown", False)


# -- settings --------------------------------------------------------------------------------------------------------


def test_maintenance_keeps_silent_and_starts_from_zero_afterwards(
    minute: Minute, queues: ScriptedQueues, state: State, rows: Rows
) -> None:
    minute()  # 12:01
    rows.execute(
        "INSERT INTO platform_config (key, value) VALUES ('health.maintenance', %s)",
        (Jsonb([{"from": "2026-11-20T12:00:00Z", "to": "2026-11-20T12:06:00Z", "services": ["inngest"]}]),),
    )
    queues.ages["watched"] = 1800

    during = [minute() for _ in range(4)]  # 12:02 .. 12:05
    after = [minute() for _ in range(3)]  # 12:06 .. 12:08

    assert [each.emitted for each in during] == [[]] * 4
    assert during[0].result["jobs"] == "unhealthy"
    assert [len(each.emitted) for each in after] == [0, 0, 1]
    kept = rows("SELECT details FROM health_check_history WHERE service = 'inngest' ORDER BY checked_at")
    assert [row["details"].get("maintenance", False) for row in kept] == [False, *[True] * 4, *[False] * 3]


def test_service_that_is_switched_off_is_unknown(
    minute: Minute, queues: ScriptedQueues, state: State, rows: Rows
) -> None:
    rows.execute("INSERT INTO platform_config (key, value) VALUES ('health.services', '{\"disabled\": [\"inngest\"]}')")
    queues.ages["watched"] = 1800

    assert minute().result["jobs"] == "unknown"
    assert state("inngest")["status"] == "unknown"


@pytest.mark.parametrize("key", ["health.thresholds", "health.maintenance", "health.services"])
@pytest.mark.parametrize("value", ["[1, 2]", '"x"', '{"disabled": 1, "redis.latency": "x"}', '[{"from": 1}]'])
def test_settings_of_another_shape_are_passed_over(minute: Minute, rows: Rows, key: str, value: str) -> None:
    rows.execute("DELETE FROM platform_config WHERE key = %s", (key,))
    rows.execute("INSERT INTO platform_config (key, value) VALUES (%s, %s::jsonb)", (key, value))

    assert minute().result["shopify"] == "unknown"


# -- late, and without a database ------------------------------------------------------------------------------------


def test_late_tick_gives_the_heartbeat_only(bench: Bench, clock: ManualClock, rows: Rows) -> None:
    at = clock.now().isoformat()
    clock.advance(s=121)
    payload = {"tenantId": "system", "scheduledAt": at}
    bench.send_raw("ops", json.dumps({"job": "ops-health-check-critical", "source": OWN_SOURCE, "payload": payload}))

    [done] = bench.pump("ops")

    assert done.result["database"] == "skipped"
    assert bench.metrics.total("HealthHeartbeat") == 1
    assert rows("SELECT * FROM health_check_state") == []


def test_database_that_refuses_connections_is_told_to_the_alarm_topic(
    make_bench: Callable[..., Bench], registry: Registry, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = make_bench(registry)
    nowhere = psycopg.conninfo.make_conninfo(bench.database_url, host="127.0.0.1", port="1")
    monkeypatch.setattr(bench.connections, "_url", nowhere)

    def minute() -> None:
        bench.send_raw("ops", tick_body("ops-health-check-critical", clock.now().isoformat()))
        bench.pump("ops", most=1)
        clock.advance(s=60)

    minute()
    assert bench.metrics.total("HealthHeartbeat") == 1
    [(subject, text)] = bench.alarms.published
    assert subject == "database unhealthy"
    assert "cannot use the database" in text

    minute()
    assert bench.metrics.total("HealthHeartbeat") == 2
    assert len(bench.alarms.published) == 1

    clock.advance(s=14 * 60)
    minute()
    assert len(bench.alarms.published) == 2


def test_database_that_goes_away_during_the_check_is_told_too(
    minute: Minute, bench: Bench, queues: ScriptedQueues, admin: psycopg.Connection[Any], last_line: LastLine
) -> None:
    minute()

    class Cutting(ScriptedQueues):
        def depths(self, queues: Any) -> Any:
            pid = bench.connections.get().info.backend_pid
            admin.execute("SELECT pg_terminate_backend(%s)", (pid,))
            return {}

    queues.__class__ = Cutting
    found = minute(expect="dead")

    assert found.code == "DATABASE_DOWN"
    assert len(bench.alarms.published) == 1
    assert found.emitted == []  # no alert about the alarm: the topic was told
