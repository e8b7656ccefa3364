"""Reading the vendors' bodies: ids as digits, instants, amounts. What is missing or wrong is BodyInvalid."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import UUID

from functions.scheduled.webhooks.model import BodyInvalid, Webhook
from shared.ids import as_legacy_id
from shared.money import cents

INT4_MAX = 2**31 - 1
"""Largest value of the integer columns that hold cents."""


def at(webhook: Webhook, *path: str) -> Any:
    """The value at `path` of the body, None when any part of the way is missing."""
    value = webhook.body
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def text(webhook: Webhook, *path: str) -> str | None:
    """A text that is not blank, without the space around it; else None."""
    value = at(webhook, *path)
    return value.strip() or None if isinstance(value, str) else None


def legacy(value: Any) -> str | None:
    """The digits of a Shopify id given as number, digits or gid; None for anything else."""
    return as_legacy_id(value) if isinstance(value, str | int) and not isinstance(value, bool) else None


def shopify_id(webhook: Webhook, *path: str) -> str:
    """The digits of the Shopify id at `path`."""
    found = legacy(at(webhook, *path))
    if found is None:
        raise BodyInvalid(f"{'.'.join(path)} is missing or no id")
    return found


def vendor_id(webhook: Webhook, *path: str) -> str:
    """The id of another vendor at `path`: text or number, as text of at most 255 characters."""
    value = at(webhook, *path)
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not 0 < len(value) <= 255:
        raise BodyInvalid(f"{'.'.join(path)} is missing or no id")
    return value


def spellings(webhook: Webhook, kind: str, *path: str) -> list[str]:
    """The id at `path` as our tables may hold it: digits, or gid://shopify/<kind>/<digits>."""
    digits = shopify_id(webhook, *path)
    return [digits, f"gid://shopify/{kind}/{digits}"]


def instant(webhook: Webhook, *path: str) -> datetime | None:
    """An ISO 8601 instant in UTC; None when absent, unreadable or without an offset (it only orders bodies)."""
    value = text(webhook, *path)
    try:
        found = datetime.fromisoformat(value) if value else None
    except ValueError:
        return None
    return found.astimezone(UTC) if found and found.tzinfo else None


def amount_cents(value: Any, what: str) -> int:
    """Cents of a decimal text or number in major units, within what an integer column holds."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise BodyInvalid(f"{what} is missing or no amount")
    try:
        exact = Decimal(str(value).strip())
    except InvalidOperation:
        raise BodyInvalid(f"{what} is no amount") from None
    if not exact.is_finite() or not 0 <= exact <= INT4_MAX // 100:
        raise BodyInvalid(f"{what} is no amount that a checkout can have")
    return cents(str(exact))


def uuid_or_none(value: Any) -> UUID | None:
    """A UUID from its text, None when it is none."""
    try:
        return UUID(value) if isinstance(value, str) else None
    except ValueError:
        return None
