"""The alarm topic, and what a function needs that watches over the platform.

People subscribe to the topic `<prefix>-alarms` by hand or by the owner's own stack: whom to wake is no matter of this
app. The alarm on the heartbeat is what remains when the jobs themselves are down.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_sns as sns
from constructs import Construct

from infra.constructs.function import Statement, allow
from infra.deployment import Deployment
from infra.names import named, queue_arn
from shared.jobs.registry import AnyJob
from shared.jobs.signals import NAMESPACE

HEARTBEAT = "HealthHeartbeat"
"""Metric that the minutely check writes first, whatever else fails."""
MISSING_MINUTES = 3


class AlarmTopic(Construct):
    """`<prefix>-alarms`: alarms of CloudWatch and the jobs' own roles publish, only over TLS."""

    def __init__(self, scope: Construct, deployment: Deployment) -> None:
        super().__init__(scope, "alarms")
        topic = named(sns.CfnTopic(self, "topic", topic_name=topic_name(deployment)), "alarms", "topic")
        account = {"StringEquals": {"aws:SourceAccount": cdk.Aws.ACCOUNT_ID}}
        may = {
            "Sid": "CloudWatchAlarms",
            "Effect": "Allow",
            "Principal": {"Service": "cloudwatch.amazonaws.com"},
            "Action": "sns:Publish",
            "Resource": topic.ref,
            "Condition": account,
        }
        never = {
            "Sid": "TlsOnly",
            "Effect": "Deny",
            "Principal": "*",
            "Action": "sns:Publish",
            "Resource": topic.ref,
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        }
        document = {"Version": "2012-10-17", "Statement": [may, never]}
        named(sns.CfnTopicPolicy(self, "policy", topics=[topic.ref], policy_document=document), "alarms", "policy")


class HeartbeatAlarm(Construct):
    """Three minutes without a heartbeat of `service` (a function's short name) wake the people of the topic."""

    def __init__(self, scope: Construct, service: str, deployment: Deployment) -> None:
        super().__init__(scope, f"{service}-heartbeat")
        topic = topic_arn(self, deployment)
        named(
            cloudwatch.CfnAlarm(
                self,
                "alarm",
                alarm_name=deployment.physical("heartbeat"),
                alarm_description=f"{HEARTBEAT} is missing: the job system itself does not run",
                namespace=NAMESPACE,
                metric_name=HEARTBEAT,
                dimensions=[cloudwatch.CfnAlarm.DimensionProperty(name="service", value=service)],
                statistic="Sum",
                period=60,
                evaluation_periods=MISSING_MINUTES,
                threshold=1,
                comparison_operator="LessThanThreshold",
                treat_missing_data="breaching",
                alarm_actions=[topic],
                ok_actions=[topic],
            ),
            "heartbeat",
            "alarm",
        )


def topic_name(deployment: Deployment) -> str:
    """Name of the alarm topic."""
    return deployment.physical("alarms")


def topic_arn(scope: Construct, deployment: Deployment) -> str:
    """ARN of the topic, composed, so that no stack depends on the shared one by an export."""
    return cdk.Stack.of(scope).format_arn(service="sns", resource=topic_name(deployment))


def watches(jobs: Sequence[AnyJob]) -> bool:
    """Whether one of the jobs watches over the platform: it is told when the database cannot be reached."""
    return any(job.blackout is not None for job in jobs)


def watch_environment(scope: Construct, deployment: Deployment) -> Mapping[str, str]:
    """What tells a function where alarms go."""
    return {"CGK_ALARM_TOPIC": topic_arn(scope, deployment)}


def watch_statements(scope: Construct, deployment: Deployment) -> list[Statement]:
    """Publish alarms, see how full every queue is, read metrics (CloudWatch knows no narrower resource for that)."""
    return [
        allow("TellAlarms", ["sns:Publish"], [topic_arn(scope, deployment)]),
        allow(
            "WatchQueues",
            ["sqs:GetQueueAttributes", "sqs:GetQueueUrl"],
            [queue_arn(scope, deployment.physical("*"))],
        ),
        allow("ReadMetrics", ["cloudwatch:GetMetricData"], ["*"]),
    ]
