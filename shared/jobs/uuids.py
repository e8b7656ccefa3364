"""UUID version 7 (RFC 9562, section 5.7): sorts by time, so index inserts stay at the right edge."""

from __future__ import annotations

import os
import time
from uuid import UUID


def uuid7(unix_ms: int | None = None) -> UUID:
    """48 bits of Unix milliseconds, 74 random bits; `unix_ms` defaults to now."""
    millis = time.time_ns() // 1_000_000 if unix_ms is None else unix_ms
    random = int.from_bytes(os.urandom(10), "big")
    value = (millis & 0xFFFF_FFFF_FFFF) << 80 | 0x7 << 76 | (random >> 68 & 0xFFF) << 64 | 0x2 << 62
    return UUID(int=value | random & 0x3FFF_FFFF_FFFF_FFFF)
