"""Start, find and stop the local AWS engine (scripts/engine.py in `.engine-venv`)."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from scripts.local import DEV, ROOT, LocalError

PYTHON = ROOT / ".engine-venv" / "bin" / "python"
LAUNCHER = ROOT / "scripts" / "engine.py"
PORT = 4566
"""Where scripts/dev's engine listens unless CGK_ENGINE_PORT says otherwise."""
REGION = "us-east-1"
START_S = 20.0  # it is healthy after half a second; a loaded machine may take longer
STOP_S = 10.0
POLL_S = 0.05


@dataclass(frozen=True)
class Engine:
    """A running engine that this process started."""

    process: subprocess.Popen[bytes]
    port: int
    folder: Path

    @property
    def endpoint(self) -> str:
        """Address of all AWS APIs."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        """Output of the engine and of its functions' workers."""
        return self.folder / "engine.log"

    def stop(self) -> None:
        """End the engine and its workers; returns when they are gone."""
        _end(self.process.pid, self.process)
        (self.folder / "engine.json").unlink(missing_ok=True)


def client_environment(endpoint: str) -> dict[str, str]:
    """Variables with which any AWS client (boto3, the CDK CLI) talks to the engine and to nothing else."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def start(folder: Path = DEV / "engine", port: int = 0) -> Engine:
    """Start an engine that keeps its files in `folder`; port 0 takes a free one. Raises LocalError.

    It gets a minimal environment: functions inherit all of it, and what CDK forgot to set must not be found there.
    Files of an earlier engine in `folder` are removed; an engine that an earlier process left there is ended.
    """
    if not PYTHON.exists():
        raise LocalError("the engine's environment .engine-venv is missing: run scripts/dev or scripts/bootstrap.py")
    end_left_over(folder)
    chosen = port or _free_port()
    if _taken(chosen):
        raise LocalError(f"port {chosen} is in use by another program: end it, or set CGK_ENGINE_PORT to a free port")
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "tmp").mkdir(parents=True)
    with (folder / "engine.log").open("wb") as log:
        process = subprocess.Popen(
            [str(PYTHON), str(LAUNCHER)],
            env=_environment(folder, chosen),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for scripts/dev, which then stops the engine in order
        )
    engine = Engine(process, chosen, folder)
    (folder / "engine.json").write_text(json.dumps({"pid": process.pid, "port": chosen}), encoding="utf-8")
    _await_health(engine)
    return engine


def healthy(endpoint: str) -> bool:
    """Whether an engine answers there."""
    try:
        with urllib.request.urlopen(f"{endpoint}/_ministack/health", timeout=2) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def running(folder: Path = DEV / "engine") -> str | None:
    """The address of the engine that lives in `folder`, None when none runs."""
    found = _read_state(folder)
    if found is None or not _is_engine(found["pid"]):
        return None
    endpoint = f"http://127.0.0.1:{found['port']}"
    return endpoint if healthy(endpoint) else None


def end_left_over(folder: Path = DEV / "engine") -> int | None:
    """End the engine that a killed process left in `folder`; its process id, None when there was none."""
    found = _read_state(folder)
    if found is None or not _is_engine(found["pid"]):
        return None
    _end(found["pid"], None)
    return found["pid"]


def _environment(folder: Path, port: int) -> dict[str, str]:
    return {
        "PATH": os.defpath,
        "LANG": "C.UTF-8",
        "HOME": str(folder),
        "TMPDIR": str(folder / "tmp"),
        "PYTHONUNBUFFERED": "1",
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "MINISTACK_REGION": REGION,
        "LOG_LEVEL": "WARNING",
    }


def _await_health(engine: Engine) -> None:
    until = time.monotonic() + START_S
    while not healthy(engine.endpoint):
        if engine.process.poll() is not None:
            raise LocalError(f"the engine ended while it started: {_last_line(engine.log)} (all of it: {engine.log})")
        if time.monotonic() > until:
            engine.stop()
            raise LocalError(f"the engine did not answer within {START_S:.0f} s; its log is {engine.log}")
        time.sleep(POLL_S)


def _end(pid: int, process: subprocess.Popen[bytes] | None) -> None:
    """SIGTERM, which ends the workers too; after STOP_S the whole session is killed."""
    try:
        os.kill(pid, signal.SIGTERM)
    except ProcessLookupError:
        return
    until = time.monotonic() + STOP_S
    while time.monotonic() < until:
        if (process.poll() is not None) if process else not _is_engine(pid):
            return
        time.sleep(POLL_S)
    os.killpg(pid, signal.SIGKILL)  # the engine leads a session of its own
    if process:
        process.wait()


def _is_engine(pid: int) -> bool:
    """Whether `pid` is an engine of this checkout, not a stranger who got the number later."""
    shown = subprocess.run(
        ["ps", "-o", "stat=,args=", "-p", str(pid)], capture_output=True, text=True, check=False
    ).stdout
    return str(LAUNCHER) in shown and not shown.startswith("Z")  # Z: dead, its parent has not looked yet


def _read_state(folder: Path) -> dict[str, int] | None:
    try:
        found = json.loads((folder / "engine.json").read_text(encoding="utf-8"))
        return {"pid": int(found["pid"]), "port": int(found["port"])}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _last_line(path: Path) -> str:
    lines = path.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"
