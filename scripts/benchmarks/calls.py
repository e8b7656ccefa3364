"""Single calls that many jobs make: sealing, reading a credential, asking the rate limiter."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime

from scripts.benchmarks.lab import KEY, Lab
from scripts.benchmarks.results import Result, in_turns, ratio
from shared.crypto import PBKDF2_ROUNDS, Keyring, decrypt_platform, encrypt_platform
from shared.db.connections import connect

ROUNDS = 9
SEALS = 300
BODY = b"x" * 1024
DERIVATIONS = 3
ACQUIRES = 200
MAKE = "CREATE UNLOGGED TABLE public.bench_touch (id int PRIMARY KEY, at timestamptz)"
BARE = """
-- bench: one bare upsert of an unlogged row
INSERT INTO public.bench_touch VALUES (1, now()) ON CONFLICT (id) DO UPDATE SET at = now()
"""


def encryption(lab: Lab) -> list[Result]:
    """Sealing and opening 1 KiB beside the bare cipher; a known credential beside the derivation of its key."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    keyring = Keyring.of({"INTEGRATION_ENCRYPTION_KEY": KEY})
    cipher = AESGCM(os.urandom(32))
    text = encrypt_platform("a-token", KEY)

    def envelope() -> None:
        keyring.open(keyring.seal(BODY, aad=b"acme", purpose="bench"), aad=b"acme", purpose="bench")

    def bare() -> None:
        nonce = os.urandom(12)
        cipher.decrypt(nonce, cipher.encrypt(nonce, BODY, b"acme"), b"acme")

    with lab.profiled():
        found = in_turns(
            lab.rounds(ROUNDS),
            envelope=lambda: _each(envelope, SEALS),
            bare=lambda: _each(bare, SEALS),
            known=lambda: _each(lambda: decrypt_platform(text, KEY), SEALS),
            derived=lambda: _each(lambda: encrypt_platform("a-token", KEY), DERIVATIONS),
        )
    return [
        _result("seal and open 1 KiB", found["envelope"], found["bare"], "bare AES-GCM"),
        _result(
            "read a credential, key cached", found["known"], found["derived"], f"{PBKDF2_ROUNDS:,} rounds of PBKDF2"
        ),
    ]


def limiter(lab: Lab) -> list[Result]:
    """Taking a token beside one bare statement of the same kind."""
    from shared.rate_limiter import Rate, acquire

    rate = Rate("bench", per_s=1_000_000, burst=1_000_000)
    with (
        connect(lab.admin_url, application_name="bench") as admin,
        connect(lab.database_url, application_name="bench") as conn,
    ):
        admin.execute(MAKE)

        def take() -> None:
            permit = acquire(conn, "bench_one", rate, now=datetime.now(UTC))
            assert permit.granted

        with lab.profiled(conn, admin):
            found = in_turns(
                lab.rounds(ROUNDS),
                take=lambda: _each(take, ACQUIRES),
                bare=lambda: _each(lambda: admin.execute(BARE), ACQUIRES),
            )
    return [_result("take a token", found["take"], found["bare"], "a bare upsert")]


def _each(work: Callable[[], object], times: int) -> float:
    began = time.perf_counter()
    for _ in range(times):
        work()
    return (time.perf_counter() - began) / times


def _result(what: str, figures: list[float], others: list[float], beside: str) -> Result:
    against = f"{beside} ({_micro(others):,.0f} us)"
    return Result(what, _micro(figures), "us", ratio(figures, others), against)


def _micro(figures: list[float]) -> float:
    return statistics.median(figures) * 1_000_000
