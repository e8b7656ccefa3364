"""Interprets state machines over a test bench: the real definition, the real pipeline, a clock that the test moves.

What of Amazon States Language (JSONPath) the project's definitions use, and no more; anything else is an error, so that
a definition cannot mean here something else than at AWS: Task (sqs:sendMessage.waitForTaskToken), Choice
(StringEquals, BooleanEquals), Pass, Parallel, Succeed, Fail; Parameters, Result, ResultPath, TimeoutSeconds, Catch.
states-language.net/spec.html
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from infra.workflows import Workflow, expand
from shared.jobs.memory_machines import Step
from shared.jobs.ports import OutMessage
from shared.jobs.testing import Bench, Delivered

WAIT = "arn:aws:states:::sqs:sendMessage.waitForTaskToken"
MEMBERS = {
    "Task": {"Resource", "Parameters", "TimeoutSeconds", "ResultPath", "Catch"},
    "Choice": {"Choices", "Default"},
    "Pass": {"Parameters", "Result", "ResultPath"},
    "Parallel": {"Branches", "ResultPath", "Catch"},
    "Succeed": set(),
    "Fail": {"Error", "Cause"},
}
"""What the interpreter understands of each kind of state, beside Type, Comment, Next and End."""


KINDS = {kind: f"_{kind.lower()}_state" for kind in MEMBERS}


class StateFailed(Exception):
    """A state has failed: what its Catch sees."""

    def __init__(self, error: str, cause: str = "") -> None:
        super().__init__(error)
        self.error, self.cause = error, cause


# -- paths -----------------------------------------------------------------------------------------------------------


def read(path: str, data: Any, context: Mapping[str, Any]) -> Any:
    """The value at a reference path ($.a.b, $$.Execution.Name). States.ParameterPathFailure when there is none."""
    found, names = (context, path[3:]) if path.startswith("$$") else (data, path[2:])
    for name in filter(None, names.split(".")):
        if not isinstance(found, Mapping) or name not in found:
            raise StateFailed("States.ParameterPathFailure", path)
        found = found[name]
    return deepcopy(found)


def filled(template: Any, data: Any, context: Mapping[str, Any]) -> Any:
    """A payload template with its `.$` members replaced."""
    if isinstance(template, Mapping):
        return {
            name.removesuffix(".$"): read(value, data, context) if name.endswith(".$") else filled(value, data, context)
            for name, value in template.items()
        }
    return [filled(each, data, context) for each in template] if isinstance(template, list) else template


def put(data: Any, path: str | None, result: Any) -> Any:
    """The input with the result at its place: ResultPath `$.a`, `$`, or None for none."""
    if path is None:
        return data
    if path == "$":
        return result
    (name,) = path.removeprefix("$.").split(".")
    return {**data, name: result}


# -- one thread of states --------------------------------------------------------------------------------------------


@dataclass
class Thread:
    """A machine, or a branch of a Parallel, at one of its states. `output` once it has ended."""

    run: Execution
    machine: Mapping[str, Any]
    data: Any
    state: str = ""
    step: Step | None = None
    deadline: datetime | None = None
    branches: list[Thread] = field(default_factory=list)
    ended: bool = False
    output: Any = None
    failure: StateFailed | None = None

    def begin(self) -> None:
        self._enter(self.machine["StartAt"])

    def _enter(self, name: str) -> None:
        self.state, self.step, self.deadline, self.branches = name, None, None, []
        self.run.entered.append(name)
        spec = self.machine["States"][name]
        kind = spec["Type"]
        unknown = spec.keys() - MEMBERS[kind] - {"Type", "Comment", "Next", "End"}
        assert not unknown, f"{name}: the interpreter does not know {sorted(unknown)}"
        try:
            getattr(self, KINDS[kind])(spec)
        except StateFailed as failed:
            self._fail(failed)

    # The kinds.

    def _task_state(self, spec: Mapping[str, Any]) -> None:
        assert spec["Resource"] == WAIT
        bench = self.run.bench
        self.step = bench.machines.enter()
        sent = filled(spec["Parameters"], self.data, {**self.run.context, "Task": {"Token": self.step.token}})
        bench.queues.send(sent["QueueUrl"], [OutMessage(json.dumps(sent["MessageBody"]))])
        self.deadline = bench.clock.now() + timedelta(seconds=spec["TimeoutSeconds"])

    def _choice_state(self, spec: Mapping[str, Any]) -> None:
        for rule in spec["Choices"]:
            (test,) = rule.keys() - {"Variable", "Next"}
            assert test in ("StringEquals", "BooleanEquals"), test
            if read(rule["Variable"], self.data, self.run.context) == rule[test]:
                self._enter(rule["Next"])
                return
        self._enter(spec["Default"])

    def _pass_state(self, spec: Mapping[str, Any]) -> None:
        result = spec.get("Result", self.data)
        if "Parameters" in spec:
            result = filled(spec["Parameters"], self.data, self.run.context)
        self._leave(spec, result)

    def _parallel_state(self, spec: Mapping[str, Any]) -> None:
        self.branches = [Thread(self.run, branch, deepcopy(self.data)) for branch in spec["Branches"]]
        for branch in self.branches:
            branch.begin()

    def _succeed_state(self, spec: Mapping[str, Any]) -> None:
        self.ended, self.output = True, self.data

    def _fail_state(self, spec: Mapping[str, Any]) -> None:
        raise StateFailed(spec["Error"], spec.get("Cause", ""))

    # Going on.

    def _leave(self, spec: Mapping[str, Any], result: Any) -> None:
        self.data = put(self.data, spec.get("ResultPath", "$"), result)
        if spec.get("End"):
            self.ended, self.output = True, self.data
        else:
            self._enter(spec["Next"])

    def _fail(self, failed: StateFailed) -> None:
        spec = self.machine["States"][self.state]
        for branch in self.branches:
            branch.stop()
        for catcher in spec.get("Catch", ()):
            if failed.error in catcher["ErrorEquals"] or "States.ALL" in catcher["ErrorEquals"]:
                told = {"Error": failed.error, "Cause": failed.cause}
                self.data = put(self.data, catcher.get("ResultPath", "$"), told)
                self._enter(catcher["Next"])
                return
        self.ended, self.failure = True, failed

    def stop(self) -> None:
        """Whatever waits, waits no more."""
        self.ended = True
        if self.step is not None:
            self.step.end()
        for branch in self.branches:
            branch.stop()

    def advance(self) -> bool:
        """Go on as far as answers and the clock allow; whether anything moved."""
        if self.ended:
            return False
        spec = self.machine["States"][self.state]
        try:
            if self.step is not None:
                return self._answered(spec, self.step)
            return self._joined(spec)
        except StateFailed as failed:
            self._fail(failed)
            return True

    def _answered(self, spec: Mapping[str, Any], step: Step) -> bool:
        assert self.deadline is not None
        if step.over:
            if step.error is not None:
                raise StateFailed(step.error, step.cause)
            self._leave(spec, step.output)
            return True
        if self.run.bench.clock.now() >= self.deadline:
            step.end()
            raise StateFailed("States.Timeout")
        return False

    def _joined(self, spec: Mapping[str, Any]) -> bool:
        advanced = [branch.advance() for branch in self.branches]  # each of them, not up to the first that moves
        moved = any(advanced)
        failure = next((branch.failure for branch in self.branches if branch.failure), None)
        if failure is not None:
            raise failure
        if not all(branch.ended for branch in self.branches):
            return moved
        self._leave(spec, [branch.output for branch in self.branches])
        return True

    def deadlines(self) -> list[datetime]:
        """When something that waits will have waited enough."""
        own = [self.deadline] if self.deadline is not None and not self.ended and self.step else []
        return own + [at for branch in self.branches for at in branch.deadlines()]


# -- executions ------------------------------------------------------------------------------------------------------


@dataclass
class Execution:
    """An execution under way. `entered`: the states, in their order; `status` as Step Functions names it."""

    bench: Bench
    name: str
    machine: Mapping[str, Any]
    input: dict[str, Any]
    status: str = "RUNNING"
    entered: list[str] = field(default_factory=list)
    error: str | None = None

    def __post_init__(self) -> None:
        self.context = {"Execution": {"Input": self.input, "Name": self.name}}
        self.began = self.bench.clock.now()
        self.thread = Thread(self, self.machine, deepcopy(self.input))

    def begin(self) -> None:
        self.thread.begin()
        self._look()

    def advance(self) -> bool:
        moved = self.thread.advance()
        late = self.bench.clock.now() - self.began >= timedelta(seconds=self.machine["TimeoutSeconds"])
        if late and not self.thread.ended:
            self.thread.stop()
            self.status = "TIMED_OUT"
            return True
        self._look()
        return moved

    def _look(self) -> None:
        if self.thread.ended and self.status == "RUNNING":
            failed = self.thread.failure
            self.status, self.error = ("FAILED", failed.error) if failed else ("SUCCEEDED", None)

    def stop(self) -> None:
        """StopExecution."""
        self.thread.stop()
        self.status = "ABORTED"


@dataclass
class Interpreter:
    """Runs the executions that jobs start on a bench."""

    bench: Bench
    workflows: Sequence[Workflow]
    executions: dict[str, Execution] = field(default_factory=dict)
    delivered: list[Delivered] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._machines = {w.name: expand(w, self.bench.registry, lambda queue: queue) for w in self.workflows}
        self._queues = [binding.name for binding in self.bench.registry.queues()]

    def run(self, *, hours: float | None = None, until: datetime | None = None) -> list[Delivered]:
        """Work until nothing is left to do, moving the clock; or until an instant, to which the clock then moves."""
        clock, first = self.bench.clock, len(self.delivered)
        end = clock.now() + timedelta(hours=hours) if hours is not None else until
        while True:
            if self._work():
                continue
            due = self._next()
            if due is None or (end is not None and due > end):
                break
            if due > clock.now():
                clock.advance(s=(due - clock.now()).total_seconds())
        if end is not None and end > clock.now():
            clock.advance(s=(end - clock.now()).total_seconds())
        return self.delivered[first:]

    def _work(self) -> bool:
        moved = False
        for (workflow, name), input in list(self.bench.machines.started.items()):
            if name not in self.executions:
                self.executions[name] = Execution(self.bench, name, self._machines[workflow], dict(input))
                self.executions[name].begin()
                moved = True
            run = self.executions[name]
            moved = (run.status == "RUNNING" and run.advance()) or moved
            self.bench.machines.statuses[(workflow, name)] = run.status
        for queue in self._queues:
            done = self.bench.pump(queue)
            self.delivered += done
            moved = moved or bool(done)
        return moved

    def _next(self) -> datetime | None:
        waits = [at for run in self.executions.values() if run.status == "RUNNING" for at in run.thread.deadlines()]
        due = [self.bench.queues.next_visible(self._queues), self.bench.schedules.next_at(), *waits]
        return min((at for at in due if at is not None), default=None)
