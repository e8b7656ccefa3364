"""Distribution functions without a numerics library: normal, Student t, chi-square, beta.

Probabilities are right to 1e-9 absolute and better. The incomplete functions follow Numerical Recipes, chapter 6: the
continued fraction is evaluated by Lentz's method. The logarithm of the beta function goes through Stirling's
correction where its arguments are large, because differences of log gamma lose digits there.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist

_TINY = 1e-300
"""What stands for 0 in a denominator of Lentz's method."""
_EPS = 1e-16
_MAX_STEPS = 200_000
"""Steps of a fraction or series; it needs about the square root of its largest argument."""
_LARGE = 10.0
"""From here on Stirling's correction is exact to a double."""
_NEARLY_NORMAL = 1e5
"""Degrees of freedom from which on Student's t is taken by a normal approximation that errs by 1 / df squared."""
_HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)
_STANDARD = NormalDist()


def normal_cdf(x: float) -> float:
    """P(Z <= x) of the standard normal."""
    return 0.5 * math.erfc(-x / math.sqrt(2))


def normal_two_sided(z: float) -> float:
    """P(|Z| >= |z|)."""
    return math.erfc(abs(z) / math.sqrt(2))


def normal_quantile(p: float) -> float:
    """The z with P(Z <= z) = p, 0 < p < 1."""
    return _STANDARD.inv_cdf(p)


def log_beta(a: float, b: float) -> float:
    """ln B(a, b) for a, b > 0."""
    p, q = min(a, b), max(a, b)
    if p <= 0:
        raise ValueError("the beta function needs arguments above 0")
    share = p / (p + q)
    if p >= _LARGE:
        correction = _stirling(p) + _stirling(q) - _stirling(p + q)
        return -0.5 * math.log(q) + _HALF_LOG_2PI + correction + (p - 0.5) * math.log(share) + q * math.log1p(-share)
    if q >= _LARGE:
        correction = _stirling(q) - _stirling(p + q)
        return math.lgamma(p) + correction + p - p * math.log(p + q) + (q - 0.5) * math.log1p(-share)
    return math.lgamma(p) + math.lgamma(q) - math.lgamma(p + q)


def _stirling(x: float) -> float:
    """ln gamma(x) less its leading terms (x - 1/2) ln x - x + ln(2 pi) / 2, x >= 10."""
    y = 1 / (x * x)
    series = 1 / 12 - y * (1 / 360 - y * (1 / 1260 - y * (1 / 1680 - y * (1 / 1188 - y * (691 / 360360 - y / 156)))))
    return series / x


def beta_cdf(a: float, b: float, x: float, rest: float | None = None) -> float:
    """The regularised incomplete beta function I_x(a, b). `rest` is 1 - x, where the caller knows it more exactly."""
    y = 1 - x if rest is None else rest
    if x <= 0:
        return 0.0
    if y <= 0:
        return 1.0
    log_x = math.log(x) if x < 0.5 else math.log1p(-y)
    log_y = math.log(y) if y < 0.5 else math.log1p(-x)
    front = math.exp(a * log_x + b * log_y - log_beta(a, b))
    if x < (a + 1) / (a + b + 2):
        return front * _beta_fraction(a, b, x) / a
    return 1 - front * _beta_fraction(b, a, y) / b


def _beta_fraction(a: float, b: float, x: float) -> float:
    def coefficient(m: int, odd: bool) -> float:
        if odd:
            return -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        return m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))

    d = _off_zero(1 - (a + b) * x / (a + 1))
    c, d = 1.0, 1 / d
    value = d
    for m in range(1, _MAX_STEPS):
        change = 1.0
        for odd in (False, True):
            term = coefficient(m, odd)
            d = 1 / _off_zero(1 + term * d)
            c = _off_zero(1 + term / c)
            change = c * d
            value *= change
        if abs(change - 1) < 4 * _EPS:
            return value
    raise ArithmeticError("the incomplete beta function did not converge")


def _off_zero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY


def gamma_sf(a: float, x: float) -> float:
    """The upper regularised incomplete gamma function Q(a, x), a > 0, x >= 0."""
    if a <= 0 or x < 0:
        raise ValueError("the incomplete gamma function needs a > 0 and x >= 0")
    if x == 0:
        return 1.0
    front = math.exp(a * math.log(x) - x - math.lgamma(a))
    return 1 - front * _gamma_series(a, x) if x < a + 1 else front * _gamma_fraction(a, x)


def _gamma_series(a: float, x: float) -> float:
    term = total = 1 / a
    for n in range(1, _MAX_STEPS):
        term *= x / (a + n)
        total += term
        if term < total * _EPS:
            return total
    raise ArithmeticError("the incomplete gamma function did not converge")


def _gamma_fraction(a: float, x: float) -> float:
    b = x + 1 - a
    c, d = 1 / _TINY, 1 / _off_zero(b)
    value = d
    for n in range(1, _MAX_STEPS):
        term = -n * (n - a)
        b += 2
        d = 1 / _off_zero(term * d + b)
        c = _off_zero(b + term / c)
        value *= c * d
        if abs(c * d - 1) < 4 * _EPS:
            return value
    raise ArithmeticError("the incomplete gamma function did not converge")


def chi_square_sf(x: float, df: float) -> float:
    """P(X >= x) of chi-square with `df` degrees of freedom; 0.0 where a double can say no less."""
    return gamma_sf(df / 2, x / 2)


def t_two_sided(t: float, df: float) -> float:
    """P(|T| >= |t|) of Student's t with `df` > 0 degrees of freedom (not necessarily whole)."""
    if df <= 0:
        raise ValueError("Student's t needs degrees of freedom above 0")
    square = t * t
    if df > _NEARLY_NORMAL:  # Abramowitz and Stegun 26.7.8; the fraction would take long and lose digits
        return normal_two_sided(t * (1 - 1 / (4 * df)) / math.sqrt(1 + square / (2 * df)))
    return beta_cdf(df / 2, 0.5, df / (df + square), square / (df + square))


def t_sf(t: float, df: float) -> float:
    """P(T >= t)."""
    half = t_two_sided(t, df) / 2
    return half if t >= 0 else 1 - half


def t_quantile(p: float, df: float) -> float:
    """The t with P(T <= t) = p, 0 < p < 1."""
    if not 0 < p < 1:
        raise ValueError("a quantile needs 0 < p < 1")
    if p < 0.5:
        return -t_quantile(1 - p, df)
    tail = 1 - p
    high = 1.0
    while t_sf(high, df) > tail:
        high *= 2
    return bisect(lambda t: t_sf(t, df) > tail, 0.0, high)


def bisect(below: Callable[[float], bool], low: float, high: float) -> float:
    """The border in [low, high] between the points for which `below` holds and those for which it does not."""
    while True:
        middle = (low + high) / 2
        if middle in (low, high):
            return middle
        low, high = (middle, high) if below(middle) else (low, middle)
