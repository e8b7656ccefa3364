"""A touchpoint: one contact of a person with the shop's marketing, as the models see it and as it is stored.

The storefront and the pixel record most of them. Those that are made here from an order's own data have deterministic
ids (`tp_order_<order id>` and the like), so that making one again changes a row instead of adding one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from shared.attribution.marketing import CLICK_IDS, Origin, without_query
from shared.jobs.context import Session

Kind = Literal["click", "engagement", "view"]

DIRECT_CHANNELS = frozenset({"", "direct", "(direct)", "none"})
ORDER_PREFIX, CODE_PREFIX, SURVEY_PREFIX = "tp_order_", "tp_code_", "tp_survey_"
MADE_HERE = (ORDER_PREFIX, CODE_PREFIX, SURVEY_PREFIX)
"""Ids of touchpoints that stand for an order's own data; everything else was recorded."""


@dataclass(frozen=True, slots=True)
class Touchpoint:
    """A touchpoint of a path. `direct`: the visitor typed the address, no campaign had a part in it."""

    id: str
    occurred_at: datetime
    channel: str
    kind: str
    direct: bool = False
    visitor_id: str = ""
    session_id: str | None = None
    customer_id: str | None = None
    source: str | None = None
    campaign: str | None = None
    click_ids: frozenset[tuple[str, str]] = frozenset()
    """(name, value) of each click id."""


@dataclass(frozen=True, slots=True)
class NewTouchpoint:
    """A touchpoint to store; `columns` holds the marketing columns that are not empty."""

    id: str
    visitor_id: str
    session_id: str | None
    customer_id: str | None
    channel: str
    platform: str
    kind: Kind
    occurred_at: datetime
    columns: Mapping[str, str]

    def seen(self) -> Touchpoint:
        """The same as a member of a path."""
        return Touchpoint(
            id=self.id,
            occurred_at=self.occurred_at,
            channel=self.channel,
            kind=self.kind,
            direct=is_direct(self.channel, self.columns.get("campaign"), self.columns),
            visitor_id=self.visitor_id,
            session_id=self.session_id,
            customer_id=self.customer_id,
            source=self.columns.get("source"),
            campaign=self.columns.get("campaign"),
            click_ids=_click_ids(self.columns),
        )


MARKETING_COLUMNS = (
    "source",
    "medium",
    "campaign",
    "content",
    "term",
    "ad_id",
    "adset_id",
    *CLICK_IDS,
    "landing_page",
    "referrer",
)

UPSERT = """
-- attribution: store touchpoints, or bring them to what is known now
INSERT INTO attribution_touchpoints AS t
    (id, tenant_id, visitor_id, session_id, customer_id, channel, platform, touchpoint_type, occurred_at, source,
     medium, campaign, content, term, ad_id, adset_id, fbclid, gclid, ttclid, msclkid, nbt, landing_page, referrer,
     created_at)
SELECT n.id, current_setting('cgk.tenant_id'), n.visitor_id, n.session_id, n.customer_id, n.channel, n.platform,
       n.touchpoint_type, n.occurred_at, n.source, n.medium, n.campaign, n.content, n.term, n.ad_id, n.adset_id,
       n.fbclid, n.gclid, n.ttclid, n.msclkid, n.nbt, n.landing_page, n.referrer, %(now)s
FROM unnest(%(id)s::text[], %(visitor_id)s::text[], %(session_id)s::text[], %(customer_id)s::text[],
            %(channel)s::text[], %(platform)s::text[], %(touchpoint_type)s::text[], %(occurred_at)s::timestamptz[],
            %(source)s::text[], %(medium)s::text[], %(campaign)s::text[], %(content)s::text[], %(term)s::text[],
            %(ad_id)s::text[], %(adset_id)s::text[], %(fbclid)s::text[], %(gclid)s::text[], %(ttclid)s::text[],
            %(msclkid)s::text[], %(nbt)s::text[], %(landing_page)s::text[], %(referrer)s::text[])
     AS n (id, visitor_id, session_id, customer_id, channel, platform, touchpoint_type, occurred_at, source, medium,
           campaign, content, term, ad_id, adset_id, fbclid, gclid, ttclid, msclkid, nbt, landing_page, referrer)
ORDER BY n.id
ON CONFLICT (id) DO UPDATE
SET visitor_id = excluded.visitor_id, session_id = excluded.session_id,
    customer_id = COALESCE(excluded.customer_id, t.customer_id), channel = excluded.channel,
    platform = excluded.platform, occurred_at = excluded.occurred_at, source = excluded.source,
    medium = excluded.medium, campaign = excluded.campaign, content = excluded.content, term = excluded.term,
    ad_id = excluded.ad_id, adset_id = excluded.adset_id, fbclid = excluded.fbclid, gclid = excluded.gclid,
    ttclid = excluded.ttclid, msclkid = excluded.msclkid, nbt = excluded.nbt,
    landing_page = excluded.landing_page, referrer = excluded.referrer
WHERE (t.visitor_id, t.session_id, t.customer_id, t.channel, t.platform, t.occurred_at, t.source, t.medium, t.campaign,
       t.content, t.term, t.ad_id, t.adset_id, t.fbclid, t.gclid, t.ttclid, t.msclkid, t.nbt, t.landing_page,
       t.referrer)
      IS DISTINCT FROM
      (excluded.visitor_id, excluded.session_id, COALESCE(excluded.customer_id, t.customer_id), excluded.channel,
       excluded.platform, excluded.occurred_at, excluded.source, excluded.medium, excluded.campaign, excluded.content,
       excluded.term, excluded.ad_id, excluded.adset_id, excluded.fbclid, excluded.gclid, excluded.ttclid,
       excluded.msclkid, excluded.nbt, excluded.landing_page, excluded.referrer)
"""

DELETE = """
-- attribution: touchpoints whose ground has gone; their credits go with them
DELETE FROM attribution_touchpoints WHERE id = ANY(%(ids)s)
"""


def is_direct(channel: str, campaign: str | None, click_ids: Mapping[str, Any]) -> bool:
    """Whether a contact counts as direct: its channel says so and neither campaign nor click id speaks against it."""
    named = channel.strip().lower() in DIRECT_CHANNELS
    return named and not campaign and not any(click_ids.get(name) for name in CLICK_IDS)


def from_row(row: Mapping[str, Any]) -> Touchpoint:
    """A touchpoint from its row: id, visitor_id, session_id, customer_id, channel, source, campaign, kind, occurred_at
    and the click ids."""
    return Touchpoint(
        id=row["id"],
        occurred_at=row["occurred_at"],
        channel=row["channel"],
        kind=row["kind"],
        direct=is_direct(row["channel"], row["campaign"], row),
        visitor_id=row["visitor_id"],
        session_id=row["session_id"],
        customer_id=row["customer_id"],
        source=row["source"],
        campaign=row["campaign"],
        click_ids=_click_ids(row),
    )


def marketing_columns(origin: Origin) -> dict[str, str]:
    """What an order's origin fills in of a touchpoint's columns; addresses without their query strings."""
    values = {name: getattr(origin, name) for name in MARKETING_COLUMNS}
    for name in ("landing_page", "referrer"):
        values[name] = without_query(values[name])
    return {name: value for name, value in values.items() if value}


def upsert_touchpoints(session: Session, touchpoints: Sequence[NewTouchpoint], now: datetime) -> int:
    """Store touchpoints by their ids in one statement; the number of rows that were new or changed."""
    if not touchpoints:
        return 0
    columns: dict[str, Any] = {
        "id": [t.id for t in touchpoints],
        "visitor_id": [t.visitor_id for t in touchpoints],
        "session_id": [t.session_id for t in touchpoints],
        "customer_id": [t.customer_id for t in touchpoints],
        "channel": [t.channel for t in touchpoints],
        "platform": [t.platform for t in touchpoints],
        "touchpoint_type": [t.kind for t in touchpoints],
        "occurred_at": [t.occurred_at for t in touchpoints],
        **{name: [t.columns.get(name) for t in touchpoints] for name in MARKETING_COLUMNS},
    }
    return session.execute(UPSERT, {**columns, "now": now})


def delete_touchpoints(session: Session, ids: Sequence[str]) -> int:
    """Delete touchpoints with their credits."""
    return session.execute(DELETE, {"ids": list(ids)}) if ids else 0


def _click_ids(values: Mapping[str, Any]) -> frozenset[tuple[str, str]]:
    return frozenset((name, str(values[name])) for name in CLICK_IDS if values.get(name))
