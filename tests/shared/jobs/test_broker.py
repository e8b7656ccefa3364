"""The queues in memory: what SQS promises, what it may do to a consumer, and the order of its fair queues."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from shared.jobs.ports import OutMessage
from shared.jobs.testing import MAX_RECEIVES, ManualClock, MemoryQueues
from shared.jobs.testing.fairness import MIN_IN_FLIGHT, SILENT_S


@pytest.fixture
def queues(clock: ManualClock) -> MemoryQueues:
    return MemoryQueues(clock)


def send(queues: MemoryQueues, *groups: str | None, delay_s: int = 0) -> None:
    queues.send("q", [OutMessage("body", group, delay_s) for group in groups])


def groups(queues: MemoryQueues, most: int = 10, visibility_s: float = 60) -> list[str | None]:
    return [record.group for record in queues.receive("q", most, visibility_s)]


def test_received_message_is_invisible_until_its_visibility_ends(queues: MemoryQueues, clock: ManualClock) -> None:
    send(queues, "a")

    [first] = queues.receive("q", 10, 30)
    assert queues.receive("q", 10, 30) == []
    clock.advance(s=30)
    [second] = queues.receive("q", 10, 30)

    assert (first.receive_count, second.receive_count) == (1, 2)
    assert first.receipt != second.receipt
    assert first.sent_at == second.sent_at


def test_delayed_message_is_not_in_flight(queues: MemoryQueues, clock: ManualClock) -> None:
    send(queues, "a", delay_s=90)

    assert groups(queues) == []
    assert queues.in_flight("q") == {}
    clock.advance(s=90)
    assert groups(queues) == ["a"]
    assert queues.in_flight("q") == {"a": 1}


def test_message_received_too_often_goes_to_the_dead_letter_queue(queues: MemoryQueues, clock: ManualClock) -> None:
    send(queues, "a")
    for _ in range(MAX_RECEIVES):
        assert groups(queues, visibility_s=1) == ["a"]
        clock.advance(s=1)

    assert groups(queues) == []
    assert [letter.receive_count for letter in queues.dead("q")] == [MAX_RECEIVES]


def test_receipt_of_an_earlier_receive_changes_nothing(queues: MemoryQueues, clock: ManualClock) -> None:
    send(queues, "a")
    [old] = queues.receive("q", 1, 1)
    clock.advance(s=1)
    [new] = queues.receive("q", 1, 60)

    queues.change_visibility("q", [(old.receipt, 0)])
    queues.acknowledge("q", {old.receipt})
    assert groups(queues) == []
    queues.acknowledge("q", {new.receipt})

    assert queues.queues["q"] == []


def test_message_may_be_given_to_two_consumers_at_once(queues: MemoryQueues) -> None:
    send(queues, "a")
    queues.double = 1

    [first], [second] = queues.receive("q", 1, 60), queues.receive("q", 1, 60)
    queues.acknowledge("q", {first.receipt})

    assert first.message_id == second.message_id
    assert [message.receipt for message in queues.queues["q"]] == [second.receipt]


def test_lost_acknowledgement_brings_the_message_back(queues: MemoryQueues, clock: ManualClock) -> None:
    send(queues, "a")
    queues.lose_acknowledgements = 1
    [record] = queues.receive("q", 1, 60)
    queues.acknowledge("q", {record.receipt})

    assert groups(queues) == []
    clock.advance(s=60)
    assert groups(queues) == ["a"]


# Fair order.


def flood(queues: MemoryQueues, group: str, *, in_flight: int, waiting: int) -> None:
    """A tenant with messages that consumers have, and others that wait."""
    send(queues, *[group] * in_flight)
    assert len(queues.receive("q", in_flight, 3600)) == in_flight
    send(queues, *[group] * waiting)


@pytest.mark.parametrize(
    ("in_flight", "others", "noisy"),
    [
        pytest.param(MIN_IN_FLIGHT, 0, True, id="all of the messages in flight"),
        pytest.param(MIN_IN_FLIGHT - 1, 0, False, id="too few of its own in flight"),
        pytest.param(MIN_IN_FLIGHT, 9 * MIN_IN_FLIGHT - 1, True, id="a little more than a tenth"),
        pytest.param(MIN_IN_FLIGHT, 9 * MIN_IN_FLIGHT, False, id="a tenth"),
    ],
)
def test_group_is_noisy_by_its_share_of_what_is_in_flight(
    queues: MemoryQueues, in_flight: int, others: int, noisy: bool
) -> None:
    send(queues, *[None] * others)
    queues.receive("q", others, 3600)
    flood(queues, "loud", in_flight=in_flight, waiting=20)
    send(queues, "quiet")

    assert (groups(queues, most=1) == ["quiet"]) is noisy
    assert queues.noisy("q") == ({"loud"} if noisy else set())


def test_group_is_noisy_by_its_share_of_the_consumers_time(queues: MemoryQueues, clock: ManualClock) -> None:
    send(queues, "slow", *[None] * 3)
    [slow, *rest] = queues.receive("q", 4, 3600)
    clock.advance(s=1)
    queues.acknowledge("q", {record.receipt for record in rest})
    clock.advance(s=20)
    queues.handed_back("q", {slow.receipt})
    send(queues, "slow", "slow", "quiet")

    assert groups(queues, most=1) == ["quiet"]


def test_noisy_group_gets_what_quiet_ones_leave(queues: MemoryQueues) -> None:
    flood(queues, "loud", in_flight=MIN_IN_FLIGHT, waiting=20)
    send(queues, "quiet", "still")

    assert groups(queues) == ["quiet", "still", *["loud"] * 8]


def test_of_noisy_groups_the_one_with_the_fewest_in_flight_is_first(queues: MemoryQueues) -> None:
    flood(queues, "loud", in_flight=60, waiting=5)
    flood(queues, "louder", in_flight=90, waiting=5)

    assert groups(queues, most=6) == [*["loud"] * 5, "louder"]


def test_messages_without_a_group_are_each_a_tenant_of_their_own(queues: MemoryQueues) -> None:
    send(queues, *[None] * 100)
    queues.receive("q", 60, 3600)
    send(queues, "quiet")

    assert groups(queues, most=1) == [None]
    assert queues.noisy("q") == set()


@pytest.mark.parametrize("how", ["its backlog is gone", "it is silent", "its share has fallen"])
def test_noisy_group_becomes_quiet(queues: MemoryQueues, clock: ManualClock, how: str) -> None:
    flood(queues, "loud", in_flight=MIN_IN_FLIGHT, waiting=2)
    send(queues, "quiet")
    assert groups(queues, most=1) == ["quiet"]
    if how == "its backlog is gone":
        _acknowledge(queues, "loud", visible=True)
        queues.receive("q", 10, 3600)
        send(queues, "loud")
    elif how == "it is silent":
        clock.advance(s=SILENT_S)
    else:
        _acknowledge(queues, "loud", visible=False)
    send(queues, "quiet")

    assert groups(queues, most=1) == ["loud"]


def _acknowledge(queues: MemoryQueues, group: str, *, visible: bool) -> None:
    """Consumers end with messages of the group: with those in flight, or all."""
    mine: Iterable[str] = [m.message_id for m in queues.queues["q"] if m.group == group and (visible or m.receipt)]
    queues.delete("q", set(mine))


def test_without_the_rule_the_oldest_message_is_first(clock: ManualClock) -> None:
    queues = MemoryQueues(clock, fair=False)
    flood(queues, "loud", in_flight=MIN_IN_FLIGHT, waiting=20)
    send(queues, "quiet")

    assert groups(queues) == ["loud"] * 10
