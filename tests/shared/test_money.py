"""Amounts from text, and splitting to the cent."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.money import apportion, cents


@pytest.mark.parametrize(
    ("text", "hundredths"),
    [
        ("132.31", 13231),
        ("0.0", 0),
        ("10.5", 1050),
        ("10", 1000),
        ("1200", 120_000),  # JPY 1200: hundredths whatever the currency
        ("1.234", 123),  # KWD
        ("0.125", 13),
        ("0.115", 12),  # as a float it would be 11
        ("-0.50", -50),
        ("-0.125", -13),
        ("1e3", 100_000),
        ("１２.00", 1200),
    ],
)
def test_decimal_text_becomes_hundredths_rounded_half_up(text: str, hundredths: int) -> None:
    assert cents(text) == hundredths


@pytest.mark.parametrize("text", ["", "abc", "1.2.3", "1,5", "NaN", "Infinity"])
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="decimal"):
        cents(text)


@pytest.mark.parametrize(
    ("total", "weights", "parts"),
    [
        (100, [1, 1, 1], [34, 33, 33]),
        (1300, [1, 1], [650, 650]),
        (1, [1, 1], [1, 0]),
        (0, [3, 4], [0, 0]),
        (10, [0, 1], [0, 10]),
        (5, [3, 3, 1], [2, 2, 1]),  # 15/7, 15/7, 5/7: the unit left goes to remainder 5 (the last)
    ],
)
def test_largest_remainder_ties_to_the_first(total: int, weights: list[int], parts: list[int]) -> None:
    assert apportion(total, weights) == parts


@given(st.integers(0, 10**9), st.lists(st.integers(0, 10**6), min_size=1, max_size=20).filter(lambda w: sum(w) > 0))
def test_parts_add_up_to_the_total(total: int, weights: list[int]) -> None:
    parts = apportion(total, weights)

    assert sum(parts) == total
    assert all(
        abs(part * sum(weights) - total * weight) < sum(weights) for part, weight in zip(parts, weights, strict=True)
    )


@pytest.mark.parametrize(("total", "weights"), [(-1, [1]), (1, [0, 0]), (1, []), (1, [2, -1])])
def test_a_split_that_has_no_meaning_is_refused(total: int, weights: list[int]) -> None:
    with pytest.raises(ValueError, match=r"apportion|min\(\)"):
        apportion(total, weights)
