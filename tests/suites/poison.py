"""Messages that no publisher should send, made from the payload's model: values of any kind in any place."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

HUGE = 100_000
"""Characters of a huge text."""
NASTY = (
    "",
    "\0",
    "a\0b",
    "\ud800",
    "‮abc",
    "é" * 300,
    "x" * HUGE,
    "'; DROP TABLE orders; --",
    "{{7*7}}",
    "%(name)s %s",
    "../../etc/passwd",
    "gid://shopify/Order/",
    "gid://shopify/Order/9" + "9" * 40,
    "00000000-0000-0000-0000-000000000000",
    "9999-12-31T23:59:59Z",
    "0001-01-01T00:00:00+14:00",
    "2026-02-30",
    "NaN",
    "-0",
    "1e400",
)
NUMBERS = (0, -1, 2**31, 2**63, 2**64, -(2**63) - 1, 10**50, 1.5, -0.0, 1e308, float("inf"), float("nan"))
META = ("id", "key", "correlationId", "causationId", "hops", "sentAt", "agesFrom", "keySuffix", "run", "explicitKey")
ENVELOPE = ("event", "id", "source", "time", "idempotencyKey", "taskToken", "tick")

texts = st.one_of(st.sampled_from(NASTY), st.text(max_size=30), st.text(st.characters(codec=None), max_size=5))
scalars = st.one_of(st.none(), st.booleans(), st.sampled_from(NUMBERS), st.integers(), texts)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
"""Anything that JSON can hold, and NaN and its like, which Python's json can."""


def payloads(model: Mapping[str, Any], sample: Mapping[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """The sample with one to four members missing, replaced or added; deeper members too, where it has any."""
    names = sorted({*model.get("properties", {}), *sample, "_blob", "unknown"})

    @st.composite
    def made(draw: st.DrawFn) -> dict[str, Any]:
        payload: dict[str, Any] = json.loads(json.dumps(sample))
        for name in draw(st.lists(st.sampled_from(names), min_size=1, max_size=4, unique=True)):
            _spoil(draw, payload, name)
        return payload

    return made()


def _spoil(draw: st.DrawFn, place: dict[str, Any], name: str) -> None:
    inner = place.get(name)
    if isinstance(inner, dict) and inner and draw(st.booleans()):
        _spoil(draw, inner, draw(st.sampled_from(sorted(inner))))
    elif isinstance(inner, list) and inner and draw(st.booleans()):
        place[name] = [*inner, draw(values)]
    elif draw(st.integers(0, 4)) == 0:
        place.pop(name, None)
    else:
        place[name] = draw(values)


@st.composite
def envelopes(draw: st.DrawFn, body: Mapping[str, Any]) -> dict[str, Any]:
    """The message with members of its envelope or of `_meta` spoilt."""
    spoilt: dict[str, Any] = json.loads(json.dumps(body))
    meta: dict[str, Any] = {}
    for name in draw(st.lists(st.sampled_from(META), max_size=3, unique=True)):
        meta[name] = draw(values)
    for name in draw(st.lists(st.sampled_from(ENVELOPE), max_size=2, unique=True)):
        spoilt[name] = draw(values)
    if meta:
        spoilt["payload"]["_meta"] = meta
    if draw(st.integers(0, 9)) == 0:
        spoilt[draw(st.sampled_from(["job", "payload"]))] = draw(values)
    if draw(st.integers(0, 9)) == 0 and isinstance(spoilt["payload"], dict):
        spoilt["payload"]["tenantId"] = draw(values)
    return spoilt
