"""Secrets never reach a line, in whatever way they got into the record."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from shared.jobs import logs

PASSWORD = "p@ss/word:1234"
SECRETS = {
    "DATABASE_URL": "postgresql://cgk_jobs:p%40ss%2Fword%3A1234@db.example:5432/cgk",
    "INTEGRATION_ENCRYPTION_KEY": 'key-with-"quotes"-and-\\-0123456789',
    "SHORT": "abc",
    "EMPTY": "",
}
HIDDEN = [SECRETS["DATABASE_URL"], SECRETS["INTEGRATION_ENCRYPTION_KEY"], PASSWORD, "p%40ss%2Fword%3A1234"]


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], str]]:
    """What the functions' own logging would print; the root logger is given back afterwards."""
    root, out = logging.getLogger(), io.StringIO()
    handlers, level = root.handlers[:], root.level
    monkeypatch.setattr(logs, "_configured", False)
    monkeypatch.setattr(logs, "_hidden", set())
    monkeypatch.setattr("sys.stdout", out)
    logs.configure("cgk-test")
    logs.hide(SECRETS)
    yield out.getvalue
    root.handlers[:], root.level = handlers, level


class Thing:
    def __repr__(self) -> str:
        return f"Thing({SECRETS['DATABASE_URL']})"


def _raise(text: str) -> None:
    try:
        raise ValueError(text)
    except ValueError:
        logging.getLogger("cgk.jobs").exception("failed with %s", text)


WAYS: dict[str, Callable[[str], None]] = {
    "message": lambda text: logging.getLogger("any").info("it is " + text),
    "argument": lambda text: logging.getLogger("any").info("it is %s", text),
    "named argument": lambda text: logging.getLogger("any").info("it is %(x)s", {"x": text}),
    "extra": lambda text: logging.getLogger("cgk.jobs").info("run", extra={"detail": text}),
    "extra inside": lambda text: logging.getLogger("cgk.jobs").info(
        "run", extra={"detail": {"a": [text, ("b", text)]}}
    ),
    "exception": _raise,
    "object": lambda text: logging.getLogger("any").warning("%s", Thing()),
    "extra object": lambda text: logging.getLogger("any").warning("x", extra={"thing": Thing()}),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("secret", HIDDEN, ids=["url", "key", "password", "password as it stands in the url"])
def test_secret_is_not_printed(lines: Callable[[], str], way: str, secret: str) -> None:
    WAYS[way](secret)

    printed = lines()
    assert printed.strip()
    for value in HIDDEN:
        assert value not in printed
        assert json.dumps(value)[1:-1] not in printed
    assert logs.HIDDEN in printed


def test_line_stays_json_and_keeps_what_is_no_secret(lines: Callable[[], str]) -> None:
    logging.getLogger("cgk.jobs").info("run", extra={"job": "toy-play", "note": f"abc {PASSWORD} ä"})

    line = json.loads(lines())
    assert (line["message"], line["job"], line["note"]) == ("run", "toy-play", f"abc {logs.HIDDEN} ä")


def test_record_itself_is_clean_for_handlers_that_come_later(lines: Callable[[], str]) -> None:
    seen: list[logging.LogRecord] = []

    class Later(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append(record)

    later = Later()
    logging.getLogger().addHandler(later)
    try:
        logging.getLogger("any").info("%s", PASSWORD, extra={"detail": [PASSWORD]})
    finally:
        logging.getLogger().removeHandler(later)

    assert PASSWORD not in str(vars(seen[0]))


def test_no_secret_is_in_what_a_run_could_show(make_bench: Any) -> None:
    """The repr of a pipeline's parts is what a debugger or an assertion prints."""
    from tests import toys as toy_jobs

    bench = make_bench(toy_jobs.REGISTRY)

    shown = repr(bench.fast) + repr(bench.keyring) + repr(bench.relay) + repr(bench.vault)
    assert bench.secrets["INTEGRATION_ENCRYPTION_KEY"] not in shown
