"""What a day costs, as a formula over metrics that AWS counts free of charge. An estimate: it knows no free tier, no
data transfer, no logs, and counts requests of SQS from what the queues say they sent, gave out and deleted. The prices
are those of `cgk-jobs cost`, which knows jobs and tenants.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from infra.constructs.metrics import Metric, of_function, of_queue
from infra.deployment import Deployment
from shared.cli.costs import prices
from shared.jobs.registry import Registry

LAMBDA_GB_SECOND = {"arm64": prices.LAMBDA_ARM.usd, "x86_64": prices.LAMBDA_X86.usd}
SQS_COUNTED = ("NumberOfMessagesSent", "NumberOfMessagesReceived", "NumberOfMessagesDeleted", "NumberOfEmptyReceives")


def job_functions(registry: Registry) -> Iterator[tuple[str, bool]]:
    """(short name, whether it is of class bulk) of the functions that run jobs."""
    for category, bulk in sorted({(queue.category, queue.bulk) for queue in registry.queues()}):
        yield f"{category}-{'bulk' if bulk else 'fast'}", bulk


def cost_per_day(registry: Registry, deployment: Deployment) -> tuple[str, Mapping[str, Metric]]:
    """(expression, its inputs by id) of the dollars that functions and queues cost in a period.

    The expression sums groups of inputs by the beginning of their ids: one that named each would be longer than the
    2,048 characters that CloudWatch takes.
    """
    inputs: dict[str, Metric] = {}
    for n, (name, bulk) in enumerate(job_functions(registry)):
        function = deployment.physical(name)
        inputs[f"{'bulk' if bulk else 'fast'}{n}"] = of_function(function, "Duration")
        inputs[f"calls{n}"] = of_function(function, "Invocations")
    for n, queue in enumerate(registry.queues()):
        for k, metric in enumerate(SQS_COUNTED):
            inputs[f"sqs{n}x{k}"] = of_queue(deployment.physical(queue.name), metric, "Sum")
    gb_ms = LAMBDA_GB_SECOND[deployment.architecture] / 1000 / 1024
    price = {
        "fast": deployment.fast_memory_mb * gb_ms,
        "bulk": deployment.bulk_memory_mb * gb_ms,
        "calls": prices.LAMBDA_REQUEST.usd,
        "sqs": prices.SQS_REQUEST.usd + prices.SQS_FAIR.usd,
    }
    there = [group for group in price if any(id.startswith(group) for id in inputs)]
    return "+".join(f'FILL(SUM(METRICS("{group}")),0)*{price[group]:.15f}' for group in there), inputs
