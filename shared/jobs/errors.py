"""What a handler may raise, and what the pipeline does with it.

    JobError
    ├── Permanent      wrong for good: dead letter with the code
    ├── Transient      may pass: retry by the job's policy, one attempt burnt
    ├── RateLimited    the vendor said when: wait, no attempt burnt
    ├── Deferred       not now: wait, no attempt burnt, same run
    └── Cancelled      asked to stop, and stopped

Any other exception is transient with code UNEXPECTED. Only `failures.py` turns an exception into a verdict.
"""

from __future__ import annotations

import re
from datetime import datetime

_CODE = re.compile(r"^[A-Z][A-Z0-9_]{1,62}$")


class DeclarationError(ValueError):
    """A declaration that cannot work; the sentence says how to mend it."""


class JobError(Exception):
    """Base of the errors a handler raises on purpose: `code` is the fact, `detail` one sentence, no personal data."""

    def __init__(self, code: str, detail: str = "") -> None:
        if not _CODE.match(code):
            raise ValueError(f"error code {code!r} must be UPPER_SNAKE_CASE")
        super().__init__(f"{code}: {detail}" if detail else code)
        self.code = code
        self.detail = detail


class Permanent(JobError):
    """Trying again cannot help: the message goes to the dead-letter queue at once with this code."""


class Transient(JobError):
    """May pass by itself: retried by the job's policy, or after `after_s` seconds when given."""

    def __init__(self, code: str, detail: str = "", *, after_s: float | None = None) -> None:
        super().__init__(code, detail)
        self.after_s = after_s


class RateLimited(JobError):
    """The vendor asked to wait `after_s` seconds: retried then, no attempt burnt."""

    def __init__(self, after_s: float, code: str = "RATE_LIMITED", detail: str = "") -> None:
        super().__init__(code, detail)
        self.after_s = after_s


class Deferred(JobError):
    """Not now: the same run comes back after `after_s` seconds or at the instant `at`; no attempt burnt."""

    def __init__(
        self, code: str = "DEFERRED", detail: str = "", *, after_s: float | None = None, at: datetime | None = None
    ) -> None:
        if (after_s is None) == (at is None):
            raise ValueError("Deferred needs exactly one of after_s and at")
        if at is not None and at.tzinfo is None:
            raise ValueError("Deferred.at must carry a time zone")
        super().__init__(code, detail)
        self.after_s = after_s
        self.at = at


class Cancelled(JobError):
    """Someone asked the run to stop (`ctx.cancelled()`) and it stops here: no dead letter, no alert, no retry."""

    def __init__(self, detail: str = "") -> None:
        super().__init__("CANCELLED", detail)


class LeaseLost(Exception):
    """The claim names another owner: this process was taken for dead. It rolls back and answers nothing."""


class JobTimeout(Exception):
    """The handler ran longer than its `timeout_s`; raised in the main thread by the interval timer."""
