"""THE ORDER of the steps of one delivery, and nothing else. The same code under Lambda, on the local engine, in tests.

0 ticks      fanout.py       a schedule's message        becomes one message or event per tenant; ledger ticks.py
1 parse      envelope.py     record -> Message           broken JSON, unknown job
             pauses.py       what is paused goes back; offload.py fetches payloads that lie in the bucket
2 admit      admission.py    Message -> Admitted         payload, tenant, loop
3 claim      claims.py       Admitted -> Run             done before, running elsewhere, an older leg
4 (order)    SQS fair queues by tenant; nothing to do here
5 execute    execution.py    Run -> Outcome              handler, sessions, timer
6 settle     settlement.py   Outcome -> ledger, outbox   fence
7 relay      outbox.py       committed rows -> bus, queues
8 answer     replies.py      verdicts -> visibility, partial batch response
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID, uuid4

import psycopg

from shared.db.connections import is_unreachable
from shared.jobs import failures, settlement, slots, tokens
from shared.jobs.admission import Tenants, admit
from shared.jobs.claims import Claimed, claim, wanted_slots
from shared.jobs.envelope import parse
from shared.jobs.errors import LeaseLost
from shared.jobs.execution import Workshop, execute
from shared.jobs.fanout import FiredTick, fan_out, ticks_among
from shared.jobs.heartbeat import Heartbeat
from shared.jobs.logs import log
from shared.jobs.messages import Acknowledge, Admitted, Defer, Message, Outcome, Outgoing, Record, Refused, Run
from shared.jobs.metering import Meter
from shared.jobs.offload import Vault, fetch
from shared.jobs.pauses import Pauses
from shared.jobs.payloads import KEEP_SUCCEEDED_DAYS, Blobs, SealedPayload, seal_payload
from shared.jobs.ports import Blackout, LambdaContext, Queues
from shared.jobs.replies import answer, extend_visibility
from shared.jobs.slots import Slot, SlotRows

LEASE_MARGIN_S = 10
"""A fast invocation's leases and visibility end this many seconds after Lambda must have stopped it."""
BULK_LEASE_S = 120
"""Lease and visibility of a bulk run, renewed by the heartbeat: a killed worker's message is soon back."""
START_MARGIN_S = 5
"""A run is begun only while its timeout plus this many seconds remain."""
HANDED_BACK_S = 1.0

logger = logging.getLogger("cgk.jobs")


@dataclass(frozen=True)
class Pipeline:
    """One Lambda environment's pipeline. `bulk`: batch of one, with heartbeat."""

    shop: Workshop
    queues: Queues
    tenants: Tenants
    blobs: Blobs
    bulk: bool
    database_url: str = field(repr=False)
    slot_rows: SlotRows = field(default_factory=SlotRows, compare=False)
    report: Callable[[Outcome | Refused], None] = log
    pauses: Pauses = field(init=False, compare=False)
    vault: Vault = field(init=False, compare=False)
    meter: Meter = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "meter", Meter(self.shop.registry))
        object.__setattr__(self, "pauses", Pauses(self.shop.connections))
        object.__setattr__(self, "vault", Vault(self.blobs, self.shop.keyring))

    def handle(self, records: Sequence[Record], context: LambdaContext) -> dict[str, list[dict[str, str]]]:
        """Deliver a batch; Lambda's partial batch response."""
        response = _Invocation(self, records, context).handle()
        self.meter.flush(self.shop.metrics)
        return response

    def tell(self, item: Outcome | Refused) -> None:
        """What became of a message: its log line, and its part in the metrics."""
        self.report(item)
        self.meter.add(item)


@dataclass
class _Invocation:
    """One batch on its way through the steps; `returned` fills as verdicts fall, `outcomes` with the runs that opened
    no session and are settled together at the end."""

    pipe: Pipeline
    records: Sequence[Record]
    context: LambdaContext
    owner: UUID = field(default_factory=uuid4)
    returned: list[tuple[Record, Defer, Message | None]] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    finished: set[str] = field(default_factory=set)
    slots: set[Slot] = field(default_factory=set)

    def handle(self) -> dict[str, list[dict[str, str]]]:
        lease_s = self._lease_s()
        extend_visibility(self.pipe.queues, self.records, round(lease_s))
        try:
            self.pipe.shop.connections.begin_invocation()
            self._deliver(lease_s)
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            # Nothing was counted for what is not settled: the whole rest goes back and finds its claim later.
            logger.exception("database unreachable; handing the batch back")
            self.pipe.shop.connections.discard()
            if is_unreachable(error):
                self._blackout()
            self._return_rest("DATABASE_UNREACHABLE")
        self.pipe.shop.at("before-answer")
        return answer(self.pipe.queues, self.returned)

    def _deliver(self, lease_s: float) -> None:
        at = self.pipe.shop.at
        at("begin")
        fired, records = ticks_among(self.records, self.pipe.shop.registry)
        for tick in fired:
            self._fan_out(tick, lease_s)
            at("after-fan-out")
        now = self.pipe.shop.clock.now()
        messages, malformed = parse(records, self.pipe.shop.registry, now)
        at("after-parse")
        messages, held = self.pipe.pauses.hold(messages, now, self.pipe.shop.rng)
        messages, missing = fetch(messages, self.pipe.vault, now, self.pipe.shop.rng)
        self._refuse([*held, *missing])
        admitted, refused = admit(messages, self.pipe.tenants, now)
        admitted, paused = self.pipe.pauses.hold_admitted(admitted, now, self.pipe.shop.rng)
        self._refuse([*malformed, *refused, *paused])
        at("after-admit")
        first, doubled = _distinct(admitted)
        self.pipe.slot_rows.ensure(self.pipe.shop.connections.get(), wanted_slots(first))
        claimed = self._claim(first, lease_s, take_over=False)
        at("after-claim")
        self._refuse([*claimed.refused, *doubled])
        for n, run in enumerate(claimed.runs, start=1):
            self._execute(run, last=n == len(claimed.runs) and not claimed.crashed)
        for item in claimed.crashed:
            again = self._claim([item], lease_s, take_over=True)
            self._refuse(again.refused)
            for run in again.runs:
                self._execute(run, alone=True)
        self._settle(self.outcomes, last=True)
        if self.slots:
            slots.free(self.pipe.shop.connections.get(), self.slots, self.owner)

    def _fan_out(self, tick: FiredTick, lease_s: float) -> None:
        """A tick starts messages or events for the tenants; itself it is no run."""
        shop, now, deadline = self.pipe.shop, self.pipe.shop.clock.now(), time.monotonic() + lease_s
        verdict = self.pipe.pauses.wait_for(tick, "", now, shop.rng) or fan_out(
            tick,
            shop,
            self.pipe.queues,
            owner=self.owner,
            lease_until=now + timedelta(seconds=lease_s),
            remaining_s=lambda: min(self._remaining_s(), deadline - time.monotonic()),
        )
        self.finished.add(tick.record.message_id)
        if isinstance(verdict, Defer):
            self._return(tick.record, verdict, tick)

    # Steps 3, 5, 6, 7 for this batch.

    def _claim(self, items: Sequence[Admitted], lease_s: float, *, take_over: bool) -> Claimed:
        now = self.pipe.shop.clock.now()
        claimed = claim(
            self.pipe.shop.connections.get(),
            [(item, self._seal(item.message.body(), item.tenant.slug)) for item in items],
            owner=self.owner,
            now=now,
            lease_until=now + timedelta(seconds=lease_s),
            take_over=take_over,
            keep_days=KEEP_SUCCEEDED_DAYS,
            rng=self.pipe.shop.rng,
        )
        self.slots.update(claimed.slots)
        return claimed

    def _execute(self, run: Run, *, alone: bool = False, last: bool = False) -> None:
        """`last`: no run comes after it, so that its end may give the places back, if it settles by itself."""
        if self._remaining_s() < run.job.timeout_s + START_MARGIN_S and not self.pipe.bulk:
            self.outcomes.append(Outcome(run, Defer(HANDED_BACK_S, "HANDED_BACK"), 0))
            return
        shop = self.pipe.shop
        if paused := self.pipe.pauses.wait_for(run.message, run.tenant.slug, shop.clock.now(), shop.rng):
            self.outcomes.append(Outcome(run, paused, 0))
            return
        last = last and not self.outcomes
        try:
            with self._heartbeat(run):
                outcome = execute(run, self.pipe.shop, self._remaining_s, free=self.slots if last else ())
        except LeaseLost:
            logger.warning("lease lost", extra={"job": run.job.id, "run": str(run.run_id)})
            self._return(run.message.record, Defer(BULK_LEASE_S, "LEASE_LOST"), run.message)
            return
        if outcome.settled:
            if last:
                self.slots.clear()
            self._finish(outcome)
            self._relay(outcome.outgoing)
        elif alone or outcome.touched:
            self._settle([outcome], last=last)
        else:
            self.outcomes.append(outcome)

    def _settle(self, ended: Sequence[Outcome], *, last: bool = False) -> None:
        """End runs; with the `last` of them go the places of the invocation."""
        if not ended:
            return
        conn, now = self.pipe.shop.connections.get(), self.pipe.shop.clock.now()
        keyring = self.pipe.shop.keyring
        outcomes = [settlement.with_endings(outcome, now) for outcome in ended]
        self.pipe.shop.at("before-settle")
        free = self.slots if last else ()
        owned = settlement.settle(conn, outcomes, owner=self.owner, keyring=keyring, now=now, free=free)
        if last:
            self.slots.clear()
        self.pipe.shop.at("after-settle")
        rows: list[Outgoing] = []
        for outcome in outcomes:
            if outcome.run.run_id in owned:
                self._finish(outcome)
                rows += outcome.outgoing
            else:
                self._return(outcome.run.message.record, Defer(BULK_LEASE_S, "LEASE_LOST"), outcome.run.message)
        self._relay(rows)

    def _refuse(self, refused: Iterable[Refused]) -> None:
        """Verdicts from before the claim: what ends gets its trace in the ledger, what returns is only handed back."""
        shop, ended = self.pipe.shop, list[Refused]()
        now = shop.clock.now()
        for item in tokens.with_answers(shop.connections.get, list(refused), keyring=shop.keyring, now=now):
            if isinstance(item.verdict, Defer):
                self._return(item.record, item.verdict, item.message)
            else:
                ended.append(item)
        if not ended:
            return
        conn = shop.connections.get()
        sealed = [(item, self._keep(item)) for item in ended]
        rows = settlement.refuse(conn, sealed, keyring=shop.keyring, now=now)
        shop.at("after-refuse")
        for item in ended:
            self.finished.add(item.record.message_id)
            self.pipe.tell(item)
        self._relay(rows)

    def _relay(self, rows: Sequence[Outgoing]) -> None:
        """Send what has been committed; what is not taken now is the sweeper's."""
        self.pipe.shop.relay.send(self.pipe.shop.connections.get(), rows)
        self.pipe.shop.at("after-relay")

    # Small parts.

    def _seal(self, body: str, tenant: str) -> SealedPayload:
        return seal_payload(body, tenant, self.pipe.shop.keyring, self.pipe.blobs)

    def _keep(self, item: Refused) -> SealedPayload:
        """The body of what may be replayed; a duplicate's stands with the run that it repeats."""
        if isinstance(item.verdict, Acknowledge) and not item.skipped:
            return SealedPayload(None, None)
        return self._seal(item.message.body() if item.message else item.record.body, item.tenant)

    def _remaining_s(self) -> float:
        return self.context.get_remaining_time_in_millis() / 1000

    def _lease_s(self) -> float:
        return BULK_LEASE_S if self.pipe.bulk else self._remaining_s() + LEASE_MARGIN_S

    def _heartbeat(self, run: Run) -> Heartbeat:
        return Heartbeat(run, self.pipe.queues, self.pipe.database_url, BULK_LEASE_S, enabled=self.pipe.bulk)

    def _finish(self, outcome: Outcome) -> None:
        record = outcome.run.message.record
        self.finished.add(record.message_id)
        if isinstance(outcome.ending, Defer) and not settlement.leaves_queue(outcome.ending):
            self._return(record, outcome.ending, outcome.run.message)
        self.pipe.tell(outcome)

    def _return(self, record: Record, verdict: Defer, message: Message | None) -> None:
        self.finished.add(record.message_id)
        self.returned.append((record, verdict, message))

    def _blackout(self) -> None:
        """Let the jobs of the batch that watch over the database say so: none of their runs can begin."""
        shop = self.pipe.shop
        waiting = {record.body for record in self.records if record.message_id not in self.finished}
        for job in shop.registry:
            if job.blackout is not None and any(f'"{job.id}"' in body for body in waiting):
                job.blackout(Blackout(shop.clock.now(), shop.metrics, shop.alarms))

    def _return_rest(self, code: str) -> None:
        rng = self.pipe.shop.rng
        for record in self.records:
            if record.message_id not in self.finished:
                delay = failures.hand_back_delay(record.receive_count, rng)
                self._return(record, Defer(delay, code), None)


def _distinct(admitted: Sequence[Admitted]) -> tuple[list[Admitted], list[Refused]]:
    """Two messages of one batch with one key: the first runs, the second looks again a little later."""
    seen: dict[tuple[str, str, str], Admitted] = {}
    doubled: list[Refused] = []
    for item in admitted:
        key = (item.message.job.id, item.tenant.slug, item.key)
        if seen.setdefault(key, item) is not item:
            doubled.append(Refused(item.message.record, Defer(HANDED_BACK_S, "BUSY"), item.message, item.tenant.slug))
    return list(seen.values()), doubled
