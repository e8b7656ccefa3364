"""Lambda functions: one per category and class for the jobs, and the kernel's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

from infra import local_engine
from infra.constructs.bundle import PYTHON, FunctionCode
from infra.constructs.encryption import key_arn, use_key
from infra.constructs.queue import JobQueue
from infra.constructs.roles import Statement, acknowledge, allow, service_role
from infra.deployment import Deployment
from infra.names import bucket_name, bus_arn, log_group_arn, named, queue_arn, secret_arns
from shared.jobs.registry import AnyJob


@dataclass(frozen=True, slots=True)
class FunctionClass:
    """How jobs of one latency class run."""

    name: str
    timeout_s: int
    batch: int


FAST = FunctionClass("fast", timeout_s=90, batch=10)
BULK = FunctionClass("bulk", timeout_s=900, batch=1)
JOBS_SECRET = "jobs"
"""Holds DATABASE_URL (the jobs' own login) and INTEGRATION_ENCRYPTION_KEY, as one JSON object."""
ADMIN_SECRET = "admin"
"""Holds the same and DATABASE_ADMIN_URL (DDL, roles, grants); only the kernel's provisioning and partitions read it."""


class Function(Construct):
    """A function, its role and its log group. The role may do what `statements` say and write its own log."""

    def __init__(
        self,
        scope: Construct,
        name: str,
        deployment: Deployment,
        code: FunctionCode,
        *,
        handler: str,
        timeout_s: int,
        memory_mb: int,
        environment: Mapping[str, str],
        statements: Sequence[Statement],
        calls_itself: bool = False,
    ) -> None:
        super().__init__(scope, f"{name}-function")
        self.name = deployment.physical(name)
        group = f"/aws/lambda/{self.name}"
        log = logs.CfnLogGroup(
            self, "log", log_group_name=group, retention_in_days=deployment.log_days, kms_key_id=key_arn(deployment)
        )
        named(log, name, "log")
        self.role: iam.CfnRole = service_role(
            self,
            "role",
            "lambda.amazonaws.com",
            [write_log(self, group), *join_network(self, deployment), *use_key(deployment), *statements],
            names=[name],
        )
        self.function: lambda_.CfnFunction = named(
            lambda_.CfnFunction(
                self,
                "function",
                function_name=self.name,
                runtime=f"python{PYTHON}",
                handler=handler,
                code=code.property,
                layers=list(code.layers) or None,
                architectures=[deployment.architecture],
                timeout=timeout_s,
                memory_size=memory_mb,
                role=self.role.attr_arn,
                environment=lambda_.CfnFunction.EnvironmentProperty(
                    variables={**_environment(deployment), **code.environment, **environment}
                ),
                vpc_config=_vpc(deployment),
                # Continuations and steps go to the function's own queues, and AWS would stop them after 16 rounds; the
                # pipeline's hop limit is the guard. Nobody else sends to what it is started by.
                recursive_loop="Allow" if calls_itself else "Terminate",
            ),
            name,
            "function",
        )
        self.function.add_resource_dependency(log)
        acknowledge(
            self.function, "L1", f"python{PYTHON} is what the locked libraries are built for and the tests hold"
        )


class JobFunction(Function):
    """The function that runs the jobs of one category and class from their queues."""

    def __init__(
        self,
        scope: Construct,
        category: str,
        kind: FunctionClass,
        deployment: Deployment,
        code: FunctionCode,
        *,
        queues: Sequence[JobQueue],
        sends_to: Sequence[str],
        environment: Mapping[str, str] | None = None,
        statements: Sequence[Statement] = (),
    ) -> None:
        """`sends_to`: logical names of the queues that receive what these jobs emit with a delay. `environment` and
        `statements`: what these jobs need beside what every job needs."""
        targets = sorted({deployment.physical(name) for name in sends_to} | {queue.name for queue in queues})
        super().__init__(
            scope,
            f"{category}-{kind.name}",
            deployment,
            code,
            handler=f"functions.{category}.handler.main",
            calls_itself=True,
            timeout_s=kind.timeout_s,
            memory_mb=deployment.bulk_memory_mb if kind is BULK else deployment.fast_memory_mb,
            environment={
                "CGK_CATEGORY": category,
                "CGK_CLASS": kind.name,
                "CGK_SECRET_ID": secret_name(deployment, JOBS_SECRET),
                "POWERTOOLS_SERVICE_NAME": f"{category}-{kind.name}",
                **deployment.settings,
                **(environment or {}),
            },
            statements=[
                *statements,
                publish(scope, deployment),
                read_secret(scope, deployment, JOBS_SECRET),
                *keep_payloads(deployment),
                allow(
                    "DrainQueues",
                    [
                        "sqs:ReceiveMessage",
                        "sqs:DeleteMessage",
                        "sqs:ChangeMessageVisibility",
                        "sqs:GetQueueAttributes",
                    ],
                    [queue.queue.attr_arn for queue in queues],
                ),
                allow(
                    "SendMessages",
                    ["sqs:SendMessage", "sqs:GetQueueUrl"],
                    [queue_arn(scope, name) for name in targets] + [queue.dead.attr_arn for queue in queues],
                ),
            ],
        )
        for queue in queues:
            self._drain(queue, kind, deployment)

    def _drain(self, queue: JobQueue, kind: FunctionClass, deployment: Deployment) -> None:
        mapping = lambda_.CfnEventSourceMapping(
            self,
            f"{queue.binding.name}-mapping",
            function_name=self.function.ref,
            event_source_arn=queue.queue.attr_arn,
            batch_size=kind.batch,
            function_response_types=["ReportBatchItemFailures"],
            scaling_config=lambda_.CfnEventSourceMapping.ScalingConfigProperty(
                maximum_concurrency=deployment.workers(queue.binding)
            ),
        )
        named(mapping, queue.binding.name, "mapping")


def publish(scope: Construct, deployment: Deployment) -> Statement:
    """Put events on the app's bus."""
    return allow("Publish", ["events:PutEvents"], [bus_arn(scope, deployment.prefix)])


def read_secret(scope: Construct, deployment: Deployment, name: str) -> Statement:
    """Read one secret."""
    return allow("ReadSecret", ["secretsmanager:GetSecretValue"], [secret_arns(scope, secret_name(deployment, name))])


def keep_payloads(deployment: Deployment) -> list[Statement]:
    """Write and read payloads that are too large for the ledger or for a message.

    Who may not list a bucket is told "forbidden" of an object that is gone, and would try for ever.
    """
    bucket = f"arn:{cdk.Aws.PARTITION}:s3:::{bucket_name(deployment.prefix)}"
    objects = [f"{bucket}/payloads/*", f"{bucket}/payloads-long/*"]
    return [
        allow(
            "KeepPayloads",
            ["s3:GetObject", "s3:PutObject"],
            objects,
            wildcard="objects below the two prefixes of payloads; their names are ids of messages",
        ),
        allow("MissPayloads", ["s3:ListBucket"], [bucket]),
    ]


def write_files(jobs: Sequence[AnyJob], deployment: Deployment) -> list[Statement]:
    """Write files below the prefixes that these jobs declare."""
    prefixes = sorted({prefix for job in jobs for prefix in job.files})
    if not prefixes:
        return []
    bucket = f"arn:{cdk.Aws.PARTITION}:s3:::{bucket_name(deployment.prefix)}"
    return [
        allow(
            "WriteFiles",
            ["s3:PutObject", "s3:AbortMultipartUpload"],  # a large file goes up in parts
            [f"{bucket}/{prefix}/*" for prefix in prefixes],
            wildcard="objects below the prefixes that the jobs declare; their names are of tenants and contents",
        )
    ]


def secret_name(deployment: Deployment, name: str) -> str:
    """Physical name of a secret: `cgk/jobs`."""
    return f"{deployment.prefix}/{name}"


def write_log(scope: Construct, group: str) -> Statement:
    """Write the function's own log group, which is there before it."""
    return allow(
        "WriteLog",
        ["logs:CreateLogStream", "logs:PutLogEvents"],
        [log_group_arn(scope, group)],
        wildcard="the streams of the function's own log group; Lambda names one per environment",
    )


def join_network(scope: Construct, deployment: Deployment) -> list[Statement]:
    """What Lambda needs of a function's role to place it in the VPC."""
    if deployment.network is None:
        return []
    interfaces = f"arn:{cdk.Aws.PARTITION}:ec2:{cdk.Aws.REGION}:{cdk.Aws.ACCOUNT_ID}:*/*"
    return [
        allow(
            "JoinNetwork",
            [
                "ec2:CreateNetworkInterface",
                "ec2:DeleteNetworkInterface",
                "ec2:AssignPrivateIpAddresses",
                "ec2:UnassignPrivateIpAddresses",
            ],
            [interfaces],
            wildcard="interfaces have no name before Lambda makes them; AWS documents this form for functions in a VPC",
        ),
        allow(
            "SeeNetwork",
            ["ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets"],
            ["*"],
            wildcard="these actions know no resource",
        ),
    ]


def _vpc(deployment: Deployment) -> lambda_.CfnFunction.VpcConfigProperty | None:
    if (network := deployment.network) is None:
        return None
    return lambda_.CfnFunction.VpcConfigProperty(
        subnet_ids=list(network.subnet_ids), security_group_ids=list(network.security_group_ids)
    )


def _environment(deployment: Deployment) -> dict[str, str]:
    """What every function is told about the deployment."""
    return {
        "CGK_BUS": deployment.prefix,
        "CGK_BUCKET": bucket_name(deployment.prefix),
        "CGK_QUEUE_PREFIX": deployment.physical(""),
        "CGK_STAGE": deployment.stage,
        "POWERTOOLS_METRICS_NAMESPACE": deployment.prefix,
        **local_engine.address(deployment),
    }
