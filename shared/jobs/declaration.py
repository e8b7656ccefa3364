"""What a job declares. Everything else (rule, queue binding, sample event, CLI, docs) derives from it.

@job("commerce-sync-order", on=OrderSync, queue=ORDER_PROCESSING, emits=(OrderCreated,), timeout_s=60,
     retry=Retry(attempts=5, factor=2, min_s=2, max_s=60), key=lambda p, m: payload_hash(p) + window(m, 60))
def sync_order(ctx: JobContext, payload: OrderSync) -> SyncOrderResult: ...

A job runs on events (on=), or on a schedule (cron=Cron("0 3 * * *", zone="UTC")); a schedule that only publishes is
`dispatch(...)` and has no code.
"""

from __future__ import annotations

import hashlib
import inspect
import re
import sys
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel
from pydantic_core import to_json

from shared.events.base import Event, Payload
from shared.jobs.crons import Cron, Dispatch, Tick, dispatched
from shared.jobs.errors import DeclarationError as DeclarationError
from shared.jobs.queues import FAST_TIMEOUT_S, Queue

if typing.TYPE_CHECKING:
    from shared.jobs.context import JobContext
    from shared.jobs.ports import Blackout

P = TypeVar("P", bound=Payload)
R = TypeVar("R", bound=BaseModel)

Tenants = Literal["active", "any", "system"]
"""Whom a job serves: active tenants, tenants in any status, or the platform itself."""

MAX_TIMEOUT_S = 840
"""Longest job in seconds: Lambda's 900 s less room to settle; longer work continues with ctx.continue_from."""
MAX_AGE_S = 24 * 3600
"""A message older than this many seconds ends dead with EXPIRED unless the job declares another age."""

DISPATCH_TIMEOUT_S = 30
"""Timeout of a dispatch that is run for one tenant by hand; by schedule it has no run."""
MAX_HOPS = 100
"""Messages in a causal chain before it counts as a loop; a job whose steps legitimately chain longer declares more."""


@dataclass(frozen=True, slots=True)
class Retry:
    """Waits between attempts: w(n) = min(max_s, min_s * factor^(n-1)) after attempt n, then full jitter in [w/2, w].

    Retry(attempts=5, factor=2, min_s=2, max_s=60): 2, 4, 8, 16 s before jitter, then dead.
    """

    attempts: int = 3
    factor: float = 2
    min_s: float = 1
    max_s: float = 60

    def __post_init__(self) -> None:
        if not 1 <= self.attempts <= 10:
            raise DeclarationError(f"Retry.attempts={self.attempts} must be within 1..10")
        if not 1 <= self.factor <= 10:
            raise DeclarationError(f"Retry.factor={self.factor} must be within 1..10")
        if not 0 < self.min_s <= self.max_s <= 3600:
            raise DeclarationError(f"Retry needs 0 < min_s ({self.min_s}) <= max_s ({self.max_s}) <= 3600")


@dataclass(frozen=True, slots=True)
class HoldToken(Generic[R]):
    """What a handler returns whose workflow step must stay open: `return HoldToken(result)`.

    The run is done and `result` is kept, but the step waits until another job answers it with
    `ctx.workflows.complete` or `fail`. Annotate the handler `-> Result | HoldToken[Result]`.
    """

    result: R


@dataclass(frozen=True, slots=True)
class Delivery:
    """What a key function may know of a message besides its payload; the same over redelivery, relay and replay."""

    id: str
    """Event id: the publisher's key, else the outbox's or EventBridge's id, else the SQS message id."""
    sent_at: datetime
    """Publishing time, UTC."""
    tick: datetime | None = None
    """Scheduled instant of a cron, UTC; None for events."""


@dataclass(frozen=True)
class Job(Generic[P, R]):
    """One declared job. Built by `job`, found by the registry's package scan."""

    id: str
    handler: Callable[[JobContext, P], R | HoldToken[R]]
    payload: type[P]
    result: type[R]
    on: tuple[type[Event], ...]
    queue: Queue
    emits: tuple[type[Event], ...]
    retry: Retry
    timeout_s: int
    key: Callable[[P, Delivery], str]
    tenants: Tenants
    max_age_s: int
    max_hops: int
    tenant_cap: int | None
    module: str = field(compare=False)
    cron: Cron | None = None
    dispatch: Dispatch | None = field(default=None, compare=False)
    """Set for a cron without code: the fan-out publishes these events itself."""
    text: str = field(default="", compare=False)
    workflows: tuple[str, ...] = ()
    """State machines that the job starts, or whose held steps it answers."""
    files: tuple[str, ...] = ()
    """Prefixes of the bucket below which the job writes files, such as "feeds"; its function's role follows."""
    platform: bool = False
    """Whether a tenant's run may open platform sessions too, and emit for another tenant: alerts, which tell both."""
    blackout: Callable[[Blackout], None] | None = field(default=None, compare=False)
    """Called for a message of the job while the database cannot be reached; must neither raise nor take long."""

    @property
    def category(self) -> str:
        """The package below `functions` that holds the job."""
        return self.module.split(".")[1]

    @property
    def bulk(self) -> bool:
        """Whether the job runs in the bulk function."""
        return self.timeout_s > FAST_TIMEOUT_S

    @property
    def queue_name(self) -> str:
        """Logical name of the SQS queue: `<queue>` or `<queue>-bulk`."""
        return f"{self.queue.name}-bulk" if self.bulk else self.queue.name

    @property
    def summary(self) -> str:
        """First line of the handler's docstring, or what the dispatch says of itself."""
        return self.text or (inspect.getdoc(self.handler) or "").split("\n", 1)[0]

    def __call__(self, ctx: JobContext, payload: P) -> R | HoldToken[R]:
        return self.handler(ctx, payload)


class Dispatched(Payload):
    """Result of a dispatch that was run for one tenant by hand."""

    emitted: int


def job(
    id: str,
    *,
    on: type[Event] | tuple[type[Event], ...] = (),
    cron: Cron | None = None,
    queue: Queue,
    emits: tuple[type[Event], ...] = (),
    retry: Retry | None = None,
    timeout_s: int = 60,
    key: Callable[[Any, Delivery], str] | None = None,
    tenants: Tenants | None = None,
    max_age_s: int = MAX_AGE_S,
    max_hops: int = MAX_HOPS,
    tenant_cap: int | None = None,
    workflows: tuple[str, ...] = (),
    files: tuple[str, ...] = (),
    platform: bool = False,
    blackout: Callable[[Blackout], None] | None = None,
) -> Callable[[Callable[[JobContext, P], R | HoldToken[R]]], Job[P, R]]:
    """Declare a function as the job `id`. Refuses what cannot work, with a sentence that says how to mend it.

    A cron's handler takes a Tick (or a payload that adds optional fields to it) and runs once per tenant of the cron's
    scope; its default key is the scheduled instant. `tenants` then follows from the scope.
    """
    events = on if isinstance(on, tuple) else (on,)
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)+", id):
        raise DeclarationError(f"{id}: a job id is lower-case kebab with at least two words")
    if not 1 <= timeout_s <= MAX_TIMEOUT_S:
        raise DeclarationError(
            f"{id}: timeout_s={timeout_s} exceeds {MAX_TIMEOUT_S}; split the work with ctx.continue_from"
        )
    if max_age_s <= timeout_s:
        raise DeclarationError(f"{id}: max_age_s={max_age_s} is not above timeout_s; no message would ever be retried")
    if tenant_cap is not None and not 1 <= tenant_cap < queue.tenant_cap:
        raise DeclarationError(
            f"{id}: tenant_cap={tenant_cap} does nothing beside the queue's {queue.tenant_cap}; give a smaller one"
        )
    for prefix in files:
        if not re.fullmatch(r"[a-z][a-z0-9-]*", prefix) or prefix.startswith("payloads"):
            raise DeclarationError(f"{id}: files={prefix!r} is no prefix of its own; take a lower-case word")
    for event in events:
        if "event_name" not in vars(event):
            raise DeclarationError(f"{id}: {event.__name__} names no event; give it name= in its class statement")
    if bool(events) == (cron is not None):
        raise DeclarationError(f"{id}: a job has either on= (events) or cron= (a schedule); give exactly one")
    served = _served(id, cron, tenants)
    if platform and served != "any":
        raise DeclarationError(f'{id}: platform=True goes with tenants="any"; other runs are of one side only')

    def declare(handler: Callable[[JobContext, P], R | HoldToken[R]]) -> Job[P, R]:
        payload, result = _signature(id, handler)
        for event in events:
            if not issubclass(event, payload):
                raise DeclarationError(
                    f"{id}: {event.__name__} is no {payload.__name__}; the handler's payload must fit `on`"
                )
        if cron is not None:
            _check_tick(id, payload)
        if not inspect.getdoc(handler):
            raise DeclarationError(f"{id}: the handler needs a docstring; its first line is the job's description")
        return Job(
            id=id,
            handler=handler,
            payload=payload,
            result=result,
            on=events,
            queue=queue,
            emits=emits,
            retry=retry or Retry(),
            timeout_s=timeout_s,
            key=key or event_id,
            tenants=served,
            max_age_s=max_age_s,
            max_hops=max_hops,
            tenant_cap=tenant_cap,
            workflows=workflows,
            files=files,
            platform=platform,
            blackout=blackout,
            module=handler.__module__,
            cron=cron,
        )

    return declare


def dispatch(
    id: str,
    *,
    cron: Cron,
    queue: Queue,
    emits: Dispatch,
    summary: str,
    retry: Retry | None = None,
    module: str | None = None,
) -> Job[Tick, Dispatched]:
    """Declare a cron without code: at each tick the fan-out publishes `emits` for each tenant that is due.

    Each function makes one event or several of a Tick, whose `facts` are the row of the `due` probe. Two ticks never
    share a key, so each listener starts once per tick, tenant and event. Assign the answer to a module's name.
    """
    if not emits:
        raise DeclarationError(f"{id}: a dispatch without emits= does nothing")

    def publish_tick(ctx: JobContext, payload: Tick) -> Dispatched:
        """Publishes for one tenant what the schedule publishes for all."""
        facts = _facts(ctx, cron)
        if facts is None:
            return Dispatched(emitted=0)
        events = dispatched(id, emits, payload.model_copy(update={"tenant": ctx.tenant.slug, "facts": facts}))
        for event, key in events:
            ctx.emit(event, key=key)
        return Dispatched(emitted=len(events))

    scoped = replace(cron, scope="tenant+system") if cron.scope == "platform_fanout" else cron
    declare = job(id, cron=scoped, queue=queue, emits=tuple(emits), retry=retry, timeout_s=DISPATCH_TIMEOUT_S)
    caller = module or str(sys._getframe(1).f_globals["__name__"])
    return replace(declare(publish_tick), module=caller, dispatch=dict(emits), text=summary.split("\n", 1)[0])


def _facts(ctx: JobContext, cron: Cron) -> Mapping[str, Any] | None:
    """The row of the cron's probe for the run's tenant; None when it is not due."""
    if cron.due is None or ctx.tenant.slug == "system":
        return {}
    values = {"org_id": ctx.tenant.organization_id, "slug": ctx.tenant.slug, "now": ctx.now()}
    with ctx.tenant_session(read_only=True) as session:
        return session.one(cron.named_probe, values)


def _served(id: str, cron: Cron | None, tenants: Tenants | None) -> Tenants:
    """Whom the job serves; a cron's scope decides it."""
    if cron is None:
        return tenants or "active"
    if cron.scope == "platform_fanout" and cron.due is not None:
        raise DeclarationError(f"{id}: a platform run asks the tenants itself; drop due=, or make it a dispatch")
    wanted: Tenants = "active"
    if cron.scope in ("platform", "platform_fanout"):
        wanted = "system"
    elif cron.scope == "tenant+system" or cron.suspended:
        wanted = "any"
    if tenants not in (None, wanted):
        raise DeclarationError(
            f"{id}: tenants={tenants!r} does not fit the cron's scope {cron.scope!r}, which needs {wanted!r}; drop it"
        )
    return wanted


def _check_tick(id: str, payload: type[Payload]) -> None:
    if not issubclass(payload, Tick):
        raise DeclarationError(f"{id}: a cron's handler takes a Tick, not {payload.__name__}")
    needed = [name for name, field in payload.model_fields.items() if field.is_required() and name != "scheduled_at"]
    if needed:
        raise DeclarationError(f"{id}: a schedule cannot fill {', '.join(needed)}; give them a default")


def _signature(id: str, handler: Callable[..., Any]) -> tuple[Any, Any]:
    hints = typing.get_type_hints(handler, globalns={**vars(inspect.getmodule(handler) or typing), **_late_names()})
    names = list(inspect.signature(handler).parameters)
    if len(names) != 2 or names[0] != "ctx":
        raise DeclarationError(f"{id}: the handler takes (ctx, payload), not ({', '.join(names)})")
    payload, result = hints.get(names[1]), _result(hints.get("return"))
    if not (isinstance(payload, type) and issubclass(payload, Payload)):
        raise DeclarationError(f"{id}: annotate {names[1]} with a Payload model")
    if not (isinstance(result, type) and issubclass(result, BaseModel)):
        raise DeclarationError(f"{id}: the result must be a pydantic model, not {result!r}")
    return payload, result


def _result(hint: Any) -> Any:
    """The result's model, also of `Result | HoldToken[Result]`."""
    if typing.get_origin(hint) not in (types.UnionType, typing.Union):
        return hint
    models = [part for part in typing.get_args(hint) if typing.get_origin(part) is not HoldToken]
    return models[0] if len(models) == 1 else hint


def _late_names() -> Mapping[str, Any]:
    from shared.jobs.context import JobContext  # context imports this module

    return {"JobContext": JobContext}


# Building blocks of run keys: pure functions of payload and delivery.


def event_id(payload: Payload, delivery: Delivery) -> str:
    """The event's own id: one run per published event."""
    return delivery.id


def payload_hash(payload: Payload) -> str:
    """SHA-256 (hex) of the canonical JSON of the validated payload: one run per content."""
    return hashlib.sha256(to_json(dict(sorted(payload.wire().items())))).hexdigest()


def window(delivery: Delivery, seconds: int) -> str:
    """Text that changes every `seconds` of publishing time: bursts within one window share a key."""
    return f"@{int(delivery.sent_at.timestamp()) // seconds * seconds}"
