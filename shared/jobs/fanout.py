"""A tick of a schedule becomes one message per tenant that is due, or the events of a cron without code.

    {"job": .., "tick": instant}  ──►  jobs.ticks  ──►  active tenants by pages  ──►  `due` probe  ──►  queue or bus

A tick is no run: it has no tenant, no claim and no attempts, its ledger is jobs.ticks. All that it sends carries the
instant as its key, so what a crash, a second firing or a resumed page sends twice starts nothing twice. While a page is
sent by up to eight calls at a time, the next page's probes are asked.
"""

from __future__ import annotations

import json
import logging
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
from psycopg import sql as compose_sql

from shared.db.sessions import rollback
from shared.jobs import ticks
from shared.jobs.admission import SYSTEM_TENANT
from shared.jobs.crons import Cron, Tick, dispatched, tick_id
from shared.jobs.execution import Workshop
from shared.jobs.failures import hand_back_delay
from shared.jobs.messages import OWN_SOURCE, Acknowledge, Defer, Message, Record, compose, envelope_meta
from shared.jobs.ports import OutEvent, OutMessage, Queues
from shared.jobs.registry import AnyJob, Registry
from shared.jobs.ticks import Counts, TickRow
from shared.jobs.uuids import uuid7

LIST_PAGE = 1000
"""Tenants read at once."""
PROBE_PAGE = 50
"""Tenants asked in one transaction: the locks on all their tables last until its end."""
SEND_PAGE = 200
"""Tenants of a page when nobody is asked."""
PROBE_TIMEOUT_S = 2.0
"""Of the probes of one page together; who has not been asked by then counts as due."""
BATCH = 10
CALLS_AT_A_TIME = 8
SPREAD_S = 20
"""Seconds over which the runs of the second and later pages start, when the cron names no spread of its own."""
STOP_MARGIN_S = 20.0
"""A fan-out stops while this many seconds remain; the same message goes on with it."""
GO_ON_S = 1.0

LIST_TENANTS = """
-- jobs: the next tenants of a fan-out
SELECT o.slug, o.id FROM public.organizations o
WHERE o.slug > %(after)s AND o.status::text = ANY(%(statuses)s)
  AND EXISTS (SELECT FROM pg_catalog.pg_roles r WHERE r.rolname = 'cgk_t_' || o.slug)
ORDER BY o.slug LIMIT %(page)s
"""
MARK = "BEGIN; {mark}; COMMIT;"
PROBE = """
BEGIN READ ONLY;
SELECT set_config('statement_timeout', {timeout_ms}, true);
SELECT slug, facts, failed FROM jobs.due({probe}, {slugs}::text[], {ids}::uuid[], {now}::timestamptz);
COMMIT
"""

logger = logging.getLogger("cgk.jobs.ticks")


@dataclass(frozen=True, slots=True, kw_only=True)
class FiredTick(Message):
    """A schedule's message. `at`: the instant (UTC, whole minutes) at which the job was to run."""

    at: datetime

    def body(self, *, with_token: bool = True) -> str:
        """The message as it can be sent again."""
        return ticks.tick_body(self.job.id, self.at.isoformat())


def ticks_among(records: Sequence[Record], registry: Registry) -> tuple[list[FiredTick], list[Record]]:
    """The schedules' messages of a batch, and all other records; a tick of an unknown job is one of the others."""
    fired: list[FiredTick] = []
    others: list[Record] = []
    for record in records:
        found = _tick(record, registry)
        if found is None:
            others.append(record)
        else:
            fired.append(found)
    return fired, others


def _tick(record: Record, registry: Registry) -> FiredTick | None:
    if '"tick"' not in record.body:
        return None
    try:
        body = json.loads(record.body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(body, dict) or not isinstance(body.get("tick"), str) or body.get("payload"):
        return None
    job = registry.jobs.get(str(body.get("job")))
    return _fired(record, job, _instant(body["tick"], record, job.cron)) if job is not None else None


def _fired(record: Record, job: AnyJob, at: datetime) -> FiredTick:
    id = tick_id(at)
    return FiredTick(
        record=record,
        job=job,
        event=None,
        payload={},
        id=id,
        sent_at=record.sent_at,
        source=OWN_SOURCE,
        correlation_id=f"{job.id}:{id}",
        causation_id=None,
        hops=0,
        at=at,
    )


def _instant(text: str, record: Record, cron: Cron | None) -> datetime:
    """The scheduled instant; where the placeholder was not filled in, the last one before the message was sent."""
    try:
        found = datetime.fromisoformat(text)
        instant = found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        instant = (cron.previous(record.sent_at) if cron else None) or record.sent_at
    return instant.replace(second=0, microsecond=0)


def fan_out(
    fired: FiredTick,
    shop: Workshop,
    queues: Queues,
    *,
    owner: UUID,
    lease_until: datetime,
    remaining_s: Callable[[], float],
) -> Acknowledge | Defer:
    """Handle one tick to its end, or as far as the time goes; the verdict on its message.

    Database errors of the connection escape, as they do from a run; the tick is then gone on with later.
    """
    if fired.job.cron is None:
        return Acknowledge("the job has no schedule any more")
    conn, now = shop.connections.get(), shop.clock.now()
    row = ticks.take(conn, fired.job, fired.job.cron, fired.at, owner=owner, lease_until=lease_until, now=now)
    if not isinstance(row, TickRow):
        logger.info("tick passed over", extra={"job": fired.job.id, "tick": fired.at.isoformat(), "why": str(row)})
        return row
    with ThreadPoolExecutor(CALLS_AT_A_TIME, thread_name_prefix="fan-out") as pool:
        work = _FanOut(row, shop, _Sender(row, shop, queues, pool))
        try:
            return work.run(fired.record, remaining_s)
        except (psycopg.OperationalError, psycopg.InterfaceError):
            raise
        except Exception:
            logger.exception("fan-out failed", extra={"job": row.job.id, "tick": row.at.isoformat()})
            work.leave()
            return Defer(hand_back_delay(fired.record.receive_count, shop.rng), "FAN_OUT_FAILED")


@dataclass(frozen=True, slots=True)
class _Due:
    """A tenant that has work. `facts`: the row of its probe."""

    slug: str
    facts: Mapping[str, Any]
    late: bool = False
    """Beyond the first page, so its run is spread."""


@dataclass(slots=True)
class _Page:
    """A page on its way: its last tenant, its counts, the calls that send it."""

    last: str
    tenants: int
    failed: int = 0
    due: int = 0
    calls: list[Future[list[bool]]] = field(default_factory=list)

    def ended(self) -> bool:
        return all(call.done() for call in self.calls)

    def counts(self) -> Counts | None:
        """What the page did, None when something of it was not taken."""
        answers = [call.result() for call in self.calls]
        sent = sum(len(answer) for answer in answers)
        whole = all(all(answer) for answer in answers)
        return Counts(self.tenants, self.due, sent, self.failed) if whole else None


class _FanOut:
    """One tick on its way through the tenants."""

    def __init__(self, row: TickRow, shop: Workshop, sender: _Sender) -> None:
        self._row = row
        self._shop = shop
        self._sender = sender
        self._cron = row.cron
        self._pages: list[_Page] = []
        self._refused = False
        self._asked = row.counts.tenants
        self._began = shop.clock.now()

    def run(self, record: Record, remaining_s: Callable[[], float]) -> Acknowledge | Defer:
        for page in self._tenants():
            if remaining_s() < STOP_MARGIN_S or self._refused:
                break
            self._advance(page)
        else:
            return self._finish(record)
        self._settle_pages(wait_for_all=True)
        ticks.end(self._conn(), self._row, "running", self._shop.clock.now())
        return self._refusal(record) if self._refused else Defer(GO_ON_S, "FAN_OUT_GOES_ON")

    def leave(self) -> None:
        """Let another process go on with the tick at once."""
        ticks.end(self._conn(), self._row, "running", self._shop.clock.now())

    def _finish(self, record: Record) -> Acknowledge | Defer:
        self._settle_pages(wait_for_all=True)
        state, now = "running" if self._refused else "done", self._shop.clock.now()
        if not ticks.end(self._conn(), self._row, state, now):
            return Defer(GO_ON_S, "LEASE_LOST")
        if self._refused:
            return self._refusal(record)
        counts = self._row.counts
        logger.info(
            "tick",
            extra={
                "job": self._row.job.id,
                "tick": self._row.at.isoformat(),
                "late_s": round((self._began - self._row.at).total_seconds()),
                "tenants": counts.tenants,
                "due": counts.due,
                "sent": counts.sent,
                "probes_failed": counts.failed,
            },
        )
        return Acknowledge("fanned out")

    def _refusal(self, record: Record) -> Defer:
        return Defer(hand_back_delay(record.receive_count, self._shop.rng), "SEND_REFUSED")

    def _conn(self) -> psycopg.Connection[Any]:
        return self._shop.connections.get()

    # Pages.

    def _tenants(self) -> Iterator[list[tuple[str, UUID]]]:
        """Pages of (slug, organization id) after the one that was reached, in order; none for the platform's crons."""
        if self._row.reached == "" and (page := self._platform()):
            yield page
        if self._cron.scope in ("platform", "platform_fanout"):
            return
        statuses = ["active", "suspended"] if self._cron.suspended else ["active"]
        size = PROBE_PAGE if self._cron.probe else SEND_PAGE
        after, more = self._row.reached, True
        while more:
            values = {"after": after, "statuses": statuses, "page": LIST_PAGE}
            found = self._conn().execute(LIST_TENANTS, values).fetchall()
            for start in range(0, len(found), size):
                yield found[start : start + size]
            more = len(found) == LIST_PAGE
            after = found[-1][0] if found else after

    def _platform(self) -> list[tuple[str, UUID]]:
        return [(SYSTEM_TENANT.slug, SYSTEM_TENANT.organization_id)] if self._cron.scope != "tenant" else []

    def _advance(self, tenants: list[tuple[str, UUID]]) -> None:
        """Ask a page, start sending it, and note the pages before it that are sent by now."""
        platform = tenants[0][0] == SYSTEM_TENANT.slug
        page = _Page("" if platform else tenants[-1][0], 0 if platform else len(tenants))
        moved = self._settle_pages(wait_for_all=False)
        if self._cron.probe and not platform:
            due, page.failed = self._ask(tenants, moved)
        else:
            due = [_Due(slug, {}, late=self._asked > 0) for slug, _ in tenants]
            if moved:
                ticks.mark(self._conn(), self._row)
        page.due = 0 if platform else len(due)
        self._asked += page.tenants
        page.calls = self._sender.send(due)
        self._pages.append(page)

    def _settle_pages(self, *, wait_for_all: bool) -> bool:
        """Move the row over the pages that are sent whole, in order; whether it moved."""
        moved = False
        while self._pages and not self._refused and (wait_for_all or self._pages[0].ended()):
            page = self._pages.pop(0)
            wait(page.calls)
            counts = page.counts()
            if counts is None:
                self._refused = True
            else:
                self._row, moved = self._row.after(page.last or self._row.reached, counts), True
        return moved

    # Probes.

    def _ask(self, tenants: list[tuple[str, UUID]], moved: bool) -> tuple[list[_Due], int]:
        """The tenants of a page that are due, and how many of them only because their probe failed. One round trip."""
        try:
            rows = self._probe(tenants, moved)
        except psycopg.Error as error:
            if self._conn().closed:
                raise
            rollback(self._conn())
            rows = [(slug, None, error.sqlstate or "-") for slug, _ in tenants]
        failed = [row for row in rows if row[2] is not None]
        if failed:
            states = sorted({str(row[2]) for row in failed})
            known = {"job": self._row.job.id, "tenants": [row[0] for row in failed[:10]], "sqlstates": states}
            logger.warning("due probe failed", extra=known | {"count": len(failed)})
        return [_Due(slug, facts or {}, self._asked > 0) for slug, facts, _ in rows], len(failed)

    def _probe(self, tenants: list[tuple[str, UUID]], moved: bool) -> list[tuple[str, Any, str | None]]:
        literal = compose_sql.Literal
        probe = compose_sql.SQL(PROBE).format(
            timeout_ms=literal(str(round(PROBE_TIMEOUT_S * 1000))),
            probe=literal(self._cron.probe),
            slugs=literal([slug for slug, _ in tenants]),
            ids=literal([str(id) for _, id in tenants]),
            now=literal(self._shop.clock.now()),
        )
        statement = compose_sql.Composed([self._mark_text(), probe]) if moved else probe
        cursor = self._conn().execute(statement)
        while cursor.description is None or cursor.description[0].name != "slug":
            if not cursor.nextset():
                raise RuntimeError("jobs.due gave no answer")
        return cursor.fetchall()

    def _mark_text(self) -> compose_sql.Composable:
        """The mark as text, for a statement that goes along with the next page's probes."""
        values = {name: compose_sql.Literal(value) for name, value in self._row.columns().items()}
        text = ticks.MARK_TICK.strip()
        for name in values:
            text = text.replace(f"%({name})s", f"{{{name}}}")
        return compose_sql.SQL(MARK).format(mark=compose_sql.SQL(text).format(**values))


class _Sender:
    """Sends what a page's tenants get: messages of the job, or the events of a cron without code."""

    def __init__(self, row: TickRow, shop: Workshop, queues: Queues, pool: ThreadPoolExecutor) -> None:
        self._row = row
        self._shop = shop
        self._queues = queues
        self._pool = pool
        self._id = tick_id(row.at)
        self._payload = Tick(scheduled_at=row.at).wire()

    def send(self, due: Sequence[_Due]) -> list[Future[list[bool]]]:
        """Start the calls; each answers per entry whether it was taken."""
        if not due:
            return []
        if self._row.job.dispatch is None:
            return self._to_queue(self._row.job.queue_name, [self._message(tenant) for tenant in due])
        return self._dispatch(due)

    def _to_queue(self, queue: str, messages: Sequence[OutMessage]) -> list[Future[list[bool]]]:
        return [self._pool.submit(self._queues.send, queue, batch) for batch in _batches(messages)]

    def _message(self, tenant: _Due) -> OutMessage:
        body = compose(
            self._row.job.id,
            {"tenantId": tenant.slug, **self._payload},
            id=self._id,
            sent_at=self._shop.clock.now(),
            correlation_id=self._correlation(tenant.slug),
        )
        return OutMessage(body, tenant.slug, self._delay(tenant))

    def _correlation(self, slug: str) -> str:
        return f"{self._row.job.id}:{self._id}:{slug}"

    def _delay(self, tenant: _Due) -> int:
        """Seconds, the same for a tenant at every tick."""
        spread = self._row.cron.spread_s
        if spread is None:
            spread = SPREAD_S if tenant.late and self._row.job.dispatch is None else 0
        return zlib.crc32(f"{self._row.job.id} {tenant.slug}".encode()) % (spread + 1)

    # A cron without code.

    def _dispatch(self, due: Sequence[_Due]) -> list[Future[list[bool]]]:
        events: list[OutEvent] = []
        delayed: dict[str, list[OutMessage]] = {}
        for tenant in due:
            for event, key in self._events(tenant):
                delay = 0 if event.to_apps else self._delay(tenant)
                # A function knows the jobs of its own category only; who listens elsewhere is looked up when needed.
                listeners = self._shop.registry.whole.listeners.get(event.event_name, ()) if delay else ()
                if not listeners:
                    events.append(self._event(event, key, tenant.slug))
                for listener in listeners:
                    message = self._delayed(event, key, tenant.slug, listener.id, delay)
                    delayed.setdefault(listener.queue_name, []).append(message)
        calls = [self._pool.submit(self._shop.relay.bus.publish, batch) for batch in _batches(events)]
        for queue, messages in delayed.items():
            calls += self._to_queue(queue, messages)
        return calls

    def _events(self, tenant: _Due) -> list[tuple[Any, str]]:
        tick = Tick(scheduled_at=self._row.at, tenant=tenant.slug, facts=tenant.facts)
        assert self._row.job.dispatch is not None
        try:
            return dispatched(self._row.job.id, self._row.job.dispatch, tick)
        except Exception:  # one tenant's facts must not keep the others' events back
            logger.exception("dispatch failed", extra={"job": self._row.job.id, "tenant": tenant.slug})
            return []

    def _event(self, event: Any, key: str, slug: str) -> OutEvent:
        meta = envelope_meta(
            id=str(uuid7()), key=key, sent_at=self._shop.clock.now(), correlation_id=self._correlation(slug), hops=1
        )
        detail = {"tenantId": slug, **event.wire(), "_meta": meta}
        return OutEvent(event.event_name, json.dumps(detail, separators=(",", ":"), ensure_ascii=False))

    def _delayed(self, event: Any, key: str, slug: str, job_id: str, delay: int) -> OutMessage:
        body = compose(
            job_id,
            {"tenantId": slug, **event.wire()},
            event=event.event_name,
            id=key,
            sent_at=self._shop.clock.now() + timedelta(seconds=delay),  # what is delayed counts as sent when it is due
            correlation_id=self._correlation(slug),
            source=OWN_SOURCE,
            hops=1,
        )
        return OutMessage(body, slug, delay)


def _batches(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), BATCH):
        yield items[start : start + BATCH]
