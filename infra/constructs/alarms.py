"""The alarm topic and the alarms, all derived from the registry: of queues, functions, schedules, workflows.

People subscribe to the topic `<prefix>-alarms` by hand or by the owner's own stack: whom to wake is no matter of this
app. The description of each alarm leads to the section of the runbook that says what to do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_sns as sns
from constructs import Construct

from infra.constructs.metrics import Metric, of_function, of_machine, of_queue, of_schedules, own
from infra.constructs.roles import FROM_THIS_ACCOUNT, tls_only
from infra.deployment import Deployment
from infra.names import named
from shared.jobs.registry import QueueBinding

HEARTBEAT = "HealthHeartbeat"
"""Metric that the minutely check writes first, whatever else fails."""
MISSING_CRONS = "MissingCrons"
"""Metric of the same check: crons without their tick in the ledger."""
SILENCE_MIN, SILENT_MIN = 5, 3
"""The check is silent when it misses 3 of the last 5 minutes: three in a row, or all five, but not one late minute."""
MISSING_MIN = 3
"""Crons must be missing for so many minutes: the catch-up sends a lost tick again within five."""
NEAR_TIMEOUT = 0.95
"""Of a function's timeout: a fast function fills its 90 s by design and hands the rest of a batch back before."""
MINUTE, FIVE_MINUTES = 60, 300


@dataclass(frozen=True, slots=True)
class Alarm:
    """`name`: short, without prefix. `runbook`: anchor of the section in docs/operations.md. It rings when `datapoints`
    of the last `periods` are at or beyond `threshold`; `below`: under it, and a missing figure counts as that."""

    name: str
    metric: Metric
    threshold: float
    says: str
    runbook: str
    period_s: int = MINUTE
    periods: int = 1
    datapoints: int | None = None
    below: bool = False


class Alarms(Construct):
    """Makes alarms whose notices and all-clears go to the app's topic."""

    def __init__(self, scope: Construct, deployment: Deployment) -> None:
        super().__init__(scope, "alarms")
        self.deployment = deployment

    def add(self, *alarms: Alarm) -> None:
        """One alarm each."""
        topic = topic_arn(self, self.deployment)
        for alarm in alarms:
            percentile = alarm.metric.stat.startswith("p")
            made = cloudwatch.CfnAlarm(
                self,
                alarm.name,
                alarm_name=self.deployment.physical(alarm.name),
                alarm_description=f"{alarm.says}. What to do: {self.deployment.runbook(alarm.runbook)}",
                namespace=alarm.metric.namespace,
                metric_name=alarm.metric.name,
                dimensions=alarm.metric.in_alarm(),
                statistic=None if percentile else alarm.metric.stat,
                extended_statistic=alarm.metric.stat if percentile else None,
                period=alarm.period_s,
                evaluation_periods=alarm.periods,
                datapoints_to_alarm=alarm.datapoints or alarm.periods,
                threshold=alarm.threshold,
                comparison_operator="LessThanThreshold" if alarm.below else "GreaterThanOrEqualToThreshold",
                treat_missing_data="breaching" if alarm.below else "notBreaching",
                alarm_actions=[topic],
                ok_actions=[topic],
            )
            named(made, alarm.name, "alarm")


def of_binding(binding: QueueBinding, deployment: Deployment) -> Iterator[Alarm]:
    """A dead letter, and work that is not done in time."""
    name = deployment.physical(binding.name)
    yield Alarm(
        f"{binding.name}-dead-letters",
        of_queue(f"{name}-dlq", "ApproximateNumberOfMessagesVisible"),
        threshold=1,
        says=f"A message of {binding.name} could not be done",
        runbook="dead-letters",
    )
    limit = deployment.bulk_age_alarm_s if binding.bulk else deployment.fast_age_alarm_s
    yield Alarm(
        f"{binding.name}-age",
        # Messages that came back three times are left out of it, so one that waits for its vendor does not ring.
        of_queue(name, "ApproximateAgeOfOldestMessage"),
        threshold=limit,
        periods=5,
        datapoints=3,
        says=f"The oldest message of {binding.name} waits for more than {limit // 60} minutes",
        runbook="work-is-late",
    )


def of_hand_on(deployment: Deployment) -> Iterator[Alarm]:
    """Events that a category's bus did not take from the app's, where there is a bus per category."""
    if deployment.buses == "per-category":
        yield Alarm(
            "hand-on-dead-letters",
            of_queue(deployment.physical("hand-on-dlq"), "ApproximateNumberOfMessagesVisible"),
            threshold=1,
            says="An event could not be handed on to the bus of a category",
            runbook="events-are-late",
        )


def of_job_function(name: str, timeout_s: int, deployment: Deployment) -> Iterator[Alarm]:
    """Crashes, too little concurrency, invocations near the timeout. `name`: short."""
    function = deployment.physical(name)
    yield Alarm(
        f"{name}-errors",
        of_function(function, "Errors"),
        threshold=1,
        period_s=FIVE_MINUTES,
        periods=3,
        datapoints=2,
        says=f"{function} crashes or runs into its timeout; a job that fails is no error here",
        runbook="a-function-fails",
    )
    yield Alarm(
        f"{name}-throttles",
        of_function(function, "Throttles"),
        threshold=1,
        period_s=FIVE_MINUTES,
        periods=3,
        says=f"{function} is not given the concurrency that its queues ask for",
        runbook="a-function-fails",
    )
    yield Alarm(
        f"{name}-duration",
        of_function(function, "Duration", "p99"),
        threshold=round(NEAR_TIMEOUT * timeout_s * 1000),
        period_s=FIVE_MINUTES,
        periods=3,
        says=f"{function} comes near its timeout of {timeout_s} s",
        runbook="a-function-fails",
    )


def of_kernel_function(name: str, often: bool, deployment: Deployment) -> Iterator[Alarm]:
    """A kernel function that fails. `often`: it runs every few minutes, so that one failure is made up for."""
    yield Alarm(
        f"{name}-errors",
        of_function(deployment.physical(name), "Errors"),
        threshold=1,
        period_s=FIVE_MINUTES,
        periods=3 if often else 1,
        datapoints=2 if often else 1,
        says=f"{deployment.physical(name)} fails",
        runbook="a-function-fails",
    )


def of_schedule_groups(groups: Mapping[str, str]) -> Iterator[Alarm]:
    """Schedules that fire into nothing. `groups`: short name -> schedule group."""
    for short, group in groups.items():
        for metric, what in (
            ("InvocationDroppedCount", "could not be delivered and was dropped"),
            ("InvocationsFailedToBeSentToDeadLetterCount", "could not even be put among the dead letters"),
        ):
            yield Alarm(
                f"{short}-{'dropped' if metric == 'InvocationDroppedCount' else 'lost'}",
                of_schedules(group, metric),
                threshold=1,
                period_s=FIVE_MINUTES,
                says=f"A message of schedule group {group} {what}",
                runbook="schedules",
            )


def of_workflow(scope: cdk.Stack, name: str, deployment: Deployment) -> Iterator[Alarm]:
    """Executions that end badly."""
    machine = deployment.physical(name)
    for metric, short, what in (
        ("ExecutionsFailed", "failed", "has failed"),
        ("ExecutionsTimedOut", "timed-out", "has run into its time limit"),
        ("ExecutionThrottled", "throttled", "was held back by the account's limits"),
    ):
        yield Alarm(
            f"{name}-{short}",
            of_machine(scope, machine, metric),
            threshold=1,
            period_s=FIVE_MINUTES,
            says=f"An execution of {machine} {what}",
            runbook="stuck-workflow",
        )


def of_health_check(service: str, deployment: Deployment) -> Iterator[Alarm]:
    """The two that watch the watcher. `service`: short name of its function, which Powertools adds as a dimension."""
    yield Alarm(
        "heartbeat",
        own(deployment, HEARTBEAT, service=service),
        threshold=1,
        periods=SILENCE_MIN,
        datapoints=SILENT_MIN,
        below=True,
        says=f"{HEARTBEAT} is missing: the job system itself does not run",
        runbook="no-heartbeat",
    )
    yield Alarm(
        "missing-crons",
        own(deployment, MISSING_CRONS, service=service).with_stat("Maximum"),
        threshold=1,
        periods=MISSING_MIN,
        says="The ledger of ticks misses one or more crons",
        runbook="schedules",
    )


class AlarmTopic(Construct):
    """`<prefix>-alarms`: alarms of CloudWatch and the jobs' own roles publish, only over TLS."""

    def __init__(self, scope: Construct, deployment: Deployment, key: str | None = None) -> None:
        super().__init__(scope, "alarm-topic")
        topic = sns.CfnTopic(self, "topic", topic_name=topic_name(deployment), kms_master_key_id=key)
        named(topic, "alarms", "topic")
        may = {
            "Sid": "CloudWatchAlarms",
            "Effect": "Allow",
            "Principal": {"Service": "cloudwatch.amazonaws.com"},
            "Action": "sns:Publish",
            "Resource": topic.ref,
            "Condition": FROM_THIS_ACCOUNT,
        }
        document = {"Version": "2012-10-17", "Statement": [may, tls_only("sns:Publish", topic.ref)]}
        named(sns.CfnTopicPolicy(self, "policy", topics=[topic.ref], policy_document=document), "alarms", "policy")


def topic_name(deployment: Deployment) -> str:
    """Name of the alarm topic."""
    return deployment.physical("alarms")


def topic_arn(scope: Construct, deployment: Deployment) -> str:
    """ARN of the topic, composed, so that no stack depends on the shared one by an export."""
    return cdk.Stack.of(scope).format_arn(service="sns", resource=topic_name(deployment))
