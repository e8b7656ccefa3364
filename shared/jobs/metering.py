"""What a deployment's dashboards and alarms see of its runs: counters and times by queue and by category.

A metric costs money per name and dimension, so a job is named only where it has a dead run; the figures of a job that
works are the ledger's. One invocation writes at most two lines per queue, and one per job that died.

    queue      RunsSucceeded RunsDead RunsRetried
    category   RunsSucceeded RunsDead RunsRetried RunDuration RunWait
    job        RunsDead
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field

from shared.jobs.messages import Dead, Defer, Outcome, Refused, Succeeded
from shared.jobs.ports import Metrics
from shared.jobs.registry import Registry

SUCCEEDED = "RunsSucceeded"
DEAD = "RunsDead"
"""Runs that ended dead, and messages that never became a run."""
RETRIED = "RunsRetried"
"""Attempts that failed and come again."""
DURATION = "RunDuration"
"""Milliseconds of one attempt's handler."""
WAIT = "RunWait"
"""Milliseconds from publishing to the attempt's begin."""
COUNTERS = (SUCCEEDED, DEAD, RETRIED)


@dataclass
class Meter:
    """Gathers what one invocation did, until `flush`."""

    registry: Registry
    counts: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter), init=False)
    times: dict[str, dict[str, list[float]]] = field(default_factory=dict, init=False)
    died: Counter[str] = field(default_factory=Counter, init=False)

    def __post_init__(self) -> None:
        self.categories = {binding.name: binding.category for binding in self.registry.queues()}

    def add(self, item: Outcome | Refused) -> None:
        """Count a run's ending, or the end of a message that never became one; what only waits counts for nothing."""
        record = item.run.message.record if isinstance(item, Outcome) else item.record
        ending = item.ending if isinstance(item, Outcome) else item.verdict
        match ending:
            case Succeeded():
                self.counts[record.queue][SUCCEEDED] += 1
            case Dead():
                self.counts[record.queue][DEAD] += 1
                message = item.run.message if isinstance(item, Outcome) else item.message
                self.died[message.job.id if message else "unknown"] += 1
            case Defer(burnt=True):
                self.counts[record.queue][RETRIED] += 1
            case _:
                return
        if isinstance(item, Outcome):
            times = self.times.setdefault(record.queue, {DURATION: [], WAIT: []})
            waited = item.run.run_at - item.run.message.sent_at
            times[DURATION].append(item.duration_ms)
            times[WAIT].append(max(0, round(waited.total_seconds() * 1000)))

    def flush(self, metrics: Metrics) -> None:
        """Write what was gathered, and begin anew."""
        by_category: dict[str, Counter[str]] = defaultdict(Counter)
        times: dict[str, dict[str, list[float]]] = defaultdict(lambda: {DURATION: [], WAIT: []})
        for queue, counts in self.counts.items():
            metrics.measure({name: counts[name] for name in COUNTERS}, queue=queue)
            category = self.categories.get(queue, "unknown")
            by_category[category].update(counts)
            for name, values in self.times.get(queue, {}).items():
                times[category][name] += values
        for category, counts in by_category.items():
            known = {name: values for name, values in times[category].items() if values}
            metrics.measure({name: counts[name] for name in COUNTERS}, known, category=category)
        for job, died in self.died.items():
            metrics.measure({DEAD: died}, job=job)
        self.counts.clear()
        self.times.clear()
        self.died.clear()
