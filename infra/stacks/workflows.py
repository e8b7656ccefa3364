"""The app's state machines, and who may start and answer them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import aws_cdk as cdk
from constructs import Construct

from infra.constructs.alarms import Alarms, of_workflow
from infra.constructs.dashboards import workflow_dashboard
from infra.constructs.roles import Statement, allow
from infra.constructs.state_machine import StateMachine
from infra.deployment import Deployment
from infra.names import execution_arns, stack_environment, state_machine_arn
from infra.workflows import Workflow, WorkflowError
from shared.jobs.registry import AnyJob, Registry
from shared.jobs.workflows import SETTING

TOKENS = "these two actions know no resource: the token is the right to answer"


class WorkflowsStack(cdk.Stack):
    """`<prefix>-workflows`."""

    def __init__(
        self, scope: Construct, workflows: Sequence[Workflow], registry: Registry, deployment: Deployment
    ) -> None:
        super().__init__(scope, deployment.physical("workflows"), env=stack_environment(deployment))
        alarms = Alarms(self, deployment)
        for workflow in workflows:
            StateMachine(self, workflow, registry, deployment)
            alarms.add(*of_workflow(self, workflow.name, deployment))
            workflow_dashboard(self, workflow, registry, deployment)


def check_names(workflows: Sequence[Workflow], registry: Registry) -> None:
    """Refuse a job that starts or answers a workflow which is not there."""
    known = {workflow.name for workflow in workflows}
    for job in registry:
        if unknown := set(job.workflows) - known:
            names = ", ".join(sorted(unknown))
            raise WorkflowError(f"{job.id}: there is no workflow {names}; add infra/workflows/<name>.asl.json")


def workflow_environment(scope: Construct, deployment: Deployment) -> Mapping[str, str]:
    """What tells a function that workflows are on: the beginning of the machines' ARNs."""
    return {SETTING: state_machine_arn(scope, deployment.physical(""))}


def workflow_statements(
    scope: Construct, jobs: Sequence[AnyJob], workflows: Sequence[Workflow], deployment: Deployment
) -> list[Statement]:
    """What the function of these jobs may do with workflows; nothing when none of them has to do with one."""
    called = {id for workflow in workflows for id in workflow.jobs}
    used = sorted({name for job in jobs for name in job.workflows})
    statements = [answer_steps()] if used or any(job.id in called for job in jobs) else []
    if used:
        names = [deployment.physical(name) for name in used]
        statements += [start_executions(scope, names), look_at_executions(scope, names)]
    return statements


def answer_steps() -> Statement:
    """Answer waiting steps. These two actions know no resource: who has a token may answer it."""
    return allow("AnswerSteps", ["states:SendTaskSuccess", "states:SendTaskFailure"], ["*"], wildcard=TOKENS)


def start_executions(scope: Construct, machines: Sequence[str]) -> Statement:
    """Start executions of machines by their physical names."""
    return allow("StartExecutions", ["states:StartExecution"], [state_machine_arn(scope, name) for name in machines])


def look_at_executions(scope: Construct, machines: Sequence[str]) -> Statement:
    """Ask what became of an execution."""
    return allow(
        "LookAtExecutions",
        ["states:DescribeExecution"],
        [execution_arns(scope, name) for name in machines],
        wildcard="the executions of the named machines",
    )
