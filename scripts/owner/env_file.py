""".env.local: NAME=value lines that only their owner may read.

Written whole to a new file of mode 600 that then takes the old one's place, so that a crash leaves either the old text
or the new one, and no moment at which others could read it. Lines that are no settings stay as they are.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from scripts.owner import OwnerError
from shared.cli.platform import read_env_file

MODE = 0o600


def read(path: Path) -> dict[str, str]:
    """The settings of the file; empty when there is none."""
    return read_env_file(path)


def write(path: Path, values: Mapping[str, str]) -> None:
    """Set these names, keep everything else; OwnerError for a value that no line can hold."""
    for name, value in values.items():
        if not value or any(letter in value for letter in "\n\r\0") or value[0] in "'\"" or value != value.strip():
            raise OwnerError(f"the value of {name} cannot stand in {path.name}")
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    left = dict(values)
    for n, line in enumerate(lines):
        name = line.strip().removeprefix("export ").partition("=")[0]
        if name in left:
            lines[n] = f"{name}={left.pop(name)}"
    _replace(path, "\n".join([*lines, *(f"{name}={value}" for name, value in left.items()), ""]))


def _replace(path: Path, text: str) -> None:
    folder = path.parent / ".dev"  # git ignores it: whatever a kill leaves there is not committed
    folder.mkdir(exist_ok=True)
    beside = folder / f"{path.name}.{os.getpid()}.tmp"
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, MODE)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), MODE)  # whatever the umask says
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def readable_by_others(path: Path) -> bool:
    """Whether group or others have any right on the file."""
    return path.exists() and bool(stat.S_IMODE(path.stat().st_mode) & 0o077)
