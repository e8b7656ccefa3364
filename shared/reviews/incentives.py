"""Whether a review has earned its reward, and the reward's code.

What the review says is no condition (16 CFR 465.4), unless the tenant answers for it (reviews.rules
allowRatingCondition). One code per review, per order, and per address within 30 days.
"""

from __future__ import annotations

import hmac
from datetime import datetime, timedelta
from uuid import UUID

from shared.crypto import Keyring
from shared.jobs.context import Row, Session
from shared.reviews.settings import ReviewSettings
from shared.tokens import hkdf_sha256

PREFIX = "REVIEW"
CODE_CHARACTERS = 8
CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Base32 without letters that are taken for others."""
KEY_INFO = b"review-incentive:v1:"
PER_ADDRESS = timedelta(days=30)

EARLIER = """
-- reviews: another code of the same order, or of the same address of late
SELECT EXISTS (
    SELECT FROM review_incentive_codes
    WHERE review_id IS DISTINCT FROM %(review_id)s
      AND (order_id = %(order_id)s
           OR (lower(customer_email) = lower(%(email)s) AND created_at > %(since)s)))
"""


def incentive_code(keyring: Keyring, organization_id: UUID, review_id: str) -> str:
    """The code of a review: always the same one, and not to be guessed.

    PREFIX and the first 40 bits of HMAC-SHA256(key of the tenant, review id) in Crockford's base32.
    """
    key = hkdf_sha256(keyring.passphrases[0].encode(), info=KEY_INFO + str(organization_id).encode())
    bits = int.from_bytes(hmac.digest(key, review_id.encode(), "sha256")[:5], "big")
    letters = (CROCKFORD[bits >> shift & 31] for shift in range(5 * (CODE_CHARACTERS - 1), -1, -5))
    return PREFIX + "".join(letters)


def is_earned(settings: ReviewSettings, review: Row) -> bool:
    """Whether the review is of a customer and is what the tenant asked for; `review` has `photos` counted."""
    rules = settings.row
    if not (review["order_id"] or review["is_verified_purchase"]):
        return False
    if len((review["body"] or "").split()) < (rules["incentive_min_word_count"] or 0):
        return False
    if rules["incentive_require_photo"] and not review["photos"]:
        return False
    lowest = rules["incentive_min_rating"]
    return not (settings.rules["allowRatingCondition"] is True and lowest and review["rating"] < lowest)


def has_other_code(session: Session, review: Row, *, now: datetime) -> bool:
    """Whether the order, or lately the address, has a code by another review."""
    params = {
        "review_id": review["id"],
        "order_id": review["order_id"],
        "email": review["author_email"],
        "since": now - PER_ADDRESS,
    }
    return bool(session.value(EARLIER, params))
