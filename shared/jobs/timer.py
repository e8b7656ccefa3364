"""The bound on a handler's time."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from shared.jobs.errors import JobTimeout


@contextmanager
def timer(seconds: float) -> Iterator[None]:
    """Raise JobTimeout in the main thread after `seconds`; elsewhere (a test's thread) the deadlines of I/O must do."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ring(signum: int, frame: FrameType | None) -> NoReturn:
        raise JobTimeout(f"longer than {seconds:g} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
