"""A stage that is worked on: its settings are taken over, and the credentials must lead to its account."""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from pathlib import Path

from scripts.owner import OwnerError
from shared.cli.platform import Platform
from shared.cli.stages import LOCAL, Stage
from shared.jobs.aws import client


def open_stage(name: str, root: Path, environ: MutableMapping[str, str] = os.environ) -> Stage:
    """The stage of cdk.json, its region taken over into `environ` (for `local` the settings of scripts/dev).

    Raises UsageError for a stage that there is not, OwnerError when the credentials belong to another account: secrets
    of one stage must not be written into another's.
    """
    platform = Platform(environ=environ, root=root)
    platform.use_stage(name)
    stage = platform.stage
    assert stage is not None
    if name == LOCAL and not platform.from_dev and "AWS_ENDPOINT_URL" not in environ:
        raise OwnerError("scripts/dev is not running, so there is no stage local")
    if stage.account and (here := client("sts").get_caller_identity()["Account"]) != stage.account:
        raise OwnerError(f"these credentials lead to account {here}, stage {name} is in {stage.account}")
    return stage
