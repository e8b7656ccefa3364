"""Daily partitions of the ledger: made ahead, rows moved out of the default one, dropped in time."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from uuid import uuid4

import pytest

from shared.db.connections import Connection
from shared.db.partitions import Pruned, drop_expired, ensure_partitions

TODAY = date(2027, 3, 1)


def days(connection: Connection, table: str) -> list[str]:
    query = "SELECT relname FROM pg_class WHERE relispartition AND relkind = 'r' AND relname ~ %s ORDER BY 1"
    return [name for (name,) in connection.execute(query, (f"^{table}_2027",)).fetchall()]


def insert_run(connection: Connection, at: datetime, state: str = "succeeded") -> None:
    connection.execute(
        "INSERT INTO jobs.runs (run_id, run_at, job, tenant, key, state) VALUES (%s, %s, 'j', 'acme', 'k', %s)",
        (uuid4(), at, state),
    )


def test_partitions_reach_ahead_and_a_second_call_makes_none(admin: Connection) -> None:
    made = ensure_partitions(admin, TODAY, days_ahead=2)

    assert days(admin, "runs") == ["runs_20270301", "runs_20270302", "runs_20270303"]
    assert (made[0], made[-1], len(made)) == ("runs_20270301", "payloads_20270402", 3 + 33)
    assert ensure_partitions(admin, TODAY, days_ahead=2) == []
    assert len(ensure_partitions(admin, TODAY + timedelta(days=1), days_ahead=2)) == 2


def test_rows_of_the_default_partition_move_when_their_day_is_made(admin: Connection) -> None:
    last_of_february = datetime(2027, 2, 28, 23, 59, 59, 999999, tzinfo=UTC)
    for at in (last_of_february, datetime(2027, 3, 1, tzinfo=UTC), datetime(2027, 3, 1, 23, tzinfo=UTC)):
        insert_run(admin, at)
    admin.execute("INSERT INTO jobs.payloads (run_id, expires_on) VALUES (gen_random_uuid(), '2027-03-02')")

    ensure_partitions(admin, TODAY)

    where = "SELECT tableoid::regclass::text, count(*) FROM jobs.runs GROUP BY 1 ORDER BY 1"
    assert admin.execute(where).fetchall() == [("jobs.runs_20270301", 2), ("jobs.runs_default", 1)]
    assert admin.execute("SELECT tableoid::regclass::text FROM jobs.payloads").fetchall() == [
        ("jobs.payloads_20270302",)
    ]


def test_payload_moves_when_it_is_to_expire_on_another_day(admin: Connection) -> None:
    ensure_partitions(admin, TODAY)
    admin.execute("INSERT INTO jobs.payloads (run_id, expires_on) VALUES (gen_random_uuid(), '2027-03-31')")

    admin.execute("UPDATE jobs.payloads SET expires_on = '2027-03-08'")

    assert admin.execute("SELECT tableoid::regclass::text FROM jobs.payloads").fetchall() == [
        ("jobs.payloads_20270308",)
    ]


def test_what_is_too_old_is_dropped_and_the_rest_stays(admin: Connection) -> None:
    ensure_partitions(admin, TODAY - timedelta(days=92), days_ahead=3)  # 2026-11-29 .. 2026-12-02
    ensure_partitions(admin, TODAY, days_ahead=0)
    insert_run(admin, datetime(2026, 10, 1, tzinfo=UTC))  # in the default partition
    insert_run(admin, datetime(2026, 12, 20, tzinfo=UTC))
    for age, state, key in [(29, "succeeded", "a"), (31, "succeeded", "b"), (31, "dead", "c"), (91, "dead", "d")]:
        admin.execute(
            "INSERT INTO jobs.claims (job, tenant, key, run_id, run_at, state, ended_at)"
            " VALUES ('j', 'acme', %s, gen_random_uuid(), now(), %s, %s)",
            (key, state, datetime(2027, 3, 1, tzinfo=UTC) - timedelta(days=age)),
        )
    admin.execute(
        "INSERT INTO jobs.claims (job, tenant, key, run_id, run_at, state) VALUES"
        " ('j', 'acme', 'running', gen_random_uuid(), now(), 'running')"
    )

    pruned = drop_expired(admin, TODAY)

    assert {name for name in pruned.partitions if name.startswith("runs")} >= {"runs_20261129", "runs_20261130"}
    assert "runs_20261201" not in pruned.partitions  # 90 days old: kept
    assert (pruned.claims, pruned.runs) == (2, 1)
    assert admin.execute("SELECT key FROM jobs.claims ORDER BY key").fetchall() == [("a",), ("c",), ("running",)]
    assert days(admin, "payloads")[0] == "payloads_20270301"
    assert drop_expired(admin, TODAY) == Pruned((), 0, 0, 0)


@pytest.mark.parametrize("state", ["unknown", ""])
def test_state_outside_the_list_is_refused(admin: Connection, state: str) -> None:
    with pytest.raises(Exception, match="runs_state_check"):
        insert_run(admin, datetime(2027, 3, 1, tzinfo=UTC), state)
