"""Messages per second from the bus to the ledger, through the deployed app on the local AWS engine.

A message here is an event that an application publishes: the rule takes it to its queue, the engine calls the function
(a process of its own), whose job stores a webhook of a topic that nobody handles, and the run's end is in the ledger.
Beside it: the same number of messages through a bare queue of the same engine, sent, received and deleted by one
client, which is what the engine itself takes. On AWS both are other figures.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from scripts.benchmarks.lab import KEY, TENANTS, Lab, as_login
from scripts.benchmarks.results import Result, in_turns, ratio
from scripts.local import deploy
from scripts.local import engine as local_engine
from shared.db.connections import Connection, connect

MESSAGES = 300
ROUNDS = 3
BATCH = 10
POLL_S = 0.05
WAIT_S = 120.0
EVENT = "webhook.received"
DONE = "SELECT count(*) FROM jobs.claims WHERE job = 'webhook-process-single' AND state = 'succeeded'"
STAGES = """
-- bench: seconds between the stages of a message, over all of them
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM started_at - sent_at)) AS published_to_claimed,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM ended_at - started_at)) AS claimed_to_settled,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY duration_ms) / 1000.0 AS in_the_handler
FROM jobs.runs WHERE job = 'webhook-process-single'
"""


def wired(lab: Lab) -> list[Result]:
    """Deploys the app once; a figure is messages per second over one flood."""
    admin_url = lab.migrated("wired", TENANTS[:1])
    running = local_engine.start(lab.folder / "engine")
    lab.held.callback(running.stop)
    _deploy(running.endpoint, admin_url, lab.folder / "cdk")
    with connect(admin_url, application_name="bench") as conn:
        flood = _Flood(running.endpoint, conn)
        flood.run()  # the functions' processes start
        found = in_turns(lab.rounds(ROUNDS), ours=flood.run, bare=_bare(running.endpoint))
        if lab.profile:
            with conn.cursor() as cursor:
                row = cursor.execute(STAGES).fetchone()
                names = [column.name for column in cursor.description or ()]
            lab.say("median seconds: " + ", ".join(f"{n} {v:.3f}" for n, v in zip(names, row or (), strict=True)))
    ours, bare = (MESSAGES / statistics.median(found[name]) for name in ("ours", "bare"))
    against = f"a bare queue of the engine ({bare:,.0f}/s)"
    return [Result("bus to ledger", ours, "messages/s", ratio(found["bare"], found["ours"]), against)]


def _deploy(endpoint: str, admin_url: str, outdir: Path) -> None:
    deploy.deploy(endpoint, outdir=outdir)
    jobs = {"DATABASE_URL": as_login(admin_url), "INTEGRATION_ENCRYPTION_KEY": KEY}
    deploy.put_secret(endpoint, "cgk/jobs", jobs)
    deploy.put_secret(endpoint, "cgk/admin", {**jobs, "DATABASE_ADMIN_URL": admin_url})


class _Flood:
    """Publishes a number of events at once and waits until all their runs have ended."""

    def __init__(self, endpoint: str, conn: Connection) -> None:
        self._events = deploy.client("events", endpoint)
        self._conn = conn
        self._sent = 0

    def run(self) -> float:
        """Seconds from the first event to the last run's end."""
        details = [self._detail() for _ in range(MESSAGES)]
        began = time.perf_counter()
        for batch in _batches(details):
            entries = [{"EventBusName": "cgk", "Source": "bench", "DetailType": EVENT, "Detail": d} for d in batch]
            assert self._events.put_events(Entries=entries)["FailedEntryCount"] == 0
        while self._done() < self._sent:
            if time.perf_counter() - began > WAIT_S:
                raise TimeoutError(f"{self._sent - self._done()} messages were not done within {WAIT_S:.0f} s")
            time.sleep(POLL_S)
        return time.perf_counter() - began

    def _detail(self) -> str:
        self._sent += 1
        body = {"id": f"evt_bench_{self._sent}", "type": "bench.nothing"}
        return json.dumps({"tenantId": TENANTS[0], "provider": "stripe", "topic": "bench.nothing", "body": body})

    def _done(self) -> int:
        row = self._conn.execute(DONE).fetchone()
        return int(row[0]) if row else 0


def _bare(endpoint: str) -> Callable[[], float]:
    sqs: Any = deploy.client("sqs", endpoint)
    url = sqs.create_queue(QueueName="bench-bare")["QueueUrl"]

    def run() -> float:
        began, left = time.perf_counter(), MESSAGES
        for batch in _batches([str(n) for n in range(MESSAGES)]):
            entries = [{"Id": str(n), "MessageBody": body} for n, body in enumerate(batch)]
            sqs.send_message_batch(QueueUrl=url, Entries=entries)
        while left:
            got = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=BATCH).get("Messages", [])
            entries = [{"Id": str(n), "ReceiptHandle": m["ReceiptHandle"]} for n, m in enumerate(got)]
            if entries:
                sqs.delete_message_batch(QueueUrl=url, Entries=entries)
            left -= len(got)
        return time.perf_counter() - began

    return run


def _batches(items: Sequence[str]) -> list[Sequence[str]]:
    return [items[start : start + BATCH] for start in range(0, len(items), BATCH)]
