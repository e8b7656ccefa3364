"""Step status: Google's verdict on every offer, 1,000 processed products at a time, the same statements for each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NoReturn
from uuid import UUID

from psycopg.types.json import Jsonb

from functions.commerce.google_feed.line import Line
from functions.commerce.google_feed.telling import DISAPPROVED, alert, disconnect
from shared.events.google_feed import GoogleFeedImageOptimize
from shared.google_feed.catalogue import products_by_key
from shared.google_feed.offers import Feed, build_all
from shared.google_feed.verdicts import Verdict, verdicts
from shared.integrations.google_auth import UNAUTHORIZED
from shared.integrations.merchant import Page
from shared.jobs import JobContext, Permanent, RateLimited, Session, Transient

LOST_AFTER = timedelta(hours=24)
"""An active offer that Google does not list so long after its insert is inserted again."""
IMAGES_PER_RUN = 50
"""Images that one run asks to be prepared."""
SMALL_KEPT = 200
"""Products with a small image that are remembered between pages: some of them have no image that is new."""
ALARM_SHARE = 0.10
ALARM_COUNT = 25
"""Offers that turned from approved to disapproved: above this share of the active ones, or so many, is told."""
CODES_TOLD = 10
"""Issue codes with their counts in an alert."""
CHUNK_ROOM_S = 60.0
"""Seconds that must be left to begin another page."""

APPLY = """
-- google feed: Google's verdict on a page of offers; what our own findings say stays
WITH told AS (
    SELECT o.shopify_product_id AS product, o.shopify_variant_id AS variant, t.status, t.issues
    FROM unnest(%(ids)s::text[], %(statuses)s::text[], %(issues)s::jsonb[]) AS t (id, status, issues)
    JOIN google_feed_offers o ON o.offer_id = t.id AND o.content_language = %(language)s AND o.feed_label = %(label)s
), before AS (
    SELECT p.id, p.merchant_status::text AS status, t.status AS told, t.issues
    FROM told t
    JOIN google_feed_products p
      ON p.shopify_product_id = t.product AND p.shopify_variant_id IS NOT DISTINCT FROM t.variant
    FOR UPDATE OF p
), written AS (
    UPDATE google_feed_products p
    SET merchant_status = b.told::google_merchant_status, merchant_last_checked_at = %(now)s,
        merchant_issues = b.issues || jsonb_path_query_array(COALESCE(p.merchant_issues, '[]'),
                                                             '$[*] ? (@.source == "validation")')
    FROM before b WHERE p.id = b.id
)
SELECT i.issue ->> 'code' AS code, count(DISTINCT b.id)::integer AS offers,
       (SELECT count(*)::integer FROM before WHERE status = 'approved' AND told = 'disapproved') AS turned
FROM before b
LEFT JOIN LATERAL jsonb_array_elements(b.issues) AS i (issue) ON i.issue ->> 'severity' = 'critical'
WHERE b.status = 'approved' AND b.told = 'disapproved'
GROUP BY 1
"""

# A prepared image is judged with the offer that shows it; of the whole product's images those without a variant.
IMAGES = """
-- google feed: what the verdict says of prepared images
UPDATE google_feed_images i
SET status = CASE WHEN jsonb_array_length(t.issues) > 0 THEN 'disapproved' ELSE 'approved' END,
    google_status = CASE WHEN jsonb_array_length(t.issues) > 0 THEN 'disapproved' ELSE 'approved' END,
    google_issues = t.issues, updated_at = %(now)s
FROM (
    SELECT o.shopify_product_id AS product, o.shopify_variant_id AS variant, u.url, u.issues
    FROM unnest(%(ids)s::text[], %(urls)s::text[], %(image_issues)s::jsonb[]) AS u (id, url, issues)
    JOIN google_feed_offers o ON o.offer_id = u.id AND o.content_language = %(language)s AND o.feed_label = %(label)s
) AS t
WHERE i.shopify_product_id = t.product AND i.original_url = t.url
  AND (i.shopify_variant_id IS NULL OR i.shopify_variant_id = t.variant)
  AND ((jsonb_array_length(t.issues) > 0 AND i.status IN ('optimized', 'approved'))
       OR (jsonb_array_length(t.issues) = 0 AND i.status = 'optimized'))
"""

PLACES = """
-- google feed: whose offers these are
SELECT offer_id, shopify_product_id AS product FROM google_feed_offers
WHERE content_language = %(language)s AND feed_label = %(label)s AND offer_id = ANY(%(ids)s)
"""

LOST = """
-- google feed: active offers that Google does not list a day after their insert are inserted again
WITH lost AS (
    UPDATE google_feed_offers o SET content_hash = NULL
    FROM google_feed_products p
    WHERE o.state = 'active' AND o.content_language = %(language)s AND o.feed_label = %(label)s
      AND o.content_hash IS NOT NULL AND o.last_inserted_at < %(before)s
      AND p.shopify_product_id = o.shopify_product_id AND p.shopify_variant_id IS NOT DISTINCT FROM o.shopify_variant_id
      AND (p.merchant_last_checked_at IS NULL OR p.merchant_last_checked_at < %(began)s)
    RETURNING p.id
)
UPDATE google_feed_products p
SET merchant_status = 'pending', sync_status = 'pending', merchant_last_checked_at = %(now)s
FROM lost WHERE p.id = lost.id
"""

ACTIVE = """
-- google feed: how many offers are active
SELECT count(*)::integer FROM google_feed_offers WHERE state = 'active'
"""

SMALL = """
-- google feed: products whose image is too small by our own finding
SELECT DISTINCT shopify_product_id AS product FROM google_feed_products
WHERE sync_status = 'error' AND merchant_issues @> '[{"code": "IMAGE_TOO_SMALL"}]'
ORDER BY 1 LIMIT %(limit)s
"""


def collect(ctx: JobContext, feed: Feed, sync_id: UUID | None) -> int:
    """Write the verdict on every offer of ours; how many there were.

    May end the leg: the cursor holds Google's page token, and what has turned so far, which only its first reading can
    tell. Raises what Google's answers raise.
    """
    if feed.settings.data_source_name is None:
        return 0  # nothing of ours can be told from others', and what is not told must not count as lost
    kept = dict(ctx.cursor or {})
    began = datetime.fromisoformat(kept.get("began") or ctx.now().isoformat())
    token, total, small = kept.get("token"), int(kept.get("total", 0)), list(kept.get("small", []))
    turned: Counter[str] = Counter(kept.get("turned", {}))
    line = Line(ctx, feed.settings)

    def go_on() -> NoReturn:
        found = {"total": total, "turned": dict(turned), "small": small}
        ctx.continue_from({"began": began.isoformat(), "token": token, **found})

    while True:
        try:
            page = _page(ctx, line, feed, token, sync_id)
        except (Transient, RateLimited):
            if token == kept.get("token"):
                raise  # nothing was read in this leg
            go_on()
        told = verdicts(page.products, data_source=feed.settings.data_source_name, language=feed.settings.language,
                        label=feed.settings.target_country)  # fmt: skip
        with ctx.tenant_session() as session:
            turned.update(_apply(ctx, session, feed, told))
            small += _small(session, feed, told)
        total, token, small = total + len(told), page.next_token, small[:SMALL_KEPT]
        if token is None:
            break
        if ctx.remaining_s() < CHUNK_ROOM_S:
            go_on()
    with ctx.final_session() as session:
        _close(ctx, session, feed, sync_id, began=began, turned=turned, small=small)
    return total


def _page(ctx: JobContext, line: Line, feed: Feed, token: str | None, sync_id: UUID | None) -> Page:
    try:
        return line.ask(lambda google: google.products(token))
    except Permanent as error:
        if error.code == UNAUTHORIZED:
            disconnect(ctx, feed.settings, sync_id)
        raise


def _apply(ctx: JobContext, session: Session, feed: Feed, told: Sequence[Verdict]) -> Counter[str]:
    """Write a page; how many offers turned from approved to disapproved, by issue code and in all ("")."""
    if not told:
        return Counter()
    values = {
        "ids": [each.offer_id for each in told],
        "statuses": [each.status for each in told],
        "issues": [Jsonb(list(each.issues)) for each in told],
        "language": feed.settings.language,
        "label": feed.settings.target_country,
        "now": ctx.now(),
    }
    rows = session.all(APPLY, values)
    _judge_images(session, feed, told, values)
    turned: Counter[str] = Counter({row["code"]: row["offers"] for row in rows if row["code"]})
    if rows:
        turned[""] = rows[0]["turned"]
    return turned


def _judge_images(session: Session, feed: Feed, told: Sequence[Verdict], values: dict[str, Any]) -> None:
    places = session.all(PLACES, values)
    products = products_by_key(session, sorted({row["product"] for row in places}))
    urls = {offer.offer_id: offer.image for offer in build_all(feed, list(products.values()))}
    shown = [each for each in told if urls.get(each.offer_id) and each.status != "pending"]
    judged = {
        "ids": [each.offer_id for each in shown],
        "urls": [urls[each.offer_id] for each in shown],
        "image_issues": [Jsonb(each.image_issues) for each in shown],
    }
    session.execute(IMAGES, {**values, **judged})


def _small(session: Session, feed: Feed, told: Sequence[Verdict]) -> list[str]:
    """Keys of the products whose image Google finds too small."""
    ids = [each.offer_id for each in told if each.small_image]
    if not ids:
        return []
    values = {"language": feed.settings.language, "label": feed.settings.target_country, "ids": ids}
    return sorted({row["product"] for row in session.all(PLACES, values)})


def _close(
    ctx: JobContext,
    session: Session,
    feed: Feed,
    sync_id: UUID | None,
    *,
    began: datetime,
    turned: Counter[str],
    small: Sequence[str],
) -> None:
    place = {"language": feed.settings.language, "label": feed.settings.target_country}
    session.execute(LOST, {**place, "before": began - LOST_AFTER, "began": began, "now": ctx.now()})
    found = [row["product"] for row in session.all(SMALL, {"limit": SMALL_KEPT})]
    _ask_for_images(session, feed, sorted({*small, *found})[:SMALL_KEPT])
    active, many = int(session.value(ACTIVE)), turned.pop("", 0)
    if many >= ALARM_COUNT or many > ALARM_SHARE * active:
        counts = {**dict(turned.most_common(CODES_TOLD)), "disapproved": many, "active": active}
        alert(ctx, session, DISAPPROVED, severity="warning", sync_id=sync_id, counts=counts)


def _ask_for_images(session: Session, feed: Feed, keys: Sequence[str]) -> None:
    """Have images prepared that nobody has looked at yet."""
    products = products_by_key(session, keys)
    events: list[tuple[GoogleFeedImageOptimize, str | None]] = []
    for key, product in sorted(products.items()):
        for offer in build_all(feed, [product]):
            known = product.pictures.get(offer.image or "")
            if offer.image and offer.image.startswith("https://") and (known is None or known.status == "pending"):
                events.append((GoogleFeedImageOptimize(product_id=key, image_url=offer.image), f"{key}:{offer.image}"))
    unique = {name: event for event, name in events}
    session.emit_many([(event, None) for event in list(unique.values())[:IMAGES_PER_RUN]])
