"""From a webhook to what it brings about: a table of topics and one pure function."""

from __future__ import annotations

from functions.scheduled.webhooks.model import BodyInvalid, Facts, Plan, Topic, Webhook
from functions.scheduled.webhooks.shopify_topics import SUBSCRIPTION_CONTRACTS, TOPICS
from functions.scheduled.webhooks.vendor_topics import ASSEMBLYAI, MUX, NO_HANDLER, RESEND, STRIPE, TWILIO, WISE

BY_PROVIDER: dict[str, dict[str, Topic]] = {
    "shopify": TOPICS,
    "stripe": STRIPE,
    "wise": WISE,
    "resend": RESEND,
    "twilio": TWILIO,
    "mux": MUX,
    "assemblyai": ASSEMBLYAI,
}


def topic_of(webhook: Webhook) -> Topic | None:
    """How the webhook's topic is handled; None when nobody knows it."""
    if webhook.provider == "shopify" and webhook.topic.startswith("subscription_contracts/"):
        return SUBSCRIPTION_CONTRACTS
    return BY_PROVIDER.get(webhook.provider, {}).get(webhook.topic)


def plan(webhook: Webhook, facts: Facts) -> Plan:
    """Events and writes that follow from a webhook and from what was found about it. Touches nothing.

    Raises BodyInvalid when the body lacks what the topic needs. An unknown topic is skipped: vendors add topics.
    """
    topic = topic_of(webhook)
    if topic is None:
        return Plan(skip=NO_HANDLER)
    if not isinstance(webhook.body, dict):
        raise BodyInvalid("not an object")
    return topic.plan(webhook, facts)
