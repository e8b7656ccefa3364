"""Does everything fit together: the file, the secrets, what is sealed in the database."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from scripts.owner import OwnerError, env_file
from scripts.owner.keys.commands import KEYS
from scripts.owner.keys.rotation import MARK
from scripts.owner.keys.sealing import StageSealer, sample_credentials
from scripts.owner.secrets import StageSecrets
from shared.crypto import MASTER_KEY, PREVIOUS_KEY, Keyring, decrypt_platform, encrypt_platform, key_id_of

MADE_HERE = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Seen:
    """A thing that was looked at."""

    ok: bool
    text: str


def of_file(path: Path) -> Iterator[Seen]:
    """Rights and keys of .env.local."""
    values = env_file.read(path)
    keys = {name: value for name, value in values.items() if name in KEYS}
    if not keys:
        yield Seen(True, f"{path.name} holds no keys")
        return
    loose = env_file.readable_by_others(path)
    yield Seen(not loose, f"{path.name} " + ("can be read by others: chmod 600 it" if loose else "has mode 600"))
    for name, value in keys.items():
        yield of_key(name, value, path.name)


def of_key(name: str, value: str, place: str) -> Seen:
    """A key is 32 bytes and does its work. An older passphrase of the platform's may have another form."""
    form = "32 bytes" if MADE_HERE.fullmatch(value) else f"a passphrase of {len(value)} characters"
    sealed = Keyring.single(value).seal(b"verify", aad=b"verify", purpose="verify")
    works = (
        Keyring.single(value).open(sealed, aad=b"verify", purpose="verify") == b"verify"
        and decrypt_platform(encrypt_platform("verify", value), value) == "verify"
    )
    long_enough = len(value) >= 32
    ok = works and long_enough
    return Seen(ok, f"{name} in {place}: {form}, id {key_id_of(value)}" + ("" if ok else "; too short, rotate it"))


def of_secrets(store: StageSecrets, path: Path) -> Iterator[Seen]:
    """The stage's secrets hold the keys, agree with each other and with the file."""
    jobs, admin = store.read("jobs"), store.read("admin")
    for which, members in (("jobs", jobs), ("admin", admin)):
        if not members.get(MASTER_KEY):
            yield Seen(False, f"{store.name(which)} holds no {MASTER_KEY}: push it")
    differing = sorted(n for n in (*KEYS, PREVIOUS_KEY, MARK, "DATABASE_URL") if jobs.get(n) != admin.get(n))
    yield Seen(
        not differing,
        f"{store.name('jobs')} and {store.name('admin')} "
        + (f"differ in {', '.join(differing)}: push or rotate again" if differing else "agree"),
    )
    for name, value in jobs.items():
        if name in KEYS:
            yield of_key(name, value, store.name("jobs"))
    file = env_file.read(path)
    others = sorted(n for n in KEYS if n in file and n in jobs and file[n] != jobs[n])
    if others:
        replace = " ".join(f"--replace {name}" for name in others)
        yield Seen(False, f"{path.name} holds another {', '.join(others)} than the stage: pull {replace}")
    if mark := jobs.get(MARK):
        yield Seen(True, f"a change of the key is under way: {mark}; go on with rotate")


def of_sealed(members: Mapping[str, str], sealer: StageSealer) -> Iterator[Seen]:
    """What is sealed in the database, some key of the stage opens."""
    keyring = keyring_of(members)
    known = {key_id_of(passphrase) for passphrase in keyring.passphrases}
    for column, keys in sealer.counts().items():
        strange = {key: n for key, n in keys.items() if key not in known}
        text = f"{column}: {sum(keys.values())} envelopes"
        if strange:
            yield Seen(False, f"{text}, {sum(strange.values())} of keys that are gone ({', '.join(sorted(strange))})")
        else:
            yield Seen(True, text)
    if admin_url := members.get("DATABASE_ADMIN_URL"):
        for column, (opened, tried) in sample_credentials(admin_url, keyring).items():
            yield Seen(opened == tried, f"{column}: {opened} of {tried} values that were tried can be opened")


def keyring_of(members: Mapping[str, str]) -> Keyring:
    """The keys of a secret; OwnerError when there is none."""
    if not members.get(MASTER_KEY):
        raise OwnerError(f"the stage has no {MASTER_KEY} yet: generate and push one")
    return Keyring.of({MASTER_KEY: members[MASTER_KEY], PREVIOUS_KEY: members.get(PREVIOUS_KEY, "")})
