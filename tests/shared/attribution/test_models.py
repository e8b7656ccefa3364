"""The seven models: worked examples, an oracle for the data-driven one, and what holds for any path."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from fractions import Fraction
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.attribution.credits import credits_of, path_hash, paths_of
from shared.attribution.models import MODELS, Parameters, PositionWeights
from shared.attribution.settings import AttributionSettings
from shared.attribution.touchpoints import Touchpoint
from shared.money import apportion
from tests.builders.attribution import ORDER_AT, a_path, a_touchpoint
from tests.shared.attribution.chains import (
    Paths,
    chain_of,
    channels_of,
    conversion_probability,
    removal_effects,
    shapley_values,
    shares,
    walked_probability,
)

SETTINGS = AttributionSettings(ZoneInfo("UTC"))
PLAIN = Parameters()

SMALL: Paths = [("ABC", 1, 0), ("BC", 0, 1), ("C", 1, 0)]
"""A>B>C converts once, B>C is lost once, C converts once."""
MARKET: Paths = [
    (("paid_social", "email"), 30, 170),
    (("paid_social",), 10, 290),
    (("email",), 20, 180),
    (("paid_search", "email"), 25, 75),
    (("paid_search",), 15, 135),
    (("paid_social", "paid_search"), 20, 130),
]
LOOPS: Paths = [("AAB", 2, 0), ("AB", 0, 3), ("B", 1, 4)]


def split(
    model: str, path: Sequence[Touchpoint], revenue_cents: int, parameters: Parameters = PLAIN
) -> tuple[list[int], list[int]]:
    """(cents, millionths) per touchpoint of `path`, 0 where it has no row."""
    chosen = replace(SETTINGS, models=(model,), parameters=parameters)
    found = {c.touchpoint.id: c for c in credits_of({"ltv": path}, revenue_cents, chosen)}
    return (
        [found[t.id].cents if t.id in found else 0 for t in path],
        [found[t.id].micros if t.id in found else 0 for t in path],
    )


def aged(hours: Sequence[float]) -> list[Touchpoint]:
    """A path of clicks so many hours before the order."""
    return [a_touchpoint(age_h=age, id=f"p{i}") for i, age in enumerate(hours)]


# -- worked examples, all numbers by integer arithmetic on paper ----------------------------------------------------


@pytest.mark.parametrize(
    ("n", "revenue", "cents", "micros"),
    [
        (3, 10_000, [3334, 3333, 3333], [333_334, 333_333, 333_333]),
        (7, 9_999, [1429, 1429, 1429, 1428, 1428, 1428, 1428], [142_858, *[142_857] * 6]),
    ],
    ids=["three", "seven"],
)
def test_linear_gives_the_odd_cents_to_the_first(n: int, revenue: int, cents: list[int], micros: list[int]) -> None:
    assert split("linear", a_path(["email"] * n), revenue) == (cents, micros)


@pytest.mark.parametrize(
    ("position", "n", "revenue", "cents", "micros"),
    [
        (PositionWeights(), 1, 12_345, [12_345], None),
        (PositionWeights(), 2, 12_345, [6173, 6172], None),
        (PositionWeights(), 3, 12_345, [4938, 2469, 4938], None),
        (PositionWeights(), 4, 9_999, [4000, 1000, 1000, 3999], None),
        (PositionWeights(), 5, 10_001, [4000, 667, 667, 667, 4000], [400_000, 66_667, 66_667, 66_666, 400_000]),
        (PositionWeights(30, 40, 30), 4, 9_999, [3000, 2000, 2000, 2999], [300_000, 200_000, 200_000, 300_000]),
    ],
    ids=["one", "two", "three", "four", "five", "30-40-30"],
)
def test_position_based(
    position: PositionWeights, n: int, revenue: int, cents: list[int], micros: list[int] | None
) -> None:
    found = split("position_based", a_path(["email"] * n), revenue, Parameters(position=position))

    assert found[0] == cents
    assert micros is None or found[1] == micros


@pytest.mark.parametrize(
    ("half_life_h", "ages", "revenue", "cents", "micros"),
    [
        (168, [336, 168, 0], 10_000, [1429, 2857, 5714], [142_857, 285_714, 571_429]),
        (168, [240, 72, 24], 25_999, [4781, 9562, 11_656], [183_890, 367_781, 448_329]),
        (24, [48, 24, 0], 7_000, [1000, 2000, 4000], None),
        (168, [8760, 0], 10_000, [0, 10_000], [0, 1_000_000]),
    ],
    ids=["a week each", "uneven", "half-life of a day", "a year before"],
)
def test_time_decay_halves_by_half_life(
    half_life_h: int, ages: list[float], revenue: int, cents: list[int], micros: list[int] | None
) -> None:
    found = split("time_decay", aged(ages), revenue, Parameters(half_life_h=half_life_h))

    assert found[0] == cents
    assert micros is None or found[1] == micros


@pytest.mark.parametrize(
    ("channels", "cents"),
    [
        (["email", "paid_social", "direct", "direct"], [0, 5000, 0, 0]),
        (["direct", "direct"], [0, 5000]),
        (["email", "(DIRECT)", "none", ""], [5000, 0, 0, 0]),
    ],
    ids=["the last that is not", "all direct", "every spelling of direct"],
)
def test_last_non_direct(channels: list[str], cents: list[int]) -> None:
    assert split("last_non_direct", a_path(channels), 5_000)[0] == cents


def test_direct_with_a_campaign_or_a_click_id_is_not_direct() -> None:
    path = [
        a_touchpoint("email", age_h=3, id="mail"),
        a_touchpoint("direct", age_h=2, id="click", click_ids=frozenset({("gclid", "g1")})),
        a_touchpoint("direct", age_h=1, id="campaign", campaign="Spring"),
    ]

    assert split("last_non_direct", path, 5_000)[0] == [0, 0, 5000]
    assert split("last_non_direct", path[:2], 5_000)[0] == [0, 5000]


def test_first_and_last_touch_take_all() -> None:
    path = a_path(["email", "paid_social", "direct"])

    assert split("first_touch", path, 4_999)[0] == [4999, 0, 0]
    assert split("last_touch", path, 4_999)[0] == [0, 0, 4999]


# -- the data-driven model against a chain solved apart -------------------------------------------------------------


def test_small_chain_has_the_removal_effects_worked_by_hand() -> None:
    effects = removal_effects(SMALL)

    assert conversion_probability(chain_of(SMALL), "ABC") == Fraction(2, 3)
    assert effects == {"A": Fraction(1, 3), "B": Fraction(2, 3), "C": Fraction(1)}
    assert shares(effects) == {"A": Fraction(1, 6), "B": Fraction(1, 3), "C": Fraction(1, 2)}
    assert [round(float(2 * s), 6) for s in shares(effects).values()] == [0.333333, 0.666667, 1.0]


def test_market_has_the_removal_effects_worked_by_hand() -> None:
    effects = removal_effects(MARKET)

    assert conversion_probability(chain_of(MARKET), channels_of(MARKET)) == Fraction(6, 55)
    assert effects == {"email": Fraction(5, 8), "paid_search": Fraction(5, 12), "paid_social": Fraction(47, 96)}
    assert [round(float(120 * s), 6) for s in shares(effects).values()] == [48.979592, 32.653061, 38.367347]


def test_repeats_in_a_row_are_one_visit() -> None:
    assert conversion_probability(chain_of(LOOPS), "AB") == Fraction(3, 10)
    assert removal_effects(LOOPS) == {"A": Fraction(1, 2), "B": Fraction(1)}
    assert shares(removal_effects(LOOPS)) == {"A": Fraction(1, 3), "B": Fraction(2, 3)}


@pytest.mark.parametrize("paths", [SMALL, MARKET, LOOPS], ids=["small", "market", "loops"])
def test_solving_the_chain_agrees_with_walking_it(paths: Paths) -> None:
    chain, channels = chain_of(paths), channels_of(paths)

    for kept in [channels, *[[c for c in channels if c != left] for left in channels]]:
        assert walked_probability(chain, kept) == pytest.approx(float(conversion_probability(chain, kept)), abs=1e-12)


def test_shapley_values_by_every_order_of_joining() -> None:
    small, market = shapley_values(SMALL), shapley_values(MARKET)
    worth = {kept: conversion_probability(chain_of(MARKET), kept) for kept in [("email",), ("paid_search",)]}

    assert small == {"A": Fraction(2, 27), "B": Fraction(5, 27), "C": Fraction(11, 27)}
    assert worth == {("email",): Fraction(3, 110), ("paid_search",): Fraction(7, 352)}
    assert market == {"email": Fraction(3, 64), "paid_search": Fraction(7, 220), "paid_social": Fraction(107, 3520)}
    assert sum(market.values(), Fraction(0)) == Fraction(6, 55)
    assert [round(float(s), 6) for s in shares(market).values()] == [0.429688, 0.291667, 0.278646]


def test_shapley_of_counts_shares_each_conversion_over_its_channels() -> None:
    counted = dict.fromkeys(channels_of(MARKET), Fraction(0))
    for channels, won, _ in MARKET:
        for channel in set(channels):
            counted[channel] += Fraction(won, len(set(channels)))

    assert counted == {"email": Fraction(95, 2), "paid_search": Fraction(75, 2), "paid_social": Fraction(35)}


@pytest.mark.parametrize(
    ("channels", "revenue", "cents", "micros"),
    [
        (["paid_social", "paid_search", "email"], 10_000, [3197, 2721, 4082], None),
        (["paid_social", "email", "email"], 8_999, [3953, 2523, 2523], [439_252, 280_374, 280_374]),
    ],
    ids=["each once", "email twice"],
)
def test_data_driven_credits_follow_the_removal_effects(
    channels: list[str], revenue: int, cents: list[int], micros: list[int] | None
) -> None:
    trained = Parameters(removal_effects=removal_effects(MARKET))

    found = split("data_driven", a_path(channels), revenue, trained)

    assert found[0] == cents
    assert micros is None or found[1] == micros


def test_data_driven_with_unknown_and_direct_channels() -> None:
    trained = Parameters(removal_effects={"email": Fraction(1, 2), "paid_social": Fraction(1, 4)})

    # A podcast counts like the mean of the known ones, 3/8, to email's 4/8: 3 of 7. Direct gets nothing beside others.
    assert split("data_driven", a_path(["podcast", "direct", "email"]), 7_000, trained)[0] == [3000, 0, 4000]
    assert split("data_driven", a_path(["direct", "direct"]), 7_001, trained)[0] == [3501, 3500]


@pytest.mark.parametrize("effects", [{}, {"email": Fraction(0)}], ids=["no model", "a model without effects"])
def test_data_driven_falls_back_to_linear(effects: dict[str, Fraction]) -> None:
    path = a_path(["email", "email", "email"])

    assert split("data_driven", path, 10_000, Parameters(removal_effects=effects))[0] == [3334, 3333, 3333]


def test_apportioned_conversions() -> None:
    assert apportion(3, [1_400_000, 800_000, 800_000]) == [1, 1, 1]
    assert apportion(3, [2_600_000, 400_000]) == [3, 0]


# -- paths ----------------------------------------------------------------------------------------------------------


def ids_of(candidates: Sequence[Touchpoint], window: str, *, views: bool = False) -> list[str]:
    chosen = replace(SETTINGS, windows=(window,), views=views)
    return [t.id for t in paths_of(candidates, ORDER_AT, chosen)[window]]


def test_window_holds_both_its_ends() -> None:
    edges = [168.0, 168.001, 0.0, -0.001]
    candidates = [a_touchpoint(age_h=age, id=str(age)) for age in edges]

    assert ids_of(candidates, "7d") == ["168.0", "0.0"]


def test_views_count_for_a_day_and_only_where_they_are_wanted() -> None:
    views = [a_touchpoint(age_h=age, id=f"view{age}", kind="view") for age in (3, 24, 25)]
    candidates = [*views, a_touchpoint(age_h=2, id="click"), a_touchpoint(age_h=1, id="code", kind="engagement")]

    assert ids_of(candidates, "30d", views=True) == ["view24", "view3", "click", "code"]
    assert ids_of(candidates, "30d") == ["click", "code"]


def test_repeats_of_a_visit_within_half_an_hour_are_the_earlier_one() -> None:
    candidates = [a_touchpoint(age_h=2 - m / 60, id=f"m{m}", session_id="s1") for m in (0, 20, 30, 31, 61, 62)]
    other = a_touchpoint(age_h=2 - 5 / 60, id="other", session_id="s2")

    assert ids_of([*candidates, other], "1d") == ["m0", "other", "m31", "m62"]


def test_long_path_keeps_the_first_and_the_latest() -> None:
    candidates = [a_touchpoint(age_h=60 - i, id=f"t{i:02}") for i in range(60)]

    path = ids_of(candidates, "7d")

    assert len(path) == 50
    assert path == ["t00", *[f"t{i:02}" for i in range(11, 60)]]


def test_touchpoints_of_one_instant_are_ordered_by_id() -> None:
    candidates = [a_touchpoint(channel, age_h=1, id=id) for channel, id in (("email", "b"), ("sms", "a"))]

    assert ids_of(candidates, "1d") == ["a", "b"]


# -- what holds for any path ----------------------------------------------------------------------------------------

CHANNELS = ["paid_social", "paid_search", "email", "direct", "creator", "podcast", ""]
candidate = st.builds(
    lambda channel, seconds, number, kind: replace(
        a_touchpoint(channel, id=f"t{number}", kind=kind, session_id=f"s{number % 5}"),
        occurred_at=ORDER_AT - timedelta(seconds=seconds),
    ),
    st.sampled_from(CHANNELS),
    st.integers(0, 400 * 86_400),
    st.integers(0, 10**9),
    st.sampled_from(["click", "engagement", "view"]),
)
candidates_of_an_order = st.lists(candidate, max_size=70, unique_by=lambda t: t.id)
parameters = st.builds(
    Parameters,
    half_life_h=st.integers(1, 10_000),
    position=st.builds(PositionWeights, st.integers(1, 100), st.integers(0, 100), st.integers(0, 100)),
    removal_effects=st.dictionaries(
        st.sampled_from(CHANNELS), st.fractions(0, 1, max_denominator=10**6), max_size=len(CHANNELS)
    ),
)
windows = st.sampled_from([("1d",), ("7d", "30d"), ("1d", "3d", "7d", "14d", "28d", "30d", "90d", "ltv")])


@settings(max_examples=60, deadline=None)
@given(candidates_of_an_order, st.integers(0, 10**9), parameters, windows, st.booleans())
def test_credits_of_any_order_sum_exactly_and_are_never_negative(
    candidates: list[Touchpoint], revenue: int, given: Parameters, enabled: tuple[str, ...], views: bool
) -> None:
    chosen = replace(SETTINGS, parameters=given, windows=enabled, views=views)

    paths = paths_of(candidates, ORDER_AT, chosen)
    credits = credits_of(paths, revenue, chosen)

    for window, path in paths.items():
        assert len(path) <= 50
        assert [t.id for t in path] == [t.id for t in sorted(path, key=lambda t: (t.occurred_at, t.id))]
        for model in MODELS:
            mine = [c for c in credits if (c.model, c.window) == (model, window)]
            assert sum(c.cents for c in mine) == (revenue if path else 0)
            assert sum(c.micros for c in mine) == (1_000_000 if path else 0)
            assert all(c.cents >= 0 and c.micros >= 0 and c.cents + c.micros > 0 for c in mine)
            assert all(path[c.position - 1] == c.touchpoint and c.total == len(path) for c in mine)


@settings(max_examples=30, deadline=None)
@given(candidates_of_an_order, st.randoms(use_true_random=False), parameters)
def test_order_in_which_touchpoints_are_read_does_not_matter(
    candidates: list[Touchpoint], random: object, given: Parameters
) -> None:
    chosen = replace(SETTINGS, parameters=given)
    shuffled = list(candidates)
    random.shuffle(shuffled)  # type: ignore[attr-defined]

    one, other = (paths_of(c, ORDER_AT, chosen) for c in (candidates, shuffled))

    assert credits_of(one, 12_345, chosen) == credits_of(other, 12_345, chosen)
    assert path_hash(one, 12_345, "USD") == path_hash(other, 12_345, "USD")


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 3000), min_size=1, max_size=30, unique=True), st.integers(1, 1000))
def test_decay_is_never_larger_for_an_older_touchpoint(ages: list[int], half_life_h: int) -> None:
    path = aged(sorted(ages, reverse=True))

    weights = MODELS["time_decay"](path, Parameters(half_life_h=half_life_h))

    assert weights == sorted(weights)
    assert weights[-1] == 10**12
    assert all(
        abs(w - 10**12 * 2.0 ** -((age - min(ages)) / half_life_h)) < 1
        for w, age in zip(weights, sorted(ages, reverse=True), strict=True)
    )
