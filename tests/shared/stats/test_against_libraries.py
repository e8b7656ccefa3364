"""Every statistic against scipy and statsmodels, over many random cases: what the worked examples do not reach.

Both libraries are there for tests only. Asked for is 1e-9 absolute for probabilities above 1e-12.
"""

from __future__ import annotations

import itertools
import math
from random import Random
from typing import Any

import pytest

from shared.stats import (
    Paired,
    RatioSums,
    Sums,
    adjustment,
    best_of,
    beta_posterior,
    by_variance,
    goodness_of_fit,
    holm,
    homogeneity,
    normal_posterior,
    ratios,
    sequential,
    two_proportions,
    units_for_mean,
    units_for_rate,
    welch,
    welch_of_moments,
)
from shared.stats.special import (
    beta_cdf,
    chi_square_sf,
    gamma_sf,
    log_beta,
    normal_cdf,
    normal_quantile,
    normal_two_sided,
    t_quantile,
    t_sf,
    t_two_sided,
)

np = pytest.importorskip("numpy")
special = pytest.importorskip("scipy.special")
stats = pytest.importorskip("scipy.stats")
integrate = pytest.importorskip("scipy.integrate")
proportion = pytest.importorskip("statsmodels.stats.proportion")
weightstats = pytest.importorskip("statsmodels.stats.weightstats")
power = pytest.importorskip("statsmodels.stats.power")
multitest = pytest.importorskip("statsmodels.stats.multitest")

CASES = range(40)
EXACT = 1e-9


def near(value: Any, tolerance: float = EXACT) -> object:
    return pytest.approx(float(value), rel=1e-9, abs=tolerance)


def about(value: float) -> object:
    """A number of a worked example, as it is printed there."""
    return pytest.approx(value, rel=1e-6)


def sums(values: Any) -> Sums:
    whole = [int(value) for value in values]
    return Sums(len(whole), sum(whole), sum(value * value for value in whole))


def revenue(random: Random, n: int, *, scale: int = 5_000) -> list[int]:
    """Cents per visitor: mostly nothing, sometimes an order with a long tail."""
    return [int(random.lognormvariate(math.log(scale), 0.8)) if random.random() < 0.05 else 0 for _ in range(n)]


# -- distributions -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("z", [0.0, 0.3, 1.0, 1.96, 3.29, 6.0, 9.0, -2.5])
def test_normal(z: float) -> None:
    assert normal_cdf(z) == near(stats.norm.cdf(z), 1e-15)
    assert normal_two_sided(z) == pytest.approx(float(2 * stats.norm.sf(abs(z))), rel=1e-12)


@pytest.mark.parametrize("p", [1e-9, 0.001, 0.025, 0.5, 0.8, 0.975, 0.9995])
def test_normal_quantile(p: float) -> None:
    assert normal_quantile(p) == near(stats.norm.ppf(p))


@pytest.mark.parametrize("df", [0.7, 1, 2, 4.5, 19.99, 300, 8019.375, 99_000, 1e6, 1e9])
@pytest.mark.parametrize("t", [0.0, 0.1, 1.0, 1.96, 3.3, 7.0, -2.0])
def test_student(t: float, df: float) -> None:
    assert t_two_sided(t, df) == near(2 * stats.t.sf(abs(t), df))
    assert t_sf(t, df) == near(stats.t.sf(t, df))


@pytest.mark.parametrize("df", [1, 2.5, 8, 30, 500, 20_000])
@pytest.mark.parametrize("p", [0.01, 0.5, 0.9, 0.975, 0.9995])
def test_student_quantile(p: float, df: float) -> None:
    assert t_quantile(p, df) == near(stats.t.ppf(p, df), 1e-8)


@pytest.mark.parametrize("df", [1, 2, 3, 7, 9, 40])
@pytest.mark.parametrize("x", [1e-6, 0.4, 3.841, 22.7, 90.0, 300.0, 1_300.0])
def test_chi_square(x: float, df: float) -> None:
    """Far out too: a series cut short once made the worst splits look perfect."""
    assert chi_square_sf(x, df) == near(stats.chi2.sf(x, df))
    assert chi_square_sf(x, df) == pytest.approx(float(stats.chi2.sf(x, df)), rel=1e-9, abs=1e-300)
    assert gamma_sf(df / 2, x / 2) == near(special.gammaincc(df / 2, x / 2))


@pytest.mark.parametrize("seed", CASES)
def test_beta(seed: int) -> None:
    random = Random(seed)
    n = random.choice((3, 40, 1_000, 30_000, 1_000_000))
    a = random.randint(1, n)
    b = n - a + 1
    x = min(1 - 1e-12, max(1e-12, a / (a + b) + random.uniform(-3, 3) * math.sqrt(a * b / (a + b) ** 3)))

    assert log_beta(a, b) == pytest.approx(float(special.betaln(a, b)), rel=1e-12, abs=1e-10)
    assert beta_cdf(a, b, x) == near(special.betainc(a, b, x))


# -- comparisons -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", CASES)
def test_two_proportions(seed: int) -> None:
    random = Random(seed)
    n1, n2 = (random.randint(50, 200_000) for _ in range(2))
    x1, x2 = (max(1, int(n * random.uniform(0.005, 0.3))) for n in (n1, n2))
    alpha = random.choice((0.05, 0.01, 0.2))

    found = two_proportions(x1, n1, x2, n2, alpha=alpha)
    z, p = proportion.proportions_ztest([x2, x1], [n2, n1])
    low, high = proportion.confint_proportions_2indep(x2, n2, x1, n1, method="wald", compare="diff", alpha=alpha)

    assert (found.statistic, found.p) == (near(z), near(p))
    assert (found.low, found.high) == (near(low), near(high))


@pytest.mark.parametrize("seed", CASES)
def test_welch(seed: int) -> None:
    random = Random(seed)
    first, second = (revenue(random, random.randint(100, 600), scale=s) for s in (5_000, 6_500))

    found = welch(sums(first), sums(second))
    theirs = stats.ttest_ind(second, first, equal_var=False)
    interval = theirs.confidence_interval(0.95)

    assert (found.statistic, found.p, found.df) == (near(theirs.statistic), near(theirs.pvalue), near(theirs.df))
    assert (found.low, found.high) == (near(interval.low, 1e-6), near(interval.high, 1e-6))
    compared = weightstats.CompareMeans.from_data(second, first).ttest_ind(usevar="unequal")
    assert (found.statistic, found.p) == (near(compared[0]), near(compared[1]))


def test_welch_of_large_sums() -> None:
    """From sums alone, as a test has them."""
    first, second = Sums(4_000, 1_000_000, 6_000_000_000), Sums(4_100, 1_189_000, 7_900_000_000)
    moments = [(arm.mean, math.sqrt(arm.variance), arm.n) for arm in (second, first)]

    theirs = stats.ttest_ind_from_stats(*moments[0], *moments[1], equal_var=False)

    assert welch(first, second).p == near(theirs.pvalue)
    assert welch_of_moments(first.moments, second.moments).p == near(theirs.pvalue)


@pytest.mark.parametrize("seed", range(10))
def test_order_value_by_the_delta_method(seed: int) -> None:
    """The variance of a ratio of sums is that of its linearisation: the mean of (r - R c) / mean of c."""
    random = Random(seed)
    arms = []
    variances = []
    for _ in range(2):
        orders = [random.choice((0, 0, 0, 1, 1, 2)) for _ in range(400)]
        money = [count * random.randint(2_000, 9_000) for count in orders]
        product = sum(r * c for r, c in zip(money, orders, strict=True))
        arms.append(RatioSums(sums(money), sums(orders), product))
        residuals = np.array(money) - sum(money) / sum(orders) * np.array(orders)
        variances.append(residuals.var(ddof=1) / len(orders) / np.mean(orders) ** 2)
        assert arms[-1].variance == pytest.approx(float(variances[-1]), rel=1e-9)

    found = ratios(*arms)

    z = (arms[1].ratio - arms[0].ratio) / math.sqrt(sum(variances))
    assert (found.statistic, found.p) == (near(z), near(2 * stats.norm.sf(abs(z))))


@pytest.mark.parametrize("seed", CASES)
def test_holm(seed: int) -> None:
    random = Random(seed)
    given = [random.random() ** random.choice((1, 4)) for _ in range(random.randint(1, 9))]

    _, theirs, _, _ = multitest.multipletests(given, method="holm")

    assert holm(given) == [near(p) for p in theirs]


# -- looking all the time ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", CASES)
def test_sequential_is_the_mixture_of_likelihood_ratios(seed: int) -> None:
    """Lambda is the normal likelihood ratio, averaged over effects from Normal(0, tau squared); integrated by scipy."""
    random = Random(seed)
    variance = random.uniform(1e-6, 1e-4)
    tau = random.uniform(0.2, 3) * math.sqrt(variance)
    difference = random.uniform(-4, 4) * math.sqrt(variance)

    def likelihood(effect: float) -> float:
        ratio = math.exp(-((difference - effect) ** 2 - difference**2) / (2 * variance))
        return float(ratio * stats.norm.pdf(effect, 0, tau))

    mixture, _ = integrate.quad(likelihood, -12 * tau, 12 * tau, points=[0, difference], limit=200, epsabs=1e-12)
    found = sequential(difference, variance, tau)

    assert found.ratio == pytest.approx(mixture, rel=1e-7)
    assert found.p == pytest.approx(min(1.0, 1 / mixture), rel=1e-7)


def test_interval_of_the_sequential_test_is_where_it_turns() -> None:
    """A difference of 0 is refused at alpha exactly when it lies outside the interval."""
    variance, tau, alpha = 6.3804e-6, 0.003, 0.05
    for difference in (0.006, 0.0101, -0.02):
        found = sequential(difference, variance, tau, alpha=alpha)
        reach = found.high - difference
        assert sequential(reach, variance, tau, alpha=alpha).p == pytest.approx(alpha, rel=1e-9)


def test_looking_a_hundred_times_refuses_no_more_than_alpha() -> None:
    """Without any effect: of 400 tests that are looked at 100 times each, the fixed p is fooled often, ours is not."""
    random = np.random.default_rng(20261120)
    steps = random.binomial(100, 0.05, size=(400, 2, 100)).cumsum(axis=2)
    fooled_fixed = fooled = 0
    for first, second in steps:
        fixed, ours = 1.0, 1.0
        for look in range(100):
            n = 100 * (look + 1)
            found = two_proportions(int(first[look]), n, int(second[look]), n)
            fixed = min(fixed, found.p)
            if found.variance > 0:
                ours = min(ours, sequential(found.difference, found.variance, 0.005).p)
        fooled_fixed += fixed <= 0.05
        fooled += ours <= 0.05

    assert fooled <= 0.05 * 400
    assert fooled_fixed > 0.25 * 400


# -- counts ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", CASES)
def test_traffic_split(seed: int) -> None:
    random = Random(seed)
    observed = [random.randint(400, 900) for _ in range(random.randint(2, 10))]
    shares = [random.randint(5, 40) for _ in observed]
    expected = [sum(observed) * share / sum(shares) for share in shares]

    found = goodness_of_fit(observed, expected)
    theirs = stats.chisquare(observed, expected)

    assert (found.statistic, found.p) == (near(theirs.statistic), near(theirs.pvalue))


@pytest.mark.parametrize("seed", CASES)
def test_homogeneity(seed: int) -> None:
    random = Random(seed)
    columns = random.randint(2, 11)
    rows = [[random.randint(1, 500) for _ in range(columns)] for _ in range(2)]

    found, strength = homogeneity(rows)
    theirs = stats.contingency.chi2_contingency(rows, correction=False)

    assert (found.statistic, found.df, found.p) == (near(theirs.statistic), theirs.dof, near(theirs.pvalue))
    assert strength == near(stats.contingency.association(np.array(rows), method="cramer", correction=False))


# -- beliefs -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(12))
def test_better_of_two_rates(seed: int) -> None:
    random = Random(seed)
    n1, n2 = (random.choice((30, 800, 20_000)) for _ in range(2))
    x1, x2 = int(n1 * random.uniform(0.01, 0.1)), int(n2 * random.uniform(0.01, 0.1))
    one, two = stats.beta(1 + x1, 1 + n1 - x1), stats.beta(1 + x2, 1 + n2 - x2)
    cuts = sorted({min(1.0, max(0.0, arm.mean() + w * arm.std())) for arm in (one, two) for w in (-9, -3, 0, 3, 9, 25)})

    def integral(f: Any) -> float:
        return math.fsum(integrate.quad(f, a, b, limit=200, epsabs=1e-13)[0] for a, b in itertools.pairwise(cuts))

    best, loss = best_of([beta_posterior(x1, n1), beta_posterior(x2, n2)])

    assert best[1] == pytest.approx(integral(lambda x: two.pdf(x) * one.cdf(x)), abs=1e-8)
    assert sum(best) == pytest.approx(1, abs=1e-9)
    # E max = mean of two + what one is above two.
    above = integral(lambda x: (1 - one.cdf(x)) * two.cdf(x))
    assert loss[1] == pytest.approx(above, abs=1e-9)


@pytest.mark.parametrize("seed", range(12))
def test_better_of_two_means_has_a_closed_form(seed: int) -> None:
    """Phi of the difference over its sd; the expected loss is the normal loss function."""
    random = Random(seed)
    means = [random.uniform(200, 300) for _ in range(2)]
    variances = [random.uniform(50, 900) for _ in range(2)]
    difference, sd = means[1] - means[0], math.sqrt(sum(variances))

    best, loss = best_of([normal_posterior(m, v) for m, v in zip(means, variances, strict=True)])

    z = difference / sd
    assert best[1] == pytest.approx(float(stats.norm.cdf(z)), abs=1e-9)
    assert loss[1] == pytest.approx(float(sd * (stats.norm.pdf(z) - z * stats.norm.sf(z))), abs=1e-6)


# -- planning ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", CASES)
def test_units_for_a_mean(seed: int) -> None:
    """The normal formula by statsmodels, for a standardised effect; rounded up to whole units."""
    random = Random(seed)
    mean, variance, effect = random.uniform(100, 900), random.uniform(1e5, 4e6), random.choice((0.05, 0.1, 0.3))
    challengers, alpha, wanted = random.randint(1, 4), random.choice((0.05, 0.01)), random.choice((0.8, 0.9))

    found = units_for_mean(mean, variance, effect, alpha=alpha, power=wanted, challengers=challengers)
    theirs = power.zt_ind_solve_power(
        effect_size=effect * mean / math.sqrt(variance), alpha=alpha / challengers, power=wanted, ratio=1
    )

    # statsmodels counts the far tail too, which is nothing at these powers; it solves numerically.
    assert found is not None
    assert abs(found - math.ceil(theirs)) <= max(1, 1e-6 * theirs)


@pytest.mark.parametrize("effect", [0.1, 0.2, -0.15])
def test_units_for_a_mean_give_the_power(effect: float) -> None:
    mean, variance = 250.0, 1.5e6
    units = units_for_mean(mean, variance, effect)
    assert units is not None

    reached = power.zt_ind_solve_power(effect_size=abs(effect) * mean / math.sqrt(variance), nobs1=units, alpha=0.05)

    assert reached == pytest.approx(0.8, abs=1e-4)


def test_units_for_a_mean_without_a_baseline() -> None:
    assert units_for_mean(0, 100, 0.1) is None
    assert units_for_mean(250, 100, 0) is None
    assert units_for_mean(250, 0, 0.1) == 0


@pytest.mark.parametrize("seed", CASES)
def test_units_for_a_rate(seed: int) -> None:
    random = Random(seed)
    baseline, effect = random.uniform(0.01, 0.3), random.choice((0.05, 0.1, 0.4))
    alpha = random.choice((0.05, 0.01))
    found = units_for_rate(baseline, effect, alpha=alpha)
    assert found is not None

    reached = proportion.power_proportions_2indep(
        baseline * effect, baseline, found, ratio=1, alpha=alpha, value=0, return_results=False
    )

    assert reached == pytest.approx(0.8, abs=2e-3)


# -- covariates --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", CASES)
def test_covariate(seed: int) -> None:
    """Against the values themselves: one theta from numpy, then Welch of scipy on the corrected values."""
    random = np.random.default_rng(seed)
    before = [random.poisson(6, 60), random.poisson(7, 70)]
    money = [(40 * x + random.integers(0, 300, len(x)) + 15 * arm).astype(int) for arm, x in enumerate(before)]
    arms = [Paired(sums(y), sums(x), int((x * y).sum())) for x, y in zip(before, money, strict=True)]
    x, y = np.concatenate(before), np.concatenate(money)
    theta = np.cov(x, y, ddof=1)[0, 1] / x.var(ddof=1)
    corrected = [m - theta * (b - x.mean()) for b, m in zip(before, money, strict=True)]

    found = adjustment(arms)

    assert found is not None
    assert found.theta == near(theta)
    assert found.correlation == near(np.corrcoef(x, y)[0, 1])
    ours = welch_of_moments(found.apply(arms[0]), found.apply(arms[1]))
    theirs = stats.ttest_ind(corrected[1], corrected[0], equal_var=False)
    assert (ours.statistic, ours.p, ours.df) == (near(theirs.statistic), near(theirs.pvalue), near(theirs.df))


def test_covariate_by_the_worked_example() -> None:
    money = ((0, 20, 0, 35, 10, 0, 40, 15), (5, 25, 0, 50, 12, 3, 44, 20))
    before = ((0, 12, 2, 30, 8, 1, 33, 10), (2, 14, 1, 38, 6, 2, 30, 13))
    arms = [
        Paired(sums(y), sums(x), sum(a * b for a, b in zip(x, y, strict=True)))
        for x, y in zip(before, money, strict=True)
    ]

    found = adjustment(arms)

    assert found is not None
    assert (found.theta, found.mean) == (about(1.291280056), 12.625)
    assert (found.correlation, found.variance_reduction) == (about(0.9829911524), about(0.9662716056))
    first, second = (found.apply(arm) for arm in arms)
    assert (first.mean, second.mean) == (about(15.80705003), about(19.06794997))
    assert (first.variance, second.variance) == (about(7.418664808), about(7.33927745))
    compared = welch_of_moments(first, second)
    assert (compared.statistic, compared.df, compared.p) == (
        about(2.400875067),
        about(13.99959490),
        about(0.03081768907),
    )


def test_known_variance() -> None:
    found = by_variance(0.0055, 0.00004502391667, 0.03)

    assert found.p == near(2 * stats.norm.sf(0.0055 / math.sqrt(0.00004502391667)))
