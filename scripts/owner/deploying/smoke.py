"""The smoke test: a harmless message takes the whole way, and what the registry declares is bound as it should be.

The message goes by the bus: for the moment a rule leads the event `deploy.smoke` to the queue of the health check, as
one of its minutes. So bus, rule, queue policy, queue, mapping, function, secret, database, claim and ledger all have to
work, and nothing is done that is not done every minute anyway. The rule is taken away again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import uuid4

from scripts.owner import OwnerError
from shared.cli.checks import Finding
from shared.cli.checks import aws as aws_checks
from shared.cli.checks import database as database_checks
from shared.cli.checks import stage as stage_checks
from shared.cli.errors import explain
from shared.cli.platform import Platform
from shared.cli.stages import Stage
from shared.jobs import ledger
from shared.jobs.messages import OWN_SOURCE

EVENT = "deploy.smoke"
JOB = "ops-health-check-critical"
POLL_S = 0.5
SETTLE_S = 30.0
AGAIN_S = 10.0
"""Seconds after which the event is sent again: EventBridge takes a while to obey a new rule."""
CHECKS: tuple[tuple[str, Callable[[Platform], Finding]], ...] = (
    ("database", database_checks.reachable),
    ("bus", aws_checks.bus),
    ("queues", aws_checks.queues),
    ("rules", aws_checks.rules),
    ("targets", stage_checks.targets),
    ("schedules", aws_checks.schedules),
    ("mappings", aws_checks.mappings),
    ("functions", stage_checks.functions),
    ("versions", stage_checks.versions),
)
"""Those of `cgk-jobs doctor` that a deployment answers for: full dead-letter queues, say, are not its fault."""


@dataclass(frozen=True)
class Smoke:
    """The test of one stage. `job`: a job of the platform's own that takes a minute's tick."""

    platform: Platform
    stage: Stage
    limit_s: float
    job: str = JOB
    sleep: Callable[[float], None] = time.sleep

    def bound(self) -> list[str]:
        """Whether what the registry declares is deployed: what is wrong, one sentence each.

        Looked at again for a while: AWS takes some seconds to show everywhere what CloudFormation has done.
        """
        until = time.monotonic() + SETTLE_S
        while (found := self._unbound()) and time.monotonic() < until:
            self.sleep(POLL_S)
        return found

    def _unbound(self) -> list[str]:
        found: list[str] = []
        for name, look in CHECKS:
            try:
                finding = look(self.platform)
            except Exception as error:  # what cannot be looked at does not work
                found.append(f"{name}: {explain(error)[1]}")
                continue
            if finding.problem:
                found.append(f"{name}: {finding.message}")
        return found

    def message(self) -> list[str]:
        """Send the message, again from time to time, and follow it through the ledger: what went wrong, if anything."""
        id = f"smoke-{uuid4().hex}"
        with self._rule():
            until, again = time.monotonic() + self.limit_s, 0.0
            while (now := time.monotonic()) < until:
                if now >= again:
                    self._publish(id)
                    again = now + AGAIN_S
                runs = ledger.roots(self.platform.database(), id, (self.job,))
                if ended := next((run for run in runs if not run.open), None):
                    return [] if ended.state == "succeeded" else [f"{self.job} ended {ended.state} {ended.code or ''}"]
                self.sleep(POLL_S)
        function = f"{self.stage.prefix}-{self.platform.job(self.job).category}-fast"
        return [
            f"the event {EVENT} had no run of {self.job} within {self.limit_s:g} s: see the log of function "
            f"{function}, and `cgk-jobs runs --correlation {id}`"
        ]

    @contextmanager
    def _rule(self) -> Iterator[None]:
        """The rule that leads the event to the job, while the test lasts."""
        from infra.constructs.routes import ENVELOPE, message_template  # CDK: a second that --history need not wait

        job, prefix = self.platform.job(self.job), self.stage.prefix
        events, queues = self.platform.client("events"), self.platform.client("sqs")
        named = {"Rule": f"{prefix}-deploy-smoke", "EventBusName": self.stage.bus_of(job.category)}
        url = queues.get_queue_url(QueueName=f"{prefix}-{job.queue_name}")["QueueUrl"]
        arn = queues.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        events.put_rule(
            Name=named["Rule"],
            EventBusName=named["EventBusName"],
            EventPattern=json.dumps({"source": [OWN_SOURCE], "detail-type": [EVENT]}),
            Description="scripts/deploy looks whether a message comes through",
        )
        try:
            transformer = {"InputPathsMap": dict(ENVELOPE), "InputTemplate": message_template(job.id)}
            target = {
                "Id": "queue",
                "Arn": arn,
                "InputTransformer": transformer,
                "SqsParameters": {"MessageGroupId": "$.detail.tenantId"},
            }
            events.put_targets(**named, Targets=[target])
            yield
        finally:
            events.remove_targets(**named, Ids=["queue"])
            events.delete_rule(Name=named["Rule"], EventBusName=named["EventBusName"])

    def _publish(self, id: str) -> None:
        """Put the event on the bus, under this correlation id."""
        instant = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        detail = {"tenantId": "system", "scheduledAt": instant, "_meta": {"correlationId": id}}
        entry = {
            "EventBusName": self.stage.bus_of(self.platform.job(self.job).category),
            "Source": OWN_SOURCE,
            "DetailType": EVENT,
            "Detail": json.dumps(detail),
        }
        answer = self.platform.client("events").put_events(Entries=[entry])
        if answer["FailedEntryCount"]:
            raise OwnerError(f"the bus refused the event: {answer['Entries'][0].get('ErrorCode')}")
