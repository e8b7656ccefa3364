"""What a job author needs, and nothing more."""

from shared.jobs.context import JobContext, Session, Tenant
from shared.jobs.declaration import Delivery, Retry, event_id, job, payload_hash, window
from shared.jobs.errors import Deferred, Permanent, RateLimited, Transient

__all__ = [
    "Deferred",
    "Delivery",
    "JobContext",
    "Permanent",
    "RateLimited",
    "Retry",
    "Session",
    "Tenant",
    "Transient",
    "event_id",
    "job",
    "payload_hash",
    "window",
]
