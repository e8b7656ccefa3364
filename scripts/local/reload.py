"""Run edited code with the next message: a saved file below functions/ or shared/ makes the engine load it anew.

The engine keeps workers warm and finds the code by PYTHONPATH, so it does not notice an edit; uploading the function's
(unchanged) stub zip again ends its workers.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path

from infra.local_engine import STUB
from scripts.local import ROOT
from scripts.local.deploy import client, zipped

WATCHED = (ROOT / "functions", ROOT / "shared")
DEBOUNCE_MS = 200  # editors write a file in several steps

log = logging.getLogger("cgk.local.reload")


def reload_functions(endpoint: str, prefix: str = "cgk") -> list[str]:
    """Make all functions of the app load their code anew; their names."""
    functions = client("lambda", endpoint)
    pages = functions.get_paginator("list_functions").paginate()
    names = [
        f["FunctionName"] for page in pages for f in page["Functions"] if f["FunctionName"].startswith(f"{prefix}-")
    ]
    code = zipped(STUB)
    for name in names:
        functions.update_function_code(FunctionName=name, ZipFile=code)
    return names


def watch(
    endpoint: str, stop: threading.Event, changed: Callable[[set[Path]], None] = lambda paths: None, prefix: str = "cgk"
) -> None:
    """Reload on each saved Python or SQL file until `stop` is set; `changed` hears of the files after the reload."""
    import watchfiles

    def concerns(change: watchfiles.Change, path: str) -> bool:
        return path.endswith((".py", ".sql"))

    for changes in watchfiles.watch(
        *WATCHED, watch_filter=concerns, stop_event=stop, debounce=DEBOUNCE_MS, raise_interrupt=False
    ):
        try:
            reload_functions(endpoint, prefix)
        except OSError as error:
            log.warning("the engine could not reload: %s", error)
            continue
        changed({Path(path) for _, path in changes})


def start_watching(endpoint: str, changed: Callable[[set[Path]], None]) -> threading.Event:
    """Watch in a thread of its own; set the returned event to end it."""
    stop = threading.Event()
    threading.Thread(target=watch, args=(endpoint, stop, changed), name="reload", daemon=True).start()
    return stop
