"""Workflows as a job sees them (`ctx.workflows`), and Step Functions behind them.

A state machine calls a job by sqs:sendMessage.waitForTaskToken with {job, payload, taskToken}. The job's result or its
last error is the answer (tokens.py); a job that waits for a person or a vendor returns HoldToken, and a later job
answers for it. The token itself never reaches a handler: `ctx.task_token` is its name, valid for this tenant only.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any
from uuid import UUID

from pydantic import BaseModel
from pydantic_core import to_json

from shared.jobs import tokens
from shared.jobs.messages import Outgoing, Run
from shared.jobs.ports import NoStateMachines, Reply, StateMachines, TaskAnswer
from shared.jobs.tokens import MAX_OUTPUT, Answered
from shared.jobs.uuids import uuid7

if TYPE_CHECKING:
    from shared.jobs.execution import Workshop

SETTING = "CGK_WORKFLOWS"
"""Environment variable: what the ARNs of the deployment's state machines start with; `off` or absent: no workflows."""
OFF = "off"
GONE = ("TaskTimedOut", "InvalidToken", "TaskDoesNotExist")
"""Errors of Step Functions that say that a step waits no more."""
_EXECUTION_NAME = re.compile(r"[A-Za-z0-9_-]{1,80}")
_CODE = re.compile(r"[A-Z][A-Z0-9_]{1,62}")

logger = logging.getLogger("cgk.jobs.workflows")


class RunWorkflows:
    """The `Workflows` of one run; see `shared.jobs.context` for what each member promises."""

    def __init__(
        self, run: Run, shop: Workshop, *, send: Callable[[Outgoing], None], outside: Callable[[], None]
    ) -> None:
        """`send`: put a row into the open session's outbox, else the settling one's. `outside`: refuse when a session
        is open, as for any call to the outside."""
        self._run = run
        self._shop = shop
        self._send = send
        self._outside = outside

    def start(self, name: str, input: BaseModel | Mapping[str, Any], execution_name: str) -> str | None:
        self._declared(name)
        if not _EXECUTION_NAME.fullmatch(execution_name):
            raise ValueError(f"the execution name {execution_name[:90]!r} must be 1..80 of A-Z, a-z, 0-9, _ and -")
        tenant = self._run.tenant.slug
        body = {**_wire(input), "tenantId": tenant}
        if len(to_json(body)) > MAX_OUTPUT:
            raise ValueError(
                f"the input of {name} exceeds {MAX_OUTPUT:,} bytes; give ids and let the jobs read the rest"
            )
        arn = self._shop.machines.execution_arn(name, execution_name)
        if arn is not None:
            row = {"name": execution_name, "input": body}
            self._send(Outgoing(uuid7(), "workflow", tenant, name, row, run_id=self._run.run_id))
        return arn

    def status(self, name: str, execution_name: str) -> str | None:
        self._declared(name)
        self._outside()
        return self._shop.machines.status(name, execution_name)

    def complete(self, token: str, output: BaseModel | Mapping[str, Any]) -> Answered:
        wire = _wire(output)
        return self._answer(token, lambda secret, **of: tokens.success(secret, wire, **of))

    def fail(self, token: str, code: str, cause: str = "") -> Answered:
        if not _CODE.fullmatch(code):
            raise ValueError(f"error code {code!r} must be UPPER_SNAKE_CASE")
        return self._answer(token, lambda secret, **of: tokens.failure(secret, code, cause, **of))

    def _answer(self, token: str, make: Callable[..., Outgoing]) -> Answered:
        self._outside()
        if not self._run.job.workflows:
            raise ValueError(f"{self._run.job.id} answers a workflow's step; name the workflow in its workflows=")
        try:
            run_id = UUID(token)
        except ValueError:
            return "gone"
        shop, tenant, now = self._shop, self._run.tenant.slug, self._shop.clock.now()
        conn = shop.connections.get()
        taken = tokens.take(
            conn,
            run_id,
            tenant,
            lambda secret: make(secret, tenant=tenant, run_id=self._run.run_id),
            keyring=shop.keyring,
            now=now,
        )
        if taken.row is None:
            return taken.before
        if shop.relay.answer(conn, taken.row) == "gone":
            tokens.note_gone(conn, run_id, now)
            return "gone"
        return "answered"  # taken, or still in the outbox, from where it will be

    def _declared(self, name: str) -> None:
        job = self._run.job
        if name not in job.workflows:
            raise ValueError(f"{job.id} uses the workflow {name}; add it to workflows= of the declaration")


def _wire(model: BaseModel | Mapping[str, Any]) -> Mapping[str, Any]:
    return model.model_dump(mode="json", by_alias=True, exclude_none=True) if isinstance(model, BaseModel) else model


def state_machines(settings: Mapping[str, str]) -> StateMachines:
    """What a function's settings say of workflows."""
    prefix = settings.get(SETTING, OFF)
    return NoStateMachines() if prefix == OFF else StepFunctions(prefix)


class StepFunctions:
    """The `StateMachines` port on AWS. `machines`: what the ARNs start with, arn:aws:states:...:stateMachine:cgk-"""

    def __init__(self, machines: str) -> None:
        self._machines = machines

    @cached_property
    def _states(self) -> Any:
        from shared.jobs.aws import client

        return client("stepfunctions")

    def answer(self, answers: Sequence[TaskAnswer]) -> list[Reply]:
        return [self._told(answer) for answer in answers]

    def _told(self, answer: TaskAnswer) -> Reply:
        states = self._states
        if answer.output is not None:
            code = _error(states.send_task_success, taskToken=answer.token, output=answer.output)
        else:
            code = _error(states.send_task_failure, taskToken=answer.token, error=answer.error, cause=answer.cause)
        if code is None:
            return "taken"
        logger.warning("answer not taken", extra={"error": code})
        return "gone" if code in GONE else "refused"

    def start(self, workflow: str, execution: str, input: str) -> bool:
        machine = self._machines + workflow
        code = _error(self._states.start_execution, stateMachineArn=machine, name=execution, input=input)
        if code not in (None, "ExecutionAlreadyExists"):
            logger.warning("execution not started", extra={"workflow": workflow, "error": code})
            return False
        return True

    def execution_arn(self, workflow: str, execution: str) -> str | None:
        return f"{self._machines.replace(':stateMachine:', ':execution:')}{workflow}:{execution}"

    def status(self, workflow: str, execution: str) -> str | None:
        from botocore.exceptions import ClientError

        try:
            found = self._states.describe_execution(executionArn=self.execution_arn(workflow, execution))
        except ClientError as error:
            if error.response["Error"]["Code"] == "ExecutionDoesNotExist":
                return None
            raise
        return str(found["status"])


def _error(call: Callable[..., Any], **members: Any) -> str | None:
    """The code of the error that a call ended with, None when it went well. Its text may quote the token: not kept."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        call(**members)
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    except BotoCoreError as error:
        return type(error).__name__
    return None
