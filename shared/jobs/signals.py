"""Metrics and alarms on AWS: what goes out without the database.

A metric is a line of CloudWatch's embedded metric format on standard output, so it costs no call and is not lost with
the run. An alarm is a message to the deployment's SNS topic.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

NAMESPACE = "cgk"
"""CloudWatch namespace where the deployment gives none; the stacks give the deployment's prefix."""
SUBJECT_MAX = 100
"""SNS: characters of a subject."""

logger = logging.getLogger("cgk.jobs.signals")


class EmfMetrics:
    """The `Metrics` port. Every set of dimensions is a line of its own, as counters of single events are."""

    def count(self, name: str, value: float, **dimensions: str) -> None:
        from aws_lambda_powertools import single_metric  # only who counts pays for the import
        from aws_lambda_powertools.metrics import MetricUnit

        with single_metric(name=name, unit=MetricUnit.Count, value=value, namespace=_namespace()) as metric:
            for dimension, text in dimensions.items():
                metric.add_dimension(dimension, text)

    def measure(
        self,
        counts: Mapping[str, float],
        times_ms: Mapping[str, Sequence[float]] = MappingProxyType({}),
        **dimensions: str,
    ) -> None:
        # Written by hand: every invocation measures, and Powertools' metrics would cost each cold start their import
        # and each metric a dimension `service` that nobody looks at.
        units = {**dict.fromkeys(counts, "Count"), **dict.fromkeys(times_ms, "Milliseconds")}
        described = {
            "Namespace": _namespace(),
            "Dimensions": [sorted(dimensions)],
            "Metrics": [{"Name": name, "Unit": unit} for name, unit in units.items()],
        }
        line = {"_aws": {"Timestamp": round(time.time() * 1000), "CloudWatchMetrics": [described]}}
        print(
            json.dumps({**line, **dimensions, **counts, **{k: list(v) for k, v in times_ms.items()}}), file=sys.stdout
        )


def _namespace() -> str:
    return os.environ.get("POWERTOOLS_METRICS_NAMESPACE", NAMESPACE)


class SnsAlarms:
    """The `Alarms` port. `topic`: ARN of the alarm topic, None where the deployment has none."""

    def __init__(self, topic: str | None) -> None:
        self._topic = topic
        self._sns: Any = None

    def publish(self, subject: str, text: str) -> bool:
        if self._topic is None:
            logger.error("an alarm without a topic: CGK_ALARM_TOPIC is not set", extra={"subject": subject})
            return False
        from botocore.exceptions import BotoCoreError, ClientError

        from shared.jobs.aws import client

        try:
            self._sns = self._sns or client("sns")
            self._sns.publish(TopicArn=self._topic, Subject=subject[:SUBJECT_MAX], Message=text)
        except (BotoCoreError, ClientError) as error:
            logger.error("the alarm topic took nothing", extra={"subject": subject, "error": type(error).__name__})
            return False
        return True
