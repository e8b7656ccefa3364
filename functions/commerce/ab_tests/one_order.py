"""One order judged anew on request, with a reason for every test. Here the arm may change, and an attribution go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from functions.commerce.ab_tests import order_rows as sql
from functions.commerce.ab_tests.attributing import (
    Cart,
    Counts,
    Work,
    World,
    ask_shopify,
    attributes_of,
    attribution_row,
    keep_notes,
    mirror,
    note,
    world_of,
    write,
)
from functions.commerce.ab_tests.daily import hold_tests
from functions.commerce.ab_tests.evidence import Evidence, Trial, conflicts, evidence_of, refusal
from shared.events.ab_tests import AbOrderReconcileManual
from shared.events.alerts import AlertApiFailure
from shared.events.base import Payload
from shared.ids import find_order
from shared.jobs import JobContext, Permanent, Retry, Session, job
from shared.jobs.context import Row
from shared.jobs.queues import AB_TESTING
from shared.time import local_date


class Attribution(Payload):
    """What stands for one test now. `reason`: why there is none (variantId absent), or why it does not count."""

    test_id: str
    variant_id: str | None = None
    method: str | None = None
    conflict: bool = False
    net_cents: int | None = None
    changed: bool
    reason: str | None = None


class AbOrderReconcileManualResult(Payload):
    """`attributions` has an entry for every test that was looked at."""

    order_id: str
    attributions: list[Attribution]
    tests_checked: int


TEST = """
-- A/B orders: whether a test exists
SELECT 1 FROM ab_tests WHERE id = %(test_id)s
"""

DROP = """
-- A/B orders: an attribution that has no ground any more
WITH shipping AS (DELETE FROM ab_shipping_attributions WHERE test_id = %(test_id)s AND order_id = %(order_id)s)
DELETE FROM ab_order_attributions WHERE test_id = %(test_id)s AND order_id = %(order_id)s
"""

AUDIT = """
-- A/B orders: what a person had changed
INSERT INTO audit_logs (action, resource_type, resource_id, details, created_at)
SELECT 'ab.order_reconciled', 'order', %(order_id)s, d.details, %(now)s
FROM unnest(%(details)s::jsonb[]) AS d (details)
"""


@job(
    "ab-order-reconciliation-manual",
    on=AbOrderReconcileManual,
    queue=AB_TESTING,
    emits=(AlertApiFailure,),
    retry=Retry(attempts=5, factor=2, min_s=5, max_s=120),
    timeout_s=60,
)
def reconcile_order(ctx: JobContext, payload: AbOrderReconcileManual) -> AbOrderReconcileManualResult:
    """Attribute one order anew and explain every test. Permanent ORDER_NOT_FOUND, TEST_NOT_FOUND."""
    _, result = reconcile_one(ctx, payload.order_id, payload.test_id, ctx.now(), audit=True)
    return result


def check_test(session: Session, test_id: str | None) -> None:
    """Permanent TEST_NOT_FOUND for an id that is no test's."""
    if test_id is not None and session.one(TEST, {"test_id": test_id}) is None:
        raise Permanent("TEST_NOT_FOUND", "no test has this id")


def reconcile_one(
    ctx: JobContext, id: str, test_id: str | None, slot: datetime, *, audit: bool
) -> tuple[Counts, AbOrderReconcileManualResult]:
    """Attribute one order anew; Shopify is asked again, because what is stored may be the fault.

    `audit`: a person asked for it, so that a change goes into the log of who changed what.
    """
    with ctx.tenant_session(read_only=True) as session:
        found = find_order(session, id)
        if found is None:
            raise Permanent("ORDER_NOT_FOUND", "no order has this id")
        check_test(session, test_id)
        world = world_of(session, slot, test_id=test_id, any_age=True)
        (order,) = session.all(sql.ORDERS_BY_ID, {"ids": [found["id"]]})
    trials = tuple(t for t in world.trials if test_id is not None or t.holds(order["ordered_at"], slot))
    world = replace(world, trials=trials)
    carts = ask_shopify(ctx, [order]) if trials else {}
    work = Work()
    with ctx.tenant_session() as session:
        hold_tests(session, world.test_ids, ctx.now())
        keep_notes(session, [order], carts)
        names = {"orders": [order["id"]], "tests": world.test_ids}
        held = {row["test_id"]: row for row in session.all(sql.HELD, names)}
        attributions = _judge_all(session, world, order, carts, held, work)
        if audit:
            _audit(ctx, session, order, held, attributions)
        write(ctx, session, world, work, [order], carts)
    work.counts.checked, work.counts.shopify_asked = 1, int(bool(trials) and order["legacy_id"] is not None)
    return work.counts, AbOrderReconcileManualResult(
        order_id=order["id"], attributions=attributions, tests_checked=len(trials)
    )


def _judge_all(
    session: Session, world: World, order: Row, carts: dict[str, Cart], held: dict[str, Row], work: Work
) -> list[Attribution]:
    attributes = attributes_of(order, carts)
    records = sql.records_of(session, [order], [attributes], world.test_ids)
    return [
        _judge(session, world, order, trial, evidence_of(order, attributes, trial, records), held.get(trial.id), work)
        for trial in world.trials
    ]


def _audit(
    ctx: JobContext, session: Session, order: Row, held: dict[str, Row], attributions: Sequence[Attribution]
) -> None:
    details = [
        Jsonb({"testId": now.test_id, "from": held.get(now.test_id, {}).get("variant_id"), "to": now.variant_id})
        for now in attributions
        if now.changed
    ]
    if details:
        session.execute(AUDIT, {"order_id": order["id"], "details": details, "now": ctx.now()})


def _judge(
    session: Session,
    world: World,
    order: Row,
    trial: Trial,
    evidence: Sequence[Evidence],
    held: Row | None,
    work: Work,
) -> Attribution:
    reason = refusal(evidence[0], trial, order["ordered_at"], world.slot) if evidence else "no_evidence"
    if reason is not None:
        if held is not None:
            session.execute(DROP, {"test_id": trial.id, "order_id": order["id"]})
            mirror(session, [(trial.id, order["id"])])
            work.days.add((trial.id, local_date(held["ordered_at"], world.zone)))
            work.counts.corrected += 1
        return Attribution(test_id=trial.id, changed=held is not None, reason=reason)
    row: dict[str, Any] = attribution_row(world, order, trial, evidence[0], conflict=conflicts(evidence[0], evidence))
    if held is not None and (held["method"] == "manual" or held["variant_id"] != row["variant_id"]):
        row["method"] = "manual"
    changed = note(work, world, row, held)
    return Attribution(
        test_id=trial.id,
        variant_id=row["variant_id"],
        method=row["method"],
        conflict=row["conflict"],
        net_cents=row["net_cents"],
        changed=changed,
        reason=row["excluded_reason"],
    )
