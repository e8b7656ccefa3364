"""The assembly on disk: how large the functions' packages are, and what of it is kept."""

from __future__ import annotations

import io
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import pytest

from scripts.owner import OwnerError
from scripts.owner.deploying.assembly import MAX_ZIP_BYTES, Assembly, Package, unpack


def an_asset(folder: Path, name: str, size: int) -> dict[str, Any]:
    (folder / f"asset.{name}").mkdir()
    (folder / f"asset.{name}" / "data").write_bytes(os.urandom(size))  # does not compress
    destination = {"here": {"bucketName": "assets", "objectKey": f"{name}.zip"}}
    return {"source": {"path": f"asset.{name}", "packaging": "zip"}, "destinations": destination}


def a_function(name: str, layers: list[str]) -> dict[str, Any]:
    code = {"S3Bucket": "assets", "S3Key": "code.zip"}
    layer_refs = [{"Ref": layer} for layer in layers]
    return {
        "Type": "AWS::Lambda::Function",
        "Properties": {"FunctionName": name, "Code": code, "Layers": layer_refs},
    }


@pytest.fixture
def assembly(tmp_path: Path) -> Assembly:
    """Two stacks of three functions, which share code and libraries; one has no libraries."""
    files = {name: an_asset(tmp_path, name, size) for name, size in (("code", 1000), ("libraries", 50_000))}
    content = {"S3Bucket": "assets", "S3Key": "libraries.zip"}
    layer = {"Type": "AWS::Lambda::LayerVersion", "Properties": {"Content": content}}
    stacks: dict[str, dict[str, Any]] = {
        "cgk-orders": {"Fast": a_function("cgk-orders-fast", ["Layer"]), "Plain": a_function("cgk-plain", [])},
        "cgk-kernel": {"Sweep": a_function("cgk-kernel-sweep", ["Layer"])},
    }
    for stack, functions in stacks.items():
        text = json.dumps({"Resources": {"Layer": layer, **functions}})
        (tmp_path / f"{stack}.template.json").write_text(text, encoding="utf-8")
        (tmp_path / f"{stack}.assets.json").write_text(json.dumps({"files": files}), encoding="utf-8")
    artifact = {
        "type": "aws:cloudformation:stack",
        "additionalMetadataFile": "x.json",
        "metadata": {"/": ["/home/ann"]},
    }
    artifacts = {
        "cgk-kernel": {**artifact, "dependencies": ["cgk-orders"]},
        "cgk-orders": {**artifact, "dependencies": ["cgk-orders.assets"]},
        "Tree": {"type": "cdk:tree"},
    }
    (tmp_path / "manifest.json").write_text(json.dumps({"version": "1", "artifacts": artifacts}), encoding="utf-8")
    (tmp_path / "cdk.out").write_text('{"version": "1"}', encoding="utf-8")
    return Assembly(tmp_path)


def test_each_function_has_the_size_of_its_code_and_its_libraries(assembly: Assembly) -> None:
    plain, full = assembly.packages()
    assert plain.functions == ("cgk-plain",)
    assert full.functions == ("cgk-kernel-sweep", "cgk-orders-fast")
    assert (plain.unzipped, full.unzipped) == (1000, 51_000)
    assert (plain.libraries, plain.zipped) == (0, plain.code)
    assert full.code == plain.code == pytest.approx(1000, abs=200)
    assert full.libraries == pytest.approx(50_000, abs=500)
    assert full.fits


@pytest.mark.parametrize(
    ("code", "libraries", "unzipped", "fits"),
    [(1, 2, 3, True), (MAX_ZIP_BYTES, 1, 3, False), (1, 2, 251 * 1024 * 1024, False)],
)
def test_a_package_must_be_within_lambdas_limits(code: int, libraries: int, unzipped: int, fits: bool) -> None:
    assert Package(("a",), code, libraries, unzipped).fits is fits


def test_stacks_come_after_those_they_depend_on(assembly: Assembly) -> None:
    assert assembly.stacks == ("cgk-orders", "cgk-kernel")


def test_what_is_kept_holds_the_templates_and_no_path_of_this_machine(assembly: Assembly, tmp_path: Path) -> None:
    packed = assembly.pack()
    kept = unpack(packed, tmp_path / "kept")
    assert kept.stacks == assembly.stacks
    assert [kept.digest(stack) for stack in kept.stacks] == [assembly.digest(stack) for stack in assembly.stacks]
    assert not list(kept.folder.glob("asset.*"))
    assert b"/home/ann" not in b"".join(path.read_bytes() for path in kept.folder.iterdir())
    assert assembly.pack() == packed


def test_a_stored_archive_writes_nowhere_else(tmp_path: Path) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("../outside", "x")
    with pytest.raises(OwnerError, match="the stored deployment is damaged"):
        unpack(out.getvalue(), tmp_path / "inside")
    assert not (tmp_path / "outside").exists()
