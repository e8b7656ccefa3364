"""An A/B test on the trickle: it runs while the orders come, finds its winner, and the scheduler ends it.

The test is an application's: rows of a test that runs since some days, its visitors, and what the storefront has
counted in Redis. Everything after that is done by the jobs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.table import Table

from scripts.local import fakes
from scripts.local.tenants import REDIS_TOKEN, TEAM, TRICKLE
from scripts.local.wording import dollars
from shared.events.ab_tests import AbMetricsAggregate, AbOrderReconcile, AbScheduleCheck
from shared.fakes.demo_visitors import CHALLENGER, CONTROL, PER_ARM, converted, span, visitors

if TYPE_CHECKING:
    from scripts.local.story import Story

TEST, NAME = "demo-checkout", "Free shipping in the cart"
VARIANTS = {CONTROL: "As it was", CHALLENGER: "Free shipping"}

ADD_TEST = """
WITH test AS (
    INSERT INTO ab_tests (id, name, status, base_url, optimization_metric, started_at)
    VALUES (%(test)s, %(name)s, 'running', 'https://demo-two.example/cart', 'conversion_rate', %(start)s)
    RETURNING id
)
INSERT INTO ab_variants (id, test_id, name, is_control, traffic_allocation)
SELECT v.id, test.id, v.name, v.id = %(control)s, 50
FROM test, unnest(%(variants)s::text[], %(names)s::text[]) AS v (id, name)
"""
ADD_VISITORS = """
INSERT INTO ab_visitors (visitor_id, test_id, variant_id, assigned_at)
SELECT v.id, %(test)s, v.variant, v.at
FROM unnest(%(ids)s::text[], %(variants)s::text[], %(instants)s::timestamptz[]) AS v (id, variant, at)
"""
# Not before all orders are in: the schedules run beside us, and half of the orders can make a winner too.
LET_END = "UPDATE ab_tests SET auto_end = true WHERE id = %(test)s"
STANDING = """
SELECT t.status, t.winner_variant_id AS winner, s.decision, s.ended_reason, s.final_report AS report,
       (SELECT count(*) FROM ab_order_attributions a WHERE a.test_id = t.id AND a.method = 'visitor') AS attributed,
       (SELECT COALESCE(sum(b.impressions), 0)::bigint FROM ab_counter_batches b WHERE b.test_id = t.id) AS counted
FROM ab_tests t LEFT JOIN ab_test_state s ON s.test_id = t.id
WHERE t.id = %(test)s
"""
ORDERS = "SELECT count(*) AS n FROM orders"


def begin(story: Story) -> None:
    """Put the test there as an application does, unless it is; the scheduler notices that it runs."""
    if _standing(story) is not None:
        return
    orders = story.trickle_orders()
    people = visitors(orders)
    test: dict[str, Any] = {"test": TEST, "name": NAME, "control": CONTROL, "start": span(orders).start}
    story.rows(ADD_TEST, TRICKLE, {**test, "variants": list(VARIANTS), "names": list(VARIANTS.values())})
    columns = {
        "ids": [person.id for person in people],
        "variants": [person.variant for person in people],
        "instants": [person.assigned_at for person in people],
    }
    story.rows(ADD_VISITORS, TRICKLE, {"test": TEST, **columns})
    counts: list[list[str | int]] = [
        ["HINCRBY", f"ab:{TRICKLE}:{TEST}:{variant}:counters", "impressions", PER_ARM] for variant in VARIANTS
    ]
    fakes.command(story.vendors.redis, REDIS_TOKEN, *counts)
    story.publisher.publish(AbScheduleCheck(), TRICKLE)
    story.settle_down()
    shown = TEST in _running(fakes.stored(story.vendors.redis))
    story.check(f"{TRICKLE}: the storefront's Redis names the A/B test {NAME!r} as running", shown)


def tell(story: Story) -> None:
    """Attribute the orders, count, judge, and let the scheduler end the test, unless an earlier start has."""
    begin(story)
    standing = _standing(story)
    if standing is None or standing["status"] != "completed":
        story.publisher.publish(AbOrderReconcile(), TRICKLE)
        story.settle_down()
        story.publisher.publish(AbMetricsAggregate(test_id=TEST, period="full"), TRICKLE)
        story.settle_down()
        story.rows(LET_END, TRICKLE, {"test": TEST})
        story.publisher.publish(AbScheduleCheck(), TRICKLE)
        story.settle_down()
        _told(story)
    standing = _standing(story)
    if standing is None or standing["report"] is None:
        story.check(f"{TRICKLE}: the A/B test {NAME!r} has ended with a report", False)
        return
    _show(story, standing["report"])
    _check(story, standing)


def _running(redis: dict[str, Any]) -> list[str]:
    """The tests that the storefront takes for running."""
    return list(redis.get(f"ab:{TRICKLE}:active_tests", ()))


def _standing(story: Story) -> dict[str, Any] | None:
    return next(iter(story.rows(STANDING, TRICKLE, {"test": TEST})), None)


def _show(story: Story, report: dict[str, Any]) -> None:
    table = Table("variant", "visitors", "buyers", "rate", "net revenue", "P(best)", title=f"A/B test {NAME!r}")
    for id, arm in report["variants"].items():
        share, best = f"{arm['rate']:.2%}", f"{arm['pBest']:.2%}"
        table.add_row(VARIANTS[id], f"{arm['n']:,}", f"{arm['x']:,}", share, dollars(int(arm["revenueCents"])), best)
    story.console.print(table)
    story.console.print(
        f"Decision: {report['decision']}, {VARIANTS.get(report['winner'], 'nobody')}: lift {report['lift']:+.1f} %,"
        f" always-valid p {report['pAdjusted']:.2g}, after {report['days']} days and {report['orders']:,} orders;"
        f" ended by {report['reason']}.",
        soft_wrap=True,
    )


def _check(story: Story, standing: dict[str, Any]) -> None:
    orders, report = story.rows(ORDERS, TRICKLE)[0]["n"], standing["report"]
    story.check(
        f"{TRICKLE}: {standing['attributed']:,} orders belong to the variant that their visitor saw",
        standing["attributed"] == orders > 0,
    )
    found = {id: (arm["n"], arm["x"]) for id, arm in report["variants"].items()}
    wanted = {id: (PER_ARM, buyers) for id, buyers in converted(story.trickle_orders()).items()}
    story.check(f"{TRICKLE}: the test's buyers are those of the shop whose orders stand", found == wanted)
    story.check(
        f"{TRICKLE}: the test ended by itself with its winner, {VARIANTS.get(standing['winner'], 'nobody')}",
        (standing["status"], standing["decision"], standing["ended_reason"], standing["winner"])
        == ("completed", "winner", "significance", CHALLENGER),
    )


def _told(story: Story) -> None:
    """What the jobs told others of the end: the storefront, the team in Slack and by mail, each once."""
    redis, standing = fakes.stored(story.vendors.redis), _standing(story) or {}
    left = [key for key in redis if key.endswith((":counters", ":drain"))]
    story.check(
        f"{TRICKLE}: the storefront's counters were taken in once, {standing.get('counted', 0):,} impressions,"
        " and the test is no longer shown",
        standing.get("counted") == PER_ARM * len(VARIANTS) and not left and TEST not in _running(redis),
    )
    posts = [post for post in fakes.posted(story.vendors.slack) if NAME in str(post) and "ended" in str(post)]
    mails = [mail for mail in fakes.mailed(story.vendors.resend) if TEAM in mail["to"] and NAME in mail["subject"]]
    story.check(f"{TRICKLE}: its result was told once in Slack and once by mail", (len(posts), len(mails)) == (1, 1))
