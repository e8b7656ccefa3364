"""Lambda entries of the kernel: outbox sweeper, provisioning of new tenants, upkeep of the ledger's partitions."""

from shared.jobs.upkeep import partitions, provision, sweep

__all__ = ["partitions", "provision", "sweep"]
