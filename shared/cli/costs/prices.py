"""The one table of prices: US dollars, region us-east-1, on demand, without free tiers and without discounts.

Looked up on 2026-11-26. AWS's own pages draw their tables in the browser, so the figures were taken from pages that
quote them, and agree with each other; compare with the pages named beside each price before a decision hangs on it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

REGION = "us-east-1"
AS_OF = date(2026, 11, 26)


@dataclass(frozen=True, slots=True)
class Price:
    """`usd` for one `unit`; `source`: the page that AWS publishes it on."""

    usd: float
    unit: str
    source: str


LAMBDA_ARM = Price(0.0000133334, "GB-second, arm64", "aws.amazon.com/lambda/pricing")
LAMBDA_X86 = Price(0.0000166667, "GB-second, x86_64", "aws.amazon.com/lambda/pricing")
LAMBDA_REQUEST = Price(0.20 / 1e6, "invocation", "aws.amazon.com/lambda/pricing")
SQS_REQUEST = Price(0.40 / 1e6, "request to a standard queue", "aws.amazon.com/sqs/pricing")
SQS_FAIR = Price(0.10 / 1e6, "request beside it, for fair queues", "aws.amazon.com/sqs/pricing")
BUS_EVENT = Price(1.00 / 1e6, "custom event of up to 64 KiB", "aws.amazon.com/eventbridge/pricing")
SCHEDULE = Price(1.00 / 1e6, "invocation by EventBridge Scheduler", "aws.amazon.com/eventbridge/pricing")
LOG_GB = Price(0.50, "GB of logs taken in", "aws.amazon.com/cloudwatch/pricing")

ALL = {
    "Lambda compute, arm64": LAMBDA_ARM,
    "Lambda compute, x86_64": LAMBDA_X86,
    "Lambda requests": LAMBDA_REQUEST,
    "SQS requests": SQS_REQUEST,
    "SQS fair queues": SQS_FAIR,
    "EventBridge events": BUS_EVENT,
    "EventBridge Scheduler": SCHEDULE,
    "CloudWatch Logs": LOG_GB,
}
