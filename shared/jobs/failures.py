"""Turns an exception into a verdict; nothing else does."""

from __future__ import annotations

import random
from datetime import datetime

import psycopg

from shared.db.connections import is_transient_db_error
from shared.jobs import errors
from shared.jobs.declaration import Retry
from shared.jobs.errors import Deferred, JobTimeout, Permanent, RateLimited, Transient
from shared.jobs.messages import Cancelled, Dead, Defer

HAND_BACK_MIN_S = 5.0
HAND_BACK_MAX_S = 300.0


def backoff(retry: Retry, attempt: int, rng: random.Random) -> float:
    """Seconds to wait after failed attempt n: w = min(max_s, min_s * factor^(n-1)), then uniform in [w/2, w].

    Retry(5, 2, 2, 60), n = 1..4: w = 2, 4, 8, 16. The lower half is kept so that a retry never comes at once.
    """
    wait: float = min(retry.max_s, retry.min_s * retry.factor ** (attempt - 1))
    return wait / 2 + rng.random() * wait / 2


def hand_back_delay(receive_count: int, rng: random.Random) -> float:
    """Seconds before a deferred or handed-back message returns: 5 * 2^(n-1) up to 300 for receive n, then [w/2, w]."""
    wait: float = min(HAND_BACK_MAX_S, HAND_BACK_MIN_S * 2 ** min(receive_count - 1, 10))
    return wait / 2 + rng.random() * wait / 2


def verdict(
    error: BaseException, *, retry: Retry, attempt: int, now: datetime, rng: random.Random
) -> Dead | Defer | Cancelled:
    """What becomes of a run whose handler raised `error` on attempt `attempt`."""
    match error:
        case Permanent():
            return Dead(error.code, error.detail)
        case RateLimited():
            return Defer(max(1.0, error.after_s), error.code, error.detail)
        case Deferred():
            wait = error.after_s if error.at is None else (error.at - now).total_seconds()
            return Defer(max(1.0, wait or 0.0), error.code, error.detail, asked=True)
        case errors.Cancelled():
            return Cancelled(error.detail)
        case Transient():
            code, detail, fixed = error.code, error.detail, error.after_s
        case JobTimeout():
            code, detail, fixed = "TIMEOUT", str(error), None
        case psycopg.Error():
            code = "DATABASE_BUSY" if is_transient_db_error(error) else "DATABASE_ERROR"
            detail, fixed = f"SQLSTATE {error.sqlstate or 'none'}", None
        case _:
            code, detail, fixed = "UNEXPECTED", type(error).__name__, None
    if attempt >= retry.attempts:
        return Dead(code, detail)
    return Defer(fixed if fixed is not None else backoff(retry, attempt, rng), code, detail, burnt=True)
