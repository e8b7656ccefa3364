"""What the suites have tried, counted over all of their tests, also when several processes share the work."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

PREFIX = "suite: "


@dataclass(frozen=True)
class Count:
    """Adds to the counts of the session."""

    properties: list[tuple[str, object]]

    def __call__(self, what: str, n: int = 1) -> None:
        self.properties.append((PREFIX + what, n))


def total(reports: Any) -> Counter[str]:
    """Sums of what the reports carry."""
    found: Counter[str] = Counter()
    for report in reports:
        for name, value in getattr(report, "user_properties", ()):
            if str(name).startswith(PREFIX) and getattr(report, "when", "") == "call":
                found[str(name).removeprefix(PREFIX)] += int(value)
    return found


def write(terminal: Any) -> None:
    """The line at the end of a session in which suites have run."""
    found = total([report for kind in ("passed", "failed") for report in terminal.stats.get(kind, ())])
    if found:
        parts = ", ".join(f"{what} {n:,}" for what, n in sorted(found.items()))
        terminal.write_line(f"generic suites: {parts}")
