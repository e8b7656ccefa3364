"""Kernel functions with schedules of their own: they are no jobs, have no claim and no run.

    sweep       every minute     relays outbox rows that a crash or a refusal left behind
    provision   every 5 minutes  gives tenants that the apps created their role, schema and tables
    partitions  every day        makes the ledger's partitions ahead and drops the expired ones
    ticks       every 5 minutes  sends the newest tick of a cron again that has missed it

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
    from shared.jobs.aws import SqsQueues
    from shared.jobs.wiring import relay_of
    from shared.jobs.workflows import state_machines

    environment, secrets = _prepare("cgk-kernel-sweep")
    queues, machines = SqsQueues(environment.queue_prefix), state_machines(environment.settings)
    relay = relay_of(environment, Keyring.of(secrets), queues, machines)
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


def ticks(event: Any, context: Any) -> dict[str, list[str]]:
    """Make up for missed ticks; {"missed": job ids}. It loads all categories, which the sweeper must not depend on."""
    from shared.db.connections import connect
    from shared.jobs.aws import SqsQueues
    from shared.jobs.registry import load_registry
    from shared.jobs.ticks import catch_up

    environment, secrets = _prepare("cgk-kernel-ticks")
    with connect(secrets["DATABASE_URL"], application_name="cgk-kernel-ticks") as conn:
        missed = catch_up(conn, load_registry(), SqsQueues(environment.queue_prefix), datetime.now(UTC))
    logger.info("ticks", extra={"missed": len(missed)})
    return {"missed": missed}


def _prepare(service: str) -> tuple[JobsEnvironment, dict[str, str]]:
    from shared.jobs import logs
    from shared.jobs.environment import JobsEnvironment

    logs.configure(service)
    environment = JobsEnvironment.read()
    secrets = environment.secrets()
    logs.hide(secrets)
    return environment, secrets
