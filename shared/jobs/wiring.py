"""How the parts that several functions need are put together on AWS."""

from __future__ import annotations

from shared.crypto import Keyring
from shared.jobs.aws import EventBridgeBus, OneOffSchedules, S3Blobs, SqsQueues
from shared.jobs.environment import JobsEnvironment
from shared.jobs.messages import OWN_SOURCE
from shared.jobs.offload import Vault
from shared.jobs.outbox import Relay
from shared.jobs.ports import StateMachines


def schedules_of(environment: JobsEnvironment) -> OneOffSchedules | None:
    """One-off schedules; None where the deployment has no role for them (what is due is then sent by the sweeper)."""
    if not environment.scheduler_role:
        return None
    return OneOffSchedules(
        environment.schedule_group,
        environment.scheduler_role,
        environment.bus,
        environment.queue_prefix,
        OWN_SOURCE,
    )


def relay_of(
    environment: JobsEnvironment, keyring: Keyring, queues: SqsQueues, machines: StateMachines | None = None
) -> Relay:
    """The relay of a function."""
    return Relay(
        EventBridgeBus(environment.bus, OWN_SOURCE),
        queues,
        keyring,
        machines,
        schedules=schedules_of(environment),
        vault=Vault(S3Blobs(environment.bucket), keyring),
    )
