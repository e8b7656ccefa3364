"""Kills workers of the engine with -9 while the story runs: what a crash of a Lambda environment looks like here."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

FIRST_S = 3.0
BETWEEN_S = (5.0, 40.0)
"""Seconds between two kills, drawn at random: any moment of an export, a load or a wait."""


class Killer:
    """Kills one worker process at a time, `times` times in all."""

    def __init__(self, endpoint: str, times: int) -> None:
        self._endpoint = endpoint
        self.left = times
        self._next = time.monotonic() + FIRST_S
        self._rng = random.Random()

    def maybe(self) -> None:
        """Kill a bulk worker when its time has come and one is at work."""
        if not self.left or time.monotonic() < self._next:
            return
        workers = bulk_workers(self._endpoint)
        if not workers:
            return
        victim = self._rng.choice(workers)
        os.kill(victim, signal.SIGKILL)
        self.left -= 1
        self._next = time.monotonic() + self._rng.uniform(*BETWEEN_S)
        print(f"Killed worker {victim} with -9; {self.left} more to come.", flush=True)


def bulk_workers(endpoint: str) -> list[int]:
    """Processes of the engine at `endpoint` that run the commerce bulk function."""
    signs = (b"CGK_CLASS=bulk\0", b"CGK_CATEGORY=commerce\0", f"AWS_ENDPOINT_URL={endpoint}\0".encode())
    found: list[int] = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            environment = (folder / "environ").read_bytes()
        except OSError:
            continue  # ended meanwhile, or not ours
        if all(sign in environment for sign in signs):
            found.append(int(folder.name))
    return found
