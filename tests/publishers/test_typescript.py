"""publishers/typescript: compiles, refuses what its types refuse, and its own tests pass."""

from __future__ import annotations

import json

import pytest

from scripts.owner.publishers import packages

pytestmark = pytest.mark.usefixtures("node_packages")
TSC = "node_modules/typescript/bin/tsc"


def test_sources_samples_and_refusals_compile() -> None:
    done = packages.node(TSC, "--noEmit")

    assert (done.returncode, done.stdout) == (0, "")


def test_own_tests_pass_on_node() -> None:
    done = packages.node("--test", "test/publisher.test.mjs")

    assert done.returncode == 0, done.stdout


def test_build_is_plain_esm_with_types(tmp_path: pytest.TempPathFactory) -> None:
    done = packages.node(TSC, "-p", "tsconfig.build.json", "--outDir", str(tmp_path))

    assert (done.returncode, done.stdout) == (0, "")
    script = f"import({json.dumps(f'file://{tmp_path}/events.js')}).then(m => console.log(m.APP_EVENT_NAMES.length))"
    assert int(packages.node("-e", script).stdout) > 0


def test_lock_names_no_registry() -> None:
    lock = json.loads((packages.FOLDER / "package-lock.json").read_text(encoding="utf-8"))

    assert [name for name, package in lock["packages"].items() if "resolved" in package] == []
