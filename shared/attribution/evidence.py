"""Touchpoints that stand for what an order itself says: its utm values and click ids, its discount code, a survey.

Each stands only while nothing better is there: recorded touchpoints win over the order's own marketing data, everything
else wins over a survey answer.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from shared.attribution.marketing import MAX_TEXT, Origin, channel_of
from shared.attribution.touchpoints import (
    CODE_PREFIX,
    MADE_HERE,
    ORDER_PREFIX,
    SURVEY_PREFIX,
    NewTouchpoint,
    Touchpoint,
    marketing_columns,
)
from shared.jobs.context import Session

JUST_BEFORE = timedelta(seconds=1)
"""The order's own marketing data is older than the order by so much: it must not come after a recorded click."""
SAME_VISIT = timedelta(hours=24)
"""A recorded touchpoint of the same source within this time before the order is the one that the order speaks of."""


@dataclass(frozen=True, slots=True)
class Survey:
    """The buyer's answer to "how did you hear about us"."""

    channel: str
    platform: str
    option: str

    @classmethod
    def of(cls, channel: str | None, platform: str | None, option: str | None) -> Survey | None:
        """The answer from its columns, None where there is none."""
        return cls(channel, platform or "other", option) if channel and option else None


@dataclass(frozen=True, slots=True)
class CodeOwner:
    """Whose discount code the order used: the name to show, and the code."""

    source: str
    code: str


# An influencer's code wins over a creator's promo code, then the order's own order of codes counts.
CODE_OWNER = """
-- attribution: whose discount code an order used
SELECT COALESCE(i.name, 'creator:' || p.creator_id) AS source, a.code
FROM unnest(%(codes)s::text[]) WITH ORDINALITY AS a (code, position)
LEFT JOIN LATERAL (
    SELECT f.name FROM attribution_influencers f
    WHERE f.status = 'active' AND EXISTS (
        SELECT FROM unnest(f.discount_codes) AS d (code) WHERE lower(btrim(d.code)) = lower(a.code))
    ORDER BY f.created_at, f.id LIMIT 1) i ON true
LEFT JOIN LATERAL (
    SELECT m.creator_id FROM promo_code_metadata m
    WHERE lower(btrim(m.code)) = lower(a.code) AND m.creator_id IS NOT NULL
    ORDER BY m.created_at, m.id LIMIT 1) p ON true
WHERE i.name IS NOT NULL OR p.creator_id IS NOT NULL
ORDER BY i.name IS NULL, a.position
LIMIT 1
"""


def own_ids(order_id: str) -> list[str]:
    """Ids of all touchpoints that may stand for the order's own data."""
    return [prefix + order_id for prefix in MADE_HERE]


def code_owner(session: Session, discount_codes: Any) -> CodeOwner | None:
    """The influencer or creator whose code the order used; `discount_codes` as the column holds them, texts or objects
    with a `code`."""
    given = discount_codes if isinstance(discount_codes, list) else []
    texts = [code.get("code") if isinstance(code, Mapping) else code for code in given]
    codes = [text.strip() for text in texts if isinstance(text, str) and text.strip()]
    row = session.one(CODE_OWNER, {"codes": codes}) if codes else None
    return CodeOwner(row["source"], row["code"][:MAX_TEXT]) if row else None


@dataclass(frozen=True, slots=True)
class Evidence:
    """What an order says of itself."""

    order_id: str
    customer_id: str | None
    converted_at: datetime
    origin: Origin
    owner: CodeOwner | None = None
    survey: Survey | None = None

    def touchpoints(self, recorded: Sequence[Touchpoint], shop_hosts: Collection[str] = ()) -> list[NewTouchpoint]:
        """The touchpoints that stand for the order's data, given what else is known of its people."""
        made: list[NewTouchpoint] = []
        if self._names_a_source() and not any(self._is_same_visit(t) for t in recorded):
            channel = channel_of(self.origin, shop_hosts)
            columns = marketing_columns(self.origin)
            at = self.converted_at - JUST_BEFORE
            made.append(self._new(ORDER_PREFIX, channel.name, channel.platform, "click", at, columns))
        if self.owner:
            columns = {"source": self.owner.source, "medium": "discount_code", "campaign": self.owner.code}
            made.append(self._new(CODE_PREFIX, "creator", "organic", "engagement", self.converted_at, columns))
        if self.survey and not made and not any(_is_stronger_than_survey(t) for t in recorded):
            columns = {"source": self.survey.option, "medium": "survey"}
            at = self.converted_at - JUST_BEFORE
            made.append(self._new(SURVEY_PREFIX, self.survey.channel, self.survey.platform, "engagement", at, columns))
        return made

    def _names_a_source(self) -> bool:
        return bool(self.origin.source or self.origin.click_ids)

    def _is_same_visit(self, t: Touchpoint) -> bool:
        """A recorded click that is the visit of which the order's marketing data speaks. A view is no visit."""
        if t.kind == "view" or t.id.startswith(MADE_HERE) or t.occurred_at < self.converted_at - SAME_VISIT:
            return False
        if t.click_ids & self.origin.click_ids:
            return True
        source, campaign = _lower(self.origin.source), _lower(self.origin.campaign)
        return bool(source) and (_lower(t.source), _lower(t.campaign)) == (source, campaign)

    def _new(
        self, prefix: str, channel: str, platform: str, kind: Any, at: datetime, columns: Mapping[str, str]
    ) -> NewTouchpoint:
        id = prefix + self.order_id
        return NewTouchpoint(
            id=id,
            # An id of our own where no visitor is known: `tp_...` is counted as an unknown visitor.
            visitor_id=self.origin.visitor_ids[0] if self.origin.visitor_ids else id,
            session_id=self.origin.session_id,
            customer_id=self.customer_id,
            channel=channel,
            platform=platform,
            kind=kind,
            occurred_at=at,
            columns=columns,
        )


def _is_stronger_than_survey(t: Touchpoint) -> bool:
    return t.kind != "view" and not t.id.startswith(SURVEY_PREFIX)


def _lower(text: str | None) -> str:
    return (text or "").strip().lower()
