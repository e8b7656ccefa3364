"""IAM: statements, and roles made of them. No action is a wildcard; a resource that is one says why it must be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from constructs import Construct

from infra.names import named

MAX_INLINE_CHARS = 10_240
"""IAM: characters of all inline policies of a role, white space apart."""
FROM_THIS_ACCOUNT = {"StringEquals": {"aws:SourceAccount": cdk.Aws.ACCOUNT_ID}}
"""Condition that keeps a service from acting for another customer (the confused deputy)."""
RULE_PACK = "AwsSolutions::AwsSolutions"


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement of a policy. `wildcard`: why one of its resources is a pattern; without it a pattern is refused."""

    sid: str
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    condition: Mapping[str, Any] | None = None
    wildcard: str | None = None
    effect: str = "Allow"

    def when(self, condition: Mapping[str, Any]) -> Statement:
        """The same under a condition."""
        return replace(self, condition=condition)

    def document(self) -> dict[str, Any]:
        """As IAM writes it."""
        document: dict[str, Any] = {
            "Sid": self.sid,
            "Effect": self.effect,
            "Action": list(self.actions),
            "Resource": list(self.resources),
        }
        return {**document, "Condition": self.condition} if self.condition else document


def allow(sid: str, actions: Sequence[str], resources: Sequence[str], *, wildcard: str | None = None) -> Statement:
    """Allow actions on resources."""
    if wrong := [action for action in actions if "*" in action]:
        raise ValueError(f"{sid}: {', '.join(wrong)} is a wildcard; name the actions")
    return Statement(sid, tuple(actions), tuple(resources), wildcard=wildcard)


def service_role(
    scope: Construct,
    id: str,
    service: str,
    statements: Sequence[Statement],
    *,
    names: Sequence[str],
    role_name: str | None = None,
) -> iam.CfnRole:
    """A role that an AWS service takes on. `names`: parts of its logical id."""
    principal = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
    # Lambda takes a function's role on without naming an account.
    trust = principal if service == "lambda.amazonaws.com" else {**principal, "Condition": FROM_THIS_ACCOUNT}
    return role(scope, id, [trust], statements, names=names, role_name=role_name)


def role(
    scope: Construct,
    id: str,
    trust: Sequence[Mapping[str, Any]],
    statements: Sequence[Statement],
    *,
    names: Sequence[str],
    role_name: str | None = None,
) -> iam.CfnRole:
    """A role with one inline policy. Patterns among the resources are acknowledged to cdk-nag with their reasons."""
    made = iam.CfnRole(
        scope,
        id,
        role_name=role_name,
        assume_role_policy_document={"Version": "2012-10-17", "Statement": list(trust)},
        policies=[
            iam.CfnRole.PolicyProperty(
                policy_name="jobs",
                policy_document={"Version": "2012-10-17", "Statement": [each.document() for each in statements]},
            )
        ],
    )
    for finding, reason in _wildcards(scope, statements):
        acknowledge(made, f"IAM5[{finding}]", reason)
    return named(made, *names, "role")


def acknowledge(construct: Construct, rule: str, reason: str) -> None:
    """Tell cdk-nag why a rule of its pack AwsSolutions does not apply: `rule` is its short name, e.g. SQS3."""
    cdk.Validations.of(construct).acknowledge(cdk.Acknowledgment(id=f"{RULE_PACK}-{rule}", reason=reason))


def tls_only(actions: str, *resources: str) -> dict[str, Any]:
    """Statement of a resource's own policy: nobody reaches it without TLS."""
    return {
        "Sid": "TlsOnly",
        "Effect": "Deny",
        "Principal": "*",
        "Action": actions,
        "Resource": list(resources) if len(resources) > 1 else resources[0],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }


def _wildcards(scope: Construct, statements: Sequence[Statement]) -> Iterator[tuple[str, str]]:
    """(finding of the rule, reason) of each resource that is a pattern."""
    seen: set[str] = set()
    for statement in statements:
        for resource in statement.resources:
            text = _flat(cdk.Stack.of(scope).resolve(resource))
            if "*" not in text or text in seen:
                continue
            if statement.wildcard is None:
                raise ValueError(f"{statement.sid}: {text} is a pattern; name the resource or say why it must be one")
            seen.add(text)
            yield f"Resource::{text}", statement.wildcard


def _flat(value: Any) -> str:
    """A resource as cdk-nag writes it: `arn:<AWS::Partition>:sqs:...`, `<OrderProcessingQueue.Arn>`."""
    if isinstance(value, str):
        return value
    ((function, argument),) = value.items()
    if function == "Ref":
        return f"<{argument}>"
    if function == "Fn::GetAtt":
        return f"<{'.'.join(argument)}>"
    if function == "Fn::Join":
        separator, parts = argument
        return str(separator).join(map(_flat, parts))
    raise ValueError(f"a policy's resource is composed by {function}")
