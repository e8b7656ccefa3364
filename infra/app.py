"""The CDK app: one shared stack, the kernel's, and one per category that has jobs; all of it derives from the registry.

cdk deploy --all -c stage=staging            (cdk.json names this module)
python -m infra.app -c stage=staging         (templates only, into cdk.out or the folder that CDK_OUTDIR names)
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import aws_cdk as cdk

from infra.constructs.bundle import ROOT
from infra.deployment import Deployment, DeploymentError
from infra.stacks.category import CategoryStack
from infra.stacks.kernel import KernelStack
from infra.stacks.shared import SharedStack
from infra.stacks.workflows import WorkflowsStack, check_names
from infra.workflows import Workflow, WorkflowError, load
from shared.jobs.registry import Registry, load_registry

OUTDIR = "CDK_OUTDIR"
CLI_CONTEXT = "CDK_CONTEXT_JSON"
"""Environment variable in which the CDK CLI hands its context to the app."""


def build(
    registry: Registry,
    workflows: Sequence[Workflow] = (),
    *,
    context: Mapping[str, Any] | None = None,
    outdir: str | None = None,
) -> cdk.App:
    """The app with all its stacks, not yet synthesized.

    Raises DeploymentError when the context cannot be deployed, WorkflowError when a workflow cannot.
    """
    # The CLI checks the bootstrap stack's version itself; without the rule a template can be applied by any client.
    synthesizer = cdk.DefaultStackSynthesizer(generate_bootstrap_version_rule=False)
    app = cdk.App(context=context, outdir=outdir, analytics_reporting=False, default_stack_synthesizer=synthesizer)
    deployment = Deployment.from_context(app.node.get_all_context())
    deployment.check_connections(registry.queues())
    deployment.check_rules(registry)
    deployment.check_publishers(registry)
    check_names(workflows, registry)
    machines = workflows if deployment.workflows == "on" else ()
    shared = SharedStack(app, registry, deployment, machines)
    stacks: list[cdk.Stack] = [KernelStack(app, deployment, machines)]
    stacks += [CategoryStack(app, category, registry, deployment, machines) for category in registry.categories]
    if machines:
        stacks.append(WorkflowsStack(app, machines, registry, deployment))
    for stack in stacks:
        stack.add_stack_dependency(shared, "the bus and the secrets must be there first")
    cdk.Tags.of(app).add("app", deployment.prefix)
    cdk.Tags.of(app).add("stage", deployment.stage)
    return app


def project_context() -> dict[str, Any]:
    """The context of cdk.json; the CDK CLI hands it over by itself, with what its own command line adds."""
    if os.environ.get(CLI_CONTEXT):
        return {}
    found: dict[str, Any] = json.loads((ROOT / "cdk.json").read_text(encoding="utf-8"))["context"]
    return found


def given_context(arguments: Sequence[str]) -> dict[str, str]:
    """What the command line adds: `-c key=value`, as with the CDK CLI. Raises DeploymentError for anything else."""
    parser = argparse.ArgumentParser(prog="python -m infra.app", description=__doc__)
    parser.add_argument("-c", "--context", action="append", default=[], metavar="KEY=VALUE")
    pairs = [pair.partition("=") for pair in parser.parse_args(arguments).context]
    if wrong := [key for key, equals, _ in pairs if not equals]:
        raise DeploymentError(f"-c {wrong[0]}: give KEY=VALUE")
    return {key: value for key, _, value in pairs}


def main(arguments: Sequence[str] | None = None) -> int:
    """Synthesize into cdk.out or where the CDK CLI wants it; 2 when the context is wrong."""
    try:
        context = {**project_context(), **given_context(sys.argv[1:] if arguments is None else arguments)}
        outdir = None if os.environ.get(OUTDIR) else str(ROOT / "cdk.out")
        build(load_registry(), load(), context=context, outdir=outdir).synth()
    except (DeploymentError, WorkflowError) as error:
        print(f"cdk: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
