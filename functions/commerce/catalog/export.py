"""A full run by Shopify's bulk export: start, poll, load, merge, reconcile.

Shopify writes all objects of a kind into a file of JSON lines, children behind their parents at any distance. The
lines are staged by COPY as they come (load), put together and written chunk by chunk (merge), and what the run has not
seen is gone (reconcile). Each message does one step and sends the next in the transaction that moves the run on.
https://shopify.dev/docs/api/usage/bulk-operations/queries (read November 2026)
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from datetime import timedelta
from typing import Any, cast
from uuid import UUID

from functions.commerce.catalog import runs
from functions.commerce.catalog.paging import Legs, end_run, read_pages
from functions.commerce.catalog.runs import Moved, Run
from functions.commerce.catalog.subject import Subject, added, send
from shared.events.catalog import SyncRunStep
from shared.ids import legacy_id
from shared.integrations.shopify import BulkUrlGone
from shared.integrations.shopify_catalog import Node, ShopifyCatalog
from shared.jobs import JobContext, Permanent, Session, Transient

MERGE_CHUNK = 500
"""Objects per transaction: bounds memory and how long rows stay locked."""
STAGE_COPY_ROWS = 5_000
"""Lines per COPY."""
BULK_POLL_FIRST_S = 30
BULK_POLL_MAX_S = 300
BULK_MAX_WAIT = timedelta(hours=6)
BULK_MAX_RESTARTS = 2
SHOP_BUSY_S = 300
"""Wait in seconds when the shop has no room for another export."""
BUSY = ("OPERATION_IN_PROGRESS", "LIMIT_REACHED")
"""userErrors of a shop that runs enough exports."""
MAX_HOPS = 1_000
"""Messages in the chain of one run: three exports of some 75 polls each, loads, merges."""

STAGE = ("run_id", "line_no", "object_type", "external_id", "parent_id", "data")

ROOTS = """
-- catalog export: the next staged objects
SELECT external_id, data FROM catalog_sync_stage
WHERE run_id = %(run_id)s AND object_type = %(type)s AND external_id > %(cursor)s
ORDER BY external_id LIMIT %(limit)s
"""

CHILDREN = """
-- catalog export: what belongs to staged objects
SELECT parent_id, object_type, data FROM catalog_sync_stage
WHERE run_id = %(run_id)s AND parent_id = ANY(%(parents)s) ORDER BY line_no
"""

STAGED = """
-- catalog export: lines of a run that another attempt has staged behind what the run's row says
DELETE FROM catalog_sync_stage WHERE run_id = %(run_id)s
"""

WAITS = {
    "start": ("requested",),
    "poll": ("exporting",),
    "load": ("loading",),
    "merge": ("merging",),
    "reconcile": ("reconciling",),
}
"""Step -> statuses in which a run waits for it."""


def poll_delay_s(n: int) -> int:
    """Seconds before the n-th look at an export (n from 1): min(300, 30 * 1.5^(n-1)), rounded down."""
    return int(min(BULK_POLL_MAX_S, BULK_POLL_FIRST_S * 1.5 ** min(n - 1, 10)))


def run_step(ctx: JobContext, subject: Subject, payload: SyncRunStep) -> tuple[Run, str]:
    """Do one step of a run; (the run as it stands, outcome). Raises Permanent SYNC_RUN_NOT_FOUND."""
    assert payload.sync_run_id is not None
    run = runs.find(ctx, payload.sync_run_id, subject.kind)
    step = payload.step or "start"
    if not waits(run, step) or not _current(run, step, payload):
        return run, "already_past"
    with runs.failing(ctx, run.id):
        shopify = ShopifyCatalog.connect(ctx, batch=True)
        try:
            return _STEPS[step](ctx, subject, run, shopify, payload.attempt or 1)
        except Moved:
            return run, "already_past"


def waits(run: Run, step: str) -> bool:
    """Whether the run waits for this step. One message begins to read pages and goes on with them, also in a retry."""
    return run.status in WAITS[step] or (step == "start" and _by_pages(run) and run.status == "merging")


def _by_pages(run: Run) -> bool:
    return run.mode != "full" or bool(run.filter.get("paged"))


def _current(run: Run, step: str, payload: SyncRunStep) -> bool:
    """Whether the message is the run's latest one: a redriven older one must not fork its chain."""
    if (payload.restarts or 0) != run.restarts:
        return False
    return step != "poll" or payload.attempt is None or payload.attempt == run.poll_count + 1


# -- start, poll -------------------------------------------------------------------------------------------------------


def start(ctx: JobContext, subject: Subject, run: Run, shopify: ShopifyCatalog, attempt: int) -> tuple[Run, str]:
    """Start the export, or adopt the one that a lost answer has started already."""
    if _by_pages(run):
        return read_pages(ctx, subject, run, shopify, attempt)
    # A first attempt cannot have started one: only after a failure is the outcome of the call unknown.
    operation_id = shopify.running_bulk(subject.bulk_query) if ctx.attempt > 1 else None
    if operation_id is None:
        started = shopify.start_bulk(subject.bulk_query)
        if started.problem in BUSY:
            return _busy(ctx, subject, run, attempt)
        if started.operation_id is None:
            raise Permanent("BULK_REFUSED", f"{subject.kind}: {started.problem}")
        operation_id = started.operation_id
    with ctx.final_session() as session:
        runs.hold(session, run)
        now = ctx.now()
        moved = {"bulk_operation_id": operation_id, "exporting_at": now, "poll_count": 0}
        run = runs.save(session, run, now=now, status="exporting", **moved)
        send(session, subject, run, "poll", delay_s=poll_delay_s(1))
    return run, "exported"


def _busy(ctx: JobContext, subject: Subject, run: Run, attempt: int) -> tuple[Run, str]:
    with ctx.final_session() as session:
        runs.hold(session, run)
        run = runs.save(session, run, now=ctx.now())
        send(session, subject, run, "start", attempt=attempt + 1, delay_s=SHOP_BUSY_S)
    return run, "waiting"


def poll(ctx: JobContext, subject: Subject, run: Run, shopify: ShopifyCatalog, attempt: int) -> tuple[Run, str]:
    """Look at the export: wait on, load its file, or begin anew. Raises Permanent BULK_TIMEOUT."""
    operation = shopify.bulk_operation(run.bulk_operation_id or "")
    if operation.status in ("CREATED", "RUNNING", "CANCELING"):
        if ctx.now() - (run.exporting_at or run.started_at) >= BULK_MAX_WAIT:
            shopify.cancel_bulk(operation.id)
            raise Permanent("BULK_TIMEOUT", "the export did not end within 6 hours")
        with ctx.final_session() as session:
            runs.hold(session, run)
            run = runs.save(session, run, now=ctx.now(), poll_count=attempt)
            send(session, subject, run, "poll", attempt=attempt + 1, delay_s=poll_delay_s(attempt + 1))
        return run, "waiting"
    if operation.error_code == "ACCESS_DENIED":
        raise Permanent("SHOPIFY_SCOPE_MISSING", "the export was denied")
    if operation.status != "COMPLETED":
        return restart(ctx, subject, run, f"BULK_{operation.error_code or operation.status}")
    empty = operation.url is None
    if empty and operation.object_count:  # not an empty shop: its file is missing
        return restart(ctx, subject, run, "BULK_URL_MISSING")
    with ctx.final_session() as session:
        runs.hold(session, run)
        run = runs.save(
            session,
            run,
            now=ctx.now(),
            status="reconciling" if empty else "loading",
            root_count=operation.root_object_count,
            poll_count=attempt,
        )
        send(session, subject, run, "reconcile" if empty else "load")
    return run, "continued"


def restart(ctx: JobContext, subject: Subject, run: Run, code: str) -> tuple[Run, str]:
    """Export anew; after BULK_MAX_RESTARTS read everything page by page instead."""
    anew = run.restarts < BULK_MAX_RESTARTS
    ctx.log.warning("%s run %s: %s, %s", subject.kind, run.id, code, "exported anew" if anew else "read by pages")
    with ctx.final_session() as session:
        runs.hold(session, run)
        session.execute(STAGED, {"run_id": run.id})
        run = runs.save(
            session,
            run,
            now=ctx.now(),
            status="requested" if anew else "merging",
            filter=run.filter if anew else {**run.filter, "paged": True},
            bulk_operation_id=None,
            exporting_at=None,
            root_count=None,
            cursor=None,
            poll_count=0,
            stage_offset=0,
            stage_lines=0,
            restarts=run.restarts + 1,
        )
        send(session, subject, run, "start" if anew else "merge", delay_s=BULK_POLL_FIRST_S if anew else 0)
    return run, "restarted"


# -- load --------------------------------------------------------------------------------------------------------------


def load(ctx: JobContext, subject: Subject, run: Run, shopify: ShopifyCatalog, attempt: int) -> tuple[Run, str]:
    """Stage the file from the stored offset on, a COPY per STAGE_COPY_ROWS lines."""
    legs = Legs(ctx)
    operation = shopify.bulk_operation(run.bulk_operation_id or "")
    if operation.url is None:
        return restart(ctx, subject, run, f"BULK_{operation.error_code or operation.status}")
    try:
        # Closed on every way out: an open answer would hold its connection.
        file = cast("Generator[tuple[int, Node]]", shopify.bulk_lines(operation.url, run.stage_offset))
        with closing(file) as lines:
            for nodes, rest_at in _portions(lines):
                if rest_at is None:
                    return _finish_load(ctx, subject, run, nodes)
                with ctx.tenant_session() as session:
                    runs.hold(session, run)
                    run = _stage(ctx, session, run, nodes, rest_at)
                if legs.over():
                    break
    except BulkUrlGone:
        return restart(ctx, subject, run, "BULK_URL_GONE")
    except Transient as error:
        if error.code != "SHOPIFY_ANSWER_UNREADABLE":
            raise
        broken = Transient if ctx.attempt == 1 else Permanent
        raise broken("BULK_FILE_BROKEN", error.detail) from None
    return run, legs.hand_on(subject, run, "load", attempt)


def _portions(lines: Iterator[tuple[int, Node]]) -> Iterator[tuple[list[Node], int | None]]:
    """Groups of lines, each with the offset at which the rest begins, None behind the last one."""
    group: list[Node] = []
    for offset, line in lines:
        if len(group) == STAGE_COPY_ROWS:
            yield group, offset
            group = []
        group.append(line)
    yield group, None


def _stage(ctx: JobContext, session: Session, run: Run, nodes: list[Node], rest_at: int, **more: Any) -> Run:
    rows = [_row(run.id, run.stage_lines + n, node) for n, node in enumerate(nodes, start=1)]
    session.copy_in("catalog_sync_stage", STAGE, rows)
    lines = run.stage_lines + len(rows)
    return runs.save(session, run, now=ctx.now(), stage_offset=rest_at, stage_lines=lines, **more)


def _row(run_id: UUID, line_no: int, node: Node) -> tuple[Any, ...]:
    parent = node.pop("__parentId", None)
    kind = node["id"].split("/")[3]
    data = json.dumps(node, separators=(",", ":"), ensure_ascii=False)
    return run_id, line_no, kind, legacy_id(node["id"]), parent, data


def _finish_load(ctx: JobContext, subject: Subject, run: Run, nodes: list[Node]) -> tuple[Run, str]:
    with ctx.final_session() as session:
        runs.hold(session, run)
        run = _stage(ctx, session, run, nodes, run.stage_offset, status="merging", cursor=None)
        send(session, subject, run, "merge")
    return run, "continued"


# -- merge, reconcile --------------------------------------------------------------------------------------------------


def merge(ctx: JobContext, subject: Subject, run: Run, shopify: ShopifyCatalog, attempt: int) -> tuple[Run, str]:
    """Write the staged objects, MERGE_CHUNK per transaction, by their id."""
    if _by_pages(run):
        return read_pages(ctx, subject, run, shopify, attempt)
    legs = Legs(ctx)
    while True:
        with ctx.tenant_session() as session:
            runs.hold(session, run)
            nodes, last = staged(session, subject, run)
            done = len(nodes) < MERGE_CHUNK
            stored = subject.store(ctx, session, run, nodes) if nodes else None
            more = {"cursor": last or run.cursor, "status": "reconciling" if done else "merging"}
            run = runs.save(session, run, now=ctx.now(), **(added(run, stored) if stored else {}), **more)
            if done:
                send(session, subject, run, "reconcile")
        ctx.progress(run.merged_count, run.root_count)
        if done:
            return run, "continued"
        if legs.over():
            return run, legs.hand_on(subject, run, "merge", attempt)


def staged(session: Session, subject: Subject, run: Run) -> tuple[list[Node], str | None]:
    """The next staged objects with everything below them, and the cursor behind them."""
    wanted = {"run_id": run.id, "type": subject.root_type, "cursor": run.cursor or "", "limit": MERGE_CHUNK}
    rows = session.all(ROOTS, wanted)
    roots: list[Node] = [row["data"] for row in rows]
    _attach(session, subject, run, subject.root_type, roots)
    return roots, rows[-1]["external_id"] if rows else None


def _attach(session: Session, subject: Subject, run: Run, kind: str, parents: list[Node]) -> None:
    """Put the children of nodes of one type into the connections that a query would give."""
    names = subject.connections.get(kind)
    if not names or not parents:
        return
    found: dict[tuple[str, str], list[Node]] = defaultdict(list)
    below: dict[str, list[Node]] = defaultdict(list)
    for row in session.all(CHILDREN, {"run_id": run.id, "parents": [node["id"] for node in parents]}):
        found[row["parent_id"], names.get(row["object_type"]) or names.get("", "")].append(row["data"])
        below[row["object_type"]].append(row["data"])
    for parent in parents:
        for name in set(names.values()):
            parent[name] = {"nodes": found[parent["id"], name]}
    for child_kind, nodes in below.items():
        _attach(session, subject, run, child_kind, nodes)


def reconcile(ctx: JobContext, subject: Subject, run: Run, shopify: ShopifyCatalog, attempt: int) -> tuple[Run, str]:
    """Remove what Shopify no longer has, if so many may be believed, and end the run."""
    with ctx.tenant_session(read_only=True) as session:
        live, candidates = subject.missing(session, run)
    # Chunks that an earlier attempt removed were believed then, and are no candidates any more.
    believed = bool(run.filter.get("believed")) or not subject.guarded
    doubted = not believed and runs.doubtful(len(candidates), live)
    # What was merged, not what Shopify says that it wrote: a file that came short must not pass for the whole shop.
    if doubted and runs.shrunk(subject.counted(shopify), run.merged_count):
        raise runs.refuse_deletion(ctx, run, candidates=len(candidates), live=live)
    gone = subject.confirmed(shopify, candidates)
    for first in range(0, len(gone), MERGE_CHUNK):
        with ctx.tenant_session() as session:
            runs.hold(session, run)
            removed = subject.remove(ctx, session, run, gone[first : first + MERGE_CHUNK])
            kept = {**run.filter, "believed": True}
            run = runs.save(session, run, now=ctx.now(), deleted_count=run.deleted_count + removed, filter=kept)
    return end_run(ctx, subject, run, shopify)


_Step = Callable[[JobContext, Subject, Run, ShopifyCatalog, int], tuple[Run, str]]
_STEPS: dict[str, _Step] = {"start": start, "poll": poll, "load": load, "merge": merge, "reconcile": reconcile}
