"""What the mapping makes of Shopify's objects: columns of our tables, ready to be written as one JSON per chunk."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pydantic_core import to_json

Columns = dict[str, Any]
"""Column name -> JSON value."""
INT_MAX = 2_147_483_647
"""Largest value of our integer columns. Shops write 1,000,000,000 pieces for `unlimited`: the sum of three is above."""


@dataclass(frozen=True, slots=True)
class ProductRecord:
    """A product with all its variants. `columns` of products, `variants` of product_variants in order of position."""

    legacy_id: str
    updated_at: datetime
    columns: Columns
    variants: tuple[Columns, ...]
    content_hash: str
    columns_json: str = field(repr=False)
    variants_json: str = field(repr=False)
    """The variants' texts, joined."""


@dataclass(frozen=True, slots=True)
class SmsConsent:
    """The state of a number's consent: SUBSCRIBED, UNSUBSCRIBED, REDACTED, PENDING, NOT_SUBSCRIBED."""

    phone: str
    state: str
    updated_at: datetime | None


@dataclass(frozen=True, slots=True)
class CustomerRecord:
    """A customer with all addresses. `columns` of customers, `addresses` of customer_addresses."""

    legacy_id: str
    updated_at: datetime
    columns: Columns
    addresses: tuple[Columns, ...]
    sms: SmsConsent | None
    content_hash: str
    columns_json: str
    addresses_json: str
    """The addresses' texts, joined."""

    def __repr__(self) -> str:
        return f"CustomerRecord({self.legacy_id})"  # the rest names and locates a person


@dataclass(frozen=True, slots=True)
class LevelRecord:
    """Stock of an item at a place. `available` None: not stocked there (any more)."""

    item_id: str
    location_id: str
    available: int | None
    on_hand: int | None = None
    committed: int | None = None
    incoming: int | None = None
    updated_at: datetime | None = None

    @property
    def external_id(self) -> str:
        """Key of its mark."""
        return f"{self.item_id}:{self.location_id}"

    @property
    def content_hash(self) -> str:
        """The numbers themselves: they are shorter than a hash of them."""
        return f"{self.available}:{self.on_hand}:{self.committed}:{self.incoming}"


@dataclass(frozen=True, slots=True)
class CollectionRecord:
    """A collection without its members."""

    legacy_id: str
    updated_at: datetime
    columns: Columns
    content_hash: str


def rows_json(rows: Sequence[Columns]) -> str:
    """The members of a JSON array: rows of a chunk's document."""
    return to_json(rows).decode()[1:-1]


def document(members: Iterable[str]) -> str:
    """The JSON array of what rows_json gave."""
    return f"[{','.join(filter(None, members))}]"


def content_hash(row: Mapping[str, Any]) -> str:
    """SHA-256 (hex) of the canonical JSON: sorted keys, no spaces, UTF-8."""
    return hashlib.sha256(_canonical(row).encode()).hexdigest()


_canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode
