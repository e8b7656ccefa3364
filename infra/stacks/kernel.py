"""The kernel's own functions, started by schedules: sweeper, provisioning of tenants, upkeep of partitions, catching up
on missed ticks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_scheduler as scheduler
from constructs import Construct

from infra.constructs.alarms import Alarms, of_kernel_function
from infra.constructs.delays import delays_environment, make_schedules
from infra.constructs.function import (
    ADMIN_SECRET,
    JOBS_SECRET,
    Function,
    keep_payloads,
    publish,
    read_secret,
    secret_name,
)
from infra.constructs.roles import Statement, allow, service_role
from infra.constructs.schedules import group_name
from infra.deployment import Deployment
from infra.local_engine import function_code
from infra.names import named, queue_arn, stack_environment
from infra.stacks.workflows import answer_steps, start_executions, workflow_environment
from infra.workflows import Workflow


@dataclass(frozen=True, slots=True)
class Kernel:
    """A kernel function: how often it runs, how long it may, and the secret it reads."""

    name: str
    rate: str
    timeout_s: int
    secret: str


ANY_QUEUE = "the outbox and the missed ticks may speak of any queue of the app"
# Partitions are DDL, so their upkeep needs the admin's login as provisioning does.
KERNEL = (
    Kernel("sweep", "rate(1 minute)", 55, JOBS_SECRET),
    Kernel("provision", "rate(5 minutes)", 280, ADMIN_SECRET),
    Kernel("partitions", "rate(1 day)", 280, ADMIN_SECRET),
    Kernel("ticks", "rate(5 minutes)", 55, JOBS_SECRET),
)


class KernelStack(cdk.Stack):
    """`<prefix>-kernel`."""

    def __init__(self, scope: Construct, deployment: Deployment, workflows: Sequence[Workflow] = ()) -> None:
        super().__init__(scope, deployment.physical("kernel"), env=stack_environment(deployment))
        self.machines = [deployment.physical(workflow.name) for workflow in workflows]
        code = function_code(self, deployment)
        functions = {
            kernel.name: Function(
                self,
                f"kernel-{kernel.name}",
                deployment,
                code,
                handler=f"functions.kernel.handler.{kernel.name}",
                timeout_s=kernel.timeout_s,
                memory_mb=deployment.fast_memory_mb,
                environment={
                    "CGK_CATEGORY": "kernel",
                    "POWERTOOLS_SERVICE_NAME": f"kernel-{kernel.name}",
                    "CGK_SECRET_ID": secret_name(deployment, kernel.secret),
                    **(workflow_environment(self, deployment) if self.machines and kernel.name == "sweep" else {}),
                    **(delays_environment(deployment) if kernel.name == "sweep" else {}),
                },
                statements=self._statements(kernel, deployment),
            )
            for kernel in KERNEL
        }
        alarms = Alarms(self, deployment)
        role = self._scheduler_role(functions)
        for kernel in KERNEL:
            self._schedule(kernel, functions[kernel.name], role, deployment)
            often = "minute" in kernel.rate
            alarms.add(*of_kernel_function(f"kernel-{kernel.name}", often, deployment))

    def _statements(self, kernel: Kernel, deployment: Deployment) -> list[Statement]:
        statements = [read_secret(self, deployment, kernel.secret)]
        if kernel.name == "sweep":
            # The outbox may speak of any queue of the app.
            queues = [queue_arn(self, deployment.physical("*"))]
            statements += [
                publish(self, deployment),
                allow("SendMessages", ["sqs:SendMessage", "sqs:GetQueueUrl"], queues, wildcard=ANY_QUEUE),
                *keep_payloads(deployment),
                *make_schedules(self, deployment),
            ]
            if self.machines:
                statements += [answer_steps(), start_executions(self, self.machines)]
        if kernel.name == "ticks":
            queues = [queue_arn(self, deployment.physical("*"))]
            statements.append(allow("SendTicks", ["sqs:SendMessage", "sqs:GetQueueUrl"], queues, wildcard=ANY_QUEUE))
        return statements

    def _scheduler_role(self, functions: dict[str, Function]) -> iam.CfnRole:
        arns = [function.function.attr_arn for function in functions.values()]
        start = allow("StartKernelFunctions", ["lambda:InvokeFunction"], arns)
        return service_role(self, "scheduler-role", "scheduler.amazonaws.com", [start], names=["scheduler"])

    def _schedule(self, kernel: Kernel, function: Function, role: iam.CfnRole, deployment: Deployment) -> None:
        schedule = scheduler.CfnSchedule(
            self,
            f"{kernel.name}-schedule",
            name=deployment.physical(f"kernel-{kernel.name}"),
            group_name=group_name(deployment),
            schedule_expression=kernel.rate,
            flexible_time_window=scheduler.CfnSchedule.FlexibleTimeWindowProperty(mode="OFF"),
            target=scheduler.CfnSchedule.TargetProperty(
                arn=function.function.attr_arn,
                role_arn=role.attr_arn,
                input='{"scheduledAt": "<aws.scheduler.scheduled-time>"}',
                # The next tick does what this one missed.
                retry_policy=scheduler.CfnSchedule.RetryPolicyProperty(maximum_retry_attempts=0),
            ),
        )
        named(schedule, kernel.name, "schedule")
