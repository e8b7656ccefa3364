"""What is left when the database is down: nothing can be stored, so the alarm topic is told directly."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta

from shared.jobs.ports import Alarms, Blackout

HEARTBEAT = "HealthHeartbeat"
"""The metric whose absence for three minutes is an alarm of its own: the job system itself is down."""
SUBJECT = "database unhealthy"
SILENCE = timedelta(minutes=15)
"""The topic is told at most so often by one Lambda environment."""


class LastLine:
    """Tells the alarm topic, and remembers in the process's memory when it did."""

    def __init__(self) -> None:
        self._told_at: datetime | None = None
        self._lock = threading.Lock()

    def blackout(self, found: Blackout) -> None:
        """The kernel could not reach the database before a run of the check: the heartbeat, and the alarm."""
        found.metrics.count(HEARTBEAT, 1)
        self.tell(found.alarms, found.now, "no connection")

    def tell(self, alarms: Alarms, now: datetime, what: str) -> bool:
        """Publish the alarm unless it was published within SILENCE; whether it was."""
        with self._lock:
            if self._told_at is not None and now - self._told_at < SILENCE:
                return False
            if not alarms.publish(SUBJECT, f"The jobs cannot use the database ({what}). Alerts cannot be stored."):
                return False
            self._told_at = now
        return True
