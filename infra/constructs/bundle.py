"""What a function is made of: its code, its libraries as a layer, the environment it needs to find them.

On AWS: one zip with `functions/` and `shared/`, one layer with the locked libraries, built by pip for Lambda's own
platform, without Docker. The local engine takes the checkout itself (infra/local_engine.py).

Reproducible: the same commit gives the same files, whatever the folder, the clock, the umask or the interpreter that
builds them, and so the same hash. So a second machine deploys nothing anew, and a rollback finds what was there.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import jsii
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3_assets as assets
from constructs import Construct

from infra.deployment import Deployment, DeploymentError
from infra.names import named

ROOT = Path(__file__).resolve().parents[2]
LOCK = ROOT / "requirements-lambda.lock"
"""What the functions carry: the project's own dependencies, at the versions of requirements.lock."""
PACKAGES = ("functions", "shared")
PYTHON = "3.13"
"""Lambda's Python; the runtime of the functions and the tag of the wheels."""
PLATFORMS = {"arm64": "aarch64", "x86_64": "x86_64"}
GLIBC_TAGS = ("manylinux_2_28", "manylinux2014", "manylinux_2_17")
"""Wheels that run on Lambda's Amazon Linux 2023 (glibc 2.34)."""
LEFT_OUT = ("shared/cli", "shared/fakes", "shared/jobs/testing", "shared/jobs/samples.py", "shared/jobs/reference.py")
"""What no function needs: the command line, stand-ins of vendors, tools of the tests and the documentation."""
FILE_MODE, FOLDER_MODE = 0o644, 0o755
"""Lambda reads as another user than the one that builds; a umask is no part of a commit."""
NO_INDEX = ("NewConnectionError", "NameResolutionError", "ConnectTimeoutError", "ProxyError")
"""How pip says that it cannot reach an index."""
LAYOUT = "2"
"""Of the layer: raised when install_libraries makes another thing of the same lock."""


@dataclass(frozen=True)
class FunctionCode:
    """Where a function finds its code: an asset, the layers, and environment variables."""

    asset: assets.Asset
    layers: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def property(self) -> lambda_.CfnFunction.CodeProperty:
        """The function's Code."""
        return lambda_.CfnFunction.CodeProperty(s3_bucket=self.asset.s3_bucket_name, s3_key=self.asset.s3_object_key)


def packaged_code(scope: Construct, deployment: Deployment) -> FunctionCode:
    """The code zip and the library layer of one stack; equal contents are built and uploaded once."""
    code = asset(scope, "code", source_hash(), copy_sources)
    architecture = deployment.architecture
    libraries = asset(
        scope, "libraries", libraries_hash(architecture), lambda out: install_libraries(out, architecture)
    )
    layer = lambda_.CfnLayerVersion(
        scope,
        "libraries-layer",
        layer_name=deployment.physical("libraries"),
        content=lambda_.CfnLayerVersion.ContentProperty(
            s3_bucket=libraries.s3_bucket_name, s3_key=libraries.s3_object_key
        ),
        compatible_architectures=[architecture],
        compatible_runtimes=[f"python{PYTHON}"],
    )
    named(layer, "libraries", "layer")
    return FunctionCode(code, [layer.ref])


def asset(scope: Construct, id: str, content_hash: str, build: Callable[[Path], None]) -> assets.Asset:
    """A zip that `build` fills; `content_hash` names it, so an unchanged one is neither built nor uploaded again."""
    return assets.Asset(
        scope,
        id,
        path=str(ROOT / "functions"),  # CDK wants a source folder; `build` decides what is in the zip
        asset_hash=content_hash,
        asset_hash_type=cdk.AssetHashType.CUSTOM,
        bundling=cdk.BundlingOptions(image=cdk.DockerImage.from_registry("unused"), local=_Local(build)),
    )


@jsii.implements(cdk.ILocalBundling)
class _Local:
    """Builds an asset in this process; Docker is never asked."""

    def __init__(self, build: Callable[[Path], None]) -> None:
        self.build = build

    def try_bundle(self, output_dir: str, *args: Any, **options: Any) -> bool:
        """Fill `output_dir`; True tells CDK that it is done."""
        self.build(Path(output_dir))
        return True


def source_files(root: Path = ROOT) -> list[Path]:
    """Files of the code, relative to the project, sorted: neither caches, hidden files, nor what no function needs."""
    found = [path.relative_to(root) for package in PACKAGES for path in (root / package).rglob("*") if path.is_file()]
    return sorted(path for path in found if _is_code(path))


def _is_code(path: Path) -> bool:
    if path.suffix == ".pyc" or any(part == "__pycache__" or part.startswith(".") for part in path.parts):
        return False
    return not any(path.is_relative_to(left) for left in LEFT_OUT)


def source_hash(root: Path = ROOT) -> str:
    """SHA-256 over names and contents of the code's files."""
    digest = hashlib.sha256()
    for path in source_files(root):
        digest.update(f"{path.as_posix()}\0".encode() + (root / path).read_bytes() + b"\0")
    return digest.hexdigest()


def libraries_hash(architecture: str) -> str:
    """SHA-256 of what decides the layer: the lock, Python, platform and our own way of building it."""
    return hashlib.sha256(f"{architecture} {PYTHON} {LAYOUT}\0".encode() + LOCK.read_bytes()).hexdigest()


def copy_sources(out: Path, root: Path = ROOT) -> None:
    """The code's files."""
    for path in source_files(root):
        (out / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(root / path, out / path)
    _level_modes(out)


def install_libraries(out: Path, architecture: str) -> None:
    """Wheels for Lambda's platform below `python/`, at the locked versions and checked against the locked hashes."""
    target = out / "python"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"]
    command += ["--target", str(target), "--no-compile", "--no-deps", "--require-hashes", "--requirement", str(LOCK)]
    command += ["--only-binary=:all:", "--implementation", "cp", "--python-version", PYTHON]
    for glibc in GLIBC_TAGS:
        command += ["--platform", f"{glibc}_{PLATFORMS[architecture]}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        if any(sign in done.stderr for sign in NO_INDEX):
            raise DeploymentError(f"pip could not reach the package index for the libraries of {architecture}")
        last = (done.stderr.strip() or "no message").splitlines()[-1]
        raise DeploymentError(f"pip could not build the libraries for {architecture}: {last}")
    level(target)


def level(target: Path) -> None:
    """Take out of an installation what speaks of the machine that made it: scripts, which name the interpreter that
    installed them, their lines in RECORD, and the order of the others."""
    shutil.rmtree(target / "bin", ignore_errors=True)
    for record in sorted(target.glob("*.dist-info/RECORD")):
        lines = record.read_text(encoding="utf-8").splitlines()
        kept = sorted(line for line in lines if not line.startswith(("bin/", "../../bin/")))
        record.write_text("\n".join([*kept, ""]), encoding="utf-8")
    _level_modes(target)


def _level_modes(folder: Path) -> None:
    folder.chmod(FOLDER_MODE)
    for path in folder.rglob("*"):
        path.chmod(FOLDER_MODE if path.is_dir() else FILE_MODE)
