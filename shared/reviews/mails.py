"""The built-in texts of review mails, where tenants keep their own, and the log of what became of mails.

A tenant's text is looked for at three places: review_email_templates of the type (or the one that the row names), the
common email_templates under the names that the admin app gives them, and, by the mail service, everywhere else.
"""

from __future__ import annotations

from datetime import datetime

from shared.jobs.context import Row, Session
from shared.mail import QueueRef, Template, Texts, register_hook, register_source, register_template
from shared.mail.mails import letter, link, maybe
from shared.mail.registry import Disabled, built_in
from shared.reviews.queue import TABLE
from shared.reviews.settings import offers_reward

CATEGORY = "review"
LOGGED = ("delivered", "opened", "clicked", "bounced")
"""Delivery events that stand in review_email_logs."""

WITH_REWARD = "review_request_incentive"
COMMON_NAMES = {
    "review_request": (WITH_REWARD, "review_request"),
    "review_reminder_1": ("review_reminder",),
    "review_reminder_2": ("review_reminder",),
    "review_thank_you": ("review_thank_you",),
}
"""Names in email_templates, the first that is there; the first of a request only where a reward is offered."""

OWN_TEMPLATE = """
-- reviews: the tenant's template of a type, or the one that the queue's row names
SELECT t.subject, t.body_html AS html, t.body_text AS text,
       t.is_enabled OR COALESCE(q.metadata -> 'forced' = 'true', false) AS usable
FROM review_email_templates t
LEFT JOIN review_email_queue q ON q.id = %(queue_id)s
WHERE t.type = %(type)s OR t.id = q.metadata ->> 'templateId'
ORDER BY (t.id = q.metadata ->> 'templateId') DESC NULLS LAST, t.created_at DESC, t.id DESC
LIMIT 1
"""

COMMON_TEMPLATE = """
-- reviews: the tenant's template among the common ones
SELECT t.subject, t.body_html AS html, t.body_text AS text,
       COALESCE(t.is_active, true) OR COALESCE(q.metadata -> 'forced' = 'true', false) AS usable,
       t.sender_email, t.sender_address_id, t.sender_name, t.reply_to_email
FROM unnest(%(names)s::text[]) WITH ORDINALITY AS n (name, place)
JOIN email_templates t ON t.template_key = n.name
LEFT JOIN review_email_queue q ON q.id = %(queue_id)s
WHERE n.name <> 'review_request_incentive' OR q.incentive_offered OR q.force_incentive
ORDER BY n.place, (t.notification_type = n.name) DESC, t.is_default DESC NULLS LAST, t.version DESC NULLS LAST, t.id
LIMIT 1
"""

ADD_DELIVERY = """
-- reviews: what became of a mail that is out
INSERT INTO review_email_logs (id, queue_id, event_type, event_data, created_at)
SELECT 'rel_' || %(event)s::text || '_' || q.id || '_' || COALESCE(q.attempts, 0), q.id, %(event)s,
       jsonb_build_object('sequenceNumber', q.sequence_number), %(at)s
FROM review_email_queue q WHERE q.id = %(queue_id)s
ON CONFLICT (id) DO NOTHING
"""

_GREETING = "<p>Hi {{customerFirstName}},</p>"
_REWARD = maybe("incentiveText", "As a thank-you for your review you get {{incentiveText}} your next order.")
_ASKED = ("customerName", "customerFirstName", "productTitle", "productName", "productList", "orderNumber")
_REQUEST_VARS = (*_ASKED, "reviewUrl*", "reviewLink", "incentiveText", "reminderNumber")
_ANSWER_VARS = ("customerName", "customerFirstName", "productTitle", "productName")


def _request(key: str, subject: str, *paragraphs: str) -> None:
    html = letter(*paragraphs, link("reviewUrl", "Write a review"), _REWARD, greeting=_GREETING)
    register_template(key, CATEGORY, _REQUEST_VARS, Texts(subject, html))


def _answer(key: str, subject: str, *paragraphs: str, required: tuple[str, ...] = ()) -> None:
    html = letter(*paragraphs, greeting=_GREETING)
    register_template(key, CATEGORY, (*_ANSWER_VARS, *required), Texts(subject, html))


_request(
    "review_request",
    "How do you like {{productTitle}}?",
    "Your order {{orderNumber}} should have arrived. How do you like {{productTitle}}?",
    "A few words help other customers, and us.",
)
_request(
    "review_reminder_1",
    "Your opinion of {{productTitle}}",
    "You have had some time with {{productTitle}} now. Would you tell us how you like it?",
)
_request(
    "review_reminder_2",
    "Last question about {{productTitle}}",
    "This is our last reminder: we would still like to hear how you like {{productTitle}}.",
)
_request(
    "review_photo_request",
    "Would you show us {{productTitle}}?",
    "A photo says more than words. Would you add one of {{productTitle}} to a review?",
)
_answer(
    "review_thank_you",
    "Thank you for your review",
    "Thank you for your review of {{productTitle}}. It is published now and helps other customers.",
)
_answer(
    "review_incentive",
    "Your thank-you: {{incentiveText}}",
    "Thank you for your review of {{productTitle}}.",
    "With the code <strong>{{incentiveCode}}</strong> you get {{incentiveText}} your next order.",
    maybe("incentiveExpiresOn", "It works once, until {{incentiveExpiresOn}}."),
    required=("incentiveCode*", "incentiveText*", "incentiveExpiresOn"),
)
_answer(
    "review_approved",
    "Your review is published",
    "Your review of {{productTitle}} is published now. Thank you for taking the time.",
)
_answer(
    "review_rejected",
    "About your review",
    "Thank you for your review of {{productTitle}}. We cannot publish it as it is, because it does not fit our"
    " guidelines for reviews. You are welcome to write it anew.",
)

KEYS = (
    "review_request",
    "review_reminder_1",
    "review_reminder_2",
    "review_photo_request",
    "review_thank_you",
    "review_incentive",
    "review_approved",
    "review_rejected",
)


def tenants_template(session: Session, key: str, queue_ref: QueueRef | None) -> Template | Disabled | None:
    """The tenant's own text of a review mail; that it is switched off; None: the mail service looks on."""
    queue_id = queue_ref[1] if queue_ref is not None and queue_ref[0] == TABLE else None
    own = session.one(OWN_TEMPLATE, {"type": key.removeprefix("review_"), "queue_id": queue_id})
    if own is None and key in COMMON_NAMES:
        names = [name for name in COMMON_NAMES[key] if name != WITH_REWARD or offers_reward(session)]
        own = session.one(COMMON_TEMPLATE, {"names": names, "queue_id": queue_id})
    return None if own is None else _template(key, own)


def _template(key: str, row: Row) -> Template | Disabled:
    if not row["usable"]:
        return "template_disabled"
    default = built_in(key)
    return Template(
        key,
        Texts(row["subject"], row["html"], row["text"]),
        required=default.required if default else frozenset(),
        category=CATEGORY,
        from_address=row.get("sender_email"),
        sender_id=str(row["sender_address_id"]) if row.get("sender_address_id") else None,
        sender_name=row.get("sender_name"),
        reply_to=row.get("reply_to_email"),
    )


def note_delivery(session: Session, queue_id: str, event: str, at: datetime) -> None:
    """Note in review_email_logs what Resend tells of a mail that is out."""
    if event in LOGGED:
        session.execute(ADD_DELIVERY, {"queue_id": queue_id, "event": event, "at": at})


register_source(KEYS, tenants_template)
register_hook(TABLE, note_delivery)
