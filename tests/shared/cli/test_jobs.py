"""cgk-jobs list, show."""

from __future__ import annotations

import pytest

from tests.shared.cli.conftest import Cli

KEYS = {
    "id",
    "category",
    "module",
    "queue",
    "class",
    "on",
    "cron",
    "emits",
    "retry",
    "timeout_s",
    "max_age_s",
    "max_hops",
    "tenants",
    "summary",
}


def test_list_as_json_has_stable_keys(bare: Cli) -> None:
    said = bare("list", "--json")

    jobs = {job["id"]: job for job in said.json["jobs"]}
    assert said.code == 0
    assert list(jobs) == ["toy-dig", "toy-guard", "toy-play", "toy-watch"]
    assert set(jobs["toy-play"]) == KEYS
    assert jobs["toy-dig"]["queue"] == "toys-bulk"
    assert jobs["toy-play"] == {
        "id": "toy-play",
        "category": "toys",
        "module": "tests.toys",
        "queue": "toys",
        "class": "fast",
        "on": ["toy.asked"],
        "cron": None,
        "emits": ["toy.done", "toy.seen"],
        "retry": {"attempts": 3, "factor": 2, "min_s": 2, "max_s": 60},
        "timeout_s": 5,
        "max_age_s": 86400,
        "max_hops": 100,
        "tenants": "active",
        "summary": "Does what the payload says.",
    }


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--queue", "toys"), ["toy-play"]),
        (("--event", "toy.seen"), ["toy-guard", "toy-watch"]),
        (("--category", "toys", "--queue", "toys-bulk"), ["toy-dig"]),
        (("--queue", "toys", "--event", "toy.seen"), []),
    ],
    ids=["queue", "event", "category and queue", "none"],
)
def test_list_can_be_narrowed(bare: Cli, options: tuple[str, ...], expected: list[str]) -> None:
    assert [job["id"] for job in bare("list", "--json", *options).json["jobs"]] == expected


def test_list_on_paper_has_a_line_per_job(bare: Cli) -> None:
    lines = bare("list").out.splitlines()

    assert lines[0].split() == ["JOB", "CATEGORY", "ON", "QUEUE", "SUMMARY"]
    assert lines[1].startswith("toy-dig    toys      toy.asked  toys-bulk   The bulk sister of toy-play.")
    assert len(lines) == 5


def test_show_tells_the_declaration_the_listeners_and_the_payload(bare: Cli) -> None:
    said = bare("show", "toy-play")

    assert "3 attempts, waits of 2 to 60 s, factor 2" in said.out
    assert "toy.seen  toy-guard, toy-watch" in said.out
    assert "toy.done  none here" in said.out
    assert "act    text" in said.out


def test_show_as_json_adds_the_schemas(bare: Cli) -> None:
    found = bare("show", "toy-play", "--json").json

    assert set(found) == KEYS | {"payload", "result"}
    assert set(found["payload"]["properties"]) == {"act", "n"}
    assert set(found["result"]["properties"]) == {"n", "attempt"}
