"""publishers/python: what goes to the bus, and what the publisher refuses."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

import pytest


@dataclass
class Bus:
    """A client of EventBridge that answers as it is told: per call the codes by position."""

    answers: list[list[str | None]] = field(default_factory=list)
    calls: list[list[dict[str, str]]] = field(default_factory=list)

    def put_events(self, Entries: list[dict[str, str]]) -> dict[str, Any]:  # noqa: N803 - boto3's name
        codes = self.answers[len(self.calls)] if len(self.calls) < len(self.answers) else []
        self.calls.append(Entries)
        answers = [
            {"ErrorCode": codes[n]} if n < len(codes) and codes[n] else {"EventId": json.loads(e["Detail"])["orderId"]}
            for n, e in enumerate(Entries)
        ]
        return {"Entries": answers}


@dataclass
class Sending:
    """A publisher on a bus, and how long it slept."""

    module: Any
    bus: Bus = field(default_factory=Bus)
    slept: list[float] = field(default_factory=list)

    @property
    def publisher(self) -> Any:
        return self.module.Publisher("shop.app", bus="cgk-test", client=self.bus, sleep=self.slept.append)

    def orders(self, n: int) -> list[Any]:
        events = self.module.events
        return [self.module.Outgoing(events.OrderSync(order_id=str(each)), "acme") for each in range(n)]


@pytest.fixture
def sending(cgk_publisher: Any) -> Sending:
    return Sending(cgk_publisher)


def test_event_carries_tenant_payload_and_key_by_wire_names(sending: Sending) -> None:
    at = datetime(2026, 1, 15, 12, tzinfo=UTC)
    event = sending.module.events.OrderSync(order_id="7", source="app", updated_at=at)

    assert sending.publisher.publish(event, "acme", key="k-7") == "7"

    [[entry]] = sending.bus.calls
    assert json.loads(entry["Detail"]) == {
        "tenantId": "acme",
        "orderId": "7",
        "source": "app",
        "updatedAt": "2026-01-15T12:00:00+00:00",
        "_meta": {"key": "k-7"},
    }
    assert (entry["EventBusName"], entry["Source"], entry["DetailType"]) == ("cgk-test", "shop.app", "order.sync")


def test_batches_of_ten_with_ids_in_order(sending: Sending) -> None:
    ids = sending.publisher.publish_all(sending.orders(25))

    assert [len(call) for call in sending.bus.calls] == [10, 10, 5]
    assert ids == [str(n) for n in range(25)]


def test_what_the_bus_refuses_for_a_moment_is_sent_again_alone(sending: Sending) -> None:
    sending.bus.answers = [[None, "ThrottlingException"], ["InternalFailure"]]

    assert sending.publisher.publish_all(sending.orders(3)) == ["0", "1", "2"]

    assert [len(call) for call in sending.bus.calls] == [3, 1, 1]
    assert len(sending.slept) == 2


def test_what_the_bus_never_takes_is_an_error_with_places_and_codes(sending: Sending) -> None:
    sending.bus.answers = [[None, "AccessDeniedException"]]

    with pytest.raises(sending.module.PublishFailed, match="1 of 2 events were not taken") as caught:
        sending.publisher.publish_all(sending.orders(2))

    assert [(each.position, each.code) for each in caught.value.failed] == [(1, "AccessDeniedException")]
    assert caught.value.ids == ("0", None)
    assert sending.slept == []


def test_tries_end_after_four(sending: Sending) -> None:
    sending.bus.answers = [["ThrottlingException"]] * 9

    with pytest.raises(sending.module.PublishFailed):
        sending.publisher.publish_all(sending.orders(1))

    assert len(sending.bus.calls) == 4


@pytest.mark.parametrize(
    ("members", "says"),
    [
        ({"tenant": "Acme Inc"}, "neither a slug"),
        ({"key": ""}, "1 to 512 characters"),
        ({"key": "k" * 513}, "1 to 512 characters"),
        ({"order_id": "x" * 900_001}, "split the work"),
    ],
    ids=["tenant that is no slug", "empty key", "key of 513 characters", "event above the bytes"],
)
def test_refused_before_anything_is_sent(sending: Sending, members: dict[str, str], says: str) -> None:
    event = sending.module.events.OrderSync(order_id=members.get("order_id", "1"))
    wrong = sending.module.Outgoing(event, members.get("tenant", "acme"), members.get("key"))

    with pytest.raises(sending.module.PublishRefused, match=says):
        sending.publisher.publish_all([*sending.orders(1), wrong])

    assert sending.bus.calls == []


def test_instant_without_zone_is_refused(sending: Sending) -> None:
    event = sending.module.events.OrderSync(order_id="1", updated_at=datetime(2026, 1, 15))  # noqa: DTZ001 - the point

    with pytest.raises(ValueError, match="must carry a zone"):
        sending.publisher.publish(event, "acme")


@pytest.mark.parametrize("source", ["cgk.jobs", "aws.s3"])
def test_nobody_publishes_as_the_jobs_or_as_aws(cgk_publisher: Any, source: str) -> None:
    with pytest.raises(cgk_publisher.PublishRefused):
        cgk_publisher.Publisher(source)


def test_values_of_all_kinds_on_the_wire(cgk_publisher: Any) -> None:
    wire = cgk_publisher.base.wire

    assert wire({"a": [date(2026, 1, 15), 1, 2.5, True, None], "b": {"c": "d"}}) == {
        "a": ["2026-01-15", 1, 2.5, True, None],
        "b": {"c": "d"},
    }
