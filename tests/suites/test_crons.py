"""Every schedule fired: one run per tenant that it serves, nothing for others, nothing twice."""

from __future__ import annotations

import json
from collections import Counter
from datetime import datetime

import pytest

from shared.jobs.ticks import tick_body
from tests.suites.counts import Count
from tests.suites.lab import Lab

ADD = "INSERT INTO public.organizations (slug, name, status) VALUES (%(slug)s, %(slug)s, %(status)s)"
SUSPEND = "UPDATE public.organizations SET status = 'suspended' WHERE slug = 'globex'"


def test_tick_starts_each_tenant_once(lab: Lab, count: Count) -> None:
    cron = lab.job.cron
    if cron is None:
        pytest.skip("the job has no schedule")
    with lab.case("ticks"):
        lab.store.admin.execute(SUSPEND)
        lab.store.admin.execute(ADD, {"slug": "newborn", "status": "active"})  # no role yet: provisioned later
        lab.store.admin.execute(ADD, {"slug": "arriving", "status": "onboarding"})
        at = cron.previous(lab.now())
        assert at is not None, "the schedule never fires"
        started, events = _fire(lab, at), _published(lab)
        served = {"acme"} if cron.scope in ("tenant", "tenant+system") else set()
        if cron.suspended:
            served |= {"globex"}
        extra = {"system"} if cron.scope != "tenant" else set()
        assert set(started) | set(events) <= served | extra, f"{started} {events} instead of {served | extra}"
        assert set(started.values()) <= {1}, started
        if cron.due is None:
            assert set(started) | set(events) >= (served or extra), f"only {started} {events}"
        lab.drain()
        before = lab.store.sums(), len(lab.bench.bus.published)
        again = _fire(lab, at)
        assert again == {}, f"the same tick again starts {again}"
        lab.drain()
        assert (lab.store.sums(), len(lab.bench.bus.published)) == before, "the same tick again has done something"
        lab.end()
        count("ticks", 2)
    lab.verdict()


def _fire(lab: Lab, at: datetime) -> Counter[str]:
    """Tenants that the tick started, each with its messages."""
    queue = lab.job.queue_name
    lab.bench.send_raw(queue, tick_body(lab.job.id, at.isoformat()))
    lab.bench.pump(queue, most=1)
    waiting = lab.bench.queues.queues[queue]
    return Counter(json.loads(message.body)["payload"]["tenantId"] for message in waiting)


def _published(lab: Lab) -> Counter[str]:
    return Counter(str(detail.get("tenantId")) for _, detail in lab.bench.bus.published)


@pytest.mark.parametrize("point", ["begin", "after-fan-out", "before-answer"])
def test_process_that_dies_during_a_tick_starts_each_tenant_once(lab: Lab, count: Count, point: str) -> None:
    cron = lab.job.cron
    if cron is None:
        pytest.skip("the job has no schedule")
    at = cron.previous(lab.now())
    assert at is not None
    with lab.case("undisturbed"):
        _fire(lab, at)
        expected = lab.end()
    with lab.case(f"crash at {point}"):
        lab.bench.faults.crash(point)
        lab.bench.send_raw(lab.job.queue_name, tick_body(lab.job.id, at.isoformat()))
        ended = lab.end()
        assert lab.bench.crashes == 1, "the point was not reached"
        assert sorted(ended.states) == sorted(expected.states), f"{ended.states} instead of {expected.states}"
        if expected.good or lab.job.dispatch:
            assert ended.work == expected.work
        count("crash points")
    lab.verdict()
