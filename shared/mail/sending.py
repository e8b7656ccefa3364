"""Sends one mail, once: intent, checks, content and lease in one short transaction, the call, the result in another.

What the caller learns: an Outcome, or the kernel's Transient and RateLimited, so that its own retry policy rules, or
Permanent. Whatever happens, the ledger knows it first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from shared.integrations import resend
from shared.integrations.credentials import decrypt
from shared.integrations.http import surely_not_sent
from shared.jobs.context import JobContext, Row, Session
from shared.jobs.errors import Deferred, JobError, Permanent, RateLimited, Transient
from shared.mail import alarms, ledger
from shared.mail.addresses import hash_address, is_address
from shared.mail.categories import category, priority_of
from shared.mail.composing import Finished, NotConfigured, draft_of, finish, judge, reuse
from shared.mail.gates import Hold, Skip
from shared.mail.ledger import Content, Order
from shared.mail.people import address_of
from shared.mail.registry import QueueRef
from shared.mail.senders import CONFIG_FAILED
from shared.time import tenant_zone

RETRY_CONFIGURATION = timedelta(minutes=60)
"""Until a tenant whose account cannot be used is tried again."""
WAIT_S = 5.0
"""Longest wait for the rate inside a run; beyond it the run comes back."""
MAX_CALLS = 3
"""Calls for one mail in one run, when Resend asks for short waits."""
QUOTA_RESUMES = {"day": timedelta(minutes=5), "month": timedelta(hours=6)}
"""After an exhausted quota: past the next UTC midnight, from now."""
SYSTEM = "system"
"""The platform itself has no schema and so no mails of its own."""

RecipientType = Literal["creator", "applicant", "customer", "contractor", "team", "other"]
RECIPIENT_TYPES = frozenset(("creator", "applicant", "customer", "contractor", "team", "other"))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a mail.

    sent             Resend has it: `provider_id`
    duplicate        it was sent before (`provider_id`) or skipped before (`reason`)
    queued           it waits until `retry_at`; a mail without queue_ref is then sent by the worker, a mail with one
                     when its queue asks again
    skipped          never to be sent: `reason`
    not_configured   the tenant cannot send at present: `reason`; it is tried again from `retry_at` on

    `message_id`: mail_messages.id.
    """

    status: Literal["sent", "duplicate", "queued", "skipped", "not_configured"]
    message_id: str | None = None
    provider_id: str | None = None
    reason: str | None = None
    retry_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class _Taken:
    """A mail whose lease is ours."""

    id: UUID
    content: Content
    sealed_key: str = field(repr=False)


def mail(
    ctx: JobContext,
    template_key: str,
    to: str,
    variables: Mapping[str, Any],
    dedupe_key: str,
    category: str,
    *,
    recipient_type: RecipientType = "other",
    recipient_id: str | None = None,
    mandatory: bool = False,
    scheduled_for: datetime | None = None,
    queue_ref: QueueRef | None = None,
    reply_to: str | None = None,
    priority: int | None = None,
    alerts: bool = True,
) -> Outcome:
    """Send a mail, once per `dedupe_key` for all time; call it outside any session, after your commit.

    See the package for arguments, outcomes and errors.
    """
    if ctx.tenant.slug == SYSTEM:
        return Outcome("not_configured", reason="no_tenant")
    order = _order(
        template_key,
        to,
        variables,
        dedupe_key,
        category,
        mandatory=mandatory,
        priority=priority,
        recipient_type=recipient_type,
        recipient_id=recipient_id,
        queue_ref=queue_ref,
        reply_to=reply_to,
    )
    if scheduled_for is not None and scheduled_for.tzinfo is None:
        raise ValueError("scheduled_for must carry a time zone")
    with ctx.tenant_session() as session:
        row = ledger.open_row(session, order, hash_address(order.to), ctx.now())
        step = _prepare(ctx, session, row, order, scheduled_for, alerts)
    return _go_on(ctx, order, step, alerts)


def resume(ctx: JobContext, message_id: UUID, *, alerts: bool = True) -> Outcome:
    """Send a mail that waits in the ledger (see `due`), from its sealed content. As `mail` otherwise.

    The address of a creator or applicant is looked up again: a changed one is used, a person who is gone gets nothing.
    """
    with ctx.tenant_session() as session:
        row = session.one(ledger.BY_ID, {"id": message_id})
        content = ledger.unseal(ctx, row) if row is not None else None
        if row is None or content is None:
            return Outcome("skipped", str(message_id), reason="content_gone")
        order = _resumed(row, content)
        person = address_of(session, row["recipient_type"], row["recipient_id"])
        if person == "gone" and row["status"] in ("queued", "failed"):
            ledger.mark_skipped(session, row["id"], "recipient_gone", ctx.now())
            return Outcome("skipped", str(message_id), reason="recipient_gone")
        if person not in ("gone", "not_ours"):
            order = replace(order, to=person)
        step = _prepare(ctx, session, row, order, None, alerts)
    return _go_on(ctx, order, step, alerts)


def _order(template_key: str, to: str, variables: Mapping[str, Any], dedupe_key: str, name: str, **more: Any) -> Order:
    """The order with its defaults. Permanent MAIL_CATEGORY_UNKNOWN, MAIL_KEY_INVALID."""
    known = category(name)
    if more["recipient_type"] not in RECIPIENT_TYPES:
        raise ValueError(f"recipient_type {more['recipient_type']!r} is none of {sorted(RECIPIENT_TYPES)}")
    priority = more["priority"] if more["priority"] is not None else priority_of(template_key, name)
    return Order(
        template_key=template_key,
        to=to.strip(),
        variables=variables,
        dedupe_key=ledger.checked_key(dedupe_key),
        category=name,
        mandatory=more["mandatory"] or known.mandatory,
        priority=priority,
        recipient_type=more["recipient_type"],
        recipient_id=more["recipient_id"],
        queue_ref=more["queue_ref"],
        reply_to=more["reply_to"],
    )


def _resumed(row: Row, content: Content) -> Order:
    """The order of a row that waits, from what is sealed in it."""
    return Order(
        template_key=row["template_key"],
        to=content.draft["to"],
        variables=content.draft["variables"],
        dedupe_key=row["dedupe_key"],
        category=row["category"],
        mandatory=row["mandatory"],
        priority=row["priority"],
        recipient_type=row["recipient_type"],
        recipient_id=row["recipient_id"],
        queue_ref=(row["queue_table"], row["queue_id"]) if row["queue_table"] else None,
        reply_to=content.draft["replyTo"],
    )


# -- before the call: one transaction --------------------------------------------------------------------------------

_Step = Outcome | JobError | _Taken


def _prepare(
    ctx: JobContext, session: Session, row: Row, order: Order, scheduled_for: datetime | None, alerts: bool
) -> _Step:
    """Judge, make and take the mail. Errors are values: what the ledger says about them must be committed."""
    now = ctx.now()
    admitted = ledger.admit(session, row, now)
    if admitted is None:
        return Outcome("duplicate", str(row["id"]), row["provider_message_id"], row["skip_reason"])
    if isinstance(admitted, JobError):
        if admitted.code == ledger.SEND_OUTCOME_UNKNOWN and row["status"] != "dead":
            _give_up(session, order, row["id"], admitted, now, alerts)
        return admitted
    try:
        return _made(ctx, session, admitted, order, scheduled_for, alerts)
    except Permanent as error:
        _give_up(session, order, row["id"], error, now, alerts)
        return error


def _made(
    ctx: JobContext, session: Session, row: Row, order: Order, scheduled_for: datetime | None, alerts: bool
) -> _Step:
    now = ctx.now()
    finished = ledger.unseal(ctx, row) if row["content_hash"] is not None else None
    if finished is not None:
        # It may be out already: whatever the caller says now, the same bytes go to the same address.
        order = replace(order, to=finished.draft["to"])
    if not is_address(order.to):
        raise Permanent("INVALID_RECIPIENT", "not a mail address")
    zone = tenant_zone(session)
    waiting = finished or Content(draft_of(order, zone))
    if scheduled_for is not None and scheduled_for > now:
        return _held(ctx, session, row, order, waiting, scheduled_for)
    passed = judge(session, order, zone=zone, now=now)
    if isinstance(passed, Hold):
        return _held(ctx, session, row, order, waiting, passed.until)
    if isinstance(passed, Skip):
        return _skipped(session, row, passed.reason, now)
    if finished is not None and finished.body is not None:
        made: Finished | Skip | NotConfigured = reuse(session, ctx.tenant.slug, finished.body)
    else:
        made = finish(ctx, session, order, str(row["id"]), passed, zone)
    if isinstance(made, Skip):
        return _skipped(session, row, made.reason, now)
    if isinstance(made, NotConfigured):
        return _unconfigured(ctx, session, row, order, waiting, made.code, alerts)
    ready = finished or Content(waiting.draft, _vendor_key(ctx, order, row), made.body)
    if not ledger.take(session, ctx, row, ready, hash_address(order.to)):
        return Deferred("MAIL_IN_FLIGHT", "another sender holds this mail", after_s=60)
    return _Taken(row["id"], ready, made.sealed_key)


def _held(ctx: JobContext, session: Session, row: Row, order: Order, content: Content, until: datetime) -> Outcome:
    ledger.hold(session, ctx, row, content, hash_address(order.to), until, None)
    return Outcome("queued", str(row["id"]), retry_at=until.astimezone(UTC))


def _skipped(session: Session, row: Row, reason: str, now: datetime) -> Outcome:
    ledger.mark_skipped(session, row["id"], reason, now)
    return Outcome("skipped", str(row["id"]), reason=reason)


def _unconfigured(
    ctx: JobContext, session: Session, row: Row, order: Order, content: Content, code: str, alerts: bool
) -> Outcome:
    until = ctx.now() + RETRY_CONFIGURATION
    _account_refused(ctx, session, code, alerts)
    ledger.hold(session, ctx, row, content, hash_address(order.to), until, code)
    return Outcome("not_configured", str(row["id"]), reason=code, retry_at=until)


def _account_refused(ctx: JobContext, session: Session, code: str, alerts: bool) -> None:
    """Note why the account is of no use, and tell it once a day."""
    session.execute(CONFIG_FAILED, {"code": code, "slug": ctx.tenant.slug})
    if alerts:
        alarms.account_refused(session, code, ctx.now())


def _give_up(session: Session, order: Order, id: UUID, error: JobError, now: datetime, alerts: bool) -> None:
    """The mail cannot be made, or must not be tried again."""
    ledger.mark_failed(session, id, error.code, now, permanent=True, owner=None)
    if alerts:
        alarms.mail_dead(session, order.template_key, order.category, error.code, now)


def _vendor_key(ctx: JobContext, order: Order, row: Row) -> str:
    """Resend's idempotency key; a mail that is made anew after attempts is another mail for Resend."""
    suffix = f":r{row['attempts']}" if row["attempts"] else ""
    return ledger.short_key(f"{ctx.tenant.slug}:{order.dedupe_key}{suffix}")


# -- the call, and what it means -------------------------------------------------------------------------------------


def _go_on(ctx: JobContext, order: Order, step: _Step, alerts: bool) -> Outcome:
    if isinstance(step, JobError):
        raise step
    if isinstance(step, Outcome):
        return step
    try:
        api_key = decrypt(ctx, step.sealed_key)
    except Permanent:
        return _refuse_account(ctx, step, "credential_unreadable", alerts)
    try:
        answer = _call(ctx, step, api_key)
    except RateLimited as error:
        with ctx.tenant_session() as session:
            ledger.release(session, ctx, step.id, ctx.now() + timedelta(seconds=error.after_s), error.code)
        raise
    except Transient as error:
        code = ledger.NOT_REACHED if surely_not_sent(error) else error.code
        raise _failed(ctx, order, step, error, code, alerts) from None
    except Permanent as error:
        raise _failed(ctx, order, step, error, error.code, alerts) from None
    return _settle(ctx, order, step, answer, alerts)


def _call(ctx: JobContext, mail: _Taken, api_key: str) -> resend.Answer:
    """Resend's answer; waits for the rate, shortly, and raises RateLimited where a short wait is not enough."""
    body, key = mail.content.body, mail.content.key
    if body is None or key is None:
        raise TypeError("a mail is taken with its finished content")
    after_s = 0.0
    for _ in range(MAX_CALLS):
        ctx.limit(resend.pace(ctx.tenant.slug), wait_s=WAIT_S)
        answer = resend.send(ctx, api_key, body.encode(), key)
        if not isinstance(answer, resend.Busy) or not answer.rate:
            return answer
        after_s = answer.after_s
        ctx.limit_hit(resend.pace(ctx.tenant.slug), after_s)
        if after_s > min(WAIT_S, ctx.remaining_s() - resend.TIMEOUT_S):
            break
    raise RateLimited(after_s, "RESEND_RATE_LIMITED", "Resend said when to come back")


def _settle(ctx: JobContext, order: Order, mail: _Taken, answer: resend.Answer, alerts: bool) -> Outcome:
    match answer:
        case resend.Sent(id):
            with ctx.tenant_session() as session:
                if not ledger.mark_sent(session, ctx, mail.id, id):
                    ctx.log.warning("mail %s: the lease was lost while it was sent", mail.id)
            return Outcome("sent", str(mail.id), id)
        case resend.Unconfigured(code):
            return _refuse_account(ctx, mail, code, alerts)
        case resend.Exhausted(period):
            return _exhausted(ctx, mail, period, alerts)
        case resend.Busy(after_s):
            busy = Transient("RESEND_CONCURRENT", "an earlier call for this mail is still at work", after_s=after_s)
            raise _failed(ctx, order, mail, busy, busy.code, alerts)
        case resend.Refused(code, word):
            refused = Permanent(code, f"Resend: {word}")
            raise _failed(ctx, order, mail, refused, code, alerts)


def _refuse_account(ctx: JobContext, mail: _Taken, code: str, alerts: bool) -> Outcome:
    """The key, or the sender's domain, is not accepted: nothing is burnt, the mail waits."""
    until = ctx.now() + RETRY_CONFIGURATION
    with ctx.tenant_session() as session:
        _account_refused(ctx, session, code, alerts)
        ledger.release(session, ctx, mail.id, until, code)
    return Outcome("not_configured", str(mail.id), reason=code, retry_at=until)


def _exhausted(ctx: JobContext, mail: _Taken, period: Literal["day", "month"], alerts: bool) -> Outcome:
    now = ctx.now().astimezone(UTC)
    midnight = datetime(now.year, now.month, now.day, tzinfo=UTC) + timedelta(days=1)
    until = (midnight if period == "day" else now) + QUOTA_RESUMES[period]
    code = "daily_quota_exceeded" if period == "day" else "monthly_quota_exceeded"
    with ctx.tenant_session() as session:
        if alerts:
            alarms.account_refused(session, code, now)
        ledger.release(session, ctx, mail.id, until, code)
    return Outcome("queued", str(mail.id), reason=code, retry_at=until)


def _failed(ctx: JobContext, order: Order, mail: _Taken, error: JobError, code: str, alerts: bool) -> JobError:
    """Write the failure down; the error to raise: the mail's last attempt makes it permanent."""
    now = ctx.now()
    with ctx.tenant_session() as session:
        permanent = isinstance(error, Permanent)
        status = ledger.mark_failed(session, mail.id, code, now, permanent=permanent, owner=str(ctx.run_id))
        if status == "dead" and alerts:
            alarms.mail_dead(session, order.template_key, order.category, code, now)
    if status == "dead" and not permanent:
        return Permanent(error.code, "given up after the last attempt")
    return error
