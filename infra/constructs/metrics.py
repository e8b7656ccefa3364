"""The metrics that alarms and dashboards look at, each with its namespace and dimensions in one place.

The app's own are written by shared/jobs/metering.py and shared/jobs/signals.py; AWS's are free of charge. A test runs
jobs, collects what they write, and compares; the names of AWS's are held against a list taken from its documentation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch

from infra.deployment import Deployment
from infra.names import state_machine_arn


@dataclass(frozen=True, slots=True)
class Metric:
    """One time series. `stat`: Sum, Maximum, Average or a percentile such as p99."""

    namespace: str
    name: str
    dimensions: Mapping[str, str] = field(default_factory=dict)
    stat: str = "Sum"

    def with_stat(self, stat: str) -> Metric:
        """The same by another statistic."""
        return Metric(self.namespace, self.name, self.dimensions, stat)

    def on_dashboard(self, label: str, **options: object) -> list[object]:
        """As a dashboard's widget writes it."""
        pairs = [part for pair in self.dimensions.items() for part in pair]
        return [self.namespace, self.name, *pairs, {"stat": self.stat, "label": label, **options}]

    def in_alarm(self) -> list[cloudwatch.CfnAlarm.DimensionProperty]:
        """The dimensions as an alarm writes them."""
        return [cloudwatch.CfnAlarm.DimensionProperty(name=n, value=v) for n, v in self.dimensions.items()]


def own(deployment: Deployment, name: str, **dimensions: str) -> Metric:
    """One that the jobs write; the stages of one account do not mix, because the namespace is the prefix."""
    return Metric(deployment.prefix, name, dimensions)


def of_queue(queue: str, name: str, stat: str = "Maximum") -> Metric:
    """SQS's, of a queue by its physical name."""
    return Metric("AWS/SQS", name, {"QueueName": queue}, stat)


def of_function(function: str, name: str, stat: str = "Sum") -> Metric:
    """Lambda's, of a function by its physical name."""
    return Metric("AWS/Lambda", name, {"FunctionName": function}, stat)


def of_schedules(group: str, name: str) -> Metric:
    """EventBridge Scheduler's, of a schedule group; it counts nothing by single schedule."""
    return Metric("AWS/Scheduler", name, {"ScheduleGroup": group})


def of_rule(bus: str, rule: str, name: str) -> Metric:
    """EventBridge's, of a rule on a bus of the app's own."""
    return Metric("AWS/Events", name, {"EventBusName": bus, "RuleName": rule})


def of_machine(scope: cdk.Stack, machine: str, name: str, stat: str = "Sum") -> Metric:
    """Step Functions', of a state machine by its physical name."""
    return Metric("AWS/States", name, {"StateMachineArn": state_machine_arn(scope, machine)}, stat)
