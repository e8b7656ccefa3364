"""What an invocation measures of its runs, and the lines it writes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from shared.jobs.signals import EmfMetrics
from shared.jobs.testing import Bench


def send(toys: Bench, act: str, n: int) -> None:
    toys.send("toy-play", {"tenantId": "acme", "act": act, "n": n})


def counted(toys: Bench) -> dict[tuple[str, str], float]:
    """(metric, "dimension=value") -> what was counted; times are left out."""
    found: dict[tuple[str, str], float] = {}
    for name, value, dimensions in toys.metrics.measured:
        if not isinstance(value, list):
            ((key, of),) = dimensions.items()
            dimension = f"{key}={of}"
            found[name, dimension] = found.get((name, dimension), 0) + value
    return found


def test_a_batch_is_counted_by_its_queue_once(toys: Bench) -> None:
    send(toys, "nothing", 1)
    send(toys, "nothing", 2)
    send(toys, "permanent", 3)
    send(toys, "transient", 4)

    toys.pump("toys")

    (category,) = {toys.registry.jobs["toy-play"].category}
    ends = {"RunsSucceeded": 2, "RunsDead": 1, "RunsRetried": 1}
    assert counted(toys) == {
        **{(name, "queue=toys"): value for name, value in ends.items()},
        **{(name, f"category={category}"): value for name, value in ends.items()},
        ("RunsDead", "job=toy-play"): 1,
    }
    times = {name: value for name, value, _ in toys.metrics.measured if isinstance(value, list)}
    assert times.keys() == {"RunDuration", "RunWait"}
    assert all(isinstance(value, list) and len(value) == 4 for value in times.values())


def test_the_next_invocation_begins_anew(toys: Bench) -> None:
    send(toys, "nothing", 1)
    toys.pump("toys")
    toys.metrics.measured.clear()

    toys.pump("toys")

    assert toys.metrics.measured == []


def test_what_only_waits_or_was_done_before_counts_for_nothing(toys: Bench) -> None:
    send(toys, "deferred", 1)
    toys.send("toy-play", {"tenantId": "acme", "act": "nothing", "n": 2}, key="once")
    toys.send("toy-play", {"tenantId": "acme", "act": "nothing", "n": 2}, key="once")

    toys.drain(horizon_s=2)

    assert counted(toys)["RunsSucceeded", "queue=toys"] == 1
    assert counted(toys)["RunsDead", "queue=toys"] == counted(toys)["RunsRetried", "queue=toys"] == 0


def test_a_message_that_became_no_run_is_dead_for_its_queue(toys: Bench) -> None:
    toys.send_raw("toys", "{")
    toys.send("toy-play", {"tenantId": "acme", "n": "much"})

    toys.pump("toys")

    assert counted(toys)["RunsDead", "queue=toys"] == 2
    assert counted(toys)["RunsDead", "job=unknown"] == 1
    assert counted(toys)["RunsDead", "job=toy-play"] == 1


def test_a_line_holds_counts_times_and_one_set_of_dimensions(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POWERTOOLS_METRICS_NAMESPACE", "cgkdev")

    EmfMetrics().measure({"RunsDead": 1}, {"RunWait": [3, 5]}, category="commerce")

    line: dict[str, Any] = json.loads(capsys.readouterr().out)
    (described,) = line["_aws"]["CloudWatchMetrics"]
    assert described == {
        "Namespace": "cgkdev",
        "Dimensions": [["category"]],
        "Metrics": [{"Name": "RunsDead", "Unit": "Count"}, {"Name": "RunWait", "Unit": "Milliseconds"}],
    }
    assert (line["category"], line["RunsDead"], line["RunWait"]) == ("commerce", 1, [3, 5])
    assert line["_aws"]["Timestamp"] > 1_700_000_000_000
