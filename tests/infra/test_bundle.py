"""What is packed for Lambda: the same from the same commit wherever it is built, complete, within Lambda's limits."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from infra.constructs import bundle
from infra.deployment import DeploymentError
from scripts.local.deploy import zipped
from scripts.owner.deploying.assembly import MAX_UNZIPPED_BYTES, MAX_ZIP_BYTES
from tests.conftest import unavailable

LOADED = """
import functions, shared
from importlib import import_module
from shared.jobs.registry import load_registry
assert functions.__path__[0].startswith(FOLDER) and shared.__path__[0].startswith(FOLDER)
for job in (registry := load_registry()):
    import_module(f"functions.{job.category}.handler")
import_module("functions.kernel.handler")
print(len(registry))
"""


def checkout(folder: Path, umask: int, mtime: int) -> Path:
    """A copy of what is packed, as another machine would have it."""
    before = os.umask(umask)
    try:
        for path in bundle.source_files():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes((bundle.ROOT / path).read_bytes())
            os.utime(folder / path, (mtime, mtime))
    finally:
        os.umask(before)
    return folder


def content(folder: Path) -> list[tuple[str, int, bytes]]:
    """Names, modes and bytes of all files and folders."""
    found = sorted(folder.rglob("*"))
    return [
        (str(p.relative_to(folder)), p.stat().st_mode & 0o777, b"" if p.is_dir() else p.read_bytes()) for p in found
    ]


def test_the_same_commit_gives_the_same_code_in_another_folder_at_another_time(tmp_path: Path) -> None:
    one = checkout(tmp_path / "one", 0o022, 1_000_000_000)
    other = checkout(tmp_path / "deeper" / "other", 0o077, 1_700_000_000)

    for root in (one, other):
        bundle.copy_sources(root / "out", root)

    assert bundle.source_hash(one) == bundle.source_hash(other) == bundle.source_hash()
    assert content(one / "out") == content(other / "out")
    assert zipped(one / "out") == zipped(other / "out")


def test_caches_hidden_files_and_what_no_function_needs_are_no_part_of_the_code(tmp_path: Path) -> None:
    (tmp_path / "functions").mkdir()
    (tmp_path / "functions" / "orders.py").write_text("ORDERS = 1\n", encoding="utf-8")
    before = bundle.source_hash(tmp_path)
    for other in (
        "functions/__pycache__/orders.cpython-313.pyc",
        "functions/.orders.py.swp",
        "shared/.mypy_cache/x.json",
        "shared/cli/main.py",
        "shared/fakes/shop.py",
        "shared/jobs/testing/bench.py",
    ):
        path = tmp_path / other
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("noise", encoding="utf-8")

    assert bundle.source_files(tmp_path) == [Path("functions/orders.py")]
    assert bundle.source_hash(tmp_path) == before
    (tmp_path / "functions" / "orders.py").write_text("ORDERS = 2\n", encoding="utf-8")
    assert bundle.source_hash(tmp_path) != before


def test_nothing_packed_imports_what_is_left_out_even_late() -> None:
    left_out = "|".join(re.escape(path.removesuffix(".py").replace("/", ".")) for path in bundle.LEFT_OUT)
    imports = re.compile(rf"^\s*(from|import) ({left_out})\b", re.MULTILINE)
    packed = [bundle.ROOT / path for path in bundle.source_files() if path.suffix == ".py"]
    assert [path.name for path in packed if imports.search(path.read_text(encoding="utf-8"))] == []


def test_the_packed_code_loads_every_job_and_handler_without_the_checkout(tmp_path: Path) -> None:
    bundle.copy_sources(tmp_path)
    environment = {"PYTHONPATH": str(tmp_path), "PATH": os.defpath, "PYTHONDONTWRITEBYTECODE": "1"}
    program = f"FOLDER = {str(tmp_path)!r}\n{LOADED}"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 0


def test_an_installation_keeps_nothing_of_the_machine_that_made_it(tmp_path: Path) -> None:
    for name, shebang, order in (("one", "aaaa", 1), ("other", "bbbb", -1)):
        info = tmp_path / name / "vendor-1.0.dist-info"
        info.mkdir(parents=True)
        (tmp_path / name / "bin").mkdir()
        (tmp_path / name / "bin" / "tool").write_text(f"#!/{shebang}/python\n", encoding="utf-8")
        lines = ["vendor.py,sha256=x,10", f"../../bin/tool,sha256={shebang},20", "vendor-1.0.dist-info/RECORD,,"]
        (info / "RECORD").write_text("\n".join(lines[::order]) + "\n", encoding="utf-8")
        (info / "RECORD").chmod(0o600 if order > 0 else 0o664)
        bundle.level(tmp_path / name)

    assert content(tmp_path / "one") == content(tmp_path / "other")
    kept = (tmp_path / "one" / "vendor-1.0.dist-info" / "RECORD").read_text(encoding="utf-8")
    assert kept == "vendor-1.0.dist-info/RECORD,,\nvendor.py,sha256=x,10\n"


@pytest.mark.engine
def test_the_libraries_are_the_same_twice_and_fit_into_lambda_with_the_code(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    before = os.umask(0o022)
    try:
        bundle.install_libraries(first, "arm64")
        os.umask(0o077)
        bundle.install_libraries(second, "arm64")
    except DeploymentError as error:
        if "could not reach" in str(error):
            unavailable(error)
        raise
    finally:
        os.umask(before)
    bundle.copy_sources(tmp_path / "code")
    everything = [file for folder in (first, tmp_path / "code") for file in folder.rglob("*") if file.is_file()]

    assert content(first) == content(second)
    assert len(zipped(first)) + len(zipped(tmp_path / "code")) < MAX_ZIP_BYTES
    assert sum(file.stat().st_size for file in everything) < MAX_UNZIPPED_BYTES
