"""Somebody decided about a review: the reviewer is told, gets the promised reward, and is asked no more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from functions.commerce.reviews.common import RETRY, mail_rate_limited
from shared.events.alerts import AlertApiFailure
from shared.events.base import Payload
from shared.events.integrations import KlaviyoSync
from shared.events.reviews import ReviewModerated
from shared.ids import find_order
from shared.integrations.shopify import Shopify
from shared.jobs import JobContext, Permanent, RateLimited, Session, job
from shared.jobs.context import Row
from shared.jobs.queues import REVIEW_EMAIL
from shared.mail import EMITS, Template, find_template, mail
from shared.mail.addresses import is_address
from shared.mail.ledger import keyring
from shared.mail.registry import built_in
from shared.reviews.incentives import has_other_code, incentive_code, is_earned
from shared.reviews.queue import log, skip_open
from shared.reviews.sending import CATEGORY, NOBODY, SOMETHING
from shared.reviews.settings import Incentive, ReviewSettings, incentive_of, review_settings
from shared.reviews.shop import Discount, DiscountRefused, create_discount

THANKS = "review_thank_you"
STATUS = {"approve": "approved", "reject": "rejected", "spam": "spam"}
NO_ACCESS = frozenset(
    (
        "SHOPIFY_NOT_CONNECTED",
        "SHOPIFY_UNAUTHORIZED",
        "SHOPIFY_SCOPE_MISSING",
        "SHOPIFY_SHOP_FROZEN",
        "SHOPIFY_SHOP_GONE",
        "CREDENTIAL_UNREADABLE",
    )
)
"""Why no discount can be made in the shop at present."""


class ReviewModeratedResult(Payload):
    """`skippedRows`: open mails of the order that ended with the review."""

    review_id: str
    action: Literal["approve", "reject", "spam"]
    outcome: Literal["notified", "rewarded", "spam", "imported", "no_address", "superseded", "notifications_off"]
    skipped_rows: int = 0


# The queue holds legacy ids of products, reviews hold either kind.
REVIEW = """
-- reviews: a review, its product's name, its photos, and the code it has
SELECT r.id, r.product_id, r.order_id, r.author_name, r.author_email, r.is_verified_purchase, r.rating, r.body,
       r.status::text AS status, r.imported_from, p.title AS product_title,
       (SELECT count(*) FROM review_media m WHERE m.review_id = r.id)::int AS photos,
       ARRAY[r.product_id, p.id, p.shopify_product_id] AS products,
       c.code, c.expires_at, c.shopify_discount_id, c.discount_type AS incentive_discount_type,
       c.discount_value AS incentive_discount_value,
       EXISTS (SELECT FROM klaviyo_connections k WHERE k.is_active) AS klaviyo
FROM reviews r
LEFT JOIN LATERAL (SELECT * FROM products x WHERE x.id = r.product_id OR x.shopify_product_id = r.product_id
                   ORDER BY (x.id = r.product_id) DESC LIMIT 1) p ON true
LEFT JOIN review_incentive_codes c ON c.review_id = r.id
WHERE r.id = %(id)s
"""

SKIP_SAME_PRODUCT = """
-- reviews: end the open mails that ask the reviewer about the same product
UPDATE review_email_queue
SET status = 'skipped', skip_reason = 'review_submitted', skipped_at = %(now)s, skipped_by = 'system',
    lease_expires_at = NULL
WHERE lower(customer_email) = lower(%(email)s) AND product_id = ANY(%(products)s::text[])
  AND (status IN ('pending', 'awaiting_delivery', 'scheduled') OR (status = 'failed' AND attempts < max_attempts))
RETURNING id
"""

ADD_CODE = """
-- reviews: the code of a review
INSERT INTO review_incentive_codes (code, review_id, order_id, customer_email, discount_type, discount_value, status,
                                    expires_at, shopify_discount_id, created_at)
VALUES (%(code)s, %(review_id)s, %(order_id)s, %(email)s, %(type)s, %(value)s, 'active', %(expires_at)s,
        %(discount_id)s, %(now)s)
ON CONFLICT (code) DO NOTHING
"""

NOTE_CODE = """
-- reviews: the code at the mails of its order
UPDATE review_email_queue SET incentive_code = %(code)s WHERE order_id = %(order_id)s
"""


@dataclass(frozen=True, slots=True)
class Reward:
    """A code that a review has earned, and what it is worth."""

    code: str = field(repr=False)
    text: str
    expires_at: datetime | None


@job(
    "commerce-handle-review-moderated",
    on=ReviewModerated,
    queue=REVIEW_EMAIL,
    emits=tuple(dict.fromkeys((KlaviyoSync, AlertApiFailure, *EMITS))),
    retry=RETRY,
    timeout_s=60,
    key=lambda p, m: f"{p.review_id}:{p.action}",
)
def handle_review_moderated(ctx: JobContext, payload: ReviewModerated) -> ReviewModeratedResult:
    """Tell a reviewer of the decision, give the promised reward once, end further requests for the order.

    Permanent REVIEW_NOT_FOUND, INCENTIVE_CODE_TAKEN; RateLimited SHOPIFY_THROTTLED, MAIL_RATE_LIMITED. A shop in which
    no discount can be made costs the reviewer the reward, not the mail; somebody is told once a day.
    """
    with ctx.tenant_session() as session:
        review = _review(session, payload.review_id)
        settings = review_settings(session)
        current = review["status"] == STATUS[payload.action]
        skipped = _end_requests(session, review, ctx.now()) if current else 0
    if not current:
        outcome = "superseded"
    elif (silent := _silent(review, payload.action)) is not None:
        outcome = silent
    elif payload.action == "reject":
        outcome = _answer(ctx, review, payload, settings)
    else:
        outcome = _approved(ctx, review, payload, settings)
    return ReviewModeratedResult.model_validate(
        {"review_id": payload.review_id, "action": payload.action, "outcome": outcome, "skipped_rows": skipped}
    )


def _review(session: Session, id: str) -> Row:
    """The columns of REVIEW; `order_id` is orders.id where there is such an order. Permanent REVIEW_NOT_FOUND."""
    review = session.one(REVIEW, {"id": id})
    if review is None:
        raise Permanent("REVIEW_NOT_FOUND", "no review has this id")
    order = find_order(session, review["order_id"]) if review["order_id"] else None
    return {**review, "order_id": order["id"]} if order else review


def _end_requests(session: Session, review: Row, now: datetime) -> int:
    if review["order_id"]:
        return skip_open(session, {review["order_id"]: "review_submitted"}, now=now)
    params = {"email": review["author_email"], "products": [id for id in review["products"] if id], "now": now}
    ended = [row["id"] for row in session.all(SKIP_SAME_PRODUCT, params)]
    log(session, "skipped", ended, now=now)
    return len(ended)


def _silent(review: Row, action: str) -> str | None:
    """Why nobody is written to at all."""
    if action == "spam":
        return "spam"
    if review["imported_from"] is not None:
        return "imported"
    return None if is_address((review["author_email"] or "").strip()) else "no_address"


def _approved(ctx: JobContext, review: Row, payload: ReviewModerated, settings: ReviewSettings) -> str:
    reward = _reward(ctx, review, settings)
    if reward is None:
        outcome = _answer(ctx, review, payload, settings)
    else:
        shown = {
            "incentiveCode": reward.code,
            "incentiveText": reward.text,
            "incentiveExpiresOn": reward.expires_at,
        }
        _mail(ctx, "review_incentive", review, payload, f"review-incentive:{review['id']}", shown)
        outcome = "rewarded"
    if review["klaviyo"]:
        ctx.emit(KlaviyoSync(sync_type="events"), key=f"review-klaviyo:{review['id']}")
    return outcome


# -- the mail ----------------------------------------------------------------------------------------------------------


def _answer(ctx: JobContext, review: Row, payload: ReviewModerated, settings: ReviewSettings) -> str:
    """The plain mail about the decision, if the tenant wants it."""
    approved = payload.action == "approve"
    if not settings.rules["notifyApproved" if approved else "notifyRejected"]:
        return "notifications_off"
    template = "review_rejected"
    if approved:
        template = THANKS if _has_own_thanks(ctx) else "review_approved"
    key = f"review-moderated:{review['id']}:{payload.action}"
    return "notified" if _mail(ctx, template, review, payload, key, {}) else "notifications_off"


def _has_own_thanks(ctx: JobContext) -> bool:
    """Whether the tenant has a text of its own to thank with, and has it switched on."""
    with ctx.tenant_session(read_only=True) as session:
        found = find_template(session, THANKS)
    return isinstance(found, Template) and found != built_in(THANKS)


def _mail(
    ctx: JobContext, template: str, review: Row, payload: ReviewModerated, key: str, more: Mapping[str, Any]
) -> bool:
    """Send, or have the mail service send later; False when the reader or the tenant does not want it."""
    name = (review["author_name"] or "").strip()
    product = payload.product_title or review["product_title"] or SOMETHING
    variables = {
        "customerName": name or NOBODY,
        "customerFirstName": name.partition(" ")[0] or NOBODY,
        "productTitle": product,
        "productName": product,
        **more,
    }
    try:
        outcome = mail(
            ctx, template, review["author_email"].strip(), variables, key, CATEGORY, recipient_type="customer"
        )
    except RateLimited as error:
        raise mail_rate_limited(error.after_s) from error
    return outcome.status not in ("skipped", "duplicate") or outcome.provider_id is not None


# -- the reward --------------------------------------------------------------------------------------------------------


def _reward(ctx: JobContext, review: Row, settings: ReviewSettings) -> Reward | None:
    """The code that the review has, or earns now; None when it earns none."""
    if review["code"] is not None:
        if review["shopify_discount_id"] is None:
            return None  # an app's, in our table only: it would not work at the checkout
        held = incentive_of(review, settings.currency)
        return Reward(review["code"], held.text, review["expires_at"]) if held else None
    if not settings.row["incentive_enabled"]:
        return None
    if settings.incentive is None:
        ctx.log.warning(
            "the reward for reviews is switched on and makes no sense", extra={"code": "incentive_misconfigured"}
        )
        return None
    with ctx.tenant_session(read_only=True) as session:
        earned = is_earned(settings, review) and not has_other_code(session, review, now=ctx.now())
    if not earned:
        return None
    code = incentive_code(keyring(ctx), ctx.tenant.organization_id, review["id"])
    discount = _discount(ctx, review, settings, settings.incentive, code)
    return None if discount is None else _keep(ctx, review, settings.incentive, code, discount)


def _discount(
    ctx: JobContext, review: Row, settings: ReviewSettings, incentive: Incentive, code: str
) -> Discount | None:
    """The discount in the shop; None, and somebody is told, when none can be made there."""
    now = ctx.now()
    try:
        return create_discount(
            Shopify.connect(ctx, alert_source="reviews"),
            code,
            incentive,
            title=f"Review reward {review['id']}",
            starts_at=now,
            ends_at=now + timedelta(days=int(settings.row["incentive_expiry_days"])),
        )
    except DiscountRefused as error:
        _tell(ctx, review, error.code)
    except Permanent as error:
        if error.code not in NO_ACCESS:
            raise
        _tell(ctx, review, error.code)
    return None


def _tell(ctx: JobContext, review: Row, code: str) -> None:
    day = ctx.now().astimezone(UTC).date()
    alert = AlertApiFailure(
        severity="warning",
        source="reviews",
        service="shopify",
        title="Review rewards cannot be issued",
        message=f"The shop does not let us make discount codes ({code}). Reviewers are thanked without one.",
        dedupe_key=f"review-incentive-access:{ctx.tenant.slug}:{day}",
        context={"reviewId": review["id"]},
    )
    ctx.emit(alert, key=f"review-incentive-access:{day}")


def _keep(ctx: JobContext, review: Row, incentive: Incentive, code: str, discount: Discount) -> Reward | None:
    """Write the code down; None when the order or the address has got another one meanwhile."""
    params = {
        "code": code,
        "review_id": review["id"],
        "order_id": review["order_id"],
        "email": review["author_email"],
        "type": incentive.kind,
        "value": incentive.value,
        "expires_at": discount.ends_at,
        "discount_id": discount.id,
        "now": ctx.now(),
    }
    with ctx.tenant_session() as session:
        session.lock("review-rewards")
        if has_other_code(session, review, now=ctx.now()):
            return None
        session.execute(ADD_CODE, params)
        if review["order_id"]:
            session.execute(NOTE_CODE, {"code": code, "order_id": review["order_id"]})
    return Reward(code, incentive.text, discount.ends_at)
