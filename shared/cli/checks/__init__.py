"""The checks of `cgk-jobs doctor`: functions of the platform that give a Finding; an exception is a problem too."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found; for a problem `message` says what to do. `warning`: worth knowing, and no problem."""

    message: str
    problem: bool = False
    warning: bool = False


@dataclass(frozen=True, slots=True)
class Check:
    """A line of the doctor's report."""

    name: str
    ok: bool
    message: str
    warning: bool = False


def fine(message: str) -> Finding:
    """All is well."""
    return Finding(message)


def problem(message: str) -> Finding:
    """Something must be done."""
    return Finding(message, problem=True)


def warning(message: str) -> Finding:
    """Somebody should know; nothing is broken."""
    return Finding(message, warning=True)


def some(names: list[str], most: int = 5) -> str:
    """A list that stays readable: the first names and how many more there are."""
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
