"""A job that does what a test hands it, so that clients run inside a real run: real context, real database."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from shared.events import Event, Payload
from shared.events.alerts import AlertApiFailure
from shared.jobs import JobContext, Retry, Tenant, job
from shared.jobs.queues import Queue
from shared.jobs.registry import build_registry
from shared.jobs.testing import Bench, Deliver, Delivered

Act = Callable[[JobContext], Any]
_next: list[Act] = []
_given: list[Any] = []


class VisitAsked(Event, name="toy.visitAsked", from_apps=True):
    n: int = 0


class VisitResult(Payload):
    pass


@job("toy-visit", on=VisitAsked, queue=Queue("toy-visits"), emits=(AlertApiFailure,), retry=Retry(attempts=3))
def visit(ctx: JobContext, payload: VisitAsked) -> VisitResult:
    """Do what the test said."""
    _given.append(_next.pop()(ctx))
    return VisitResult()


REGISTRY = build_registry([visit])


@dataclass
class Visits:
    """`visits(act)` runs `act(ctx)` as a job and gives its value; `fails` gives what became of one that fails."""

    bench: Bench
    tenant: Tenant

    def __call__(self, act: Act) -> Any:
        self._run(act, "succeeded")
        return _given.pop()

    def fails(self, act: Act, state: str) -> Delivered:
        delivered = self._run(act, state)
        self.bench.queues.queues.clear()  # what was deferred is not of interest
        return delivered

    def _run(self, act: Act, state: str) -> Delivered:
        _next[:], _given[:] = [act], []
        return Deliver(self.bench, self.tenant).job("toy-visit", {}, expect=state)
