"""From a readable definition file to the state machine that AWS gets.

A file is Amazon States Language (JSONPath) with one shorthand: a Task names its job and the fields of its payload.

    "Check": {"Type": "Task", "Job": "toy-check", "Payload": {"reviewId.$": "$.reviewId"}, "TimeoutSeconds": 900,
              "ResultPath": "$.check", "Next": "Wait"}

It becomes sqs:sendMessage.waitForTaskToken to the job's queue. The tenant is that of the execution's input, whatever
the state's input has become; the correlation id is the execution's name, so one search finds all runs of an execution.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.jobs.registry import AnyJob, Registry

FOLDER = Path(__file__).parent
SUFFIX = ".asl.json"
TENANT = "$$.Execution.Input.tenantId"
CORRELATION = "$$.Execution.Name"
WAIT = "arn:aws:states:::sqs:sendMessage.waitForTaskToken"
TIMEOUTS = ("TimeoutSeconds", "TimeoutSecondsPath")
_NAME = re.compile(r"[A-Z][A-Za-z0-9]{1,39}")

State = Mapping[str, Any]


class WorkflowError(ValueError):
    """A definition that cannot be deployed; the sentence names file and state and says how to mend it."""


@dataclass(frozen=True)
class Workflow:
    """A definition as its file holds it. `name`: of the file, CamelCase; the machine's is `<prefix>-<name>`."""

    name: str
    definition: State

    @property
    def jobs(self) -> tuple[str, ...]:
        """Ids of the jobs that its steps call, sorted."""
        return tuple(sorted({str(state["Job"]) for _, state in _states(self.definition) if "Job" in state}))


def load(folder: Path = FOLDER) -> list[Workflow]:
    """The workflows of a folder, by name; WorkflowError for a file that is no JSON object or has a wrong name."""
    found = []
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        name = path.name.removesuffix(SUFFIX)
        if not _NAME.fullmatch(name):
            raise WorkflowError(f"{path.name}: a workflow's name is CamelCase, 2 to 40 letters and digits")
        try:
            definition = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise WorkflowError(f"{path.name}: no JSON ({error})") from None
        if not isinstance(definition, dict):
            raise WorkflowError(f"{path.name}: a workflow is a JSON object")
        found.append(Workflow(name, definition))
    return found


def expand(workflow: Workflow, registry: Registry, queue_url: Callable[[str], str]) -> dict[str, Any]:
    """The definition for AWS; WorkflowError for what would fail or hang there. `queue_url`: of a queue's logical name.

    Refused: no TimeoutSeconds at the top or in a Task, a Task that calls no declared job, a payload that its job would
    refuse, a Next that leads nowhere, a state that nothing leads to, and a null: synthesis drops it, and a ResultPath
    that discards would replace.
    """
    if not isinstance(workflow.definition.get("TimeoutSeconds"), int):
        raise WorkflowError(f"{workflow.name}: give TimeoutSeconds at the top; an execution must not wait for ever")
    return _expand_machine(workflow, workflow.definition, registry, queue_url)


def _expand_machine(
    workflow: Workflow, machine: State, registry: Registry, queue_url: Callable[[str], str]
) -> dict[str, Any]:
    _check_paths(workflow, machine)

    def expand_state(name: str, state: State) -> dict[str, Any]:
        expanded = dict(state)
        if state.get("Type") == "Task":
            expanded = _task(f"{workflow.name}.{name}", state, registry, queue_url)
        if "Branches" in state:
            expanded["Branches"] = [_expand_machine(workflow, b, registry, queue_url) for b in state["Branches"]]
        if "ItemProcessor" in state:
            expanded["ItemProcessor"] = _expand_machine(workflow, state["ItemProcessor"], registry, queue_url)
        return expanded

    states = {name: expand_state(name, state) for name, state in machine["States"].items()}
    return {**machine, "States": states}


def _task(place: str, state: State, registry: Registry, queue_url: Callable[[str], str]) -> dict[str, Any]:
    if not any(member in state for member in TIMEOUTS):
        raise WorkflowError(f"{place}: give TimeoutSeconds; a step whose answer is lost would wait for ever")
    job = registry.jobs.get(str(state.get("Job")))
    if job is None:
        raise WorkflowError(f"{place}: a Task names a declared job as Job; there is no {state.get('Job')!r}")
    if "Resource" in state or "Parameters" in state:
        raise WorkflowError(f"{place}: Resource and Parameters follow from Job and Payload; leave them out")
    payload = state.get("Payload", {})
    _check_payload(place, job, payload)
    message = {
        "job": job.id,
        "taskToken.$": "$$.Task.Token",
        "payload": {**payload, "tenantId.$": TENANT, "_meta": {"correlationId.$": CORRELATION}},
    }
    parameters = {"QueueUrl": queue_url(job.queue_name), "MessageGroupId.$": TENANT, "MessageBody": message}
    rest = {name: value for name, value in state.items() if name not in ("Job", "Payload")}
    return {**rest, "Resource": WAIT, "Parameters": parameters}


def _check_payload(place: str, job: AnyJob, payload: Mapping[str, Any]) -> None:
    """Fields by their wire names; the values are known at run time only."""
    fields = job.payload.model_fields
    wire = {field.serialization_alias or field.alias or name: field for name, field in fields.items()}
    given = {name.removesuffix(".$") for name in payload}
    if wrong := given - wire.keys():
        raise WorkflowError(f"{place}: {job.id} has no field {', '.join(sorted(wrong))}")
    if missing := {name for name, field in wire.items() if field.is_required()} - given:
        raise WorkflowError(f"{place}: {job.id} needs the field {', '.join(sorted(missing))} in Payload")


def _check_paths(workflow: Workflow, machine: State) -> None:
    states, start = machine.get("States"), machine.get("StartAt")
    if not isinstance(states, dict) or start not in states:
        raise WorkflowError(f"{workflow.name}: StartAt {start!r} is no state")
    led_to = {str(start)}
    for name, state in states.items():
        if nulls := [member for member, value in state.items() if value is None]:
            raise WorkflowError(f"{workflow.name}.{name}: {nulls[0]} is null, which synthesis drops; leave it out")
        for target in _targets(state):
            if target not in states:
                raise WorkflowError(f"{workflow.name}.{name}: leads to {target!r}, which is no state beside it")
            led_to.add(target)
    if lonely := states.keys() - led_to:
        raise WorkflowError(f"{workflow.name}: nothing leads to {', '.join(sorted(lonely))}; remove it or lead there")


def _targets(state: State) -> Iterator[str]:
    for member in ("Next", "Default"):
        if member in state:
            yield str(state[member])
    for part in (*state.get("Catch", ()), *state.get("Choices", ())):
        yield str(part.get("Next"))


def _states(machine: State) -> Iterator[tuple[str, State]]:
    """All states, those of branches too."""
    for name, state in machine.get("States", {}).items():
        yield name, state
        for inner in (*state.get("Branches", ()), *([state["ItemProcessor"]] if "ItemProcessor" in state else ())):
            yield from _states(inner)
