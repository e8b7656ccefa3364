"""Redis by Upstash's REST interface: whose it is, what is asked, and what each answer means."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from shared.crypto import encrypt_platform
from shared.fakes.redis import RedisFake
from shared.jobs.context import JobContext, Tenant
from shared.jobs.errors import JobError, Permanent, RateLimited, Transient
from shared.redis import Access, Call, Key, Redis, Skipped, access_of
from tests.builders.ab_tests import insert
from tests.conftest import ENCRYPTION_KEY, MakeBench, Rows
from tests.shared.integrations.visit import REGISTRY, Visits

TOKEN = "rest-token-of-acme"
SCRIPT = "return redis.call('HINCRBY', KEYS[1], 'n', ARGV[1])"
PLATFORM = {"KV_REST_API_URL": "https://platform.example/", "KV_REST_API_TOKEN": "platform-token"}


@dataclass
class InRuns:
    """The client, each of whose calls is made in a run of its own; what it raises comes out of the run as it is."""

    visits: Visits
    access: Access

    def key(self, *parts: str) -> Key:
        return Key(":".join(("ab", "acme", *parts)))

    def run(self, script: str, calls: Sequence[Call]) -> list[Any]:
        return list(self.tell(lambda ctx: Redis(ctx, self.access).run(script, calls)))

    def tell(self, act: Callable[[JobContext], Any]) -> Any:
        """What `act` gives or raises in a run."""

        def caught(ctx: JobContext) -> Any:
            try:
                return act(ctx)
            except (JobError, ValueError) as error:
                return error

        found = self.visits(caught)
        if isinstance(found, Exception):
            raise found
        return found


@pytest.fixture
def visits(make_bench: MakeBench, tenant: Tenant) -> Visits:
    return Visits(make_bench(REGISTRY), tenant)


@pytest.fixture
def fake() -> Iterator[RedisFake]:
    with RedisFake.start() as running:
        running.database(TOKEN)
        yield running


@pytest.fixture
def redis(fake: RedisFake, visits: Visits) -> InRuns:
    return InRuns(visits, Access(fake.base_url, TOKEN))


def call(redis: InRuns, n: int = 1) -> Call:
    return Call([redis.key("t1", "counters")], [n])


def test_scripts_run_in_order_in_one_request(fake: RedisFake, redis: InRuns) -> None:
    assert redis.run(SCRIPT, [call(redis, 1), call(redis, 2), call(redis, 4)]) == [1, 3, 7]

    (asked,) = fake.asked
    assert (asked.path, asked.keys) == ("/pipeline", ["ab:acme:t1:counters"] * 3)
    assert fake.databases[TOKEN].hash("ab:acme:t1:counters") == {"n": "7"}


def test_fifty_scripts_per_request(fake: RedisFake, redis: InRuns) -> None:
    assert redis.run(SCRIPT, [call(redis)] * 120)[-1] == 120
    assert [len(asked.commands) for asked in fake.asked] == [50, 50, 20]


def test_nothing_to_run_asks_nobody(fake: RedisFake, redis: InRuns) -> None:
    assert redis.run(SCRIPT, []) == []
    assert fake.asked == []


def test_key_of_another_type_is_skipped_and_the_others_run(fake: RedisFake, redis: InRuns) -> None:
    fake.databases[TOKEN].execute(["SET", "ab:acme:text", "x"])

    found = redis.run(SCRIPT, [Call([redis.key("text")], [1]), call(redis, 2)])

    assert found == [Skipped(), 2]


@pytest.mark.parametrize("key", ["ab:globex:t1:counters", "ab", "acme:ab:t1", "ab:acme2:t1"])
def test_key_that_is_not_the_tenants_is_never_sent(fake: RedisFake, redis: InRuns, key: str) -> None:
    with pytest.raises(ValueError, match="not the tenant's"):
        redis.run(SCRIPT, [Call([Key(key)], [1])])
    assert fake.asked == []


@pytest.mark.parametrize(
    ("fault", "kind", "code"),
    [
        ("401", Permanent, "REDIS_UNAUTHORIZED"),
        ("403", Permanent, "REDIS_UNAUTHORIZED"),
        ("400", Permanent, "REDIS_COMMAND_REFUSED"),
        ("404", Permanent, "REDIS_COMMAND_REFUSED"),
        ("429", RateLimited, "REDIS_RATE_LIMITED"),
        ("500", Transient, "REDIS_UNAVAILABLE"),
        ("503", Transient, "REDIS_UNAVAILABLE"),
        ("408", Transient, "REDIS_UNAVAILABLE"),
        ("cut", Transient, "REDIS_UNAVAILABLE"),
        ("half", Transient, "REDIS_UNAVAILABLE"),
        ("timeout", Transient, "REDIS_UNAVAILABLE"),
    ],
)
def test_answers_that_are_errors(fake: RedisFake, redis: InRuns, fault: str, kind: type[JobError], code: str) -> None:
    fake.fail(fault, hold_s=0.01)

    with pytest.raises(kind) as raised:
        redis.run(SCRIPT, [call(redis)])

    assert (type(raised.value), raised.value.code) == (kind, code)
    assert TOKEN not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "kind", "code", "detail"),
    [
        ("ERR max requests limit exceeded. Limit: 500000", RateLimited, "REDIS_RATE_LIMITED", ""),
        ("ERR max daily request limit exceeded. Limit: 10000", RateLimited, "REDIS_RATE_LIMITED", ""),
        ("BUSY Redis is busy running a script", Transient, "REDIS_UNAVAILABLE", "BUSY"),
        ("LOADING Redis is loading the dataset", Transient, "REDIS_UNAVAILABLE", "LOADING"),
        ("NOPERM this user has no permissions", Permanent, "REDIS_COMMAND_REFUSED", "NOPERM"),
        ("ab:acme:secret is wrong", Permanent, "REDIS_COMMAND_REFUSED", ""),
    ],
)
def test_errors_of_a_command(
    fake: RedisFake, redis: InRuns, text: str, kind: type[JobError], code: str, detail: str
) -> None:
    with pytest.raises(kind) as raised:
        redis.run("return redis.error_reply(ARGV[1])", [Call([redis.key("x")], [text])])

    assert (raised.value.code, raised.value.detail) == (code, detail)


def test_wait_that_redis_names(fake: RedisFake, redis: InRuns) -> None:
    fake.fail(429, retry_after="17")

    with pytest.raises(RateLimited) as raised:
        redis.run(SCRIPT, [call(redis)])

    assert raised.value.after_s == 17


def test_token_shows_nowhere(redis: InRuns) -> None:
    assert TOKEN not in redis.tell(lambda ctx: repr(Redis(ctx, redis.access))) + repr(redis.access)


def test_key_is_the_tenants(redis: InRuns) -> None:
    assert redis.tell(lambda ctx: Redis(ctx, redis.access).key("ab", "t1", "v1")) == "ab:acme:t1:v1"


def test_no_session_is_open_during_a_call(redis: InRuns) -> None:
    def inside(ctx: JobContext) -> str:
        with ctx.tenant_session(), pytest.raises(RuntimeError) as raised:
            Redis(ctx, redis.access).run(SCRIPT, [call(redis)])
        return str(raised.value)

    assert "session is open" in redis.tell(inside)


# -- whose Redis -------------------------------------------------------------------------------------------------------


def own_redis(rows: Rows, url: str | None) -> None:
    values = {
        "tenant_id": "acme",
        "service_name": "upstash_redis",
        "api_key_encrypted": encrypt_platform(TOKEN, ENCRYPTION_KEY),
        "metadata": {"restUrl": url} if url is not None else {},
    }
    insert(rows, "tenant_api_credentials", values)


@pytest.mark.parametrize(
    ("settings", "own", "found"),
    [
        ({}, None, None),
        (PLATFORM, None, ("https://platform.example", "platform-token")),
        ({"KV_REST_API_URL": "https://platform.example"}, None, None),
        (
            {"KV_REST_API_URL": "https://half", "UPSTASH_REDIS_REST_URL": "https://b", "UPSTASH_REDIS_REST_TOKEN": "t"},
            None,
            ("https://b", "t"),
        ),
        (PLATFORM, "https://a-1.upstash.io/", ("https://a-1.upstash.io", TOKEN)),
        (PLATFORM, "https://platform.example/x?y", ("https://platform.example", TOKEN)),
        ({"REDIS_ALLOWED_HOSTS": "r.example, s.example"}, "https://S.example:8443", ("https://s.example:8443", TOKEN)),
        ({"UPSTASH_BASE_URL": "http://127.0.0.1:9/"}, "https://a-1.upstash.io", ("http://127.0.0.1:9", TOKEN)),
        ({"UPSTASH_BASE_URL": "http://127.0.0.1:9/"}, None, None),
    ],
    ids=[
        "none at all",
        "the platform's",
        "half a pair",
        "the second pair",
        "the tenant's own",
        "own token on the platform's host",
        "allowed host",
        "fake",
        "fake without credentials",
    ],
)
def test_access(
    redis: InRuns, rows: Rows, settings: Mapping[str, str], own: str | None, found: tuple[str, str] | None
) -> None:
    redis.visits.bench.settings.update(settings)
    if own:
        own_redis(rows, own)

    access = redis.tell(access_of)

    assert (None if access is None else (access.url, access.token)) == found


@pytest.mark.parametrize(
    "url",
    [
        "http://a-1.upstash.io",
        "https://10.0.0.5",
        "https://localhost",
        "https://upstash.io",
        "https://a.upstash.io.evil.example",
        "https://evil.example/a.upstash.io",
        "https://user@a-1.upstash.io",
        "https://a-1.upstash.io:port",
        "https://[::1",
        "file:///etc/passwd",
        "",
        None,
    ],
)
def test_url_that_leads_elsewhere(redis: InRuns, rows: Rows, url: str | None) -> None:
    redis.visits.bench.settings["UPSTASH_BASE_URL"] = "http://127.0.0.1:9"
    own_redis(rows, url)

    with pytest.raises(Permanent) as raised:
        redis.tell(access_of)

    assert raised.value.code == "REDIS_URL_REFUSED"
