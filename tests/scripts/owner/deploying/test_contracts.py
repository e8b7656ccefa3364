"""The rule that decides whether messages in flight survive another contract, case by case."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from pydantic import ConfigDict, Field, create_model

from scripts.owner.deploying.contracts import compare, contract
from shared.events.base import Payload, VendorId


class Closed(Payload):
    model_config = ConfigDict(extra="forbid")


class Line(Payload):
    sku: str
    amount: int = 1


class LongLine(Payload):
    sku: str
    amount: int
    weight_g: int


class Tree(Payload):
    name: str
    children: tuple[Tree, ...] = ()


def a_model(base: type[Payload] = Payload, **fields: Any) -> type[Payload]:
    """A contract of these fields: name=type for a required one, name=(type, default) else."""
    given: dict[str, Any] = {name: each if isinstance(each, tuple) else (each, ...) for name, each in fields.items()}
    model: type[Payload] = create_model("Contract", __base__=base, **given)
    return model


Text, Number = Annotated[str, Field(max_length=20)], Annotated[int, Field(ge=1, le=100)]
Few = Annotated[list[int], Field(max_length=5)]
SKU = a_model(sku=str)

BREAKS: list[tuple[str, type[Payload], type[Payload], str]] = [
    ("a new required field", SKU, a_model(sku=str, depot=str), "depot: is new and required"),
    ("a renamed field", a_model(sku=str), a_model(item=str), "item: is new and required"),
    ("an optional field is required", a_model(n=(int, 1)), a_model(n=int), "n: is required now"),
    (
        "a nullable field is required",
        a_model(n=(int | None, None)),
        a_model(n=int),
        "n: is required now",
    ),
    (
        "a field is gone from a closed contract",
        a_model(Closed, sku=str, n=(int, 1)),
        a_model(Closed, sku=str),
        "n: is gone, and unknown members are refused",
    ),
    ("a contract is closed", SKU, a_model(Closed, sku=str), "payload: members without a name here are refused now"),
    ("another type", a_model(n=int), a_model(n=str), "n: type integer -> string"),
    ("a narrower number", a_model(n=float), a_model(n=int), "n: type number -> integer"),
    ("any value gets a type", a_model(n=Any), a_model(n=int), "n: type any -> integer"),
    ("a choice is gone", a_model(s=Literal["a", "b"]), a_model(s=Literal["a"]), "s: b is not taken any more"),
    ("a renamed choice", a_model(s=Literal["a", "b"]), a_model(s=Literal["a", "c"]), "s: b is not taken any more"),
    ("text becomes a choice", a_model(s=str), a_model(s=Literal["a"]), "s: takes only a now"),
    ("a shorter text", a_model(s=str), a_model(s=Text), "s: maxLength none -> 20"),
    (
        "a higher lower limit",
        a_model(n=Number),
        a_model(n=Annotated[int, Field(ge=2, le=100)]),
        "n: minimum 1 -> 2",
    ),
    ("a lower upper limit", a_model(n=Number), a_model(n=Annotated[int, Field(ge=1, le=9)]), "n: maximum 100 -> 9"),
    ("a pattern", a_model(s=str), a_model(s=Annotated[str, Field(pattern="^x")]), "s: pattern none -> ^x"),
    (
        "another pattern",
        a_model(s=Annotated[str, Field(pattern="^x")]),
        a_model(s=Annotated[str, Field(pattern="^xy?")]),
        "s: pattern ^x -> ^xy?",
    ),
    (
        "fewer items",
        a_model(n=list[int]),
        a_model(n=Annotated[list[int], Field(max_length=5)]),
        "n: maxItems none -> 5",
    ),
    ("deep in a list", a_model(l=list[Line]), a_model(l=list[LongLine]), "l[].weightG: is new and required"),
    ("deep in a map", a_model(by=dict[str, int]), a_model(by=dict[str, str]), "by.*: type integer -> string"),
    ("a form is gone", a_model(n=int | str), a_model(n=int), "n: string is not taken any more"),
    ("null inside a list", a_model(n=list[int | None]), a_model(n=list[int]), "n[]: null is not taken any more"),
    ("another number of places", a_model(n=tuple[int, int]), a_model(n=tuple[int, int, int]), "n: 2 places -> 3"),
]
PASSES: list[tuple[str, type[Payload], type[Payload], list[str]]] = [
    ("the same", SKU, a_model(sku=str), []),
    ("another description", SKU, a_model(sku=Annotated[str, Field(description="d", examples=["e"])]), []),
    ("another default", a_model(n=(int, 1)), a_model(n=(int, 2)), []),
    ("null and absent are one", a_model(n=(int | None, None)), a_model(n=(int, 1)), []),
    ("a new optional field", SKU, a_model(sku=str, depot=(str | None, None)), ["depot: is new and optional"]),
    ("a field is not read any more", a_model(sku=str, n=int), SKU, ["n: is not read any more"]),
    ("a field is optional", a_model(n=int), a_model(n=(int, 1)), ["n: is optional now"]),
    ("a wider number", a_model(n=int), a_model(n=float), ["n: type integer -> number"]),
    ("any value", a_model(n=int), a_model(n=Any), ["n: type integer -> any"]),
    ("a choice more", a_model(s=Literal["a"]), a_model(s=Literal["a", "b"]), ["s: b is taken too"]),
    ("a choice becomes text", a_model(s=Literal["a"]), a_model(s=str), ["s: takes any value now"]),
    ("a longer text", a_model(s=Text), a_model(s=str), ["s: maxLength 20 -> none"]),
    (
        "wider limits",
        a_model(n=Number),
        a_model(n=Annotated[int, Field(ge=0, le=200)]),
        ["n: minimum 1 -> 0", "n: maximum 100 -> 200"],
    ),
    (
        "an opened contract",
        a_model(Closed, sku=str),
        SKU,
        ["payload: members without a name here are taken now"],
    ),
    (
        "a form more",
        a_model(n=int),
        a_model(n=int | str),
        ["n: takes other forms too, or says the same otherwise"],
    ),
    ("a model that holds itself", a_model(t=Tree), a_model(t=Tree), []),
]


@pytest.mark.parametrize(("old", "new", "text"), [case[1:] for case in BREAKS], ids=[case[0] for case in BREAKS])
def test_a_message_in_flight_may_be_refused(old: type[Payload], new: type[Payload], text: str) -> None:
    breaking = [each.text for each in compare(contract(old), contract(new)) if each.breaking]
    assert text in breaking


@pytest.mark.parametrize(("old", "new", "texts"), [case[1:] for case in PASSES], ids=[case[0] for case in PASSES])
def test_whatever_was_valid_stays_valid(old: type[Payload], new: type[Payload], texts: list[str]) -> None:
    found = list(compare(contract(old), contract(new)))
    assert [each.text for each in found] == texts
    assert not any(each.breaking for each in found)


def test_a_keyword_that_the_rule_does_not_know_counts_as_a_break() -> None:
    (found,) = compare({"type": "string"}, {"type": "string", "if": {"minLength": 3}})
    assert found.breaking
    assert found.text == "payload: if is another"


def test_the_form_is_the_same_whatever_the_order_of_fields_and_the_names_of_inner_models() -> None:
    one = a_model(a=str, line=Line, s=Literal["x", "y"], vendor=VendorId)
    other = a_model(vendor=VendorId, s=Literal["y", "x"], line=Line, a=Annotated[str, Field(title="A")])
    assert contract(one) == contract(other)
    assert list(contract(one)["properties"]) == ["a", "line", "s", "vendor"]
