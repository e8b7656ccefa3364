"""One customer: brought to the state that Shopify shows now, or relieved of all personal data."""

from __future__ import annotations

from typing import Literal

from functions.commerce.catalog.common import RETRY, object_key, shop_currency
from shared.catalog.customer_mapping import map_customer
from shared.catalog.customers import CustomerCounts, anonymise_customers, store_customers
from shared.catalog.marks import mark_deleted, seen_at
from shared.catalog.records import CustomerRecord
from shared.events.alerts import AlertApiFailure
from shared.events.base import Payload
from shared.events.customers import CustomerCreated, CustomerSync, CustomerUpdated
from shared.ids import as_legacy_id, find_customer
from shared.integrations.shopify_catalog import ShopifyCatalog
from shared.jobs import Delivery, JobContext, Permanent, Session, job
from shared.jobs.queues import CATALOG_SYNC

Outcome = Literal["created", "updated", "unchanged", "skipped_stale", "deleted", "not_found"]


class CustomerSyncResult(Payload):
    """What became of the customer."""

    outcome: Outcome
    consent_changed: bool = False


def run_key(payload: CustomerSync, delivery: Delivery) -> str:
    """Shopify's id, the action, and updatedAt, else the message."""
    named = (payload.shopify_customer_id, payload.customer_id)
    return object_key(delivery, *named, action=payload.action, updated_at=payload.updated_at)


@job(
    "commerce-customer-sync",
    on=CustomerSync,
    queue=CATALOG_SYNC,
    emits=(CustomerCreated, CustomerUpdated, AlertApiFailure),
    retry=RETRY,
    timeout_s=60,
    key=run_key,
)
def sync_customer(ctx: JobContext, payload: CustomerSync) -> CustomerSyncResult:
    """Bring one customer with addresses and consent to Shopify's present state, or remove a deleted one's data.

    A webhook whose updatedAt we have already costs no call. Permanent: CUSTOMER_ID_UNKNOWN, CUSTOMER_UNMAPPABLE and
    the Shopify client's; transient: CATALOG_CONFLICT.
    """
    with ctx.tenant_session(read_only=True) as session:
        legacy_id, held = _resolve(session, payload)
        shop_currency(session)  # there must be a connection, also for what needs no call
        seen = seen_at(session, "customer", legacy_id)
    if payload.action == "delete":
        return _gone(ctx, legacy_id, held=held)
    if payload.updated_at is not None and seen is not None and payload.updated_at <= seen:
        return CustomerSyncResult(outcome="skipped_stale")
    node = ShopifyCatalog.connect(ctx).customer(legacy_id)
    if node is None:
        return _gone(ctx, legacy_id, held=held)
    customer = map_customer(node)
    with ctx.final_session() as session:
        counts = store_customers(session, [customer], now=ctx.now())
        if payload.source in ("webhook", "app"):
            _announce(session, customer, counts)
    outcome = counts.by_id[legacy_id]
    shown: dict[str, Outcome] = {"stale": "skipped_stale", "redacted": "unchanged"}
    return CustomerSyncResult(
        outcome=shown.get(outcome, outcome),  # type: ignore[arg-type]  # the rest are the same words
        consent_changed=legacy_id in counts.consent_changed,
    )


def _resolve(session: Session, payload: CustomerSync) -> tuple[str, bool]:
    """(Shopify's id as digits, whether we hold the customer)."""
    named = payload.shopify_customer_id or payload.customer_id or ""
    row = find_customer(session, payload.customer_id or named) or find_customer(session, named)
    legacy_id = as_legacy_id(payload.shopify_customer_id) if payload.shopify_customer_id else None
    legacy_id = legacy_id or (row["legacy_id"] if row else None) or as_legacy_id(named)
    if legacy_id is None:
        raise Permanent("CUSTOMER_ID_UNKNOWN", "no customer has this id, and it is no Shopify id")
    return legacy_id, row is not None


def _gone(ctx: JobContext, legacy_id: str, *, held: bool) -> CustomerSyncResult:
    """Shopify has deleted the customer, or merged them into another one."""
    with ctx.final_session() as session:
        if not held:
            # An export under way may hold them: the mark keeps their data from being brought back.
            mark_deleted(session, "customer", [legacy_id], now=ctx.now())
            return CustomerSyncResult(outcome="not_found")
        anonymise_customers(session, [legacy_id], now=ctx.now())
    return CustomerSyncResult(outcome="deleted")


def _announce(session: Session, customer: CustomerRecord, counts: CustomerCounts) -> None:
    legacy_id = customer.legacy_id
    outcome, id = counts.by_id[legacy_id], counts.ids.get(legacy_id)
    if id is None:
        return
    if outcome == "created" and customer.columns["email"]:
        session.emit(CustomerCreated(customer_id=id, email=customer.columns["email"], shopify_customer_id=legacy_id))
    elif outcome == "updated":
        session.emit(
            CustomerUpdated(customer_id=id, changes=dict.fromkeys(counts.changes[legacy_id], True), synced=True)
        )
