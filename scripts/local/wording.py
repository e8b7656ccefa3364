"""How the story writes figures."""

from __future__ import annotations


def dollars(cents: int) -> str:
    """An amount with its thousands set apart.

    >>> dollars(250031563)
    '2,500,315.63'
    """
    return f"{cents // 100:,}.{cents % 100:02d}"
