"""The Lambda entry of a category, the same for all: `main = entry("commerce")`."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shared.jobs.pipeline import Pipeline
    from shared.jobs.ports import LambdaContext

Entry = Callable[[Any, "LambdaContext"], dict[str, list[dict[str, str]]]]


def entry(category: str) -> Entry:
    """The function that Lambda calls with an SQS event; everything is built at the first call and kept warm."""
    made: list[tuple[Pipeline, str]] = []

    def main(event: Any, context: LambdaContext) -> dict[str, list[dict[str, str]]]:
        from shared.jobs.replies import records_of

        if not made:
            made.append(build(category))
        pipeline, prefix = made[0]
        return pipeline.handle(records_of(event, prefix), context)

    return main


def build(category: str) -> tuple[Pipeline, str]:
    """The pipeline of a category on AWS, wired from the environment, and the queues' prefix."""
    from shared.crypto import Keyring
    from shared.db.connections import ConnectionHolder
    from shared.jobs import logs
    from shared.jobs.aws import S3Blobs, SqsQueues
    from shared.jobs.environment import JobsEnvironment
    from shared.jobs.execution import Workshop
    from shared.jobs.pipeline import Pipeline
    from shared.jobs.ports import SystemClock
    from shared.jobs.registry import load_registry
    from shared.jobs.signals import SnsAlarms
    from shared.jobs.tenants import TenantDirectory
    from shared.jobs.wiring import relay_of
    from shared.jobs.workflows import state_machines

    environment = JobsEnvironment.read()
    logs.configure(f"cgk-{category}")
    secrets = environment.secrets()
    connections = ConnectionHolder(secrets["DATABASE_URL"], application_name=f"cgk-{category}")
    logs.hide(secrets)
    keyring = Keyring.of(secrets)
    queues = SqsQueues(environment.queue_prefix)
    machines = state_machines(environment.settings)
    relay = relay_of(environment, keyring, queues, machines)
    shop = Workshop(
        connections=connections,
        keyring=keyring,
        registry=load_registry([category]),
        clock=SystemClock(),
        secrets=secrets,
        settings=environment.settings,
        rng=random.Random(),
        relay=relay,
        machines=machines,
        alarms=SnsAlarms(environment.settings.get("CGK_ALARM_TOPIC")),
    )
    pipeline = Pipeline(
        shop=shop,
        queues=queues,
        tenants=TenantDirectory(connections.get),
        blobs=S3Blobs(environment.bucket),
        bulk=environment.function_class == "bulk",
        database_url=secrets["DATABASE_URL"],
    )
    return pipeline, environment.queue_prefix
