"""Amounts: a *_cents value holds hundredths of the major unit, for every currency, as an int and never as a float."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation

_CENT = Decimal(1)


def cents(text: str) -> int:
    """Hundredths of a vendor's decimal text, rounded half up: "132.31" -> 13231, "0.125" -> 13.

    Raises ValueError when the text is no decimal number.
    """
    whole, _, fraction = text.partition(".")
    if len(fraction) <= 2 and whole.isascii() and whole.isdigit() and (not fraction or fraction.isdigit()):
        return int(whole + fraction.ljust(2, "0"))  # what vendors send nearly always; ten times faster than Decimal
    try:
        return int((Decimal(text) * 100).quantize(_CENT, rounding=ROUND_HALF_UP))
    except (InvalidOperation, ValueError) as error:  # ValueError: NaN
        raise ValueError("not a decimal amount") from error


def apportion(total: int, weights: Sequence[int]) -> list[int]:
    """Split `total` >= 0 over weights >= 0 so that the parts add up to it exactly (largest remainder).

    part_i = total * w_i // W with W = sum(w) > 0; the units left over go one each to the largest remainders, ties to
    the lower index: apportion(100, [1, 1, 1]) -> [34, 33, 33].
    """
    whole = sum(weights)
    if total < 0 or whole <= 0 or min(weights) < 0:
        raise ValueError("apportion needs total >= 0 and weights >= 0 with a sum above 0")
    parts = [total * weight // whole for weight in weights]
    remainders = [total * weight % whole for weight in weights]
    left = total - sum(parts)
    for index in sorted(range(len(weights)), key=lambda i: -remainders[i])[:left]:
        parts[index] += 1
    return parts
