"""What the tests of applications share: a bench with the portal's and the admin app's addresses."""

from __future__ import annotations

from typing import Any

import pytest

from shared.jobs.registry import Registry
from shared.jobs.testing import Bench, Delivered
from tests.builders.applications import ADMIN, PORTAL
from tests.conftest import MakeBench

FAKES = {"shopify": "SHOPIFY_BASE_URL", "slack": "SLACK_BASE_URL", "resend": "RESEND_BASE_URL"}


@pytest.fixture
def bench(make_bench: MakeBench, registry: Registry, request: pytest.FixtureRequest) -> Bench:
    """The bench over all declared jobs; with the addresses of the fakes that the test uses."""
    used = {
        setting: request.getfixturevalue(name).base_url
        for name, setting in FAKES.items()
        if name in request.fixturenames
    }
    if "platforms" in request.fixturenames:
        base = request.getfixturevalue("platforms").base_url
        used |= {"META_BASE_URL": base, "GA4_BASE_URL": base}
    return make_bench(registry, CREATOR_PORTAL_URL=PORTAL, ADMIN_URL=ADMIN, **used)


def names(delivered: Delivered) -> list[str]:
    """Names of the emitted events, in their order."""
    return [name for name, _ in delivered.emitted]


def payload_of(delivered: Delivered, name: str) -> dict[str, Any]:
    """The one emitted event of a name."""
    (found,) = [payload for emitted, payload in delivered.emitted if emitted == name]
    return found
