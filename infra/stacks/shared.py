"""What all categories share: the bus, the bucket, the secrets, the group of one-off schedules, the
alarm topic."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_events as events
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from infra.constructs.alarms import AlarmTopic
from infra.constructs.delays import Delays
from infra.constructs.function import ADMIN_SECRET, JOBS_SECRET, secret_name
from infra.deployment import Deployment
from infra.names import bucket_name, named

MAX_DELAY_DAYS = 365
"""A message may be sent so much later than its payload is stored."""


class SharedStack(cdk.Stack):
    """`<prefix>-shared`."""

    def __init__(self, scope: Construct, deployment: Deployment) -> None:
        super().__init__(scope, deployment.physical("shared"))
        named(events.CfnEventBus(self, "bus", name=deployment.prefix), "bus")
        self._bucket(deployment)
        Delays(self, deployment)
        AlarmTopic(self, deployment)
        for name, holds in (
            (JOBS_SECRET, "DATABASE_URL, INTEGRATION_ENCRYPTION_KEY"),
            (ADMIN_SECRET, "DATABASE_URL, INTEGRATION_ENCRYPTION_KEY, DATABASE_ADMIN_URL"),
        ):
            secret = secretsmanager.CfnSecret(
                self, f"{name}-secret", name=secret_name(deployment, name), description=f"One JSON object: {holds}"
            )
            secret.apply_removal_policy(cdk.RemovalPolicy.RETAIN)
            named(secret, name, "secret")

    def _bucket(self, deployment: Deployment) -> None:
        bucket = s3.CfnBucket(
            self,
            "bucket",
            bucket_name=bucket_name(deployment.prefix),
            public_access_block_configuration=s3.CfnBucket.PublicAccessBlockConfigurationProperty(
                block_public_acls=True,
                block_public_policy=True,
                ignore_public_acls=True,
                restrict_public_buckets=True,
            ),
            bucket_encryption=s3.CfnBucket.BucketEncryptionProperty(
                server_side_encryption_configuration=[
                    s3.CfnBucket.ServerSideEncryptionRuleProperty(
                        server_side_encryption_by_default=s3.CfnBucket.ServerSideEncryptionByDefaultProperty(
                            sse_algorithm="AES256"
                        )
                    )
                ]
            ),
            lifecycle_configuration=s3.CfnBucket.LifecycleConfigurationProperty(
                rules=[
                    expire("payloads", deployment.payload_days),
                    expire("payloads-long", deployment.payload_days + MAX_DELAY_DAYS),
                    s3.CfnBucket.RuleProperty(
                        id="unfinished-uploads",
                        status="Enabled",
                        abort_incomplete_multipart_upload=s3.CfnBucket.AbortIncompleteMultipartUploadProperty(
                            days_after_initiation=2
                        ),
                    ),
                ]
            ),
        )
        bucket.apply_removal_policy(cdk.RemovalPolicy.RETAIN)
        named(bucket, "bucket")
        policy = s3.CfnBucketPolicy(self, "bucket-policy", bucket=bucket.ref, policy_document=tls_only(bucket.attr_arn))
        named(policy, "bucket-policy")


def expire(prefix: str, days: int) -> s3.CfnBucket.RuleProperty:
    """Objects below `prefix/` end after `days`."""
    return s3.CfnBucket.RuleProperty(id=prefix, prefix=f"{prefix}/", status="Enabled", expiration_in_days=days)


def tls_only(arn: str) -> dict[str, object]:
    """Nobody reads or writes the bucket without TLS."""
    statement = {
        "Sid": "TlsOnly",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [arn, f"{arn}/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    return {"Version": "2012-10-17", "Statement": [statement]}
