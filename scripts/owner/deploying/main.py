"""Deploy this checkout to a stage: plan, confirm, deploy, smoke test, and back if that fails.

scripts/deploy --stage staging             show the plan, ask, deploy
scripts/deploy --stage staging --plan      only show it
scripts/deploy --stage production --yes    without asking, as CI does
scripts/deploy --stage staging --history   what was deployed
scripts/deploy --stage staging --back      to the deployment before, or --back ID

`--stage local` is the engine of a running scripts/dev. Exit status: 0 done, 1 it failed (and what ran before is back),
2 refused or wrong use.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from argparse import Namespace
from collections.abc import Callable, MutableMapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from scripts.local import DEV, ROOT, deploy
from scripts.owner import OwnerError, WrongUse
from scripts.owner.deploying.apply import Apply, ByCli, ByEngine
from scripts.owner.deploying.assembly import Assembly, synthesize
from scripts.owner.deploying.drain import Drain
from scripts.owner.deploying.records import Records
from scripts.owner.deploying.rollout import Options, Plan, Rollout
from scripts.owner.deploying.smoke import Smoke
from scripts.owner.stages import open_stage
from shared.cli.errors import DEBUG, explain
from shared.cli.platform import Platform
from shared.cli.stages import LOCAL, Stage
from shared.jobs.registry import Registry, load_registry

SMOKE_S = 90.0
"""A cold function behind a new rule answers within half a minute."""
ENDPOINT = "AWS_ENDPOINT_URL"


@dataclass
class Tool:
    """One call. Tests give a registry and a context of their own; `ask` answers the one question; `synthesis` and
    `application` stand for the CDK app and for what brings it to AWS."""

    root: Path = ROOT
    environ: MutableMapping[str, str] = field(default_factory=lambda: os.environ, repr=False)
    say: Callable[[str], None] = print
    ask: Callable[[str], str] = input
    interactive: Callable[[], bool] = sys.stdin.isatty
    load: Callable[[], Registry] = load_registry
    workflows: Callable[[], Sequence[Any]] | None = None
    context: dict[str, Any] = field(default_factory=dict)
    folder: Path = DEV / "deploy"
    synthesis: Callable[[Stage, Registry], Assembly] | None = None
    application: Apply | None = None

    def run(self, arguments: Namespace) -> int:
        """What was asked for; the exit status."""
        stage, platform = self._open(arguments.stage)
        try:
            records = self._records(stage, platform)
            if arguments.history:
                return self._history(records)
            rollout = self._rollout(stage, platform, records, arguments)
            if not self._database_is_known(platform):
                return self._first_step(rollout, arguments)
            plan = rollout.plan_back(arguments.back or None) if arguments.back is not None else rollout.plan()
            return self._carry_out(rollout, plan, arguments)
        finally:
            shutil.rmtree(self._scratch(stage), ignore_errors=True)
            platform.close()

    def _carry_out(self, rollout: Rollout, plan: Plan, arguments: Namespace) -> int:
        for line in plan.lines():
            self.say(line)
        rollout.refuse(plan)
        if arguments.plan or not self._confirmed(f"Deploy this to {arguments.stage}?", arguments):
            self.say("Nothing was changed.")
            return 0
        return rollout.carry_out(plan)

    def _first_step(self, rollout: Rollout, arguments: Namespace) -> int:
        """Without the secrets' values no function could do anything: they come before the functions."""
        name, prefix = rollout.stage.name, rollout.stage.prefix
        if rollout.records.current() is not None:
            raise OwnerError(f"the secret {prefix}/admin holds no DATABASE_ADMIN_URL any more: see scripts/keys")
        self.say(f"Stage {name} has no secrets yet: first the stack {prefix}-shared, which holds them.")
        if arguments.plan or not self._confirmed(f"Deploy {prefix}-shared to {name}?", arguments):
            self.say("Nothing was changed.")
            return 0
        rollout.foundation()
        self.say(
            f"Now put DATABASE_URL, DATABASE_ADMIN_URL and INTEGRATION_ENCRYPTION_KEY into .env.local, then run\n"
            f"  scripts/keys push --stage {name}\n"
            f"  CGK_SECRET_ID={prefix}/admin .venv/bin/cgk-jobs db migrate\n"
            f"  CGK_SECRET_ID={prefix}/admin .venv/bin/cgk-jobs db login\n"
            f"and scripts/deploy --stage {name} again."
        )
        return 0

    def _history(self, records: Records) -> int:
        current = records.current()
        for id in records.ids() if current else ():
            self.say(f"{id}{'   runs now' if current and id == current.current.id else ''}")
        if current is None:
            self.say("nothing has been deployed yet")
        return 0

    def _confirmed(self, question: str, arguments: Namespace) -> bool:
        if arguments.yes:
            return True
        if not self.interactive():
            raise WrongUse("there is nobody to ask: give --yes, or --plan to look only")
        return self.ask(f"{question} [y/N] ").strip().lower() in ("y", "yes")

    # What a rollout is put together of.

    def _open(self, name: str) -> tuple[Stage, Platform]:
        stage = open_stage(name, self.root, self.environ)
        if "prefix" in (given := {key.removeprefix("cgk:"): value for key, value in self.context.items()}):
            stage = replace(stage, prefix=given["prefix"])
        platform = Platform(environ=self.environ, root=self.root, load=self.load)
        platform.stage = stage
        if name == LOCAL:
            self.environ.update(CGK_BUS=stage.prefix, CGK_QUEUE_PREFIX=f"{stage.prefix}-")
        return stage, platform

    def _records(self, stage: Stage, platform: Platform) -> Records:
        sts = platform.client("sts")
        account, region = sts.get_caller_identity()["Account"], sts.meta.region_name
        return Records(platform.client("s3"), f"{stage.prefix}-{account}-{region}")

    def _rollout(self, stage: Stage, platform: Platform, records: Records, arguments: Namespace) -> Rollout:
        local = stage.name == LOCAL
        options = Options(arguments.force, arguments.wait, quiet_s=0 if local else Options.quiet_s)
        usual: Apply = ByEngine(self.environ[ENDPOINT]) if local else ByCli(self.environ, root=self.root)
        synthesis = self.synthesis or self._synthesize
        return Rollout(
            stage=stage,
            registry=platform.registry,
            records=records,
            drain=Drain(stage, platform.client, platform.database),
            smoke=Smoke(platform, stage, SMOKE_S),
            synthesize=lambda registry: synthesis(stage, registry),
            apply=self.application or usual,
            migrate=lambda plan_only: migrations(platform, plan_only),
            commit=commit(self.root),
            scratch=self._scratch(stage),
            options=options,
            say=self.say,
            measures=not local,
        )

    def _synthesize(self, stage: Stage, registry: Registry) -> Assembly:
        from infra.app import build, project_context
        from infra.workflows import load

        if stage.name == LOCAL:
            settings = {name: value for name, value in self.environ.items() if name.endswith("_BASE_URL")}
            context = {**deploy.engine_context(self.environ[ENDPOINT], settings), **self.context}
        else:
            context = {**project_context(), "stage": stage.name, **self.context}
        machines = (self.workflows or load)()
        return synthesize(lambda out: build(registry, machines, context=context, outdir=out), self.folder / stage.name)

    def _scratch(self, stage: Stage) -> Path:
        return self.folder / f"{stage.name}-stored"

    def _database_is_known(self, platform: Platform) -> bool:
        from botocore.exceptions import ClientError

        try:
            return platform.secret("DATABASE_ADMIN_URL") is not None
        except ClientError as error:
            if error.response["Error"]["Code"] == "ResourceNotFoundException":
                return False
            raise
        except ValueError:  # the local engine gives an empty text where AWS says that there is no value
            return False


def migrations(platform: Platform, plan_only: bool) -> list[str]:
    """Bring the database up to date, or say what is due: a line for the terminal, none when there is nothing to do."""
    from psycopg.conninfo import conninfo_to_dict

    from shared.db.migrations import migrate

    role = str(conninfo_to_dict(platform.required("DATABASE_URL")).get("user") or "cgk_jobs")
    report = migrate(platform.admin_url, login_role=role, plan_only=plan_only)
    changes = sum(len(actions) for actions in report.schemas.values())
    if not changes:
        return []
    verb = "are due" if plan_only else "were made"
    return [f"Database: {changes} changes in {len(report.schemas)} schemas {verb}"]


def commit(root: Path) -> str:
    """The checkout's commit, shortened, `-changed` behind it when there is more than that; `unknown` without git."""
    head = _git(root, "rev-parse", "--short=12", "HEAD")
    if head is None:
        return "unknown"
    return f"{head}-changed" if _git(root, "status", "--porcelain") else head


def _git(root: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def parser() -> argparse.ArgumentParser:
    """The command line."""
    whole = argparse.ArgumentParser(
        prog="scripts/deploy", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    whole.add_argument("--stage", required=True, metavar="S", help="a stage of cdk.json, or local")
    whole.add_argument("--yes", action="store_true", help="deploy without asking")
    whole.add_argument("--force", action="store_true", help="although messages in flight may be refused or left behind")
    whole.add_argument(
        "--wait", type=float, default=Options.wait_s, metavar="SECONDS", help="how long to wait for what goes, 120"
    )
    whole.add_argument("--plan", action="store_true", help="only show what would change")
    what = whole.add_mutually_exclusive_group()
    what.add_argument("--back", nargs="?", const="", metavar="ID", help="to the deployment before, or to ID")
    what.add_argument("--history", action="store_true", help="list the deployments")
    return whole


def main(argv: Sequence[str] | None = None, tool: Tool | None = None) -> int:
    """Run it; the exit status."""
    arguments = parser().parse_args(argv)
    try:
        return (tool or Tool()).run(arguments)
    except WrongUse as error:
        code, sentence = 2, str(error)
    except OwnerError as error:
        code, sentence = 1, str(error)
    except Exception as error:  # AWS, the database, a declaration: one sentence, never a value
        if os.environ.get(DEBUG):
            raise
        code, sentence = explain(error)
    except KeyboardInterrupt:
        code, sentence = 1, "interrupted; run it again"
    print(f"deploy: {sentence}", file=sys.stderr)
    return code


if __name__ == "__main__":
    raise SystemExit(main())
