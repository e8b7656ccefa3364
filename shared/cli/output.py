"""What a command prints: JSON when asked for, a table by rich on a terminal, aligned text otherwise."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from datetime import UTC, date, datetime
from typing import Any, TextIO

MAX_CELL = 80
"""Characters of a cell in aligned text; JSON and `show` hold all of it."""


class Printer:
    """Writes to one stream. `as_json`: the command was asked for JSON and prints exactly one JSON value."""

    def __init__(self, stream: TextIO | None = None, *, as_json: bool = False) -> None:
        self._stream = stream or sys.stdout
        self.as_json = as_json

    def json(self, value: Any) -> None:
        """One JSON value, indented."""
        print(json.dumps(value, indent=2, default=plain, ensure_ascii=False), file=self._stream)

    def line(self, text: str = "") -> None:
        """A line of text."""
        print(text, file=self._stream)

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[Any]], *, nothing: str = "nothing found") -> None:
        """Rows under headings; the sentence `nothing` when there are none."""
        if not rows:
            self.line(nothing)
            return
        cells = [[text_of(value) for value in row] for row in rows]
        if not self._rich(columns, cells):
            self._aligned([list(columns), *[[_cut(cell) for cell in row] for row in cells]])

    def pairs(self, values: Mapping[str, Any]) -> None:
        """Names and values, one a line; absent values are left out."""
        shown = {name: text_of(value) for name, value in values.items() if value not in (None, "", [], {})}
        self._aligned([[f"{name}:", text] for name, text in shown.items()])

    def _aligned(self, rows: Sequence[Sequence[str]]) -> None:
        widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))] if rows else []
        for row in rows:
            self.line("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())

    def _rich(self, columns: Sequence[str], cells: Sequence[Sequence[str]]) -> bool:
        """Draw with rich; False when this is no terminal or rich is not installed."""
        if not self._stream.isatty():
            return False
        try:
            from rich.box import SIMPLE_HEAD
            from rich.console import Console
            from rich.table import Table
            from rich.text import Text
        except ImportError:
            return False
        table = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="bold")
        for column in columns:
            table.add_column(column, overflow="fold")
        for row in cells:
            table.add_row(*(Text(cell, style=STYLES.get(cell, "")) for cell in row))
        Console(file=self._stream).print(table)
        return True


STYLES = {
    "succeeded": "green",
    "ok": "green",
    "active": "green",
    "dead": "bold red",
    "problem": "bold red",
    "retrying": "yellow",
    "deferred": "yellow",
    "suspended": "yellow",
}
"""Colours of cells that are one of these words."""


def text_of(value: Any) -> str:
    """A value in a table: instants in UTC to the second, lists with commas, nothing as an empty cell."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
    if isinstance(value, list | tuple):
        return ", ".join(text_of(item) for item in value)
    if isinstance(value, dict):
        return json.dumps(value, default=plain, ensure_ascii=False)
    return str(value)


def plain(value: Any) -> Any:
    """JSON for what the ledger's rows hold: instants as ISO 8601 in UTC, ids as text, rows as objects."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    return str(value)


def _cut(text: str) -> str:
    return text if len(text) <= MAX_CELL else text[: MAX_CELL - 1] + "…"
