"""What a function is made of: its code, its libraries as a layer, the environment it needs to find them.

On AWS: one zip with `functions/` and `shared/`, one layer with the locked libraries, built by pip for Lambda's own
platform, without Docker. The local engine takes the checkout itself (infra/local_engine.py).
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
LEFT_OUT = ("__pycache__", "*.pyc")


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


def source_hash() -> str:
    """SHA-256 over names and contents of the code's files."""
    digest = hashlib.sha256()
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*")):
            if path.is_file() and path.suffix != ".pyc":
                digest.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()


def libraries_hash(architecture: str) -> str:
    """SHA-256 of what decides the layer: the lock, Python and platform."""
    return hashlib.sha256(f"{architecture} {PYTHON}\0".encode() + LOCK.read_bytes()).hexdigest()


def copy_sources(out: Path) -> None:
    """The packages as they are, without caches."""
    for package in PACKAGES:
        shutil.copytree(ROOT / package, out / package, ignore=shutil.ignore_patterns(*LEFT_OUT))


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
        last = (done.stderr.strip() or "no message").splitlines()[-1]
        raise DeploymentError(f"pip could not build the libraries for {architecture}: {last}")
    shutil.rmtree(target / "bin", ignore_errors=True)
