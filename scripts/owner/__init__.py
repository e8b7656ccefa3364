"""Tools of the owner of an installation: keys, settings from Vercel, publishers for the applications.

None of them prints a secret: a key is shown by its id (shared.crypto.key_id_of), any other value not at all.
"""

from __future__ import annotations


class OwnerError(Exception):
    """The work could not be done; one sentence for the person in front of the terminal. Exit code 1."""


class WrongUse(OwnerError):
    """What was asked cannot be meant, or needs a word more. Exit code 2."""
