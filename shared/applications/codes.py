"""A creator's discount code: how it is named, and that no two creators have the same.

    name        {NAME} first name in A-Z, at most 6 letters, else CREATOR; {RANDOM2}, {RANDOM4} digits; {PERCENT}
    digits      int(first 8 hex digits of sha256("<creator id>:<attempt>"), 16) mod 100, or mod 10000

The digits depend on creator and attempt only, so a run that is repeated asks for the same code.
Example: creator 11111111-1111-4111-8111-111111111111, Jane, attempts 0, 1, 2: JANE85, JANE84, JANE57.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Collection, Iterator
from decimal import Decimal

from shared.jobs.context import Session
from shared.jobs.errors import Permanent

DEFAULT_FORMAT = "{NAME}{RANDOM2}"
PREFIX_MAX = 6
"""Letters of the name in a code."""
SHORT_ATTEMPTS = 10
"""Candidates with the tenant's own number of digits; as many follow with four."""
CANDIDATES = 20
_CODE = re.compile(r"[A-Z0-9_-]{3,32}")

CLEAR = """
-- applications: whether another creator has a code, under either of the places where one may stand
SELECT NOT EXISTS (
    SELECT FROM promo_code_metadata m
    WHERE lower(m.code) = lower(%(code)s) AND m.creator_id IS DISTINCT FROM %(creator)s
) AND NOT EXISTS (
    SELECT FROM creators c WHERE lower(c.referral_code) = lower(%(code)s) AND c.id <> %(creator)s
)
"""
RESERVE = """
-- applications: the code is this creator's
INSERT INTO promo_code_metadata (code, creator_id, commission_percent) VALUES (%(code)s, %(creator)s, %(percent)s)
ON CONFLICT (code) DO UPDATE SET commission_percent = EXCLUDED.commission_percent
WHERE promo_code_metadata.creator_id = EXCLUDED.creator_id
"""
RELEASE = """
-- applications: a reservation is given back, as long as the shop does not know the code
DELETE FROM promo_code_metadata
WHERE code = %(code)s AND creator_id = %(creator)s AND shopify_discount_id IS NULL AND COALESCE(uses_count, 0) = 0
"""


def prefix(first_name: str) -> str:
    """The name's part of a code.

    >>> prefix("Zoë-Marie"), prefix("李")
    ('ZOEMAR', 'CREATOR')
    """
    folded = unicodedata.normalize("NFKD", first_name)
    letters = "".join(c for c in folded.upper() if "A" <= c <= "Z")
    return letters[:PREFIX_MAX] or "CREATOR"


def candidates(format: str, *, first_name: str, creator_id: str, customer_percent: int) -> Iterator[str]:
    """The codes to try, in their order; none that no shop would take."""
    long = format.replace("{RANDOM2}", "{RANDOM4}")
    for attempt in range(CANDIDATES):
        digits = int(hashlib.sha256(f"{creator_id}:{attempt}".encode()).hexdigest()[:8], 16)
        code = (
            (format if attempt < SHORT_ATTEMPTS else long)
            .replace("{NAME}", prefix(first_name))
            .replace("{RANDOM2}", f"{digits % 100:02d}")
            .replace("{RANDOM4}", f"{digits % 10_000:04d}")
            .replace("{PERCENT}", str(customer_percent))
            .upper()
        )
        if _CODE.fullmatch(code):
            yield code


def checked_code(code: str) -> str:
    """A code that somebody chose, upper-case. Raises Permanent CODE_INVALID."""
    upper = code.strip().upper()
    if not _CODE.fullmatch(upper):
        raise Permanent("CODE_INVALID", "a code has 3 to 32 of A-Z, 0-9, _ and -")
    return upper


def reserve(
    session: Session, wanted: Iterator[str], *, creator_id: str, percent: Decimal, without: Collection[str] = ()
) -> str | None:
    """The first code that is free or already this creator's, reserved; None when all are taken.

    `without`: codes that turned out to be taken elsewhere.
    """
    for code in wanted:  # at most CANDIDATES; the first is nearly always free
        if code in without:
            continue
        session.lock(f"applications:code:{code.lower()}")  # two creators of one name at once
        params = {"code": code, "creator": creator_id, "percent": percent}
        if session.value(CLEAR, params):
            session.execute(RESERVE, params)
            return code
    return None


def release(session: Session, code: str, creator_id: str) -> None:
    """Give a reservation back."""
    session.execute(RELEASE, {"code": code, "creator": creator_id})
