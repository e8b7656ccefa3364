"""The publishers against the deployed app: one sample of every event is taken by the bus and its jobs run."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import Any

import boto3
import pytest

from scripts.local.engine import client_environment
from scripts.owner.publishers import packages
from scripts.owner.publishers.contracts import Contract, all_contracts
from scripts.owner.publishers.main import FOLDER
from tests.conftest import unavailable
from tests.e2e.conftest import Deployment

pytestmark = [pytest.mark.engine, pytest.mark.xdist_group("engine")]

PUBLISHED = [each for each in all_contracts() if each.from_apps and each.sample is not None]
WAIT_S = 180
"""Some jobs run one at a time per tenant; what finds no place comes back after a while, with no run of its own yet."""
STARTED = "SELECT DISTINCT event, job FROM jobs.runs WHERE tenant = '{tenant}'"
CODES = "SELECT DISTINCT correlation_id, job, code FROM jobs.runs WHERE tenant = '{tenant}' AND code IS NOT NULL"


def by_typescript(app: Deployment, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Event name -> its id on the bus, as Node printed it."""
    try:
        packages.ensure()
    except packages.PackagesError as error:
        unavailable(error)
    environment = {**client_environment(app.endpoint), "PATH": os.defpath}
    done = packages.node("test/publish-samples.ts", environment=environment)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert set(said["published"]) == {each.event for each in PUBLISHED}
    assert set(said["known"]) == {each.event for each in all_contracts() if each.from_apps}
    return dict(said["published"])


def by_python(app: Deployment, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The same by the Python package, each sample as its own class."""
    monkeypatch.syspath_prepend(str(FOLDER / "python"))
    module = importlib.import_module("cgk_publisher")
    events = importlib.import_module("cgk_publisher.events").APP_EVENTS
    client = boto3.client(
        "events",
        endpoint_url=app.endpoint,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    publisher = module.Publisher("publishers.test", client=client)
    outgoing = [module.Outgoing(_event(events[each.event], each), "globex") for each in PUBLISHED]
    return dict(zip([each.event for each in PUBLISHED], publisher.publish_all(outgoing), strict=True))


def _event(kind: Any, contract: Contract) -> Any:
    """The class of an event with the sample's members, instants as instants."""
    assert contract.sample is not None
    names = {wire: name for name, wire in kind.WIRE_NAMES.items()}
    members = {names[wire]: value for wire, value in contract.sample.items() if wire != "tenantId"}
    return kind(**{name: _value(kind, name, value) for name, value in members.items()})


def _value(kind: Any, name: str, value: Any) -> Any:
    written = kind.__annotations__[name]
    if isinstance(value, str) and "datetime" in written and "T" in value:
        return datetime.fromisoformat(value)
    return date.fromisoformat(value) if isinstance(value, str) and written.startswith("date") else value


@pytest.mark.parametrize(
    ("publish", "tenant"), [(by_typescript, "acme"), (by_python, "globex")], ids=["typescript", "python"]
)
def test_sample_of_every_event_is_taken_and_its_jobs_run(
    app: Deployment, monkeypatch: pytest.MonkeyPatch, publish: Callable[..., Mapping[str, str]], tenant: str
) -> None:
    """A tenant each: a message whose key waits for a retry of an earlier one has no run of its own before that ends."""
    ids = publish(app, monkeypatch)

    wanted = {(event, job.id) for event in ids for job in app.registry.listeners.get(event, ())}

    def missing() -> set[tuple[str, str]]:
        return wanted - set(app.rows(STARTED.format(tenant=tenant)))

    with contextlib.suppress(AssertionError):  # told better below
        app.until(lambda: not missing(), WAIT_S)
    assert missing() == set()
    codes = [(job, code) for id, job, code in app.rows(CODES.format(tenant=tenant)) if id in ids.values()]
    assert [job for job, code in codes if code in ("INVALID_PAYLOAD", "MALFORMED_MESSAGE", "UNKNOWN_JOB")] == []
    assert len(wanted) > 20
