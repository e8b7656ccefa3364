"""The route diff: what a deployment would change for messages, shown before anything happens."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from pydantic import ValidationError

from scripts.owner.deploying.contracts import compare
from scripts.owner.deploying.routes import Manifest, Route
from shared.jobs.admission import describe
from shared.jobs.registry import Registry

SETTINGS = {
    "queue": "queue",
    "function": "function",
    "category": "category",
    "scope": "scope",
    "timeout_s": "timeout",
    "retry": "retry",
    "max_age_s": "max age",
    "tenants": "tenants",
}
"""Members of a route that are compared as they are, and what they are called."""
SECONDS = ("timeout_s", "max_age_s")


@dataclass(frozen=True, slots=True)
class Change:
    """One line about a job that stays. `breaking`: messages in flight may be refused by the new version."""

    what: str
    text: str
    breaking: bool = False


@dataclass(frozen=True)
class RouteDiff:
    """Job ids by what happens to them; `changed` with the changes, in the order in which they are shown."""

    before: Manifest
    after: Manifest
    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: dict[str, tuple[Change, ...]]

    @property
    def breaking(self) -> dict[str, tuple[Change, ...]]:
        """What messages in flight may not survive, by job."""
        found = {id: tuple(c for c in changes if c.breaking) for id, changes in self.changed.items()}
        return {id: changes for id, changes in found.items() if changes}

    @property
    def gone_queues(self) -> dict[str, str]:
        """Queues that only the deployed version has: category by name."""
        return {name: kind for name, kind in self.before.queues.items() if name not in self.after.queues}

    @property
    def empty(self) -> bool:
        """Whether no route changes."""
        return not (self.added or self.removed or self.changed)

    def lines(self) -> Iterator[str]:
        """For the terminal: a summary, then a line per job and one per change."""
        if self.empty:
            yield f"Routes: none of {len(self.after.routes)} changes"
            return
        yield f"Routes: {len(self.added)} added, {len(self.removed)} removed, {len(self.changed)} changed"
        for id in self.added:
            yield f"  + {id}: {told(self.after.routes[id])}"
        for id in self.removed:
            yield f"  - {id}: {told(self.before.routes[id])}"
        for id, changes in self.changed.items():
            yield f"  ~ {id}"
            for change in changes:
                yield f"      {change.what}: {change.text}{'   BREAKS messages in flight' if change.breaking else ''}"


def route_diff(before: Manifest, after: Manifest, registry: Registry | None) -> RouteDiff:
    """Compare what is deployed with what would be. `registry`: the new version's, where it is here: it tries the old
    samples."""
    changed: dict[str, tuple[Change, ...]] = {}
    for id in sorted(before.routes.keys() & after.routes.keys()):
        if changes := tuple(_changes(before.routes[id], after.routes[id], id, registry)):
            changed[id] = changes
    return RouteDiff(
        before,
        after,
        added=tuple(sorted(after.routes.keys() - before.routes.keys())),
        removed=tuple(sorted(before.routes.keys() - after.routes.keys())),
        changed=changed,
    )


def told(route: Route) -> str:
    """A route in one line: `order.sync -> order-processing (commerce, fast, 60 s)`."""
    return f"{trigger(route)} -> {route.queue} ({route.category}, {route.function}, {route.timeout_s} s)"


def trigger(route: Route) -> str:
    """What starts the job: its events, or its cron with the zone."""
    return f"cron {route.cron} {route.zone}" if route.cron else ", ".join(route.events)


def _changes(before: Route, after: Route, id: str, registry: Registry | None) -> Iterator[Change]:
    if (before.cron, before.zone) != (after.cron, after.zone) or before.events != after.events:
        kind = "cron" if before.cron and after.cron else "event" if before.events and after.events else "trigger"
        yield Change(kind, f"{trigger(before).removeprefix('cron ')} -> {trigger(after).removeprefix('cron ')}")
    for name, called in SETTINGS.items():
        old, new = getattr(before, name), getattr(after, name)
        if old != new:
            unit = " s" if name in SECONDS else ""
            yield Change(called, f"{old}{unit} -> {new}{unit}")
    contract = [Change("contract", each.text, each.breaking) for each in compare(before.contract, after.contract)]
    if not any(change.breaking for change in contract) and (refused := _refused(before, id, registry)):
        contract.append(Change("contract", f"the deployed version's sample is refused: {refused}", breaking=True))
    yield from contract


def _refused(before: Route, id: str, registry: Registry | None) -> str:
    """Why the new model does not take the old sample, which holds no real data; empty when it does."""
    if before.sample is None or registry is None:
        return ""
    try:
        registry.jobs[id].payload.model_validate_json(json.dumps(before.sample), strict=True)
    except ValidationError as error:
        return describe(error)
    return ""
