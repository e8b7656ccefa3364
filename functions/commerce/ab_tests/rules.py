"""What a test is, whatever generation of columns it was written with, and whether it may start.

A share is the percentage of new visitors that a variant gets: traffic_allocation, else weight.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from shared.jobs.context import JobContext, Row
from shared.money import apportion

MOST_VARIANTS, MOST_SHIPPING_VARIANTS = 10, 4
SHARES_SUM = range(99, 102)
"""Sums of shares that are let pass: thirds do not add up to 100."""
SHIPPING_SUFFIXES = ("A", "B", "C", "D")
WITHOUT_URL = ("shipping", "email")
"""Types of test that redirect nobody."""
INVALID_CONFIGURATION = "invalid_configuration"
"""Mark in ab_test_state.needs_attention."""


class Slotted(Protocol):
    """A payload that may say by which instant to decide."""

    @property
    def slot(self) -> datetime | None: ...


@dataclass(frozen=True, slots=True)
class Variant:
    """`share` is None where neither column holds one."""

    id: str
    name: str
    share: int | None
    is_control: bool
    shipping_price_cents: int | None
    shipping_suffix: str | None


VARIANTS = """
-- A/B tests: the variants of tests
SELECT v.test_id, v.id, v.name, COALESCE(v.traffic_allocation, v.weight) AS share,
       COALESCE(v.is_control, false) AS is_control, v.shipping_price_cents, v.shipping_suffix
FROM ab_variants v WHERE v.test_id = ANY(%(ids)s) ORDER BY v.test_id, v.id
"""


def slot_of(ctx: JobContext, payload: Slotted) -> datetime:
    """The instant that a run decides by, UTC: a retry decides the same."""
    given = payload.slot
    return given.astimezone(UTC) if given is not None else ctx.now().replace(second=0, microsecond=0)


def sent_slot(ctx: JobContext, payload: Slotted) -> datetime:
    """The same for a job whose events or draws depend on it: without a slot, the minute the message was sent in."""
    return (payload.slot or ctx.delivery.sent_at.replace(second=0, microsecond=0)).astimezone(UTC)


def by_test(rows: Sequence[Row]) -> dict[str, list[Variant]]:
    """Rows of VARIANTS by test, in order of variant id."""
    found: dict[str, list[Variant]] = {}
    for row in rows:
        found.setdefault(row["test_id"], []).append(
            Variant(**{name: row[name] for name in Variant.__dataclass_fields__})
        )
    return found


def start_problem(test: Row, variants: Sequence[Variant], now: datetime) -> str | None:
    """Why a test must not start, as a word; None when it may.

    `test` has `kind` (split, multivariate, shipping, email), `base_url` and `end_at`.
    """
    if not 2 <= len(variants) <= MOST_VARIANTS:
        return f"variants_{len(variants)}"
    controls = sum(variant.is_control for variant in variants)
    if controls != 1:
        return f"controls_{controls}"
    shares = [variant.share or 0 for variant in variants]
    if not all(0 <= share <= 100 for share in shares):
        return "share_out_of_range"
    if sum(shares) not in SHARES_SUM:
        return f"shares_sum_{sum(shares)}"
    if test["kind"] not in WITHOUT_URL and not test["base_url"]:
        return "no_base_url"
    if test["kind"] == "shipping" and (problem := _shipping_problem(variants)):
        return problem
    return "end_passed" if test["end_at"] is not None and test["end_at"] <= now else None


def _shipping_problem(variants: Sequence[Variant]) -> str | None:
    if len(variants) > MOST_SHIPPING_VARIANTS:
        return f"shipping_variants_{len(variants)}"
    suffixes = [variant.shipping_suffix for variant in variants]
    if len(set(suffixes)) < len(suffixes) or not set(suffixes) <= set(SHIPPING_SUFFIXES):
        return "shipping_suffixes"
    if any(variant.shipping_price_cents is None or variant.shipping_price_cents < 0 for variant in variants):
        return "shipping_price"
    return None


def split_of(variants: Sequence[Variant], override: str | None) -> dict[str, int]:
    """The split of new visitors as an epoch keeps it: variant id -> percent; an override takes all."""
    if override is not None:
        return {override: 100}
    return {variant.id: variant.share or 0 for variant in variants}


def equal_split(variants: Sequence[Variant]) -> dict[str, int] | None:
    """Equal shares, the larger ones to the first ids; None when some variant has a share already."""
    if not variants or any(variant.share for variant in variants):
        return None
    parts = apportion(100, [1] * len(variants))
    return {variant.id: part for variant, part in zip(variants, parts, strict=True)}


def with_mark(marks: Sequence[str], mark: str, on: bool) -> list[str]:
    """needs_attention with one mark set or cleared."""
    return sorted({*marks, mark} if on else set(marks) - {mark})


def short(name: Any) -> str:
    """A name as messages show it, at most 80 characters on one line."""
    return " ".join(str(name).split())[:80]
