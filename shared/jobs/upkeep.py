"""Kernel functions with schedules of their own: they are no jobs, have no claim and no run.

    sweep       every minute     relays outbox rows that a crash or a refusal left behind
    provision   every 5 minutes  gives tenants that the apps created their role, schema and tables
    partitions  every day        makes the ledger's partitions ahead and drops the expired ones

Provision and partitions work under DATABASE_ADMIN_URL; they are the only functions that can read it.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shared.jobs.environment import JobsEnvironment

logger = logging.getLogger("cgk.jobs.kernel")


def sweep(event: Any, context: Any) -> dict[str, int]:
    """Relay what was left behind; {"relayed": rows}."""
    from shared.crypto import Keyring
    from shared.db.connections import connect
    from shared.jobs.aws import EventBridgeBus, SqsQueues
    from shared.jobs.messages import OWN_SOURCE
    from shared.jobs.outbox import Relay

    environment, secrets = _prepare("cgk-kernel-sweep")
    keyring = Keyring.single(secrets["INTEGRATION_ENCRYPTION_KEY"])
    relay = Relay(EventBridgeBus(environment.bus, OWN_SOURCE), SqsQueues(environment.queue_prefix), keyring)
    with connect(secrets["DATABASE_URL"], application_name="cgk-kernel-sweep") as conn:
        relayed = relay.sweep(conn, datetime.now(UTC))
    logger.info("swept", extra={"relayed": relayed})
    return {"relayed": relayed}


def provision(event: Any, context: Any) -> dict[str, list[str]]:
    """Provision tenants that have no role or schema yet; {"provisioned": slugs}."""
    from shared.db.migrations import provision_missing

    _, secrets = _prepare("cgk-kernel-provision")
    slugs = provision_missing(secrets["DATABASE_ADMIN_URL"])
    logger.info("provisioned", extra={"tenants": len(slugs)})
    return {"provisioned": slugs}


def partitions(event: Any, context: Any) -> dict[str, int]:
    """Make and drop the ledger's partitions; {"made": n, "dropped": n}."""
    from shared.db.connections import connect
    from shared.db.partitions import drop_expired, ensure_partitions

    _, secrets = _prepare("cgk-kernel-partitions")
    today = datetime.now(UTC).date()
    with connect(secrets["DATABASE_ADMIN_URL"], application_name="cgk-kernel-partitions") as conn:
        made = ensure_partitions(conn, today)
        pruned = drop_expired(conn, today)
    answer = {"made": len(made), "dropped": len(pruned.partitions)}
    logger.info("partitions", extra=answer)
    return answer


def _prepare(service: str) -> tuple[JobsEnvironment, dict[str, str]]:
    from shared.jobs import logs
    from shared.jobs.environment import JobsEnvironment

    logs.configure(service)
    environment = JobsEnvironment.read()
    return environment, environment.secrets()
