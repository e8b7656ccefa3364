"""What one deployment is told: a frozen model, filled from the CDK context and checked before anything is built.

    cdk deploy --all -c stage=staging
    cdk deploy --all -c stage=staging -c cgk:connection-budget=200 -c 'cgk:concurrency={"webhooks": 10}'

cdk.json holds the settings of each stage under `cgk:stages`; `stage` chooses one of them, and a key
`cgk:<field with dashes>` beside it overrides one field. An unknown key is refused in either place.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError, field_validator, model_validator

from infra.settings import DatabaseProxy, Network, Publisher, Settings
from shared.jobs.registry import QueueBinding, Registry

CONTEXT_PREFIX = "cgk:"
STAGES_KEY = "cgk:stages"
KERNEL_FUNCTIONS = ("sweep", "provision", "partitions", "ticks")
"""Functions of the kernel itself; each holds at most one connection."""
CONNECTIONS = {False: 1, True: 2}
"""Database connections of one worker, by class: a bulk worker's heartbeat has one of its own."""
ARCHIVE_RULES = 1
"""Rules that an archive adds to its bus by itself; they count against the bus's limit."""
LogDays = Literal[1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731]
"""Retentions that CloudWatch Logs knows."""


class DeploymentError(ValueError):
    """A context that cannot be deployed; the sentence says how to mend it."""


def _from_json(value: Any) -> Any:
    """The command line gives text where cdk.json gives an object, a list or a number."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError as error:
        raise ValueError(f"is no JSON: {error}") from None


class Deployment(Settings):
    """All switches of the app; the defaults are those of production."""

    stage: Literal["dev", "staging", "production", "local"] = "production"
    """`local`: the engine's; the others are the owner's."""
    prefix: str = Field(default="cgk", pattern=r"^[a-z][a-z0-9]{1,15}$")
    """Starts every physical name: queues, functions, the bus, the bucket. Without a dash, so that no stage's pattern
    of names covers another stage in the same account."""
    target: Literal["aws", "engine"] = "aws"
    account: str | None = Field(default=None, pattern=r"^\d{12}$")
    """With `region`: the stacks refuse to be deployed elsewhere. Without: where the credentials lead."""
    region: str | None = Field(default=None, pattern=r"^[a-z]{2}(-[a-z]+)+-\d$")
    architecture: Literal["arm64", "x86_64"] = "arm64"
    bundle: Literal["pip", "source"] = "pip"
    """`pip`: code and locked libraries for Lambda; `source`: the checkout itself, for the local engine only."""
    endpoint_url: str | None = None
    """Address of the local engine; only with target=engine."""
    fast_memory_mb: int = Field(default=512, ge=128, le=10240)
    bulk_memory_mb: int = Field(default=1024, ge=128, le=10240)
    fast_concurrency: int = Field(default=5, ge=2, le=1000)
    """Most workers at once on one fast queue; SQS allows no less than 2."""
    bulk_concurrency: int = Field(default=2, ge=2, le=1000)
    concurrency: Annotated[Mapping[str, Annotated[int, Field(ge=2, le=1000)]], BeforeValidator(_from_json)] = {}
    """Exceptions by queue name, e.g. {"webhooks": 10, "order-processing-bulk": 4}."""
    connection_budget: int = Field(default=400, ge=10)
    """Database connections that the jobs may hold together: max_connections less what apps and people need."""
    workflows: Literal["on", "off"] = "on"
    """`off`: no state machines; jobs that would start one are told so and chain themselves."""
    buses: Literal["one", "per-category"] = "one"
    """`per-category`: the app's bus hands events on to one bus per category, for regions with 100 rules per bus."""
    rules_per_bus: int = Field(default=300, ge=10, le=2000)
    """The account's quota; 100 in the smallest regions."""
    archive_days: int = Field(default=7, ge=0, le=365)
    """How long the bus keeps all events, to be sent again after a fault of the rules; 0: no archive."""
    log_days: Annotated[LogDays, BeforeValidator(_from_json)] = 30
    payload_days: int = Field(default=31, ge=31)
    """How long the bucket keeps large payloads; the ledger keeps those of dead runs 30 days."""
    kms: str = Field(
        default="managed", pattern=r"^(managed|own|arn:aws[a-z-]*:kms:[a-z0-9-]+:\d{12}:key/[A-Za-z0-9-]+)$"
    )
    """`managed`: the services' own keys; `own`: a key of this app; else the ARN of a key, whose policy must let
    events, sns, logs and cloudwatch use it as infra/constructs/encryption.py does with ours."""
    network: Annotated[Network | None, BeforeValidator(_from_json)] = None
    """Where the functions run when the database is in a VPC; None: outside of any."""
    database_proxy: Annotated[DatabaseProxy | None, BeforeValidator(_from_json)] = None
    """An RDS Proxy in front of the database; needs `network`."""
    publishers: Annotated[tuple[Publisher, ...], BeforeValidator(_from_json)] = ()
    """The applications that publish, each with a role of its own."""
    runbooks: str = "docs/operations.md"
    """Where the alarms' descriptions lead: a path or the address at which people read it."""
    fast_age_alarm_s: int = Field(default=900, ge=60)
    """An alarm when the oldest message of a fast queue is older."""
    bulk_age_alarm_s: int = Field(default=3600, ge=60)
    settings: Annotated[Mapping[str, str], BeforeValidator(_from_json)] = {}
    """Addresses that jobs ask for: ADMIN_URL, CREATOR_PORTAL_URL, FILES_PUBLIC_URL; <VENDOR>_BASE_URL of fakes."""

    @field_validator("settings")
    @classmethod
    def _only_addresses(cls, settings: Mapping[str, str]) -> Mapping[str, str]:
        for name in settings:
            if not re.fullmatch(r"[A-Z][A-Z0-9_]*_URL", name) or name.startswith("DATABASE"):
                raise ValueError(f"{name} is no <NAME>_URL; secrets and other settings do not go through the context")
            if not re.fullmatch(r"https?://[^@\s?#]+", settings[name]):
                raise ValueError(f"{name}: give an http address without a login")
        return settings

    @model_validator(mode="after")
    def _together(self) -> Deployment:
        """What one field asks of another."""
        if (self.bundle == "source" or self.endpoint_url or self.stage == "local") and self.target != "engine":
            raise ValueError(
                "cgk:bundle=source, cgk:endpoint-url and stage=local are for the local engine; add -c cgk:target=engine"
            )
        if (self.account is None) != (self.region is None):
            raise ValueError("cgk:account and cgk:region go together; give both or neither")
        if self.database_proxy and not self.network:
            raise ValueError("cgk:database-proxy needs cgk:network: a proxy is reached from inside its VPC only")
        names = [publisher.name for publisher in self.publishers]
        if len(set(names)) < len(names):
            raise ValueError("cgk:publishers: two publishers have one name; names are unique")
        return self

    @classmethod
    def from_context(cls, context: Mapping[str, Any]) -> Deployment:
        """Read the CDK context: the chosen stage of `cgk:stages`, then the `cgk:` keys beside it.

        Raises DeploymentError with one sentence per wrong key.
        """
        stage = context.get("cgk:stage", context.get("stage", "production"))
        stages = context.get(STAGES_KEY, {})
        if not isinstance(stages, Mapping):
            raise DeploymentError(f"context key {STAGES_KEY}: an object of settings by stage")
        beside = {
            key.removeprefix(CONTEXT_PREFIX): value
            for key, value in context.items()
            if key.startswith(CONTEXT_PREFIX) and key != STAGES_KEY
        }
        if stages and stage not in stages and beside.get("target") != "engine":
            raise DeploymentError(f"there is no stage {stage!r} in {STAGES_KEY}; there are {', '.join(sorted(stages))}")
        try:
            return cls.model_validate({**stages.get(stage, {}), **beside, "stage": stage})
        except ValidationError as error:
            raise DeploymentError("; ".join(_sentences(error))) from None

    def physical(self, name: str) -> str:
        """Physical name of a resource: `cgk-order-processing`."""
        return f"{self.prefix}-{name}"

    def bus_of(self, category: str) -> str:
        """Name of the bus that holds the rules of a category."""
        return self.prefix if self.buses == "one" else self.physical(category)

    def runbook(self, section: str) -> str:
        """Where people read what to do: `docs/operations.md#dead-letters`."""
        return f"{self.runbooks}#{section}"

    def workers(self, queue: QueueBinding) -> int:
        """MaximumConcurrency of the queue's mapping."""
        return self.concurrency.get(queue.name, self.bulk_concurrency if queue.bulk else self.fast_concurrency)

    def connections(self, queues: Iterable[QueueBinding]) -> int:
        """Database connections that all workers together may hold."""
        return len(KERNEL_FUNCTIONS) + sum(self.workers(queue) * CONNECTIONS[queue.bulk] for queue in queues)

    def check_connections(self, queues: Sequence[QueueBinding]) -> None:
        """Refuse a deployment whose workers together could ask the database for more connections than it has."""
        unknown = self.concurrency.keys() - {queue.name for queue in queues}
        if unknown:
            raise DeploymentError(f"cgk:concurrency names no queue of the app: {', '.join(sorted(unknown))}")
        if (needed := self.connections(queues)) > self.connection_budget:
            raise DeploymentError(
                f"the functions could hold {needed} database connections but cgk:connection-budget is "
                f"{self.connection_budget}: raise the budget (and max_connections) or lower cgk:fast-concurrency, "
                "cgk:bulk-concurrency or cgk:concurrency"
            )

    def check_rules(self, registry: Registry) -> None:
        """Refuse more rules on one bus than the account's quota has room for."""
        rules: dict[str, int] = {self.prefix: ARCHIVE_RULES if self.archive_days else 0}
        for job in registry:
            if job.on:
                bus = self.bus_of(job.category)
                rules[bus] = rules.get(bus, 0) + 1
        for bus, count in rules.items():
            if count > self.rules_per_bus:
                raise DeploymentError(
                    f"bus {bus} would hold {count} rules but cgk:rules-per-bus is {self.rules_per_bus}: "
                    "set cgk:buses=per-category, or have the quota raised and set cgk:rules-per-bus"
                )

    def check_publishers(self, registry: Registry) -> None:
        """Refuse a publisher that would send to a queue which is not there."""
        there = {queue.name for queue in registry.queues()}
        for publisher in self.publishers:
            if unknown := set(publisher.queues) - there:
                raise DeploymentError(
                    f"publisher {publisher.name} names no queue of the app: {', '.join(sorted(unknown))}"
                )


def _sentences(error: ValidationError) -> Iterable[str]:
    for each in error.errors():
        key = ".".join(map(str, each["loc"])).replace("_", "-")
        yield f"context key {CONTEXT_PREFIX}{key}: {each['msg']}" if key else each["msg"].removeprefix("Value error, ")
