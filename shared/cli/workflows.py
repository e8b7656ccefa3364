"""cgk-jobs workflows: executions of the state machines: listed, shown with the runs of their steps, stopped."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from shared.cli.errors import Failure, UsageError, nearest
from shared.cli.output import Printer
from shared.cli.platform import Platform
from shared.cli.runs import print_runs

RUNS_SHOWN = 100
"""Runs of one execution that `show` lists, the newest."""
STOPPED = "STOPPED"
"""Error code that a stopped execution ends with."""


@dataclass(frozen=True, slots=True)
class Execution:
    """One execution. `workflow`: logical name of its machine; `ended_at`: None while it runs."""

    workflow: str
    execution: str
    status: str
    started_at: datetime
    ended_at: datetime | None
    arn: str


def list_executions(platform: Platform, printer: Printer, arguments: Namespace) -> None:
    """{"workflows": [name], "executions": [{"workflow", "execution", "status", "started_at", "ended_at", "arn"}]}."""
    states = platform.client("stepfunctions")
    machines = _machines(platform, states, arguments.workflow)
    found = [e for name, arn in machines.items() for e in _executions(states, name, arn, arguments)]
    found = sorted(found, key=lambda execution: execution.started_at, reverse=True)[: arguments.limit]
    if printer.as_json:
        printer.json({"workflows": list(machines), "executions": found})
        return
    printer.table(
        ["STARTED (UTC)", "WORKFLOW", "EXECUTION", "STATUS", "ENDED (UTC)"],
        [[e.started_at, e.workflow, e.execution, e.status, e.ended_at] for e in found],
        nothing="no execution matches" if machines else "there are no workflows yet",
    )


def show_execution(platform: Platform, printer: Printer, arguments: Namespace) -> None:
    """{"execution", "input", "output", "error", "cause", "steps": [..], "waiting": [..], "runs": [..]}.

    Runs and waiting steps come from the ledger, when a database is known.
    """
    states = platform.client("stepfunctions")
    execution, found = _find(platform, states, arguments)
    steps = list(_steps(states, execution.arn))
    runs, waiting = _of_ledger(platform, execution.execution)
    detail = {name: found.get(name) for name in ("error", "cause")}
    detail |= {name: _parsed(found.get(name)) for name in ("input", "output")}
    if printer.as_json:
        printer.json({"execution": execution, **detail, "steps": steps, "waiting": waiting, "runs": runs})
        return
    printer.pairs({name: getattr(execution, name) for name in Execution.__slots__} | detail)
    printer.line("\nsteps (UTC):")
    columns = ("at", "state", "what", "error")
    printer.table(["AT", "STATE", "WHAT", "ERROR"], [[step[name] for name in columns] for step in steps])
    if waiting:
        printer.line("\nsteps that wait for an answer:")
        printer.table(["JOB", "RUN", "HELD SINCE (UTC)"], [[w["job"], w["run_id"], w["since"]] for w in waiting])
    printer.line("\nruns:")
    print_runs(printer, runs)


def stop_execution(platform: Platform, printer: Printer, arguments: Namespace) -> None:
    """Stop an execution: {"execution", "stopped": true}. A step under way runs to its end; nobody hears its answer."""
    states = platform.client("stepfunctions")
    execution, _ = _find(platform, states, arguments)
    if execution.status != "RUNNING":
        raise Failure(f"execution {execution.execution} of {execution.workflow} is over already: {execution.status}")
    states.stop_execution(executionArn=execution.arn, error=STOPPED, cause=arguments.reason or "by cgk-jobs")
    if printer.as_json:
        printer.json({"execution": execution.execution, "stopped": True})
    else:
        printer.line(f"execution {execution.execution} of {execution.workflow} is stopped")


def _machines(platform: Platform, states: Any, wanted: str | None) -> dict[str, str]:
    """The deployment's machines: logical name -> ARN; UsageError when the wanted one is not among them."""
    prefix = platform.environment.queue_prefix
    pages = states.get_paginator("list_state_machines").paginate()
    arns = {m["name"]: m["stateMachineArn"] for page in pages for m in page["stateMachines"]}
    found = {n.removeprefix(prefix): arn for n, arn in sorted(arns.items()) if n.startswith(prefix)}
    if wanted is None:
        return found
    if wanted not in found:
        raise UsageError(f"there is no workflow {wanted!r}{nearest(wanted, list(found))}")
    return {wanted: found[wanted]}


def _executions(states: Any, workflow: str, arn: str, arguments: Namespace) -> Iterator[Execution]:
    asked = {"stateMachineArn": arn} | ({"statusFilter": arguments.status} if arguments.status else {})
    pages = states.get_paginator("list_executions").paginate(**asked, PaginationConfig={"MaxItems": arguments.limit})
    for page in pages:
        for found in page["executions"]:
            yield _execution(workflow, found)


def _execution(workflow: str, found: Any) -> Execution:
    ended = found.get("stopDate")
    return Execution(workflow, found["name"], found["status"], found["startDate"], ended, found["executionArn"])


def _find(platform: Platform, states: Any, arguments: Namespace) -> tuple[Execution, Any]:
    """The execution of a name; Failure when there is none, UsageError when two workflows have one of it."""
    from botocore.exceptions import ClientError

    matches = []
    for name, arn in _machines(platform, states, arguments.workflow).items():
        try:
            execution = f"{arn.replace(':stateMachine:', ':execution:')}:{arguments.execution}"
            found = states.describe_execution(executionArn=execution)
        except ClientError as error:
            if error.response["Error"]["Code"] not in ("ExecutionDoesNotExist", "InvalidArn"):
                raise
        else:
            matches.append((_execution(name, found), found))
    if not matches:
        raise Failure(f"there is no execution {arguments.execution!r}; AWS keeps one for 90 days after its end")
    if len(matches) > 1:
        names = ", ".join(execution.workflow for execution, _ in matches)
        raise UsageError(f"{arguments.execution!r} is an execution of {names}: say which with --workflow")
    return matches[0]


def _steps(states: Any, arn: str) -> Iterator[dict[str, Any]]:
    """What happened, in order: {"at", "state", "what", "error"}. Without data: a step's message holds its token."""
    pages = states.get_paginator("get_execution_history").paginate(executionArn=arn, includeExecutionData=False)
    state = None
    for page in pages:
        for event in page["events"]:
            kind = event["type"]
            details: dict[str, Any] = next((v for n, v in event.items() if n.endswith("EventDetails")), {})
            state = details.get("name") if kind.endswith("StateEntered") else state
            yield {"at": event["timestamp"], "state": state, "what": kind, "error": details.get("error") or None}
            state = None if kind.endswith("StateExited") else state


def _of_ledger(platform: Platform, execution: str) -> tuple[list[Any], list[dict[str, Any]]]:
    if not platform.secret("DATABASE_URL"):
        return [], []
    from shared.jobs import ledger, tokens

    conn = platform.database()
    where = ledger.RunFilter(correlation_id=execution)
    return ledger.search(conn, where, limit=RUNS_SHOWN).runs, tokens.held_of(conn, execution)


def _parsed(text: str | None) -> Any:
    return None if text is None else json.loads(text)
