"""Names of what is deployed: logical ids that read in a diff, and ARNs composed from physical names.

Stacks refer to each other's resources by name only: no exports, so no stack blocks the change of another.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeVar

import aws_cdk as cdk
from constructs import Construct

if TYPE_CHECKING:
    from infra.deployment import Deployment

T = TypeVar("T", bound=cdk.CfnElement)


def logical_id(*parts: str) -> str:
    """CamelCase of the kebab parts: ("order-processing", "dlq") -> "OrderProcessingDlq"."""
    return "".join(word[:1].upper() + word[1:] for part in parts for word in re.split(r"[^A-Za-z0-9]+", part) if word)


def named(resource: T, *parts: str) -> T:
    """Give an L1 resource its readable logical id instead of a path hash; returns the resource."""
    resource.override_logical_id(logical_id(*parts))
    return resource


def stack_environment(deployment: Deployment) -> cdk.Environment | None:
    """Account and region of the stacks, where the context binds them."""
    return cdk.Environment(account=deployment.account, region=deployment.region) if deployment.account else None


def queue_arn(scope: Construct, name: str) -> str:
    """ARN of a queue by its physical name."""
    return cdk.Stack.of(scope).format_arn(service="sqs", resource=name)


def bus_arn(scope: Construct, name: str) -> str:
    """ARN of an event bus."""
    return cdk.Stack.of(scope).format_arn(service="events", resource="event-bus", resource_name=name)


def rule_arns(scope: Construct, bus: str, prefix: str) -> str:
    """ARN pattern of this app's rules on its bus."""
    return cdk.Stack.of(scope).format_arn(service="events", resource="rule", resource_name=f"{bus}/{prefix}-*")


def secret_arns(scope: Construct, name: str) -> str:
    """ARN pattern of one secret: AWS adds six random characters to its name."""
    return cdk.Stack.of(scope).format_arn(
        service="secretsmanager",
        resource="secret",
        resource_name=f"{name}-??????",
        arn_format=cdk.ArnFormat.COLON_RESOURCE_NAME,
    )


def log_group_arn(scope: Construct, name: str) -> str:
    """ARN of a log group and its streams."""
    return cdk.Stack.of(scope).format_arn(
        service="logs", resource="log-group", resource_name=f"{name}:*", arn_format=cdk.ArnFormat.COLON_RESOURCE_NAME
    )


def bucket_name(prefix: str) -> str:
    """Bucket names are global, so account and region are part of it."""
    return f"{prefix}-{cdk.Aws.ACCOUNT_ID}-{cdk.Aws.REGION}"


def state_machine_arn(scope: Construct, name: str) -> str:
    """ARN of a state machine by its physical name."""
    return _states_arn(scope, "stateMachine", name)


def execution_arns(scope: Construct, machine: str) -> str:
    """ARN pattern of the executions of a state machine."""
    return _states_arn(scope, "execution", f"{machine}:*")


def _states_arn(scope: Construct, resource: str, name: str) -> str:
    return cdk.Stack.of(scope).format_arn(
        service="states", resource=resource, resource_name=name, arn_format=cdk.ArnFormat.COLON_RESOURCE_NAME
    )
