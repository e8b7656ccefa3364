"""Step Functions in memory, as far as a job can see it: tokens that wait, end and are answered; executions by name."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from shared.jobs.ports import Reply, TaskAnswer

ARN = "arn:aws:states:us-east-1:000000000000:execution:cgk-"


@dataclass
class Step:
    """A step of some machine that waits. `output` or `error` once it was answered; `over`: it waits no more."""

    token: str = field(repr=False)
    over: bool = False
    output: Any = None
    error: str | None = None
    cause: str = ""

    def end(self) -> None:
        """Timed out, or its execution was stopped."""
        self.over = True


class MemoryMachines:
    """The `StateMachines` port."""

    def __init__(self) -> None:
        self._ids = itertools.count(1)
        self.steps: dict[str, Step] = {}
        self.started: dict[tuple[str, str], dict[str, Any]] = {}
        """(workflow, execution) -> input."""
        self.statuses: dict[tuple[str, str], str] = {}
        """What a test says of an execution; RUNNING otherwise."""
        self.answers = 0
        """Answers that came, of any outcome."""
        self.refuse = 0
        """How many coming answers and starts are not taken: the service out of reach."""
        self.off = False

    def enter(self) -> Step:
        """A step is entered: a token that waits."""
        step = Step(f"token-{next(self._ids)}-{'x' * 40}")
        self.steps[step.token] = step
        return step

    def answer(self, answers: Sequence[TaskAnswer]) -> list[Reply]:
        return [self._told(answer) for answer in answers]

    def _told(self, answer: TaskAnswer) -> Reply:
        self.answers += 1
        if self._out_of_reach():
            return "refused"
        step = self.steps.get(answer.token)
        if step is None or step.over:
            return "gone"
        step.over = True
        step.output = None if answer.output is None else json.loads(answer.output)
        step.error, step.cause = answer.error, answer.cause
        return "taken"

    def start(self, workflow: str, execution: str, input: str) -> bool:
        if self._out_of_reach():
            return False
        self.started.setdefault((workflow, execution), json.loads(input))
        return True

    def execution_arn(self, workflow: str, execution: str) -> str | None:
        return None if self.off else f"{ARN}{workflow}:{execution}"

    def status(self, workflow: str, execution: str) -> str | None:
        known = (workflow, execution) in self.started
        return self.statuses.get((workflow, execution), "RUNNING" if known else None)

    def _out_of_reach(self) -> bool:
        if self.refuse:
            self.refuse -= 1
            return True
        return False
