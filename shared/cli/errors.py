"""The two ways in which a command does not succeed; `main` prints the sentence on stderr."""

from __future__ import annotations

import re

DEBUG = "CGK_DEBUG"
"""Set to anything, an error comes with its traceback."""
WRONG_USE = ("SendRefused", "SlugRefused", "SettingError", "DeclarationError")
"""Errors of our own whose cause is what the user gave; their text is a sentence already."""


class UsageError(Exception):
    """Wrong use: an unknown name, a payload that does not fit, a setting that is missing. Exit code 2."""


class Failure(Exception):
    """The command could not do its work, or the job failed. Exit code 1."""


def nearest(word: str, known: list[str]) -> str:
    """`; did you mean a or b?`, nothing when no known word is near."""
    import difflib

    close = difflib.get_close_matches(word, known, n=3, cutoff=0.5)
    return f"; did you mean {' or '.join(close)}?" if close else ""


def explain(error: Exception, *, from_dev: bool = False) -> tuple[int, str]:
    """Exit code and sentence for an error. Libraries are told by their names: importing them would cost start-up."""
    names = {kind.__name__ for kind in type(error).__mro__}
    packages = {kind.__module__.partition(".")[0] for kind in type(error).__mro__}
    text = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    if isinstance(error, UsageError) or names & set(WRONG_USE):
        return 2, text
    if isinstance(error, Failure) or names & {"JobError", "MigrationFailed", "SendFailed"}:
        return 1, text
    if "psycopg" in packages:
        return 1, _database(error, text, from_dev)
    if "botocore" in packages:
        hint = "; is scripts/dev still running?" if from_dev else ""
        if names & {"NoRegionError", "NoCredentialsError"}:
            hint = " Set AWS_REGION and credentials, or start scripts/dev, whose settings are then used"
        return 1, f"AWS: {text}{hint}"
    return 1, f"{type(error).__name__}: {text} (set {DEBUG}=1 for the traceback)"


def _database(error: Exception, text: str, from_dev: bool) -> str:
    state = getattr(error, "sqlstate", None)
    if state in ("42P01", "3F000"):
        return f"the database lacks what the jobs need ({text}): run `cgk-jobs db migrate`"
    if re.search(r'role ".*" (does not exist|is not permitted to log in)|password authentication failed', text):
        return f"the database does not let this login in ({text}): run `cgk-jobs db migrate` and `cgk-jobs db login`"
    if state is None:
        hint = "; is scripts/dev still running?" if from_dev else ""
        return f"the database cannot be reached: {text}{hint}"
    return f"the database refused: {text}"
