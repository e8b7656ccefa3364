"""A state machine and its role, which may send to exactly the queues of the jobs it calls."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_stepfunctions as stepfunctions
from constructs import Construct

from infra.constructs.encryption import use_key
from infra.constructs.roles import acknowledge, allow, service_role
from infra.deployment import Deployment
from infra.names import named, queue_arn
from infra.workflows import Workflow, expand
from shared.jobs.registry import Registry


class StateMachine(Construct):
    """`<prefix>-<Name>`, of type STANDARD: at most once per step, and an execution may take months."""

    def __init__(self, scope: Construct, workflow: Workflow, registry: Registry, deployment: Deployment) -> None:
        super().__init__(scope, workflow.name)
        definition = expand(workflow, registry, lambda queue: queue_url(deployment.physical(queue)))
        queues = sorted({deployment.physical(registry.jobs[job].queue_name) for job in workflow.jobs})
        call = allow("CallJobs", ["sqs:SendMessage"], [queue_arn(self, name) for name in queues])
        role = service_role(self, "role", "states.amazonaws.com", [call, *use_key(deployment)], names=[workflow.name])
        machine = stepfunctions.CfnStateMachine(
            self,
            "machine",
            state_machine_name=deployment.physical(workflow.name),
            state_machine_type="STANDARD",
            definition_string=cdk.Stack.of(self).to_json_string(definition),
            role_arn=role.attr_arn,
        )
        named(machine, workflow.name, "machine")
        history = "Step Functions keeps the history of each execution for 90 days and the ledger has a run per step"
        acknowledge(machine, "SF1", f"{history}; a log of all events would copy payloads")
        acknowledge(machine, "SF2", f"{history}; the correlation id joins them, and no function traces by X-Ray")


def queue_url(name: str) -> str:
    """URL of a queue by its physical name."""
    return f"https://sqs.{cdk.Aws.REGION}.{cdk.Aws.URL_SUFFIX}/{cdk.Aws.ACCOUNT_ID}/{name}"
