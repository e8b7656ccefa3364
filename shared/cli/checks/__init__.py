"""The checks of `cgk-jobs doctor`: functions of the platform that give a Finding; an exception is a problem too."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found; for a problem `message` says what to do."""

    message: str
    problem: bool = False


@dataclass(frozen=True, slots=True)
class Check:
    """A line of the doctor's report."""

    name: str
    ok: bool
    message: str


def fine(message: str) -> Finding:
    """All is well."""
    return Finding(message)


def problem(message: str) -> Finding:
    """Something must be done."""
    return Finding(message, problem=True)


def some(names: list[str], most: int = 5) -> str:
    """A list that stays readable: the first names and how many more there are."""
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
