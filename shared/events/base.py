"""One pydantic model per event contract, shared by publisher and listeners.

A contract names its event once, in the class statement:

    class OrderCreated(Event, name="order.created", from_apps=True): ...

`from_apps`: applications publish it (so a listener needs no publishing job). `to_apps`: applications listen to it
(so an emitting job needs no listening job). On the wire names are camelCase and `tenantId` stands beside the fields;
the pipeline takes it out before the model sees the payload. Unknown fields are ignored, wrong types
refused; a null member counts as absent (the pipeline leaves it out).
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, StringConstraints
from pydantic.alias_generators import to_camel

_contracts: dict[str, type[Event]] = {}


class Payload(BaseModel):
    """Base of every payload: camelCase on the wire, immutable, strict types, unknown fields ignored."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="ignore",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        defer_build=True,  # a cold start imports a hundred models and validates by one
    )

    def wire(self) -> dict[str, Any]:
        """JSON-ready dict with camelCase names; absent fields are left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class Event(Payload):
    """Base of the contracts; see the module's docstring."""

    event_name: ClassVar[str]
    from_apps: ClassVar[bool]
    to_apps: ClassVar[bool]

    def __init_subclass__(
        cls, *, name: str = "", from_apps: bool = False, to_apps: bool = False, **kwargs: Any
    ) -> None:
        super().__init_subclass__(**kwargs)
        if not name:
            return  # an abstract base that several contracts share
        if name in _contracts and _contracts[name].__qualname__ != cls.__qualname__:
            raise TypeError(f"event {name!r} is declared by {_contracts[name].__qualname__} already; use that class")
        cls.event_name, cls.from_apps, cls.to_apps = name, from_apps, to_apps
        _contracts[name] = cls


def contract(name: str) -> type[Event] | None:
    """The model of an event that has been imported, None when unknown."""
    return _contracts.get(name)


def contracts() -> dict[str, type[Event]]:
    """All contracts imported so far, by event name."""
    return dict(_contracts)


def _as_text(value: Any) -> Any:
    """Ids arrive as number or text; a bool is neither."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


VendorId = Annotated[str, BeforeValidator(_as_text), StringConstraints(min_length=1, max_length=255)]
"""An id as the vendor sends it: number, digits or gid://shopify/<Type>/<digits>; kept as text."""
