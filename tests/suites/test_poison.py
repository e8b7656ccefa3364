"""Every job against payloads and envelopes that nobody should send: a verdict for each, never an exception."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.suites import poison
from tests.suites.counts import Count
from tests.suites.lab import Lab

BATCH = 10
EXAMPLES = 50 if os.environ.get("CGK_NIGHTLY") == "1" else 3
"""Batches per job and kind of poison."""
BUGS = ("UNEXPECTED", "DATABASE_ERROR")
"""Codes that no payload may cause: the job or the kernel was not ready for it."""

bounded = settings(
    max_examples=EXAMPLES,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def deliver(lab: Lab, bodies: list[str]) -> None:
    """One batch, to the end of all its messages; each must have its verdict."""
    lab.fresh()
    for body in bodies:
        lab.send(body)
    ended = lab.end()
    bugs = [code for code in ended.codes if code in BUGS]
    if bugs:
        seen = [(item.code, repr(item.error)[:300]) for item in lab.delivered if item.code in BUGS]
        raise AssertionError(f"{lab.job.id}: {seen[:3]}; bodies {[body[:400] for body in bodies]}")


@pytest.mark.parametrize("kind", ["payload", "envelope"])
def test_poison_ends_with_a_verdict(lab: Lab, count: Count, kind: str) -> None:
    whole = json.loads(lab.body())
    schema = lab.model.model_json_schema(by_alias=True)
    made: st.SearchStrategy[Any] = poison.envelopes(whole)
    if kind == "payload":
        spoilt = poison.payloads(schema, dict(lab.sample))
        made = spoilt.map(lambda payload: {**whole, "payload": {"tenantId": lab.tenant, **payload}})

    @bounded
    @given(st.lists(made, min_size=BATCH, max_size=BATCH))
    def run(messages: list[dict[str, Any]]) -> None:
        bodies = [
            json.dumps({"id": f"poison-{n}", **message} | own_id(message, n)) for n, message in enumerate(messages)
        ]
        deliver(lab, bodies)
        count("poison", len(bodies))

    run()


def own_id(message: dict[str, Any], n: int) -> dict[str, Any]:
    """Another id for each message that has the sample's, so that none is the other's repetition."""
    return {"id": f"poison-{n}"} if message.get("id") == "case-1" else {}
