"""The app's templates as dicts, without building any zip."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.app import build
from infra.workflows import Workflow
from shared.jobs.registry import Registry

Resource = dict[str, Any]


@dataclass(frozen=True)
class Synthesized:
    """The templates of one registry: stack name -> logical id -> resource."""

    registry: Registry
    stacks: dict[str, dict[str, Resource]]
    workflows: Sequence[Workflow] = ()

    def of_type(self, kind: str, stack: str | None = None) -> dict[str, Resource]:
        """All resources of a type, by logical id (unique over the stacks of these types)."""
        return {
            name: resource
            for key, resources in self.stacks.items()
            if stack in (None, key)
            for name, resource in resources.items()
            if resource["Type"] == kind
        }


def synthesize(
    registry: Registry, outdir: Path, context: dict[str, Any] | None = None, workflows: Sequence[Workflow] = ()
) -> Synthesized:
    """Synthesize the app of `registry` into `outdir`."""
    build(registry, workflows, context={"aws:cdk:bundling-stacks": [], **(context or {})}, outdir=str(outdir)).synth()
    found = {
        path.name.removesuffix(".template.json"): json.loads(path.read_text(encoding="utf-8"))["Resources"]
        for path in sorted(outdir.glob("*.template.json"))
    }
    return Synthesized(registry, found, workflows)
