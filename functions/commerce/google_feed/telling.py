"""Who is told when the feed fails, and how a run that fails is ended."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC
from typing import Any, Literal
from uuid import UUID

from shared.events.alerts import AlertApiFailure
from shared.google_feed import history
from shared.google_feed.settings import DISCONNECT, FeedSettings
from shared.integrations.google_auth import UNAUTHORIZED
from shared.integrations.merchant import DailyLimit
from shared.jobs import Deferred, JobContext, Permanent, RateLimited, Session
from shared.jobs.errors import JobError, LeaseLost

MOSTLY_REFUSED = "FEED_MOSTLY_REFUSED"
SHRUNK = "FEED_SHRUNK"
DISAPPROVED = "MANY_DISAPPROVED"

TITLES = {
    UNAUTHORIZED: "Google Merchant Center must be connected again",
    MOSTLY_REFUSED: "Google refuses most of the product feed",
    SHRUNK: "The product feed shrank too much to be believed",
    DISAPPROVED: "Google has disapproved many products",
}
MESSAGES = {
    UNAUTHORIZED: "Google does not accept the credentials of the product feed any more. Nothing is sent until somebody "
    "connects Merchant Center again.",
    MOSTLY_REFUSED: "More than half of the offers were refused, which points to a wrong setting rather than to wrong "
    "products. The run was stopped; nothing was deleted.",
    SHRUNK: "So many offers have left the feed at once that none of them was deleted at Google. If that is right, "
    "delete them in Merchant Center or wait for them to expire.",
    DISAPPROVED: "Offers that were approved are disapproved now. The counts per issue are in the context.",
}

# Most refusals came from a setting: what is put right there must be tried again.
FORGIVE = """
-- google feed: what a run that was stopped had refused is tried again
UPDATE google_feed_offers SET content_hash = NULL, offer_hash = NULL WHERE generation = %(run)s AND state = 'refused'
"""


class Superseded(Exception):
    """An application or a newer run has cancelled the run that this message belongs to."""


def alert(
    ctx: JobContext,
    session: Session,
    code: str,
    *,
    severity: Literal["error", "warning"],
    sync_id: UUID | None,
    counts: Mapping[str, int] | None = None,
) -> None:
    """Tell the people; one alert per code and day."""
    day = ctx.now().astimezone(UTC).date()
    context: dict[str, Any] = {"syncId": str(sync_id) if sync_id else None, "counts": dict(counts or {})}
    session.emit(
        AlertApiFailure(
            severity=severity,
            source="google_feed",
            service="google_merchant",
            error_code=code,
            title=TITLES[code],
            message=MESSAGES[code],
            dedupe_key=f"google-feed:{ctx.tenant.slug}:{code}:{day.isoformat()}",
            context={name: value for name, value in context.items() if value is not None},
        )
    )


def disconnect(ctx: JobContext, settings: FeedSettings, sync_id: UUID | None = None) -> None:
    """Google refuses the credentials: the feed is not connected any more, and somebody is told."""
    with ctx.tenant_session() as session:
        session.execute(DISCONNECT, {"id": settings.id, "error": UNAUTHORIZED})
        alert(ctx, session, UNAUTHORIZED, severity="error", sync_id=sync_id)


@contextmanager
def failing(ctx: JobContext, sync_id: UUID, settings: FeedSettings) -> Iterator[None]:
    """End the run as failed when this message does: nobody else comes back for it."""
    try:
        yield
    except (LeaseLost, RateLimited, Deferred, Superseded, DailyLimit):
        raise
    except Exception as error:
        if isinstance(error, Permanent) or ctx.last_attempt:
            _fail(ctx, sync_id, settings, error.code if isinstance(error, JobError) else "UNEXPECTED")
        raise


def _fail(ctx: JobContext, sync_id: UUID, settings: FeedSettings, code: str) -> None:
    with ctx.tenant_session() as session:
        history.end(session, sync_id, settings, "failed", now=ctx.now(), error=code)
        if code == MOSTLY_REFUSED:
            session.execute(FORGIVE, {"run": sync_id})
            figures = history.read(session, sync_id)
            counts = {"errors": figures.errors, "total": figures.total} if figures else {}
            alert(ctx, session, code, severity="error", sync_id=sync_id, counts=counts)
    if code == UNAUTHORIZED:
        disconnect(ctx, settings, sync_id)
