"""cgk-jobs keys; what is sealed anew is the matter of tests/shared/jobs/test_rotation.py."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from shared.crypto import MASTER_KEY, PREVIOUS_KEY, decrypt_platform, encrypt_platform, key_id_of
from shared.jobs.testing import Bench
from tests.conftest import ENCRYPTION_KEY
from tests.shared.cli.conftest import Cli

NEW_KEY = "the-new-master-key-9876543210"


@pytest.fixture
def changing(cli: Cli, toys: Bench) -> Cli:
    """Something is sealed with the key that becomes the previous one."""
    toys.send("toy-play", {"tenantId": "acme"})
    toys.pump("toys")
    cli.platform.environ.update({MASTER_KEY: NEW_KEY, PREVIOUS_KEY: ENCRYPTION_KEY})
    return cli


def test_status_counts_envelopes_by_key(changing: Cli) -> None:
    said = changing("keys", "status", "--json")

    assert said.json["current"] == key_id_of(NEW_KEY)
    assert said.json["columns"]["jobs.payloads.body"] == {key_id_of(ENCRYPTION_KEY): 1}
    assert key_id_of(ENCRYPTION_KEY) in changing("keys", "status").out
    assert NEW_KEY not in said.out


def test_rotate_seals_columns_and_on_request_objects_and_credentials(
    changing: Cli, admin: psycopg.Connection[Any]
) -> None:
    text = encrypt_platform("token", ENCRYPTION_KEY)
    admin.execute("UPDATE public.organizations SET shopify_access_token_encrypted = %s WHERE slug = 'acme'", (text,))

    plain = changing("keys", "rotate", "--json")
    everything = changing("keys", "rotate", "--objects", "--credentials", "--json")

    assert plain.json == {"columns": {"sealed": 1, "unreadable": 0}}
    assert everything.json["credentials"] == {"sealed": 1, "unreadable": 0}
    row = admin.execute(
        "SELECT shopify_access_token_encrypted FROM public.organizations WHERE slug = 'acme'"
    ).fetchone()
    assert row is not None
    assert decrypt_platform(row[0], NEW_KEY) == "token"
    assert changing("keys", "rotate").out == "columns: 0 sealed anew with the current key\n"


def test_what_no_key_opens_is_a_failure(changing: Cli) -> None:
    del changing.platform.environ[PREVIOUS_KEY]

    said = changing("keys", "rotate")

    assert said.code == 1
    assert "1 cannot be opened by any key" in said.out


def test_credentials_need_the_key_to_change_from(cli: Cli) -> None:
    said = cli("keys", "rotate", "--credentials")

    assert said.code == 2
    assert "INTEGRATION_ENCRYPTION_KEY_PREVIOUS is not set" in said.err
