"""The platform on one machine: PostgreSQL, the AWS engine, the deployed app. Used by scripts/dev and the tests.

Each module owns one thing and can start, find and stop it; whoever starts a thing stops it, and nothing else.
"""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DEV = ROOT / ".dev"
"""State of this checkout's platform; deleting it starts over."""


class LocalError(RuntimeError):
    """Something of this machine is in the way; one sentence says what and how to mend it."""
