"""The credits of an order, through the real pipeline and a real database."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import psycopg
import pytest

from shared.attribution import process_order
from shared.attribution.models import MODELS
from shared.attribution.process import Cause
from shared.events.attribution import AttributionProcess
from shared.jobs.context import Tenant
from shared.jobs.registry import Registry
from shared.jobs.testing import Bench, Deliver, Delivered, ManualClock
from tests.builders.attribution import ORDER_AT, insert, insert_order, insert_settings, insert_touchpoint
from tests.conftest import MakeBench, Rows
from tests.shared.orders.conftest import InSession, in_session

__all__ = ["in_session"]

JOB = "analytics-process-attribution"
QUEUE = "attribution"
WEEK_H = 168
CREDITS = """
SELECT r.model, r.attribution_window AS "window", r.touchpoint_id, r.credit, r.attributed_revenue,
       r.touchpoint_position AS position, r.total_touchpoints AS total
FROM attribution_results r ORDER BY 1, 2, r.touchpoint_position
"""
ALL_WINDOWS = ["1d", "3d", "7d", "14d", "28d", "30d", "90d", "ltv"]


@pytest.fixture
def only(rows: Rows, tenant: Tenant) -> Callable[..., None]:
    """Settings: one window and one model unless the test says otherwise."""

    def insert_only(**fields: Any) -> None:
        window = fields.pop("window", "28d")
        defaults = {"enabled_models": ["linear"], "enabled_windows": [window], "default_window": window}
        insert_settings(rows, str(tenant.organization_id), **{**defaults, **fields})

    return insert_only


def process(deliver: Deliver, order_id: str = "1001", **fields: Any) -> Delivered:
    return deliver(AttributionProcess(order_id=order_id, **fields))


def status_of(rows: Rows, order_id: str = "1001") -> dict[str, Any]:
    (row,) = rows("SELECT * FROM attribution_order_status WHERE order_id = %s", (order_id,))
    return row


def shares(rows: Rows, **where: str) -> dict[str, Decimal]:
    """Touchpoint -> attributed revenue, of the credits of one model and window."""
    found = [row for row in rows(CREDITS) if all(row[name] == value for name, value in where.items())]
    return {row["touchpoint_id"]: row["attributed_revenue"] for row in found}


def events(delivered: Delivered, name: str) -> list[dict[str, Any]]:
    return [payload for emitted, payload in delivered.emitted if emitted == name]


def sums_are_exact(rows: Rows) -> bool:
    """Whether revenue and credit of every conversion, model and window add up exactly."""
    return all(
        row["revenue"] == row["gross"] and row["credit"] == 1
        for row in rows(
            "SELECT c.revenue, sum(r.attributed_revenue) AS gross, sum(r.credit) AS credit"
            " FROM attribution_conversions c JOIN attribution_results r ON r.conversion_id = c.id"
            " GROUP BY c.id, r.model, r.attribution_window"
        )
    )


# -- what is credited ------------------------------------------------------------------------------------------------


def test_three_clicks_share_an_order_by_their_age(deliver: Deliver, rows: Rows, only: Callable[..., None]) -> None:
    only(enabled_models=["time_decay"])
    insert_order(rows)
    for id, age_h in (("two-weeks", 2 * WEEK_H), ("one-week", WEEK_H), ("now", 0)):
        insert_touchpoint(rows, id, age_h=age_h, customer_id="c1")

    done = process(deliver)

    assert [(row["touchpoint_id"], row["attributed_revenue"], row["credit"]) for row in rows(CREDITS)] == [
        ("two-weeks", Decimal("14.29"), Decimal("0.142857")),
        ("one-week", Decimal("28.57"), Decimal("0.285714")),
        ("now", Decimal("57.14"), Decimal("0.571429")),
    ]
    assert done.result == {
        "orderId": "1001",
        "status": "attributed",
        "touchpoints": 3,
        "models": 1,
        "windows": 1,
        "rows": 3,
        "changed": True,
        "emitted": True,
    }


def test_last_click_a_minute_before_still_sums_exactly(deliver: Deliver, rows: Rows, only: Callable[..., None]) -> None:
    only(enabled_models=["time_decay"])
    insert_order(rows)
    for id, age_h in (("two-weeks", 2 * WEEK_H), ("one-week", WEEK_H), ("minute", 1 / 60)):
        insert_touchpoint(rows, id, age_h=age_h, customer_id="c1")

    process(deliver)

    assert len(rows(CREDITS)) == 3
    assert sum(row["attributed_revenue"] for row in rows(CREDITS)) == Decimal("100.00")
    assert sum(row["credit"] for row in rows(CREDITS)) == Decimal("1.000000")


def test_one_click_ten_days_before_under_all_defaults(deliver: Deliver, rows: Rows, tenant: Tenant) -> None:
    insert_order(rows)
    insert_touchpoint(rows, "t1", age_h=240, customer_id="c1")

    done = process(deliver)

    found = rows(CREDITS)
    assert {(row["model"], row["window"]) for row in found} == {(m, w) for m in MODELS for w in ("14d", "28d", "30d")}
    assert len(found) == 21
    assert {(row["attributed_revenue"], row["credit"]) for row in found} == {(Decimal("100.00"), Decimal(1))}
    assert (done.result["status"], done.result["models"], done.result["windows"]) == ("attributed", 7, 5)
    assert events(done, "conversion.attributed") == [
        {
            "orderId": "1001",
            "attributionModel": "time_decay",
            "touchpoints": 0,
            "valueCents": 10_000,
            "currency": "USD",
            "skipGA4": False,
            "skipMeta": False,
        }
    ]
    (conversion,) = rows("SELECT * FROM attribution_conversions")
    assert (conversion["tenant_id"], conversion["order_number"], conversion["customer_id"], conversion["revenue"]) == (
        str(tenant.organization_id),
        "#1001",
        "c1",
        Decimal("100.00"),
    )
    assert (conversion["is_first_purchase"], conversion["converted_at"]) == (True, ORDER_AT)
    (meta,) = rows("SELECT DISTINCT tenant_id, source, event_type, matched_order_id, raw_data FROM attribution_results")
    assert list(meta.values()) == [str(tenant.organization_id), "attribution", "credit", "1001", None]


def test_views_count_where_they_are_wanted_and_for_a_day(
    deliver: Deliver, rows: Rows, only: Callable[..., None]
) -> None:
    only()
    insert_order(rows)
    insert_touchpoint(rows, "view3", age_h=3, touchpoint_type="view", customer_id="c1")
    insert_touchpoint(rows, "view25", age_h=25, touchpoint_type="view", customer_id="c1")

    clicks_only = process(deliver)
    rows.execute("UPDATE attribution_settings SET attribution_mode = 'clicks_plus_views'")
    with_views = process(deliver)

    assert (clicks_only.result["status"], with_views.result["status"]) == ("unattributed", "attributed")
    assert shares(rows) == {"view3": Decimal("100.00")}


def test_sixty_touchpoints_keep_the_first_and_the_latest(
    deliver: Deliver, rows: Rows, only: Callable[..., None]
) -> None:
    only(enabled_models=["first_touch", "last_touch", "linear"])
    insert_order(rows)
    for i in range(60):
        insert_touchpoint(rows, f"t{i:02}", age_h=60 - i, customer_id="c1")

    process(deliver)

    assert shares(rows, model="first_touch") == {"t00": Decimal("100.00")}
    assert shares(rows, model="last_touch") == {"t59": Decimal("100.00")}
    linear = shares(rows, model="linear")
    assert list(linear) == ["t00", *[f"t{i}" for i in range(11, 60)]]
    assert set(linear.values()) == {Decimal("2.00")}


def test_free_order_is_credited_without_money(deliver: Deliver, rows: Rows) -> None:
    insert_order(rows, total_cents=0)
    insert_touchpoint(rows, "t1", customer_id="c1")

    process(deliver)

    assert sums_are_exact(rows)
    assert {(row["attributed_revenue"], row["credit"]) for row in rows(CREDITS)} == {(Decimal("0.00"), Decimal(1))}


def test_trained_model_counts_until_there_is_none(deliver: Deliver, rows: Rows, only: Callable[..., None]) -> None:
    only(enabled_models=["data_driven"])
    insert_order(rows)
    for i, channel in enumerate(("paid_social", "paid_search", "email")):
        insert_touchpoint(rows, channel, age_h=3 - i, channel=channel, customer_id="c1")
    effects = {"email": 0.625, "paid_search": 0.416666666667, "paid_social": 0.489583333333}
    insert(
        rows,
        "ml_models",
        kind="attribution",
        version="2026-11-01",
        status="active",
        params={"removal_effects": effects},
        training_from=ORDER_AT,
        training_to=ORDER_AT,
        sample_count=1000,
    )

    process(deliver)
    trained, version = shares(rows), status_of(rows)["model_version"]
    rows.execute("UPDATE ml_models SET status = 'retired'")
    process(deliver)

    assert list(trained.values()) == [Decimal("31.97"), Decimal("27.21"), Decimal("40.82")]
    assert version == "2026-11-01"
    assert list(shares(rows).values()) == [Decimal("33.34"), Decimal("33.33"), Decimal("33.33")]
    assert status_of(rows)["model_version"] == "linear_fallback"


def test_settings_with_unknown_words_and_impossible_weights(
    deliver: Deliver, rows: Rows, only: Callable[..., None]
) -> None:
    only(
        enabled_models=["guess", "position_based", "time_decay"],
        enabled_windows=["fortnight", "1d"],
        default_window=None,
        default_attribution_window="3d",
        time_decay_half_life_hours=0,
        position_based_weights={"first": 0, "middle": 100, "last": 0},
    )
    insert_order(rows)
    for id, age_h in (("older", WEEK_H / 7 + 24), ("newer", 0)):
        insert_touchpoint(rows, id, age_h=age_h, customer_id="c1")

    process(deliver)

    assert {(row["model"], row["window"]) for row in rows(CREDITS)} == {
        (m, w) for m in ("position_based", "time_decay") for w in ("1d", "3d")
    }
    # 40/20/40 of two is half each; 48 h at a half-life of 168 h is 2^(-2/7) = 0.8203 to 1, so 45.07 and 54.93.
    assert shares(rows, model="position_based", window="3d") == {"older": Decimal("50.00"), "newer": Decimal("50.00")}
    assert shares(rows, model="time_decay", window="3d") == {"older": Decimal("45.07"), "newer": Decimal("54.93")}


# -- whose touchpoints they are --------------------------------------------------------------------------------------


def test_anonymous_click_is_found_and_followed_to_another_device(deliver: Deliver, rows: Rows) -> None:
    insert_touchpoint(rows, "t1", age_h=48, visitor_id="phone")
    insert_order(rows, "1001", attribution_data={"_visitor_id": "phone"})
    insert_order(rows, "1002", placed_at=ORDER_AT + timedelta(hours=1), attribution_data={"visitorId": "laptop"})
    rows.execute("UPDATE attribution_touchpoints SET customer_id = NULL")

    process(deliver, "1001")

    assert rows("SELECT visitor_id, customer_id, method, confidence FROM attribution_identity_links") == [
        {"visitor_id": "phone", "customer_id": "c1", "method": "order", "confidence": Decimal("1.00")}
    ]
    assert rows("SELECT customer_id FROM attribution_touchpoints") == [{"customer_id": "c1"}]
    rows.execute("UPDATE attribution_touchpoints SET customer_id = NULL")  # now only the link leads there
    assert process(deliver, "1002").result["touchpoints"] == 1


def test_shared_device_is_followed_only_for_its_own_order(deliver: Deliver, rows: Rows) -> None:
    insert_touchpoint(rows, "t1", visitor_id="kiosk")
    for customer in ("c1", "c2", "c3", "c4"):
        insert(
            rows,
            "attribution_identity_links",
            visitor_id="kiosk",
            customer_id=customer,
            method="login",
            first_seen_at=ORDER_AT,
            last_seen_at=ORDER_AT,
        )
    insert_order(rows, "1001")
    insert_order(rows, "1002", attribution_data={"visitorId": "kiosk"}, customer_id="c5")
    insert_order(rows, "1003", placed_at=ORDER_AT + timedelta(hours=1), customer_id="c5")

    by_link, own, later = (process(deliver, id).result["touchpoints"] for id in ("1001", "1002", "1003"))

    assert (by_link, own, later) == (0, 1, 0)
    assert rows("SELECT customer_id FROM attribution_touchpoints WHERE id = 't1'") == [{"customer_id": None}]


def test_customer_is_known_by_every_id_and_by_mail(deliver: Deliver, rows: Rows) -> None:
    insert(rows, "customers", id="old", shopify_customer_id="501", email="Jane@Example.com")
    insert_touchpoint(rows, "by-old-id", age_h=3, visitor_id="a", customer_id="old")
    insert_touchpoint(rows, "by-shopify-id", age_h=2, visitor_id="b", customer_id="501")
    insert_touchpoint(rows, "someone-else", age_h=1, visitor_id="c", customer_id="502")
    insert_order(rows, "1001", customer_id="501")
    insert_order(rows, "1002", customer_id=None, customer_email="jane@example.com")

    assert [process(deliver, id).result["touchpoints"] for id in ("1001", "1002")] == [2, 2]


def test_guest_is_found_by_the_publishers_visitor(deliver: Deliver, rows: Rows) -> None:
    insert_touchpoint(rows, "t1", visitor_id="v9")
    insert_order(rows, customer_id=None)

    without = process(deliver)
    with_visitor = process(deliver, visitor_id="v9")

    assert (without.result["status"], with_visitor.result["status"]) == ("unattributed", "attributed")
    assert rows("SELECT 1 FROM attribution_identity_links") == []


def test_fingerprint_joins_nobody(deliver: Deliver, rows: Rows) -> None:
    insert_touchpoint(rows, "mine", age_h=2, visitor_id="v1", device_fingerprint="same")
    insert_touchpoint(rows, "theirs", age_h=1, visitor_id="v2", device_fingerprint="same")
    insert_order(rows, attribution_data={"visitorId": "v1"})

    process(deliver)

    assert {row["touchpoint_id"] for row in rows(CREDITS)} == {"mine"}


# -- what the order says of itself -----------------------------------------------------------------------------------

MADE = "SELECT id FROM attribution_touchpoints WHERE id LIKE 'tp\\_%%' ORDER BY id"


def test_order_with_a_source_speaks_for_itself_until_a_click_is_recorded(deliver: Deliver, rows: Rows) -> None:
    insert_order(rows, utm_source="Facebook", utm_medium="cpc", attribution_data={"visitorId": "v1"})

    process(deliver)

    (made,) = rows("SELECT * FROM attribution_touchpoints")
    assert (made["id"], made["visitor_id"], made["customer_id"], made["touchpoint_type"]) == (
        "tp_order_1001",
        "v1",
        "c1",
        "click",
    )
    assert (made["channel"], made["platform"], made["occurred_at"]) == (
        "paid_social",
        "meta",
        ORDER_AT - timedelta(seconds=1),
    )

    insert_touchpoint(rows, "late", age_h=2, visitor_id="v1", source="facebook")
    process(deliver, force=True)

    assert rows(MADE) == []
    assert {row["touchpoint_id"] for row in rows(CREDITS)} == {"late"}
    assert sums_are_exact(rows)


@pytest.mark.parametrize(
    ("recorded", "made"),
    [
        ({"source": "facebook", "age_h": 2}, []),
        ({"source": "FACEBOOK", "campaign": None, "age_h": 24}, []),
        ({"source": "facebook", "age_h": 25}, ["tp_order_1001"]),
        ({"source": "facebook", "campaign": "Spring", "age_h": 2}, ["tp_order_1001"]),
        ({"source": "google", "age_h": 2}, ["tp_order_1001"]),
        ({"source": "other", "fbclid": "f1", "age_h": 2}, []),
    ],
    ids=["same source", "at a day's end", "too old", "another campaign", "another source", "same click id"],
)
def test_recorded_click_that_is_the_orders_visit(
    deliver: Deliver, rows: Rows, recorded: dict[str, Any], made: list[str]
) -> None:
    insert_touchpoint(rows, "t1", customer_id="c1", **recorded)
    insert_order(rows, utm_source="facebook", attribution_data={"fbclid": "f1"})

    process(deliver)

    assert [row["id"] for row in rows(MADE)] == made


def test_click_ids_and_addresses_of_the_order_are_kept_without_query(deliver: Deliver, rows: Rows) -> None:
    data = {
        "nbt": "Spring~Broad~Ad7",
        "landingPage": "https://shop.example/p?email=jane@x.com",
        "referrer": "a.example/?q",
    }
    insert_order(rows, attribution_data=data, customer_id=None)

    process(deliver)

    (made,) = rows("SELECT * FROM attribution_touchpoints")
    assert (made["channel"], made["platform"], made["campaign"], made["adset_id"], made["ad_id"]) == (
        "paid_social",
        "meta",
        "Spring",
        "Broad",
        "Ad7",
    )
    assert (made["landing_page"], made["referrer"]) == ("https://shop.example/p", "a.example/")
    assert made["visitor_id"] == "tp_order_1001"


@pytest.mark.parametrize(
    ("codes", "source", "campaign"),
    [
        ([" sara10 "], "Sara", "sara10"),
        (["JANE15"], "creator:c7", "JANE15"),
        (["JANE15", "SARA10"], "Sara", "SARA10"),
        ([{"code": "SARA10", "amount": "1.00"}], "Sara", "SARA10"),
    ],
    ids=["influencer", "promo code of a creator", "influencer first", "as apps write it"],
)
def test_discount_code_is_its_creators_touchpoint(
    deliver: Deliver, rows: Rows, tenant: Tenant, codes: list[Any], source: str, campaign: str
) -> None:
    org = str(tenant.organization_id)
    insert(rows, "attribution_influencers", tenant_id=org, name="Sara", discount_codes=["SARA10"])
    insert(rows, "attribution_influencers", tenant_id=org, name="Gone", status="paused", discount_codes=["OLD"])
    insert(rows, "creators", id="c7", email="jane@x.com", first_name="Jane", last_name="Doe")
    insert(rows, "promo_code_metadata", code="jane15", creator_id="c7")
    insert_order(rows, codes=["OLD", "WELCOME", *codes])

    done = process(deliver)

    (made,) = rows("SELECT * FROM attribution_touchpoints")
    assert (made["id"], made["channel"], made["source"], made["medium"], made["campaign"]) == (
        "tp_code_1001",
        "creator",
        source,
        "discount_code",
        campaign,
    )
    assert (made["touchpoint_type"], made["occurred_at"]) == ("engagement", ORDER_AT)
    assert done.result["status"] == "attributed"


def test_survey_answer_counts_while_nothing_better_is_known(deliver: Deliver, rows: Rows) -> None:
    insert_order(rows)
    insert(
        rows,
        "attribution_records",
        source_type="survey",
        external_id="r1",
        order_id="1001",
        channel="organic_social",
        category="social",
        option_value="tiktok",
        collected_at=ORDER_AT,
    )

    process(deliver)

    (made,) = rows("SELECT * FROM attribution_touchpoints")
    assert (made["id"], made["channel"], made["source"], made["medium"], made["touchpoint_type"]) == (
        "tp_survey_1001",
        "organic_social",
        "tiktok",
        "survey",
        "engagement",
    )

    insert_touchpoint(rows, "click", customer_id="c1")
    process(deliver)

    assert rows(MADE) == []
    assert {row["touchpoint_id"] for row in rows(CREDITS)} == {"click"}


# -- once, and again -------------------------------------------------------------------------------------------------


STORED = """
SELECT to_jsonb(r) AS row FROM attribution_results r UNION ALL SELECT to_jsonb(t) FROM attribution_touchpoints t
UNION ALL SELECT to_jsonb(c) FROM attribution_conversions c
UNION ALL SELECT to_jsonb(l) FROM attribution_identity_links l
ORDER BY 1
"""


def test_second_message_writes_nothing(deliver: Deliver, rows: Rows, clock: ManualClock) -> None:
    insert_order(rows, utm_source="facebook", attribution_data={"visitorId": "v1"})
    insert_touchpoint(rows, "t1", age_h=48, customer_id="c1")
    first = process(deliver)
    before, status = rows(STORED), status_of(rows)

    clock.advance(s=3600)
    second = process(deliver)

    assert (first.result["changed"], second.result["changed"]) == (True, False)
    assert rows(STORED) == before
    assert status_of(rows) == {**status, "last_attempt_at": ORDER_AT + timedelta(hours=1)}
    assert len(events(first, "conversion.attributed")) == 1
    assert second.emitted == []


def test_forced_run_gives_the_same_credits_and_no_second_announcement(deliver: Deliver, rows: Rows) -> None:
    insert_order(rows)
    for i in range(3):
        insert_touchpoint(rows, f"t{i}", age_h=i + 1, customer_id="c1")
    process(deliver)
    before = rows(CREDITS)

    done = process(deliver, force=True)

    assert rows(CREDITS) == before
    assert (done.result["changed"], done.result["emitted"], done.emitted) == (True, False, [])


def test_rows_of_other_writers_stay(deliver: Deliver, rows: Rows) -> None:
    insert_order(rows)
    insert_touchpoint(rows, "t1", customer_id="c1")
    process(deliver)
    rows.execute(
        "INSERT INTO attribution_results (tenant_id, conversion_id, touchpoint_id, model, attribution_window,"
        " touchpoint_position, total_touchpoints, source, event_type)"
        " SELECT tenant_id, id, 't1', 'last_touch', '7d', 1, 1, 'meta', 'Purchase' FROM attribution_conversions"
    )

    process(deliver, force=True)

    assert rows("SELECT count(*) AS n FROM attribution_results WHERE source = 'meta'") == [{"n": 1}]
    assert rows("SELECT count(*) AS n FROM attribution_results WHERE source = 'attribution'") == [{"n": 35}]


def test_edited_order_is_split_anew(deliver: Deliver, rows: Rows) -> None:
    insert_order(rows)
    for i in range(3):
        insert_touchpoint(rows, f"t{i}", age_h=i + 1, customer_id="c1")
    process(deliver)
    rows.execute("UPDATE orders SET total_price_cents = 9000")

    done = process(deliver)

    assert done.result["changed"]
    assert sums_are_exact(rows)
    assert rows("SELECT revenue FROM attribution_conversions") == [{"revenue": Decimal("90.00")}]


def test_publishers_skips_are_handed_on(deliver: Deliver, rows: Rows) -> None:
    insert_order(rows)

    done = deliver.job(JOB, {"orderId": 1001, "skipGA4": True, "skipMeta": True})

    (told,) = events(done, "conversion.attributed")
    assert (told["skipGA4"], told["skipMeta"]) == (True, True)


def test_changes_of_a_past_day_ask_for_its_metrics(deliver: Deliver, rows: Rows) -> None:
    # 07:00 in New York: an order of 03:30 UTC is one of the day before, one of 05:30 UTC is one of today.
    rows.execute("INSERT INTO analytics_settings (timezone) VALUES ('America/New_York')")
    insert_order(rows, "1001", placed_at=ORDER_AT.replace(hour=3, minute=30))
    insert_order(rows, "1002", placed_at=ORDER_AT.replace(hour=5, minute=30))

    yesterdays, todays = process(deliver, "1001"), process(deliver, "1002")

    assert events(yesterdays, "attribution.dailyMetrics") == [{"date": "2026-11-19", "forceRecalculate": True}]
    assert events(todays, "attribution.dailyMetrics") == []
    keys = [
        detail["_meta"]["key"] for name, detail in deliver.bench.bus.published if name == "attribution.dailyMetrics"
    ]
    assert keys == ["adm:2026-11-19:2026-11-20T12:00+00:00"]


def test_two_runs_at_once_make_one_set_of_rows(
    make_bench: MakeBench, registry: Registry, rows: Rows, tenant: Tenant, admin_url: str
) -> None:
    insert_order(rows, utm_source="google", attribution_data={"visitorId": "v1"})
    for i in range(5):
        insert_touchpoint(rows, f"t{i}", age_h=i + 1)
    benches: list[Bench] = [make_bench(registry), make_bench(registry)]
    results: list[Delivered] = []
    for key, bench in zip("ab", benches, strict=True):
        bench.publish(AttributionProcess(order_id="1001", force=True), tenant.slug, key=key)

    threads = [threading.Thread(target=lambda b=bench: results.extend(b.pump(QUEUE))) for bench in benches]
    with psycopg.connect(admin_url) as blocker:  # holds the order's status row until both wait for it
        blocker.execute(
            "INSERT INTO tenant_acme.attribution_order_status (order_id, status, order_at)"
            " VALUES ('1001', 'pending', now())"
        )
        for thread in threads:
            thread.start()
        waiting = (
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )
        for _ in range(500):
            if rows(waiting)[0]["count"] == 2:
                break
            time.sleep(0.01)
        blocker.rollback()
    for thread in threads:
        thread.join(20)

    assert sorted(r.state for r in results) == ["succeeded", "succeeded"]
    assert sorted(r.result["emitted"] for r in results) == [False, True]
    assert len(rows("SELECT id FROM attribution_conversions")) == 1
    assert sums_are_exact(rows)
    assert rows("SELECT count(*) AS n FROM attribution_results WHERE model = 'linear'") == [{"n": 30}]


def test_number_of_statements_does_not_grow_with_the_path(rows: Rows, only: Any, in_session: InSession) -> None:
    only(enabled_models=list(MODELS), enabled_windows=ALL_WINDOWS, window="ltv")
    counts = []
    for id, clicks in (("1001", 2), ("1002", 60)):
        insert_order(rows, id, customer_id=id, attribution_data={"visitorId": f"v{id}", "utm_source": "google"})
        for i in range(clicks):
            insert_touchpoint(rows, f"{id}-{i:02}", age_h=i + 1, visitor_id=f"v{id}")

        def work(session: Any, id: str = id) -> None:
            process_order(session, id, now=ORDER_AT)
            counts.append(len(session.statements))

        in_session(work)

    assert counts[0] == counts[1] <= 20
    assert rows(
        "SELECT count(*) AS n FROM attribution_results WHERE matched_order_id = '1002' AND model = 'linear'"
    ) == [{"n": 25 + 7 * 50}]  # a day holds 24 clicks and the order's own touchpoint


# -- orders that are not credited ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("order", "reason"),
    [
        ({"cancelled_at": ORDER_AT}, "cancelled"),
        ({"status": "cancelled"}, "cancelled"),
        ({"financial_status": "voided"}, "voided"),
        ({"id": "1002"}, "subscription_renewal"),
    ],
    ids=["cancelled", "status cancelled", "voided", "renewal"],
)
def test_excluded_order_has_neither_conversion_nor_event(
    deliver: Deliver, rows: Rows, order: dict[str, Any], reason: str
) -> None:
    _a_subscription(rows)
    insert_order(rows, **order)
    insert_touchpoint(rows, "t1", customer_id="c1")
    id = order.get("id", "1001")

    done = process(deliver, id)

    assert (done.result["status"], done.emitted) == ("excluded", [])
    assert status_of(rows, id)["reason"] == reason
    assert rows("SELECT 1 FROM attribution_conversions") == []


def test_first_charge_of_a_subscription_is_credited(deliver: Deliver, rows: Rows) -> None:
    _a_subscription(rows)
    insert_order(rows, "1001")

    assert process(deliver, "1001").result["status"] == "unattributed"


def _a_subscription(rows: Rows) -> None:
    """Subscription s1: order 1001 is its first charge, order 1002 its second."""
    names = {"customer_id": "c1", "customer_email": "j@x.com", "product_id": "p", "product_title": "P"}
    insert(rows, "subscriptions", id="s1", price_cents=100, **names)
    for id, days in (("1001", 30), ("1002", 0)):
        insert(
            rows,
            "subscription_orders",
            subscription_id="s1",
            order_id=id,
            scheduled_at=ORDER_AT,
            billed_at=ORDER_AT - timedelta(days=days),
            amount_cents=100,
        )


def test_excluded_and_expired_orders_open_by_force_only(deliver: Deliver, rows: Rows) -> None:
    insert_order(rows, "1001", financial_status="voided")
    insert_order(rows, "1002")
    insert_touchpoint(rows, "t1", customer_id="c1")
    process(deliver, "1001")
    rows.execute("UPDATE orders SET financial_status = 'paid'")
    insert(rows, "attribution_order_status", order_id="1002", status="expired", order_at=ORDER_AT)

    unforced = [process(deliver, id).result for id in ("1001", "1002")]
    forced = [process(deliver, id, force=True).result for id in ("1001", "1002")]

    assert [(r["status"], r["changed"]) for r in unforced] == [("excluded", False), ("expired", False)]
    assert [r["status"] for r in forced] == ["attributed", "attributed"]


def test_order_that_was_credited_keeps_its_conversion_when_cancelled(deliver: Deliver, rows: Rows) -> None:
    insert_order(rows)
    insert_touchpoint(rows, "t1", customer_id="c1")
    process(deliver)
    rows.execute("UPDATE orders SET cancelled_at = now(), status = 'cancelled'")

    assert process(deliver, force=True).result["status"] == "attributed"


def test_switched_off_attribution_still_tells_the_ad_platforms(
    deliver: Deliver, rows: Rows, only: Callable[..., None]
) -> None:
    only(enabled=False)
    insert_order(rows)
    insert_touchpoint(rows, "t1", customer_id="c1")

    off, again = process(deliver), process(deliver)

    (told,) = events(off, "conversion.attributed")
    assert (told["attributionModel"], told["touchpoints"], told["valueCents"]) == ("none", 0, 10_000)
    assert (off.result["status"], again.emitted) == ("unattributed", [])
    assert (status_of(rows)["reason"], status_of(rows)["next_attempt_at"]) == ("disabled", None)
    assert rows("SELECT 1 FROM attribution_conversions") == []

    rows.execute("UPDATE attribution_settings SET enabled = true")
    on = process(deliver)

    assert (on.result["status"], on.result["emitted"]) == ("attributed", False)


def test_order_without_touchpoints_is_due_again_in_an_hour(deliver: Deliver, rows: Rows) -> None:
    insert_order(rows)

    done = process(deliver)

    status = status_of(rows)
    assert (done.result["status"], done.result["touchpoints"], done.result["emitted"]) == ("unattributed", 0, True)
    assert (status["attempts"], status["next_attempt_at"]) == (1, ORDER_AT + timedelta(hours=1))
    assert rows("SELECT revenue FROM attribution_conversions") == [{"revenue": Decimal("100.00")}]


def test_retries_wait_longer_each_time(rows: Rows, in_session: InSession) -> None:
    insert_order(rows)
    at, waits = ORDER_AT, []

    causes: list[Cause] = ["event", "retry", "retry", "retry", "retry", "retry", "retry"]
    for cause in causes:
        in_session(partial(process_order, order_id="1001", cause=cause, now=at))
        due = status_of(rows)["next_attempt_at"]
        waits.append((due - at).total_seconds() / 3600)
        at = due

    assert waits == [1, 2, 4, 8, 16, 24, 24]


def test_attribution_is_not_taken_back_unasked(deliver: Deliver, rows: Rows) -> None:
    insert_order(rows)
    insert_touchpoint(rows, "t1", customer_id="c1")
    process(deliver)
    rows.execute("DELETE FROM attribution_touchpoints")

    unasked, forced = process(deliver), process(deliver, force=True)

    assert (unasked.result["status"], unasked.result["changed"]) == ("attributed", False)
    assert (forced.result["status"], forced.result["touchpoints"]) == ("unattributed", 0)


# -- refunds that were there before ----------------------------------------------------------------------------------


def _a_refund(rows: Rows, key: str, cents: int, kind: str = "refund", *, after_h: float = 1) -> None:
    insert(
        rows,
        "attribution_refunds",
        order_id="1001",
        refund_key=key,
        kind=kind,
        amount_cents=cents,
        currency="USD",
        occurred_at=ORDER_AT + timedelta(hours=after_h),
    )


TAKEN = """
SELECT model, attribution_window, refund_key, sum(revenue_cents)::integer AS cents,
       sum(credit_micros)::integer AS micros
FROM attribution_adjustments GROUP BY 1, 2, 3 ORDER BY 3, 1, 2
"""


def test_refund_before_the_first_processing_is_replayed(
    deliver: Deliver, rows: Rows, only: Callable[..., None]
) -> None:
    only()
    insert_order(rows)
    for i in range(3):
        insert_touchpoint(rows, f"t{i}", age_h=3 - i, customer_id="c1")
    _a_refund(rows, "r1", 2500)

    process(deliver)

    assert rows("SELECT touchpoint_id, revenue_cents FROM attribution_adjustments ORDER BY 1") == [
        {"touchpoint_id": "t0", "revenue_cents": -834},
        {"touchpoint_id": "t1", "revenue_cents": -833},
        {"touchpoint_id": "t2", "revenue_cents": -833},
    ]
    assert rows("SELECT applied_cents FROM attribution_refunds") == [{"applied_cents": 2500}]
    assert sums_are_exact(rows)  # gross credits stay as they are


def test_late_touchpoint_replays_the_refunds(deliver: Deliver, rows: Rows) -> None:
    insert_order(rows)
    for i in range(2):
        insert_touchpoint(rows, f"t{i}", age_h=3 - i, customer_id="c1")
    _a_refund(rows, "r1", 1000)
    _a_refund(rows, "cancellation", 0, "cancellation", after_h=2)
    process(deliver)

    insert_touchpoint(rows, "late", age_h=5, customer_id="c1")
    process(deliver)

    found = rows(TAKEN)
    assert {(row["refund_key"], row["cents"], row["micros"]) for row in found} == {
        ("cancellation", -9000, -1_000_000),
        ("r1", -1000, 0),
    }
    assert len(found) == 2 * 7 * 5
    assert rows("SELECT sum(applied_cents)::integer AS cents FROM attribution_refunds") == [{"cents": 10_000}]


# -- errors ----------------------------------------------------------------------------------------------------------


def test_unknown_order_is_tried_three_times(deliver: Deliver) -> None:
    first = deliver(AttributionProcess(order_id="4711"), expect="retrying")
    deliver.again(QUEUE, expect="retrying")
    last = deliver.again(QUEUE, expect="dead")

    assert (first.code, last.code, last.attempt) == ("ORDER_NOT_FOUND", "ORDER_NOT_FOUND", 3)


def test_order_of_another_tenant_is_unknown(deliver: Deliver, rows: Rows, tenant: Tenant, other_tenant: Tenant) -> None:
    insert_order(rows)

    done = deliver(AttributionProcess(order_id="1001"), tenant=other_tenant, expect="retrying")

    assert done.code == "ORDER_NOT_FOUND"
    assert rows("SELECT 1 FROM attribution_order_status") == []
    assert rows("SELECT 1 FROM attribution_order_status", tenant=other_tenant) == []


@pytest.mark.parametrize("id", ["gid", "5001", "row-1"])
def test_order_is_found_by_each_of_its_ids(deliver: Deliver, rows: Rows, id: str) -> None:
    insert_order(rows, "row-1", shopify_order_id="5001", shopify_id="5001")

    done = process(deliver, "gid://shopify/Order/5001" if id == "gid" else id)

    assert done.result["orderId"] == "row-1"


@pytest.mark.parametrize(
    "payload",
    [{}, {"orderId": ""}, {"orderId": "1", "force": "yes"}, {"orderId": "1", "visitorId": "v" * 129}],
    ids=["no order", "empty order", "force is no bool", "long visitor"],
)
def test_wrong_payload_is_refused(deliver: Deliver, payload: dict[str, Any]) -> None:
    assert deliver.job(JOB, payload, expect="dead").code == "INVALID_PAYLOAD"
