"""Backfills without a database: what a message asks for, how a run is cut, how a file becomes orders."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from functions.commerce.order_backfill import bulk, run_key, runs, windows
from functions.commerce.order_backfill.windows import Window
from shared.events.orders import OrderSyncBatch
from shared.jobs import Delivery, Permanent

NOW = datetime(2026, 11, 20, 12, 0, 0, tzinfo=UTC)
NEW_YORK = ZoneInfo("America/New_York")


def message(**wire: Any) -> OrderSyncBatch:
    return OrderSyncBatch.model_validate_json(json.dumps(wire), strict=True)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


# What a message asks for.


@pytest.mark.parametrize(
    ("wire", "start", "end", "by"),
    [
        pytest.param(
            {"startDate": "2026-11-18T12:00:00Z"}, "2026-11-18T12:00:00Z", "2026-11-20T12:00:00Z", "either",
            id="last 48 hours: old orders that changed count too",
        ),
        pytest.param(
            {"startDate": "2026-09-21"}, "2026-09-21T04:00:00Z", "2026-11-20T12:00:00Z", "created",
            id="60 days from a local midnight: created only",
        ),
        pytest.param(
            {"startDate": "2026-11-01", "endDate": "2026-11-01"}, "2026-11-01T04:00:00Z", "2026-11-02T05:00:00Z",
            "either", id="one local day of 25 hours, its end included",
        ),
        pytest.param(
            {"startDate": "2026-11-18T12:00:00.900+01:00", "endDate": "2026-11-19T00:00:00.1Z", "windowBy": "updated"},
            "2026-11-18T11:00:00Z", "2026-11-19T00:00:01Z", "updated", id="whole seconds around the window",
        ),
        pytest.param(
            {"startDate": "2020-01-01", "cursor": "2026-11-13T12:00:00+00:00"}, "2026-11-13T12:00:00Z",
            "2026-11-20T12:00:00Z", "either", id="cursor of an older publisher; exactly 7 days are short",
        ),
    ],
)  # fmt: skip
def test_window_that_a_message_asks_for(wire: dict[str, Any], start: str, end: str, by: str) -> None:
    window = windows.asked_window(message(**wire), NEW_YORK, NOW)

    assert (window.start, window.end, window.by) == (at(start), at(end), by)


@pytest.mark.parametrize(
    "wire",
    [
        pytest.param({"endDate": "2026-11-01"}, id="no start"),
        pytest.param({"startDate": "2026-11-21"}, id="begins after now"),
        pytest.param({"startDate": "2026-11-02", "endDate": "2026-11-01"}, id="ends before it begins"),
        pytest.param({"cursor": "yesterday"}, id="cursor is no instant"),
        pytest.param({"cursor": "2026-11-13T12:00:00"}, id="cursor without zone"),
    ],
)
def test_window_that_makes_no_sense_is_refused(wire: dict[str, Any]) -> None:
    with pytest.raises(Permanent) as refused:
        windows.asked_window(message(**wire), NEW_YORK, NOW)

    assert refused.value.code == "INVALID_PAYLOAD"


@pytest.mark.parametrize(
    ("by", "query"),
    [
        ("created", "created_at:>='2026-11-01T00:00:00Z' created_at:<'2026-11-08T00:00:00Z' status:any"),
        ("updated", "updated_at:>='2026-11-01T00:00:00Z' updated_at:<'2026-11-08T00:00:00Z' status:any"),
        (
            "either",
            "((created_at:>='2026-11-01T00:00:00Z' created_at:<'2026-11-08T00:00:00Z')"
            " OR (updated_at:>='2026-11-01T00:00:00Z' updated_at:<'2026-11-08T00:00:00Z')) status:any",
        ),
    ],
)
def test_search_text_of_a_window(by: windows.WindowBy, query: str) -> None:
    assert Window(at("2026-11-01T00:00:00Z"), at("2026-11-08T01:00:00+01:00"), by).query == query


def test_equal_windows_share_a_hash() -> None:
    october = Window(at("2026-10-01T00:00:00Z"), at("2026-11-01T00:00:00Z"), "created")
    same = Window(at("2026-10-01T02:00:00+02:00"), at("2026-11-01T00:00:00Z"), "created")
    later = Window(october.start, at("2026-11-01T00:00:01Z"), "created")

    assert windows.window_hash(october, open_end=False) == windows.window_hash(same, open_end=False)
    assert windows.window_hash(october, open_end=False) != windows.window_hash(later, open_end=False)
    assert windows.window_hash(october, open_end=True) == windows.window_hash(later, open_end=True)
    assert windows.list_hash(["2", "1"]) == windows.list_hash(["1", "2", "2"]) != windows.list_hash(["1"])


# How a window is cut.


def evenly(per_hour: float, whole: Window) -> Callable[[Window], int]:
    """A shop with so many orders every hour of `whole`."""

    def count(part: Window) -> int:
        hours = (min(part.end, whole.end) - max(part.start, whole.start)).total_seconds() / 3600
        return round(hours * per_hour)

    return count


def test_45000_orders_over_8_weeks_make_4_slices_newest_first() -> None:
    whole = Window(NOW - timedelta(weeks=8), NOW, "created")

    parts = windows.cut(whole, evenly(45_000 / (8 * 7 * 24), whole), 45_000)

    assert [orders for _, orders in parts] == [11_250] * 4
    assert [part.end for part, _ in parts] == [NOW - timedelta(weeks=w) for w in (0, 2, 4, 6)]
    assert [part.start for part, _ in parts] == [NOW - timedelta(weeks=w) for w in (2, 4, 6, 8)]


def test_empty_parts_are_left_out() -> None:
    whole = Window(NOW - timedelta(days=8), NOW, "created")
    newest = Window(NOW - timedelta(days=1), NOW, "created")

    parts = windows.cut(whole, lambda part: 15_000 if part.end == NOW and part.start >= newest.start else
                        30_000 if part.end == NOW else 0, 30_000)  # fmt: skip

    assert parts == [(newest, 15_000)]


def test_flash_sale_is_not_cut_below_an_hour() -> None:
    hour = Window(NOW - timedelta(hours=1), NOW, "created")
    four = Window(NOW - timedelta(hours=4), NOW, "created")

    assert windows.cut(hour, evenly(90_000, hour), 90_000) == [(hour, 90_000)]
    assert [part.end - part.start for part, _ in windows.cut(four, evenly(90_000, four), 360_000)] == [
        timedelta(hours=1)
    ] * 4


def test_more_than_400_slices_are_refused() -> None:
    years = Window(NOW - timedelta(days=3_000), NOW, "created")
    asked: list[Window] = []

    def count(part: Window) -> int:
        asked.append(part)
        return evenly(8_200_000 / (3_000 * 24), years)(part)

    with pytest.raises(Permanent) as refused:
        windows.cut(years, count, 8_200_000)

    assert refused.value.code == "WINDOW_TOO_LARGE"
    assert len(asked) < 1_000


@pytest.mark.parametrize(
    ("n", "seconds"), [(1, 30), (2, 45), (3, 67), (4, 101), (5, 151), (6, 227), (7, 300), (72, 300)]
)
def test_wait_before_a_poll(n: int, seconds: int) -> None:
    assert windows.poll_delay_s(n) == seconds


# What tells messages apart.


def test_start_is_keyed_by_content_and_hour() -> None:
    def key(wire: dict[str, Any], sent: str) -> str:
        return run_key(message(**wire), Delivery(id=sent, sent_at=at(sent)))

    october = {"startDate": "2026-10-01", "endDate": "2026-10-31"}

    assert key(october, "2026-11-20T12:00:00Z") == key(october, "2026-11-20T12:59:59Z")
    assert key(october, "2026-11-20T12:59:59Z") != key(october, "2026-11-20T13:00:00Z")
    assert key(october, "2026-11-20T12:00:00Z") != key({"startDate": "2026-10-01"}, "2026-11-20T12:00:00Z")


def test_later_steps_are_keyed_by_slice_step_cursor_restarts_and_polls() -> None:
    run = "0190b0a4-7c5e-7a55-9d0e-3f8a1c2b4d5e"
    steps = [
        {"sliceNo": 1, "step": "export", "pollCount": 0, "restarts": 0},
        {"sliceNo": 1, "step": "export", "pollCount": 1, "restarts": 0},
        {"sliceNo": 1, "step": "export", "pollCount": 0, "restarts": 1},
        {"sliceNo": 1, "step": "poll", "pollCount": 1, "restarts": 0},
        {"sliceNo": 1, "step": "poll", "pollCount": 2, "restarts": 0},
        {"sliceNo": 2, "step": "poll", "pollCount": 2, "restarts": 0},
        {"sliceNo": 1, "step": "load", "cursor": "0", "restarts": 0},
        {"sliceNo": 1, "step": "load", "cursor": "4096", "restarts": 0},
        {"sliceNo": 1, "step": "details", "cursor": "0", "restarts": 0},
    ]

    keys = [runs.step_key(message(runId=run, **step)) for step in steps]

    assert len(set(keys)) == len(steps)
    assert all(key.startswith(run) for key in keys)
    again = message(runId=run, **steps[5])
    assert run_key(again, Delivery(id="a", sent_at=NOW)) == run_key(again, Delivery(id="b", sent_at=NOW)) == keys[5]


# How a bulk file becomes orders.


def line(offset: int, id: str, parent: str | None = None) -> tuple[int, dict[str, Any]]:
    return offset, {"id": id} | ({"__parentId": parent} if parent else {})


def test_lines_below_an_order_are_its_line_items() -> None:
    lines = [
        line(0, "o1"),
        line(10, "l1", "o1"),
        line(20, "l2", "o1"),
        line(30, "o2"),
        line(40, "o3"),
        line(50, "l3", "o3"),
    ]

    orders = list(bulk.orders_of(lines))

    assert [(offset, order["id"], [n["id"] for n in order["lineItems"]["nodes"]]) for offset, order in orders] == [
        (0, "o1", ["l1", "l2"]),
        (30, "o2", []),
        (40, "o3", ["l3"]),
    ]


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param([line(0, "o1"), line(10, "o2"), line(20, "l1", "o1")], id="child of an earlier order"),
        pytest.param([line(0, "l1", "o1"), line(10, "o1")], id="child before any order"),
    ],
)
def test_file_that_is_not_grouped_is_refused(lines: list[tuple[int, dict[str, Any]]]) -> None:
    with pytest.raises(Permanent) as refused:
        list(bulk.orders_of(lines))

    assert refused.value.code == "BULK_NOT_GROUPED"


def test_12345_orders_are_24_chunks_of_500_and_one_of_345() -> None:
    orders = ((n * 100, {"id": str(n)}) for n in range(12_345))

    chunks = [(len(group), rest_at) for group, rest_at in bulk.chunks(orders)]

    assert chunks == [*((500, n * 50_000) for n in range(1, 25)), (345, None)]


def test_empty_file_is_one_empty_chunk() -> None:
    assert list(bulk.chunks(bulk.orders_of([]))) == [([], None)]
