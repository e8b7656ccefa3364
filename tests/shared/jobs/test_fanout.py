"""A tick on its way to 122 tenants: pages, probes, double firings, crashes, late and missed ticks, scopes, dispatch."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from shared.events import Event, Payload
from shared.jobs import Cron, JobContext, Tick, dispatch, fanout, job, pauses
from shared.jobs.messages import Defer, Record
from shared.jobs.ports import OutMessage
from shared.jobs.publisher import Publisher
from shared.jobs.queues import Queue
from shared.jobs.registry import build_registry
from shared.jobs.testing import Bench, Deliver
from shared.jobs.ticks import catch_up, last_ticks, tick_body
from tests.conftest import Rows, with_database
from tests.databases import PooledDatabase

FAN, HEARD = Queue("fan"), Queue("fan-heard")
SLUGS = [f"fan_{n:03}" for n in range(120)]
ALL = ["acme", *SLUGS, "globex"]
WITH_SHOP = SLUGS[::10]
HAS_SHOP = "SELECT status, :slug AS slug FROM shopify_connections WHERE status = 'active' LIMIT 1"
NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
"""The tests' clock starts here."""


class Asked(Event, name="fan.asked"):
    hour: int
    status: str = "-"
    who: str = "-"


class Told(Event, name="fan.told", to_apps=True):
    n: int


class Ran(Payload):
    tick: str
    organizations: int = 0


ran: list[tuple[str, str, str]] = []
"""(job, tenant, tick) of every run."""


def note(ctx: JobContext) -> Ran:
    assert ctx.delivery.tick is not None
    ran.append((ctx.job_id, ctx.tenant.slug, f"{ctx.delivery.tick:%H:%M}"))
    return Ran(tick=ctx.delivery.tick.isoformat())


@job("fan-hourly", cron=Cron("0 * * * *", zone="UTC"), queue=FAN)
def hourly(ctx: JobContext, payload: Tick) -> Ran:
    """Runs hourly for everyone."""
    return note(ctx)


@job("fan-probed", cron=Cron("0 * * * *", zone="UTC", due=HAS_SHOP), queue=FAN)
def probed(ctx: JobContext, payload: Tick) -> Ran:
    """Runs hourly where there is a shop."""
    return note(ctx)


@job("fan-slow", cron=Cron("0 * * * *", zone="UTC", due="SELECT pg_sleep(5) WHERE :slug = 'fan_003'"), queue=FAN)
def slow(ctx: JobContext, payload: Tick) -> Ran:
    """Has a probe that hangs for one tenant."""
    return note(ctx)


@job("fan-never", cron=Cron("* * * * *", zone="UTC", due="SELECT 1 WHERE :now < '2020-01-01'"), queue=FAN)
def never(ctx: JobContext, payload: Tick) -> Ran:
    """Is due for nobody."""
    return note(ctx)


@job("fan-prompt", cron=Cron("* * * * *", zone="UTC", max_late_s=120), queue=FAN, timeout_s=600)
def prompt(ctx: JobContext, payload: Tick) -> Ran:
    """Runs each minute, in time or not at all; a bulk job."""
    return note(ctx)


@job("fan-platform", cron=Cron("*/5 * * * *", zone="UTC", scope="platform"), queue=FAN)
def platform(ctx: JobContext, payload: Tick) -> Ran:
    """Looks at the platform's own tables."""
    with ctx.platform_session(read_only=True) as session:
        count = session.value("SELECT count(*) FROM organizations")
    return note(ctx).model_copy(update={"organizations": count})


@job("fan-both", cron=Cron("30 3 * * *", zone="UTC", scope="tenant+system", suspended=True), queue=FAN)
def both(ctx: JobContext, payload: Tick) -> Ran:
    """Cleans up everywhere."""
    return note(ctx)


@job("fan-intruder", cron=Cron("0 0 1 1 *", zone="UTC"), queue=FAN)
def intruder(ctx: JobContext, payload: Tick) -> Ran:
    """Wants the platform's tables in a tenant's run."""
    with ctx.platform_session():
        return note(ctx)


@job("fan-hear", on=Asked, queue=HEARD)
def hear(ctx: JobContext, payload: Asked) -> Ran:
    """Listens to the dispatch."""
    ran.append((ctx.job_id, ctx.tenant.slug, f"{payload.hour:02}"))
    return Ran(tick="-")


def asked(tick: Tick) -> Asked:
    if tick.tenant == "fan_020":
        raise KeyError("a fact that is not there")
    return Asked(hour=tick.scheduled_at.hour, status=tick.facts["status"], who=tick.facts["slug"])


EMITTING = dispatch(
    "fan-emitting",
    cron=Cron("30 * * * *", zone="UTC", due=HAS_SHOP),
    queue=FAN,
    emits={Asked: asked, Told: lambda tick: [Told(n=1), Told(n=2)]},
    summary="Asks where there is a shop.",
)
SPREADING = dispatch(
    "fan-spreading",
    cron=Cron("*/5 * * * *", zone="UTC", scope="platform_fanout", spread_s=240),
    queue=FAN,
    emits={Asked: lambda tick: Asked(hour=tick.scheduled_at.hour, who=tick.tenant)},
    summary="Asks everyone and the platform, spread over four minutes.",
)

REGISTRY = build_registry([hourly, probed, slow, never, prompt, platform, both, intruder, hear, EMITTING, SPREADING])

MAKE = """
INSERT INTO public.organizations (slug, name, status) VALUES ('{slug}', '{slug}', 'active');
DO $$ BEGIN CREATE ROLE cgk_t_{slug} NOLOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$;
GRANT cgk_tenants TO cgk_t_{slug};
GRANT cgk_t_{slug} TO cgk_jobs;
CREATE SCHEMA tenant_{slug};
GRANT USAGE ON SCHEMA tenant_{slug} TO cgk_t_{slug};
CREATE TABLE tenant_{slug}.shopify_connections (status text);
GRANT SELECT ON tenant_{slug}.shopify_connections TO cgk_t_{slug};
"""
CONNECT = "INSERT INTO tenant_{slug}.shopify_connections VALUES ('active');"


@pytest.fixture(scope="module")
def pooled_database(server_url: str, template: str) -> Iterator[PooledDatabase]:
    """The template with 120 more tenants, which have only the probed table; every tenth has a shop."""
    name = f"cgk_fanout_{os.getpid()}"
    with psycopg.connect(server_url, autocommit=True) as admin:
        admin.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    with psycopg.connect(with_database(server_url, name)) as admin:
        admin.execute("".join(MAKE.format(slug=slug) for slug in SLUGS))
        admin.execute("".join(CONNECT.format(slug=slug) for slug in WITH_SHOP))
    database = PooledDatabase(server_url, name)
    yield database
    database.drop()
    with psycopg.connect(server_url, autocommit=True) as admin:
        admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
def fan(make_bench: Callable[..., Bench]) -> Bench:
    ran.clear()
    return make_bench(REGISTRY)


class Inline:
    """An executor that does each call at once, so that a test knows what has been sent when."""

    def __init__(self, workers: int, **options: Any) -> None:
        pass

    def __enter__(self) -> Inline:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def submit(self, call: Callable[..., Any], *arguments: Any) -> Future[Any]:
        done: Future[Any] = Future()
        done.set_result(call(*arguments))
        return done


@pytest.fixture
def inline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fanout, "ThreadPoolExecutor", Inline)


class Crash(BaseException):
    """The process dies here."""


def ticks(rows: Rows) -> list[tuple[str, str, str]]:
    """(job, HH:MM, state) of the ledger."""
    found = rows("SELECT job, tick_at, state FROM jobs.ticks ORDER BY job, tick_at")
    return [(row["job"], f"{row['tick_at'].astimezone(UTC):%H:%M}", row["state"]) for row in found]


def fire(fan: Bench, job_id: str, at: datetime) -> None:
    """The schedule's message, without handling it."""
    fan.send_raw(REGISTRY.jobs[job_id].queue_name, tick_body(job_id, at.isoformat()))


def test_tick_starts_one_message_per_active_tenant(fan: Bench, rows: Rows) -> None:
    report = fan.tick("fan-hourly")

    assert sorted(report.started) == ALL
    message = next(m for m in fan.queues.queues["fan"] if m.group == "fan_000")
    assert json.loads(message.body) == {
        "job": "fan-hourly",
        "source": "cgk.jobs",
        "payload": {
            "tenantId": "fan_000",
            "scheduledAt": "2026-11-20T12:00:00Z",
            "_meta": {
                "id": "tick:2026-11-20T12:00Z",
                "correlationId": "fan-hourly:tick:2026-11-20T12:00Z:fan_000",
                "hops": 0,
                "sentAt": "2026-11-20T12:00:00+00:00",
            },
        },
    }
    row = report.row
    assert (row["state"], row["reached"], row["tenants"], row["due"], row["sent"]) == ("done", "globex", 122, 122, 122)
    assert ticks(rows) == [("fan-hourly", "12:00", "done")]


def test_tenant_that_is_not_active_or_not_provisioned_gets_no_cron(fan: Bench, admin: psycopg.Connection[Any]) -> None:
    admin.execute("UPDATE public.organizations SET status = 'suspended' WHERE slug = 'fan_001'")
    admin.execute("UPDATE public.organizations SET status = 'onboarding' WHERE slug = 'fan_002'")
    admin.execute("INSERT INTO public.organizations (slug, name, status) VALUES ('fan_without_role', 'N', 'active')")

    started = fan.tick("fan-hourly").started

    assert set(ALL) - set(started) == {"fan_001", "fan_002"}
    assert "fan_without_role" not in started


def test_tenant_suspended_after_the_fan_out_is_skipped(fan: Bench, admin: psycopg.Connection[Any]) -> None:
    fan.tick("fan-probed")
    admin.execute("UPDATE public.organizations SET status = 'suspended' WHERE slug = 'fan_010'")

    states = Counter(done.state for done in fan.drain())

    assert states == {"succeeded": len(WITH_SHOP) - 1, "skipped": 1}


def test_only_tenants_whose_probe_finds_something_get_a_message(fan: Bench) -> None:
    report = fan.tick("fan-probed")

    assert sorted(report.started) == WITH_SHOP
    assert (report.row["tenants"], report.row["due"], report.row["failed"]) == (122, 12, 0)


def test_schema_that_fails_the_probe_counts_as_due_and_is_reported(
    fan: Bench, admin: psycopg.Connection[Any], caplog: pytest.LogCaptureFixture
) -> None:
    admin.execute("DROP TABLE tenant_fan_005.shopify_connections")
    admin.execute("REVOKE SELECT ON tenant_fan_077.shopify_connections FROM cgk_t_fan_077")

    report = fan.tick("fan-probed")

    assert sorted(report.started) == sorted([*WITH_SHOP, "fan_005", "fan_077"])
    assert (report.row["due"], report.row["failed"]) == (14, 2)
    assert sum("due probe failed" in record.message for record in caplog.records) == 2


def test_probe_that_hangs_makes_the_rest_of_its_page_due(
    fan: Bench, monkeypatch: pytest.MonkeyPatch, rows: Rows
) -> None:
    monkeypatch.setattr(fanout, "PROBE_TIMEOUT_S", 0.1)

    report = fan.tick("fan-slow")

    # The first page: acme and fan_000 .. fan_048; the other pages are asked as ever.
    assert sorted(report.started) == SLUGS[3:49]
    assert report.row["failed"] == 46
    assert rows("SELECT current_setting('statement_timeout') AS t, current_user::text AS u")[0]["t"] == "0"


def test_probe_runs_as_the_tenant_and_leaves_nothing_behind(fan: Bench) -> None:
    probe = "SELECT current_user::text AS role, current_setting('cgk.tenant_slug') AS slug, count(*) AS organizations"
    conn = fan.connections.get()
    ids = [
        row[0] for row in conn.execute("SELECT id FROM public.organizations WHERE slug LIKE 'fan_00_' ORDER BY slug")
    ]
    query = "SELECT slug, facts, failed FROM jobs.due(%s, %s, %s, now())"

    with conn.transaction():
        found = conn.execute(query, (f"{probe} FROM public.organizations", SLUGS[:3], ids[:3])).fetchall()
        after = conn.execute("SELECT current_user::text").fetchone()

    assert found == [(slug, {"role": f"cgk_t_{slug}", "slug": slug, "organizations": 1}, None) for slug in SLUGS[:3]]
    assert after == ("cgk_jobs",)


def test_tick_that_finds_nobody_due_costs_few_round_trips(fan: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    fan.tick("fan-never")
    trips: list[str] = []
    execute = psycopg.Cursor.execute

    def counted(self: Any, query: Any, *args: Any, **options: Any) -> Any:
        trips.append(str(query))
        return execute(self, query, *args, **options)

    monkeypatch.setattr(psycopg.Cursor, "execute", counted)
    fan.clock.advance(s=60)
    report = fan.tick("fan-never")

    assert report.started == []
    # Alive?, pauses, claim, list, three pages of probes, end; and what the bench reads.
    assert len(trips) <= 9 + 2


def test_double_firing_does_nothing(fan: Bench, rows: Rows) -> None:
    fan.tick("fan-probed")

    assert fan.tick("fan-probed").started == []
    assert fan.tick("fan-probed").row["attempts"] == 1
    fan.drain()
    assert len(ran) == len(set(ran)) == len(WITH_SHOP)


def test_two_firings_at_once_do_the_work_once(fan: Bench, rows: Rows) -> None:
    fire(fan, "fan-hourly", NOON)
    [record] = fan.queues.receive("fan", 1, 540)
    live = "INSERT INTO jobs.ticks (job, tick_at, state, owner, lease_until, attempts) VALUES (%s, %s, %s, %s, %s, 1)"
    rows.execute(live, ("fan-hourly", NOON, "running", uuid4(), NOON + timedelta(seconds=100)))

    fan.invoke("fan", [record])

    [message] = fan.queues.queues["fan"]
    assert message.visible_at == NOON + timedelta(seconds=101)


def test_killed_fan_out_goes_on_from_its_page(
    fan: Bench, inline: None, monkeypatch: pytest.MonkeyPatch, rows: Rows
) -> None:
    send, calls = fan.queues.send, []

    def dies_in_the_third_page(queue: str, messages: Sequence[OutMessage]) -> list[bool]:
        calls.append(queue)
        if len(calls) == 12:
            raise Crash
        return send(queue, messages)

    monkeypatch.setattr(fanout, "SEND_PAGE", 50)
    fire(fan, "fan-hourly", NOON)
    monkeypatch.setattr(fan.queues, "send", dies_in_the_third_page)
    with pytest.raises(Crash):
        fan.pump("fan")
    monkeypatch.setattr(fan.queues, "send", send)
    [row] = rows("SELECT reached, tenants, sent, state FROM jobs.ticks")
    assert row == {"reached": "fan_098", "tenants": 100, "sent": 100, "state": "running"}

    fan.drain()

    [row] = rows("SELECT reached, tenants, sent, state, attempts FROM jobs.ticks")
    assert row == {"reached": "globex", "tenants": 122, "sent": 122, "state": "done", "attempts": 2}
    assert sorted(slug for _, slug, _ in ran) == ALL


def test_refused_sends_bring_the_tick_back_and_nobody_runs_twice(fan: Bench, rows: Rows) -> None:
    fire(fan, "fan-hourly", NOON)
    fan.queues.refuse_sends = 3

    fan.pump("fan", most=1)

    assert ticks(rows) == [("fan-hourly", "12:00", "running")]
    fan.drain()
    assert ticks(rows) == [("fan-hourly", "12:00", "done")]
    assert sorted(slug for _, slug, _ in ran) == ALL


def test_fan_out_that_runs_out_of_time_goes_on_with_the_same_message(
    fan: Bench, inline: None, monkeypatch: pytest.MonkeyPatch, rows: Rows
) -> None:
    monkeypatch.setattr(fanout, "SEND_PAGE", 50)
    record = Record("m1", "r1", tick_body("fan-hourly", NOON.isoformat()), 1, NOON, "fan")
    [fired], [] = fanout.ticks_among([record], REGISTRY)
    left = iter([90.0, 5.0])

    verdict = fanout.fan_out(
        fired,
        fan.fast.shop,
        fan.queues,
        owner=uuid4(),
        lease_until=NOON + timedelta(seconds=100),
        remaining_s=lambda: next(left),
    )

    assert verdict == Defer(1.0, "FAN_OUT_GOES_ON")
    assert rows("SELECT reached, owner, lease_until FROM jobs.ticks") == [
        {"reached": "fan_048", "owner": None, "lease_until": None}
    ]
    fan.tick("fan-hourly")
    assert rows("SELECT state, sent FROM jobs.ticks") == [{"state": "done", "sent": 122}]


def test_runs_of_later_pages_start_a_little_spread(fan: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fanout, "SEND_PAGE", 50)
    fan.tick("fan-hourly")

    waits = {m.group: (m.visible_at - fan.clock.now()).total_seconds() for m in fan.queues.queues["fan"]}

    assert {waits[slug] for slug in ["acme", *SLUGS[:49]]} == {0}
    assert len({waits[slug] for slug in SLUGS[49:]}) > 10
    assert max(waits.values()) <= fanout.SPREAD_S


# Late and missed.


def test_backlog_of_ticks_makes_one_catch_up(fan: Bench, rows: Rows) -> None:
    for hour in range(5):
        fire(fan, "fan-probed", NOON + timedelta(hours=hour))
    fan.clock.advance(s=4 * 3600 + 1800)

    fan.drain()

    assert {tick for _, _, tick in ran} == {"16:00"}
    assert len(ran) == len(WITH_SHOP)
    assert Counter(state for _, _, state in ticks(rows)) == {"superseded": 4, "done": 1}


def test_tick_of_a_minute_ago_is_not_late(fan: Bench, rows: Rows) -> None:
    fire(fan, "fan-never", NOON)
    fan.clock.advance(s=100)

    fan.pump("fan")

    assert ticks(rows) == [("fan-never", "12:00", "done")]


def test_tick_that_is_too_late_starts_nothing(fan: Bench, rows: Rows) -> None:
    fire(fan, "fan-prompt", NOON)
    fan.clock.advance(s=121)

    fan.drain()

    assert ran == []
    assert ticks(rows) == [("fan-prompt", "12:00", "late")]


def test_fan_out_that_never_comes_to_an_end_is_given_up(fan: Bench, rows: Rows) -> None:
    fire(fan, "fan-emitting", NOON)
    fan.bus.refuse = 10_000
    fan.pump("fan")
    fan.clock.advance(days=1, s=1)

    fan.pump("fan")

    assert fan.queues.queues["fan"] == []
    assert ticks(rows) == [("fan-emitting", "12:00", "late")]


def test_cron_started_by_hand_runs_for_this_instant(fan: Bench) -> None:
    Publisher(fan.bus, fan.queues, REGISTRY, clock=fan.clock).trigger("fan-hourly", {}, "acme")

    fan.drain()

    assert ran == [("fan-hourly", "acme", "12:00")]


def test_bulk_job_fans_out_on_its_own_queue(fan: Bench) -> None:
    report = fan.tick("fan-prompt")

    assert len(report.started) == len(fan.queues.queues["fan-bulk"]) == 122


@pytest.mark.parametrize("placeholder", ["<aws.scheduler.scheduled-time>", "soon"])
def test_placeholder_that_was_not_filled_in_is_the_last_instant_before_the_message(
    fan: Bench, rows: Rows, placeholder: str
) -> None:
    fan.clock.advance(s=95)
    fan.send_raw("fan", tick_body("fan-probed", placeholder))
    fan.clock.advance(s=10)

    fan.drain()

    assert ticks(rows) == [("fan-probed", "12:00", "done")]


def test_missed_tick_is_sent_again_once(fan: Bench, rows: Rows) -> None:
    crons = [hourly, probed]
    assert catch_up(fan.connections.get(), crons, fan.queues, fan.clock.now()) == []
    assert {state for _, _, state in ticks(rows)} == {"noticed"}
    fan.clock.advance(s=3 * 3600)
    fan.tick("fan-hourly")
    fan.queues.queues["fan"].clear()
    fan.clock.advance(s=600)

    missed = catch_up(fan.connections.get(), crons, fan.queues, fan.clock.now())

    assert missed == ["fan-probed"]
    assert catch_up(fan.connections.get(), crons, fan.queues, fan.clock.now()) == []
    fan.drain()
    assert {(name, tick) for name, _, tick in ran} == {("fan-probed", "15:00")}
    assert last_ticks(fan.connections.get(), ["fan-probed", "fan-never"]) == {
        "fan-probed": NOON + timedelta(hours=3),
        "fan-never": None,
    }


def test_missed_tick_that_would_be_too_late_is_let_go(fan: Bench, rows: Rows) -> None:
    fan.tick("fan-prompt")
    fan.clock.advance(s=3600)

    assert catch_up(fan.connections.get(), [prompt], fan.queues, fan.clock.now()) == []


def test_tick_of_a_paused_job_waits(fan: Bench, rows: Rows) -> None:
    conn = fan.connections.get()
    pauses.pause(conn, "job", "fan-probed", now=fan.clock.now())
    fire(fan, "fan-probed", NOON)

    fan.pump("fan")
    assert ticks(rows) == []

    pauses.resume(conn, "job", "fan-probed", now=fan.clock.now())
    fan.clock.advance(s=60)
    fan.drain()
    assert len(ran) == len(WITH_SHOP)


def test_tick_of_a_job_that_lost_its_schedule_is_dropped(fan: Bench) -> None:
    fan.send_raw("fan-heard", tick_body("fan-hear", NOON.isoformat()))

    fan.pump("fan-heard")

    assert fan.queues.queues["fan-heard"] == []
    assert fan.queues.dead("fan-heard") == []


def test_tick_of_an_unknown_job_waits_for_the_deploy(fan: Bench) -> None:
    fan.send_raw("fan", tick_body("fan-of-tomorrow", NOON.isoformat()))

    fan.pump("fan")
    assert len(fan.queues.queues["fan"]) == 1

    fan.drain()
    [letter] = fan.queues.dead("fan")
    assert letter.attributes["code"] == "UNKNOWN_JOB"


# Scopes.


def test_platform_cron_runs_once_as_the_platform(fan: Bench, tenant: Any) -> None:
    done = Deliver(fan, tenant).tick("fan-platform", tenant="system")

    assert ran == [("fan-platform", "system", "12:00")]
    assert done.result["organizations"] == 122


def test_cron_of_both_runs_for_tenants_in_maintenance_and_for_the_platform(
    fan: Bench, admin: psycopg.Connection[Any]
) -> None:
    admin.execute("UPDATE public.organizations SET status = 'suspended' WHERE slug = 'fan_001'")
    admin.execute("UPDATE public.organizations SET status = 'onboarding' WHERE slug = 'fan_002'")

    report = fan.tick("fan-both")
    fan.drain()

    assert sorted(slug for _, slug, _ in ran) == sorted({*ALL, "system"} - {"fan_002"})
    assert (report.row["tenants"], report.row["sent"]) == (121, 122)


def test_tenant_s_run_gets_no_platform_session(fan: Bench, tenant: Any) -> None:
    done = Deliver(fan, tenant).tick("fan-intruder", expect="retrying")

    assert isinstance(done.error, RuntimeError)


def test_one_tenant_s_run_of_a_tick(fan: Bench, tenant: Any) -> None:
    done = Deliver(fan, tenant).tick("fan-hourly", at=NOON + timedelta(hours=2), tenant="fan_040")

    assert done.result["tick"] == "2026-11-20T14:00:00+00:00"
    assert ran == [("fan-hourly", "fan_040", "14:00")]
    assert len(fan.queues.queues["fan"]) == 121


# A cron without code.


def test_dispatch_publishes_for_the_due_tenants_without_a_run(fan: Bench, rows: Rows) -> None:
    report = fan.tick("fan-emitting", NOON + timedelta(minutes=30))

    asked = [detail for name, detail in report.published if name == "fan.asked"]
    told = Counter(detail["tenantId"] for name, detail in report.published if name == "fan.told")
    # One tenant's facts broke its event; the others have theirs.
    assert sorted(detail["tenantId"] for detail in asked) == [slug for slug in WITH_SHOP if slug != "fan_020"]
    assert {(d["hour"], d["status"], d["who"] == d["tenantId"]) for d in asked} == {(12, "active", True)}
    assert set(told.values()) == {2}
    assert report.started == []
    assert rows("SELECT 1 FROM jobs.runs") == []
    meta = asked[0]["_meta"]
    assert meta["key"] == "fan-emitting:tick:2026-11-20T12:30Z:fan.asked:0"


def test_event_published_twice_starts_each_listener_once(fan: Bench, rows: Rows) -> None:
    fan.tick("fan-emitting")
    rows.execute("DELETE FROM jobs.ticks")
    fan.tick("fan-emitting")

    states = Counter(done.state for done in fan.drain())

    assert states == {"succeeded": 11, "duplicate": 11}
    assert len(set(ran)) == len(ran) == 11


def test_bus_that_refuses_brings_the_tick_back(fan: Bench, rows: Rows) -> None:
    fire(fan, "fan-emitting", NOON)
    fan.bus.refuse = 1

    fan.pump("fan", most=1)
    assert ticks(rows) == [("fan-emitting", "12:00", "running")]

    fan.drain()
    assert ticks(rows) == [("fan-emitting", "12:00", "done")]
    assert len(set(ran)) == 11


def test_spread_dispatch_goes_to_the_listeners_with_the_same_delay_at_every_tick(fan: Bench) -> None:
    def waits() -> dict[str, float]:
        fan.tick("fan-spreading")
        now, found = fan.clock.now(), fan.queues.queues["fan-heard"]
        spread = {str(m.group): (m.visible_at - now).total_seconds() for m in found if m.visible_at > now}
        found.clear()
        return spread

    first = waits()
    fan.clock.advance(s=300)

    assert waits() == first
    assert len(first) > 110
    assert 0 < min(first.values()) <= max(first.values()) <= 240


def test_dispatch_can_be_run_by_hand_for_one_tenant(fan: Bench, tenant: Any) -> None:
    deliver = Deliver(fan, tenant)
    payload = {"scheduledAt": "2026-11-20T09:30:00Z"}

    with_shop = deliver.job("fan-emitting", payload, tenant="fan_030")
    without = deliver.job("fan-emitting", payload, tenant="acme")

    assert with_shop.result == {"emitted": 3}
    assert [name for name, _ in with_shop.emitted] == ["fan.asked", "fan.told", "fan.told"]
    assert without.result == {"emitted": 0}
