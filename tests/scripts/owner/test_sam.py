"""Templates for `sam local invoke`: code by path, settings that SAM can set, nothing of the cloud."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from scripts.owner import OwnerError
from scripts.owner.sam import LocalFunction, command, settings, write

ENVIRON = {"DATABASE_URL": "postgresql://jobs:pw@127.0.0.1:5432/cgk", "INTEGRATION_ENCRYPTION_KEY": "k", "OTHER": "o"}


@pytest.fixture
def cdk_out(tmp_path: Path) -> Path:
    """A synthesized app of one category and the kernel."""
    folder = tmp_path / "cdk.out"
    folder.mkdir()
    resources: dict[str, Any] = {
        "LibrariesLayer": {"Type": "AWS::Lambda::LayerVersion", "Properties": {"Content": code("libraries")}},
        "CommerceFastFunction": function({"CGK_CATEGORY": "commerce", "CGK_CLASS": "fast"}),
        "OrdersQueue": {"Type": "AWS::SQS::Queue", "Properties": {}},
    }
    stack(folder, "cgk-commerce", resources, ["code", "libraries"])
    stack(folder, "cgk-kernel", {"SweepFunction": function({"CGK_CATEGORY": "kernel"})}, ["code"])
    stack(folder, "cgk-shared", {"Bus": {"Type": "AWS::Events::EventBus", "Properties": {}}}, [])
    return folder


def code(asset: str) -> dict[str, Any]:
    return {"S3Bucket": {"Fn::Sub": "assets-${AWS::Region}"}, "S3Key": f"{asset}.zip"}


def function(variables: dict[str, Any]) -> dict[str, Any]:
    bucket = {"Fn::Join": ["", ["cgk-", {"Ref": "AWS::AccountId"}]]}
    environment = {"Variables": {**variables, "CGK_SECRET_ID": "cgk/jobs", "CGK_BUCKET": bucket}}
    properties = {"Code": code("code"), "Role": {"Fn::GetAtt": ["Role", "Arn"]}, "Environment": environment}
    return {"Type": "AWS::Lambda::Function", "Properties": {**properties, "Handler": "functions.commerce.handler.main"}}


def stack(folder: Path, name: str, resources: dict[str, Any], assets: list[str]) -> None:
    (folder / f"{name}.template.json").write_text(json.dumps({"Resources": resources}))
    files = {
        asset: {"source": {"path": f"asset.{asset}"}, "destinations": {"here": {"objectKey": f"{asset}.zip"}}}
        for asset in assets
    }
    (folder / f"{name}.assets.json").write_text(json.dumps({"files": files}))


def test_functions_of_the_categories_with_code_and_libraries_by_path(cdk_out: Path, tmp_path: Path) -> None:
    found = write(cdk_out, tmp_path / "sam", ENVIRON)

    assert found == [LocalFunction("cgk-commerce", "CommerceFastFunction", "commerce", "fast")]
    assert sorted(path.name for path in (tmp_path / "sam").iterdir()) == ["cgk-commerce.template.json", "env.json"]
    local = json.loads((tmp_path / "sam" / "cgk-commerce.template.json").read_text())["Resources"]
    assert set(local) == {"LibrariesLayer", "CommerceFastFunction"}
    assert local["LibrariesLayer"]["Properties"]["Content"] == str(cdk_out / "asset.libraries")
    properties = local["CommerceFastFunction"]["Properties"]
    assert properties["Code"] == str(cdk_out / "asset.code")
    assert "Role" not in properties
    assert properties["Environment"]["Variables"] == {
        "CGK_CATEGORY": "commerce",
        "CGK_CLASS": "fast",
        "CGK_SECRET_ID": "",
        "DATABASE_URL": "",
        "INTEGRATION_ENCRYPTION_KEY": "",
    }


def test_values_stand_in_a_file_of_their_owner_alone(cdk_out: Path, tmp_path: Path) -> None:
    for _ in range(2):
        write(cdk_out, tmp_path / "sam", ENVIRON)

    path = tmp_path / "sam" / "env.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert json.loads(path.read_text())["Parameters"] == {
        "DATABASE_URL": "postgresql://jobs:pw@host.docker.internal:5432/cgk",
        "INTEGRATION_ENCRYPTION_KEY": "k",
    }


def test_this_machine_has_another_name_in_a_container() -> None:
    found = settings({"AWS_ENDPOINT_URL": "http://localhost:4566", "DATABASE_URL": "postgresql://db.example.com/cgk"})

    assert found == {
        "AWS_ENDPOINT_URL": "http://host.docker.internal:4566",
        "DATABASE_URL": "postgresql://db.example.com/cgk",
    }


def test_nothing_synthesized_is_told(tmp_path: Path) -> None:
    with pytest.raises(OwnerError, match="holds no functions: synthesize the app first"):
        write(tmp_path, tmp_path / "sam", {})


def test_command_names_template_function_sample_and_values() -> None:
    made = command(
        LocalFunction("cgk-commerce", "CommerceFastFunction", "commerce", "fast"), "some-job", Path(".dev/sam")
    )

    assert made == (
        "sam local invoke -t .dev/sam/cgk-commerce.template.json CommerceFastFunction"
        " -e events/some-job.json --env-vars .dev/sam/env.json"
    )
