"""One category: its queues, the functions that drain them, the rules and schedules that fill them.

All derived from the registry.
"""

from __future__ import annotations

from collections.abc import Sequence

import aws_cdk as cdk
from constructs import Construct

from infra.constructs.alarms import Alarms, of_binding, of_health_check, of_job_function
from infra.constructs.bundle import FunctionCode
from infra.constructs.dashboards import category_dashboard
from infra.constructs.delays import delays_environment, make_schedules
from infra.constructs.function import BULK, FAST, FunctionClass, JobFunction, write_files
from infra.constructs.queue import JobQueue
from infra.constructs.routes import EventRoutes
from infra.constructs.schedules import CronSchedules
from infra.constructs.watching import watch_environment, watch_statements, watches
from infra.deployment import Deployment
from infra.local_engine import function_code
from infra.names import stack_environment
from infra.stacks.workflows import workflow_environment, workflow_statements
from infra.workflows import Workflow
from shared.jobs.registry import Registry


class CategoryStack(cdk.Stack):
    """`<prefix>-<category>`."""

    def __init__(
        self,
        scope: Construct,
        category: str,
        registry: Registry,
        deployment: Deployment,
        workflows: Sequence[Workflow] = (),
    ) -> None:
        super().__init__(scope, deployment.physical(category), env=stack_environment(deployment))
        self.registry = registry
        self.workflows = workflows
        code = function_code(self, deployment)
        self.alarms = Alarms(self, deployment)
        queues: dict[str, JobQueue] = {}
        for binding in registry.queues(category):
            kind = BULK if binding.bulk else FAST
            queues[binding.name] = JobQueue(self, binding, deployment, function_timeout_s=kind.timeout_s)
            self.alarms.add(*of_binding(binding, deployment))
        for kind in (FAST, BULK):
            drained = [queue for queue in queues.values() if queue.binding.bulk == (kind is BULK)]
            if drained:
                self._function(category, kind, deployment, code, drained)
        jobs = [job for job in registry if job.category == category]
        EventRoutes(self, queues, jobs, deployment, deployment.bus_of(category))
        CronSchedules(self, queues, jobs, deployment)
        category_dashboard(self, category, registry, deployment)

    def _function(
        self, category: str, kind: FunctionClass, deployment: Deployment, code: FunctionCode, queues: list[JobQueue]
    ) -> None:
        own = [job for queue in queues for job in queue.binding.jobs]
        may = workflow_statements(self, own, self.workflows, deployment)
        watching = watches(own)
        self.alarms.add(*of_job_function(f"{category}-{kind.name}", kind.timeout_s, deployment))
        if watching:
            self.alarms.add(*of_health_check(f"{category}-{kind.name}", deployment))
        emitted = {event.event_name for queue in queues for job in queue.binding.jobs for event in job.emits}
        JobFunction(
            self,
            category,
            kind,
            deployment,
            code,
            queues=queues,
            sends_to=[job.queue_name for name in emitted for job in self.registry.listeners.get(name, ())],
            environment={
                **delays_environment(deployment),
                **(workflow_environment(self, deployment) if may else {}),
                **(watch_environment(self, deployment) if watching else {}),
            },
            statements=[
                *may,
                *make_schedules(self, deployment),
                *(watch_statements(self, deployment) if watching else []),
                *write_files(own, deployment),
            ],
        )
