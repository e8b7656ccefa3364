"""One SQS queue with its dead-letter queue."""

from __future__ import annotations

from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infra import local_engine
from infra.constructs.encryption import key_arn
from infra.deployment import Deployment
from infra.names import named
from shared.jobs.registry import QueueBinding

RETENTION_S = 14 * 24 * 3600  # the longest SQS keeps a message; dead letters and work alike
MAX_RECEIVES = 50  # a backstop only: deferrals count as receives too, attempts are counted in the ledger
VISIBILITY_FACTOR = 6  # of the function's timeout, as AWS advises; the pipeline sets its own per message


class JobQueue(Construct):
    """`<prefix>-<queue>` and `<prefix>-<queue>-dlq`."""

    def __init__(
        self, scope: Construct, binding: QueueBinding, deployment: Deployment, *, function_timeout_s: int
    ) -> None:
        super().__init__(scope, f"{binding.name}-queue")
        self.binding = binding
        self.name = deployment.physical(binding.name)
        key = key_arn(deployment)
        self.dead: sqs.CfnQueue = named(
            sqs.CfnQueue(
                self,
                "dlq",
                queue_name=f"{self.name}-dlq",
                message_retention_period=RETENTION_S,
                sqs_managed_sse_enabled=None if key else True,
                kms_master_key_id=key,
            ),
            binding.name,
            "dlq",
        )
        self.queue: sqs.CfnQueue = named(
            sqs.CfnQueue(
                self,
                "queue",
                queue_name=self.name,
                visibility_timeout=local_engine.visibility_s(deployment, VISIBILITY_FACTOR * function_timeout_s),
                message_retention_period=RETENTION_S,
                redrive_policy={"deadLetterTargetArn": self.dead.attr_arn, "maxReceiveCount": MAX_RECEIVES},
                sqs_managed_sse_enabled=None if key else True,
                kms_master_key_id=key,
            ),
            binding.name,
            "queue",
        )
        local_engine.acknowledge(self.queue, deployment)
