"""One-off schedules: the group that holds them, the role that they send as, and who may make them.

The jobs make them at run time (a delay above 15 minutes, a run that waits long), and each deletes itself. The group
keeps them apart from the app's own schedules: a function can neither touch those nor lend out another role.
"""

from __future__ import annotations

from collections.abc import Mapping

import aws_cdk as cdk
from aws_cdk import aws_scheduler as scheduler
from constructs import Construct

from infra.constructs.encryption import use_key
from infra.constructs.roles import Statement, allow, service_role
from infra.deployment import Deployment
from infra.names import bus_arn, named, queue_arn


class Delays(Construct):
    """`<prefix>-delayed` and its role."""

    def __init__(self, scope: Construct, deployment: Deployment) -> None:
        super().__init__(scope, "delays")
        group = scheduler.CfnScheduleGroup(self, "group", name=group_name(deployment))
        named(group, "delayed", "schedules")
        send = allow(
            "SendMessages",
            ["sqs:SendMessage"],
            [queue_arn(self, deployment.physical("*"))],
            wildcard="a delayed message may be for any queue of the app",
        )
        publish = allow("Publish", ["events:PutEvents"], [bus_arn(self, deployment.prefix)])
        service_role(
            self,
            "role",
            "scheduler.amazonaws.com",
            [send, publish, *use_key(deployment)],
            names=["delayed"],
            role_name=role_name(deployment),
        )


def group_name(deployment: Deployment) -> str:
    """Name of the schedule group."""
    return deployment.physical("delayed")


def role_name(deployment: Deployment) -> str:
    """Name of the role; roles belong to the account, so the region is part of it."""
    return f"{deployment.physical('delayed')}-{cdk.Aws.REGION}"


def role_arn(deployment: Deployment) -> str:
    """ARN of the role, composed, so that no stack depends on the shared one by an export."""
    return f"arn:{cdk.Aws.PARTITION}:iam::{cdk.Aws.ACCOUNT_ID}:role/{role_name(deployment)}"


def delays_environment(deployment: Deployment) -> Mapping[str, str]:
    """What tells a function where its one-off schedules go."""
    return {"CGK_SCHEDULE_GROUP": group_name(deployment), "CGK_SCHEDULER_ROLE": role_arn(deployment)}


def make_schedules(scope: Construct, deployment: Deployment) -> list[Statement]:
    """Make schedules in the group, and let them send as its role."""
    schedules = cdk.Stack.of(scope).format_arn(
        service="scheduler", resource="schedule", resource_name=f"{group_name(deployment)}/*"
    )
    lend = allow("LendRoleToSchedules", ["iam:PassRole"], [role_arn(deployment)])
    return [
        allow(
            "MakeSchedules",
            ["scheduler:CreateSchedule"],
            [schedules],
            wildcard="one-off schedules are named after their messages; the group holds nothing else",
        ),
        lend.when({"StringEquals": {"iam:PassedToService": "scheduler.amazonaws.com"}}),
    ]
