"""The dashboards: the overview, one per category, one per workflow; every line of them comes from the registry."""

from __future__ import annotations

from collections.abc import Sequence

import aws_cdk as cdk

from infra.constructs.alarms import HEARTBEAT, MISSING_CRONS
from infra.constructs.cost import cost_per_day, job_functions
from infra.constructs.delays import group_name as delayed_group
from infra.constructs.metrics import Metric, of_function, of_machine, of_queue, of_rule, of_schedules, own
from infra.constructs.schedules import group_name as cron_group
from infra.constructs.widgets import Widget, calculated, dashboard, found, graph, text
from infra.deployment import Deployment
from infra.workflows import Workflow
from shared.jobs.metering import DEAD, DURATION, RETRIED, SUCCEEDED, WAIT
from shared.jobs.registry import QueueBinding, Registry

VISIBLE = "ApproximateNumberOfMessagesVisible"
OLDEST = "ApproximateAgeOfOldestMessage"
PERCENTILE = "p95"
UNTOLD = "AlertDeliveryFailed"
"""Metric of shared/alerts: a channel took an alert neither at once nor later."""
HOUR = 3600
MACHINE_METRICS = (
    "ExecutionsStarted",
    "ExecutionsSucceeded",
    "ExecutionsFailed",
    "ExecutionsTimedOut",
    "ExecutionsAborted",
)


def overview_dashboard(
    stack: cdk.Stack, registry: Registry, workflows: Sequence[Workflow], deployment: Deployment
) -> None:
    """Throughput, failures, age of the oldest, dead letters, cost per day; what fires; who watches."""
    queues = registry.queues()
    expression, inputs = cost_per_day(registry, deployment)
    rows: list[Sequence[Widget]] = [
        [text(f"# {deployment.prefix}, {deployment.stage}\nWhat to do when something is red: {deployment.runbooks}")],
        [
            graph("Runs that succeeded", _by_category(registry, deployment, SUCCEEDED), stacked=True),
            graph(
                "Runs that failed",
                {
                    **{f"{c} dead": m for c, m in _by_category(registry, deployment, DEAD).items()},
                    **{f"{c} to be retried": m for c, m in _by_category(registry, deployment, RETRIED).items()},
                },
            ),
            graph(
                f"From publishing to begin, {PERCENTILE}",
                _by_category(registry, deployment, WAIT, PERCENTILE),
                unit="ms",
            ),
        ],
        [_oldest(queues, deployment), _dead_letters(queues, deployment)],
        [
            calculated("Cost per day, estimated", expression, "functions and queues", inputs, unit="US dollars"),
            graph("Schedules", _schedules(deployment)),
            graph("Functions", _functions(registry, deployment)),
        ],
    ]
    last = [
        found("Dead runs by job", deployment.prefix, ("job",), DEAD, period_s=HOUR),
        found("Alerts that could not be told", deployment.prefix, ("channel", "service"), UNTOLD, period_s=HOUR),
        *_watchers(registry, deployment),
    ]
    if workflows:
        last.append(graph("Workflows that ended badly", _machines(stack, workflows, deployment)))
    rows.append(last)
    dashboard(stack, "overview", rows, deployment.physical("overview"))


def category_dashboard(stack: cdk.Stack, category: str, registry: Registry, deployment: Deployment) -> None:
    """The queues and functions of one category."""
    queues = registry.queues(category)
    functions = {
        name: deployment.physical(name) for name, _ in job_functions(registry) if name.startswith(f"{category}-")
    }
    times = {
        "work": own(deployment, DURATION, category=category).with_stat(PERCENTILE),
        "from publishing to begin": own(deployment, WAIT, category=category).with_stat(PERCENTILE),
    }
    failed = {f"{q.name} {what}": own(deployment, name, queue=q.name) for q in queues for what, name in _FAILURES}
    noisy = {q.name: of_queue(deployment.physical(q.name), "ApproximateNumberOfNoisyGroups") for q in queues}
    quiet = {
        q.name: of_queue(deployment.physical(q.name), "ApproximateAgeOfOldestMessageInQuietGroups") for q in queues
    }
    backlog = {q.name: of_queue(deployment.physical(q.name), VISIBLE) for q in queues}
    rows = [
        [
            graph(
                "Runs that succeeded", {q.name: own(deployment, SUCCEEDED, queue=q.name) for q in queues}, stacked=True
            ),
            graph("Runs that failed", failed),
            graph(f"Times, {PERCENTILE}", times, unit="ms"),
        ],
        [graph("Messages waiting", backlog), _oldest(queues, deployment), _dead_letters(queues, deployment)],
        [graph("Noisy tenants", noisy), graph("Age of the oldest, quiet tenants", quiet, unit="s")],
        [
            graph("Duration, p99", {n: of_function(f, "Duration", "p99") for n, f in functions.items()}, unit="ms"),
            graph("Workers", {n: of_function(f, "ConcurrentExecutions", "Maximum") for n, f in functions.items()}),
            graph(
                "Crashes and throttles",
                {f"{n} {m.lower()}": of_function(f, m) for n, f in functions.items() for m in ("Errors", "Throttles")},
            ),
        ],
    ]
    if heard := [job.id for job in registry if job.category == category and job.on]:
        rows.append([_rules("Events that a rule could not deliver", "FailedInvocations", heard, category, deployment)])
        lost = "InvocationsFailedToBeSentToDlq"
        rows[-1].append(_rules("Events lost: the dead-letter queue refused them", lost, heard, category, deployment))
    dashboard(stack, category, rows, deployment.physical(category))


def workflow_dashboard(stack: cdk.Stack, workflow: Workflow, registry: Registry, deployment: Deployment) -> None:
    """Executions of one machine, and the queues that its steps wait in."""
    machine = deployment.physical(workflow.name)
    names = {registry.jobs[job].queue_name for job in workflow.jobs}
    queues = [queue for queue in registry.queues() if queue.name in names]
    ended = {name.removeprefix("Executions").lower(): of_machine(stack, machine, name) for name in MACHINE_METRICS}
    took = {stat: of_machine(stack, machine, "ExecutionTime", stat) for stat in ("p50", PERCENTILE)}
    rows = [
        [graph("Executions", ended), graph("How long they took", took, unit="ms")],
        [_oldest(queues, deployment), _dead_letters(queues, deployment)],
    ]
    dashboard(stack, workflow.name, rows, machine)


_FAILURES = (("dead", DEAD), ("to be retried", RETRIED))


def _by_category(registry: Registry, deployment: Deployment, name: str, stat: str = "Sum") -> dict[str, Metric]:
    return {c: own(deployment, name, category=c).with_stat(stat) for c in registry.categories}


def _oldest(queues: Sequence[QueueBinding], deployment: Deployment) -> Widget:
    metrics = {q.name: of_queue(deployment.physical(q.name), OLDEST) for q in queues}
    return graph("Age of the oldest message", metrics, unit="s")


def _dead_letters(queues: Sequence[QueueBinding], deployment: Deployment) -> Widget:
    return graph("Dead letters", {q.name: of_queue(deployment.physical(f"{q.name}-dlq"), VISIBLE) for q in queues})


def _rules(title: str, metric: str, jobs: Sequence[str], category: str, deployment: Deployment) -> Widget:
    bus = deployment.bus_of(category)
    return graph(title, {id: of_rule(bus, deployment.physical(id), metric) for id in jobs})


def _schedules(deployment: Deployment) -> dict[str, Metric]:
    groups = {"crons": cron_group(deployment), "delayed": delayed_group(deployment)}
    kinds = {"fired": "InvocationAttemptCount", "refused": "TargetErrorCount", "dropped": "InvocationDroppedCount"}
    return {f"{s} {what}": of_schedules(group, name) for s, group in groups.items() for what, name in kinds.items()}


def _functions(registry: Registry, deployment: Deployment) -> dict[str, Metric]:
    return {
        f"{name} {metric.lower()}": of_function(deployment.physical(name), metric)
        for name, _ in job_functions(registry)
        for metric in ("Errors", "Throttles")
    }


def _machines(stack: cdk.Stack, workflows: Sequence[Workflow], deployment: Deployment) -> dict[str, Metric]:
    return {
        f"{workflow.name} {metric.removeprefix('Executions').lower()}": of_machine(
            stack, deployment.physical(workflow.name), metric
        )
        for workflow in workflows
        for metric in ("ExecutionsFailed", "ExecutionsTimedOut", "ExecutionsAborted")
    }


def _watchers(registry: Registry, deployment: Deployment) -> list[Widget]:
    services = sorted({f"{j.category}-{'bulk' if j.bulk else 'fast'}" for j in registry if j.blackout is not None})
    if not services:
        return []
    beats = {"heartbeat": own(deployment, HEARTBEAT, service=services[0])}
    missing = {"crons without their tick": own(deployment, MISSING_CRONS, service=services[0]).with_stat("Maximum")}
    return [graph("The health check", {**beats, **missing}, period_s=60)]
