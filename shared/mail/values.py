"""Values of variables as text: dates, amounts, lists.

Besides what the caller gives as text, a variable may be a date or an aware datetime (shown in the tenant's zone as
`March 15, 2026`), Money, a list, or, where it comes as JSON, ISO 8601 text of a whole date or instant. An integer
`fooCents` also gives `foo`, shown in the variable `currency` or the tenant's base currency.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any
from zoneinfo import ZoneInfo

MAX_VALUE = 10_000
"""Characters of one value; what is longer is cut."""

# ISO 4217: currencies whose exponent is not 2.
NO_DECIMALS = re.compile("BIF|CLP|DJF|GNF|ISK|JPY|KMF|KRW|PYG|RWF|UGX|UYI|VND|VUV|XAF|XOF|XPF")
THREE_DECIMALS = re.compile("BHD|IQD|JOD|KWD|LYD|OMR|TND")
SYMBOLS = {
    "USD": "$",
    "CAD": "CA$",
    "AUD": "A$",
    "NZD": "NZ$",
    "EUR": "€",
    "GBP": "£",
    "JPY": "¥",
    "INR": "₹",
    "KRW": "₩",
    "ILS": "₪",
    "BRL": "R$",
    "MXN": "MX$",
}

_MONTHS = ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October"]
_MONTHS += ["November", "December"]  # in English whatever the process's locale is
_ISO = re.compile(r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?(Z|[+-]\d{2}:?\d{2}))?")


@dataclass(frozen=True, slots=True)
class Money:
    """An amount in hundredths of the currency's major unit."""

    cents: int
    currency: str


Value = Any
Variables = Mapping[str, Value]


def money_text(cents: int, currency: str) -> str:
    """An amount in its currency's own decimals, rounded half up.

    >>> money_text(125000, "USD"), money_text(-120000, "JPY"), money_text(123, "KWD"), money_text(990, "CHF")
    ('$1,250.00', '-¥1,200', 'KWD 1.230', 'CHF 9.90')
    """
    code = currency.strip().upper()
    places = 0 if NO_DECIMALS.fullmatch(code) else 3 if THREE_DECIMALS.fullmatch(code) else 2
    amount = (Decimal(abs(cents)) / 100).quantize(Decimal(1).scaleb(-places), rounding=ROUND_HALF_UP)
    mark = SYMBOLS.get(code, f"{code} ")
    return f"{'-' if cents < 0 else ''}{mark}{amount:,}"


def date_text(day: date) -> str:
    """`March 15, 2026`."""
    return f"{_MONTHS[day.month - 1]} {day.day}, {day.year}"


def as_text(value: Value, zone: ZoneInfo) -> str:
    """A value as the text that a mail shows, at most MAX_VALUE characters; '' for None."""
    return _text(value, zone)[:MAX_VALUE]


def _text(value: Value, zone: ZoneInfo) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return _iso(value, zone) or value
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Money):
        return money_text(value.cents, value.currency)
    if isinstance(value, datetime):
        return date_text((value if value.tzinfo is None else value.astimezone(zone)).date())
    if isinstance(value, date):
        return date_text(value)
    if isinstance(value, Sequence):
        return ", ".join(_text(item, zone) for item in value)
    return str(value)


def _iso(text: str, zone: ZoneInfo) -> str | None:
    """The shown form of a text that is a whole ISO date or instant, else None."""
    if len(text) > 35 or not _ISO.fullmatch(text):
        return None
    try:
        if len(text) == 10:
            return date_text(date.fromisoformat(text))
        return date_text(datetime.fromisoformat(text).astimezone(zone).date())
    except ValueError:
        return None


def with_amounts(variables: Variables, currency: str) -> dict[str, Value]:
    """The variables, and for each whole number `fooCents` or `foo_cents` its `foo` unless the caller gave one."""
    given = dict(variables)
    code = str(given.get("currency") or currency)
    for name, value in variables.items():
        base = re.sub(r"(Cents|_cents)$", "", name)
        if base not in ("", name) and isinstance(value, int) and not isinstance(value, bool):
            given.setdefault(base, Money(value, code))
    return given
