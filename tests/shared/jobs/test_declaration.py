"""What a declaration refuses, and the building blocks of run keys."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import BaseModel

from shared.events import Event, Payload
from shared.jobs import Delivery, JobContext, Retry, event_id, job, payload_hash, window
from shared.jobs.declaration import DeclarationError
from shared.jobs.queues import Queue
from shared.jobs.registry import build_registry
from tests.toys import OTHERS, TOYS, ToyAsked, ToyResult, ToySeen, play


def handler(ctx: JobContext, payload: ToyAsked) -> ToyResult:
    """Does nothing."""
    return ToyResult(n=0, attempt=1)


def undescribed(ctx: JobContext, payload: ToyAsked) -> ToyResult:
    return ToyResult(n=0, attempt=1)


def no_result(ctx: JobContext, payload: ToyAsked) -> dict[str, int]:
    """Gives a dict."""
    return {}


def no_context(payload: ToyAsked) -> ToyResult:
    """Takes no context."""
    return ToyResult(n=0, attempt=1)


def no_model(ctx: JobContext, payload: dict[str, Any]) -> ToyResult:
    """Takes a dict."""
    return ToyResult(n=0, attempt=1)


class Nameless(Event):
    n: int = 0


@pytest.mark.parametrize(
    ("options", "function", "says"),
    [
        pytest.param({"id": "Toy_Play"}, handler, "kebab", id="id no kebab"),
        pytest.param({"id": "toy"}, handler, "two words", id="id of one word"),
        pytest.param({"timeout_s": 900}, handler, "continue_from", id="timeout above 840"),
        pytest.param({"timeout_s": 0}, handler, "timeout_s", id="timeout of nothing"),
        pytest.param({"max_age_s": 30}, handler, "retried", id="age below the timeout"),
        pytest.param({"files": ("payloads-own",)}, handler, "prefix", id="files among the payloads"),
        pytest.param({"files": ("a/b",)}, handler, "prefix", id="files below a path"),
        pytest.param({"on": Nameless}, handler, "name=", id="event without a name"),
        pytest.param({"on": ToySeen}, handler, "fit", id="payload of another event"),
        pytest.param({}, undescribed, "docstring", id="no docstring"),
        pytest.param({}, no_result, "pydantic model", id="result no model"),
        pytest.param({}, no_context, "ctx", id="no context"),
        pytest.param({}, no_model, "Payload", id="payload no model"),
    ],
)
def test_declaration_that_cannot_work_is_refused_with_the_mend(
    options: dict[str, Any], function: Any, says: str
) -> None:
    arguments: dict[str, Any] = {"id": "toy-play", "on": ToyAsked, "queue": TOYS, **options}

    with pytest.raises(DeclarationError, match=says):
        job(arguments.pop("id"), **arguments)(function)


@pytest.mark.parametrize(
    "policy",
    [{"attempts": 0}, {"attempts": 11}, {"factor": 0.5}, {"min_s": 0}, {"min_s": 10, "max_s": 5}, {"max_s": 4000}],
)
def test_retry_policy_out_of_bounds_is_refused(policy: dict[str, Any]) -> None:
    with pytest.raises(DeclarationError):
        Retry(**policy)


def test_default_retry_is_three_attempts_factor_two_within_a_minute() -> None:
    assert Retry() == Retry(attempts=3, factor=2, min_s=1, max_s=60)


@pytest.mark.parametrize("name", ["", "Toys", "toys-dlq", "toys-bulk", "toys_x"])
def test_queue_with_a_name_that_would_clash_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="queue"):
        Queue(name)


def test_two_jobs_of_one_id_are_refused() -> None:
    twin = job("toy-play", on=ToyAsked, queue=TOYS)(handler)

    with pytest.raises(DeclarationError, match="unique"):
        build_registry([play, twin])


def test_queue_with_two_settings_is_refused() -> None:
    other = job("toy-other", on=ToyAsked, queue=Queue("toys", tenant_cap=3))(handler)

    with pytest.raises(DeclarationError, match="other settings"):
        build_registry([play, other])


def test_class_follows_from_the_timeout() -> None:
    fast = job("toy-fast", on=ToyAsked, queue=OTHERS, timeout_s=60)(handler)
    bulk = job("toy-bulk", on=ToyAsked, queue=OTHERS, timeout_s=61)(handler)

    assert (fast.bulk, fast.queue_name) == (False, "other-toys")
    assert (bulk.bulk, bulk.queue_name) == (True, "other-toys-bulk")


def test_event_of_two_classes_is_refused() -> None:
    with pytest.raises(TypeError, match="declared by"):

        class Again(Event, name="toy.asked"):
            pass


def test_payload_takes_wire_names_ignores_unknown_and_null_and_refuses_wrong_types() -> None:
    class Wire(Payload):
        order_id: str
        seen_at: datetime | None = None

    read = Wire.model_validate_json('{"orderId":"7","seenAt":null,"later":1}', strict=True)

    assert read.order_id == "7"
    assert read.wire() == {"orderId": "7"}
    with pytest.raises(ValueError, match="orderId"):
        Wire.model_validate_json('{"orderId":7}', strict=True)


def test_run_key_blocks() -> None:
    at = datetime(2026, 11, 20, 12, 0, 59, tzinfo=UTC)
    delivery = Delivery(id="e1", sent_at=at)

    assert event_id(ToySeen(n=1), delivery) == "e1"
    assert window(delivery, 60) == window(Delivery("e2", at.replace(second=0)), 60)
    assert window(delivery, 60) != window(Delivery("e2", at.replace(minute=1, second=0)), 60)
    assert payload_hash(ToySeen(n=1)) == payload_hash(ToySeen(n=1)) != payload_hash(ToySeen(n=2))


def test_result_may_be_any_pydantic_model() -> None:
    class Plain(BaseModel):
        n: int

    def plain(ctx: JobContext, payload: ToyAsked) -> Plain:
        """Gives a plain model."""
        return Plain(n=1)

    plain.__annotations__ = {"ctx": JobContext, "payload": ToyAsked, "return": Plain}
    assert job("toy-plain", on=ToyAsked, queue=TOYS)(plain).result is Plain
