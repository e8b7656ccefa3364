"""What a batch synchronisation needs to know of its subject: products, customers or stock levels.

The order of the work is the same for all (`export`, `paging`); a subject says how its objects are read, stored, found
missing and removed, and what follows when a run has ended.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from functions.commerce.catalog import runs
from functions.commerce.catalog.runs import Run
from shared.events.catalog import SyncRunStep
from shared.integrations.shopify_catalog import Node, ShopifyCatalog
from shared.jobs import Delivery, JobContext, Session, payload_hash, window

BURST_S = 60
"""Equal requests within so many seconds are one; a run that is open joins all later ones."""


@dataclass(frozen=True, slots=True)
class Batch:
    """One page: nodes, and the cursor behind them; `more`: whether there is a page behind."""

    nodes: list[Node]
    cursor: str | None
    more: bool


@dataclass(slots=True)
class Stored:
    """What a chunk did. `kept`: figures of run.filter that are added up, and marks that stay once they are set."""

    merged: int = 0
    changed: int = 0
    stale: int = 0
    kept: dict[str, Any] = field(default_factory=dict)


class Subject(ABC):
    """One kind of run."""

    kind: ClassVar[runs.Kind]
    message: ClassVar[type[SyncRunStep]]
    """The contract of the steps' messages."""
    root_type: ClassVar[str]
    """Type of the objects at the top of the export."""
    bulk_query: ClassVar[str]
    connections: ClassVar[Mapping[str, Mapping[str, str]]]
    """Type of a parent -> type of its children in the export ('' for any other) -> name of the connection."""
    guarded: ClassVar[bool] = True
    """Whether a deletion of many is doubted."""

    @abstractmethod
    def read(self, ctx: JobContext, shopify: ShopifyCatalog, run: Run) -> Batch:
        """The page at run.cursor."""

    @abstractmethod
    def store(self, ctx: JobContext, session: Session, run: Run, nodes: Sequence[Node]) -> Stored:
        """Write a chunk of whole nodes."""

    @abstractmethod
    def missing(self, session: Session, run: Run) -> tuple[int, list[str]]:
        """(live objects, those of them that a full run has not seen)."""

    @abstractmethod
    def counted(self, shopify: ShopifyCatalog) -> int:
        """Shopify's own exact count of the objects."""

    def confirmed(self, shopify: ShopifyCatalog, ids: Sequence[str]) -> list[str]:
        """Those of the missing objects that are surely gone."""
        return list(ids)

    @abstractmethod
    def remove(self, ctx: JobContext, session: Session, run: Run, ids: Sequence[str]) -> int:
        """Take over that these objects are gone; how many were there."""

    def before_end(self, ctx: JobContext, shopify: ShopifyCatalog, run: Run) -> Run:
        """What has to be done once all objects are written, in transactions of its own, repeatable."""
        return run

    @abstractmethod
    def at_end(self, ctx: JobContext, session: Session, run: Run) -> None:
        """What the run's end tells others, in the transaction that ends it."""


def step_key(payload: SyncRunStep, delivery: Delivery) -> str:
    """A step: run, step, attempt and restarts. A request: its content within a minute."""
    if payload.sync_run_id is None:
        return payload_hash(payload) + window(delivery, BURST_S)
    return f"{payload.sync_run_id}:{payload.step or 'start'}:{payload.attempt or 0}:{payload.restarts or 0}"


def send(session: Session, subject: Subject, run: Run, step: str, *, attempt: int = 1, delay_s: float = 0) -> None:
    """The next message of a run, straight to the job's queue."""
    message = subject.message(sync_run_id=run.id, step=step, attempt=attempt, restarts=run.restarts)  # type: ignore[arg-type]
    key = f"{run.id}:{step}:{attempt}:{run.restarts}"
    session.again(message, key=key, delay_s=delay_s)


def added(run: Run, stored: Stored) -> dict[str, Any]:
    """The columns of a run after a chunk."""
    kept = dict(run.filter)
    for name, value in stored.kept.items():
        kept[name] = (kept.get(name) or 0) + value if not isinstance(value, bool) else value or kept.get(name, False)
    return {
        "filter": kept,
        "merged_count": run.merged_count + stored.merged,
        "changed_count": run.changed_count + stored.changed,
        "stale_count": run.stale_count + stored.stale,
    }
