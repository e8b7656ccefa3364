"""A step of the application funnel: counted here, and told to Meta and GA4 where that is set up and allowed.

Meta drops a repeated event by its id; GA4 does not, so its row says `sending` before the call, and what is found in
that state is not sent again.
"""

from __future__ import annotations

from typing import Literal

from psycopg.types.json import Jsonb

from shared.applications import conversions
from shared.applications.resolve import lock_application
from shared.events.alerts import AlertApiFailure
from shared.events.applications import CreatorApplicationTrack
from shared.events.base import Payload
from shared.integrations import ga4_collect, meta_conversions
from shared.integrations.credentials import decrypt
from shared.integrations.http import surely_not_sent
from shared.jobs import JobContext, Permanent, RateLimited, Retry, Session, Transient, job
from shared.jobs.context import Row
from shared.jobs.queues import CREATOR_APPLICATIONS

APP_SECRET = "META_APP_SECRET"
"""Platform secret: proves to Meta that a call is the app's own. Where it is absent no proof is sent."""
Platform = Literal["meta", "ga4"]

CREATOR = "SELECT id, onboarding_completed_at FROM creators WHERE id = %(id)s"


class TrackResult(Payload):
    """`platforms`: where the step counts by now."""

    tracked: bool
    platforms: list[str]


@job(
    "creator-track-application-analytics",
    on=CreatorApplicationTrack,
    queue=CREATOR_APPLICATIONS,
    emits=(AlertApiFailure,),
    retry=Retry(attempts=3, factor=2, min_s=5, max_s=60),
    timeout_s=30,
    key=lambda p, m: f"{p.application_id}:{p.event}",
)
def track_application_analytics(ctx: JobContext, payload: CreatorApplicationTrack) -> TrackResult:
    """Counts a step of the funnel and passes it on to Meta and GA4.

    Raises Permanent APPLICATION_NOT_FOUND; RateLimited META_THROTTLED, Transient META_UNAVAILABLE after both
    platforms were tried.
    """
    with ctx.tenant_session() as session:
        application = lock_application(session, payload.application_id)
        row = _count(ctx, session, payload, application)
        accounts = session.one(conversions.ACCOUNTS) or {}
        refused = conversions.refused(session, application["email"])
        _skip(ctx, session, row, accounts, refused)
        row = _again(session, row)
    trouble = [
        error
        for error in (_to_meta(ctx, row, application, accounts), _to_ga4(ctx, row, application, accounts))
        if error is not None
    ]
    if trouble:
        raise trouble[0]
    with ctx.tenant_session(read_only=True) as session:
        row = _again(session, row)
    sent = [platform for platform in ("meta", "ga4") if row[f"{platform}_status"] == "sent"]
    return TrackResult(tracked=True, platforms=["internal", *sent])


AGAIN = "SELECT * FROM creator_application_events WHERE application_id = %(application_id)s AND event = %(event)s"


def _again(session: Session, row: Row) -> Row:
    found = session.one(AGAIN, {"application_id": row["application_id"], "event": row["event"]})
    assert found is not None
    return found


def _count(ctx: JobContext, session: Session, payload: CreatorApplicationTrack, application: Row) -> Row:
    creator = session.one(CREATOR, {"id": application["creator_id"] or payload.creator_id})
    params = {
        "application": application["id"],
        "creator": creator["id"] if creator else None,
        "event": payload.event,
        "occurred_at": conversions.occurred_at(payload.event, application, creator, ctx.now()),
        "source": application["source"],
        "utm": Jsonb(conversions.utm_of(application)),
        "now": ctx.now(),
    }
    row = session.one(conversions.UPSERT, params)
    assert row is not None
    return row


def _mark(session: Session, row: Row, platform: Platform, status: str, detail: str | None = None) -> None:
    params = {
        "application": row["application_id"],
        "event": row["event"],
        "platform": platform,
        "status": status,
        "detail": detail,
    }
    session.execute(conversions.MARK, params)


def _skip(ctx: JobContext, session: Session, row: Row, accounts: Row, refused: frozenset[str]) -> None:
    """What is not told, and why."""
    event = row["event"]
    too_old = ctx.now() - row["occurred_at"] > meta_conversions.MAX_EVENT_AGE
    reasons = {
        "meta": "not_sent"
        if event not in conversions.META_NAMES
        else "no_consent"
        if "meta" in refused
        else "not_configured"
        if not (accounts.get("fb_pixel_id") and accounts.get("access_token_encrypted"))
        else "too_old"
        if too_old
        else None,
        "ga4": "not_sent"
        if event not in conversions.GA4_NAMES
        else "no_consent"
        if "ga4" in refused
        else "not_configured"
        if not (accounts.get("ga4_measurement_id") and _ga4_secret(accounts))
        else None,
    }
    for platform in ("meta", "ga4"):
        reason = reasons[platform]
        if reason is not None and row[f"{platform}_status"] == "pending":
            _mark(session, row, platform, "skipped", reason)


def _ga4_secret(accounts: Row) -> str | None:
    """The column that holds it, whichever the app filled."""
    return accounts.get("api_secret_encrypted") or accounts.get("api_key_encrypted")


def _to_meta(ctx: JobContext, row: Row, application: Row, accounts: Row) -> Transient | RateLimited | None:
    """Tell Meta; a failure that passes is returned, so that GA4 is tried all the same."""
    if row["meta_status"] != "pending":
        return None
    try:
        meta_conversions.send_event(
            ctx,
            pixel_id=accounts["fb_pixel_id"],
            access_token=decrypt(ctx, accounts["access_token_encrypted"]),
            app_secret=_app_secret(ctx),
            event=conversions.meta_event(row["event"], application, row["occurred_at"]),
        )
    except (Transient, RateLimited) as error:
        return error
    except Permanent as error:
        with ctx.tenant_session() as session:
            _mark(session, row, "meta", "failed", error.code)
            if error.code == "META_TOKEN_INVALID":
                _token_refused(ctx, session)
        return None
    with ctx.tenant_session() as session:
        _mark(session, row, "meta", "sent")
    return None


def _app_secret(ctx: JobContext) -> str | None:
    try:
        return ctx.secret(APP_SECRET)
    except Permanent:
        return None


def _token_refused(ctx: JobContext, session: Session) -> None:
    key = f"meta:META_TOKEN_INVALID:{ctx.now():%Y-%m-%d}"
    alert = AlertApiFailure(
        severity="warning",
        source="creators",
        service="meta",
        title="Meta refuses the access token",
        message="Steps of the application funnel do not reach Meta. Connect the ad account again in the admin app.",
        dedupe_key=key,
        context={"code": "META_TOKEN_INVALID"},
    )
    session.emit(alert, key=key)


def _to_ga4(ctx: JobContext, row: Row, application: Row, accounts: Row) -> Transient | RateLimited | None:
    """Tell GA4, at most once: an attempt whose outcome is not known is not repeated."""
    if row["ga4_status"] != "pending":
        return None
    secret = _ga4_secret(accounts)
    assert secret is not None
    with ctx.tenant_session() as session:
        _mark(session, row, "ga4", "sending")
    try:
        ga4_collect.send_event(
            ctx,
            measurement_id=accounts["ga4_measurement_id"],
            api_secret=decrypt(ctx, secret),
            client=ga4_collect.client_id(str(application["id"]), application["created_at"]),
            name=conversions.GA4_NAMES[row["event"]],
            params=conversions.ga4_params(application),
            occurred_at=row["occurred_at"],
        )
    except (Transient, RateLimited) as error:
        certain = surely_not_sent(error) or isinstance(error, RateLimited)
        with ctx.tenant_session() as session:
            _mark(session, row, "ga4", "pending" if certain else "sending", error.code)
        return error if certain else None
    except Permanent as error:
        with ctx.tenant_session() as session:
            _mark(session, row, "ga4", "failed", error.code)
        return None
    with ctx.tenant_session() as session:
        _mark(session, row, "ga4", "sent")
    return None
