"""A bench over the toy jobs."""

from __future__ import annotations

from typing import Any

import pytest

from shared.jobs.context import Tenant
from shared.jobs.testing import Bench, Deliver
from tests import toys as toy_jobs


@pytest.fixture
def toys(make_bench: Any) -> Bench:
    toy_jobs.calls.clear()
    bench: Bench = make_bench(toy_jobs.REGISTRY)
    return bench


@pytest.fixture
def play(toys: Bench, tenant: Tenant) -> Any:
    """play(act, n, expect=...) sends one message straight to toy-play and runs it."""
    deliver = Deliver(toys, tenant)

    def run(act: str, n: int = 0, *, job: str = "toy-play", key: str | None = None, expect: str = "succeeded") -> Any:
        return deliver.job(job, {"act": act, "n": n}, key=key, expect=expect)

    return run
