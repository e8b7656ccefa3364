"""One job in its world: send it a message, disturb it, see what stands in the end."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from shared.db.names import tenant_schema
from shared.events.base import Payload
from shared.jobs.messages import OWN_SOURCE, Outcome, Record, Refused
from shared.jobs.ports import OutMessage
from shared.jobs.registry import AnyJob, build_registry, load_registry
from shared.jobs.replay import Replayer
from shared.jobs.samples import SYSTEM, sample_payload
from shared.jobs.testing import START, Bench, Delivered, ManualClock
from tests.suites.store import Store, plain
from tests.suites.vendors import Held, Vendors
from tests.suites.world import SECRETS, World

OPEN_CLAIMS = """
SELECT job, tenant, key, state, code FROM jobs.claims WHERE state IN ('running', 'waiting', 'continuing')
"""
HELD_SLOTS = "SELECT scope, tenant, n FROM jobs.slots WHERE owner IS NOT NULL AND lease_until >= %(then)s"
SLOTS_HELD_S = 920
"""A process that died may keep its places until its lease is over: a bulk function's time and a bit."""
CUT = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND application_name = 'cgk-test'
"""
STEAL = """
UPDATE jobs.claims SET owner = gen_random_uuid(), attempt = attempt + 1, lease_until = %(until)s WHERE state = 'running'
"""
STOLEN_S = 30
RUNS = "SELECT message_id, correlation_id, state, code FROM jobs.runs ORDER BY run_at, run_id"
NEXT_S = 900
"""Until the next run of what a schedule starts: longer than a mail or a row is held by a run that died."""
ECHO = 2
"""Times that a message may stand in Slack when the process died while it was posted."""
ROUNDS = 200
"""Times that the sweeper and the queues may follow one another before a scenario counts as endless."""


@dataclass(frozen=True)
class Ended:
    """What stands at the end of a scenario. `states` and `codes` of the runs in the ledger, repetitions left out;
    `effects`: table -> rows; `events`: (name, detail) -> how many; `vendors`: vendor -> what it holds -> how many."""

    states: tuple[str, ...]
    codes: tuple[str, ...]
    effects: Mapping[str, Sequence[Any]]
    events: Mapping[str, int]
    vendors: Mapping[str, Held] = field(default_factory=dict)

    @property
    def good(self) -> bool:
        """Whether the job did its work."""
        return "succeeded" in self.states

    @property
    def work(self) -> tuple[Any, Any, Any]:
        """What must be the same however often the way there was disturbed."""
        return dict(self.effects), dict(self.events), dict(self.vendors)

    def without_echoes(self) -> Ended:
        """With what was said twice in Slack counted once: Slack knows no key, so after an answer that nobody heard one
        repetition is better than silence. A third is none."""
        posts = {post: 1 if times == ECHO else times for post, times in self.vendors.get("slack", {}).items()}
        return replace(self, vendors={**self.vendors, **({"slack": posts} if posts else {})})


@dataclass
class Lab:
    """The job under test. `bench`: a new process for each case; `sent`: its messages with their events' ids."""

    job: AnyJob
    store: Store
    world: World
    vendors: Vendors
    database_url: str
    bench: Bench = field(init=False)
    delivered: list[Delivered] = field(default_factory=list)
    sent: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    trace: tuple[str, ...] = ()
    """The points that the reference's message passed."""
    after_next: Ended = field(init=False)
    """The reference of a recurring job after its next run."""

    def __post_init__(self) -> None:
        self.registry = build_registry([self.job])
        self.fresh(put_back=False)

    # A case.

    def fresh(self, *, put_back: bool = True) -> None:
        """Everything as at the beginning, and a new process."""
        if put_back:
            self.bench.connections.discard()
            self.store.restore()
        clock = ManualClock()
        self.vendors.reset(self.world.sides, clock)
        self.bench = Bench(self.registry, self.database_url, dict(SECRETS), self.vendors.settings, clock)
        self.delivered, self.sent = [], {}

    @contextmanager
    def case(self, what: str) -> Iterator[None]:
        """One case, begun afresh: what goes wrong in it is kept for `verdict`, so that all cases are seen."""
        self.fresh()
        try:
            yield
        except Exception as error:
            text = str(error) if isinstance(error, AssertionError) else f"{type(error).__name__}: {error}"
            self.problems.append(f"{self.job.id}, {what}: {text}")

    def verdict(self) -> None:
        """Fail with every problem of the cases."""
        problems, self.problems = self.problems, []
        assert not problems, "\n".join(problems)

    def close(self) -> None:
        self.bench.connections.discard()
        self.store.close()

    @cached_property
    def reference(self) -> Ended:
        """How one message ends that nothing disturbs."""
        self.fresh()
        self.send()
        ended = self.end()
        self.trace = tuple(self.bench.faults.reached)
        if self.recurring:
            self.after_next = self._then()
        return ended

    @cached_property
    def recurring(self) -> bool:
        """Whether a schedule starts the job again and again, itself or by the event that it emits."""
        crons = [each for each in load_registry().jobs.values() if each.cron]
        return bool(self.job.cron) or any(set(each.emits) & set(self.job.on) for each in crons)

    def _then(self) -> Ended:
        """What stands after the schedule's next message."""
        self.bench.clock.advance(s=NEXT_S)
        self.send(self.body(id="next", time=self.now().isoformat()))
        return self.end()

    def positions(self, points: Sequence[str], *, most: int = 2) -> list[tuple[str, int]]:
        """(point, nth) of what an undisturbed message passes, each point `most` times at the most."""
        assert self.reference
        passed = Counter(point for point in self.trace if point in points)
        return [(point, nth) for point, times in passed.items() for nth in range(1, min(most, times) + 1)]

    def expect_same(self, ended: Ended, *, spent: int = 1, disturbed: bool = True) -> None:
        """The work is that of an undisturbed message, neither lost nor done twice. Jobs whose sample fails are excused:
        their invariants have been checked, and what they leave depends on how often they tried. `spent`: attempts that
        the disturbance used up. `disturbed`: a process was stopped, so that a post may stand in Slack twice, and the
        next run of what a schedule starts may have to finish what this one left."""
        expected = self.reference_of()
        if not expected.good:
            return
        if self.job.retry.attempts <= spent and ended.states == ("dead",):
            return  # its attempts were the disturbed ones
        assert ended.good, f"ended {ended.states} {ended.codes}"
        if disturbed:
            ended, expected = ended.without_echoes(), expected.without_echoes()
            if self.recurring and ended.work != expected.work:
                ended, expected = self._then().without_echoes(), self.after_next.without_echoes()
        assert ended.work == expected.work, _difference(ended, expected)

    def reference_of(self) -> Ended:
        """The reference, which must have been made before the case began."""
        assert "reference" in vars(self), "ask for lab.reference before the case: it starts afresh"
        return self.reference

    # Messages.

    @property
    def model(self) -> type[Payload]:
        """The payload's model: that of the first event, or the handler's."""
        return self.job.on[0] if self.job.on else self.job.payload

    @property
    def tenant(self) -> str:
        """The tenant that the job runs for."""
        return SYSTEM if self.job.tenants == "system" else self.world.acme.slug

    @cached_property
    def sample(self) -> Mapping[str, Any]:
        """A valid payload."""
        return sample_payload(self.model)

    def body(
        self, payload: Mapping[str, Any] | None = None, *, id: str = "case-1", tenant: str | None = None, **more: Any
    ) -> str:
        """A message in the form of the bus's rule; ids are the caller's, so that two may be one event."""
        slug = tenant or self.tenant
        body = {
            "job": self.job.id,
            "id": id,
            "source": OWN_SOURCE if self.job.cron or slug == SYSTEM else "app",
            "time": START.isoformat(),
            "payload": {"tenantId": slug, **(self.sample if payload is None else payload)},
            **more,
        }
        return json.dumps(body)

    def send(self, body: str | None = None, *, group: str | None = None, id: str = "case-1") -> str:
        """Put a message into the job's queue; its message id. `id`: the event's, unless `body` is given."""
        queue = self.job.queue_name
        self.bench.queues.send(queue, [OutMessage(body or self.body(id=id), group or self.tenant)])
        message_id = self.bench.queues.queues[queue][-1].message_id
        self.sent[message_id] = id if body is None else _event_of(body)
        return message_id

    # Running.

    def pump(self) -> list[Delivered]:
        """One invocation."""
        done = self.bench.pump(self.job.queue_name)
        self.delivered += done
        return done

    def drain(self) -> list[Delivered]:
        """Until nothing waits: queues, schedules, and what the sweeper finds."""
        first = len(self.delivered)
        for _ in range(ROUNDS):
            self.delivered += self.bench.drain()
            if self.bench.sweep() == 0 and self.bench.queues.next_visible([self.job.queue_name]) is None:
                return self.delivered[first:]
        raise AssertionError(f"no end after {ROUNDS} rounds")

    def end(self) -> Ended:
        """Drain, check what must hold after every scenario, and say what stands."""
        self.drain()
        self._settled()
        runs = [row for row in self.store.rows(RUNS) if row["state"] != "duplicate"]
        return Ended(
            states=tuple(row["state"] for row in runs),
            codes=tuple(row["code"] or "" for row in runs),
            effects=self.store.effects(["public", tenant_schema(self.world.acme.slug)]),
            events=self._events(),
            vendors=self.vendors.work(self.world.acme),
        )

    def _events(self) -> dict[str, int]:
        """What was published, each event once however often it was sent."""
        seen: set[tuple[str, str]] = set()
        found: Counter[str] = Counter()
        for name, detail in self.bench.bus.published:
            meta = detail.get("_meta", {})
            identity = (name, str(meta.get("key") or meta.get("id")))
            if identity not in seen:
                seen.add(identity)
                found[json.dumps([name, plain({k: v for k, v in detail.items() if k != "_meta"})])] += 1
        return dict(found)

    def _settled(self) -> None:
        """The invariants of every scenario."""
        bench = self.bench
        waiting = [m.message_id for m in bench.queues.queues[self.job.queue_name]]
        assert not waiting, f"messages {waiting} are still in the queue"
        claims = self.store.rows(OPEN_CLAIMS)
        scheduled = len(bench.schedules.waiting)
        assert len([c for c in claims if c["state"] != "waiting"]) == 0, f"claims left open: {claims}"
        assert len(claims) <= scheduled, f"claims wait for messages that nobody will send: {claims}"
        left = self.store.rows("SELECT kind, target, attempts FROM jobs.outbox")
        assert left == [], f"the outbox still holds {left}"
        held = self.store.rows(HELD_SLOTS, {"then": self.now() + timedelta(seconds=SLOTS_HELD_S)})
        assert held == [], f"places are held for ever: {held}"
        wrong = self.vendors.problems()
        assert wrong == [], f"asked against a vendor's rules: {wrong[:5]}"
        self._traced()

    def _traced(self) -> None:
        """Every message that was sent has ended as a run or as a dead letter with its reason."""
        runs = self.store.rows(RUNS)
        traces = {row["message_id"] for row in runs}
        events = {row["correlation_id"] for row in runs}
        letters = self.bench.queues.dead(self.job.queue_name)
        known = traces | {letter.message_id for letter in letters} | {_record(r).message_id for r in self.bench.reports}
        # Of several messages of one event any may carry its run on: the run keeps the first one's id.
        lost = [id for id, event in self.sent.items() if id not in known and event not in events]
        assert lost == [], f"no trace of the messages {lost}"
        bare = [letter.attributes for letter in letters if not letter.attributes.get("code")]
        assert bare == [], f"dead letters without a reason: {bare}"

    # Tools.

    def replayer(self) -> Replayer:
        """The replay of the case's ledger."""
        bench = self.bench
        return Replayer(bench.connections.get(), self.registry, bench.queues, bench.keyring, bench.blobs)

    def now(self) -> datetime:
        return self.bench.clock.now()

    def cut(self) -> None:
        """The database hangs up on the process."""
        self.store.admin.execute(CUT)

    def steal(self) -> None:
        """Another process takes the run over, and is never heard of again."""
        self.store.admin.execute(STEAL, {"until": self.now() + timedelta(seconds=STOLEN_S)})


def _event_of(body: str) -> str:
    """The event's id in a body that may be anything: a copy that waits often is replaced by a message of that event."""
    try:
        found = json.loads(body).get("id")
    except (ValueError, AttributeError):
        return ""
    return found if isinstance(found, str) else ""


def _record(report: Outcome | Refused) -> Record:
    return report.record if isinstance(report, Refused) else report.run.message.record


def _difference(ended: Ended, expected: Ended) -> str:
    """What is there and what is missing, short enough to read."""
    parts: list[str] = []
    for table in sorted({*ended.effects, *expected.effects}):
        there, wanted = ended.effects.get(table, ()), expected.effects.get(table, ())
        more, less = [r for r in there if r not in wanted], [r for r in wanted if r not in there]
        if more and less and isinstance(more[0], dict):
            more, less = (
                [{k: v for k, v in more[0].items() if less[0].get(k) != v}],
                [{k: v for k, v in less[0].items() if more[0].get(k) != v}],
            )
        if more or less or len(there) != len(wanted):
            parts.append(f"{table}: {len(there)} rows, {more!s:.300} instead of {len(wanted)}, {less!s:.300}")
    for vendor in sorted({*ended.vendors, *expected.vendors}):
        held, due = ended.vendors.get(vendor, {}), expected.vendors.get(vendor, {})
        if held != due:
            more_held, less_held = dict(held.items() - due.items()), dict(due.items() - held.items())
            parts.append(f"{vendor} holds {more_held!s:.300} instead of {less_held!s:.300}")
    events, known = ended.events.items() - expected.events.items(), expected.events.items() - ended.events.items()
    if events or known:
        parts.append(f"events {events!s:.300} instead of {known!s:.300}")
    return "; ".join(parts)


@dataclass
class Heard:
    """What was logged, as text: message, members and the text of exceptions."""

    lines: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


class _Ear(logging.Handler):
    def __init__(self, heard: Heard) -> None:
        super().__init__(level=logging.DEBUG)
        self._heard = heard
        self._formatter = logging.Formatter()

    def emit(self, record: logging.LogRecord) -> None:
        members = {name: value for name, value in vars(record).items() if name not in ("exc_info", "args", "msg")}
        text = f"{record.getMessage()} {members!r}"
        if record.exc_info:
            text += self._formatter.formatException(record.exc_info)
        self._heard.lines.append(text)


@contextmanager
def listening() -> Iterator[Heard]:
    """Every log record from INFO on while the block runs."""
    heard = Heard()
    ear, root = _Ear(heard), logging.getLogger()
    level = root.level
    root.addHandler(ear)
    root.setLevel(logging.INFO)
    try:
        yield heard
    finally:
        root.removeHandler(ear)
        root.setLevel(level)
