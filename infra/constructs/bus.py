"""The bus that everybody publishes to, its archive, and where the rules do not fit one bus, a bus per category.

With cgk:buses=per-category publishers see no difference: they publish to the app's bus, which hands each event on to
the buses of the categories that listen to it. An event with listeners in two categories is paid three times.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infra.constructs.queue import RETENTION_S
from infra.constructs.roles import acknowledge, allow, service_role, tls_only
from infra.constructs.routes import MAX_EVENT_AGE_S
from infra.deployment import Deployment
from infra.names import bus_arn, named, rule_arns
from shared.jobs.registry import Registry

MAX_PATTERN_CHARS = 2048
"""EventBridge: characters of a rule's pattern."""
PATTERN_ROOM = 100  # the pattern's own text around the names


class AppBus(Construct):
    """`<prefix>`, `<prefix>-archive`, and `<prefix>-<category>` where the context asks for them."""

    def __init__(self, scope: Construct, registry: Registry, deployment: Deployment, key: str | None) -> None:
        super().__init__(scope, "events")
        bus: events.CfnEventBus = named(events.CfnEventBus(self, "bus", name=deployment.prefix), "bus")
        if deployment.archive_days and deployment.target == "aws":  # the engine knows no archives
            archive = events.CfnArchive(
                self,
                "archive",
                archive_name=deployment.physical("archive"),
                source_arn=bus.attr_arn,
                description="All events, to be sent again after a fault of the rules",
                retention_days=deployment.archive_days,
            )
            named(archive, "archive")
        if deployment.buses == "per-category":
            self._hand_on(bus, registry, deployment, key)

    def _hand_on(self, main: events.CfnEventBus, registry: Registry, deployment: Deployment, key: str | None) -> None:
        dead = self._dead_letters(deployment, key)
        names = {category: deployment.bus_of(category) for category in registry.categories}
        role = service_role(
            self,
            "role",
            "events.amazonaws.com",
            [allow("HandOn", ["events:PutEvents"], [bus_arn(self, name) for name in names.values()])],
            names=["hand-on"],
        )
        for category, name in names.items():
            bus: events.CfnEventBus = named(events.CfnEventBus(self, f"{category}-bus", name=name), category, "bus")
            heard = {e.event_name for job in registry if job.category == category for e in job.on}
            for n, part in enumerate(in_patterns(sorted(heard)), start=1):
                rule = self._rule(f"to-{category}-{n}", part, bus, role, dead, deployment)
                rule.add_resource_dependency(main)

    def _rule(
        self,
        name: str,
        events_heard: Sequence[str],
        bus: events.CfnEventBus,
        role: iam.CfnRole,
        dead: sqs.CfnQueue,
        deployment: Deployment,
    ) -> events.CfnRule:
        target = events.CfnRule.TargetProperty(
            id="bus",
            arn=bus.attr_arn,
            role_arn=role.attr_arn,
            dead_letter_config=events.CfnRule.DeadLetterConfigProperty(arn=dead.attr_arn),
            retry_policy=events.CfnRule.RetryPolicyProperty(maximum_event_age_in_seconds=MAX_EVENT_AGE_S),
        )
        rule = events.CfnRule(
            self,
            name,
            name=deployment.physical(name),
            description=f"{len(events_heard)} events -> {bus.name}",
            event_bus_name=deployment.prefix,
            event_pattern={"detail-type": list(events_heard)},
            state="ENABLED",
            targets=[target],
        )
        return named(rule, name, "rule")

    def _dead_letters(self, deployment: Deployment, key: str | None) -> sqs.CfnQueue:
        """For what could not be handed on for a day."""
        queue: sqs.CfnQueue = named(
            sqs.CfnQueue(
                self,
                "dead-letters",
                queue_name=deployment.physical("hand-on-dlq"),
                message_retention_period=RETENTION_S,
                sqs_managed_sse_enabled=None if key else True,
                kms_master_key_id=key,
            ),
            "hand-on",
            "dlq",
        )
        acknowledge(queue, "SQS3", "it is a dead-letter queue itself, of rules")
        may = {
            "Sid": "RulesOfThisApp",
            "Effect": "Allow",
            "Principal": {"Service": "events.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": queue.attr_arn,
            "Condition": {"ArnLike": {"aws:SourceArn": rule_arns(self, deployment.prefix, deployment.prefix)}},
        }
        document = {"Version": "2012-10-17", "Statement": [may, tls_only("sqs:*", queue.attr_arn)]}
        named(sqs.CfnQueuePolicy(self, "policy", queues=[queue.ref], policy_document=document), "hand-on", "policy")
        return queue


def in_patterns(names: Sequence[str]) -> Iterator[list[str]]:
    """The names in parts, each of which fits one rule's pattern."""
    part: list[str] = []
    room = MAX_PATTERN_CHARS - PATTERN_ROOM
    for name in names:
        if part and sum(len(n) + 3 for n in [*part, name]) > room:
            yield part
            part = []
        part.append(name)
    if part:
        yield part
