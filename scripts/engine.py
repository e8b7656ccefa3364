"""The local AWS engine: ministack with four behaviours of AWS that it lacks. Runs in the engine's own environment.

    .engine-venv/bin/python scripts/engine.py        (GATEWAY_PORT, BIND_HOST and TMPDIR from the environment)

1. A rule's SqsParameters.MessageGroupId reaches the message on a standard queue too (fair queues).
2. EventBridge Scheduler fires within a second of the instant, in the schedule's own time zone, with the placeholders
   `<aws.scheduler.scheduled-time>`, `execution-id`, `schedule-arn` and `attempt-number` filled in.
3. A Step Functions task that waits for a token fails with States.HeartbeatTimeout after HeartbeatSeconds of silence.
4. A schedule made or changed by CloudFormation gets the time zone of its template.

The fixes replace private functions, so the version is pinned in requirements-engine.lock and
tests/infra/test_engine.py holds one test per fix (of the last: tests/scripts/owner/deploying/test_engine_scenario.py).
Known differences that stay: flexible windows, StartDate, EndDate and dead-letter queues of targets are not modelled,
and in a DST gap a schedule fires an hour late instead of never.
"""

from __future__ import annotations

import json
import re
import threading
import time
import uuid
from contextvars import ContextVar, copy_context
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from ministack.services import eventbridge, scheduler, sqs, stepfunctions
from ministack.services.cloudformation import provisioners

Record = dict[str, Any]

TICK_S = 1  # seconds between two looks at the schedules; ministack's own tick of 10 s makes tests slow
POLL_S = 0.1  # seconds between two looks at a task's heartbeat


# 1. Message group ids


_event: ContextVar[Record | None] = ContextVar("event", default=None)
_invoke_target = eventbridge._invoke_target
_dispatch_to_sqs = eventbridge._dispatch_to_sqs


def invoke_target(target: Record, event: Record, rule: Record, view: Any = None) -> None:
    """As ministack's, but remembers the event that a `$.path` of the target's parameters speaks of."""
    view = view or eventbridge._pattern_event_view(event)
    token = _event.set(view.event_with_detail())
    try:
        _invoke_target(target, event, rule, view)
    finally:
        _event.reset(token)


def dispatch_to_sqs(spec: Any, payload: str, parameters: Record | None = None) -> None:
    """As ministack's, but resolves the group id and sends it with the message to a standard queue as well."""
    group = _resolved((parameters or {}).get("MessageGroupId"))
    queue = sqs._queue_by_arn(str(spec))
    if group and queue and not queue.get("is_fifo"):
        sqs._act_send_message({"QueueUrl": queue["url"], "MessageBody": payload, "MessageGroupId": group}, queue["url"])
        return
    _dispatch_to_sqs(spec, payload, {**(parameters or {}), **({"MessageGroupId": group} if group else {})})


def _resolved(group: str | None) -> str | None:
    """The static text, or what `$.a.b` finds in the event; None when it finds nothing."""
    if not group or not group.startswith("$."):
        return group
    found: Any = _event.get()
    for part in group[2:].split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return None if found is None else str(found)


# 2. Schedules


_due: dict[tuple[Any, ...], datetime | None] = {}
"""Next instant of each schedule; a changed expression, zone or creation date is a new key."""


def tick_schedules() -> None:
    """Fire every enabled schedule whose instant has come, and forget schedules that are gone."""
    now = datetime.now(UTC)
    present = dict(scheduler._schedules._data)
    identities = {_identity(key, schedule): (key, schedule) for key, schedule in present.items()}
    for gone in _due.keys() - identities.keys():
        del _due[gone]
    for identity, (key, schedule) in identities.items():
        if identity not in _due:
            _due[identity] = next_instant(schedule, now)
        due = _due[identity]
        if due is None or due > now:
            continue
        _due[identity] = None if _at(schedule) else next_instant(schedule, now)
        if schedule.get("State") == "ENABLED":
            fire(key, schedule, due)
            if _at(schedule) and schedule.get("ActionAfterCompletion") == "DELETE":
                scheduler._schedules._data.pop(key, None)


def next_instant(schedule: Record, after: datetime) -> datetime | None:
    """The next instant (UTC) after `after`; a one-off's own instant even when past; None when it cannot be read."""
    expression, zone = schedule.get("ScheduleExpression", ""), _zone(schedule)
    if at := _at(schedule):
        return datetime.fromisoformat(at).replace(tzinfo=zone).astimezone(UTC)
    if (seconds := eventbridge._parse_rate_seconds(expression)) is not None:
        created = float(schedule.get("CreationDate") or 0)
        periods = int((after.timestamp() - created) // seconds) + 1
        return datetime.fromtimestamp(created + periods * seconds, UTC)
    if (fields := eventbridge._parse_cron_fields(expression)) is None:
        return None
    # The walk goes over wall-clock fields: it is given local time that calls itself UTC.
    wall = eventbridge._cron_next_fire(fields, after.astimezone(zone).replace(tzinfo=UTC))
    return wall.replace(tzinfo=zone).astimezone(UTC) if wall else None


def fire(key: tuple[str, str, str], schedule: Record, due: datetime) -> None:
    """Hand the schedule's input to its target, in the account and region that own the schedule."""
    account, region, _ = key
    scheduler.set_request_account_id(account)
    scheduler.set_request_region(region)
    values = {
        "scheduled-time": due.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "execution-id": str(uuid.uuid4()),
        "schedule-arn": schedule.get("Arn", ""),
        "attempt-number": "1",
    }
    target = dict(schedule.get("Target") or {})
    if target.get("Input"):
        target["Input"] = re.sub(r"<aws\.scheduler\.([a-z-]+)>", lambda m: values.get(m[1], m[0]), target["Input"])
    event = {
        "EventId": values["execution-id"],
        "Source": "aws.scheduler",
        "DetailType": "Scheduled Event",
        "Detail": json.dumps({}),
        "Time": due.timestamp(),
        "Resources": [schedule.get("Arn", "")],
        "Account": account,
        "Region": region,
    }
    if parameters := target.get("EventBridgeParameters"):
        # PutEvents to a bus: the event is the input's own, not one of Scheduler's.
        event |= {"Source": parameters["Source"], "DetailType": parameters["DetailType"], "Detail": target["Input"]}
    eventbridge._invoke_target(target, event, schedule)


def _identity(key: tuple[str, str, str], schedule: Record) -> tuple[Any, ...]:
    return (key, *(schedule.get(n) for n in ("ScheduleExpression", "ScheduleExpressionTimezone", "CreationDate")))


def _zone(schedule: Record) -> ZoneInfo:
    return ZoneInfo(schedule.get("ScheduleExpressionTimezone") or "UTC")


def _at(schedule: Record) -> str | None:
    found = re.fullmatch(r"\s*at\((.+)\)\s*", schedule.get("ScheduleExpression", ""))
    return found[1] if found else None


# 3. Heartbeats of waiting tasks


_invoke_with_callback = stepfunctions._invoke_with_callback


def invoke_with_callback(resource: str, data: Any, token: str, state: Record) -> Any:
    """As ministack's, with a watcher that ends the wait when no heartbeat came for HeartbeatSeconds."""
    if seconds := state.get("HeartbeatSeconds"):
        # Tokens are kept per account and region, which the thread takes over with the context.
        threading.Thread(target=copy_context().run, args=(_watch, token, float(seconds)), daemon=True).start()
    return _invoke_with_callback(resource, data, token, state)


def _watch(token: str, seconds: float) -> None:
    beat, since, seen = None, time.monotonic(), False
    while True:
        task = stepfunctions._task_tokens.get(token)
        if task is None:
            if seen or time.monotonic() - since > seconds:
                return  # answered and gone, or never registered
        elif task["event"].is_set():
            return
        else:
            seen = True
            if task["heartbeat"] != beat:
                beat, since = task["heartbeat"], time.monotonic()
            if time.monotonic() - since > seconds:
                task["error"] = {"Error": "States.HeartbeatTimeout", "Cause": "no heartbeat in time"}
                task["event"].set()
                return
        time.sleep(POLL_S)


# 4. Time zones of CloudFormation's schedules


_schedule_handlers = provisioners._RESOURCE_HANDLERS["AWS::Scheduler::Schedule"]
_create_schedule = _schedule_handlers["create"]
_update_schedule = _schedule_handlers["update"]


def create_schedule(logical_id: str, properties: Record, stack: str) -> Any:
    """As ministack's, with the zone."""
    return _zoned(_create_schedule(logical_id, properties, stack), properties)


def update_schedule(physical_id: str, old: Record, new: Record, stack: str) -> Any:
    """As ministack's, with the zone."""
    return _zoned(_update_schedule(physical_id, old, new, stack), new)


def _zoned(made: Any, properties: Record) -> Any:
    schedule = scheduler._schedules.get(f"{properties.get('GroupName', 'default')}/{made[0]}")
    if schedule is not None:
        schedule["ScheduleExpressionTimezone"] = properties.get("ScheduleExpressionTimezone", "UTC")
    return made


def install() -> None:
    """Put the fixes in place; ministack looks its functions up at call time."""
    eventbridge._invoke_target = invoke_target
    eventbridge._dispatch_to_sqs = dispatch_to_sqs
    scheduler._tick_schedules = tick_schedules
    scheduler._SCHEDULE_TICK_INTERVAL = TICK_S
    stepfunctions._invoke_with_callback = invoke_with_callback
    _schedule_handlers.update(create=create_schedule, update=update_schedule)


if __name__ == "__main__":
    install()
    from ministack.app import main

    main()
