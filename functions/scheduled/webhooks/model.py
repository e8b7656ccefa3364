"""The words of this package: a webhook, what a topic needs to know, and the plan that a topic makes of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from shared.events.base import Event
from shared.jobs.errors import Permanent

Facts = Sequence[Mapping[str, Any]]
"""Rows that the topic's one look-up found; empty when the topic looks nothing up."""


class BodyInvalid(Permanent):
    """The body lacks what its topic needs. The detail names the field, never a value."""

    def __init__(self, what: str) -> None:
        super().__init__("BODY_INVALID", what)


@dataclass(frozen=True, slots=True)
class Webhook:
    """A claimed row of webhook_events."""

    id: UUID
    key: str
    """Idempotency key of the row; outgoing events build theirs upon it."""
    provider: str
    topic: str
    shop: str
    """Lower-case shop domain of a Shopify event, the account or sender of another vendor's."""
    body: Any = field(repr=False)
    triggered_at: datetime | None
    received_at: datetime
    failures: int
    """Attempts that failed so far."""
    verified: bool
    shop_known: bool
    """Whether the shop is one of this tenant's; always true for other vendors."""

    @property
    def happened_at(self) -> datetime:
        """When the vendor sent it, else when it arrived; aware, UTC."""
        return (self.triggered_at or self.received_at).astimezone(UTC)


@dataclass(frozen=True, slots=True)
class Send:
    """An event to publish. Its key is `key`, else `<row key>:<event name>` and, for one of several, `:<about>`."""

    event: Event
    key: str | None = None
    about: str | None = None

    def key_for(self, webhook: Webhook) -> str:
        """The idempotency key: the same for every repetition of this webhook."""
        if self.key is not None:
            return self.key
        base = f"{webhook.key}:{self.event.event_name}"
        return f"{base}:{self.about}" if self.about else base


class Write:
    """Base of what a plan may write beside the webhook's own row; `effects` knows how."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What one webhook brings about. `skip` says why nothing does."""

    resource_id: str | None = None
    sends: tuple[Send, ...] = ()
    writes: tuple[Write, ...] = ()
    skip: str | None = None


@dataclass(frozen=True, slots=True)
class Look:
    """One statement that reads what a topic must know; `params` takes them from the body and may raise BodyInvalid."""

    sql: str
    params: Callable[[Webhook], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Topic:
    """How a topic is handled: what it looks up, and the pure function from webhook and facts to a plan."""

    plan: Callable[[Webhook, Facts], Plan]
    look: Look | None = None


# -- writes ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CheckoutSeen(Write):
    """Upsert an abandoned checkout; values by column of abandoned_checkouts."""

    values: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class CheckoutGone(Write):
    """A checkout was deleted: no longer to be recovered."""

    shopify_checkout_id: str


@dataclass(frozen=True, slots=True)
class CheckPayouts(Write):
    """payout_attempts that must be looked up at their vendor now."""

    attempt_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Disconnect(Write):
    """The app was uninstalled from the webhook's shop."""

    at: datetime


@dataclass(frozen=True, slots=True)
class StoreScopes(Write):
    """The scopes that the shop grants now."""

    scopes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StoreShop(Write):
    """The shop's own details; None leaves a column as it is."""

    name: str | None
    email: str | None
    domain: str | None
    currency: str | None
    timezone: str | None


@dataclass(frozen=True, slots=True)
class AskPrivacy(Write):
    """Open a privacy request unless a pending one exists for the person and type."""

    request_id: str
    customer_id: str | None
    email: str = field(repr=False)
    request_type: str
    notes: str
    deadline_at: datetime


@dataclass(frozen=True, slots=True)
class RedactCustomer(Write):
    """Remove a person from the tenant's tables and close the privacy request that asks for it."""

    customer_id: str
    email: str | None = field(repr=False)
    phone: str | None = field(repr=False)
    order_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RecordMail(Write):
    """A delivery event of a mail that Resend has; `detail` is the event's `data`."""

    type: str
    email_id: str
    at: datetime
    detail: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class ForgetShop(Write):
    """Drop every secret of the webhook's shop."""

    at: datetime
