"""Many customers: by list, by date, or all of them through an export; those whom Shopify deleted lose their data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, ClassVar
from uuid import UUID

from functions.commerce.catalog import runs
from functions.commerce.catalog.common import BATCH_RETRY, IDS_MAX, enabled, klaviyo_active, shop_currency, shop_read
from functions.commerce.catalog.export import MAX_HOPS, run_step
from functions.commerce.catalog.paging import read_pages, since_of
from functions.commerce.catalog.runs import Run
from functions.commerce.catalog.subject import Batch, Stored, Subject, step_key
from shared.catalog.customer_mapping import map_customer
from shared.catalog.customers import CustomerCounts, anonymise_customers, store_customers
from shared.catalog.marks import touch_marks
from shared.catalog.records import CustomerRecord
from shared.events.alerts import AlertApiFailure
from shared.events.base import Payload
from shared.events.customers import CustomerSyncBatch
from shared.events.integrations import KlaviyoSync
from shared.ids import as_legacy_id, legacy_id
from shared.integrations import shopify_catalog_queries as q
from shared.integrations.shopify_catalog import PAGE_CUSTOMERS, Node, ShopifyCatalog
from shared.jobs import JobContext, Permanent, Session, job
from shared.jobs.queues import CATALOG_SYNC

FULL_INTERVAL = timedelta(days=7)
"""Time after which changes are not enough: what was deleted is found by a full run only."""
LIST_WITHOUT_RUN = 100
PAGE_ROOM_S = 30.0
"""Seconds that must be left to begin another page of a list."""


class CustomerBatchResult(Payload):
    """Figures of the run so far. `anonymised`: customers who are gone at Shopify."""

    run_id: UUID | None = None
    mode: str
    outcome: str
    merged: int = 0
    changed: int = 0
    stale: int = 0
    anonymised: int = 0
    consent_changes: int = 0


SHOPIFY_IDS = """
-- catalog: Shopify's ids of customers that are named by customers.id
SELECT id, COALESCE(shopify_customer_id, shopify_id) AS legacy_id FROM customers
WHERE id = ANY(%(ids)s) AND COALESCE(shopify_customer_id, shopify_id) IS NOT NULL
"""

MISSING = """
-- catalog: customers that a full run has not seen, and how many there are
SELECT count(*) AS live,
       COALESCE(array_agg(i.id ORDER BY i.id) FILTER (WHERE m.external_id IS NULL
           OR (m.generation <> %(generation)s AND m.checked_at < %(started_at)s)), '{}') AS candidates
FROM customers c
CROSS JOIN LATERAL (SELECT COALESCE(c.shopify_customer_id, c.shopify_id) AS id) i
LEFT JOIN catalog_sync_marks m ON m.kind = 'customer' AND m.external_id = i.id
WHERE i.id IS NOT NULL
  AND NOT COALESCE(c.metadata -> 'shopify', '{}') ?| ARRAY['deletedAt', 'redactedAt']
"""


class Customers(Subject):
    """Customers with their addresses."""

    kind = "customers"
    message = CustomerSyncBatch
    root_type = "Customer"
    bulk_query = q.BULK_CUSTOMERS
    connections: ClassVar[Mapping[str, Mapping[str, str]]] = {"Customer": {"": "addressesV2"}}

    def read(self, ctx: JobContext, shopify: ShopifyCatalog, run: Run) -> Batch:
        page = shopify.customers(search_of(run), run.cursor)
        return Batch(page.nodes, page.end_cursor or run.cursor, page.has_next)

    def store(self, ctx: JobContext, session: Session, run: Run, nodes: Sequence[Node]) -> Stored:
        counts = write(ctx, session, nodes, **run.seen_by)
        return Stored(
            merged=len(nodes),
            changed=counts.count("created", "updated"),
            stale=counts.count("stale"),
            kept={"consentChanges": len(counts.consent_changed)},
        )

    def missing(self, session: Session, run: Run) -> tuple[int, list[str]]:
        row = session.one(MISSING, {"generation": run.generation, "started_at": run.started_at}) or {}
        return row["live"], row["candidates"]

    def counted(self, shopify: ShopifyCatalog) -> int:
        return shopify.customers_count()

    def confirmed(self, shopify: ShopifyCatalog, ids: Sequence[str]) -> list[str]:
        return shopify.unknown("Customer", ids)

    def remove(self, ctx: JobContext, session: Session, run: Run, ids: Sequence[str]) -> int:
        return len(anonymise_customers(session, ids, now=ctx.now()))

    def at_end(self, ctx: JobContext, session: Session, run: Run) -> None:
        if klaviyo_active(session):
            session.emit(KlaviyoSync(sync_type="all", updated_since=run.watermark_from))


CUSTOMERS = Customers()


def search_of(run: Run) -> str | None:
    """The search of a run: changed since, made since, both or neither."""
    since, created = since_of(run), run.filter.get("createdSince")
    terms = [q.changed_since(since)] if since else []
    terms += [q.created_since(datetime.fromisoformat(created))] if created else []
    return " AND ".join(terms) or None


def write(
    ctx: JobContext,
    session: Session,
    nodes: Sequence[Node],
    *,
    generation: int = 0,
    taken_at: datetime | None = None,
) -> CustomerCounts:
    """Store customer nodes; one that cannot be mapped is named by id in the log and stops nothing."""
    records: list[CustomerRecord] = []
    unread: list[str] = []
    for node in nodes:
        try:
            records.append(map_customer(node))
        except Permanent as error:
            unread.append(legacy_id(node["id"]))
            ctx.log.warning("customer %s is left out: %s", unread[-1], error.code)
    counts = store_customers(session, records, now=ctx.now(), generation=generation, taken_at=taken_at)
    touch_marks(session, "customer", unread, now=ctx.now(), generation=generation)
    return counts


@job(
    "commerce-customer-batch-sync",
    on=CustomerSyncBatch,
    queue=CATALOG_SYNC,
    emits=(CustomerSyncBatch, KlaviyoSync, AlertApiFailure),
    retry=BATCH_RETRY,
    timeout_s=600,
    key=step_key,
    max_hops=MAX_HOPS,
)
def sync_customer_batch(ctx: JobContext, payload: CustomerSyncBatch) -> CustomerBatchResult:
    """Synchronise many customers by list or date, or do one step of a run over all of them.

    Without ids, dates and mode it reads changes, and everything once a week. Permanent: TOO_MANY_IDS,
    SYNC_RUN_NOT_FOUND, BULK_TIMEOUT, BULK_REFUSED, CATALOG_SHRUNK and the Shopify client's.
    """
    with ctx.tenant_session(read_only=True) as session:
        if not enabled(session, "customers"):
            return CustomerBatchResult(mode=payload.mode or "delta", outcome="disabled")
    if payload.sync_run_id is not None:
        return _result(*run_step(ctx, CUSTOMERS, payload))
    ids = _listed(ctx, payload)
    if ids is not None:
        return _list(ctx, ids)
    with ctx.tenant_session() as session:
        shop_currency(session)
        opened = _open(ctx, session, payload)
    if not opened.ours:
        return _result(opened.run, "joined")
    if opened.run.mode == "full":
        return _result(*run_step(ctx, CUSTOMERS, CustomerSyncBatch(sync_run_id=opened.run.id)))
    with runs.failing(ctx, opened.run.id):
        try:
            return _result(*read_pages(ctx, CUSTOMERS, opened.run, ShopifyCatalog.connect(ctx, batch=True)))
        except runs.Moved:
            return _result(opened.run, "already_past")


def _open(ctx: JobContext, session: Session, payload: CustomerSyncBatch) -> runs.Opened:
    """Open or join the run that a message without a list asks for."""
    last, now = runs.last_of(session, "customers"), ctx.now()
    kept: dict[str, Any] = {}
    since: datetime | None = None
    mode: runs.Mode = "delta"
    if payload.created_since is not None or payload.updated_since is not None:
        since = payload.updated_since
        covered = payload.created_since is None and last.since is not None and since is not None and since <= last.since
        kept = {} if covered else {"partial": True}
        if payload.created_since is not None:
            kept["createdSince"] = payload.created_since.isoformat()
    elif payload.mode == "full" or last.full_at is None or last.full_at < now - FULL_INTERVAL:
        mode = "full"
    else:
        since = last.since
    return runs.open_run(
        session,
        id=ctx.run_id,
        kind="customers",
        mode=mode,
        now=now,
        requested_by=payload.source or "app",
        watermark_from=since,
        filter=kept,
    )


def _result(run: Run, outcome: str) -> CustomerBatchResult:
    return CustomerBatchResult(
        run_id=run.id,
        mode=run.mode,
        outcome=outcome,
        merged=run.merged_count,
        changed=run.changed_count,
        stale=run.stale_count,
        anonymised=run.deleted_count,
        consent_changes=run.filter.get("consentChanges", 0),
    )


# -- lists -------------------------------------------------------------------------------------------------------------


def _listed(ctx: JobContext, payload: CustomerSyncBatch) -> list[str] | None:
    """Shopify's ids of what the message lists, without repetitions; None when it lists nothing."""
    named, listed = list(payload.customer_ids or ()), list(payload.shopify_customer_ids or ())
    if len(named) > IDS_MAX or len(listed) > IDS_MAX:
        raise Permanent("TOO_MANY_IDS", f"more than {IDS_MAX} ids; send several messages")
    if not named and not listed:
        return None
    with ctx.tenant_session(read_only=True) as session:
        held = {row["id"]: row["legacy_id"] for row in session.all(SHOPIFY_IDS, {"ids": named})}
    found = [as_legacy_id(held.get(id, id)) for id in (*named, *listed)]
    return list(dict.fromkeys(id for id in found if id is not None))


def _list(ctx: JobContext, ids: Sequence[str]) -> CustomerBatchResult:
    """Read the customers of a list by id. It waits for no run; a long one leaves a row when it has ended."""
    place: dict[str, Any] = ctx.cursor or {
        "offset": 0,
        "changed": 0,
        "stale": 0,
        "deleted": 0,
        "merged": 0,
        "consent": 0,
    }
    place.setdefault("startedAt", ctx.now().isoformat())
    shopify = ShopifyCatalog.connect(ctx, batch=True)
    while place["offset"] < len(ids):
        asked = ids[place["offset"] : place["offset"] + PAGE_CUSTOMERS]
        nodes = shopify.customer_nodes(asked)
        with ctx.tenant_session() as session:
            counts = write(ctx, session, [node for node in nodes if node is not None])
            gone = [id for id, node in zip(asked, nodes, strict=True) if node is None]
            place["deleted"] += len(anonymise_customers(session, gone, now=ctx.now()))
        place["offset"] += len(asked)
        place["merged"] += len(nodes) - len(gone)
        place["changed"] += counts.count("created", "updated")
        place["stale"] += counts.count("stale")
        place["consent"] += len(counts.consent_changed)
        if place["offset"] < len(ids) and ctx.remaining_s() < PAGE_ROOM_S:
            ctx.continue_from(place)
    figures = {name: place[name] for name in ("merged", "changed", "stale", "deleted")}
    long = len(ids) > LIST_WITHOUT_RUN
    with ctx.final_session() as session:
        shop_read(session, ctx.now())
        if long:
            runs.record(session, ctx.run_id, "customers", len(ids), figures, place["startedAt"], now=ctx.now())
        if place["changed"] and klaviyo_active(session):
            session.emit(KlaviyoSync(sync_type="all", updated_since=datetime.fromisoformat(place["startedAt"])))
    return CustomerBatchResult(
        run_id=ctx.run_id if long else None,
        mode="list",
        outcome="completed",
        merged=place["merged"],
        changed=place["changed"],
        stale=place["stale"],
        anonymised=place["deleted"],
        consent_changes=place["consent"],
    )
