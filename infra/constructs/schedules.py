"""Schedules: one per cron job, from EventBridge Scheduler to the job's queue, in the cron's own time zone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aws_cdk import aws_iam as iam
from aws_cdk import aws_scheduler as scheduler
from constructs import Construct

from infra.constructs.encryption import use_key
from infra.constructs.queue import JobQueue
from infra.constructs.roles import allow, service_role
from infra.deployment import Deployment
from infra.names import named
from shared.jobs.crons import Cron
from shared.jobs.registry import AnyJob
from shared.jobs.ticks import tick_body

SCHEDULED_TIME = "<aws.scheduler.scheduled-time>"
"""EventBridge Scheduler puts the instant in its place, e.g. 2026-03-09T12:00:00Z."""
MAX_TICK_AGE_S = 3600  # a tick that cannot be delivered for an hour is a dead letter; catch-up sends the newest one
MIN_TICK_AGE_S = 60  # the least that EventBridge Scheduler takes
RETRIES = 185  # EventBridge Scheduler's own default and most


class CronSchedules(Construct):
    """The schedules of one category and the one role that lets the scheduler write to its queues."""

    def __init__(
        self, scope: Construct, queues: Mapping[str, JobQueue], jobs: Sequence[AnyJob], deployment: Deployment
    ) -> None:
        super().__init__(scope, "schedules")
        crons = [(job, job.cron) for job in jobs if job.cron is not None]
        if not crons:
            return
        used = [queues[name] for name in sorted({job.queue_name for job, _ in crons})]
        role = self._role(used, deployment)
        for job, cron in crons:
            self._schedule(job, cron, queues[job.queue_name], role, deployment)

    def _role(self, queues: Sequence[JobQueue], deployment: Deployment) -> iam.CfnRole:
        arns = [resource.attr_arn for queue in queues for resource in (queue.queue, queue.dead)]
        statements = [allow("SendTicks", ["sqs:SendMessage"], arns), *use_key(deployment)]
        return service_role(self, "role", "scheduler.amazonaws.com", statements, names=["schedules"])

    def _schedule(self, job: AnyJob, cron: Cron, queue: JobQueue, role: iam.CfnRole, deployment: Deployment) -> None:
        target = scheduler.CfnSchedule.TargetProperty(
            arn=queue.queue.attr_arn,
            role_arn=role.attr_arn,
            input=tick_body(job.id, SCHEDULED_TIME),
            dead_letter_config=scheduler.CfnSchedule.DeadLetterConfigProperty(arn=queue.dead.attr_arn),
            retry_policy=scheduler.CfnSchedule.RetryPolicyProperty(
                maximum_event_age_in_seconds=tick_age_s(cron), maximum_retry_attempts=RETRIES
            ),
        )
        schedule = scheduler.CfnSchedule(
            self,
            job.id,
            name=deployment.physical(job.id),
            group_name=group_name(deployment),
            description=f"{cron.text} {cron.zone} -> {job.id}",
            schedule_expression=cron.to_eventbridge(),
            schedule_expression_timezone=cron.zone,
            flexible_time_window=scheduler.CfnSchedule.FlexibleTimeWindowProperty(mode="OFF"),
            state="ENABLED",
            target=target,
        )
        named(schedule, job.id, "schedule")


def group_name(deployment: Deployment) -> str:
    """Group of the app's own schedules: EventBridge Scheduler counts by group, and other apps' are none of ours."""
    return deployment.physical("crons")


def tick_age_s(cron: Cron) -> int:
    """Seconds for which an undeliverable tick is tried: no longer than it could still start something."""
    return max(MIN_TICK_AGE_S, min(MAX_TICK_AGE_S, cron.max_late_s or MAX_TICK_AGE_S))
