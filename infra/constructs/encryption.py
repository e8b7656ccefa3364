"""A key of the app's own, where the owner wants one (cgk:kms); and how the stacks refer to it.

Queues, topic, log groups, secrets and bucket use it. The bus does not: EventBridge encrypts it with a key of its own,
and its archive holds what the bus held.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_kms as kms
from aws_cdk import aws_ssm as ssm
from constructs import Construct

from infra.constructs.roles import FROM_THIS_ACCOUNT, Statement, allow
from infra.deployment import Deployment
from infra.names import log_group_arn, named

WAIT_DAYS = 30
"""Longest that KMS waits before it deletes a key, in days: what it sealed is lost then."""
USE = ("kms:Decrypt", "kms:GenerateDataKey")


class AppKey(Construct):
    """`alias/<prefix>`, and the parameter by which the other stacks find its ARN."""

    def __init__(self, scope: Construct, deployment: Deployment) -> None:
        super().__init__(scope, "encryption")
        key = kms.CfnKey(
            self,
            "key",
            description=f"What {deployment.prefix} stores: queues, topic, logs, secrets, bucket",
            enable_key_rotation=True,
            pending_window_in_days=WAIT_DAYS,
            key_policy=_policy(self, deployment),
        )
        key.apply_removal_policy(cdk.RemovalPolicy.RETAIN)
        named(key, "app", "key")
        alias = kms.CfnAlias(self, "alias", alias_name=f"alias/{deployment.prefix}", target_key_id=key.ref)
        named(alias, "app", "key-alias")
        parameter = ssm.CfnParameter(
            self, "parameter", name=parameter_name(deployment), type="String", value=key.attr_arn
        )
        named(parameter, "app", "key-parameter")
        self.arn = key.attr_arn


def parameter_name(deployment: Deployment) -> str:
    """Name of the SSM parameter that holds the key's ARN."""
    return f"/{deployment.prefix}/kms-key"


def key_arn(deployment: Deployment) -> str | None:
    """ARN of the key for stacks other than the shared one; None where the services use their own."""
    if deployment.kms == "managed":
        return None
    # Read when the stack is deployed: no export, so no stack blocks the change of another.
    return f"{{{{resolve:ssm:{parameter_name(deployment)}}}}}" if deployment.kms == "own" else deployment.kms


def use_key(deployment: Deployment) -> Sequence[Statement]:
    """What a role needs to read and write what is sealed with the key; nothing with the services' own keys."""
    arn = key_arn(deployment)
    return [allow("UseKey", USE, [arn])] if arn else []


def _policy(scope: Construct, deployment: Deployment) -> dict[str, Any]:
    """The account by its own policies, and the services that write with no role of ours."""
    root = {"AWS": f"arn:{cdk.Aws.PARTITION}:iam::{cdk.Aws.ACCOUNT_ID}:root"}
    owner = {"Sid": "Account", "Effect": "Allow", "Principal": root, "Action": "kms:*", "Resource": "*"}
    services = {
        "Sid": "RulesAndAlarms",
        "Effect": "Allow",
        "Principal": {"Service": ["events.amazonaws.com", "cloudwatch.amazonaws.com"]},
        "Action": list(USE),
        "Resource": "*",
        "Condition": FROM_THIS_ACCOUNT,
    }
    group = log_group_arn(scope, f"/aws/lambda/{deployment.physical('*')}")
    logs = {
        "Sid": "Logs",
        "Effect": "Allow",
        "Principal": {"Service": f"logs.{cdk.Aws.REGION}.amazonaws.com"},
        "Action": [*USE, "kms:Encrypt", "kms:ReEncryptFrom", "kms:ReEncryptTo", "kms:DescribeKey"],
        "Resource": "*",
        # The context names the group without the `:*` that stands for its streams.
        "Condition": {"ArnLike": {"kms:EncryptionContext:aws:logs:arn": group.removesuffix(":*")}},
    }
    return {"Version": "2012-10-17", "Statement": [owner, services, logs]}
