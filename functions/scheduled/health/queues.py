"""The queues' figures on AWS: one call to CloudWatch for ages and backlogs, one to SQS per dead-letter queue.

A figure that cannot be had (no right, no such queue, a local engine without metrics) is left out and logged: a check
must not fail because its instrument does.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

from functions.scheduled.health.probes import Pair

METRICS_PER_CALL = 500
METRICS = (("age", "ApproximateAgeOfOldestMessage"), ("depth", "ApproximateNumberOfMessagesVisible"))
WINDOW = timedelta(minutes=3)
"""SQS's metrics lag by a minute or two; the largest value of the last three minutes counts."""
PERIOD_S = 60
CALLS_AT_A_TIME = 8
CONNECT_TIMEOUT_S = 2
READ_TIMEOUT_S = 3

logger = logging.getLogger("cgk.health")


class AwsQueues:
    """The `Queues` of the probes. `prefix` stands before every logical name."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._urls: dict[str, str] = {}

    def ages_and_backlogs(self, queues: Sequence[str], now: datetime) -> Mapping[str, Pair]:
        """Queue -> (age of the oldest message in seconds, visible messages), the largest of the last minutes."""
        from botocore.exceptions import BotoCoreError, ClientError

        wanted = [(f"m{n}_{kind}", queue, metric) for n, queue in enumerate(queues) for kind, metric in METRICS][
            :METRICS_PER_CALL
        ]
        try:
            answer = _client("cloudwatch").get_metric_data(
                MetricDataQueries=[self._query(id, queue, metric) for id, queue, metric in wanted],
                StartTime=now - WINDOW,
                EndTime=now,
            )
        except (BotoCoreError, ClientError) as error:
            logger.warning("no queue metrics", extra={"error": type(error).__name__})
            return {}
        values = {each["Id"]: max(each["Values"]) for each in answer["MetricDataResults"] if each.get("Values")}
        return {queue: (values.get(f"m{n}_age"), values.get(f"m{n}_depth")) for n, queue in enumerate(queues)}

    def _query(self, id: str, queue: str, metric: str) -> dict[str, Any]:
        dimensions = [{"Name": "QueueName", "Value": self._prefix + queue}]
        stat = {"Namespace": "AWS/SQS", "MetricName": metric, "Dimensions": dimensions}
        return {"Id": id, "MetricStat": {"Metric": stat, "Period": PERIOD_S, "Stat": "Maximum"}}

    def depths(self, queues: Sequence[str]) -> Mapping[str, int]:
        """Queue -> messages in it, visible, in flight or delayed."""
        sqs = _client("sqs")
        with ThreadPoolExecutor(CALLS_AT_A_TIME) as pool:
            found = pool.map(lambda queue: self._depth(sqs, queue), queues)
            return {queue: depth for queue, depth in zip(queues, found, strict=True) if depth is not None}

    def _depth(self, sqs: Any, queue: str) -> int | None:
        from botocore.exceptions import BotoCoreError, ClientError

        names = [f"ApproximateNumberOfMessages{suffix}" for suffix in ("", "NotVisible", "Delayed")]
        try:
            if queue not in self._urls:
                self._urls[queue] = sqs.get_queue_url(QueueName=self._prefix + queue)["QueueUrl"]
            answer = sqs.get_queue_attributes(QueueUrl=self._urls[queue], AttributeNames=names)
        except (BotoCoreError, ClientError) as error:
            logger.warning("no depth of a queue", extra={"queue": queue, "error": type(error).__name__})
            return None
        return sum(int(answer["Attributes"].get(name, 0)) for name in names)


def _client(service: str) -> Any:
    """A client that gives up soon: the check has five seconds."""
    import boto3
    from botocore.config import Config

    config = Config(connect_timeout=CONNECT_TIMEOUT_S, read_timeout=READ_TIMEOUT_S, retries={"total_max_attempts": 1})
    return boto3.client(service, config=config)
