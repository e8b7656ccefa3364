"""The queues by name. A queue groups jobs of one latency and rate class; it becomes `<name>` for fast jobs and
`<name>-bulk` for long ones, each with its own function mapping and dead-letter queue."""

from __future__ import annotations

import re
from dataclasses import dataclass

FAST_TIMEOUT_S = 60
"""Jobs up to this many seconds run in the fast function (batch of 10), longer ones in the bulk one (batch of 1)."""


@dataclass(frozen=True, slots=True)
class Queue:
    """`tenant_cap`: how many runs of one tenant may be under way at once in this queue."""

    name: str
    tenant_cap: int = 10

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z][a-z0-9-]{1,60}", self.name) or self.name.endswith(("-bulk", "-dlq")):
            raise ValueError(f"queue {self.name!r}: a lower-case kebab name that ends neither in -bulk nor in -dlq")
        if self.tenant_cap < 1:
            raise ValueError(f"queue {self.name}: tenant_cap must be at least 1")


ORDER_PROCESSING = Queue("order-processing")
CATALOG_SYNC = Queue("catalog-sync")
WEBHOOKS = Queue("webhooks")
ATTRIBUTION = Queue("attribution")
ALERTS = Queue("alerts")
OPS = Queue("ops")
CRON_DISPATCH = Queue("cron-dispatch")
AB_TESTING = Queue("ab-testing")
REVIEW_EMAIL = Queue("review-email")
CREATOR_APPLICATIONS = Queue("creator-applications")
