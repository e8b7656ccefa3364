"""Brings an assembly to where it belongs: by the pinned CDK CLI to AWS, by the engine's own way to the local engine."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from scripts.local import ROOT, LocalError, deploy
from scripts.owner import OwnerError
from scripts.owner.deploying.assembly import Assembly


class Apply(Protocol):
    """Create or update these stacks of an assembly; OwnerError when one fails, which is then as it was before."""

    def __call__(self, assembly: Assembly, stacks: Sequence[str]) -> None: ...


@dataclass(frozen=True)
class ByEngine:
    """The local engine at `endpoint`."""

    endpoint: str

    def __call__(self, assembly: Assembly, stacks: Sequence[str]) -> None:
        try:
            deploy.apply(self.endpoint, assembly.folder, stacks)
        except LocalError as error:
            raise OwnerError(str(error)) from None


@dataclass(frozen=True)
class ByCli:
    """`cdk deploy` of a synthesized assembly. Our own confirmation has been given, so the CLI asks for none."""

    environ: Mapping[str, str]
    run: Callable[..., subprocess.CompletedProcess[bytes]] = subprocess.run
    root: Path = ROOT

    def __call__(self, assembly: Assembly, stacks: Sequence[str]) -> None:
        node = deploy.node_folder()
        cdk = self.root / "node_modules" / "aws-cdk" / "bin" / "cdk"
        command = [str(node / "node"), str(cdk), "deploy", *stacks, "--exclusively", "--app", str(assembly.folder)]
        command += ["--require-approval", "never", "--concurrency", "4", "--no-notices", "--progress", "events"]
        environment = {**self.environ, "CDK_DISABLE_CLI_TELEMETRY": "true"}
        environment["PATH"] = os.pathsep.join((str(node), environment.get("PATH", os.defpath)))
        if self.run(command, cwd=self.root, env=environment, check=False).returncode:
            raise OwnerError("cdk deploy failed; what it said stands above")
