"""Event rules: one per event job, from the bus to the job's queue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aws_cdk import aws_events as events
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infra.constructs.queue import JobQueue
from infra.constructs.roles import tls_only
from infra.deployment import Deployment
from infra.names import named, queue_arn, rule_arns
from shared.jobs.registry import AnyJob

TENANT_PATH = "$.detail.tenantId"
MAX_EVENT_AGE_S = 24 * 3600  # EventBridge tries a full day before it gives an event up to the dead-letter queue
ENVELOPE = {"event": "$.detail-type", "id": "$.id", "source": "$.source", "time": "$.time", "payload": "$.detail"}
"""Members of the message beside `job`, and where the event holds them."""


class EventRoutes(Construct):
    """The rules of one category and the one policy that lets them, and nobody else, write to its queues."""

    def __init__(
        self, scope: Construct, queues: Mapping[str, JobQueue], jobs: Sequence[AnyJob], deployment: Deployment, bus: str
    ) -> None:
        super().__init__(scope, "routes")
        self.bus = bus
        for job in jobs:
            if not job.on:
                continue  # a cron: schedules.py
            self._rule(job, queues[job.queue_name], deployment)
        self._policy(queues, deployment)

    def _rule(self, job: AnyJob, queue: JobQueue, deployment: Deployment) -> None:
        names = sorted(event.event_name for event in job.on)
        target = events.CfnRule.TargetProperty(
            id="queue",
            arn=queue.queue.attr_arn,
            input_transformer=events.CfnRule.InputTransformerProperty(
                input_paths_map=ENVELOPE, input_template=message_template(job.id)
            ),
            sqs_parameters=events.CfnRule.SqsParametersProperty(message_group_id=TENANT_PATH),
            dead_letter_config=events.CfnRule.DeadLetterConfigProperty(arn=queue.dead.attr_arn),
            retry_policy=events.CfnRule.RetryPolicyProperty(maximum_event_age_in_seconds=MAX_EVENT_AGE_S),
        )
        rule = events.CfnRule(
            self,
            job.id,
            name=deployment.physical(job.id),
            description=f"{', '.join(names)} -> {job.id}",
            event_bus_name=self.bus,
            event_pattern={"detail-type": names},
            state="ENABLED",
            targets=[target],
        )
        named(rule, job.id, "rule")

    def _policy(self, queues: Mapping[str, JobQueue], deployment: Deployment) -> None:
        reached = [resource for queue in queues.values() for resource in (queue.queue, queue.dead)]
        # One document for all queues of the stack; a list of their ARNs would outgrow the 8 KiB of a policy.
        queues_of_app = queue_arn(self, deployment.physical("*"))
        statement = {
            "Sid": "RulesOfThisApp",
            "Effect": "Allow",
            "Principal": {"Service": "events.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": queues_of_app,
            "Condition": {"ArnLike": {"aws:SourceArn": rule_arns(self, self.bus, deployment.prefix)}},
        }
        policy = sqs.CfnQueuePolicy(
            self,
            "policy",
            queues=[resource.ref for resource in reached],
            policy_document={
                "Version": "2012-10-17",
                "Statement": [statement, tls_only("sqs:*", queues_of_app)],
            },
        )
        named(policy, "queue-policy")


def message_template(job_id: str) -> str:
    """The message's body; EventBridge quotes what it puts in for the bare placeholders."""
    members = ", ".join(f'"{name}": <{name}>' for name in ENVELOPE)
    return f'{{"job": "{job_id}", {members}}}'
