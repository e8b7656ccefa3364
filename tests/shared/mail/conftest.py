"""The mail service inside real runs: a job that does what a test says, the Resend fake, a tenant that may send."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pytest

from shared.crypto import encrypt_platform
from shared.events import Event, Payload
from shared.fakes.resend import ResendFake
from shared.jobs import JobContext, Retry, Tenant, job
from shared.jobs.context import Session
from shared.jobs.messages import OWN_SOURCE
from shared.jobs.queues import Queue
from shared.jobs.registry import build_registry
from shared.jobs.testing import Bench, Deliver, Delivered, ManualClock
from shared.mail import EMITS, EVENT_EMITS, Outcome, mail
from tests.conftest import ENCRYPTION_KEY, ROOT, MakeBench, Rows

API_KEY = "re_test_acme"
ANN = "Ann@Example.com"
PORTAL = "https://portal.acme.test"

Act = Callable[[JobContext], Any]
_next: list[Act] = []
_given: list[Any] = []


class PostAsked(Event, name="toy.postAsked", from_apps=True):
    n: int = 0


class PostResult(Payload):
    pass


@job(
    "toy-post",
    on=PostAsked,
    queue=Queue("toy-posts"),
    emits=tuple(dict.fromkeys((*EMITS, *EVENT_EMITS))),
    retry=Retry(attempts=5),
    tenants="any",
)
def post_mail(ctx: JobContext, payload: PostAsked) -> PostResult:
    """Do what the test said."""
    _given.append(_next.pop()(ctx))
    return PostResult()


@dataclass
class Office:
    """`office.send(...)` calls mail() in a run of the tenant; `office.within(act)` runs `act(session)`."""

    bench: Bench
    tenant: Tenant
    delivered: list[Delivered] = field(default_factory=list)

    def run(self, act: Act, expect: str = "succeeded", tenant: Tenant | str | None = None) -> Any:
        _next[:], _given[:] = [act], []
        done = Deliver(self.bench, self.tenant).job("toy-post", {}, expect=expect, tenant=tenant)
        self.delivered.append(done)
        self.bench.queues.queues["toy-posts"].clear()  # what was put back is not of interest
        return _given.pop() if _given else done

    def platform(self, act: Act) -> Any:
        """Run `act(ctx)` for the platform itself."""
        _next[:], _given[:] = [act], []
        self.bench.bus.put("toy.postAsked", {"tenantId": "system"}, source=OWN_SOURCE)
        assert [done.state for done in self.bench.pump("toy-posts")] == ["succeeded"]
        return _given.pop()

    def both(self, other: Bench, act: Act) -> list[str]:
        """Run `act(ctx)` in two processes at once; the states in which they end."""
        _next[:], _given[:] = [act, act], []
        for key, bench in enumerate((self.bench, other)):
            bench.send("toy-post", {"tenantId": self.tenant.slug}, key=f"both-{key}")
        with ThreadPoolExecutor(2) as pool:
            done = list(pool.map(lambda bench: bench.pump("toy-posts")[0], (self.bench, other)))
        return sorted(each.state if each.error is None else str(each.code) for each in done)

    def within(self, act: Callable[[Session], Any]) -> Any:
        def inside(ctx: JobContext) -> Any:
            with ctx.tenant_session() as session:
                return act(session)

        return self.run(inside)

    def send(
        self,
        key: str = "k1",
        template: str = "creator_project_submitted",
        to: str = ANN,
        variables: dict[str, Any] | None = None,
        category: str = "project",
        **more: Any,
    ) -> Outcome:
        given = PROJECT if variables is None else variables
        outcome = self.run(lambda ctx: mail(ctx, template, to, given, key, category, **more))
        assert isinstance(outcome, Outcome)
        return outcome

    def fails(
        self, expect: str, key: str = "k1", template: str = "creator_project_submitted", **more: Any
    ) -> Delivered:
        """The delivery of a run in which mail() raises."""
        given = more.pop("variables", PROJECT)
        to, category = more.pop("to", ANN), more.pop("category", "project")
        done = self.run(lambda ctx: mail(ctx, template, to, given, key, category, **more), expect=expect)
        assert isinstance(done, Delivered)
        return done

    def events(self, name: str) -> list[dict[str, Any]]:
        """What was published under a name so far, without the kernel's alarms about dead runs."""
        published = [detail for event, detail in self.bench.bus.published if event == name]
        return [detail for detail in published if detail.get("source") != "kernel"]


PROJECT = {"creatorName": "Ann", "projectTitle": "Spring", "projectUrl": "https://portal.acme.test/p/1"}


@pytest.fixture
def resend(clock: ManualClock) -> Iterator[ResendFake]:
    """The Resend fake on the tests' clock; held against Resend's contract where that lies beside the checkout."""
    contract = ROOT.parent / "shared/contracts/resend/resend.trim.json"
    with ResendFake.start(contract=contract if contract.exists() else None, now=clock.now) as fake:
        fake.team(API_KEY, "acme", domains=["acme.test"])
        yield fake
        assert fake.problems() == []


@pytest.fixture
def account(tenant: Tenant, rows: Rows) -> None:
    """The tenant's Resend account: a key and the verified domain acme.test."""
    rows.execute(
        "INSERT INTO tenant_resend_config (tenant_id, api_key_encrypted, default_from_email, verified_domains)"
        " VALUES (%s, %s, 'hello@acme.test', '[\"acme.test\"]')",
        (tenant.slug, encrypt_platform(API_KEY, ENCRYPTION_KEY)),
    )


@pytest.fixture
def empty_office(make_bench: MakeBench, resend: ResendFake, tenant: Tenant) -> Office:
    """A tenant that has not set up its mail."""
    return Office(_bench(make_bench, resend), tenant)


@pytest.fixture
def second_bench(make_bench: MakeBench, resend: ResendFake) -> Bench:
    """Another process of the same jobs on the same database."""
    return _bench(make_bench, resend)


def _bench(make_bench: MakeBench, resend: ResendFake) -> Bench:
    registry = build_registry([post_mail])
    return make_bench(registry, RESEND_BASE_URL=resend.base_url, CREATOR_PORTAL_URL=PORTAL)


@pytest.fixture
def office(empty_office: Office, account: None) -> Office:
    """A tenant that may send."""
    return empty_office
