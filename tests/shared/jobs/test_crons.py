"""Cron expressions: what is refused, EventBridge's dialect, and the instants over both changes of the clock."""

from __future__ import annotations

import csv
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from shared.events import Event, Payload
from shared.jobs import Cron, JobContext, Tick, dispatch, job
from shared.jobs.crons import dispatched, tick_id
from shared.jobs.declaration import Delivery
from shared.jobs.errors import DeclarationError
from shared.jobs.queues import Queue
from tests.conftest import shared_material

QUEUE = Queue("cron-tests")


class CronAsked(Event, name="cron-test.asked", to_apps=True):
    n: int = 0


class Nothing(Payload):
    pass


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("unix", "eventbridge"),
    [
        ("* * * * *", "cron(* * * * ? *)"),
        ("*/5 * * * *", "cron(0/5 * * * ? *)"),
        ("*/1 * * * *", "cron(* * * * ? *)"),
        ("30 * * * *", "cron(30 * * * ? *)"),
        ("7 5 * * *", "cron(7 5 * * ? *)"),
        ("05 08 * * *", "cron(5 8 * * ? *)"),
        ("0 */4 * * *", "cron(0 0/4 * * ? *)"),
        ("0 9,14 * * 1-5", "cron(0 9,14 ? * MON-FRI *)"),
        ("0 10 * * 1", "cron(0 10 ? * MON *)"),
        ("0 3 * * 0", "cron(0 3 ? * SUN *)"),
        ("0 3 * * 7", "cron(0 3 ? * SUN *)"),
        ("0 3 * * sat", "cron(0 3 ? * SAT *)"),
        ("0 3 * * 5-7", "cron(0 3 ? * SUN,FRI,SAT *)"),
        ("0 3 * * 1,3,5", "cron(0 3 ? * MON,WED,FRI *)"),
        ("0 3 * * */2", "cron(0 3 ? * SUN,TUE,THU,SAT *)"),
        ("0 3 * * 0-6", "cron(0 3 * * ? *)"),
        ("0 4 1 * *", "cron(0 4 1 * ? *)"),
        ("0 2 2 * *", "cron(0 2 2 * ? *)"),
        ("0 2 */10 * *", "cron(0 2 1/10 * ? *)"),
        ("0 2 1 jan,JUL *", "cron(0 2 1 1,7 ? *)"),
        ("10-40/15 8-18 * * *", "cron(10,25,40 8-18 * * ? *)"),
    ],
)
def test_unix_cron_in_eventbridge_s_dialect(unix: str, eventbridge: str) -> None:
    assert Cron(unix, zone="UTC").to_eventbridge() == eventbridge


def test_every_cron_of_the_platform_converts() -> None:
    with shared_material("catalogue/routes.csv").open(encoding="utf-8", newline="") as lines:
        routes = [row for row in csv.reader(lines) if row[4:5] == ["cron"]]

    crons = [Cron(row[5], zone=row[6]) for row in routes]

    assert len(crons) == 82
    for cron in crons:
        minute, hour, day, month, weekday, year = cron.to_eventbridge()[5:-1].split()
        assert [day, weekday].count("?") == 1
        assert (month, year) == ("*", "*")
        assert "/" not in minute + hour or minute.startswith("0/") or hour.startswith("0/")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("0 0 1 * 1", "EventBridge takes one; declare two jobs"),
        ("0 0 31 2 *", "never fires"),
        ("0 0 * *", "five fields"),
        ("0 0 0 * * *", "five fields"),
        ("@daily", "five fields"),
        ("60 * * * *", "'60' is no minute"),
        ("0 24 * * *", "'24' is no hour"),
        ("0 0 0 * *", "'0' is no day of month"),
        ("0 0 * 13 *", "'13' is no month"),
        ("0 0 * * 8", "'8' is no day of week"),
        ("0 0 ? * 1", "is no day of month"),
        ("0 0 L * *", "'L' is no day of month"),
        ("5/10 * * * *", "write 5-59/10"),
        ("*/0 * * * *", "must be at least 1"),
        ("40-10 * * * *", "runs backwards"),
        ("1, * * * *", "is no minute"),
    ],
)
def test_expression_that_cannot_work_is_refused(text: str, says: str) -> None:
    with pytest.raises(DeclarationError, match=says):
        Cron(text, zone="UTC")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, "has no zone"),
        ({"zone": "Mars/Olympus"}, "is no IANA time zone"),
        ({"zone": "UTC", "scope": "platform", "due": "SELECT 1"}, "drop due="),
        ({"zone": "UTC", "due": "SELECT EXISTS (SELECT 1)"}, "SELECT 1 WHERE EXISTS"),
        ({"zone": "UTC", "max_late_s": 30}, "below the scheduler's own 60 s"),
        ({"zone": "UTC", "spread_s": 901}, r"within 0\.\.900"),
    ],
)
def test_option_that_cannot_work_is_refused(options: dict[str, object], says: str) -> None:
    with pytest.raises(DeclarationError, match=says):
        Cron("0 * * * *", **options)  # type: ignore[arg-type]


BERLIN, NEW_YORK = "Europe/Berlin", "America/New_York"


@pytest.mark.parametrize(
    ("text", "zone", "start", "instants"),
    [
        # Summer begins in Berlin on 2026-03-29: 02:00 CET becomes 03:00 CEST.
        ("0 8 * * *", BERLIN, "2026-03-28T00:00", ["2026-03-28T07:00", "2026-03-29T06:00", "2026-03-30T06:00"]),
        ("30 2 * * *", BERLIN, "2026-03-28T00:00", ["2026-03-28T01:30", "2026-03-30T00:30"]),
        ("0 * * * *", BERLIN, "2026-03-28T23:30", ["2026-03-29T00:00", "2026-03-29T01:00", "2026-03-29T02:00"]),
        ("30 1,2,3 * * *", BERLIN, "2026-03-29T00:00", ["2026-03-29T00:30", "2026-03-29T01:30", "2026-03-29T23:30"]),
        # It ends on 2026-10-25: 03:00 CEST becomes 02:00 CET; 02:30 comes twice and fires at its first.
        ("0 8 * * *", BERLIN, "2026-10-24T00:00", ["2026-10-24T06:00", "2026-10-25T07:00", "2026-10-26T07:00"]),
        ("30 2 * * *", BERLIN, "2026-10-24T12:00", ["2026-10-25T00:30", "2026-10-26T01:30"]),
        ("0 * * * *", BERLIN, "2026-10-24T23:30", ["2026-10-25T00:00", "2026-10-25T02:00", "2026-10-25T03:00"]),
        ("30 2 * * *", BERLIN, "2026-10-25T00:30", ["2026-10-26T01:30"]),
        ("30 2 * * *", BERLIN, "2026-10-25T00:59", ["2026-10-26T01:30"]),
        # New York: 2026-03-08 and 2026-11-01.
        ("0 8 * * 1-5", NEW_YORK, "2026-03-06T12:00", ["2026-03-06T13:00", "2026-03-09T12:00", "2026-03-10T12:00"]),
        ("30 2 * * *", NEW_YORK, "2026-03-07T08:00", ["2026-03-09T06:30"]),
        ("*/30 * * * *", NEW_YORK, "2026-03-08T06:00", ["2026-03-08T06:30", "2026-03-08T07:00", "2026-03-08T07:30"]),
        ("0 8 * * *", NEW_YORK, "2026-10-31T00:00", ["2026-10-31T12:00", "2026-11-01T13:00"]),
        ("30 1 * * *", NEW_YORK, "2026-10-31T12:00", ["2026-11-01T05:30", "2026-11-02T06:30"]),
        ("*/30 * * * *", NEW_YORK, "2026-11-01T04:30", ["2026-11-01T05:00", "2026-11-01T05:30", "2026-11-01T07:00"]),
        # No change, other zones, rare days.
        ("0 8 * * *", "Asia/Kolkata", "2026-03-08T00:00", ["2026-03-08T02:30", "2026-03-09T02:30"]),
        ("0 0 29 2 *", "UTC", "2026-01-01T00:00", ["2028-02-29T00:00", "2032-02-29T00:00"]),
        ("0 0 31 * *", "UTC", "2026-01-31T00:00", ["2026-03-31T00:00", "2026-05-31T00:00"]),
        ("0 6 * * 0", "UTC", "2026-03-06T00:00", ["2026-03-08T06:00", "2026-03-15T06:00"]),
        ("0 10 * * 1", NEW_YORK, "2026-10-27T00:00", ["2026-11-02T15:00", "2026-11-09T15:00"]),
    ],
)
def test_next_instants(text: str, zone: str, start: str, instants: list[str]) -> None:
    cron, at = Cron(text, zone=zone), utc(start)
    found: list[datetime] = []
    for _ in instants:
        following = cron.next(at)
        assert following is not None
        found.append(following)
        at = following

    assert found == [utc(instant) for instant in instants]


@pytest.mark.parametrize("zone", [BERLIN, NEW_YORK, "Australia/Lord_Howe", "UTC"])
@pytest.mark.parametrize("text", ["*/20 * * * *", "30 2 * * *", "15 1,2,3 * * 0", "0 0 * * *"])
def test_previous_and_between_agree_with_next_over_a_year(text: str, zone: str) -> None:
    cron, start, end = Cron(text, zone=zone), utc("2026-01-01T00:00"), utc("2026-12-31T00:00")
    walked = list(cron.between(start, end))

    assert walked == sorted(set(walked))
    assert all(cron.previous(instant) == instant for instant in walked[::50])
    for earlier, later in list(pairwise(walked))[::50]:
        assert cron.next(earlier) == later
        assert cron.previous(later - timedelta(seconds=1)) == earlier
    walls = [instant.astimezone(ZoneInfo(zone)).replace(tzinfo=None) for instant in walked]
    assert len(walls) == len(set(walls)), "a local time fired twice"


def test_missing_tick_of_the_day_after_the_clock_change() -> None:
    digest = Cron("0 8 * * 1-5", zone=NEW_YORK)

    assert digest.previous(utc("2026-03-09T13:01")) == utc("2026-03-09T12:00")
    assert digest.previous(utc("2026-03-07T18:00")) == utc("2026-03-06T13:00")


def test_probe_s_parameters_become_places_and_casts_stay() -> None:
    cron = Cron("0 * * * *", zone="UTC", due="SELECT 1 FROM t WHERE a = :org_id::uuid AND b LIKE '%:x' AND c < :now;")

    assert cron.probe == "SELECT 1 FROM t WHERE a = $1::uuid AND b LIKE '%:x' AND c < $3"
    assert cron.named_probe.startswith("SELECT 1 FROM t WHERE a = %(org_id)s::uuid AND b LIKE '%%:x' AND c < %(now)s")


# Declarations.


def handler(ctx: JobContext, payload: Tick) -> Nothing:
    """Does nothing."""
    return Nothing()


HOURLY = Cron("0 * * * *", zone="UTC")
PROBED = Cron("0 * * * *", zone="UTC", scope="platform_fanout", due="SELECT 1")


def test_cron_job_has_no_event_and_its_key_is_the_tick() -> None:
    declared = job("cron-test", cron=HOURLY, queue=QUEUE)(handler)
    at = utc("2026-11-20T12:00")

    assert (declared.on, declared.cron, declared.tenants) == ((), HOURLY, "active")
    assert declared.key(Tick(scheduled_at=at), Delivery(tick_id(at), at, at)) == "tick:2026-11-20T12:00Z"


@pytest.mark.parametrize(
    ("scope", "tenants"),
    [("tenant", "active"), ("platform", "system"), ("platform_fanout", "system"), ("tenant+system", "any")],
)
def test_scope_decides_whom_the_job_serves(scope: str, tenants: str) -> None:
    cron = Cron("0 * * * *", zone="UTC", scope=scope)  # type: ignore[arg-type]

    assert job("cron-test", cron=cron, queue=QUEUE)(handler).tenants == tenants


class Needy(Tick):
    wanted: int


class Optional(Tick):
    wanted: int | None = None


def needy(ctx: JobContext, payload: Needy) -> Nothing:
    """Wants what no schedule gives."""
    return Nothing()


def optional(ctx: JobContext, payload: Optional) -> Nothing:
    """Takes more when it is started by hand."""
    return Nothing()


def eventful(ctx: JobContext, payload: CronAsked) -> Nothing:
    """Takes an event."""
    return Nothing()


def test_payload_may_add_optional_fields() -> None:
    assert job("cron-test", cron=HOURLY, queue=QUEUE)(optional).payload is Optional


@pytest.mark.parametrize(
    ("options", "function", "says"),
    [
        ({}, handler, "either on= "),
        ({"cron": HOURLY, "on": CronAsked}, handler, "exactly one"),
        ({"cron": HOURLY}, eventful, "takes a Tick, not CronAsked"),
        ({"cron": HOURLY}, needy, "a schedule cannot fill wanted"),
        ({"cron": HOURLY, "tenants": "system"}, handler, "does not fit the cron's scope"),
        ({"cron": PROBED}, handler, "make it a dispatch"),
    ],
)
def test_cron_job_that_cannot_work_is_refused(options: dict[str, object], function: object, says: str) -> None:
    with pytest.raises(DeclarationError, match=says):
        job("cron-test", queue=QUEUE, **options)(function)  # type: ignore[arg-type]


def test_dispatch_is_a_job_of_the_module_that_declares_it() -> None:
    declared = dispatch(
        "cron-test-dispatch",
        cron=HOURLY,
        queue=QUEUE,
        emits={CronAsked: lambda tick: CronAsked(n=tick.scheduled_at.hour)},
        summary="Asks hourly.",
    )

    assert (declared.module, declared.summary, declared.emits) == (__name__, "Asks hourly.", (CronAsked,))
    assert declared.payload is Tick


def test_dispatch_without_events_is_refused() -> None:
    with pytest.raises(DeclarationError, match="does nothing"):
        dispatch("cron-test-dispatch", cron=HOURLY, queue=QUEUE, emits={}, summary="Nothing.")


def test_each_event_of_a_tick_has_a_key_of_its_own() -> None:
    tick = Tick(scheduled_at=utc("2026-11-20T12:00"), facts={"kinds": [1, 2]})

    events = dispatched("a-b", {CronAsked: lambda t: [CronAsked(n=n) for n in t.facts["kinds"]]}, tick)

    assert events == [
        (CronAsked(n=1), "a-b:tick:2026-11-20T12:00Z:cron-test.asked:0"),
        (CronAsked(n=2), "a-b:tick:2026-11-20T12:00Z:cron-test.asked:1"),
    ]


def test_tick_keeps_whom_and_what_it_found_off_the_wire() -> None:
    tick = Tick(scheduled_at=utc("2026-11-20T12:00"), tenant="acme", facts={"a": 1})

    assert tick.wire() == {"scheduledAt": "2026-11-20T12:00:00Z"}
