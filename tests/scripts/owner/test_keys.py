"""scripts/keys: made, moved without replacing anything in silence, verified; no value is ever printed."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from scripts.owner import env_file
from scripts.owner.keys.main import Tool, main
from shared.crypto import MASTER_KEY, PREVIOUS_KEY, encrypt_platform, key_id_of
from shared.db.connections import connect
from tests.scripts.owner.conftest import members

ADMIN_URL = "DATABASE_ADMIN_URL"


@dataclass
class Keys:
    """keys("push", "--stage", "staging") runs one command in the checkout."""

    root: Path
    capsys: pytest.CaptureFixture[str] = field(repr=False)
    out: str = ""
    err: str = ""

    def __call__(self, *argv: str) -> int:
        self.capsys.readouterr()
        code = main(argv, Tool(self.root, {"AWS_ENDPOINT_URL": ""}))
        self.out, self.err = self.capsys.readouterr()
        return code

    @property
    def file(self) -> Path:
        return self.root / ".env.local"

    def values(self) -> dict[str, str]:
        return env_file.read(self.file)


@pytest.fixture
def keys(checkout: Path, capsys: pytest.CaptureFixture[str]) -> Keys:
    return Keys(checkout, capsys)


def test_generated_key_has_32_bytes_in_a_file_of_its_owner_alone(keys: Keys) -> None:
    assert keys("generate") == 0

    key = keys.values()[MASTER_KEY]
    assert len(bytes.fromhex(key)) == 32
    assert stat.S_IMODE(keys.file.stat().st_mode) == 0o600
    assert keys.out == f"new       {MASTER_KEY} {key_id_of(key)} in .env.local\n"
    assert key not in keys.out


def test_a_key_is_replaced_only_by_name(keys: Keys) -> None:
    keys("generate")
    before = keys.values()

    assert keys("generate") == 2
    assert "holds another INTEGRATION_ENCRYPTION_KEY; nothing was written" in keys.err
    assert f"--replace {MASTER_KEY}" in keys.err
    assert keys.values() == before

    assert keys("generate", "--replace", MASTER_KEY) == 0
    assert keys.values() != before
    assert keys("generate", "--name", "META_ENCRYPTION_KEY") == 0
    assert set(keys.values()) == {MASTER_KEY, "META_ENCRYPTION_KEY"}


def test_other_lines_of_the_file_stay(keys: Keys) -> None:
    keys.file.write_text("# mine\nexport EDITOR=vi\n")
    keys.file.chmod(0o644)

    keys("generate")

    assert keys.file.read_text().startswith("# mine\nexport EDITOR=vi\nINTEGRATION_ENCRYPTION_KEY=")
    assert stat.S_IMODE(keys.file.stat().st_mode) == 0o600


def test_value_that_no_line_can_hold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="value of NAME cannot stand") as caught:
        env_file.write(tmp_path / ".env.local", {"NAME": "two\nlines"})
    assert "two" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_push_brings_each_setting_to_its_secrets(keys: Keys, staging: Any) -> None:
    keys("generate")
    env_file.write(keys.file, {"DATABASE_URL": "postgresql://jobs", ADMIN_URL: "postgresql://own", "OTHER": "x"})

    assert keys("push", "--stage", "staging", "--dry-run") == 0
    assert members(staging, "stg/jobs") == {}
    assert keys("push", "--stage", "staging") == 0

    key = keys.values()[MASTER_KEY]
    jobs = {MASTER_KEY: key, "DATABASE_URL": "postgresql://jobs"}
    assert members(staging, "stg/jobs") == jobs
    assert members(staging, "stg/admin") == {**jobs, ADMIN_URL: "postgresql://own"}
    assert key not in keys.out
    assert "postgresql" not in keys.out


def test_push_and_pull_replace_only_by_name_and_all_or_nothing(keys: Keys, staging: Any) -> None:
    keys("generate")
    keys("push", "--stage", "staging")
    stage = members(staging, "stg/jobs")
    keys("generate", "--replace", MASTER_KEY, "--name", MASTER_KEY)
    env_file.write(keys.file, {"DATABASE_URL": "postgresql://jobs"})
    mine = keys.values()

    assert keys("push", "--stage", "staging") == 2
    assert "stg/jobs holds another INTEGRATION_ENCRYPTION_KEY; nothing was written" in keys.err
    assert "to change INTEGRATION_ENCRYPTION_KEY of a stage use rotate" in keys.err
    assert members(staging, "stg/jobs") == stage
    assert keys("pull", "--stage", "staging") == 2
    assert keys.values() == mine

    assert keys("pull", "--stage", "staging", "--replace", MASTER_KEY) == 0
    assert keys.values()[MASTER_KEY] == stage[MASTER_KEY]


def test_push_keeps_what_else_a_secret_holds(keys: Keys, staging: Any) -> None:
    staging.put_secret_value(SecretId="stg/jobs", SecretString=json.dumps({"STRIPE_SECRET_KEY": "sk"}))
    keys("generate")

    keys("push", "--stage", "staging")

    assert members(staging, "stg/jobs")["STRIPE_SECRET_KEY"] == "sk"


@pytest.mark.parametrize(
    ("argv", "code", "says"),
    [
        (("push", "--stage", "stagin"), 2, "there is no stage 'stagin'; did you mean staging?"),
        (("push", "--stage", "production"), 1, "lead to account 123456789012, stage production is in 999999999999"),
        (("push", "--stage", "staging"), 1, ".env.local holds none of INTEGRATION_ENCRYPTION_KEY"),
        (("pull", "--stage", "staging"), 1, "the secrets stg/jobs and stg/admin hold none of"),
        (("rotate", "--stage", "local"), 2, "scripts/dev has a key of its own"),
        (("rotate", "--stage", "staging"), 1, "holds no INTEGRATION_ENCRYPTION_KEY: push one first"),
    ],
)
def test_what_cannot_be_meant_is_told_in_a_sentence(
    keys: Keys, staging: Any, argv: tuple[str, ...], code: int, says: str
) -> None:
    assert keys(*argv) == code
    assert says in keys.err
    assert keys.err.count("\n") == 1


def test_stage_that_was_never_deployed(keys: Keys, aws: None) -> None:
    keys("generate")

    assert keys("push", "--stage", "staging") == 1
    assert "the secret stg/jobs is not there: deploy stage staging first" in keys.err


def test_verify_finds_what_does_not_fit(keys: Keys, staging: Any, database_url: str, admin_url: str) -> None:
    keys("generate")
    env_file.write(keys.file, {"DATABASE_URL": database_url, ADMIN_URL: admin_url})
    keys("push", "--stage", "staging")
    key = keys.values()[MASTER_KEY]

    assert keys("verify", "--stage", "staging") == 0, keys.out
    assert "ok       .env.local has mode 600" in keys.out
    assert "ok       stg/jobs and stg/admin agree" in keys.out
    assert f"32 bytes, id {key_id_of(key)}" in keys.out
    assert key not in keys.out

    broken: list[tuple[Callable[[], object], str]] = [
        (lambda: keys.file.chmod(0o640), ".env.local can be read by others: chmod 600 it"),
        (lambda: _sealed_by_a_key_that_is_gone(admin_url), "1 of keys that are gone"),
        (lambda: _credential_of_another_key(admin_url), "shopify_access_token_encrypted: 0 of 1 values"),
        (lambda: _put(staging, "stg/admin", {MASTER_KEY: "short"}), "differ in INTEGRATION_ENCRYPTION_KEY"),
    ]
    for breaks, says in broken:
        breaks()
        assert keys("verify", "--stage", "staging") == 1
        assert f"problem  {says}" in keys.out or says in keys.out


def _sealed_by_a_key_that_is_gone(admin_url: str) -> None:
    from shared.crypto import Keyring

    body = Keyring.single("a-key-that-is-gone").seal(b"x", aad=b"acme", purpose="outbox")
    with connect(admin_url, application_name="test") as conn:
        conn.execute(
            "INSERT INTO jobs.outbox (id, kind, tenant, target, body)"
            " VALUES (gen_random_uuid(), 'event', 'acme', 'x', %s)",
            (body,),
        )


def _credential_of_another_key(admin_url: str) -> None:
    with connect(admin_url, application_name="test") as conn:
        conn.execute(
            "UPDATE public.organizations SET shopify_access_token_encrypted = %s WHERE slug = 'acme'",
            (encrypt_platform("token", "another-key"),),
        )


def _put(client: Any, name: str, values: dict[str, str]) -> None:
    client.put_secret_value(SecretId=name, SecretString=json.dumps({**members(client, name), **values}))


def test_verify_without_stage_looks_at_the_file_only(keys: Keys) -> None:
    assert keys("verify") == 0
    assert keys.out == "ok       .env.local holds no keys\n"

    env_file.write(keys.file, {MASTER_KEY: "too-short"})
    assert keys("verify") == 1
    assert "a passphrase of 9 characters" in keys.out
    assert "too short, rotate it" in keys.out
    assert "too-short" not in keys.out
    assert PREVIOUS_KEY not in keys.out
