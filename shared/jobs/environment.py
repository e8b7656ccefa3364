"""The environment of a function as one typed value; nothing else of the jobs reads os.environ."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

SECRET_NAMES = (
    "DATABASE_URL",
    "DATABASE_ADMIN_URL",
    "INTEGRATION_ENCRYPTION_KEY",
    "INTEGRATION_ENCRYPTION_KEY_PREVIOUS",
)
"""What may stand in the secret, or on a developer's machine in the environment itself."""


class SettingError(ValueError):
    """A variable is missing or wrong; the sentence names it."""


@dataclass(frozen=True)
class JobsEnvironment:
    """Settings of one function. Secrets are fetched once, at the first message, and never shown."""

    category: str
    function_class: Literal["fast", "bulk"]
    bus: str
    bucket: str
    queue_prefix: str
    schedule_group: str
    scheduler_role: str
    """ARN of the role by which one-off schedules send; empty where there are none."""
    secret_id: str | None
    settings: Mapping[str, str] = field(repr=False)

    @classmethod
    def read(cls, environ: Mapping[str, str] = os.environ) -> JobsEnvironment:
        kind = environ.get("CGK_CLASS", "fast")
        if kind not in ("fast", "bulk"):
            raise SettingError(f"CGK_CLASS={kind!r} must be fast or bulk")
        return cls(
            category=environ.get("CGK_CATEGORY", ""),
            function_class="bulk" if kind == "bulk" else "fast",
            bus=environ.get("CGK_BUS", "cgk"),
            bucket=environ.get("CGK_BUCKET", ""),
            queue_prefix=environ.get("CGK_QUEUE_PREFIX", "cgk-"),
            schedule_group=environ.get("CGK_SCHEDULE_GROUP", "cgk-delayed"),
            scheduler_role=environ.get("CGK_SCHEDULER_ROLE", ""),
            secret_id=environ.get("CGK_SECRET_ID") or None,
            settings={name: value for name, value in environ.items() if name not in SECRET_NAMES},
        )

    def secrets(self, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
        """The platform's secrets: from Secrets Manager when CGK_SECRET_ID is set, else from the environment."""
        if self.secret_id:
            from shared.jobs.aws import read_secret

            found = read_secret(self.secret_id)
        else:
            found = {name: environ[name] for name in SECRET_NAMES if environ.get(name)}
        if "DATABASE_URL" not in found:
            raise SettingError("DATABASE_URL is missing: set it, or CGK_SECRET_ID to a secret that holds it")
        if "INTEGRATION_ENCRYPTION_KEY" not in found:
            raise SettingError("INTEGRATION_ENCRYPTION_KEY is missing beside DATABASE_URL")
        return found
