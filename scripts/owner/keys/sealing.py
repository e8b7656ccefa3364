"""The stage's database and bucket, for sealing anew (shared/jobs/rotation.py does it)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from scripts.owner import OwnerError
from shared.crypto import Keyring
from shared.db.connections import connect
from shared.jobs import rotation
from shared.jobs.rotation import BlobStore, Rotated

APPLICATION = "scripts/keys"


class StageSealer:
    """Seals anew as the jobs' own login, credentials as the owner of their tables."""

    def __init__(
        self,
        database_url: str,
        admin_url: str | None,
        blobs: Callable[[], BlobStore],
        *,
        after_batch: Callable[[], None] = lambda: None,
    ) -> None:
        self._url, self._admin_url, self._blobs, self._after_batch = database_url, admin_url, blobs, after_batch

    def columns(self, keyring: Keyring) -> Rotated:
        """Envelopes in schema jobs."""
        with connect(self._url, application_name=APPLICATION) as conn:
            return rotation.rotate_columns(conn, keyring, after_batch=self._after_batch)

    def objects(self, keyring: Keyring) -> Rotated:
        """Large payloads in the bucket."""
        return rotation.rotate_objects(self._blobs(), keyring)

    def credentials(self, keyring: Keyring) -> Rotated:
        """The tenants' credentials, in the platform's own format."""
        if not self._admin_url:
            raise OwnerError("DATABASE_ADMIN_URL is not in the stage's secret: credentials are the owner's to change")
        with connect(self._admin_url, application_name=APPLICATION) as admin:
            return rotation.rotate_credentials(admin, keyring)

    def counts(self) -> Mapping[str, Mapping[str, int]]:
        """Envelopes by column and key id."""
        with connect(self._url, application_name=APPLICATION) as conn:
            return rotation.counts(conn)


def sample_credentials(admin_url: str, keyring: Keyring) -> dict[str, tuple[int, int]]:
    """Per column of credentials: how many of its first values some key opens, and how many were tried."""
    from psycopg import sql

    found: dict[str, tuple[int, int]] = {}
    with connect(admin_url, application_name=APPLICATION) as admin:
        for schema, table, column in admin.execute(rotation.CREDENTIAL_COLUMNS).fetchall():
            names = {"table": sql.Identifier(schema, table), "column": sql.Identifier(column)}
            statement = sql.SQL(rotation.TAKE_CREDENTIALS).format(**names)
            rows: list[Any] = admin.execute(
                statement, {"after": "(0,0)", "batch": rotation.CREDENTIALS_BATCH}
            ).fetchall()
            if rows:
                found[f"{schema}.{table}.{column}"] = (sum(_opens(text, keyring) for _, text in rows), len(rows))
    return found


def _opens(text: str, keyring: Keyring) -> bool:
    from shared.crypto import decrypt_platform
    from shared.jobs.errors import Permanent

    for passphrase in keyring.passphrases:
        try:
            decrypt_platform(text, passphrase)
        except Permanent:
            continue
        return True
    return False
