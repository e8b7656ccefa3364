"""What a function is given whose jobs watch over the platform: the alarm topic, the queues' figures, the metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from constructs import Construct

from infra.constructs.alarms import topic_arn
from infra.constructs.roles import Statement, allow
from infra.deployment import Deployment
from infra.names import queue_arn
from shared.jobs.registry import AnyJob


def watches(jobs: Sequence[AnyJob]) -> bool:
    """Whether one of the jobs watches over the platform: it is told when the database cannot be reached."""
    return any(job.blackout is not None for job in jobs)


def watch_environment(scope: Construct, deployment: Deployment) -> Mapping[str, str]:
    """What tells a function where alarms go."""
    return {"CGK_ALARM_TOPIC": topic_arn(scope, deployment)}


def watch_statements(scope: Construct, deployment: Deployment) -> list[Statement]:
    """Publish alarms, see how full every queue is, read metrics."""
    return [
        allow("TellAlarms", ["sns:Publish"], [topic_arn(scope, deployment)]),
        allow(
            "WatchQueues",
            ["sqs:GetQueueAttributes", "sqs:GetQueueUrl"],
            [queue_arn(scope, deployment.physical("*"))],
            wildcard="the health check looks at the depth of every queue of the app",
        ),
        allow("ReadMetrics", ["cloudwatch:GetMetricData"], ["*"], wildcard="GetMetricData knows no resource"),
    ]
