"""The platform that a command talks to: settings, the registry, the database, AWS. Everything is made at first use.

Settings come from the environment. Beside a running scripts/dev none is needed: its file .dev/env is read when the
environment names no other platform. It is taken as a whole or not at all, so that local and remote never mix.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shared.cli.errors import UsageError

if TYPE_CHECKING:
    from shared.cli.stages import Stage
    from shared.crypto import Keyring
    from shared.db.connections import Connection
    from shared.jobs.environment import JobsEnvironment
    from shared.jobs.offload import Vault
    from shared.jobs.ports import Bus, Clock, Queues
    from shared.jobs.publisher import Publisher
    from shared.jobs.registry import AnyJob, Registry
    from shared.jobs.rotation import BlobStore

ROOT = Path(__file__).resolve().parents[2]
DEV_ENV = Path(".dev") / "env"
ANCHORS = ("DATABASE_URL", "CGK_SECRET_ID", "AWS_ENDPOINT_URL")
"""Each of these names a platform; one that differs from the file's means that another platform is meant."""
OVERRULED = ("AWS_PROFILE", "AWS_SESSION_TOKEN")
"""Would turn the local engine's credentials into somebody else's."""
SOURCE = "cgk.cli"
"""EventBridge source, and sender in the ledger, of what the command line sends."""


def _load_registry() -> Registry:
    from shared.jobs.registry import load_registry

    return load_registry()


@dataclass
class Platform:
    """`environ` is changed when .dev/env is used, because AWS clients read the process's environment."""

    environ: MutableMapping[str, str] = field(default_factory=lambda: os.environ)
    root: Path = ROOT
    load: Callable[[], Registry] = _load_registry
    queues_port: Queues | None = None
    bus_port: Bus | None = None
    blobs_port: BlobStore | None = None
    clock: Clock | None = None
    sleep: Callable[[float], None] = time.sleep
    from_dev: bool = False
    stage: Stage | None = None
    _connection: Connection | None = None

    def use_dev_settings(self) -> None:
        """Take .dev/env when it is there and the environment names no other platform."""
        found = read_env_file(self.root / DEV_ENV)
        if not found or any(self.environ.get(name, found.get(name)) != found.get(name) for name in ANCHORS):
            return
        for name in OVERRULED:
            self.environ.pop(name, None)
        self.environ.update(found)
        self.from_dev = True

    def use_stage(self, name: str) -> None:
        """Speak to a stage of cdk.json instead of whatever the environment names; UsageError when there is none."""
        from shared.cli.stages import LOCAL, stage_named

        self.stage = stage_named(name, self.root)
        if name == LOCAL:
            self.use_dev_settings()
        else:
            self.stage.apply(self.environ)

    def bus_of(self, category: str) -> str:
        """Name of the bus that holds the rules of a category."""
        return self.stage.bus_of(category) if self.stage else self.environment.bus

    @cached_property
    def registry(self) -> Registry:
        """All declared jobs."""
        return self.load()

    def job(self, id: str) -> AnyJob:
        """A declared job; UsageError with the nearest names."""
        from shared.cli.errors import nearest

        if id not in self.registry.jobs:
            raise UsageError(f"there is no job {id!r}{nearest(id, sorted(self.registry.jobs))}")
        return self.registry.jobs[id]

    @cached_property
    def environment(self) -> JobsEnvironment:
        """Names of the bus, the bucket, the queues."""
        from shared.jobs.environment import JobsEnvironment

        return JobsEnvironment.read(self.environ)

    def now(self) -> datetime:
        """The time, UTC; the machine's unless another clock was given."""
        return self.clock.now() if self.clock else datetime.now(UTC)

    # Secrets and the database.

    def secret(self, name: str) -> str | None:
        """A secret from the environment, else a member of the secret in AWS that CGK_SECRET_ID names."""
        if value := self.environ.get(name):
            return value
        return self._secrets.get(name)

    @cached_property
    def _secrets(self) -> dict[str, str]:
        if not (secret_id := self.environ.get("CGK_SECRET_ID")):
            return {}
        from shared.jobs.aws import read_secret

        return read_secret(secret_id)

    def required(self, name: str) -> str:
        """A secret that the command cannot do without; UsageError says how to give it."""
        if value := self.secret(name):
            return value
        raise UsageError(f"{name} is not set: set it, or start scripts/dev, whose settings are then used")

    def database(self) -> Connection:
        """The connection as the jobs' own login, opened at first use."""
        if self._connection is None:
            from shared.db.connections import connect

            self._connection = connect(self.required("DATABASE_URL"), application_name="cgk-jobs cli")
        return self._connection

    @property
    def admin_url(self) -> str:
        """URL of the owner, for DDL."""
        return self.required("DATABASE_ADMIN_URL")

    @cached_property
    def keyring(self) -> Keyring:
        """Opens sealed payloads."""
        from shared.crypto import MASTER_KEY, PREVIOUS_KEY, Keyring

        return Keyring.of({MASTER_KEY: self.required(MASTER_KEY), PREVIOUS_KEY: self.secret(PREVIOUS_KEY) or ""})

    def close(self) -> None:
        """Close what was opened."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    # AWS.

    @cached_property
    def queues(self) -> Queues:
        """Sends to queues by logical name."""
        from shared.jobs.aws import SqsQueues

        return self.queues_port or SqsQueues(self.environment.queue_prefix)

    @cached_property
    def bus(self) -> Bus:
        """Publishes as the command line."""
        from shared.jobs.aws import EventBridgeBus

        return self.bus_port or EventBridgeBus(self.environment.bus, SOURCE)

    @cached_property
    def blobs(self) -> BlobStore:
        """Where payloads lie that were too large for the ledger or for a message."""
        from shared.jobs.aws import S3Blobs

        return self.blobs_port or S3Blobs(self.environment.bucket)

    @cached_property
    def publisher(self) -> Publisher:
        """Validates and sends."""
        from shared.jobs.publisher import Publisher

        return Publisher(
            self.bus, self.queues, self.registry, source=SOURCE, clock=self.clock, vault=lambda: self.vault
        )

    @cached_property
    def vault(self) -> Vault:
        """Seals what is too large for a message; UsageError when the bucket or the key is not known."""
        from shared.jobs.offload import Vault

        if not self.blobs_port and not self.environment.bucket:
            raise UsageError("the payload is too large for a message: set CGK_BUCKET to the bucket that takes it")
        return Vault(self.blobs, self.keyring)

    def client(self, service: str) -> Any:
        """A boto3 client."""
        from shared.jobs.aws import client

        return client(service)


def read_env_file(path: Path) -> dict[str, str]:
    """NAME=value lines of a file; empty when there is none. Comments, `export` and quoted values are allowed."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    found: dict[str, str] = {}
    for line in lines:
        name, equals, value = line.strip().removeprefix("export ").partition("=")
        if equals and name.isidentifier():
            quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "'\""
            found[name] = value[1:-1] if quoted else value
    return found
