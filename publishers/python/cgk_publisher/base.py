"""What all events have in common: how they become the message's members."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import date, datetime
from typing import Any, ClassVar


class Part:
    """A dataclass with names of its own on the wire."""

    WIRE_NAMES: ClassVar[Mapping[str, str]]


class AppEvent(Part):
    """An event that applications publish; see cgk_publisher.events."""

    EVENT_NAME: ClassVar[str]


def wire(value: Any) -> Any:
    """JSON-ready value: dataclasses by their wire names without what is None, instants as ISO 8601.

    ValueError for an instant without zone: nobody could say when it is.
    """
    if isinstance(value, Part):
        members = {field.name: getattr(value, field.name) for field in fields(value)}  # type: ignore[arg-type]
        return {value.WIRE_NAMES[name]: wire(member) for name, member in members.items() if member is not None}
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError("an instant must carry a zone: datetime.now(UTC), not datetime.now()")
        return value.isoformat()
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(name): wire(member) for name, member in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [wire(item) for item in value]
    return value
