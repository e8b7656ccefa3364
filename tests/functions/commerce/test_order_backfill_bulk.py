"""Bulk slices of a backfill through the real pipeline: exports, files, refunds, and what goes wrong with them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

import pytest

from shared.events.orders import OrderSync
from shared.fakes.shopify import Line, Refund, ShopifyFake
from shared.jobs.testing import Bench, Deliver, Delivered, FixedContext, ManualClock
from tests.builders.backfills import (
    DAY,
    NOW,
    QUEUE,
    Drain,
    Rows,
    ended,
    mine,
    names,
    run_row,
    spread,
    window,
)

# Windows through bulk operations.


def test_45000_orders_over_8_weeks_go_through_4_bulk_slices(
    shopify: ShopifyFake, deliver: Deliver, drain: Drain, rows: Rows
) -> None:
    spread(shopify, 45_000, NOW - timedelta(weeks=8), timedelta(weeks=8))

    started = deliver(window(NOW - timedelta(weeks=8)))
    steps = mine(drain())

    assert (started.result["outcome"], started.result["slices"]) == ("sliced", 4)
    assert [(p["sliceNo"], p["step"], delay) for p, delay in started.again] == [(1, "export", 0), (2, "export", 0)]
    slices = rows("SELECT kind, status, expected, stored FROM order_sync_slices ORDER BY window_to DESC, slice_no")
    assert slices == [{"kind": "bulk", "status": "completed", "expected": 11_250, "stored": 11_250}] * 4
    assert most_exporting(steps) == 2
    run = run_row(rows)
    assert (run["status"], run["expected"], run["stored"], run["created"]) == ("completed", 45_000, 45_000, 45_000)
    assert rows("SELECT count(*) AS n, sum(total_cents) AS total FROM orders") == [{"n": 45_000, "total": 45_000_000}]


def most_exporting(steps: Iterable[Delivered]) -> int:
    """How many slices were being exported at once, at most."""
    exporting: set[int] = set()
    most = 0
    for step in steps:
        if step.result.get("outcome") == "exported":
            exporting.add(step.result["sliceNo"])
        elif step.result.get("step") == "poll" and step.result["outcome"] != "waiting":
            exporting.discard(step.result["sliceNo"])
        most = max(most, len(exporting))
    return most


FAIL_AFTER = """
CREATE FUNCTION stop_worker() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the worker dies' USING ERRCODE = '40001';
END $$;
CREATE TRIGGER stop_worker BEFORE UPDATE ON order_sync_runs
FOR EACH ROW WHEN (NEW.checked > 5000) EXECUTE FUNCTION stop_worker()
"""


def test_worker_that_dies_after_chunk_10_goes_on_from_the_stored_offset(
    shopify: ShopifyFake, deliver: Deliver, drain: Drain, rows: Rows
) -> None:
    spread(shopify, 12_345, NOW - 30 * DAY, 30 * DAY)
    rows.execute(FAIL_AFTER)

    deliver(window(NOW - 30 * DAY))
    for outcome in ("exported", "continued"):
        assert deliver.again(QUEUE).result["outcome"] == outcome
    assert deliver.again(QUEUE, expect="retrying").code == "DATABASE_BUSY"
    (died,) = rows("SELECT cursor::bigint AS offset, stored FROM order_sync_slices")
    rows.execute("DROP TRIGGER stop_worker ON order_sync_runs")
    drain()

    files = [each.range for each in shopify.requests if "/bulk/" in each.path]
    assert died["stored"] == 5_000
    assert files == [None, f"bytes={died['offset']}-"]
    chunks = rows("SELECT count(*) AS orders FROM orders GROUP BY xmin::text ORDER BY 1")
    assert [chunk["orders"] for chunk in chunks] == [345, *[500] * 24]
    assert run_row(rows)["stored"] == 12_345
    assert rows("SELECT count(*) AS n, count(DISTINCT id) AS ids FROM order_line_items") == [
        {"n": 12_345, "ids": 12_345}
    ]


def test_answer_cut_in_the_middle_of_the_file_costs_one_chunk(
    shopify: ShopifyFake, deliver: Deliver, drain: Drain, rows: Rows
) -> None:
    spread(shopify, 2_100, NOW - 30 * DAY, 30 * DAY)
    shopify.fail("cut", match="/bulk/")

    deliver(window(NOW - 30 * DAY))
    steps = mine(drain())

    assert [(step.state, step.code) for step in steps if step.state != "succeeded"] == [
        ("retrying", "SHOPIFY_UNAVAILABLE")
    ]
    assert ended(steps)["created"] == 2_100


def test_second_backfill_changes_nothing_and_says_so(
    shopify: ShopifyFake, deliver: Deliver, drain: Drain, rows: Rows, clock: ManualClock
) -> None:
    shop = spread(shopify, 1_100, NOW - 30 * DAY, 30 * DAY)
    shop.order(created_at=NOW - 9 * DAY, lines=[Line("50.00", 2)], refunds=[Refund(items=[(0, 1)], at=NOW - 8 * DAY)])
    deliver(window(NOW - 30 * DAY))
    first = ended(drain())
    before = rows("SELECT id, xmin::text AS written FROM orders ORDER BY id")
    clock.advance(s=3_600)

    deliver(window(NOW - 30 * DAY))
    second = mine(drain())

    assert (first["created"], first["unchanged"]) == (1_101, 0)
    assert ended(second) == {
        "status": "completed", "expected": 1_101, "checked": 1_101, "created": 0, "updated": 0, "unchanged": 1_101,
        "stale": 0, "missing": 0, "failed": 0,
    }  # fmt: skip
    assert rows("SELECT id, xmin::text AS written FROM orders ORDER BY id") == before
    assert [name for name in names(second) if name.startswith("order.")] == ["order.backfillCompleted"]


def test_refund_lines_are_read_after_the_file(shopify: ShopifyFake, deliver: Deliver, drain: Drain, rows: Rows) -> None:
    shop = spread(shopify, 1_001, NOW - 30 * DAY, 30 * DAY)
    # One A of 2 x 50.00 less 10.00 comes back: 45.00 of goods, 3.60 of tax.
    shop.order(
        id=5001, created_at=NOW - 9 * DAY, lines=[Line("50.00", 2, discount="10.00", tax="7.20")], tax="7.20",
        refunds=[Refund(items=[(0, 1)], at=NOW - 8 * DAY)],
    )  # fmt: skip

    deliver(window(NOW - 30 * DAY))
    steps = mine(drain())

    assert [s.result["outcome"] for s in steps if s.result["step"] in ("load", "details")] == ["continued", "completed"]
    assert rows("SELECT amount_cents, goods_cents, tax_cents FROM refunds") == [
        {"amount_cents": 4_860, "goods_cents": 4_500, "tax_cents": 360}
    ]
    assert rows("SELECT amount_cents, quantity FROM refund_line_items") == [{"amount_cents": 4_500, "quantity": 1}]


def test_newer_webhook_during_the_export_wins(
    shopify: ShopifyFake, deliver: Deliver, drain: Drain, rows: Rows, clock: ManualClock
) -> None:
    shop = spread(shopify, 1_001, NOW - 30 * DAY, 30 * DAY)
    deliver(window(NOW - 30 * DAY))
    assert deliver.again(QUEUE).result["outcome"] == "exported"
    shop.bulk.find(1, wait=True)  # the file is written with the order as it was
    clock.advance(s=10)
    shop.update_order(77, note="the webhook's")
    deliver(OrderSync(shopify_order_id="77"))

    total = ended(drain())

    assert (total["stale"], total["created"], total["checked"]) == (1, 1_000, 1_001)
    assert rows("SELECT notes FROM orders WHERE id = '77'") == [{"notes": "the webhook's"}]
    assert run_row(rows)["stale"] == 1


# Trouble with exports.


def test_export_that_times_out_is_replaced_by_two_halves(
    shopify: ShopifyFake, deliver: Deliver, drain: Drain, rows: Rows
) -> None:
    shop = spread(shopify, 1_200, NOW - 30 * DAY, 30 * DAY)
    shop.bulk.failures = ["TIMEOUT"]

    deliver(window(NOW - 30 * DAY))
    total = ended(drain())

    assert rows("SELECT slice_no, window_from, window_to, stored FROM order_sync_slices ORDER BY slice_no") == [
        {"slice_no": 2, "window_from": NOW - 15 * DAY, "window_to": NOW, "stored": 600},
        {"slice_no": 3, "window_from": NOW - 30 * DAY, "window_to": NOW - 15 * DAY, "stored": 600},
    ]
    assert (total["status"], total["created"], total["expected"]) == ("completed", 1_200, 1_200)


@pytest.mark.parametrize(
    ("failures", "status", "restarts", "created"),
    [
        pytest.param(2, "completed", 2, 1_200, id="twice: exported anew"),
        pytest.param(3, "failed", 2, 0, id="three times: given up"),
    ],
)
def test_export_that_fails(
    failures: int,
    status: str,
    restarts: int,
    created: int,
    shopify: ShopifyFake,
    deliver: Deliver,
    drain: Drain,
    rows: Rows,
) -> None:
    shop = spread(shopify, 1_200, NOW - 30 * DAY, 30 * DAY)
    shop.bulk.failures = ["INTERNAL_SERVER_ERROR"] * failures

    deliver(window(NOW - 30 * DAY))
    steps = mine(drain())

    assert (ended(steps)["status"], ended(steps)["created"]) == (status, created)
    assert rows("SELECT status, restarts FROM order_sync_slices") == [{"status": status, "restarts": restarts}]
    assert ("alert.systemError" in names(steps)) == (status == "failed")
    assert all(step.state == "succeeded" for step in steps)


def test_export_of_orders_without_a_file_is_made_anew(
    shopify: ShopifyFake, deliver: Deliver, drain: Drain, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = spread(shopify, 1_200, NOW - 30 * DAY, 30 * DAY)
    deliver(window(NOW - 30 * DAY))
    assert deliver.again(QUEUE).result["outcome"] == "exported"
    with monkeypatch.context() as patch:
        patch.setattr(shop.bulk, "_url_of", lambda number: None)
        assert deliver.again(QUEUE).result["outcome"] == "waiting"

    total = ended(drain())

    assert (total["created"], len(shop.bulk.runs())) == (1_200, 2)
    assert rows("SELECT restarts FROM order_sync_slices") == [{"restarts": 1}]


def test_export_is_looked_at_less_and_less_often_and_cancelled_after_6_hours(
    shopify: ShopifyFake, deliver: Deliver, drain: Drain, rows: Rows
) -> None:
    shop = spread(shopify, 1_200, NOW - 30 * DAY, 30 * DAY)
    shop.bulk.held = True

    deliver(window(NOW - 30 * DAY))
    steps = mine(drain())

    delays = [delay for step in steps for payload, delay in step.again if payload["step"] == "poll"]
    assert delays[:8] == [30, 45, 67, 101, 151, 227, 300, 300]
    assert (steps[-1].state, steps[-1].code) == ("dead", "BULK_TIMEOUT")
    assert shop.bulk.runs()[0].status == "CANCELED"
    assert rows("SELECT status, error_code FROM order_sync_slices") == [
        {"status": "failed", "error_code": "BULK_TIMEOUT"}
    ]
    assert run_row(rows)["status"] == "failed"


def test_shop_that_exports_enough_is_asked_again_in_300_s(shopify: ShopifyFake, deliver: Deliver, drain: Drain) -> None:
    shop = spread(shopify, 1_200, NOW - 30 * DAY, 30 * DAY)
    shop.bulk.limit = 0
    deliver(window(NOW - 30 * DAY))

    waits = [deliver.again(QUEUE), deliver.again(QUEUE)]
    shop.bulk.limit = 5
    total = ended(drain())

    assert [(w.result["outcome"], w.again[0][1]) for w in waits] == [("waiting", 300)] * 2
    assert total["created"] == 1_200


def test_lost_answer_of_an_export_is_adopted(shopify: ShopifyFake, deliver: Deliver, drain: Drain) -> None:
    shop = spread(shopify, 1_200, NOW - 30 * DAY, 30 * DAY)
    shop.bulk.held = True
    shopify.fail("cut", match="bulkOperationRunQuery")
    deliver(window(NOW - 30 * DAY))

    lost = deliver.again(QUEUE, expect="retrying")
    exported = deliver.again(QUEUE)
    shop.bulk.release()
    total = ended(drain())

    assert lost.code == "SHOPIFY_UNAVAILABLE"
    assert exported.result["outcome"] == "exported"
    assert len(shop.bulk.runs()) == 1
    assert total["created"] == 1_200


def test_file_that_has_expired_is_exported_anew(
    shopify: ShopifyFake, deliver: Deliver, drain: Drain, rows: Rows
) -> None:
    shop = spread(shopify, 1_200, NOW - 30 * DAY, 30 * DAY)
    deliver(window(NOW - 30 * DAY))
    deliver.again(QUEUE)
    deliver.again(QUEUE)
    shop.bulk.expire()

    steps = mine(drain())

    assert steps[0].result["outcome"] == "waiting"
    assert (ended(steps)["created"], len(shop.bulk.runs())) == (1_200, 2)
    assert rows("SELECT restarts, error_code FROM order_sync_slices")[0]["restarts"] == 1


def test_invocation_without_time_left_hands_on_after_each_chunk(
    shopify: ShopifyFake, deliver: Deliver, drain: Drain, bench: Bench, rows: Rows
) -> None:
    spread(shopify, 1_200, NOW - 30 * DAY, 30 * DAY)
    deliver(window(NOW - 30 * DAY))
    for _ in ("export", "poll"):
        deliver.again(QUEUE)

    stored = []
    for _ in range(2):
        brief_invocation(bench)
        stored += [row["stored"] for row in rows("SELECT stored FROM order_sync_slices")]
    steps = mine(drain())

    assert stored == [500, 1_000]
    assert [each.range is not None for each in shopify.requests if "/bulk/" in each.path] == [False, True, True]
    assert (ended(steps)["created"], [step.attempt for step in steps]) == (1_200, [1])


def brief_invocation(bench: Bench) -> None:
    """One invocation of the bulk function that must end in 40 s: room for one chunk."""
    records = bench.queues.receive(QUEUE, 1, 5_400)
    answer = bench.bulk.handle(records, FixedContext(40_000))
    assert answer["batchItemFailures"] == []
    bench.queues.delete(QUEUE, {record.message_id for record in records})
