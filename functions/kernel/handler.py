"""Lambda entries of the kernel: outbox sweeper, provisioning of new tenants, upkeep of the ledger's partitions,
missed ticks."""

from shared.jobs.upkeep import partitions, provision, sweep, ticks

__all__ = ["partitions", "provision", "sweep", "ticks"]
