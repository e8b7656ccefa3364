"""Waits: the formulas, worked by hand."""

from __future__ import annotations

import random

import psycopg
import pytest

from shared.jobs import Retry
from shared.jobs.failures import backoff, hand_back_delay, verdict
from shared.jobs.messages import Dead, Defer
from shared.jobs.testing import START

RNG = random.Random(1)


class Fixed(random.Random):
    """Always the same draw."""

    def __init__(self, draw: float) -> None:
        super().__init__(0)
        self._draw = draw

    def random(self) -> float:
        return self._draw


@pytest.mark.parametrize(("attempt", "longest"), [(1, 2), (2, 4), (3, 8), (4, 16), (6, 60), (9, 60)])
def test_backoff_grows_by_the_factor_up_to_the_most(attempt: int, longest: float) -> None:
    policy = Retry(attempts=10, factor=2, min_s=2, max_s=60)

    assert backoff(policy, attempt, Fixed(1.0)) == longest
    assert backoff(policy, attempt, Fixed(0.0)) == longest / 2


@pytest.mark.parametrize(("receives", "longest"), [(1, 5), (2, 10), (4, 40), (7, 300), (40, 300)])
def test_hand_back_delay_grows_with_the_receive_count(receives: int, longest: float) -> None:
    assert hand_back_delay(receives, Fixed(1.0)) == longest
    assert hand_back_delay(receives, Fixed(0.0)) == longest / 2


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (psycopg.errors.DeadlockDetected(), "DATABASE_BUSY"),
        (psycopg.errors.SerializationFailure(), "DATABASE_BUSY"),
        (psycopg.OperationalError(), "DATABASE_BUSY"),
        (psycopg.errors.UndefinedColumn(), "DATABASE_ERROR"),
        (ValueError(), "UNEXPECTED"),
    ],
)
def test_errors_nobody_raised_on_purpose_are_transient(error: Exception, code: str) -> None:
    ending = verdict(error, retry=Retry(), attempt=1, now=START, rng=RNG)

    assert isinstance(ending, Defer)
    assert (ending.code, ending.burnt) == (code, True)


def test_last_attempt_ends_dead_with_the_last_error() -> None:
    assert verdict(ValueError(), retry=Retry(), attempt=3, now=START, rng=RNG) == Dead("UNEXPECTED", "ValueError")
