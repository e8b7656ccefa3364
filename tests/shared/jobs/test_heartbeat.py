"""A bulk run's heartbeat keeps its claim, its places and its message, and nobody else's."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import psycopg

from shared.db.connections import connect
from shared.jobs.heartbeat import Heartbeat
from shared.jobs.testing import Bench
from tests import toys as toy_jobs
from tests.toys import ToyAsked

LEFT = "SELECT extract(epoch FROM lease_until - now())::int FROM jobs.{table} WHERE owner IS NOT NULL"


def test_beat_renews_the_claim_the_places_and_the_message(
    toys: Bench, database_url: str, admin: psycopg.Connection[Any]
) -> None:
    seen: dict[str, Any] = {}

    def work(ctx: Any, payload: ToyAsked) -> None:
        admin.execute("UPDATE jobs.claims SET lease_until = now() + interval '5 s'")
        admin.execute("UPDATE jobs.slots SET lease_until = now() + interval '5 s' WHERE owner IS NOT NULL")
        run = ctx._run
        with connect(database_url, application_name="cgk-test") as conn:
            Heartbeat(run, toys.queues, database_url, 120, enabled=False)._renew(conn)
        for table in ("claims", "slots"):
            seen[table] = [row[0] for row in admin.execute(LEFT.format(table=table).encode()).fetchall()]
        [message] = toys.queues.queues["toys-bulk"]
        seen["message"] = (message.visible_at - toys.clock.now()).total_seconds()

    toy_jobs.ACTS["work"] = work
    toys.send("toy-dig", {"tenantId": "acme", "act": "work"})
    try:
        [done] = toys.pump("toys-bulk")
    finally:
        del toy_jobs.ACTS["work"]

    assert done.state == "succeeded"
    assert all(115 <= left <= 120 for left in [*seen["claims"], *seen["slots"]])
    assert len(seen["slots"]) == 1
    assert seen["message"] == 120


def test_beat_of_a_run_that_was_taken_over_renews_nothing(
    toys: Bench, database_url: str, admin: psycopg.Connection[Any]
) -> None:
    seen: list[float] = []

    def work(ctx: Any, payload: ToyAsked) -> None:
        admin.execute("UPDATE jobs.claims SET owner = %s, lease_until = now() + interval '5 s'", (uuid4(),))
        with connect(database_url, application_name="cgk-test") as conn:
            Heartbeat(ctx._run, toys.queues, database_url, 120, enabled=False)._renew(conn)
        seen.extend(row[0] for row in admin.execute(LEFT.format(table="claims").encode()).fetchall())

    toy_jobs.ACTS["work"] = work
    toys.send("toy-dig", {"tenantId": "acme", "act": "work"})
    try:
        toys.pump("toys-bulk")
    finally:
        del toy_jobs.ACTS["work"]

    assert seen
    assert all(left <= 5 for left in seen)
