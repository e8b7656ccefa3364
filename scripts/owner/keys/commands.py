"""generate, push, pull: moving values between .env.local and the secrets, never over another value in silence."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from scripts.owner import OwnerError, WrongUse, env_file
from scripts.owner.secrets import StageSecrets, holders
from shared.crypto import KEY_BYTES, MASTER_KEY, key_id_of
from shared.integrations.secret_formats import DRIVE_KEY, PROVIDER_KEYS

KEYS = (MASTER_KEY, DRIVE_KEY, *PROVIDER_KEYS.values())
"""Keys that can be made here; the others than the master key only where the applications use them."""
URLS = ("DATABASE_URL", "DATABASE_ADMIN_URL")
SETTINGS = (*KEYS, *URLS)
"""What push and pull move."""

What = Literal["new", "same", "replaced"]


@dataclass(frozen=True, slots=True)
class Moved:
    """One value that was, or in a dry run would be, written. `key_id`: of a key, else empty."""

    name: str
    place: str
    what: What
    key_id: str


def generate(path: Path, names: Sequence[str] = (MASTER_KEY,), *, replace: Collection[str] = ()) -> list[Moved]:
    """Make keys in the file; WrongUse when one is there and is not to be replaced."""
    for name in names:
        if name not in KEYS:
            raise WrongUse(f"{name} is no key; there are {', '.join(KEYS)}")
    there = env_file.read(path)
    made = {name: secrets.token_hex(KEY_BYTES) for name in names}
    moved = compare(made, there, path.name, replace)
    env_file.write(path, made)
    return moved


def push(store: StageSecrets, path: Path, *, replace: Collection[str] = (), dry_run: bool = False) -> list[Moved]:
    """Bring the file's settings into the secrets. All is compared before anything is written."""
    values = {name: value for name, value in env_file.read(path).items() if name in SETTINGS}
    if not values:
        raise OwnerError(f"{path.name} holds none of {', '.join(SETTINGS)}")
    moved: list[Moved] = []
    by_secret: dict[str, dict[str, str]] = {}
    for name, value in values.items():
        for which in holders(name):
            by_secret.setdefault(which, {})[name] = value
    for which, members in by_secret.items():
        moved += compare(members, store.read(which), store.name(which), replace)
    if not dry_run:
        for which, members in by_secret.items():
            store.write(which, members)
    return moved


def pull(store: StageSecrets, path: Path, *, replace: Collection[str] = (), dry_run: bool = False) -> list[Moved]:
    """Bring the stage's settings into the file."""
    found = {name: value for name, value in store.read("admin").items() if name in SETTINGS}
    found |= {name: value for name, value in store.read("jobs").items() if name in SETTINGS}
    if not found:
        raise OwnerError(
            f"the secrets {store.name('jobs')} and {store.name('admin')} hold none of {', '.join(SETTINGS)}"
        )
    moved = compare(found, env_file.read(path), path.name, replace)
    if not dry_run:
        env_file.write(path, found)
    return moved


def compare(values: Mapping[str, str], there: Mapping[str, str], place: str, replace: Collection[str]) -> list[Moved]:
    """What writing `values` over `there` would do; WrongUse when it would replace what was not named."""
    moved = [_moved(name, value, there.get(name), place) for name, value in values.items()]
    refused = [each.name for each in moved if each.what == "replaced" and each.name not in replace]
    if refused:
        hint = f"; to change {MASTER_KEY} of a stage use rotate" if MASTER_KEY in refused else ""
        named = " ".join(f"--replace {name}" for name in refused)
        raise WrongUse(f"{place} holds another {', '.join(refused)}; nothing was written. To replace it: {named}{hint}")
    return moved


def _moved(name: str, value: str, before: str | None, place: str) -> Moved:
    what: What = "new" if before is None else "same" if before == value else "replaced"
    return Moved(name, place, what, key_id_of(value) if name in KEYS else "")
