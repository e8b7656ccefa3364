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
    from shared.jobs.aws import EventBridgeBus, S3Blobs, SqsQueues
    from shared.jobs.environment import JobsEnvironment
    from shared.jobs.execution import Workshop
    from shared.jobs.messages import OWN_SOURCE
    from shared.jobs.outbox import Relay
    from shared.jobs.pipeline import Pipeline
    from shared.jobs.ports import SystemClock
    from shared.jobs.registry import load_registry
    from shared.jobs.tenants import TenantDirectory

    environment = JobsEnvironment.read()
    logs.configure(f"cgk-{category}")
    secrets = environment.secrets()
    connections = ConnectionHolder(secrets["DATABASE_URL"], application_name=f"cgk-{category}")
    keyring = Keyring.single(secrets["INTEGRATION_ENCRYPTION_KEY"])
    queues = SqsQueues(environment.queue_prefix)
    relay = Relay(EventBridgeBus(environment.bus, OWN_SOURCE), queues, keyring)
    shop = Workshop(
        connections=connections,
        keyring=keyring,
        registry=load_registry([category]),
        clock=SystemClock(),
        secrets=secrets,
        settings=environment.settings,
        rng=random.Random(),
        relay=relay,
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
