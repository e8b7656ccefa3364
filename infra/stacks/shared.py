"""What all categories share: the bus, the bucket, the secrets, the schedule groups, the key, the roles of publishers,
the alarm topic, the overview and the saved queries."""

from __future__ import annotations

from collections.abc import Sequence

import aws_cdk as cdk
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_scheduler as scheduler
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from infra.constructs.alarms import Alarms, AlarmTopic, of_hand_on, of_schedule_groups
from infra.constructs.bus import AppBus
from infra.constructs.dashboards import overview_dashboard
from infra.constructs.database_proxy import Proxy
from infra.constructs.delays import Delays
from infra.constructs.delays import group_name as delayed_group
from infra.constructs.encryption import AppKey, key_arn
from infra.constructs.function import ADMIN_SECRET, JOBS_SECRET, secret_name
from infra.constructs.publishers import Publishers
from infra.constructs.queries import SavedQueries
from infra.constructs.roles import acknowledge, tls_only
from infra.constructs.schedules import group_name as cron_group
from infra.deployment import Deployment
from infra.names import bucket_name, named, stack_environment
from infra.workflows import Workflow
from shared.jobs.registry import Registry

MAX_DELAY_DAYS = 365
"""A message may be sent so much later than its payload is stored."""


class SharedStack(cdk.Stack):
    """`<prefix>-shared`."""

    def __init__(
        self, scope: Construct, registry: Registry, deployment: Deployment, workflows: Sequence[Workflow] = ()
    ) -> None:
        super().__init__(scope, deployment.physical("shared"), env=stack_environment(deployment))
        key = AppKey(self, deployment).arn if deployment.kms == "own" else key_arn(deployment)
        AppBus(self, registry, deployment, key)
        self._bucket(deployment, key)
        group = scheduler.CfnScheduleGroup(self, "crons", name=cron_group(deployment))
        named(group, "crons", "schedules")
        Delays(self, deployment)
        AlarmTopic(self, deployment, key)
        groups = {"crons": cron_group(deployment), "delayed": delayed_group(deployment)}
        Alarms(self, deployment).add(*of_schedule_groups(groups), *of_hand_on(deployment))
        for name, holds in (
            (JOBS_SECRET, "DATABASE_URL, INTEGRATION_ENCRYPTION_KEY"),
            (ADMIN_SECRET, "DATABASE_URL, INTEGRATION_ENCRYPTION_KEY, DATABASE_ADMIN_URL"),
        ):
            self._secret(name, f"One JSON object: {holds}", deployment, key)
        Publishers(self, deployment)
        if deployment.database_proxy and deployment.network:
            Proxy(self, deployment.database_proxy, deployment.network, deployment)
        overview_dashboard(self, registry, workflows, deployment)
        if deployment.target == "aws":  # the engine knows no saved queries
            SavedQueries(self, registry, deployment)

    def _secret(self, name: str, description: str, deployment: Deployment, key: str | None) -> None:
        secret = secretsmanager.CfnSecret(
            self, f"{name}-secret", name=secret_name(deployment, name), description=description, kms_key_id=key
        )
        secret.apply_removal_policy(cdk.RemovalPolicy.RETAIN)
        reason = "the database's login and the key are rotated by scripts/keys, which seals anew what they sealed"
        acknowledge(secret, "SMG4", reason)
        named(secret, name, "secret")

    def _bucket(self, deployment: Deployment, key: str | None) -> None:
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
                        bucket_key_enabled=True if key else None,
                        server_side_encryption_by_default=s3.CfnBucket.ServerSideEncryptionByDefaultProperty(
                            sse_algorithm="aws:kms" if key else "AES256", kms_master_key_id=key
                        ),
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
        reason = "it holds payloads sealed by the jobs, which only their roles can reach; the ledger says who did what"
        acknowledge(bucket, "S1", reason)
        statement = tls_only("s3:*", bucket.attr_arn, f"{bucket.attr_arn}/*")
        document = {"Version": "2012-10-17", "Statement": [statement]}
        policy = s3.CfnBucketPolicy(self, "bucket-policy", bucket=bucket.ref, policy_document=document)
        named(policy, "bucket-policy")


def expire(prefix: str, days: int) -> s3.CfnBucket.RuleProperty:
    """Objects below `prefix/` end after `days`."""
    return s3.CfnBucket.RuleProperty(id=prefix, prefix=f"{prefix}/", status="Enabled", expiration_in_days=days)
