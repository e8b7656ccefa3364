"""Ports in memory and a bench that runs the real pipeline on a real PostgreSQL: shipped, so that apps can test with it.

clock.py     time that tests move
broker.py    the queues, with SQS's semantics; fairness.py the order of its fair queues
ports.py     bus, metrics, alarms, object storage
faults.py    what goes wrong at a named point of the pipeline
bench.py     a process: the real pipelines over these ports and a real database; `twin` is a second one
fleet.py     many processes at once, on one virtual clock
deliver.py   one message, one verdict
"""

from shared.jobs.testing.bench import Bench, Delivered, TickReport
from shared.jobs.testing.broker import MAX_RECEIVES, MemoryQueues, StoredMessage
from shared.jobs.testing.clock import START, FixedContext, ManualClock
from shared.jobs.testing.deliver import Deliver
from shared.jobs.testing.faults import Crashed, Faults
from shared.jobs.testing.fleet import Fleet, FleetClock
from shared.jobs.testing.ports import MemoryAlarms, MemoryBlobs, MemoryBus, MemoryMetrics

__all__ = [
    "MAX_RECEIVES",
    "START",
    "Bench",
    "Crashed",
    "Deliver",
    "Delivered",
    "Faults",
    "FixedContext",
    "Fleet",
    "FleetClock",
    "ManualClock",
    "MemoryAlarms",
    "MemoryBlobs",
    "MemoryBus",
    "MemoryMetrics",
    "MemoryQueues",
    "StoredMessage",
    "TickReport",
]
