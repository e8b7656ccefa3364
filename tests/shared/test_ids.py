"""One meaning for a Shopify id."""

from __future__ import annotations

import pytest

from shared.ids import as_legacy_id, legacy_id


@pytest.mark.parametrize(
    ("value", "digits"),
    [
        (450_789_469, "450789469"),
        ("450789469", "450789469"),
        ("gid://shopify/Order/450789469", "450789469"),
        ("gid://shopify/LineItem/1?key=abc", "1"),
    ],
)
def test_number_digits_and_gid_mean_one_id(value: str | int, digits: str) -> None:
    assert legacy_id(value) == digits


@pytest.mark.parametrize(
    "value", ["abc", "", "12a", "-5", "gid://shopify/Order/", "gid://other/Order/5", "1" * 21, "٣"]
)
def test_anything_else_is_no_shopify_id(value: str) -> None:
    assert as_legacy_id(value) is None
    with pytest.raises(ValueError, match="Shopify"):
        legacy_id(value)
