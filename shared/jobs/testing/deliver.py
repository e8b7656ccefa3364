"""The fixture `deliver`: one message, one verdict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from shared.events.base import Event
from shared.jobs.context import Tenant
from shared.jobs.testing.bench import Bench, Delivered


@dataclass
class Deliver:
    """The fixture `deliver`: publish or send one message, run it, check the state it ended in."""

    bench: Bench
    tenant: Tenant

    def __call__(
        self, event: Event, *, tenant: Tenant | str | None = None, key: str | None = None, expect: str = "succeeded"
    ) -> Delivered:
        """Publish `event` as an application does and run its listening job (the first one's outcome is returned)."""
        self.bench.publish(event, _slug(tenant or self.tenant), key=key)
        listeners = self.bench.registry.listeners.get(event.event_name, ())
        assert listeners, f"no job listens to {event.event_name}"
        return self._run(listeners[0].queue_name, expect)

    def job(
        self,
        job_id: str,
        payload: Mapping[str, Any],
        *,
        tenant: Tenant | str | None = None,
        key: str | None = None,
        expect: str = "succeeded",
    ) -> Delivered:
        """Send a wire payload straight to a job."""
        self.bench.send(job_id, {"tenantId": _slug(tenant or self.tenant), **payload}, key=key)
        return self._run(self.bench.registry.jobs[job_id].queue_name, expect)

    def tick(
        self,
        job_id: str,
        *,
        at: datetime | None = None,
        tenant: Tenant | str | None = None,
        expect: str = "succeeded",
    ) -> Delivered:
        """Fire the job's schedule and run what it started for one tenant (`system` for the platform's part).

        The other tenants' messages stay in the queue. Fails when the tenant got none: it was not due.
        """
        report = self.bench.tick(job_id, at)
        slug, queue = _slug(tenant or self.tenant), self.bench.registry.jobs[job_id].queue_name
        assert slug in report.started, f"{slug} got no message of {job_id}; started: {report.started}"
        mine = next(m for m in reversed(self.bench.queues.queues[queue]) if m.group == slug)
        self.bench.queues.queues[queue].remove(mine)
        self.bench.queues.queues[queue].append(mine)
        return self._run(queue, expect)

    def again(self, queue: str, *, expect: str = "succeeded") -> Delivered:
        """Run what is next in `queue`, moving the clock to it."""
        due = self.bench.queues.next_visible([queue])
        assert due is not None, f"nothing waits in {queue}"
        if due > self.bench.clock.now():
            self.bench.clock.advance(s=(due - self.bench.clock.now()).total_seconds())
        return self._run(queue, expect)

    def _run(self, queue: str, expect: str) -> Delivered:
        before = {m.message_id for m in self.bench.queues.queues[queue]}
        done = self.bench.pump(queue, most=1) if len(before) == 1 else self._newest(queue)
        assert done, f"the message in {queue} was neither run nor refused; it was handed back"
        found = done[0]
        if found.state != expect:
            if found.error is not None:
                raise found.error
            raise AssertionError(f"ended {found.state} ({found.code}: {found.detail}) instead of {expect}")
        return found

    def _newest(self, queue: str) -> list[Delivered]:
        newest = self.bench.queues.queues[queue][-1]
        newest.visible_at = self.bench.clock.now()
        others = [m for m in self.bench.queues.queues[queue] if m is not newest]
        self.bench.queues.queues[queue] = [newest]
        try:
            return self.bench.pump(queue, most=1)
        finally:
            self.bench.queues.queues[queue] = [*others, *self.bench.queues.queues[queue]]


def _slug(tenant: Tenant | str) -> str:
    return tenant if isinstance(tenant, str) else tenant.slug
