"""The mail service: every mail of every module goes through it.

The caller decides who gets which text when; the service decides whether it may be sent, makes it, sends it exactly once
and keeps the record. Callers never call Resend themselves.

    outcome = mail(ctx, "review_request", address, {"reviewUrl": url}, f"review:{id}:1", "review",
                   recipient_type="customer", recipient_id=customer_id, queue_ref=("review_email_queue", id))

Arguments. `to`: one address. `variables`: text, numbers, dates, Money, lists; see `values` and `rendering`.
`dedupe_key`: 1 to 256 printable ASCII characters without personal data; one key is one mail for all time. `category`: a
key of CATEGORIES. `mandatory`: passes the recipient's own switches, quiet hours and caps. `scheduled_for`: not before;
aware. `queue_ref`: (table, id) of the caller's own queue row, which then asks again at `retry_at`; without one the
service's worker sends what waits. `reply_to`: instead of the tenant's. `alerts=False`: raise no alarms (for the jobs
of alerts themselves).

Call it outside any session, after your commit. Outcomes (`Outcome.status`): sent, duplicate, queued, skipped,
not_configured. Raised, and written down before:

    Transient    RESEND_UNAVAILABLE, RESEND_TIMEOUT, RESEND_ANSWER_UNREADABLE   whether it was sent is not known; the
                 repetition carries the same key and the same bytes, so it is sent once all the same
                 RESEND_CONCURRENT      an earlier call is still at work
    Deferred     MAIL_IN_FLIGHT         another sender holds the mail, or died with it; no attempt is burnt
    RateLimited  RESEND_RATE_LIMITED
    Permanent    INVALID_RECIPIENT, INVALID_MESSAGE, IDEMPOTENCY_CONFLICT, TEMPLATE_NOT_FOUND, RENDER_MISSING_VARIABLE,
                 SEND_OUTCOME_UNKNOWN (tried 23 hours ago, outcome unknown: a mail too few is better than two),
                 MAIL_CATEGORY_UNKNOWN, MAIL_KEY_INVALID, and the code of a mail that has used up its five attempts

A job that sends declares `emits=(..., *mail.EMITS)`, one that records events `emits=(..., *mail.EVENT_EMITS)`.

    mail, resume, due                     send; send what waits (for the queue's worker)
    enqueue, enqueue_many, Letter         put mails to creators and applicants into creator_email_queue
    find_people                           address and name behind `<id>`, `application:<id>`, `draft:<id>`
    record_event                          Resend's delivery events
    suppress, is_suppressed               addresses that are not written to
    register_template, register_source, register_hook
                                          in shared/<subject>/mails.py: built-in texts; another place for tenants'
                                          templates; who hears of the events of a queue's mails
    find_template, check_required         whether a key has a template, and what it needs
    forget_content                        upkeep: the sealed content of mails that ended two days ago

No address, name, subject or body stands in a log, a result, an error or an alert; ids and template keys do.
"""

from shared.mail.alarms import EMITS
from shared.mail.categories import CATEGORIES, Category, priority_of
from shared.mail.events import EVENT_EMITS, Recorded, record_event
from shared.mail.ledger import BACKOFF_MINUTES, CLAIM_LEASE, MAX_ATTEMPTS, due, forget_content
from shared.mail.people import Person, find_people
from shared.mail.queue import Letter, Queued, enqueue, enqueue_many
from shared.mail.registry import QueueRef, Template, register_hook, register_source, register_template
from shared.mail.rendering import Texts, check_required
from shared.mail.sending import Outcome, RecipientType, mail, resume
from shared.mail.suppressions import is_suppressed, suppress
from shared.mail.templates import find_template
from shared.mail.values import Money, money_text

__all__ = [
    "BACKOFF_MINUTES",
    "CATEGORIES",
    "CLAIM_LEASE",
    "EMITS",
    "EVENT_EMITS",
    "MAX_ATTEMPTS",
    "Category",
    "Letter",
    "Money",
    "Outcome",
    "Person",
    "QueueRef",
    "Queued",
    "RecipientType",
    "Recorded",
    "Template",
    "Texts",
    "check_required",
    "due",
    "enqueue",
    "enqueue_many",
    "find_people",
    "find_template",
    "forget_content",
    "is_suppressed",
    "mail",
    "money_text",
    "priority_of",
    "record_event",
    "register_hook",
    "register_source",
    "register_template",
    "resume",
    "suppress",
]
