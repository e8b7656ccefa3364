"""The applications that publish: one role each, for this bus and for sources of their own.

The jobs' own source is what tells the pipeline that a message is the jobs' (only such a message may speak for the
platform itself), so no application may use it, whatever else its role is given later.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from constructs import Construct

from infra.constructs.encryption import use_key
from infra.constructs.roles import Statement, allow, role
from infra.deployment import Deployment
from infra.names import bus_arn, queue_arn
from infra.settings import Publisher
from shared.jobs.messages import OWN_SOURCE


class Publishers(Construct):
    """`<prefix>-publisher-<name>`, each."""

    def __init__(self, scope: Construct, deployment: Deployment) -> None:
        super().__init__(scope, "publishers")
        for publisher in deployment.publishers:
            role(
                self,
                publisher.name,
                [_trust(publisher)],
                self._statements(publisher, deployment),
                names=["publisher", publisher.name],
                role_name=deployment.physical(f"publisher-{publisher.name}"),
            )

    def _statements(self, publisher: Publisher, deployment: Deployment) -> list[Statement]:
        bus = bus_arn(self, deployment.prefix)
        own = {"StringEquals": {"events:source": list(publisher.sources)}}
        # A call may carry events of several sources: the permission needs one of them to be the application's, the
        # refusal needs only one that is not.
        other = {"ForAnyValue:StringNotEquals": {"events:source": list(publisher.sources)}}
        jobs = {"ForAnyValue:StringEquals": {"events:source": [OWN_SOURCE]}}
        statements = [
            allow("PublishOwn", ["events:PutEvents"], [bus]).when(own),
            Statement("NeverOthers", ("events:PutEvents",), (bus,), other, effect="Deny"),
            Statement("NeverTheJobs", ("events:PutEvents",), (bus,), jobs, effect="Deny"),
        ]
        if publisher.queues:
            queues = [queue_arn(self, deployment.physical(name)) for name in publisher.queues]
            statements += [allow("SendDirectly", ["sqs:SendMessage", "sqs:GetQueueUrl"], queues), *use_key(deployment)]
        return statements


def _trust(publisher: Publisher) -> Mapping[str, Any]:
    """Who may take the role on: named people or machines, or an identity provider's named subjects."""
    if publisher.oidc is None:
        return {"Effect": "Allow", "Principal": {"AWS": publisher.principal}, "Action": "sts:AssumeRole"}
    issuer = publisher.oidc.issuer
    return {
        "Effect": "Allow",
        "Principal": {"Federated": publisher.oidc.provider_arn},
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Condition": {
            "StringEquals": {
                f"{issuer}:aud": publisher.oidc.audience,
                f"{issuer}:sub": list(publisher.oidc.subjects),
            }
        },
    }
