"""What one deployment is told: a frozen model, filled from the CDK context and checked before anything is built.

    cdk deploy --all -c cgk:stage=production -c cgk:connection-budget=200 -c 'cgk:concurrency={"webhooks": 10}'

Each field is the context key `cgk:<field with dashes>`; an unknown `cgk:` key is refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator

from shared.jobs.registry import QueueBinding

CONTEXT_PREFIX = "cgk:"
KERNEL_FUNCTIONS = ("sweep", "provision", "partitions", "ticks")
"""Functions of the kernel itself; each holds at most one connection."""
CONNECTIONS = {False: 1, True: 2}
"""Database connections of one worker, by class: a bulk worker's heartbeat has one of its own."""


class DeploymentError(ValueError):
    """A context that cannot be deployed; the sentence says how to mend it."""


def _from_json(value: Any) -> Any:
    """The command line gives text where cdk.json gives an object."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError as error:
        raise ValueError(f"is no JSON object: {error}") from None


class Deployment(BaseModel):
    """All switches of the app; the defaults are those of production."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stage: str = Field(default="production", pattern=r"^[a-z][a-z0-9-]{1,20}$")
    prefix: str = Field(default="cgk", pattern=r"^[a-z][a-z0-9]{1,15}$")
    """Starts every physical name: queues, functions, the bus, the bucket."""
    target: Literal["aws", "engine"] = "aws"
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
    connection_budget: int = Field(default=100, ge=10)
    """Database connections that the jobs may hold together: max_connections less what apps and people need."""
    workflows: Literal["on", "off"] = "on"
    """`off`: no state machines; jobs that would start one are told so and chain themselves."""
    log_days: int = 30
    payload_days: int = Field(default=31, ge=31)
    """How long the bucket keeps large payloads; the ledger keeps those of dead runs 30 days."""
    settings: Annotated[Mapping[str, str], BeforeValidator(_from_json)] = {}
    """<VENDOR>_BASE_URL of vendor fakes."""

    @field_validator("settings")
    @classmethod
    def _only_base_urls(cls, settings: Mapping[str, str]) -> Mapping[str, str]:
        for name in settings:
            if not re.fullmatch(r"[A-Z][A-Z0-9_]*_BASE_URL", name):
                raise ValueError(
                    f"{name} is no <VENDOR>_BASE_URL; secrets and other settings do not go through the context"
                )
        return settings

    @classmethod
    def from_context(cls, context: Mapping[str, Any]) -> Deployment:
        """Read the `cgk:` keys of a CDK context; raises DeploymentError with one sentence per wrong key."""
        found = {
            key.removeprefix(CONTEXT_PREFIX).replace("-", "_"): value
            for key, value in context.items()
            if key.startswith(CONTEXT_PREFIX)
        }
        try:
            deployment = cls(**found)
        except ValidationError as error:
            wrong = [
                f"context key {CONTEXT_PREFIX}{'.'.join(map(str, e['loc'])).replace('_', '-')}: {e['msg']}"
                for e in error.errors()
            ]
            raise DeploymentError("; ".join(wrong)) from None
        if (deployment.bundle == "source" or deployment.endpoint_url) and deployment.target != "engine":
            raise DeploymentError(
                "cgk:bundle=source and cgk:endpoint-url are for the local engine; add -c cgk:target=engine"
            )
        return deployment

    def physical(self, name: str) -> str:
        """Physical name of a resource: `cgk-order-processing`."""
        return f"{self.prefix}-{name}"

    def workers(self, queue: QueueBinding) -> int:
        """MaximumConcurrency of the queue's mapping."""
        return self.concurrency.get(queue.name, self.bulk_concurrency if queue.bulk else self.fast_concurrency)

    def check_connections(self, queues: Sequence[QueueBinding]) -> None:
        """Refuse a deployment whose workers together could ask the database for more connections than it has."""
        unknown = self.concurrency.keys() - {queue.name for queue in queues}
        if unknown:
            raise DeploymentError(f"cgk:concurrency names no queue of the app: {', '.join(sorted(unknown))}")
        needed = len(KERNEL_FUNCTIONS) + sum(self.workers(queue) * CONNECTIONS[queue.bulk] for queue in queues)
        if needed > self.connection_budget:
            raise DeploymentError(
                f"the functions could hold {needed} database connections but cgk:connection-budget is "
                f"{self.connection_budget}: raise the budget (and max_connections) or lower cgk:fast-concurrency, "
                "cgk:bulk-concurrency or cgk:concurrency"
            )
