"""Seals anew, with the current master key, what an earlier one sealed: rows, objects, and on request credentials.

The keys come from the secret: INTEGRATION_ENCRYPTION_KEY seals, INTEGRATION_ENCRYPTION_KEY_PREVIOUS still opens. Each
batch is a transaction of its own and looks for what does not carry the current key's id, so the work can be broken off
and begun again at any time, beside running jobs. What no key opens is counted and left as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import psycopg
from psycopg import sql

from shared.crypto import Keyring, decrypt_platform, encrypt_platform
from shared.jobs import offload, outbox, payloads, tokens
from shared.jobs.errors import Permanent

BATCH = 200
"""Rows per transaction: a few milliseconds of locks."""
CREDENTIALS_BATCH = 20
"""Credentials per transaction: each costs two derivations of tens of milliseconds."""


@dataclass(frozen=True, slots=True)
class SealedColumn:
    """A column of envelopes in schema jobs. `key`: its uuid key; `tenant`: SQL of the slug that is additional data,
    with `join` where that stands in another table."""

    table: str
    column: str
    key: str
    purpose: str
    tenant: str = "t.tenant"
    join: str = ""


SEALED = (
    SealedColumn("jobs.outbox", "body", "id", outbox.PURPOSE),
    SealedColumn(
        "jobs.payloads", "body", "run_id", payloads.PURPOSE, "r.tenant", "JOIN jobs.runs r ON r.run_id = t.run_id"
    ),
    SealedColumn("jobs.tokens", "token", "run_id", tokens.PURPOSE),
    SealedColumn("jobs.tokens", "answer", "run_id", tokens.PURPOSE),
)
"""All columns of schema jobs that hold envelopes; a new one is added here, a test compares with the schema files."""

COUNT = """
-- keys: envelopes of a column by the id of their key
SELECT convert_from(substring({column} FROM 3 FOR get_byte({column}, 1)), 'SQL_ASCII'), count(*)
FROM {table} WHERE length({column}) > 2 GROUP BY 1 ORDER BY 1
"""
TAKE = """
-- keys: envelopes of a column that do not carry the current key's id
SELECT t.{key}, t.{column}, {tenant} FROM {table} t {join}
WHERE t.{column} IS NOT NULL AND substring(t.{column} FROM 1 FOR length(%(header)s)) <> %(header)s
  AND (%(after)s::uuid IS NULL OR t.{key} > %(after)s)
ORDER BY t.{key} LIMIT %(batch)s
FOR UPDATE OF t SKIP LOCKED
"""
PUT = """
-- keys: envelopes sealed anew
UPDATE {table} t SET {column} = n.sealed
FROM unnest(%(keys)s::uuid[], %(sealed)s::bytea[]) AS n (key, sealed)
WHERE t.{key} = n.key
"""
CREDENTIAL_COLUMNS = """
-- keys: text columns of the platform and the tenants that hold encrypted values
SELECT c.table_schema, c.table_name, c.column_name
FROM information_schema.columns c
JOIN information_schema.tables t USING (table_schema, table_name)
WHERE (c.table_schema = 'public' OR c.table_schema LIKE 'tenant\\_%') AND t.table_type = 'BASE TABLE'
  AND c.column_name LIKE '%\\_encrypted' AND c.data_type IN ('text', 'character varying')
ORDER BY 1, 2, 3
"""
TAKE_CREDENTIALS = """
-- keys: encrypted values of a column, in the order of their rows
SELECT ctid::text, {column} FROM {table}
WHERE {column} ~* '^[0-9a-f]{{32}}:[0-9a-f]{{32}}:[0-9a-f]{{32}}:' AND ctid > %(after)s::tid
ORDER BY ctid LIMIT %(batch)s
"""
PUT_CREDENTIALS = """
-- keys: values encrypted anew, unless somebody has changed them meanwhile
UPDATE {table} t SET {column} = n.new
FROM unnest(%(old)s::text[], %(new)s::text[]) AS n (old, new)
WHERE t.{column} = n.old
"""


@dataclass
class Rotated:
    """What a rotation did. `unreadable`: what no key opens."""

    sealed: int = 0
    unreadable: int = 0


class BlobStore(payloads.Blobs, Protocol):
    """Object storage that can list what it holds."""

    def keys(self, prefix: str) -> Iterator[str]: ...


def counts(conn: psycopg.Connection[Any]) -> dict[str, dict[str, int]]:
    """Envelopes by "table.column" and key id."""
    found: dict[str, dict[str, int]] = {}
    for column in SEALED:
        rows = conn.execute(_filled(COUNT, column)).fetchall()
        found[f"{column.table}.{column.column}"] = dict(rows)
    return found


def rotate_columns(
    conn: psycopg.Connection[Any],
    keyring: Keyring,
    columns: Sequence[SealedColumn] = SEALED,
    *,
    after_batch: Callable[[], None] = lambda: None,
) -> Rotated:
    """Seal anew what does not carry the current key. `after_batch` is called after each commit, and may break off."""
    done = Rotated()
    for column in columns:
        after: Any = None
        while True:
            with conn.transaction():
                parameters = {"header": keyring.header, "after": after, "batch": BATCH}
                rows = conn.execute(_filled(TAKE, column), parameters).fetchall()
                _seal_rows(conn, keyring, column, rows, done)
            if rows:
                after = rows[-1][0]
                after_batch()
            if len(rows) < BATCH:
                break
    return done


def _seal_rows(
    conn: psycopg.Connection[Any], keyring: Keyring, column: SealedColumn, rows: Sequence[Any], done: Rotated
) -> None:
    keys: list[Any] = []
    sealed: list[bytes] = []
    for key, envelope, tenant in rows:
        try:
            again = _again(keyring, bytes(envelope), tenant, column.purpose)
        except Permanent:
            done.unreadable += 1
            continue
        keys.append(key)
        sealed.append(again)
    if keys:
        conn.execute(_filled(PUT, column), {"keys": keys, "sealed": sealed})
        done.sealed += len(keys)


def rotate_objects(blobs: BlobStore, keyring: Keyring) -> Rotated:
    """The same for large payloads in the bucket; their key names the tenant."""
    done = Rotated()
    for prefix in (payloads.BLOB_PREFIX, offload.LONG_PREFIX):
        for key in blobs.keys(prefix):
            try:
                data = blobs.get(key)
                if keyring.key_of(data) != keyring.current:
                    blobs.put(key, _again(keyring, data, key.split("/")[1], payloads.PURPOSE))
                    done.sealed += 1
            except KeyError:
                continue  # it has expired since it was listed
            except Permanent:
                done.unreadable += 1
    return done


def rotate_credentials(admin: psycopg.Connection[Any], keyring: Keyring) -> Rotated:
    """Encrypt anew, in the platform's own format, the credentials that the previous key opens. As the tables' owner.

    Only once all applications know both keys: they read these columns. What the previous key does not open (the
    current one's values, those of other keys) is left as it is.
    """
    done = Rotated()
    if len(keyring.passphrases) < 2:
        return done
    for schema, table, column in admin.execute(CREDENTIAL_COLUMNS).fetchall():
        names = {"table": sql.Identifier(schema, table), "column": sql.Identifier(column)}
        after = "(0,0)"
        while True:
            parameters = {"after": after, "batch": CREDENTIALS_BATCH}
            rows = admin.execute(sql.SQL(TAKE_CREDENTIALS).format(**names), parameters).fetchall()
            pairs = [(old, new) for _, old in rows if (new := _encrypted_anew(old, keyring)) is not None]
            if pairs:
                values = {"old": [old for old, _ in pairs], "new": [new for _, new in pairs]}
                admin.execute(sql.SQL(PUT_CREDENTIALS).format(**names), values)
                done.sealed += len(pairs)
            if len(rows) < CREDENTIALS_BATCH:
                break
            after = rows[-1][0]
    return done


def _encrypted_anew(text: str, keyring: Keyring) -> str | None:
    current, previous = keyring.passphrases[:2]
    try:
        return encrypt_platform(decrypt_platform(text, previous), current)
    except Permanent:
        return None


def _again(keyring: Keyring, envelope: bytes, tenant: str, purpose: str) -> bytes:
    plain = keyring.open(envelope, aad=tenant.encode(), purpose=purpose)
    return keyring.seal(plain, aad=tenant.encode(), purpose=purpose)


def _filled(statement: str, column: SealedColumn) -> str:
    """The statement with the names of a column of SEALED: constants of this module, never data."""
    return statement.format(
        table=column.table, column=column.column, key=column.key, tenant=column.tenant, join=column.join
    )
