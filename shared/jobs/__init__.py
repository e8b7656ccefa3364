"""What a job author needs, and nothing more."""

from shared.jobs.context import JobContext, Session, Tenant
from shared.jobs.crons import Cron, Tick
from shared.jobs.declaration import Delivery, HoldToken, Retry, dispatch, event_id, job, payload_hash, window
from shared.jobs.errors import Deferred, Permanent, RateLimited, Transient

__all__ = [
    "Cron",
    "Deferred",
    "Delivery",
    "HoldToken",
    "JobContext",
    "Permanent",
    "RateLimited",
    "Retry",
    "Session",
    "Tenant",
    "Tick",
    "Transient",
    "dispatch",
    "event_id",
    "job",
    "payload_hash",
    "window",
]
