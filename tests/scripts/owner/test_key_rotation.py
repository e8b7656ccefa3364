"""Changing the master key: every step can be the last one before a crash, and nothing becomes unreadable on the way."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import psycopg
import pytest

from scripts.owner import OwnerError, WrongUse
from scripts.owner.keys import rotation as rotating
from scripts.owner.keys.rotation import MARK, Functions, Rotation
from scripts.owner.keys.sealing import StageSealer
from scripts.owner.secrets import StageSecrets
from shared.cli.stages import Stage
from shared.crypto import MASTER_KEY, PREVIOUS_KEY, Keyring, decrypt_platform, encrypt_platform
from shared.db.connections import connect
from shared.jobs import rotation
from tests.scripts.owner.conftest import members

OLD = "0f" * 32
NOW = datetime(2026, 1, 15, 12, 0, tzinfo=UTC)
LIVES = timedelta(seconds=900)
LETTERS = 450
"""Rows to seal: three batches."""


class Stopped(Exception):
    """The process was killed here."""


class NoBlobs:
    """A bucket without objects."""

    def put(self, key: str, data: bytes) -> None:
        raise AssertionError(key)

    def get(self, key: str) -> bytes:
        raise KeyError(key)

    def keys(self, prefix: str) -> Iterator[str]:
        return iter(())


@dataclass
class Lambdas:
    """Functions that are told to read the secrets anew; `keys`: what each would find there at that moment."""

    secrets: Any
    marks: list[str] = field(default_factory=list)
    rings: list[tuple[str, ...]] = field(default_factory=list)

    def refresh(self, mark: str) -> int:
        self.marks.append(mark)
        self.rings.append(Keyring.of(members(self.secrets, "stg/jobs")).passphrases)
        return 7


@dataclass
class Lab:
    """The stage, its database, and a clock."""

    secrets: Any
    database_url: str
    admin_url: str
    now: datetime = NOW
    said: list[str] = field(default_factory=list)
    lambdas: Lambdas = field(init=False)
    after_batch: Callable[[], None] = lambda: None

    def __post_init__(self) -> None:
        self.lambdas = Lambdas(self.secrets)

    def rotation(self, **options: Any) -> Rotation:
        def sealer() -> StageSealer:
            return StageSealer(self.database_url, self.admin_url, NoBlobs, after_batch=self.after_batch)

        store = StageSecrets(Stage("staging", prefix="stg"), self.secrets)
        return Rotation(store, self.lambdas, sealer, say=self.said.append, now=lambda: self.now, **options)  # type: ignore[arg-type]

    def keys(self) -> Mapping[str, str]:
        jobs, admin = members(self.secrets, "stg/jobs"), members(self.secrets, "stg/admin")
        for name in (MASTER_KEY, PREVIOUS_KEY, MARK):
            assert jobs.get(name) == admin.get(name), name
        return jobs

    def counts(self) -> dict[str, int]:
        with connect(self.database_url, application_name="test") as conn:
            return rotation.counts(conn)["jobs.outbox.body"]

    def credential(self) -> str:
        with connect(self.admin_url, application_name="test") as conn:
            row = conn.execute(
                "SELECT shopify_access_token_encrypted FROM public.organizations WHERE slug = 'acme'"
            ).fetchone()
        assert row is not None
        return str(row[0])


@pytest.fixture
def lab(staging: Any, database_url: str, admin_url: str, admin: psycopg.Connection[Any]) -> Lab:
    """Sealed rows and a credential under the old key."""
    for name in ("stg/jobs", "stg/admin"):
        staging.put_secret_value(SecretId=name, SecretString=json.dumps({MASTER_KEY: OLD, "DATABASE_URL": "u"}))
    ring = Keyring.single(OLD)
    bodies = [ring.seal(b"letter", aad=b"acme", purpose="outbox") for _ in range(LETTERS)]
    admin.execute(
        "INSERT INTO jobs.outbox (id, kind, tenant, target, body)"
        " SELECT gen_random_uuid(), 'event', 'acme', 'x', b FROM unnest(%s::bytea[]) AS b",
        (bodies,),
    )
    admin.execute(
        "UPDATE public.organizations SET shopify_access_token_encrypted = %s WHERE slug = 'acme'",
        (encrypt_platform("token", OLD),),
    )
    return Lab(staging, database_url, admin_url)


def test_whole_change_in_two_visits_and_a_finish(lab: Lab) -> None:
    assert lab.rotation().advance() == "known"
    assert lab.keys()[MASTER_KEY] == OLD
    new = lab.keys()[PREVIOUS_KEY]
    assert "invocations from before live until 12:15:00 UTC" in lab.said

    lab.now += LIVES
    assert lab.rotation().advance() == "sealing"
    assert (lab.keys()[MASTER_KEY], lab.keys()[PREVIOUS_KEY]) == (new, OLD)
    assert list(lab.counts()) == [Keyring.single(new).current]
    assert decrypt_platform(lab.credential(), OLD) == "token"

    lab.now += LIVES
    lab.rotation().finish()
    assert decrypt_platform(lab.credential(), new) == "token"
    assert set(lab.keys()) == {MASTER_KEY, "DATABASE_URL"}
    assert not any(secret in sentence for sentence in lab.said for secret in (OLD, new))


def test_functions_know_both_keys_before_the_new_one_seals(lab: Lab) -> None:
    lab.rotation(sleep=lambda seconds: None).advance()

    new = lab.keys()[MASTER_KEY]
    assert lab.lambdas.rings == [(OLD, new), (new, OLD)]
    assert len(set(lab.lambdas.marks)) == 2


def test_waiting_waits_as_long_as_an_invocation_may_live(lab: Lab) -> None:
    slept: list[float] = []

    assert lab.rotation(sleep=slept.append).advance() == "sealing"

    assert slept == [900.0]


@pytest.mark.parametrize("kill_at", range(1, 12))
def test_killed_at_any_write_and_called_again(lab: Lab, monkeypatch: pytest.MonkeyPatch, kill_at: int) -> None:
    """Every write of a secret, every refresh and every batch is a place to die once."""
    counter = {"n": 0}

    def maybe_die() -> None:
        counter["n"] += 1
        if counter["n"] == kill_at:
            raise Stopped

    write = StageSecrets.write

    def dying_write(self: StageSecrets, which: str, values: Mapping[str, str], **options: Any) -> bool:
        if not write(self, which, values, **options):
            return False
        maybe_die()
        return True

    monkeypatch.setattr(StageSecrets, "write", dying_write)
    lab.after_batch = maybe_die

    def until_done(act: Callable[[], object]) -> None:
        try:
            act()
        except Stopped:
            act()

    until_done(lambda: lab.rotation(sleep=lambda s: None).advance())
    lab.now += LIVES
    until_done(lambda: lab.rotation().finish() if MARK in members(lab.secrets, "stg/jobs") else lab.rotation().state())

    new = lab.keys()[MASTER_KEY]
    assert set(lab.keys()) == {MASTER_KEY, "DATABASE_URL"}
    assert lab.counts() == {Keyring.single(new).current: LETTERS}
    assert decrypt_platform(lab.credential(), new) == "token"


def test_finish_waits_for_invocations_that_seal_with_the_old_key(lab: Lab) -> None:
    lab.rotation(sleep=lambda s: None).advance()

    with pytest.raises(OwnerError, match="may be under way; finish later"):
        lab.rotation().finish()

    assert lab.keys()[PREVIOUS_KEY] == OLD


def test_finish_keeps_the_old_key_while_something_cannot_be_opened(lab: Lab, admin: psycopg.Connection[Any]) -> None:
    lab.rotation(sleep=lambda s: None).advance()
    lost = Keyring.single("lost").seal(b"x", aad=b"acme", purpose="outbox")
    admin.execute("UPDATE jobs.outbox SET body = %s WHERE id = (SELECT min(id::text)::uuid FROM jobs.outbox)", (lost,))
    lab.now += LIVES

    with pytest.raises(OwnerError, match="columns: 1 can be opened by neither key"):
        lab.rotation().finish()

    assert lab.keys()[PREVIOUS_KEY] == OLD


def test_new_key_is_taken_back_before_it_seals_and_not_after(lab: Lab) -> None:
    with pytest.raises(WrongUse, match="none is under way"):
        lab.rotation().abandon()
    lab.rotation().advance()
    lab.rotation().abandon()
    assert set(lab.keys()) == {MASTER_KEY, "DATABASE_URL"}
    assert lab.keys()[MASTER_KEY] == OLD

    lab.rotation(sleep=lambda s: None).advance()
    with pytest.raises(WrongUse, match="has sealed already"):
        lab.rotation().abandon()


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({PREVIOUS_KEY: "by-hand"}, "a change by hand is under way"),
        ({MARK: "sealing 2026-01-15T12:00:00+00:00"}, "does not fit the keys beside it"),
        ({MARK: "odd 2026-01-15T12:00:00+00:00", PREVIOUS_KEY: "x"}, "correct the secrets by hand"),
    ],
)
def test_state_that_makes_no_sense_is_not_guessed_at(lab: Lab, values: dict[str, str], says: str) -> None:
    text = json.dumps({MASTER_KEY: OLD, **values})
    lab.secrets.put_secret_value(SecretId="stg/jobs", SecretString=text)

    with pytest.raises(OwnerError, match=says):
        lab.rotation().advance()

    assert members(lab.secrets, "stg/jobs")[MASTER_KEY] == OLD


def test_refresh_changes_one_variable_of_the_stage_s_functions_only(aws: None) -> None:
    functions = boto3.client("lambda")
    role = boto3.client("iam").create_role(RoleName="r", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    for name in ("stg-commerce-fast", "stg-kernel-sweep", "cgk-commerce-fast"):
        functions.create_function(
            FunctionName=name,
            Runtime="python3.13",
            Role=role,
            Handler="h.main",
            Code={"ZipFile": b"PK\x05\x06" + bytes(18)},
            Environment={"Variables": {"CGK_STAGE": "staging"}},
        )

    assert Functions(functions, "stg-").refresh("abc-known") == 2

    found = {f["FunctionName"]: f["Environment"]["Variables"] for f in functions.list_functions()["Functions"]}
    assert found["stg-commerce-fast"] == {"CGK_STAGE": "staging", rotating.VARIABLE: "abc-known"}
    assert found["cgk-commerce-fast"] == {"CGK_STAGE": "staging"}
