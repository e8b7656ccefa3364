"""A stage of the installation as cdk.json names it: where its resources are and what they are called.

cdk.json holds the settings of each stage under the context key `cgk:stages`; only what names resources is read here,
the rest is the CDK app's. `local` is the engine of scripts/dev.
"""

from __future__ import annotations

import json
from collections.abc import MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.cli.errors import UsageError, nearest

STAGES_KEY = "cgk:stages"
LOCAL = "local"
NAMED = ("dev", "staging", "production")
"""Stages that are known without an entry in cdk.json: they take the app's defaults."""
PREFIX = "cgk"
SECRETS = ("jobs", "admin")
"""Secrets of a stage, below its prefix; the admin's holds DATABASE_ADMIN_URL too."""
PERSONAL = ("DATABASE_URL", "DATABASE_ADMIN_URL", "INTEGRATION_ENCRYPTION_KEY", "INTEGRATION_ENCRYPTION_KEY_PREVIOUS")
"""Settings of a developer's own environment, which say nothing of a stage."""


@dataclass(frozen=True, slots=True)
class Stage:
    """`prefix` starts every physical name. `account`, `region`: where it must be, None when cdk.json does not say."""

    name: str
    prefix: str = PREFIX
    one_bus: bool = True
    account: str | None = None
    region: str | None = None
    fast_memory_mb: int = 512
    bulk_memory_mb: int = 1024

    def secret(self, name: str) -> str:
        """Physical name of one of SECRETS: `cgk/jobs`."""
        return f"{self.prefix}/{name}"

    def bus_of(self, category: str) -> str:
        """Name of the bus that holds the rules of a category."""
        return self.prefix if self.one_bus else f"{self.prefix}-{category}"

    def apply(self, environ: MutableMapping[str, str]) -> None:
        """Make the environment speak of this stage, and no more of the developer's own database and keys."""
        for name in PERSONAL:
            environ.pop(name, None)
        environ["CGK_BUS"] = self.prefix
        environ["CGK_QUEUE_PREFIX"] = f"{self.prefix}-"
        environ["CGK_SECRET_ID"] = self.secret("admin")
        if self.region:
            environ["AWS_REGION"] = environ["AWS_DEFAULT_REGION"] = self.region


def stage_named(name: str, root: Path) -> Stage:
    """The stage of cdk.json; UsageError when there is none of that name."""
    stages = _stages(root / "cdk.json")
    if name == LOCAL and LOCAL not in stages:
        return Stage(LOCAL)
    known = sorted(stages) or list(NAMED)
    if name not in known:
        raise UsageError(f"there is no stage {name!r}{nearest(name, known)}; there are {', '.join(known)}")
    found = stages.get(name, {})
    return Stage(
        name,
        prefix=found.get("prefix", PREFIX),
        one_bus=found.get("buses", "one") == "one",
        account=found.get("account"),
        region=found.get("region"),
        fast_memory_mb=int(found.get("fast-memory-mb", 512)),
        bulk_memory_mb=int(found.get("bulk-memory-mb", 1024)),
    )


def _stages(path: Path) -> dict[str, dict[str, Any]]:
    try:
        context = json.loads(path.read_text(encoding="utf-8")).get("context", {})
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise UsageError(f"{path.name} is no JSON: {error}") from None
    found: dict[str, dict[str, Any]] = context.get(STAGES_KEY, {})
    return found
