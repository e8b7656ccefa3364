"""docs/cost.md says what the model and the table of prices give."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared.cli.costs import prices
from shared.cli.costs.model import Rates
from shared.cli.costs.usage import Usage

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "cost.md").read_text(encoding="utf-8")
MILLION = 1_000_000
HANDLER_MS = (37, 112, 1005)
"""Billed time of the three columns."""


def row(name: str) -> list[float]:
    """Figures of a line of the table of one million runs."""
    [line] = [line for line in PAGE.splitlines() if line.startswith(f"| {name} |")]
    return [float(cell.strip(" *").replace(",", "")) for cell in line.split("|")[2:5]]


def cost(ms: int, batch: float = 1.0) -> dict[str, float]:
    used = Usage("job", None, None, MILLION, ms * MILLION, MILLION, MILLION)
    found = Rates(memory_mb={}, listeners={}, batch=batch).cost(used)
    parts = {name: getattr(found, name) for name in ("compute", "requests", "queue", "bus", "logs")}
    return parts | {"total": found.total}


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ("Lambda compute", "compute"),
        ("Lambda requests", "requests"),
        ("SQS", "queue"),
        ("EventBridge", "bus"),
        ("CloudWatch Logs", "logs"),
        ("**a million runs**", "total"),
    ],
)
def test_table_is_what_the_model_gives(line: str, part: str) -> None:
    assert row(line) == [round(cost(ms)[part], 2) for ms in HANDLER_MS]


def test_figures_of_the_text() -> None:
    assert round(cost(112, batch=10)["total"], 1) == 2.4
    assert f"looked up on {prices.AS_OF}" in PAGE
    trigger = MILLION * 0.000025 + 0.112 * MILLION * 0.0000169
    assert f"{trigger:.2f}; 50 with the Pro plan" in PAGE


def test_measured_runs_add_up() -> None:
    lines = [line.split("|")[1:4] for line in PAGE.splitlines() if line.count("|") == 4 and "-" in line.split("|")[1]]
    jobs = [(int(runs.replace(",", "")), float(ms)) for _, runs, ms in lines if runs.strip()[0].isdigit()]

    assert sum(runs for runs, _ in jobs) == 7_559
    assert round(sum(runs * ms for runs, ms in jobs) / 7_559, 1) == 14.5
