"""Alerts of the tenant acme: Slack with a mention, two admins, one phone; and a mail service that keeps its mails."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from psycopg.types.json import Jsonb

from functions.scheduled.alerts import alert_critical, tell_critical
from shared.crypto import encrypt_platform
from shared.events.alerts import AlertCritical
from shared.fakes.slack import SlackFake
from shared.jobs.context import Tenant
from shared.jobs.messages import OWN_SOURCE
from shared.jobs.registry import Registry, build_registry
from shared.jobs.testing import Bench, Deliver, Delivered
from tests.builders.alerts import Postbox, an_alert
from tests.conftest import ENCRYPTION_KEY

Rows = Any
Alarm = Callable[..., Delivered]
CHANNEL = "C00000001"
PHONE = "+12125550100"
PLATFORM_TOKEN = "xoxb-test-platform"


@pytest.fixture
def postbox() -> Postbox:
    return Postbox()


@pytest.fixture
def registry(postbox: Postbox) -> Registry:
    """The job over the tests' mail service; nothing else of it differs."""
    return build_registry([replace(alert_critical, handler=lambda ctx, payload: tell_critical(ctx, payload, postbox))])


class Target(ThreadingHTTPServer):
    """An address that takes alerts: answers the scripted statuses in order, then `status`; keeps what it got."""

    daemon_threads = True

    def __init__(self, status: int) -> None:
        super().__init__(("127.0.0.1", 0), TargetHandler)
        self.status = status
        self.answers: list[tuple[int, dict[str, str]]] = []
        self.got: list[tuple[str, dict[str, str], bytes]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def bodies(self) -> list[Any]:
        return [json.loads(body) for _, _, body in self.got]


class TargetHandler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        server: Any = self.server
        body = self.rfile.read(int(self.headers["Content-Length"]))
        server.got.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
        status, headers = server.answers.pop(0) if server.answers else (server.status, {})
        self.send_response(status)
        for name, value in {**headers, "Content-Length": "0"}.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        pass


def _serving(status: int) -> Iterator[Target]:
    server = Target(status)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def pagerduty() -> Iterator[Target]:
    yield from _serving(202)


@pytest.fixture
def hook() -> Iterator[Target]:
    yield from _serving(200)


@pytest.fixture
def bench(make_bench: Callable[..., Bench], registry: Registry, slack: SlackFake, pagerduty: Target) -> Bench:
    return make_bench(
        registry,
        SLACK_BASE_URL=slack.base_url,
        PAGERDUTY_BASE_URL=pagerduty.url,
        OUTBOUND_ALLOW_LOOPBACK="1",
    )


@pytest.fixture
def routing(rows: Rows) -> Callable[..., None]:
    """routing(phones=[..], ..) sets the tenant's alerts.routing."""

    def set_routing(**settings: Any) -> None:
        rows.execute(
            "INSERT INTO tenant_config (key, value) VALUES ('alerts.routing', %s)"
            " ON CONFLICT (key) DO UPDATE SET value = EXCLUDED.value",
            (Jsonb(settings),),
        )

    return set_routing


@pytest.fixture
def platform(rows: Rows, slack: SlackFake) -> Callable[..., None]:
    """platform(emails=[..], ..) connects the platform's Slack and sets its alerts settings."""

    def set_platform(**settings: Any) -> None:
        slack.team(PLATFORM_TOKEN, channels=("C90000001", "C90000002"))
        rows.execute(
            "INSERT INTO platform_slack_workspace (workspace_id, bot_token_encrypted, channel_critical, channel_info,"
            " mention_critical) VALUES ('T9', %s, 'C90000001', 'C90000002', 'U024BE7LH')",
            (encrypt_platform(PLATFORM_TOKEN, ENCRYPTION_KEY),),
        )
        rows.execute("INSERT INTO platform_config (key, value) VALUES ('alerts', %s)", (Jsonb(settings),))

    return set_platform


@pytest.fixture(autouse=True)
def people(rows: Rows, tenant: Tenant, routing: Callable[..., None]) -> None:
    """Two admins, a member who is in charge of nothing, an admin who left, and the tenant's channels."""
    for name, role, status in (
        ("ann", "owner", "active"),
        ("bob", "admin", "active"),
        ("cid", "member", "active"),
        ("dan", "admin", "disabled"),
    ):
        rows.execute(
            "WITH person AS (INSERT INTO users (email, status) VALUES (%s, %s) RETURNING id)"
            " INSERT INTO user_organizations (user_id, organization_id, role) SELECT id, %s, %s FROM person",
            (f"{name}@acme.example", status, tenant.organization_id, role),
        )
    map_channel(rows, tenant, "system.error.critical", CHANNEL)
    routing(phones=[PHONE], slackMention="here")


def map_channel(rows: Rows, tenant: Tenant, type: str, channel: str) -> None:
    rows.execute(
        "INSERT INTO tenant_slack_channel_mappings (tenant_id, notification_type, channel_id) VALUES (%s, %s, %s)",
        (tenant.organization_id, type, channel),
    )


@pytest.fixture
def alarm(bench: Bench, tenant: Tenant) -> Alarm:
    """alarm(title=.., expect=..) publishes alert.critical and runs the job; tenant="system" as the jobs publish it."""
    deliver = Deliver(bench, tenant)

    def run(*, expect: str = "succeeded", of: str = tenant.slug, key: str | None = None, **changes: Any) -> Delivered:
        if of == "system":
            bench.publish(AlertCritical.model_validate(an_alert(**changes)), "system", source=OWN_SOURCE, key=key)
            return deliver._run("alerts", expect)
        return deliver.job("alert-critical", an_alert(**changes), tenant=of, key=key, expect=expect)

    return run


@pytest.fixture
def again(bench: Bench, tenant: Tenant) -> Alarm:
    """again(expect=..) moves the clock to the waiting message and runs it."""
    deliver = Deliver(bench, tenant)
    return lambda expect="succeeded": deliver.again("alerts", expect=expect)


@pytest.fixture
def alert(rows: Rows) -> Callable[[], dict[str, Any]]:
    """The one alert that there is."""

    def read() -> dict[str, Any]:
        [row] = rows("SELECT * FROM platform_alerts")
        return dict(row)

    return read
