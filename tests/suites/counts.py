"""What the suites have tried, counted over all of their tests, also when several processes share the work."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

PREFIX = "suite: "
NOTE = "suite note"


@dataclass(frozen=True)
class Count:
    """Adds to the counts of the session."""

    properties: list[tuple[str, object]]

    def __call__(self, what: str, n: int = 1) -> None:
        self.properties.append((PREFIX + what, n))

    def note(self, text: str) -> None:
        """A sentence for the end of the session."""
        self.properties.append((NOTE, text))


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
    reports = [report for kind in ("passed", "failed") for report in terminal.stats.get(kind, ())]
    found = total(reports)
    if found:
        parts = ", ".join(f"{what} {n:,}" for what, n in sorted(found.items()))
        terminal.write_line(f"generic suites: {parts}")
    notes = [str(v) for report in reports for n, v in getattr(report, "user_properties", ()) if n == NOTE]
    if notes:
        terminal.write_line(f"fairness: {'; '.join(dict.fromkeys(notes))}")
