"""The transfer's scripts in any order of things, and what a batch is made of."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from functions.commerce.ab_tests.counters import CLAIM, DROP, bucket_date, numbers_of
from shared.fakes.redis import Database

KEY, DRAINING = "ab:acme:t:v:counters", "ab:acme:t:v:counters:drain"


class Transfer:
    """Redis, and the ledger with its primary key; runs go step by step, and may die between two steps."""

    def __init__(self, random_: random.Random) -> None:
        self.store, self.ledger, self.random = Database(), dict[str, int](), random_

    def count(self, by: int) -> None:
        self.store.execute(["HINCRBY", KEY, "impressions", by])

    def run(self) -> Iterator[None]:
        """Claim, apply, drop; a step per turn."""
        new = f"batch-{self.random.getrandbits(64):x}"
        answer = self.store.execute(["EVAL", CLAIM, 2, KEY, DRAINING, new, "2026-11-20T12:00:00+00:00"])
        yield
        if answer:
            fields: dict[str, Any] = dict(zip(answer[::2], answer[1::2], strict=True))
            self.ledger.setdefault(fields["_batch"], int(fields.get("impressions", 0)))
            yield
            self.store.execute(["EVAL", DROP, 1, DRAINING, fields["_batch"]])


def test_a_thousand_interleavings_of_two_runs_lose_and_double_nothing() -> None:
    seeded = random.Random(20261120)
    for n in range(1000):
        transfer = Transfer(seeded)
        transfer.count(120)
        runs = [transfer.run(), transfer.run()]
        increments = 5
        while runs or increments:
            turn = seeded.randrange(4)
            if turn == 3 and increments:
                transfer.count(1)
                increments -= 1
            elif turn == 2 and runs and seeded.random() < 0.2:
                runs.pop(seeded.randrange(len(runs)))  # dies where it stands
            elif runs:
                run = seeded.choice(runs)
                if next(run, "over") == "over":
                    runs.remove(run)
        for _ in range(2):  # what died, and what was counted meanwhile
            list(transfer.run())
        assert (sum(transfer.ledger.values()), transfer.store.keys) == (125, {}), n


ZONE = ZoneInfo("America/New_York")


@pytest.mark.parametrize(
    ("start", "end", "day"),
    [
        ("2026-11-20T23:15", "2026-11-21T00:15", "2026-11-20"),
        ("2026-11-20T23:45", "2026-11-21T00:15", "2026-11-21"),
        ("2026-11-20T23:30", "2026-11-21T00:30", "2026-11-21"),
        ("2026-11-20T10:00", "2026-11-20T16:00", "2026-11-20"),
        ("2026-11-20T12:00", "2026-11-22T09:00", "2026-11-21"),
        ("2026-11-10T12:00", "2026-11-20T00:10", "2026-11-20"),
        ("2026-11-20T18:00", "2026-11-21T00:00", "2026-11-20"),
        ("2026-11-20T18:00", "2026-11-20T18:00", "2026-11-20"),
        ("2026-10-31T12:30", "2026-11-01T11:40", "2026-11-01"),
    ],
    ids=[
        "longer before midnight",
        "equal halves",
        "equal, longer",
        "one day",
        "a whole day in the middle",
        "above two days: the end",
        "up to midnight",
        "no time at all",
        "12 h 40 min of a day of 25 hours",
    ],
)
def test_batch_counts_on_the_day_of_its_longer_part(start: str, end: str, day: str) -> None:
    first, last = (datetime.fromisoformat(text).replace(tzinfo=ZONE) for text in (start, end))

    assert bucket_date(first, last, ZONE) == date.fromisoformat(day)


@pytest.mark.parametrize(
    ("fields", "column", "value", "bad"),
    [
        ({"impressions": "120"}, "impressions", 120, 0),
        ({"page_views": "7"}, "impressions", 7, 0),
        ({"impressions": "120", "page_views": "7"}, "impressions", 120, 0),
        ({"revenue": "-500"}, "revenue_cents", -500, 0),
        ({"conversions": "abc"}, "conversions", 0, 1),
        ({"conversions": "4.0"}, "conversions", 0, 1),
        ({"conversions": ""}, "conversions", 0, 1),
        ({"clicks": "2147483648"}, "clicks", 0, 1),
        ({"revenue": "2147483648"}, "revenue_cents", 2_147_483_648, 0),
        ({}, "visitors", 0, 0),
        ({"something_else": "abc"}, "visitors", 0, 0),
    ],
)
def test_fields_of_a_hash(fields: dict[str, str], column: str, value: int, bad: int) -> None:
    numbers, wrong = numbers_of(fields)

    assert (numbers[column], wrong) == (value, bad)
