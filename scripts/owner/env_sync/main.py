"""Bring settings of a Vercel project into a stage.

scripts/env-sync --stage staging                     say what would be written
scripts/env-sync --stage staging --apply             write it
scripts/env-sync --stage staging --secret NAME --parameter NAME ..

Reads VERCEL_ACCESS_TOKEN, VERCEL_PROJECT_ID and, for a team's project, VERCEL_TEAM_ID. Values are never printed. Which
names: --secret and --parameter, else --selection FILE, else scripts/owner/env_sync/selection.json.
"""

from __future__ import annotations

import argparse
import os
import sys
from argparse import Namespace
from collections.abc import Callable, MutableMapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from scripts.local import ROOT
from scripts.owner import OwnerError, WrongUse
from scripts.owner.env_sync.plan import BAD, Destination, Line, Selection, plan, refuse
from scripts.owner.env_sync.vercel import BASE_URL, VercelProject
from scripts.owner.secrets import StageSecrets
from scripts.owner.stages import open_stage
from shared.cli.errors import UsageError, explain
from shared.jobs.aws import client

ENVIRONMENTS = {"production": "production", "staging": "preview", "dev": "development", "local": "development"}
"""Which of Vercel's environments a stage takes unless --environment says otherwise."""
SELECTION = Path(__file__).with_name("selection.json")


@dataclass
class Tool:
    """One call: where the project is, its environment, whom it tells."""

    root: Path = ROOT
    environ: MutableMapping[str, str] = field(default_factory=lambda: os.environ, repr=False)
    say: Callable[[str], None] = print
    sleep: Callable[[float], None] | None = None

    def run(self, arguments: Namespace) -> int:
        project = self._project()
        stage = open_stage(arguments.stage, self.root, self.environ)
        environment = arguments.environment or ENVIRONMENTS.get(stage.name)
        if environment is None:
            raise WrongUse(f"say which of Vercel's environments stage {stage.name} takes: --environment")
        destination = Destination(stage, StageSecrets(stage, client("secretsmanager")), client("ssm"))
        lines = plan(project, environment, _selection(arguments), destination)
        for line in lines:
            self.say(_shown(line))
        if not arguments.apply:
            self.say("nothing was written; add --apply to write it")
            return 1 if any(line.what in BAD for line in lines) else 0
        refuse(lines)
        self.say(f"{destination.write(lines)} values were written")
        return 0

    def _project(self) -> VercelProject:
        missing = [name for name in ("VERCEL_ACCESS_TOKEN", "VERCEL_PROJECT_ID") if not self.environ.get(name)]
        if missing:
            raise WrongUse(f"set {' and '.join(missing)}")
        project = VercelProject(
            self.environ["VERCEL_ACCESS_TOKEN"],
            self.environ["VERCEL_PROJECT_ID"],
            self.environ.get("VERCEL_TEAM_ID") or None,
            self.environ.get("VERCEL_BASE_URL") or BASE_URL,
        )
        if self.sleep is not None:
            project.sleep = self.sleep
        return project


def _selection(arguments: Namespace) -> Selection:
    if arguments.secret or arguments.parameter:
        both = sorted(set(arguments.secret) & set(arguments.parameter))
        if both:
            raise WrongUse(f"{', '.join(both)} cannot be secret and parameter at once")
        return Selection(tuple(arguments.secret), tuple(arguments.parameter))
    return Selection.read(arguments.selection)


def _shown(line: Line) -> str:
    text = f"{line.what:<10} {line.name}"
    return f"{text} {line.why}" if line.why else f"{text} in {line.place}"


def parser() -> argparse.ArgumentParser:
    """The command line."""
    whole = argparse.ArgumentParser(
        prog="scripts/env-sync", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    whole.add_argument("--stage", required=True, metavar="S", help="a stage of cdk.json")
    whole.add_argument("--environment", metavar="E", help="production, preview, development or a custom one's slug")
    whole.add_argument("--secret", action="append", default=[], metavar="NAME", help="bring it into the secrets")
    whole.add_argument("--parameter", action="append", default=[], metavar="NAME", help="bring it into SSM")
    whole.add_argument("--selection", type=Path, default=SELECTION, metavar="FILE", help="names as JSON")
    whole.add_argument("--apply", action="store_true", help="write; without it nothing is written")
    return whole


def main(argv: Sequence[str] | None = None, tool: Tool | None = None) -> int:
    """0 done, 1 it could not be done or something stands in the way, 2 wrong use."""
    arguments = parser().parse_args(argv)
    try:
        return (tool or Tool()).run(arguments)
    except (WrongUse, UsageError) as error:
        print(f"env-sync: {error}", file=sys.stderr)
        return 2
    except OwnerError as error:
        print(f"env-sync: {error}", file=sys.stderr)
        return 1
    except Exception as error:  # AWS: one sentence, never a value
        code, sentence = explain(error)
        print(f"env-sync: {sentence}", file=sys.stderr)
        return code


if __name__ == "__main__":
    raise SystemExit(main())
