"""How an alert reads."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from shared.alerts.problem import bounded
from shared.alerts.texts import Facts, places, slack_blocks, sms
from shared.fakes.slack.rules import block_problems
from shared.slack import mention

ID = UUID("12345678-9abc-4def-8000-000000000000")
NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


def facts(**changes: Any) -> Facts:
    values: dict[str, Any] = {
        "id": ID,
        "kind": "critical",
        "severity": "critical",
        "source": "orders",
        "title": "Orders stand still",
        "message": "m",
        "dedupe_key": "k",
        "context": {},
        "url": None,
        "occurrences": 1,
        "since": NOON,
        "status": "open",
        "current_value": None,
        "threshold_value": None,
        "resolution": None,
        **changes,
    }
    return Facts(**values)


@pytest.mark.parametrize(
    ("title", "text"),
    [
        ("Orders stand still", "CGK CRITICAL orders: Orders stand still [12345678]"),
        ("Привет", "CGK CRITICAL orders: ?????? [12345678]"),
        ("x" * 200, "CGK CRITICAL orders: " + "x" * 126 + " [12345678]"),
        ("[" * 100, "CGK CRITICAL orders: " + "[" * 63 + " [12345678]"),
    ],
    ids=["plain", "not in the alphabet", "long", "characters that count twice"],
)
def test_text_message_is_one_message(title: str, text: str) -> None:
    """160 places: 21 for the head, 13 for the tail (its brackets count twice), 126 for the title."""
    made = sms(facts(title=title), "new:0")

    assert made == text
    assert places(made) <= 160


def test_slack_blocks_keep_slacks_limits_whatever_comes() -> None:
    blocks = slack_blocks(facts(title="t" * 150, message="&" * 3000, url="https://example.com"), "new:0", "acme", NOON)

    assert block_problems(blocks) == []
    assert blocks[1]["text"]["text"].endswith("&amp;…")


def test_value_is_shown_when_there_is_one() -> None:
    blocks = slack_blocks(facts(current_value=Decimal(0), threshold_value=Decimal(5)), "new:0", "acme", NOON)

    assert blocks[2]["fields"][3]["text"] == "*Value*\n0 (threshold 5)"


@pytest.mark.parametrize(
    ("who", "text"),
    [
        ("here", "<!here>"),
        ("@channel", "<!channel>"),
        ("U024BE7LH", "<@U024BE7LH>"),
        ("<@U024BE7LH>", "<@U024BE7LH>"),
        ("S0614TZR7", "<!subteam^S0614TZR7>"),
        ("somebody", ""),
        (None, ""),
    ],
)
def test_mention_is_spelt_as_slack_wants_it(who: str | None, text: str) -> None:
    assert mention(who) == text


@pytest.mark.parametrize(
    ("context", "kept"),
    [
        ({"a": 1}, {"a": 1}),
        ({"a": {"b": {"c": 1}}}, {"a": {"b": {"c": 1}}}),
        ({"a": {"b": {"c": {"d": 1}}}}, {"a": {"b": {"c": None}}, "_cut": True}),
        ({"big": "x" * 9000, "small": 1}, {"small": 1, "_cut": True}),
    ],
    ids=["small", "three levels", "four levels", "above 8 KiB"],
)
def test_context_is_bounded(context: dict[str, Any], kept: dict[str, Any]) -> None:
    assert bounded(context) == kept
