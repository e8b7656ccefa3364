"""Changing the master key under running jobs: what is sealed anew, what may be broken off, what is left alone."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from shared.crypto import MASTER_KEY, PREVIOUS_KEY, Keyring, decrypt_platform, encrypt_platform
from shared.jobs import rotation
from shared.jobs.context import Tenant
from shared.jobs.offload import Vault
from shared.jobs.payloads import SealedPayload, open_payload
from shared.jobs.rotation import SEALED, Rotated, rotate_columns, rotate_credentials, rotate_objects
from shared.jobs.testing import Bench
from shared.jobs.uuids import uuid7
from tests.conftest import ENCRYPTION_KEY, ROOT, Rows

NEW_KEY = "the-new-master-key-9876543210"
CHANGING = Keyring.of({MASTER_KEY: NEW_KEY, PREVIOUS_KEY: ENCRYPTION_KEY})
CHANGED = Keyring.of({MASTER_KEY: NEW_KEY})


def history(toys: Bench, n: int = 5) -> None:
    """Payloads in the ledger, and an event in the outbox that the bus refused."""
    for number in range(n):
        toys.send("toy-play", {"tenantId": "acme", "act": "emit", "n": number})
        toys.bus.refuse = 1
        toys.pump("toys")
        toys.queues.queues["other-toys"].clear()


def opened(toys: Bench, rows: Rows, keyring: Keyring) -> int:
    """Payloads of the ledger that the keys open."""
    found = rows("SELECT p.body, p.blob_key, r.tenant FROM jobs.payloads p JOIN jobs.runs r USING (run_id)")
    for row in found:
        open_payload(SealedPayload(row["body"], row["blob_key"]), row["tenant"], keyring, toys.blobs)
    return len(found)


def test_everything_is_sealed_anew_and_the_former_key_is_needed_no_more(toys: Bench, rows: Rows) -> None:
    history(toys)
    assert rotation.counts(toys.connections.get())["jobs.outbox.body"] == {toys.keyring.current: 5}

    done = rotate_columns(toys.connections.get(), CHANGING)

    assert done == Rotated(sealed=10)
    assert opened(toys, rows, CHANGED) == 5
    counts = rotation.counts(toys.connections.get())
    assert counts["jobs.payloads.body"] == counts["jobs.outbox.body"] == {CHANGED.current: 5}
    assert rotate_columns(toys.connections.get(), CHANGING) == Rotated()


def test_what_was_committed_before_the_change_is_relayed_after_it(toys: Bench) -> None:
    from shared.jobs.outbox import Relay

    history(toys, 1)
    rotate_columns(toys.connections.get(), CHANGING)
    toys.clock.advance(s=61)

    Relay(toys.bus, toys.queues, CHANGED).sweep(toys.connections.get(), toys.clock.now())

    assert [name for name, _ in toys.bus.published] == ["toy.seen"]


def test_work_that_is_broken_off_is_taken_up_where_it_stood(
    toys: Bench, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rotation, "BATCH", 2)
    history(toys)

    def break_off() -> None:
        raise KeyboardInterrupt

    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            rotate_columns(toys.connections.get(), CHANGING, after_batch=break_off)

    assert opened(toys, rows, CHANGING) == 5
    left = rotate_columns(toys.connections.get(), CHANGING)
    assert left == Rotated(sealed=5)
    assert opened(toys, rows, CHANGED) == 5


def test_what_no_key_opens_is_counted_and_kept(toys: Bench, rows: Rows) -> None:
    history(toys, 2)

    done = rotate_columns(toys.connections.get(), CHANGED)

    assert done == Rotated(unreadable=4)
    assert opened(toys, rows, toys.keyring) == 2


def test_jobs_that_run_meanwhile_wait_for_nobody(toys: Bench, database_url: str) -> None:
    """Rows that another transaction holds are passed over; the next time they are free."""
    history(toys, 2)
    with psycopg.connect(database_url) as other:
        other.execute("SELECT 1 FROM jobs.outbox FOR UPDATE")

        assert rotate_columns(toys.connections.get(), CHANGING) == Rotated(sealed=2)

    assert rotate_columns(toys.connections.get(), CHANGING) == Rotated(sealed=2)


def test_objects_in_the_bucket_are_sealed_anew(toys: Bench) -> None:
    ids = [str(uuid7()) for _ in range(3)]
    toys.vault.shrink({"tenantId": "acme", "n": 1}, name=ids[0])
    toys.vault.shrink({"tenantId": "globex", "n": 2}, name=ids[1], delay_s=1e7)
    toys.send("toy-play", {"tenantId": "acme", "padding": "x" * 40_000})
    toys.pump("toys")
    toys.blobs.objects["payloads/acme/broken"] = b"?"

    assert rotate_objects(toys.blobs, CHANGING) == Rotated(sealed=3, unreadable=1)

    vault = Vault(toys.blobs, CHANGED)
    assert vault.open(f"payloads/acme/{ids[0]}", "acme") == {"n": 1}
    assert vault.open(f"payloads-long/globex/{ids[1]}", "globex") == {"n": 2}
    assert rotate_objects(toys.blobs, CHANGING) == Rotated(unreadable=1)


def connection(rows: Rows, tenant: Tenant, shop: str, text: str) -> None:
    rows.execute(
        "INSERT INTO shopify_connections (tenant_id, shop, access_token_encrypted, scopes, status)"
        " VALUES (%s, %s, %s, '{}', 'active')",
        (tenant.organization_id, shop, text),
    )


def test_credentials_are_encrypted_anew_in_the_platform_s_format_on_request(
    rows: Rows, tenant: Tenant, admin: psycopg.Connection[Any]
) -> None:
    other = encrypt_platform("of another key", "some-provider-key-0123456789")
    connection(rows, tenant, "a.myshopify.com", encrypt_platform("token-a", ENCRYPTION_KEY))
    connection(rows, tenant, "b.myshopify.com", encrypt_platform("token-b", NEW_KEY))
    connection(rows, tenant, "c.myshopify.com", other)
    connection(rows, tenant, "d.myshopify.com", "plain text of old")
    admin.execute(
        "UPDATE public.organizations SET shopify_access_token_encrypted = %s WHERE slug = 'globex'",
        (encrypt_platform("token-g", ENCRYPTION_KEY),),
    )

    assert rotate_credentials(admin, CHANGING) == Rotated(sealed=2)

    texts = [
        row["access_token_encrypted"]
        for row in rows("SELECT access_token_encrypted FROM shopify_connections ORDER BY shop")
    ]
    assert [decrypt_platform(text, NEW_KEY) for text in texts[:2]] == ["token-a", "token-b"]
    assert texts[2:] == [other, "plain text of old"]
    assert rotate_credentials(admin, CHANGING) == Rotated()
    assert rotate_credentials(admin, CHANGED) == Rotated()


def test_credential_of_either_key_is_read_while_the_key_is_changed(
    toys: Bench, rows: Rows, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    from shared.integrations.credentials import shopify_connection
    from tests import toys as toy_jobs

    tokens: list[str] = []
    monkeypatch.setitem(
        toy_jobs.ACTS, "connect", lambda ctx, payload: tokens.append(shopify_connection(ctx).access_token)
    )
    toys.secrets.update({MASTER_KEY: NEW_KEY, PREVIOUS_KEY: ENCRYPTION_KEY})
    for key in (ENCRYPTION_KEY, NEW_KEY):
        rows.execute("DELETE FROM shopify_connections")
        connection(rows, tenant, "a.myshopify.com", encrypt_platform("token-a", key))
        toys.send("toy-play", {"tenantId": "acme", "act": "connect"})
        assert [done.state for done in toys.pump("toys")] == ["succeeded"]

    assert tokens == ["token-a", "token-a"]


def test_every_sealed_column_of_the_ledger_is_known_to_the_rotation() -> None:
    """bytea columns are envelopes, hashes excepted."""
    found: set[str] = set()
    for path in sorted(Path(ROOT / "shared/db/schema/jobs").glob("*.sql")):
        for table, body in re.findall(r"CREATE (?:UNLOGGED )?TABLE (\w+) \((.*?)\n\)", path.read_text(), re.DOTALL):
            found |= {f"jobs.{table}.{name}" for name in re.findall(r"^ +(\w+) bytea", body, re.MULTILINE)}

    assert {name for name in found if not name.endswith("_hash")} == {f"{c.table}.{c.column}" for c in SEALED}


def test_column_of_a_later_table_needs_its_line_only(toys: Bench, admin: psycopg.Connection[Any]) -> None:
    admin.execute("CREATE TABLE jobs.later (id uuid PRIMARY KEY, slug text, sealed bytea)")
    admin.execute("GRANT ALL ON jobs.later TO cgk_jobs")
    sealed = toys.keyring.seal(b"x", aad=b"acme", purpose="later")
    admin.execute("INSERT INTO jobs.later VALUES (%s, 'acme', %s)", (uuid7(), sealed))
    column = replace(SEALED[0], table="jobs.later", column="sealed", purpose="later", tenant="t.slug")

    assert rotate_columns(toys.connections.get(), CHANGING, [column]) == Rotated(sealed=1)
