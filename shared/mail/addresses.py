"""Mail addresses: whether one can be written to, its hash, and how a sender is written."""

from __future__ import annotations

import hashlib
import re
from email.utils import parseaddr

MAX_ADDRESS = 254
"""Characters of an address, RFC 5321 with erratum 1690."""
_ADDRESS = re.compile(r"[^\s@<>,;:\"()\[\]\\\x00-\x1f\x7f]+@(?:[^\s@.<>,;:\"()\[\]\\]+\.)+[^\s@.<>,;:\"()\[\]\\]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")


def normalise(address: str) -> str:
    """The spelling by which addresses are compared: trimmed, lower case."""
    return address.strip().lower()


def is_address(address: str) -> bool:
    """One @, a domain with a dot, no spaces, at most MAX_ADDRESS characters. Says nothing about its existence."""
    return len(address) <= MAX_ADDRESS and _ADDRESS.fullmatch(address) is not None


def hash_address(address: str) -> str:
    """Hex SHA-256 of the normalised address: how the ledger and the suppressions name it."""
    return hashlib.sha256(normalise(address).encode()).hexdigest()


def domain_of(address: str) -> str:
    """The part after the @, lower case; '' when there is none."""
    return address.rpartition("@")[2].strip().lower().rstrip(".")


def split_sender(text: str | None) -> tuple[str, str]:
    """(display name, address) of `Name <address>` or a bare address; ('', '') when it holds none."""
    name, address = parseaddr(_CONTROL.sub("", text or ""))
    return (name, address) if is_address(address) else ("", "")


def written(name: str, address: str) -> str:
    r"""A sender as a header holds it: the name quoted, line breaks and other control characters removed.

    >>> written('Ann "A" Co', "ann@acme.test")
    '"Ann \\"A\\" Co" <ann@acme.test>'
    """
    plain = " ".join(_CONTROL.sub("", name).split())
    if not plain:
        return address
    quoted = plain.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{quoted}" <{address}>'
