"""The named points of a delivery: where a test may let the process die, or something happen to it.

In production the hook is `nowhere`, a function that does nothing. What holds at each point:

    begin              nothing of the batch is read; its messages are invisible until this invocation must have ended
    after-fan-out      a tick has been sent on
    after-parse        messages are known
    after-admit        payloads and tenants are known; what is refused is in the ledger
    after-claim        this process owns the runs, and its places
    before-handler     the run's timer ticks
    in-session         a transaction of the tenant or the platform is open
    before-checkpoint  fence and outbox rows are written, the session is not committed
    after-checkpoint   the session is committed, what it emits is not sent
    before-call        a vendor is about to be called
    after-handler      the handler has returned; nothing of its end is written
    before-commit      the final session holds the run's end, not committed
    after-commit       the final session is committed, what it emits is not sent
    before-settle      runs without a final session have ended, nothing of it is written
    after-settle       their ends are committed, what they emit is not sent
    after-refuse       refusals are committed, their dead letters are not sent
    in-relay           outbox rows are sent and still stand in the outbox
    after-relay        they are deleted
    before-answer      all is done; the queue does not know it yet
"""

from __future__ import annotations

from collections.abc import Callable

At = Callable[[str], None]

POINTS = (
    "begin",
    "after-fan-out",
    "after-parse",
    "after-admit",
    "after-claim",
    "before-handler",
    "in-session",
    "before-checkpoint",
    "after-checkpoint",
    "before-call",
    "after-handler",
    "before-commit",
    "after-commit",
    "before-settle",
    "after-settle",
    "after-refuse",
    "in-relay",
    "after-relay",
    "before-answer",
)


def nowhere(point: str) -> None:
    """The hook of production."""
