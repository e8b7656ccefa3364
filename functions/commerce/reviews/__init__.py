"""Review mails: the queue's worker, its helpers, and the answers to reviewers. The rules are in shared.reviews.

An order gets its place in the queue by commerce-order-review-email. From there on a row moves by these jobs only, each
mail is sent once, and at most two reminders follow it; a review, a cancellation or a no of the customer ends all that
is still open of the order. No address, name or review text stands in results, logs, events or alerts.
"""

from functions.commerce.reviews.awaiting import review_email_awaiting_delivery
from functions.commerce.reviews.crons import process_queue, retry_failed
from functions.commerce.reviews.follow_up import schedule_follow_up
from functions.commerce.reviews.moderated import handle_review_moderated
from functions.commerce.reviews.queue_worker import process_review_email_queue
from functions.commerce.reviews.queued import handle_review_email_queued
from functions.commerce.reviews.retrying import retry_failed_review_emails
from functions.commerce.reviews.sent import handle_review_email_sent
from functions.commerce.reviews.single import send_queued_review_email
from functions.commerce.reviews.stats import review_email_stats

__all__ = [
    "handle_review_email_queued",
    "handle_review_email_sent",
    "handle_review_moderated",
    "process_queue",
    "process_review_email_queue",
    "retry_failed",
    "retry_failed_review_emails",
    "review_email_awaiting_delivery",
    "review_email_stats",
    "schedule_follow_up",
    "send_queued_review_email",
]
