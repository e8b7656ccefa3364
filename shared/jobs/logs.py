"""Logging of the functions: JSON lines by Powertools' formatter, one INFO line per message, ids and codes only."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from shared.jobs.messages import Acknowledge, Dead, Defer, Outcome, Refused

OWN_FAULTS = ("UNEXPECTED", "DATABASE_ERROR", "TIMEOUT")
"""Codes that point at our own code: their line carries where it happened."""

SHORTEST_SECRET = 6
"""Characters; a shorter value would black out ordinary words."""
HIDDEN = "[secret]"

logger = logging.getLogger("cgk.jobs")
_configured = False
_hidden: set[str] = set()


def configure(service: str) -> None:
    """Send every logger's lines to standard output as JSON; once per Lambda environment."""
    global _configured
    if _configured:
        return
    import sys

    from aws_lambda_powertools.logging.formatter import LambdaPowertoolsFormatter

    class Formatter(LambdaPowertoolsFormatter):
        def format(self, record: logging.LogRecord) -> str:
            return redact(super().format(record))

    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(Formatter(service=service, utc=True))
    handler.addFilter(RecordRedaction())
    root = logging.getLogger()
    root.handlers[:] = [handler]  # Lambda installs one of its own, which would print each line twice
    root.setLevel(logging.INFO)
    for noisy in ("botocore", "urllib3", "boto3"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    _configured = True


def hide(secrets: Mapping[str, str]) -> None:
    """Keep the values of secrets, and the passwords inside of URLs among them, out of every line from here on."""
    for value in secrets.values():
        _hidden.update(text for text in _spellings(value) if len(text) >= SHORTEST_SECRET)


def _spellings(value: str) -> Iterable[str]:
    """The value, as JSON writes it, and when it is a URL its password, plain and as it stands there."""
    import json
    from urllib.parse import unquote, urlsplit

    yield value
    yield json.dumps(value)[1:-1]
    try:
        password = urlsplit(value).password
    except ValueError:
        return
    if password:
        yield password
        yield unquote(password)


def redact(text: str) -> str:
    """The text without hidden values; the longest first, so that no part of one is left."""
    for value in sorted(_hidden, key=len, reverse=True):
        if value in text:
            text = text.replace(value, HIDDEN)
    return text


class RecordRedaction(logging.Filter):
    """Takes hidden values out of a record itself, so that no handler after this one can print them."""

    def filter(self, record: logging.LogRecord) -> bool:
        if _hidden:
            message = record.getMessage()
            if (clean := redact(message)) != message:
                record.msg, record.args = clean, ()
            for name, value in vars(record).items():
                if name not in ("msg", "args", "exc_info"):
                    setattr(record, name, _clean(value))
        return True


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, dict):
        return {name: _clean(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(part) for part in value]
    return value


def log(item: Outcome | Refused) -> None:
    """The one INFO line of a message: ids, times and codes, no payload. An error of ours adds where it happened."""
    if isinstance(item, Outcome):
        _log_outcome(item)
    else:
        _log_refused(item)


def _log_outcome(outcome: Outcome) -> None:
    run, ending = outcome.run, outcome.ending
    fields: dict[str, Any] = {
        "job": run.job.id,
        "tenant": run.tenant.slug,
        "run": str(run.run_id),
        "message_id": run.message.record.message_id,
        "correlation_id": run.message.correlation_id,
        "attempt": run.attempt,
        "leg": run.seq,
        "outcome": type(ending).__name__.lower(),
        "duration_ms": outcome.duration_ms,
        "queued_ms": max(0, round((run.run_at - run.message.sent_at).total_seconds() * 1000)),
        "emitted": len(outcome.outgoing),
    }
    if isinstance(ending, Dead | Defer):
        fields |= {"code": ending.code, "detail": ending.detail}
    if outcome.error is not None and isinstance(ending, Dead | Defer) and ending.code in OWN_FAULTS:
        fields["trace"] = _trace(outcome.error)
    logger.info("run", extra=fields)


def _trace(error: BaseException) -> list[str]:
    """Where an error came from, innermost last: file, line, function. Never its text, which may hold data."""
    import traceback

    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(error.__traceback__)[-6:]]


def _log_refused(item: Refused) -> None:
    match item.verdict:
        case Acknowledge(why=why):
            outcome, code, detail = ("skipped" if item.skipped else "duplicate"), None, why
        case Dead(code=known, detail=detail) | Defer(code=known, detail=detail):
            outcome, code = "dead", known
    fields: dict[str, Any] = {
        "job": item.message.job.id if item.message else None,
        "tenant": item.tenant,
        "message_id": item.record.message_id,
        "outcome": outcome,
        "code": code,
        "detail": detail,
    }
    logger.info("message", extra=fields)
