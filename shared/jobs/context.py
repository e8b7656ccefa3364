"""What a handler sees: its ports. Everything a job may do to the outside goes through `ctx`."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, NoReturn, Protocol
from uuid import UUID

from pydantic import BaseModel

from shared.events.base import Event, Payload
from shared.jobs.declaration import Delivery

if TYPE_CHECKING:
    from shared.integrations.http import Http  # it imports the errors of this package
    from shared.jobs.ports import Alarms, Metrics
    from shared.rate_limiter import Rate

Row = dict[str, Any]
Isolation = Literal["read committed", "repeatable read", "serializable"]


@dataclass(frozen=True, slots=True)
class Tenant:
    """A tenant as the platform knows it. `slug` names its schema and role, `organization_id` is organizations.id."""

    slug: str
    organization_id: UUID
    status: Literal["onboarding", "active", "suspended"]


class Session(Protocol):
    """One open transaction as the tenant: its role, its schema first in the search path, a statement timeout.

    SQL is a whole statement with named parameters (%(name)s); lists go through unnest or = ANY.
    """

    def execute(self, sql: str, params: dict[str, Any] | None = None) -> int:
        """Run a statement; the number of rows it touched."""

    def all(self, sql: str, params: dict[str, Any] | None = None) -> list[Row]:
        """All rows as dicts."""

    def one(self, sql: str, params: dict[str, Any] | None = None) -> Row | None:
        """The first row, None when there is none."""

    def value(self, sql: str, params: dict[str, Any] | None = None) -> Any:
        """First column of the first row, None when there is no row."""

    def copy_in(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """COPY rows into a table of the tenant's schema."""

    def lock(self, key: str, *, everywhere: bool = False) -> None:
        """Advisory lock of the tenant until the transaction ends; `key` starts with the module's word.

        `everywhere`: one lock for the whole platform.
        """

    def emit(
        self,
        event: Event,
        *,
        key: str | None = None,
        delay_s: float = 0,
        deliver_at: datetime | None = None,
        tenant: str | None = None,
    ) -> None:
        """Publish `event` when THIS transaction commits. `key`: two emissions with one key start each listener
        once. `delay_s` or `deliver_at`: up to 365 days later, at that instant or within a minute after it. `tenant`:
        for another tenant (slug), which only runs of the platform and jobs declared platform=True may."""

    def emit_many(self, events: Sequence[tuple[Event, str | None]]) -> None:
        """Publish many (event, key) pairs in one statement."""

    def again(
        self, payload: Payload, *, delay_s: float = 0, key: str | None = None, deliver_at: datetime | None = None
    ) -> None:
        """A new message to this job only, straight to its queue, when THIS transaction commits: steps, polls."""


class Workflows(Protocol):
    """State machines whose steps are jobs. The job names them in `workflows=` of its declaration."""

    def start(self, name: str, input: BaseModel | Mapping[str, Any], execution_name: str) -> str | None:
        """Start `name` when the open session commits, or else when the run settles as succeeded; the execution's ARN.

        `input` gets `tenantId` added. `execution_name`: 1..80 of A-Z, a-z, 0-9, _ and -; one that was started before
        is not started again, and that is no error. None: workflows are off here, and the job goes on by itself.
        """

    def complete(self, token: str, output: BaseModel | Mapping[str, Any]) -> Literal["answered", "gone"]:
        """Answer the step that another run holds with `output`; `token` is what ctx.task_token was in that run.

        Commit what led to the answer first: no session may be open. Given once: a later call changes nothing and
        says what became of the first. `gone`: the step has timed out or was stopped, or the token is not this tenant's.
        """

    def fail(self, token: str, code: str, cause: str = "") -> Literal["answered", "gone"]:
        """The same with an error: the machine's Catch sees `code`. A redriven step then runs its job anew."""

    def status(self, name: str, execution_name: str) -> str | None:
        """RUNNING, SUCCEEDED, FAILED, TIMED_OUT, ABORTED or PENDING_REDRIVE; None: there is none, or they are off."""


class JobContext(Protocol):
    """One run of one job for one tenant."""

    @property
    def job_id(self) -> str: ...
    @property
    def tenant(self) -> Tenant: ...
    @property
    def run_id(self) -> UUID: ...
    @property
    def delivery(self) -> Delivery: ...
    @property
    def correlation_id(self) -> str: ...
    @property
    def attempt(self) -> int:
        """1 for the first attempt."""

    @property
    def last_attempt(self) -> bool:
        """Whether a transient error would now be the end."""

    @property
    def task_token(self) -> str | None:
        """Name of the token of the workflow's step that waits for this run; None when none does.

        No secret: the kernel keeps the token itself. A later job gives it to `workflows.complete`, once this run has
        returned HoldToken.
        """

    @property
    def workflows(self) -> Workflows: ...
    @property
    def cursor(self) -> Any:
        """What the former leg gave to continue_from; None on the first leg."""

    @property
    def files(self) -> tuple[str, ...]:
        """Prefixes of the bucket below which the job may write, as it declares."""

    @property
    def log(self) -> logging.LoggerAdapter[logging.Logger]: ...
    @property
    def http(self) -> Http:
        """HTTP port; refuses to be used while a session is open."""

    @property
    def metrics(self) -> Metrics:
        """Counters; they count at once, whatever becomes of the run."""

    @property
    def alarms(self) -> Alarms:
        """The alarm topic, for what no alert can tell: the database is down."""

    def secret(self, name: str) -> str:
        """A platform secret such as INTEGRATION_ENCRYPTION_KEY; never log it."""

    def setting(self, name: str, default: str | None = None) -> str | None:
        """A plain setting of the environment, e.g. SHOPIFY_BASE_URL."""

    def now(self) -> datetime:
        """The clock, UTC; tests can move it."""

    def sleep(self, seconds: float) -> None:
        """Wait inside the run (short vendor throttles only); tests move the clock instead."""

    def limit(self, rate: Rate, *, shared: str | None = None, cost: float = 1, wait_s: float = 0) -> None:
        """Take `cost` tokens of a vendor's rate limit before a call; all processes share the tenant's bucket.

        Waits up to `wait_s` seconds for them, else raises RateLimited <VENDOR>_RATE_LIMITED, which burns no attempt.
        `shared`: name of a key that several tenants use, whose bucket is then theirs together; never the key itself.
        Not from a thread, and not while a session is open.
        """

    def limit_hit(self, rate: Rate, after_s: float, *, shared: str | None = None) -> None:
        """The vendor has answered 429: nobody calls with this bucket for `after_s` seconds."""

    def remaining_s(self) -> float:
        """Seconds of work left before the run must checkpoint or end (job timeout and Lambda's end, less 15 s)."""

    def cancelled(self) -> bool:
        """Whether someone asked this run to stop (read from the ledger, at most every few seconds)."""

    def progress(self, done: int, total: int | None = None) -> None:
        """Show progress in the ledger; cheap, written with the next transaction."""

    def tenant_session(
        self,
        *,
        read_only: bool = False,
        isolation: Isolation = "read committed",
        statement_timeout_s: float | None = None,
    ) -> AbstractContextManager[Session]:
        """A transaction of the tenant; commits at the end of the block (a checkpoint), rolls back on an exception."""

    def platform_session(
        self,
        *,
        read_only: bool = False,
        isolation: Isolation = "read committed",
        statement_timeout_s: float | None = None,
    ) -> AbstractContextManager[Session]:
        """A transaction of the platform: public tables only, no tenant's. For runs of the tenant `system` (crons of
        scope platform, jobs declared tenants="system" or "any"); RuntimeError in a tenant's run, unless its job is
        declared platform=True."""

    def final_session(self, *, isolation: Isolation = "read committed") -> AbstractContextManager[Session]:
        """The settling transaction: commits together with the run's end. Afterwards the handler may only return.

        The block's end leaves the transaction open; the pipeline adds the run's result and commits when the handler
        has returned, so result, last writes and events stand or fall together.
        """

    def emit(
        self, event: Event, *, key: str | None = None, delay_s: float = 0, deliver_at: datetime | None = None
    ) -> None:
        """Publish `event` when the run settles as succeeded; `key` and delays as Session.emit."""

    def again(
        self, payload: Payload, *, delay_s: float = 0, key: str | None = None, deliver_at: datetime | None = None
    ) -> None:
        """A message to this job only, when the run settles as succeeded."""

    def continue_from(self, cursor: Any) -> NoReturn:
        """End this leg: commit `cursor` (JSON, 64 KiB); a new message of the same run goes on, with fresh attempts."""
