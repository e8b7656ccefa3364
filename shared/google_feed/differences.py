"""What has to be sent for an offer: the whole input, a patch of what changes often, or nothing.

Two hashes stand for what Google holds. content_hash: SHA-256 of the canonical JSON of all attributes but the five that
change often. offer_hash: those five, each by its own short hash, in one text, so that a patch can name in its mask what
changed and nothing else:

    "3f0c…a1.-.-.9b7d…02.-"       price, salePrice, salePriceEffectiveDate, availability, availabilityDate; - absent

Google advises at most two inserts a day per product (developers.google.com/merchant/api/guides/quotas-limits) and drops
an input 30 days after its last insert.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal

from shared.google_feed.offers import Offer

VOLATILE = ("price", "salePrice", "salePriceEffectiveDate", "availability", "availabilityDate")
CONTENT_UPDATES_PER_DAY = 2
"""Inserts per offer and UTC day."""
REINSERT_AFTER = timedelta(days=25)

Act = Literal["insert", "patch", "nothing", "refused"]


@dataclass(frozen=True, slots=True)
class Held:
    """A row of google_feed_offers: what Google holds from us."""

    offer_id: str
    state: str
    content_hash: str | None
    offer_hash: str | None
    last_inserted_at: datetime | None
    inserts_today: int
    inserts_day: date | None


@dataclass(frozen=True, slots=True)
class Decision:
    """What to send. `mask`: the attributes of a patch; `limited`: content waits for another day."""

    act: Act
    content_hash: str
    offer_hash: str
    mask: tuple[str, ...] = ()
    limited: bool = False


def digest(value: Any) -> str:
    """SHA-256 (hex) of the canonical JSON."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def offer_digest(offer: Mapping[str, Any]) -> str:
    """The five attributes that change often, each by 16 digits of its hash."""
    return ".".join(digest(offer[name])[:16] if name in offer else "-" for name in VOLATILE)


def changed(before: str | None, after: str) -> tuple[str, ...]:
    """Which of the five differ; all of them when nothing is known of before."""
    old, new = (before or "").split("."), after.split(".")
    if len(old) != len(VOLATILE):
        return VOLATILE
    return tuple(name for name, a, b in zip(VOLATILE, old, new, strict=True) if a != b)


def decide(offer: Offer, held: Held | None, now: datetime) -> Decision:
    """What to send for an offer that may be sent.

    What Google refused is not tried again before something of it changes.
    """
    content, terms = digest(offer.content), offer_digest(offer.offer)
    if held is None or held.state in ("deleted", "deleting"):
        return _insert(held, content, terms, now, there=False)
    same_content, same_terms = held.content_hash == content, held.offer_hash == terms
    if held.state == "refused":
        if same_content and same_terms:
            return Decision("refused", content, terms)
        return _insert(held, content, terms, now, there=False)
    stale = held.last_inserted_at is None or now - held.last_inserted_at > REINSERT_AFTER
    if not same_content or stale:
        return _insert(held, content, terms, now, there=held.last_inserted_at is not None)
    if not same_terms:
        return Decision("patch", content, terms, changed(held.offer_hash, terms))
    return Decision("nothing", content, terms)


def inserts_today(held: Held | None, now: datetime) -> int:
    """Inserts of the offer on this UTC day."""
    if held is None or held.inserts_day != now.astimezone(UTC).date():
        return 0
    return held.inserts_today


def _insert(held: Held | None, content: str, terms: str, now: datetime, *, there: bool) -> Decision:
    """An insert, or what is left of it when the day's inserts are used up: price and availability by a patch."""
    if inserts_today(held, now) < CONTENT_UPDATES_PER_DAY:
        return Decision("insert", content, terms)
    if held is not None and there and held.offer_hash != terms:
        return Decision("patch", held.content_hash or "", terms, changed(held.offer_hash, terms), limited=True)
    return Decision("nothing", (held and held.content_hash) or "", (held and held.offer_hash) or "", limited=True)
