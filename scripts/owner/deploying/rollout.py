"""The order of a deployment. Plan: what would change, shown before anything happens. Then, after a yes: migrations
(new code calls what they add; old code does not mind it), the end of what goes, the stacks, the smoke test, the
record. What fails after the stacks were touched brings the version before back; the database stays as it is, because
migrations only add.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from scripts.owner import OwnerError, WrongUse
from scripts.owner.deploying.apply import Apply
from scripts.owner.deploying.assembly import MAX_ZIP_BYTES, Assembly, Package, unpack
from scripts.owner.deploying.diff import RouteDiff, route_diff
from scripts.owner.deploying.drain import Drain, Left
from scripts.owner.deploying.records import Current, Record, Records
from scripts.owner.deploying.routes import NOTHING, Manifest, RetiringQueue, manifest, with_queues_kept
from shared.cli.errors import explain
from shared.cli.stages import Stage
from shared.jobs.registry import Registry
from shared.jobs.settlement import DLQ_SUFFIX

MEGABYTE = 1_000_000


class Looks(Protocol):
    """Whether a deployed version works (smoke.py): sentences about what does not."""

    def bound(self) -> list[str]: ...

    def message(self) -> list[str]: ...


@dataclass(frozen=True)
class Options:
    """`wait_s`: how long to wait for what goes; `quiet_s`: how long it must have been empty on end."""

    force: bool = False
    wait_s: float = 120
    quiet_s: float = 60


@dataclass(frozen=True)
class Plan:
    """What a deployment would do. `going_back`: to a stored version, whose code is not here."""

    current: Record | None
    diff: RouteDiff
    assembly: Assembly
    commit: str
    left: tuple[Left, ...] = ()
    migrations: tuple[str, ...] = ()
    packages: tuple[Package, ...] = ()
    stacks: tuple[tuple[str, str], ...] = ()
    going_back: bool = False
    unrecorded: bool = False
    """Something is deployed that nobody recorded, so what it consists of is not known."""

    def lines(self) -> Iterator[str]:
        """For the terminal."""
        was = self.current.current if self.current else None
        over = f"over {was.commit} of {was.at:%Y-%m-%d %H:%M} UTC" if was else "the first deployment"
        yield f"Version {self.commit}, {over}"
        if self.unrecorded:
            yield (
                "Routes are deployed here that were never recorded (by the CDK CLI itself, or by scripts/dev): all are "
                "shown as added, and what this version lacks goes without being drained"
            )
        yield from self.diff.lines()
        for queue in self.diff.after.retiring:
            yield f"Queue {queue.name} has no job any more; it stays until it is empty, without a rule that leads to it"
        for name in sorted(self.diff.gone_queues):
            yield f"Queue {name} is empty and is removed"
        for left in self.left:
            yield f"Before its job goes: {left.text} ({left.advice})"
        yield f"Stacks: {', '.join(f'{name} {what}' for name, what in self.stacks)}"
        yield from self.migrations or ("Database: nothing to migrate",)
        for package in self.packages:
            yield (
                f"Package of {', '.join(package.functions)}: {_mb(package.code)} code + {_mb(package.libraries)} "
                f"libraries = {_mb(package.zipped)} zipped, {_mb(package.unzipped)} unzipped"
            )


@dataclass(frozen=True)
class Rollout:
    """One stage and the ways to change it. `migrate(plan_only)` says what is due or done; `synthesize` runs the app;
    `scratch`: a folder for stored templates, which the caller clears away."""

    stage: Stage
    registry: Registry
    records: Records
    drain: Drain
    smoke: Looks
    synthesize: Callable[[Registry], Assembly]
    apply: Apply
    migrate: Callable[[bool], list[str]]
    commit: str
    scratch: Path
    options: Options = field(default_factory=Options)
    say: Callable[[str], None] = print
    measures: bool = True
    """Whether the functions are packages; the local engine runs the checkout."""

    # Plan.

    def plan(self) -> Plan:
        """What deploying this checkout would do; nothing is changed."""
        current = self.records.current()
        before = self._deployed(current)
        gone = route_diff(before, manifest(self.registry), self.registry).gone_queues
        kept = [RetiringQueue(name=name, category=category) for name, category in sorted(gone.items())]
        kept = [queue for queue in kept if queue not in before.retiring or self.drain.queue_left(queue.name)]
        diff = route_diff(before, manifest(self.registry, kept), self.registry)
        assembly = self.synthesize(with_queues_kept(self.registry, kept))
        return Plan(
            current,
            diff,
            assembly,
            self.commit,
            left=tuple(self.drain.jobs_left(before, diff.removed)),
            migrations=tuple(self.migrate(True)),
            packages=tuple(assembly.packages()) if self.measures else (),
            stacks=tuple(self._stacks(current, assembly)),
            unrecorded=current is None and self.drain.deployed(),
        )

    def _deployed(self, current: Record | None) -> Manifest:
        """What there is: the current version, and whatever a deployment that did not come to its end has added."""
        before = current.manifest if current else NOTHING
        if (begun := self.records.begun()) is None:
            return before
        self.say("The last deployment did not come to its end; its routes count as deployed.")
        known = {queue.name for queue in before.retiring}
        return Manifest(
            routes={**begun.routes, **before.routes},
            retiring=(*before.retiring, *(queue for queue in begun.retiring if queue.name not in known)),
        )

    def plan_back(self, id: str | None) -> Plan:
        """What going back to a stored deployment would do, the one before the current unless `id` names another."""
        current = self.records.current()
        target = id or (current.current.previous if current else None)
        if current is None or target is None:
            raise OwnerError("there is no deployment before this one")
        if target not in self.records.ids():
            raise WrongUse(f"there is no deployment {target!r}; --history lists them")
        assembly = self._stored(target)
        kept = self._carried(assembly, self._stored(current.current.id))
        after = self.records.manifest(target)
        after = after.model_copy(update={"retiring": (*after.retiring, *kept)})
        before = self._deployed(current)
        diff = route_diff(before, after, None)
        return Plan(
            current,
            diff,
            assembly,
            target.partition("-")[2],
            left=tuple(self.drain.jobs_left(before, diff.removed)),
            stacks=tuple(self._stacks(current, assembly)),
            going_back=True,
        )

    def _stacks(self, current: Record | None, assembly: Assembly) -> Iterator[tuple[str, str]]:
        before = self._stored(current.current.id) if current else None
        there = before.stacks if before else ()
        for stack in assembly.stacks:
            same = before is not None and stack in there and before.digest(stack) == assembly.digest(stack)
            yield stack, "unchanged" if same else "changed" if stack in there else "new"
        yield from (
            (stack, "has no job any more: delete it by hand") for stack in there if stack not in assembly.stacks
        )

    def refuse(self, plan: Plan) -> None:
        """WrongUse for what must not be deployed, or only with --force."""
        if large := [package for package in plan.packages if not package.fits]:
            raise WrongUse(
                f"the package of {', '.join(large[0].functions)} has {_mb(large[0].zipped)} zipped; Lambda takes "
                f"{_mb(MAX_ZIP_BYTES)}"
            )
        if plan.diff.breaking and not self.options.force:
            raise WrongUse(
                f"messages in flight may not fit the new contract of {', '.join(plan.diff.breaking)}: make the change "
                "compatible (an optional field; a new event beside the old), or wait until the queues are empty and "
                "give --force"
            )

    # Do.

    def foundation(self) -> None:
        """The first step of a first deployment: the stack that holds the secrets, before any function asks for them."""
        self.apply(self.synthesize(self.registry), [f"{self.stage.prefix}-shared"])

    def carry_out(self, plan: Plan) -> int:
        """Deploy; 0 when it runs, 1 when it did not and the version before is back. OwnerError when neither is so."""
        if not plan.going_back:
            for line in self.migrate(False):
                self.say(line)
        self._end_of_removed(plan)
        self.records.begin(plan.diff.after)
        try:
            self.apply(plan.assembly, plan.assembly.stacks)
            if on := self.drain.switch_on(plan.diff.after):
                self.say(f"Switched on again: {', '.join(on)}")
            problems = ([] if plan.going_back else self.smoke.bound()) or self.smoke.message()
        except OwnerError as error:
            problems = [str(error)]
        except Exception as error:  # whatever it was: half of the new version may be there
            problems = [explain(error)[1]]
        if problems:
            return self._back(plan, problems)
        current = self._record(plan.diff.after, plan.assembly, plan.commit, plan.current)
        self.say(f"Deployed {current.id}; the smoke test went through bus, queue, function and database.")
        if plan.diff.after.retiring and not plan.going_back:
            self._remove_queues(plan, current)
        return 0

    def _end_of_removed(self, plan: Plan) -> None:
        """Switch off what starts the jobs that go, and wait for what they have left to do."""
        before, removed = plan.diff.before, plan.diff.removed
        if not removed:
            return
        done = False
        try:
            self.drain.switch_off(before, removed)
            self.say(f"Switched off: {', '.join(removed)}")
            left = self.drain.wait(
                lambda: self.drain.jobs_left(before, removed), self.options.wait_s, self.options.quiet_s
            )
            done = not left or self.options.force
            if not done:
                told = "; ".join(f"{each.text} ({each.advice})" for each in left)
                raise OwnerError(f"{told}. Nothing was deployed; --force removes the jobs all the same")
            for each in left:
                self.say(f"Left behind: {each.text}. Such messages are dead letters with UNKNOWN_JOB after 15 minutes")
        finally:
            if not done:
                self.drain.switch_on(before)

    def _remove_queues(self, plan: Plan, current: Current) -> None:
        """Queues that lost their last job: removed when they stay empty within the time, else by a later deployment."""
        kept = list(plan.diff.after.retiring)
        left = {queue.name: self._waited_for(queue.name) for queue in kept}
        stay = [queue for queue in kept if left[queue.name]]
        if len(stay) < len(kept):
            assembly = self.synthesize(with_queues_kept(self.registry, stay))
            self.apply(assembly, assembly.stacks)
            after = manifest(self.registry, stay)
            self._record(after, assembly, plan.commit, Record(current, plan.diff.after))
            self.say(f"Removed the empty queues {', '.join(sorted(q.name for q in kept if q not in stay))}")
        for name in sorted(queue.name for queue in stay):
            told = "; ".join(f"{each.text} ({each.advice})" for each in left[name])
            self.say(f"Queue {name} stays: {told}. A later deployment removes it")

    def _waited_for(self, queue: str) -> list[Left]:
        return self.drain.wait(lambda: self.drain.queue_left(queue), self.options.wait_s, self.options.quiet_s)

    def _back(self, plan: Plan, problems: list[str]) -> int:
        """Bring the version before back, with the queues that the new one made: they may hold messages."""
        self.say("It does not work: " + "; ".join(problems))
        if plan.current is None:
            raise OwnerError("this was the first deployment, so there is nothing to go back to: mend it, deploy again")
        was = plan.current.current
        self.say(f"Going back to {was.id} ...")
        assembly = self._stored(was.id)
        kept = self._carried(assembly, plan.assembly)
        self.apply(assembly, assembly.stacks)
        self.drain.switch_on(plan.diff.before)
        if kept:
            routes = plan.current.manifest
            after = routes.model_copy(update={"retiring": (*routes.retiring, *kept)})
            self._record(after, assembly, was.commit, plan.current)
        self.records.end()
        if still := self.smoke.message():
            raise OwnerError(f"{was.id} is back, but does not work either: {'; '.join(still)}")
        self.say(f"{was.id} is back and works. The migrations stay; they only add.")
        return 1

    def _carried(self, assembly: Assembly, other: Assembly) -> list[RetiringQueue]:
        """Take `other`'s own queues over into `assembly`; their logical names."""
        prefix = f"{self.stage.prefix}-"
        return [
            RetiringQueue(name=name.removeprefix(prefix), category=stack.removeprefix(prefix))
            for stack, name in assembly.with_queues_of(other)
            if not name.endswith(DLQ_SUFFIX)
        ]

    def _record(self, after: Manifest, assembly: Assembly, commit: str, before: Record | None) -> Current:
        at = datetime.now(UTC)
        previous = before.current.id if before else None
        if before and before.current.commit == commit and before.manifest.routes == after.routes:
            previous = before.current.previous  # the same version in other queues: nobody wants to go back to that
        current = Current(id=f"{at:%Y%m%dT%H%M%S%fZ}-{commit}", commit=commit, at=at, previous=previous)
        self.records.write(current, after, assembly.pack())
        return current

    def _stored(self, id: str) -> Assembly:
        """The templates of a stored deployment, each time in a folder of its own: going back changes them."""
        self.scratch.mkdir(parents=True, exist_ok=True)
        return unpack(self.records.assembly(id), Path(tempfile.mkdtemp(dir=self.scratch)))


def _mb(size: int) -> str:
    return f"{size / MEGABYTE:.1f} MB"
