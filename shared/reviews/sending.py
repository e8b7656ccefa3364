"""From claimed rows to mails that are out. Used by the queue's worker and by the sending of a single mail.

    claim         rows that are due, or whose holder has died, become ours until the lease ends
    post          one mail, outside any session; what became of it is a value
    settle        write that down, if the row is still ours; log and event in the same transaction

The mail service keeps the record of mails and the bytes that were sent, so a row that is tried again after a lost
answer is one mail. Only what is still held by the run is written: a run that was taken for dead changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from shared.crypto import Keyring
from shared.events.alerts import AlertSystemError
from shared.events.reviews import ReviewEmailSent
from shared.jobs import Deferred, JobContext, Permanent, RateLimited, Session, Transient
from shared.mail import Outcome, mail
from shared.mail.ledger import keyring
from shared.reviews.link import link_base, review_url
from shared.reviews.queue import INCENTIVE, MAX_ATTEMPTS, SYSTEM, TABLE, QueuedMail, log, queued_mail
from shared.reviews.settings import ReviewSettings, review_settings

CATEGORY = "review"
CLAIM_LEASE = timedelta(minutes=10)
NOBODY, SOMETHING = "there", "your order"
"""What stands for a name and a product that are not known."""

CLAIM_DUE = """
-- reviews: take rows that are due, and those whose holder's lease is over
UPDATE review_email_queue q
SET status = 'processing', trigger_run_id = %(run)s, lease_expires_at = %(lease)s,
    attempts = COALESCE(q.attempts, 0) + 1, max_attempts = COALESCE(q.max_attempts, %(max_attempts)s),
    last_attempt_at = %(now)s
WHERE q.id IN (
    SELECT d.id FROM review_email_queue d
    WHERE (d.status = 'scheduled' AND d.scheduled_at <= %(now)s)
       OR (d.status = 'processing' AND d.lease_expires_at < %(now)s)
    ORDER BY d.scheduled_at, d.id LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED)
RETURNING q.*
"""

RENEW = """
-- reviews: hold on to rows whose mails have not gone yet
UPDATE review_email_queue SET lease_expires_at = %(lease)s
WHERE id = ANY(%(ids)s::text[]) AND trigger_run_id = %(run)s AND status = 'processing'
"""

SENT = """
-- reviews: a mail is out
UPDATE review_email_queue q
SET status = 'sent', resend_message_id = %(provider_id)s, mail_message_id = %(message_id)s,
    sent_at = COALESCE((SELECT m.sent_at FROM mail_messages m WHERE m.id = %(message_id)s), %(now)s),
    lease_expires_at = NULL, error_message = NULL, error_code = NULL
WHERE q.id = %(id)s AND q.trigger_run_id = %(run)s AND q.status = 'processing'
RETURNING q.id
"""

SKIP_HELD = """
-- reviews: rows that are not to be sent after all; the attempt is given back
UPDATE review_email_queue q
SET status = 'skipped', skip_reason = s.reason, skipped_at = %(now)s, skipped_by = %(by)s,
    attempts = q.attempts - 1, lease_expires_at = NULL
FROM unnest(%(ids)s::text[], %(reasons)s::text[]) AS s (id, reason)
WHERE q.id = s.id AND q.trigger_run_id = %(run)s AND q.status = 'processing'
RETURNING q.id
"""

GIVE_BACK = """
-- reviews: not now; the attempt is given back
UPDATE review_email_queue q
SET status = 'scheduled', scheduled_at = COALESCE(%(at)s, q.scheduled_at), attempts = q.attempts - 1,
    error_code = COALESCE(%(code)s, q.error_code), lease_expires_at = NULL
WHERE q.id = ANY(%(ids)s::text[]) AND q.trigger_run_id = %(run)s AND q.status = 'processing'
"""

FAILED = """
-- reviews: an attempt has failed; one that cannot succeed was the last
UPDATE review_email_queue q
SET status = 'failed', error_code = %(code)s, error_message = %(code)s, lease_expires_at = NULL,
    attempts = CASE WHEN %(permanent)s THEN GREATEST(q.attempts, q.max_attempts) ELSE q.attempts END
WHERE q.id = %(id)s AND q.trigger_run_id = %(run)s AND q.status = 'processing'
RETURNING q.attempts >= q.max_attempts AS dead
"""


@dataclass(frozen=True, slots=True)
class Desk:
    """What a run needs for every mail; read once."""

    settings: ReviewSettings
    base: str | None
    """What review links begin with."""
    keyring: Keyring = field(repr=False)


@dataclass(frozen=True, slots=True)
class Out:
    """Resend has the mail."""

    message_id: UUID | None
    provider_id: str | None


@dataclass(frozen=True, slots=True)
class Never:
    """Not to be sent."""

    reason: str


@dataclass(frozen=True, slots=True)
class Later:
    """Not before `at`. `all_of_them`: nor any other mail of the tenant; `limited`: the vendor's rate is why."""

    at: datetime
    code: str | None = None
    all_of_them: bool = False
    limited: bool = False


@dataclass(frozen=True, slots=True)
class Broken:
    """The attempt failed. `error` may be raised by who sends a single mail."""

    error: Transient | Permanent

    @property
    def permanent(self) -> bool:
        return isinstance(self.error, Permanent)


Verdict = Out | Never | Later | Broken


def open_desk(ctx: JobContext) -> Desk:
    """Settings, link and keys, by one short session."""
    with ctx.tenant_session(read_only=True) as session:
        return Desk(review_settings(session), link_base(session), keyring(ctx))


# -- holding rows ------------------------------------------------------------------------------------------------------


def claim_due(session: Session, ctx: JobContext, limit: int) -> list[QueuedMail]:
    """Take up to `limit` rows, in the order in which they are to go."""
    params = {
        "run": str(ctx.run_id),
        "now": ctx.now(),
        "lease": ctx.now() + CLAIM_LEASE,
        "limit": limit,
        "max_attempts": MAX_ATTEMPTS,
    }
    mails = [queued_mail(row) for row in session.all(CLAIM_DUE, params)]
    return sorted(mails, key=lambda each: (each.scheduled_at or ctx.now(), each.id))


def renew(session: Session, ctx: JobContext, mails: Iterable[QueuedMail]) -> None:
    """Hold the rows for another CLAIM_LEASE."""
    session.execute(
        RENEW, {"ids": [each.id for each in mails], "run": str(ctx.run_id), "lease": ctx.now() + CLAIM_LEASE}
    )


def give_back(
    session: Session, ctx: JobContext, mails: Iterable[QueuedMail], at: datetime | None = None, code: str | None = None
) -> None:
    """Let rows go unsent, until `at` or at their own time; no attempt is burnt."""
    ids = [each.id for each in mails]
    if ids:
        session.execute(GIVE_BACK, {"ids": ids, "run": str(ctx.run_id), "at": at, "code": code})


def skip_held(session: Session, ctx: JobContext, reasons: dict[str, str]) -> int:
    """End held rows unsent, each for its reason; how many ended."""
    if not reasons:
        return 0
    params: dict[str, Any] = {"ids": list(reasons), "reasons": list(reasons.values()), "by": SYSTEM}
    ended = [row["id"] for row in session.all(SKIP_HELD, {**params, "run": str(ctx.run_id), "now": ctx.now()})]
    log(session, "skipped", ended, now=ctx.now())
    return len(ended)


# -- one mail ----------------------------------------------------------------------------------------------------------


def post(ctx: JobContext, desk: Desk, queued: QueuedMail) -> Verdict:
    """Send one held row's mail; call it outside any session, after the claim is committed."""
    try:
        outcome = mail(
            ctx,
            queued.template_key,
            queued.email,
            variables_of(ctx, desk, queued),
            queued.dedupe_key,
            CATEGORY,
            recipient_type="customer",
            recipient_id=queued.row["customer_id"] or None,
            queue_ref=(TABLE, queued.id),
        )
    except RateLimited as error:
        at = ctx.now() + timedelta(seconds=error.after_s)
        return Later(at, error.code, all_of_them=True, limited=True)
    except Deferred as error:  # another sender holds the mail: nobody's failure
        return Later(error.at or ctx.now() + timedelta(seconds=error.after_s or 0), error.code)
    except (Permanent, Transient) as error:
        return Broken(error)
    return _verdict(ctx, outcome)


def _verdict(ctx: JobContext, outcome: Outcome) -> Verdict:
    if outcome.status == "sent" or (outcome.status == "duplicate" and outcome.provider_id is not None):
        return Out(UUID(outcome.message_id) if outcome.message_id else None, outcome.provider_id)
    if outcome.status in ("skipped", "duplicate"):
        return Never(outcome.reason or "skipped")
    at = outcome.retry_at or ctx.now() + timedelta(hours=1)
    # A reason is the account's (no key, quota used up) and holds for all; quiet hours and caps have none.
    return Later(at, outcome.reason, all_of_them=outcome.status == "not_configured" or outcome.reason is not None)


def variables_of(ctx: JobContext, desk: Desk, queued: QueuedMail) -> dict[str, Any]:
    """What the templates may show. The discount's code is told by its own mail only: it is earned by the review."""
    row = queued.row
    name = (row["customer_name"] or "").strip()
    product = row["product_title"] or SOMETHING
    products = queued.metadata.get("products")
    titles = [each.get("title") for each in products if isinstance(each, dict)] if isinstance(products, list) else []
    url = review_url(
        desk.keyring, desk.base, tenant=ctx.tenant.slug, order_id=queued.order_id, queue_id=queued.id, now=ctx.now()
    )
    made: dict[str, Any] = {
        "customerName": name or NOBODY,
        "customerFirstName": name.partition(" ")[0] or NOBODY,
        "productTitle": product,
        "productName": product,
        "productList": [title for title in titles if title] or [product],
        "orderNumber": row["order_number"],
        "reviewUrl": url,
        "reviewLink": url,
    }
    rewarded = queued.type == INCENTIVE
    if (rewarded or row["incentive_offered"] or row["force_incentive"]) and desk.settings.incentive is not None:
        made["incentiveText"] = desk.settings.incentive.text
    if rewarded:
        made["incentiveCode"] = row["incentive_code"]
    if queued.sequence_number > 1:
        made["reminderNumber"] = queued.sequence_number - 1
    return made


# -- what became of it -------------------------------------------------------------------------------------------------


def settle(session: Session, ctx: JobContext, queued: QueuedMail, verdict: Verdict) -> bool:
    """Write a verdict down; whether the row is dead now. A row that is no longer ours stays as it is."""
    held = {"id": queued.id, "run": str(ctx.run_id), "now": ctx.now()}
    match verdict:
        case Out(message_id, provider_id):
            if session.one(SENT, {**held, "message_id": message_id, "provider_id": provider_id}) is None:
                return False
            resent = queued.row["resend_count"]
            log(session, "resent" if resent else "sent", [queued.id], now=ctx.now())
            event = ReviewEmailSent(review_email_id=queued.id, message_id=provider_id)
            session.emit(event, key=f"review-sent:{queued.id}:{resent}:{queued.mail_number}")
        case Never(reason):
            skip_held(session, ctx, {queued.id: reason})
        case Later(at, code):
            give_back(session, ctx, [queued], at, code)
        case Broken(error):
            row = session.one(FAILED, {**held, "code": error.code, "permanent": verdict.permanent})
            log(session, "failed", [queued.id] if row else [], now=ctx.now())
            return bool(row and row["dead"])
    return False


def tell_dead(session: Session, ctx: JobContext, count: int) -> None:
    """Tell that mails were given up, once per UTC day."""
    if count == 0:
        return
    day = ctx.now().astimezone(UTC).date()
    alert = AlertSystemError(
        severity="warning",
        source="reviews",
        title="Review mails were given up",
        message=f"{count} review mails failed for good. The queue of review mails shows why.",
        dedupe_key=f"review-mails-dead:{ctx.tenant.slug}:{day}",
        context={"count": count},
    )
    session.emit(alert, key=f"review-mails-dead:{day}")
