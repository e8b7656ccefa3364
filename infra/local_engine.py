"""What differs when the app is deployed to the local engine (cgk:target=engine); everything else is the same app.

- Code: a stub zip, and PYTHONPATH to the checkout and to the libraries of the environment that synthesizes. The
  engine runs functions on its own Python, of the same minor version, so no wheel for Lambda's platform would load.
- Visibility: a worker that dies before its handler begins leaves its message hidden for the queue's default, which is
  hours for long jobs. Here that is two minutes, as after a crash later on; the engine asks for no more.
- Left out, because the engine knows none: the bus's archive and the saved queries of CloudWatch Logs.
- Address: functions reach the engine by AWS_ENDPOINT_URL.
"""

from __future__ import annotations

import os
import sysconfig
from collections.abc import Mapping
from pathlib import Path

import aws_cdk as cdk
from aws_cdk import aws_s3_assets as assets
from constructs import Construct

from infra.constructs.bundle import ROOT, FunctionCode, packaged_code
from infra.deployment import Deployment

STUB = Path(__file__).with_name("engine_stub")
"""The zip's contents: nothing that runs."""
VISIBILITY_S = 120
"""As long as the lease of a bulk run, which its heartbeat renews."""


def function_code(scope: Construct, deployment: Deployment) -> FunctionCode:
    """What the functions of a stack are made of."""
    return source_code(scope) if deployment.bundle == "source" else packaged_code(scope, deployment)


def source_code(scope: Construct) -> FunctionCode:
    """The checkout and the environment's libraries, by path."""
    paths = os.pathsep.join((str(ROOT), sysconfig.get_path("purelib")))
    return FunctionCode(assets.Asset(scope, "code", path=str(STUB)), environment={"PYTHONPATH": paths})


def acknowledge(queue: Construct, deployment: Deployment) -> None:
    """Answer CDK's own check, which holds a queue's visibility against its function's timeout as AWS would."""
    if deployment.target == "engine":
        reason = "the engine asks for no more than the lease of a run; see the head of infra/local_engine.py"
        cdk.Validations.of(queue).acknowledge(cdk.Acknowledgment(id="CloudFormation-Validate::E3505", reason=reason))


def visibility_s(deployment: Deployment, on_aws: int) -> int:
    """Default visibility timeout of a queue in seconds."""
    return min(on_aws, VISIBILITY_S) if deployment.target == "engine" else on_aws


def address(deployment: Deployment) -> Mapping[str, str]:
    """Environment variables that lead a function to the AWS APIs; none on AWS."""
    return {"AWS_ENDPOINT_URL": deployment.endpoint_url} if deployment.endpoint_url else {}
