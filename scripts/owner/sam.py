"""Templates for `sam local invoke` out of a synthesized app: code and libraries by path, settings that SAM can set.

python -m scripts.owner.sam [--cdk-out cdk.out] [--out .dev/sam]

SAM finds code only by path, and sets only variables that the template names: so the functions of each stack are written
to <out>/<stack>.template.json with both, and their values to <out>/env.json, which only its owner may read. Values come
from the environment, else from .dev/env; a container reaches this machine as host.docker.internal.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.local import DEV, ROOT
from scripts.owner import OwnerError
from shared.cli.platform import DEV_ENV, read_env_file

FUNCTION, LAYER = "AWS::Lambda::Function", "AWS::Lambda::LayerVersion"
SETTINGS = ("DATABASE_URL", "INTEGRATION_ENCRYPTION_KEY", "AWS_ENDPOINT_URL")
"""What the functions read from a secret on AWS, and here from the environment."""
DROPPED = ("Role", "VpcConfig", "RecursiveLoop", "KmsKeyArn", "LoggingConfig")
"""Properties that say nothing to a container."""
HOST = "host.docker.internal"
MODE = 0o600


@dataclass(frozen=True, slots=True)
class LocalFunction:
    """A function that SAM can run. `kind`: fast or bulk."""

    stack: str
    logical_id: str
    category: str
    kind: str


def write(cdk_out: Path, out: Path, environ: Mapping[str, str]) -> list[LocalFunction]:
    """Write the templates and env.json; the functions of the categories, by stack. OwnerError when nothing is there."""
    out.mkdir(parents=True, exist_ok=True)
    values = settings(environ)
    found: list[LocalFunction] = []
    for path in sorted(cdk_out.glob("*.template.json")):
        stack = path.name.removesuffix(".template.json")
        resources = json.loads(path.read_text(encoding="utf-8"))["Resources"]
        places = _places(cdk_out, stack)
        ours = {id: each for id, each in resources.items() if each["Type"] in (FUNCTION, LAYER)}
        local = {id: _local(resource, places, values) for id, resource in ours.items()}
        functions = list(_functions(stack, local))
        if functions:
            text = json.dumps({"Resources": local}, indent=2)
            (out / path.name).write_text(text + "\n", encoding="utf-8")
            found += functions
    if not found:
        raise OwnerError(f"{cdk_out} holds no functions: synthesize the app first (python -m infra.app)")
    _write_settings(out / "env.json", values)
    return found


def settings(environ: Mapping[str, str]) -> dict[str, str]:
    """Values of SETTINGS as a container needs them, without those that are not set."""
    found = {name: environ[name] for name in SETTINGS if environ.get(name)}
    return {name: re.sub(r"\b(127\.0\.0\.1|localhost)\b", HOST, value) for name, value in found.items()}


def _places(cdk_out: Path, stack: str) -> dict[str, str]:
    """Object key of an asset -> its folder."""
    path = cdk_out / f"{stack}.assets.json"
    files = json.loads(path.read_text(encoding="utf-8"))["files"] if path.exists() else {}
    return {
        destination["objectKey"]: str((cdk_out / asset["source"]["path"]).resolve())
        for asset in files.values()
        for destination in asset["destinations"].values()
    }


def _local(resource: Mapping[str, Any], places: Mapping[str, str], values: Mapping[str, str]) -> dict[str, Any]:
    """A function or layer with its code by path; a function names the settings, whose values stand in env.json."""
    properties = {name: value for name, value in resource["Properties"].items() if name not in DROPPED}
    member = "Code" if resource["Type"] == FUNCTION else "Content"
    properties[member] = places[properties[member]["S3Key"]]
    if resource["Type"] == FUNCTION:
        variables = properties.get("Environment", {}).get("Variables", {})
        plain = {name: value for name, value in variables.items() if isinstance(value, str)}
        properties["Environment"] = {"Variables": plain | dict.fromkeys(values, "") | {"CGK_SECRET_ID": ""}}
    return {"Type": resource["Type"], "Properties": properties}


def _functions(stack: str, resources: Mapping[str, Any]) -> Iterator[LocalFunction]:
    for logical_id, resource in resources.items():
        variables = resource["Properties"].get("Environment", {}).get("Variables", {})
        if "CGK_CLASS" in variables:  # the kernel's own functions take no messages
            yield LocalFunction(stack, logical_id, variables["CGK_CATEGORY"], variables["CGK_CLASS"])


def _write_settings(path: Path, values: Mapping[str, str]) -> None:
    path.unlink(missing_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, MODE)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        json.dump({"Parameters": dict(values)}, file, indent=2)


def command(function: LocalFunction, job: str, out: Path) -> str:
    """The command that runs a job's sample message in the function."""
    template, env = out / f"{function.stack}.template.json", out / "env.json"
    return f"sam local invoke -t {template} {function.logical_id} -e events/{job}.json --env-vars {env}"


def main(argv: Sequence[str] | None = None, root: Path = ROOT) -> int:
    """Write everything and print one command per function; 1 when there is nothing to write."""
    from shared.jobs.registry import load_registry

    parser = argparse.ArgumentParser(prog="python -m scripts.owner.sam", description=__doc__)
    parser.add_argument("--cdk-out", type=Path, default=root / "cdk.out", help="the synthesized app")
    parser.add_argument("--out", type=Path, default=DEV / "sam", help="where the templates go")
    options = parser.parse_args(argv)
    try:
        functions = write(options.cdk_out, options.out, {**read_env_file(root / DEV_ENV), **os.environ})
    except OwnerError as error:
        print(f"sam: {error}", file=sys.stderr)
        return 1
    out = options.out.relative_to(root) if options.out.is_relative_to(root) else options.out
    registry = load_registry()
    for function in functions:
        bulk = function.kind == "bulk"
        if jobs := [job.id for job in registry if (job.category, job.bulk) == (function.category, bulk)]:
            print(command(function, jobs[0], out))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
