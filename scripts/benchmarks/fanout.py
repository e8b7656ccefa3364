"""A tick for 1,000 tenants, each asked by a probe, when every call of the database and of the queue takes 10 ms.

The tenants have schemas and roles like real ones but hold the probed table only. The database stands behind a proxy
that keeps what it is sent for 10 ms; a call of the queue sleeps for 10 ms. One tenant in twenty is due. Beside it: one
bare round trip through the same proxy, a thousand times over, which is what asking one tenant after another costs.
"""

from __future__ import annotations

import socket
import statistics
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from scripts.benchmarks.lab import KEY, Lab, as_login
from scripts.benchmarks.results import Goal, Result, in_turns, ratio
from shared.db.connections import connect
from shared.events import Payload
from shared.jobs import Cron, JobContext, Tick, job
from shared.jobs.ports import OutMessage
from shared.jobs.queues import Queue
from shared.jobs.registry import build_registry
from shared.jobs.testing import Bench, ManualClock, MemoryQueues

TENANTS = 1_000
DUE_EACH = 20
LATENCY_S = 0.010
GOAL_S = 1.5
ROUNDS = 5
ROUND_TRIPS = 20
PROBE = "SELECT 1 FROM bench_due WHERE at <= :now LIMIT 1"

MAKE_TENANTS = """
DO $$
DECLARE slug text;
BEGIN
    FOR n IN 1 .. %(tenants)s LOOP
        slug := 'fan_' || lpad(n::text, 4, '0');
        INSERT INTO public.organizations (slug, name, status) VALUES (slug, slug, 'active');
        EXECUTE format('CREATE ROLE %%1$I NOLOGIN; CREATE SCHEMA %%2$I; CREATE TABLE %%2$I.bench_due (at timestamptz);
                        GRANT USAGE ON SCHEMA %%2$I TO %%1$I; GRANT SELECT ON %%2$I.bench_due TO %%1$I;
                        GRANT %%1$I TO cgk_jobs WITH INHERIT FALSE, SET TRUE', 'cgk_t_' || slug, 'tenant_' || slug);
        IF mod(n, %(due_each)s) = 0 THEN
            EXECUTE format('INSERT INTO %%I.bench_due VALUES (''2026-01-01'')', 'tenant_' || slug);
        END IF;
    END LOOP;
END $$
"""


class Done(Payload):
    pass


@job("bench-probed", cron=Cron("* * * * *", zone="UTC", due=PROBE), queue=Queue("bench-fan"))
def probed(ctx: JobContext, payload: Tick) -> Done:
    """Runs for the tenants that are due."""
    return Done()


class SlowQueues(MemoryQueues):
    """Queues whose calls take their time; they may be made at once, as SQS's may."""

    calls = 0

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock)
        self._lock = threading.Lock()

    def send(self, queue: str, messages: Sequence[OutMessage]) -> list[bool]:
        time.sleep(LATENCY_S)
        with self._lock:
            self.calls += 1
            return super().send(queue, messages)


class Slowly:
    """A port of this machine behind which the database answers LATENCY_S later."""

    def __init__(self, target: str) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                far = socket.socket(socket.AF_UNIX)
                far.connect(self._target)
                for source, sink, wait_s in ((near, far, LATENCY_S), (far, near, 0.0)):
                    threading.Thread(target=_pass_on, args=(source, sink, wait_s), daemon=True).start()


def _pass_on(source: socket.socket, sink: socket.socket, wait_s: float) -> None:
    with suppress(OSError):
        while data := source.recv(1 << 16):
            time.sleep(wait_s)
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


def fanout(lab: Lab) -> list[Result]:
    """Seconds from the tick's message until everything is sent and noted."""
    admin_url = lab.migrated("fan")
    with connect(admin_url, application_name="bench") as admin:
        numbers = {"tenants": TENANTS, "due_each": DUE_EACH}
        psycopg.ClientCursor(admin).execute(MAKE_TENANTS, numbers)
    parts = conninfo_to_dict(as_login(admin_url))
    proxy = Slowly(f"{parts['host']}/.s.PGSQL.{parts.get('port', 5432)}")
    url = make_conninfo(as_login(admin_url), host="127.0.0.1", port=proxy.port, sslmode="disable", gssencmode="disable")
    try:
        return [_measured(lab, url)]
    finally:
        proxy.close()


def _measured(lab: Lab, url: str) -> Result:
    bench = _bench(url)
    ticks = iter(range(1, 10_000))
    begin = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(days=1)

    def tick() -> float:
        # An instant of its own for each round; the clock stands there, so that none is late.
        bench.clock._now = begin + timedelta(minutes=next(ticks))
        began = time.perf_counter()
        report = bench.tick("bench-probed", bench.clock.now())
        took = time.perf_counter() - began
        assert (report.row["state"], report.row["tenants"]) == ("done", TENANTS), report.row
        assert report.row["due"] == TENANTS // DUE_EACH + report.row["failed"], report.row
        bench.queues.queues.clear()
        return took

    def round_trips() -> float:
        conn, began = bench.connections.get(), time.perf_counter()
        for _ in range(ROUND_TRIPS):
            conn.execute("SELECT 1")
        return (time.perf_counter() - began) / ROUND_TRIPS * TENANTS

    tick()
    with lab.profiled(bench.connections.get()):
        tick()
    found = in_turns(lab.rounds(ROUNDS), tick=tick, round_trips=round_trips)
    bench.connections.discard()
    against = f"{TENANTS:,} round trips one by one ({statistics.median(found['round_trips']):.1f} s)"
    share = ratio(found["tick"], found["round_trips"])
    goal = Goal(at_most=GOAL_S, absolute=True)
    return Result(
        f"{TENANTS:,} tenants at {LATENCY_S * 1000:.0f} ms", statistics.median(found["tick"]), "s", share, against, goal
    )


def _bench(url: str) -> Bench:
    bench = Bench(build_registry([probed]), url, {"INTEGRATION_ENCRYPTION_KEY": KEY}, clock=ManualClock())
    slow: Any = SlowQueues(bench.clock)
    bench.queues = slow
    bench.fast = bench._pipeline(bulk=False)
    return bench
