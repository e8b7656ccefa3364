"""The CDK app: one shared stack, the kernel's, and one per category that has jobs; all of it derives from the registry.

cdk deploy --all            (cdk.json names this module)
python -m infra.app         (templates only: cdk.out/)
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import aws_cdk as cdk

from infra.deployment import Deployment, DeploymentError
from infra.stacks.category import CategoryStack
from infra.stacks.kernel import KernelStack
from infra.stacks.shared import SharedStack
from infra.stacks.workflows import WorkflowsStack, check_names
from infra.workflows import Workflow, WorkflowError, load
from shared.jobs.registry import Registry, load_registry

MAX_RESOURCES = 500  # CloudFormation's limit for one stack


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
    shared = SharedStack(app, deployment)
    check_names(workflows, registry)
    machines = workflows if deployment.workflows == "on" else ()
    stacks: list[cdk.Stack] = [KernelStack(app, deployment, machines)]
    stacks += [CategoryStack(app, category, registry, deployment, machines) for category in registry.categories]
    if machines:
        stacks.append(WorkflowsStack(app, machines, registry, deployment))
    for stack in stacks:
        stack.add_stack_dependency(shared, "the bus and the secrets must be there first")
    cdk.Tags.of(app).add("app", deployment.prefix)
    cdk.Tags.of(app).add("stage", deployment.stage)
    return app


def main() -> int:
    """Synthesize into cdk.out or where the CDK CLI wants it; 2 when the context is wrong."""
    try:
        build(load_registry(), load(), outdir=None).synth()
    except (DeploymentError, WorkflowError) as error:
        print(f"cdk: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
