"""What has to end before something goes: no message may be left to a queue or to a job that is not there any more.

A job that goes: first its rule and schedule are switched off (the old code is still there), then its queue and its
open runs are waited for, then the new version is deployed. A queue that goes: it stays for one deployment more,
without any job, and is removed by the next one that finds it empty; what is on its way to it meanwhile (a rule that
leads elsewhere from now on, a retry, a step of a workflow) is done by the new version.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from scripts.owner.deploying.routes import Manifest
from shared.cli.stages import Stage
from shared.jobs.settlement import DLQ_SUFFIX

POLL_S = 2.0
DEPTHS = {
    "ApproximateNumberOfMessages": "waiting",
    "ApproximateNumberOfMessagesNotVisible": "in flight",
    "ApproximateNumberOfMessagesDelayed": "delayed",
}
OPEN_RUNS = """
-- deploy: runs of jobs that go which are not over
SELECT job, count(*) AS runs FROM jobs.claims
WHERE job = ANY(%(jobs)s) AND state IN ('running', 'waiting', 'continuing')
GROUP BY job ORDER BY job
"""
SCHEDULE_FIELDS = (
    "Name",
    "GroupName",
    "Description",
    "ScheduleExpression",
    "ScheduleExpressionTimezone",
    "FlexibleTimeWindow",
    "Target",
    "KmsKeyArn",
)
"""What update_schedule must be given again, or it is lost."""


@dataclass(frozen=True, slots=True)
class Left:
    """Something that is not over; `text` says what, `advice` what helps."""

    text: str
    advice: str


@dataclass(frozen=True)
class Drain:
    """Asks and switches in one stage. `database`: a connection as the jobs' login, opened at first use."""

    stage: Stage
    client: Callable[[str], Any]
    database: Callable[[], Any]
    sleep: Callable[[float], None] = time.sleep
    now: Callable[[], float] = time.monotonic

    # Rules and schedules.

    def switch_off(self, manifest: Manifest, jobs: Iterable[str]) -> None:
        """No new message for these jobs."""
        for id in jobs:
            route, name = manifest.routes[id], f"{self.stage.prefix}-{id}"
            if route.cron:
                self._schedule(name, "DISABLED")
            elif name in self._rules(self.stage.bus_of(route.category), "ENABLED"):
                self.client("events").disable_rule(Name=name, EventBusName=self.stage.bus_of(route.category))

    def switch_on(self, manifest: Manifest) -> list[str]:
        """Switch on whatever of these routes is off, as its template says; the jobs of which that was so.

        CloudFormation does not see that a rule was switched off, so an interrupted deployment would leave it so.
        """
        found: list[str] = []
        buses = {self.stage.bus_of(route.category) for route in manifest.routes.values() if route.events}
        for bus in sorted(buses):
            for name in sorted(self._rules(bus, "DISABLED")):
                if (id := self._id(name)) in manifest.routes:
                    self.client("events").enable_rule(Name=name, EventBusName=bus)
                    found.append(id)
        for name in self._schedules_off() if any(route.cron for route in manifest.routes.values()) else ():
            if (id := self._id(name)) in manifest.routes:
                self._schedule(name, "ENABLED")
                found.append(id)
        return found

    def _id(self, name: str) -> str:
        return name.removeprefix(f"{self.stage.prefix}-")

    def _rules(self, bus: str, state: str) -> set[str]:
        events = self.client("events")
        try:
            pages = list(events.get_paginator("list_rules").paginate(EventBusName=bus))
        except events.exceptions.ResourceNotFoundException:
            return set()
        return {rule["Name"] for page in pages for rule in page["Rules"] if rule["State"] == state}

    def _schedules_off(self) -> list[str]:
        client = self.client("scheduler")
        try:
            pages = list(client.get_paginator("list_schedules").paginate(GroupName=f"{self.stage.prefix}-crons"))
        except client.exceptions.ResourceNotFoundException:
            return []
        return sorted(each["Name"] for page in pages for each in page["Schedules"] if each["State"] == "DISABLED")

    def _schedule(self, name: str, state: str) -> None:
        client = self.client("scheduler")
        try:
            found = client.get_schedule(Name=name, GroupName=f"{self.stage.prefix}-crons")
        except client.exceptions.ResourceNotFoundException:
            return
        client.update_schedule(**{n: found[n] for n in SCHEDULE_FIELDS if found.get(n)}, State=state)

    def deployed(self) -> bool:
        """Whether the app's bus has rules of the app."""
        return any(name.startswith(f"{self.stage.prefix}-") for name in self._rules(self.stage.prefix, "ENABLED"))

    # What is left.

    def jobs_left(self, manifest: Manifest, jobs: Sequence[str]) -> list[Left]:
        """Messages and open runs of jobs that go. A queue does not say whose its messages are, so any count."""
        if not jobs:
            return []
        left = [
            Left(f"{text}, some of which may be for {', '.join(of)}", "the deployed version works them off: --wait")
            for queue, of in _queues(manifest, jobs).items()
            if (text := self._depth(queue))
        ]
        rows = self.database().execute(OPEN_RUNS, {"jobs": list(jobs)}).fetchall()
        return left + [
            Left(f"{runs} runs of {job} are not over", "wait for them, or end each with `cgk-jobs runs cancel RUN`")
            for job, runs in rows
        ]

    def queue_left(self, queue: str) -> list[Left]:
        """What a queue, its dead-letter queue and the one-off schedules still hold for it."""
        found: list[Left] = []
        if text := self._depth(queue):
            found.append(Left(text, "the deployed version works them off: --wait"))
        if text := self._depth(f"{queue}{DLQ_SUFFIX}"):
            found.append(Left(text, f"see `cgk-jobs dlq list {queue}`: redrive or delete them"))
        if count := self._delayed(queue):
            found.append(Left(f"{count} one-off schedules will send to {queue}", "they fire when their time comes"))
        return found

    def wait(self, look: Callable[[], list[Left]], limit_s: float, quiet_s: float) -> list[Left]:
        """Look until nothing has been left for `quiet_s` on end, or `limit_s` is up; what is left then.

        SQS's counts are approximate, and a rule that was switched off may send for some seconds more.
        """
        began = since = self.now()
        while True:
            left, now = look(), self.now()
            since = now if left else since
            if not left and now - since >= quiet_s:
                return []
            if now - began >= max(limit_s, quiet_s if not left else 0):
                return left
            self.sleep(min(POLL_S, max(quiet_s, 0.05)))

    def _depth(self, queue: str) -> str:
        """`3 waiting, 1 in flight on QUEUE`; empty for an empty queue, or one that is not there."""
        queues, name = self.client("sqs"), f"{self.stage.prefix}-{queue}"
        try:
            url = queues.get_queue_url(QueueName=name)["QueueUrl"]
        except queues.exceptions.QueueDoesNotExist:
            return ""
        counts = queues.get_queue_attributes(QueueUrl=url, AttributeNames=list(DEPTHS))["Attributes"]
        told = [f"{counts[key]} {word}" for key, word in DEPTHS.items() if int(counts.get(key, 0))]
        return f"{', '.join(told)} on {name}" if told else ""

    def _delayed(self, queue: str) -> int:
        client, ending = self.client("scheduler"), f":{self.stage.prefix}-{queue}"
        try:
            pages = list(client.get_paginator("list_schedules").paginate(GroupName=f"{self.stage.prefix}-delayed"))
        except client.exceptions.ResourceNotFoundException:
            return 0
        return sum(each.get("Target", {}).get("Arn", "").endswith(ending) for p in pages for each in p["Schedules"])


def _queues(manifest: Manifest, jobs: Iterable[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for id in jobs:
        found.setdefault(manifest.routes[id].queue, []).append(id)
    return found
