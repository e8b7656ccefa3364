"""Every job sent again from the ledger: what was dead or skipped does its work, what was done is left alone."""

from __future__ import annotations

import json
from typing import Any

from shared.jobs.errors import Permanent
from shared.jobs.ledger import RunFilter
from tests.suites.counts import Count
from tests.suites.lab import Ended, Lab


def _replay(lab: Lab, state: str) -> int:
    return lab.replayer().replay(RunFilter(state=state), now=lab.now(), limit=100).total


def _without_alerts(ended: Ended) -> dict[str, Any]:
    """Events but those that the kernel publishes about dead runs."""
    return {e: n for e, n in ended.events.items() if not str(json.loads(e)[1].get("dedupeKey", "")).startswith("dead:")}


def _die() -> None:
    raise Permanent("SUITE_BROKEN", "the cause that somebody mends")


def test_dead_run_that_is_replayed_does_its_work_once(lab: Lab, count: Count) -> None:
    expected = lab.reference
    with lab.case("replay of a dead run"):
        lab.bench.faults.on("before-handler", _die)
        lab.send()
        lab.drain()
        assert [item.state for item in lab.delivered] == ["dead"]
        assert _replay(lab, "dead") == 1
        lab.drain()
        _replay(lab, "dead")  # once more: a job whose sample succeeds has none left
        ended = lab.end()
        if expected.good:
            assert "succeeded" in ended.states, f"{ended.states} {ended.codes}"
            assert (dict(ended.effects), _without_alerts(ended)) == (dict(expected.effects), _without_alerts(expected))
            assert ended.vendors == expected.vendors
        count("replays")
    with lab.case("replay of a succeeded run"):
        lab.send()
        lab.end()
        if expected.good:
            assert _replay(lab, "succeeded") == 0
        count("replays")
    lab.verdict()


SUSPEND = "UPDATE public.organizations SET status = 'suspended' WHERE slug = %(slug)s"
RESUME = "UPDATE public.organizations SET status = 'active' WHERE slug = %(slug)s"


def test_suspended_tenant_is_served_when_it_is_active_again(lab: Lab, count: Count) -> None:
    expected, slug = lab.reference, {"slug": lab.world.acme.slug}
    with lab.case("suspended"):
        lab.store.admin.execute(SUSPEND, slug)
        held = lab.vendors.work(lab.world.acme)
        lab.send()
        suspended = lab.end()
        lab.store.admin.execute(RESUME, slug)
        count("suspended tenants")
        if lab.job.tenants == "active":
            assert suspended.states == ("skipped",), suspended.states
            assert set(suspended.effects) <= {"public.organizations"}, suspended.effects
            assert suspended.events == {}, suspended.events
            assert suspended.vendors == held, suspended.vendors
            lab.bench.restart()  # a process believes for half a minute what it knows of a tenant
            assert _replay(lab, "skipped") == 1
            ended = lab.end()
            if expected.good:
                assert "succeeded" in ended.states, f"{ended.states} {ended.codes}"
                effects = {table: rows for table, rows in ended.effects.items() if table != "public.organizations"}
                assert (effects, ended.events, ended.vendors) == (expected.effects, expected.events, expected.vendors)
        elif expected.good:
            assert suspended.good, f"{suspended.states} {suspended.codes}"
    lab.verdict()
