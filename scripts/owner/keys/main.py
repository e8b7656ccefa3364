"""Keys of an installation.

scripts/keys generate [--name NAME ..]
scripts/keys push|pull|verify --stage staging
scripts/keys rotate --stage staging [--wait]
scripts/keys rotate --stage staging --finish

Values are never printed; a key is shown by its id.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Iterable, MutableMapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from scripts.local import ROOT
from scripts.owner import OwnerError, WrongUse
from scripts.owner.keys import commands, verify
from scripts.owner.keys.commands import KEYS, Moved
from scripts.owner.keys.rotation import Functions, Rotation
from scripts.owner.keys.sealing import StageSealer
from scripts.owner.keys.verify import Seen
from scripts.owner.secrets import StageSecrets
from scripts.owner.stages import open_stage
from shared.cli.errors import UsageError, explain
from shared.cli.stages import LOCAL, Stage
from shared.crypto import MASTER_KEY
from shared.jobs.aws import S3Blobs, client

ENV_FILE = ".env.local"


@dataclass
class Tool:
    """One call: where the project is, whom it tells."""

    root: Path = ROOT
    environ: MutableMapping[str, str] = field(default_factory=lambda: os.environ, repr=False)
    say: Callable[[str], None] = print

    @property
    def file(self) -> Path:
        """.env.local of the checkout."""
        return self.root / ENV_FILE

    def generate(self, arguments: Namespace) -> int:
        self._moved(commands.generate(self.file, arguments.name or [MASTER_KEY], replace=arguments.replace))
        return 0

    def push(self, arguments: Namespace) -> int:
        store = self._store(self._stage(arguments))
        self._moved(commands.push(store, self.file, replace=arguments.replace, dry_run=arguments.dry_run))
        return 0

    def pull(self, arguments: Namespace) -> int:
        store = self._store(self._stage(arguments))
        self._moved(commands.pull(store, self.file, replace=arguments.replace, dry_run=arguments.dry_run))
        return 0

    def rotate(self, arguments: Namespace) -> int:
        if arguments.stage == LOCAL:
            raise WrongUse("scripts/dev has a key of its own; rotation is for the stages in AWS")
        stage = self._stage(arguments)
        store = self._store(stage)
        rotation = Rotation(
            store,
            Functions(client("lambda"), f"{stage.prefix}-"),
            lambda: self._sealer(stage, store),
            say=self.say,
            sleep=time.sleep if arguments.wait else None,
        )
        if arguments.abandon:
            rotation.abandon()
        elif arguments.finish:
            rotation.finish()
        elif rotation.advance() == "sealing":
            self.say(
                "give the new key to the applications (scripts/keys pull --stage "
                f"{stage.name} --replace {MASTER_KEY}), beside the old one; when they know both: rotate --finish"
            )
        else:
            self.say("call rotate again after that")
        return 0

    def verify(self, arguments: Namespace) -> int:
        seen = list(verify.of_file(self.file))
        if arguments.stage:
            stage = self._stage(arguments)
            store = self._store(stage)
            seen += verify.of_secrets(store, self.file)
            members = {**store.read("jobs"), **store.read("admin")}
            if members.get("DATABASE_URL"):
                seen += verify.of_sealed(members, self._sealer(stage, store))
            else:
                seen.append(Seen(False, f"{store.name('jobs')} holds no DATABASE_URL: push it"))
        for each in seen:
            self.say(f"{'ok' if each.ok else 'problem':<8} {each.text}")
        return 0 if all(each.ok for each in seen) else 1

    def _stage(self, arguments: Namespace) -> Stage:
        return open_stage(arguments.stage, self.root, self.environ)

    def _store(self, stage: Stage) -> StageSecrets:
        return StageSecrets(stage, client("secretsmanager"))

    def _sealer(self, stage: Stage, store: StageSecrets) -> StageSealer:
        members = {**store.read("jobs"), **store.read("admin")}
        if not members.get("DATABASE_URL"):
            raise OwnerError(f"the secret {store.name('jobs')} holds no DATABASE_URL: push it first")
        return StageSealer(members["DATABASE_URL"], members.get("DATABASE_ADMIN_URL"), lambda: _bucket(stage))

    def _moved(self, moved: Iterable[Moved]) -> None:
        for each in moved:
            shown = f" {each.key_id}" if each.key_id else ""
            self.say(f"{each.what:<9} {each.name}{shown} in {each.place}")


def _bucket(stage: Stage) -> S3Blobs:
    """The stage's bucket, named after account and region as the CDK app does."""
    sts = client("sts")
    return S3Blobs(f"{stage.prefix}-{sts.get_caller_identity()['Account']}-{sts.meta.region_name}")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    whole = argparse.ArgumentParser(
        prog="scripts/keys", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    inner = whole.add_subparsers(required=True, metavar="COMMAND", dest="command")
    generate = inner.add_parser("generate", help="make keys in .env.local")
    generate.add_argument("--name", action="append", choices=KEYS, help=f"which, {MASTER_KEY} unless given")
    push = inner.add_parser("push", help="from .env.local to the stage's secrets")
    pull = inner.add_parser("pull", help="from the stage's secrets to .env.local")
    rotate = inner.add_parser("rotate", help="change the master key while everything runs; call it until it says done")
    rotate.add_argument("--wait", action="store_true", help="wait 15 minutes where that is needed, instead of ending")
    ending = rotate.add_mutually_exclusive_group()
    ending.add_argument("--finish", action="store_true", help="all applications know both keys: take the old one out")
    ending.add_argument("--abandon", action="store_true", help="take the new key back, before it has sealed anything")
    check = inner.add_parser("verify", help="do file, secrets and what is sealed fit together")
    for command in (push, pull, rotate):
        command.add_argument("--stage", required=True, metavar="S", help="a stage of cdk.json")
    check.add_argument("--stage", metavar="S", help="a stage of cdk.json; without it only .env.local is looked at")
    for command in (generate, push, pull):
        command.add_argument("--replace", action="append", default=[], metavar="NAME", help="may be replaced")
    for command in (push, pull):
        command.add_argument("--dry-run", action="store_true", help="only say what would be written")
    return whole


def main(argv: Sequence[str] | None = None, tool: Tool | None = None) -> int:
    """Run one command; 0 done, 1 it could not be done or does not fit together, 2 wrong use."""
    arguments = parser().parse_args(argv)
    try:
        done: int = getattr(tool or Tool(), arguments.command)(arguments)
        return done
    except (WrongUse, UsageError) as error:
        print(f"keys: {error}", file=sys.stderr)
        return 2
    except OwnerError as error:
        print(f"keys: {error}", file=sys.stderr)
        return 1
    except Exception as error:  # AWS or the database: one sentence, never a value
        code, sentence = explain(error)
        print(f"keys: {sentence}", file=sys.stderr)
        return code


if __name__ == "__main__":
    raise SystemExit(main())
