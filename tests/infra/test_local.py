"""The building blocks of scripts/dev: what is in the way is said in one sentence, and locks hold what they promise."""

from __future__ import annotations

import re
import socket
from pathlib import Path

import pytest

from scripts.local import ROOT, LocalError, deploy, engine, platform, postgres

LOCKS = ("requirements.lock", "requirements-lambda.lock", "requirements-engine.lock", "package-lock.json")


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(LocalError, match=f"port {port} is in use by another program"):
            engine.start(tmp_path / "engine", port)


def test_a_second_start_in_one_checkout_names_the_first(tmp_path: Path) -> None:
    with platform.only_one(tmp_path), pytest.raises(LocalError, match=r"running already .* \(process \d+\)"):
        platform.only_one(tmp_path)
    platform.only_one(tmp_path).close()  # free again


@pytest.mark.parametrize("given", ["x", "65536", "-1"])
def test_a_wrong_port_is_refused(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CGK_ENGINE_PORT", given)
    with pytest.raises(LocalError, match="is no port number"):
        platform.chosen_port()


def test_a_database_of_the_users_own_is_used_and_never_stopped() -> None:
    database = postgres.obtain({"DATABASE_URL": "postgresql://u@h/d"})
    assert database == postgres.Database("postgresql://u@h/d", "postgresql://u@h/d", None, started=False)
    admin = postgres.obtain({"DATABASE_URL": "postgresql://u@h/d", "DATABASE_ADMIN_URL": "postgresql://a@h/d"})
    assert admin.admin_url == "postgresql://a@h/d"


def test_a_path_with_a_space_keeps_the_database_elsewhere(tmp_path: Path) -> None:
    assert postgres.data_folder(Path("/home/ann/cgk/.dev")) == Path("/home/ann/cgk/.dev/postgres")
    assert " " not in str(postgres.data_folder(Path("/home/ann/my work/.dev")))


def test_equal_files_give_equal_zips(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a", encoding="utf-8")
    first = deploy.zipped(tmp_path)
    (tmp_path / "a.txt").touch()
    assert deploy.zipped(tmp_path) == first


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_pins_hashes_and_names_no_index(lock: str) -> None:
    text = (ROOT / lock).read_text(encoding="utf-8")
    assert "://" not in text
    assert "sha512-" in text if lock.endswith(".json") else "--hash=sha256:" in text


def test_functions_carry_the_versions_that_the_tests_ran_with() -> None:
    tested = _pins("requirements.lock")
    carried = _pins("requirements-lambda.lock")
    assert carried
    assert {name: tested.get(name) for name in carried} == carried


def _pins(lock: str) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9-]+)==([^\s;]+)", (ROOT / lock).read_text(encoding="utf-8"), re.MULTILINE))
