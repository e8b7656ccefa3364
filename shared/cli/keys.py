"""cgk-jobs keys: which key sealed what, and sealing anew after a change of the master key."""

from __future__ import annotations

from argparse import Namespace

from shared.cli.errors import UsageError
from shared.cli.output import Printer
from shared.cli.platform import Platform
from shared.db.connections import connect
from shared.jobs import rotation
from shared.jobs.rotation import Rotated


def status(platform: Platform, printer: Printer, arguments: Namespace) -> None:
    """{"current": key id, "columns": {"table.column": {key id: envelopes}}}."""
    current, found = platform.keyring.current, rotation.counts(platform.database())
    if printer.as_json:
        printer.json({"current": current, "columns": found})
        return
    rows = [
        [column, key_id, n, "current" if key_id == current else ""]
        for column, keys in found.items()
        for key_id, n in keys.items()
    ]
    printer.table(["COLUMN", "KEY", "ENVELOPES", ""], rows, nothing="nothing is sealed yet")


def rotate(platform: Platform, printer: Printer, arguments: Namespace) -> int:
    """{"columns": {"sealed", "unreadable"}, "objects": .., "credentials": ..}; exit 1 when something is unreadable."""
    keyring = platform.keyring
    done = {"columns": rotation.rotate_columns(platform.database(), keyring)}
    if arguments.objects:
        done["objects"] = rotation.rotate_objects(platform.blobs, keyring)
    if arguments.credentials:
        if len(keyring.passphrases) < 2:
            raise UsageError("INTEGRATION_ENCRYPTION_KEY_PREVIOUS is not set: there is no key to change from")
        with connect(platform.admin_url, application_name="cgk-jobs cli") as admin:
            done["credentials"] = rotation.rotate_credentials(admin, keyring)
    if printer.as_json:
        printer.json(done)
    else:
        _print(printer, done)
    return 1 if any(part.unreadable for part in done.values()) else 0


def _print(printer: Printer, done: dict[str, Rotated]) -> None:
    for what, part in done.items():
        left = f", {part.unreadable} cannot be opened by any key" if part.unreadable else ""
        printer.line(f"{what}: {part.sealed} sealed anew with the current key{left}")
