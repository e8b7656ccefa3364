"""Distribution functions and posteriors against published tables and worked examples."""

from __future__ import annotations

import math

import pytest

from shared.stats import Sums, best_of, beta_posterior, normal_posterior
from shared.stats.special import (
    beta_cdf,
    chi_square_sf,
    log_beta,
    normal_cdf,
    normal_quantile,
    t_quantile,
    t_sf,
    t_two_sided,
)


def near(value: float) -> object:
    return pytest.approx(value, rel=1e-6)


@pytest.mark.parametrize(
    ("p", "df", "t"),
    [
        # NIST/SEMATECH e-Handbook of Statistical Methods, table 1.3.6.7.2
        (0.975, 1, 12.706),
        (0.975, 10, 2.228),
        (0.99, 30, 2.457),
        (0.999, 100, 3.174),
        (0.95, 5, 2.015),
    ],
)
def test_t_quantile_as_in_the_table(p: float, df: int, t: float) -> None:
    assert t_quantile(p, df) == pytest.approx(t, abs=5.1e-4)
    assert t_quantile(1 - p, df) == pytest.approx(-t, abs=5.1e-4)


def test_t_with_closed_forms() -> None:
    """One and two degrees of freedom have closed forms; 1e-9 is asked for."""
    assert t_sf(1.0, 1) == pytest.approx(0.25, abs=1e-14)
    assert t_sf(2.0, 2) == pytest.approx(0.5 * (1 - 2 / 6**0.5), abs=1e-14)
    assert t_two_sided(1.959963984540054, 1e9) == pytest.approx(0.05, abs=1e-9)
    assert t_quantile(0.975, 19.99005623) == pytest.approx(2.086029969, rel=1e-9)


@pytest.mark.parametrize(
    ("x", "df", "p"),
    [
        # NIST/SEMATECH e-Handbook, table 1.3.6.7.4
        (3.841, 1, 0.05),
        (18.307, 10, 0.05),
        (149.449, 100, 0.001),
        (13.277, 4, 0.01),
    ],
)
def test_chi_square_as_in_the_table(x: float, df: int, p: float) -> None:
    assert chi_square_sf(x, df) == pytest.approx(p, rel=2e-3)


def test_chi_square_far_out() -> None:
    """A series cut short once gave 0.99999 here."""
    assert chi_square_sf(300, 1) == pytest.approx(3.3e-67, rel=0.05)
    assert chi_square_sf(2, 2) == pytest.approx(0.36787944117144233, abs=1e-15)


def test_normal() -> None:
    assert normal_cdf(1.959963984540054) == pytest.approx(0.975, abs=1e-15)
    assert normal_quantile(0.9995) == pytest.approx(3.2905267314919255, abs=1e-12)


@pytest.mark.parametrize(("a", "b", "x"), [(2, 3, 0.4), (301, 9701, 0.031), (0.5, 0.5, 0.2), (4000, 0.5, 0.9999)])
def test_beta_is_symmetric(a: float, b: float, x: float) -> None:
    assert beta_cdf(a, b, x) == pytest.approx(1 - beta_cdf(b, a, 1 - x), abs=1e-10)


def test_beta_with_whole_parameters_is_a_binomial_tail() -> None:
    assert beta_cdf(2, 3, 0.4) == pytest.approx(0.5248, abs=1e-14)
    assert log_beta(20, 30) == pytest.approx(math.lgamma(20) + math.lgamma(30) - math.lgamma(50), abs=1e-12)
    assert log_beta(0.5, 80) == pytest.approx(math.lgamma(0.5) + math.lgamma(80) - math.lgamma(80.5), abs=1e-12)


def test_t_goes_over_into_its_approximation_without_a_step() -> None:
    assert t_two_sided(2.3, 99_999) == pytest.approx(t_two_sided(2.3, 100_001), abs=1e-9)


def test_better_of_two_rates() -> None:
    best, loss = best_of([beta_posterior(300, 10_000), beta_posterior(360, 10_000)])

    assert best == [near(0.008784633694), near(0.9912153663)]
    assert loss == [near(0.006006232228), pytest.approx(0.000007431988216, rel=1e-5)]


def test_best_of_three_rates() -> None:
    best, _ = best_of([beta_posterior(x, 1000) for x in (40, 52, 61)])

    assert best == [near(0.008368894566), near(0.1901657492), near(0.8014653562)]


def test_better_of_two_means() -> None:
    arms = (Sums(4000, 1_000_000, 6_000_000_000), Sums(4100, 1_189_000, 7_900_000_000))
    best, loss = best_of([normal_posterior(arm.mean, arm.variance / arm.n) for arm in arms])

    assert best[1] == near(0.920183529)
    assert loss == [near(41.02855963), near(1.028559632)]


def test_arms_of_very_different_width() -> None:
    best, _ = best_of([beta_posterior(0, 5), beta_posterior(30_000, 1_000_000)])

    assert sum(best) == pytest.approx(1, abs=1e-9)
