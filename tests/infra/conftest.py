"""Fixtures: the app's templates, synthesized once per registry, and one engine with the stand-in app deployed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from shared.jobs.registry import load_registry
from tests.infra.deployed import DeployedApp

if TYPE_CHECKING:
    from tests.infra.synthesis import Synthesized


@pytest.fixture(scope="session", params=["project", "stand-in"])
def app(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Synthesized:
    from infra.workflows import load
    from tests.infra.stand_in import registry as stand_in
    from tests.infra.synthesis import synthesize

    if request.param == "project":
        return synthesize(load_registry(), tmp_path_factory.mktemp("assembly"), workflows=load())
    return synthesize(stand_in(), tmp_path_factory.mktemp("assembly"))


@pytest.fixture(scope="session")
def engine_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    from scripts.local import engine

    running = engine.start(tmp_path_factory.mktemp("engine"))
    yield running.endpoint
    running.stop()


HANDLER = """
import json, pathlib
def main(event, context):
    with pathlib.Path(__file__).with_name("seen.jsonl").open("a") as out:
        out.writelines(json.dumps({"version": "VERSION", **record}) + "\\n" for record in event["Records"])
    failed = [r["messageId"] for r in event["Records"] if json.loads(r["body"])["payload"].get("broken")]
    return {"batchItemFailures": [{"itemIdentifier": id} for id in failed]}
"""


@pytest.fixture(scope="session")
def deployed(engine_endpoint: str, tmp_path_factory: pytest.TempPathFactory) -> DeployedApp:
    from scripts.local import deploy
    from tests.infra.stand_in import registry

    sources = tmp_path_factory.mktemp("sources")
    handler = sources / "functions" / "commerce" / "handler.py"
    handler.parent.mkdir(parents=True)
    handler.write_text(HANDLER, encoding="utf-8")
    context = {"cgk:prefix": "parcel"}
    deploy.deploy(engine_endpoint, registry=registry(), context=context, outdir=sources / "cdk.out")
    functions = deploy.client("lambda", engine_endpoint)
    name = "parcel-commerce-fast"
    variables = functions.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
    functions.update_function_configuration(
        FunctionName=name, Environment={"Variables": {**variables, "PYTHONPATH": str(sources)}}
    )
    return DeployedApp(engine_endpoint, "parcel", handler.with_name("seen.jsonl"), handler)
