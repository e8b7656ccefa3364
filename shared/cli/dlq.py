"""cgk-jobs dlq: list and redrive dead letters."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable

from shared.cli.errors import Failure, UsageError, nearest
from shared.cli.letters import DeadLetters, Letter
from shared.cli.output import Printer
from shared.cli.platform import Platform
from shared.jobs.settlement import DLQ_SUFFIX


def list_letters(platform: Platform, printer: Printer, arguments: Namespace) -> None:
    """{"queues": [{"queue", "dlq", "messages", "hidden"}]}, of one queue {"queue", "dlq", "messages": [..]}."""
    letters = _letters(platform)
    if arguments.queue is None:
        counts = [letters.count(binding.name) for binding in platform.registry.queues()]
        if printer.as_json:
            printer.json({"queues": counts})
            return
        rows = [[c.queue, c.dlq, c.messages, c.hidden] for c in counts]
        printer.table(["QUEUE", "DEAD-LETTER QUEUE", "MESSAGES", "HIDDEN"], rows, nothing="there are no queues yet")
        return
    queue = _queue(platform, arguments.queue)
    found = letters.look(queue, _wanted(platform, arguments), arguments.limit)
    if printer.as_json:
        shown = [letter.public() for letter in found]
        printer.json({"queue": queue, "dlq": letters.physical(queue) + DLQ_SUFFIX, "messages": shown})
        return
    printer.table(
        ["FIRST SENT (UTC)", "CODE", "JOB", "TENANT", "RUN", "REASON"],
        [[x.first_sent_at, x.code, x.job, x.tenant, x.run, x.reason] for x in found],
        nothing="no dead letter matches",
    )


def redrive(platform: Platform, printer: Printer, arguments: Namespace) -> int:
    """{"from", "to": {queue: n}, "redriven", "refused", "dry_run"}."""
    letters, queue = _letters(platform), _queue(platform, arguments.queue)
    done = letters.redrive(
        queue, _wanted(platform, arguments), arguments.limit, dry_run=arguments.dry_run, now=platform.now()
    )
    source = letters.physical(queue) + DLQ_SUFFIX
    if printer.as_json:
        printer.json(
            {
                "from": source,
                "to": done.to,
                "redriven": done.total,
                "refused": done.refused,
                "dry_run": done.dry_run,
            }
        )
    elif not done.total:
        printer.line(f"no dead letter of {source} was to be sent: none matches")
    for target, n in done.to.items() if not printer.as_json else ():
        verb = "would go" if done.dry_run else "went"
        printer.line(f"{n} {'message' if n == 1 else 'messages'} {verb} from {source} to {target}")
    if done.refused:
        raise Failure(f"{done.refused} messages were not taken by their queue and stay in {source}")
    return 0


def _letters(platform: Platform) -> DeadLetters:
    prefix = platform.environment.queue_prefix
    return DeadLetters(platform.client("sqs"), prefix, platform.queues, platform.registry)


def _queue(platform: Platform, given: str) -> str:
    """The logical name of a queue that may be given with prefix and with -dlq."""
    name = given.removeprefix(platform.environment.queue_prefix).removesuffix(DLQ_SUFFIX)
    known = [binding.name for binding in platform.registry.queues()]
    if name not in known:
        raise UsageError(f"there is no queue {given!r}{nearest(name, known)}")
    return name


def _wanted(platform: Platform, arguments: Namespace) -> Callable[[Letter], bool]:
    if arguments.job is not None:
        platform.job(arguments.job)
    asked = {
        name: getattr(arguments, name) for name in ("code", "job", "tenant") if getattr(arguments, name) is not None
    }
    return lambda letter: all(getattr(letter, name) == value for name, value in asked.items())
