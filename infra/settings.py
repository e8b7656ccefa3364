"""The parts of a deployment's settings that are objects of their own. Keys are written with dashes, as in cdk.json."""

from __future__ import annotations

import re

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from shared.jobs.messages import OWN_SOURCE

AWS_SOURCES = "aws."
"""Begins the sources of AWS's own events; nobody else may publish under it."""


class Settings(BaseModel):
    """Frozen, and closed to keys it does not know: a misspelt switch would else be silently off."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=lambda name: name.replace("_", "-"), populate_by_name=True
    )


class Network(Settings):
    """Subnets and security groups of a VPC that is there already; subnets with a way out (NAT), for the vendors."""

    subnet_ids: tuple[str, ...] = Field(min_length=2)
    security_group_ids: tuple[str, ...] = Field(min_length=1)

    @field_validator("subnet_ids", "security_group_ids")
    @classmethod
    def _are_ids(cls, ids: tuple[str, ...]) -> tuple[str, ...]:
        for id in ids:
            if not re.fullmatch(r"(subnet|sg)-[0-9a-f]{8,17}", id):
                raise ValueError(f"{id!r} is no id of a subnet or security group")
        return ids


class DatabaseProxy(Settings):
    """RDS Proxy for one Aurora cluster or one instance. `secret_arn`: the login of the jobs as RDS writes it, one JSON
    object with username and password. `pool_percent`: how much of max_connections the proxy may take."""

    cluster: str | None = None
    instance: str | None = None
    secret_arn: str = Field(pattern=r"^arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:\d{12}:secret:[A-Za-z0-9/_+=.@-]+$")
    pool_percent: int = Field(default=90, ge=1, le=100)

    @model_validator(mode="after")
    def _one_database(self) -> DatabaseProxy:
        if (self.cluster is None) == (self.instance is None):
            raise ValueError("give either cluster or instance")
        return self


class Oidc(Settings):
    """Federated sign-in of an application, such as Vercel's or GitHub's. `provider_arn`: the account's OIDC provider;
    `subjects`: exactly who, in the provider's own words, without wildcards."""

    provider_arn: str = Field(pattern=r"^arn:aws[a-z-]*:iam::\d{12}:oidc-provider/[A-Za-z0-9./_-]+$")
    audience: str = Field(min_length=1)
    subjects: tuple[str, ...] = Field(min_length=1)

    @field_validator("subjects")
    @classmethod
    def _exact(cls, subjects: tuple[str, ...]) -> tuple[str, ...]:
        return _without_wildcards(subjects)

    @property
    def issuer(self) -> str:
        """The provider's host and path, which begins the names of its condition keys."""
        return self.provider_arn.partition(":oidc-provider/")[2]


class Publisher(Settings):
    """One application: the sources it publishes under and who may take its role on, by `oidc` or by `principal` (ARN
    of a role, user or account). `queues`: where it may also send directly; such a message may claim any source, so
    name queues for tools of the platform's own only."""

    name: str = Field(pattern=r"^[a-z][a-z0-9-]{1,30}$")
    sources: tuple[str, ...] = Field(min_length=1)
    oidc: Oidc | None = None
    principal: str | None = Field(default=None, pattern=r"^arn:aws[a-z-]*:iam::\d{12}:(root|(role|user)/[\w+=,.@/-]+)$")
    queues: tuple[str, ...] = ()

    @field_validator("sources")
    @classmethod
    def _own_sources_only(cls, sources: tuple[str, ...]) -> tuple[str, ...]:
        for source in _without_wildcards(sources):
            if source == OWN_SOURCE or source.startswith(AWS_SOURCES):
                raise ValueError(f"{source} is not for applications; choose a source of the application's own")
        return sources

    @model_validator(mode="after")
    def _one_way_in(self) -> Publisher:
        if (self.oidc is None) == (self.principal is None):
            raise ValueError("give either oidc or principal")
        return self


def _without_wildcards(texts: tuple[str, ...]) -> tuple[str, ...]:
    for text in texts:
        if not text or set("*?") & set(text):
            raise ValueError(f"{text!r}: give it in full, without wildcards")
    return texts
