"""Refunds and cancellations over the credits of an order: exact, never below zero, the same when replayed."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.attribution.credits import Credit
from shared.attribution.reversals import Refund, reversals_of
from shared.money import apportion
from tests.builders.attribution import a_path


def gross(cents: list[int], model: str = "linear", micros: list[int] | None = None) -> list[Credit]:
    """The credits of one model and window."""
    path = a_path(["email"] * len(cents))
    shares = micros or apportion(1_000_000, [1] * len(cents))
    n = len(cents)
    return [Credit(model, "7d", t, i + 1, n, cents[i], shares[i]) for i, t in enumerate(path)]


def refunds(*amounts: int | str) -> list[Refund]:
    """Refunds r0, r1, .. of these cents; a text stands for a cancellation."""
    return [
        Refund(f"r{i}", "refund", a) if isinstance(a, int) else Refund("cancellation", "cancellation", 0)
        for i, a in enumerate(amounts)
    ]


def taken(credits: list[Credit], given: list[Refund], revenue: int) -> dict[str, list[int]]:
    """Refund key -> what it took from each touchpoint of the path."""
    found: dict[str, list[int]] = {r.key: [0] * len(credits) for r in given}
    places = {c.touchpoint.id: i for i, c in enumerate(credits)}
    for entry in reversals_of(credits, given, revenue).entries:
        found[entry.refund_key][places[entry.touchpoint_id]] += entry.cents
    return found


def test_refunds_one_after_the_other_until_nothing_is_left() -> None:
    given = refunds(2500, 1, 5000, 5000)

    found = taken(gross([3334, 3333, 3333]), given, 10_000)

    assert found == {
        "r0": [-834, -833, -833],
        "r1": [-1, 0, 0],
        "r2": [-1666, -1667, -1667],
        "r3": [-833, -833, -833],
    }
    assert reversals_of(gross([3334, 3333, 3333]), given, 10_000).applied == {
        "r0": 2500,
        "r1": 1,
        "r2": 5000,
        "r3": 2499,
    }


def test_cancellation_takes_what_a_refund_has_left() -> None:
    assert taken(gross([4938, 2469, 4938]), refunds(1000, "cancelled"), 12_345) == {
        "r0": [-400, -200, -400],
        "cancellation": [-4538, -2269, -4538],
    }


def test_refund_of_more_than_the_order_closes_the_conversion() -> None:
    found = reversals_of(gross([3334, 3333, 3333]), refunds(12_000), 10_000)

    assert found.applied == {"r0": 10_000}
    assert [(e.cents, e.micros) for e in found.entries] == [(-3334, -333_334), (-3333, -333_333), (-3333, -333_333)]


def test_money_that_comes_back_after_the_cancellation_takes_nothing_more() -> None:
    cancelled = Refund("cancellation", "cancellation", 0)

    found = reversals_of(gross([5000, 5000]), [cancelled, Refund("r1", "refund", 10_000)], 10_000)

    assert found.applied == {"cancellation": 10_000, "r1": 0}
    assert {e.refund_key for e in found.entries} == {"cancellation"}


def test_free_order_is_closed_by_its_cancellation_only() -> None:
    credits = gross([0, 0])

    assert reversals_of(credits, refunds(0), 0).entries == ()
    assert [(e.cents, e.micros) for e in reversals_of(credits, refunds("cancelled"), 0).entries] == [
        (0, -500_000),
        (0, -500_000),
    ]


def test_partial_refund_leaves_the_conversion_counted() -> None:
    assert [e.micros for e in reversals_of(gross([5000, 5000]), refunds(9_999), 10_000).entries] == [0, 0]


split = st.lists(st.integers(0, 1000), min_size=1, max_size=8).filter(lambda w: sum(w) > 0)
ledger = st.lists(st.one_of(st.integers(0, 20_000), st.just("cancelled")), max_size=6)


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 50_000), split, split, ledger)
def test_entries_sum_to_what_was_applied_in_every_model(
    revenue: int, one: list[int], other: list[int], told: list[Any]
) -> None:
    first_cancelled = told.index("cancelled") + 1 if "cancelled" in told else len(told)
    told = [t for i, t in enumerate(told) if i < first_cancelled or t != "cancelled"]  # an order is cancelled once
    credits = [
        credit
        for model, weights in (("linear", one), ("time_decay", other))
        for credit in gross(apportion(revenue, weights), model, apportion(1_000_000, weights))
    ]

    found = reversals_of(credits, refunds(*told), revenue)

    assert sum(found.applied.values()) <= revenue
    sums: dict[tuple[str, str], int] = defaultdict(int)
    left = {(c.model, c.touchpoint.id): [c.cents, c.micros] for c in credits}
    for entry in found.entries:
        assert entry.cents <= 0
        assert entry.micros <= 0
        sums[entry.model, entry.refund_key] += entry.cents
        left[entry.model, entry.touchpoint_id][0] += entry.cents
        left[entry.model, entry.touchpoint_id][1] += entry.micros
    for model in ("linear", "time_decay"):
        assert all(sums[model, key] == -amount for key, amount in found.applied.items())
    assert all(cents >= 0 and micros >= 0 for cents, micros in left.values())
    closed = "cancelled" in told or (revenue > 0 and sum(found.applied.values()) == revenue)
    assert all(
        (micros == 0) == (closed or c.micros == 0) for c in credits for micros in [left[c.model, c.touchpoint.id][1]]
    )


@pytest.mark.parametrize("amount", [-1, -5000])
def test_negative_refund_is_no_refund(amount: int) -> None:
    with pytest.raises(ValueError, match="apportion"):
        reversals_of(gross([5000, 5000]), refunds(amount), 10_000)
