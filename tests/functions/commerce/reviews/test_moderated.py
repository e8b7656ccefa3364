"""The reviewer hears of the decision once, and the reward is earned by writing, not by praise."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from shared.crypto import Keyring
from shared.events.reviews import ReviewModerated
from shared.fakes.resend import ResendFake
from shared.fakes.shopify import ShopifyFake
from shared.jobs.context import Tenant
from shared.jobs.testing import Bench, Deliver
from shared.mail.addresses import hash_address
from shared.reviews.incentives import incentive_code
from tests.builders.ab_tests import insert
from tests.builders.reviews import (
    ANN,
    NOON,
    add_mail,
    add_order,
    add_review,
    add_template,
    logged,
    mail_row,
    set_reviews,
    set_rules,
)
from tests.conftest import ENCRYPTION_KEY, SHOP, Rows

APPROVED = ReviewModerated(review_id="rev1", action="approve", reviewer_email="other@example.com", product_title=None)
REJECTED = ReviewModerated(review_id="rev1", action="reject")
SPAM = ReviewModerated(review_id="rev1", action="spam")
TEN_PERCENT: dict[str, Any] = {
    "incentive_enabled": True,
    "incentive_discount_type": "percentage",
    "incentive_discount_value": 10,
    "incentive_min_word_count": 20,
}


@pytest.fixture
def code(tenant: Tenant) -> str:
    """The code of the review rev1."""
    keyring = Keyring.of({"INTEGRATION_ENCRYPTION_KEY": ENCRYPTION_KEY})
    return incentive_code(keyring, tenant.organization_id, "rev1")


@pytest.fixture
def shop(shopify: ShopifyFake) -> ShopifyFake:
    """The shop, in which discounts may be made."""
    shopify.shops[SHOP].scopes.add("write_discounts")
    return shopify


@pytest.fixture(autouse=True)
def order(rows: Rows) -> None:
    add_order(rows)


def codes(rows: Rows) -> list[dict[str, Any]]:
    return rows("SELECT * FROM review_incentive_codes ORDER BY created_at")


def subjects(resend: ResendFake) -> list[str]:
    return [mail.body["subject"] for mail in resend.mails]


def test_reward_is_one_code_and_one_mail(
    deliver: Deliver, rows: Rows, resend: ResendFake, shop: ShopifyFake, code: str
) -> None:
    set_reviews(rows, **TEN_PERCENT)
    add_mail(rows)
    add_review(rows)

    done = deliver(APPROVED)

    assert done.result == {"reviewId": "rev1", "action": "approve", "outcome": "rewarded", "skippedRows": 1}
    made = shop.shops[SHOP].discounts[code]["input"]
    assert (made["usageLimit"], made["appliesOncePerCustomer"]) == (1, True)
    assert made["customerGets"] == {"items": {"all": True}, "value": {"percentage": 0.1}}
    [row] = codes(rows)
    assert (row["code"], row["status"], row["review_id"], row["order_id"]) == (code, "active", "rev1", "1001")
    assert row["expires_at"] == NOON + timedelta(days=30)
    assert row["shopify_discount_id"].startswith("gid://shopify/DiscountCodeNode/")
    [mail] = resend.mails
    assert (mail.to, mail.key) == ([ANN], "acme:review-incentive:rev1")
    assert code in mail.body["html"]
    assert "10% off" in mail.body["html"]
    assert "December 20, 2026" in mail.body["html"]
    assert mail_row(rows)["incentive_code"] == code

    rows.execute("DELETE FROM jobs.claims")
    assert deliver(APPROVED, key="again").result["outcome"] == "rewarded"
    assert (len(resend.mails), len(codes(rows)), len(shop.shops[SHOP].discounts)) == (1, 1, 1)


def test_code_is_made_of_prefix_and_eight_letters(tenant: Tenant, code: str) -> None:
    keyring = Keyring.of({"INTEGRATION_ENCRYPTION_KEY": ENCRYPTION_KEY})

    assert len(code) == len("REVIEW") + 8
    assert set(code.removeprefix("REVIEW")) <= set("0123456789ABCDEFGHJKMNPQRSTVWXYZ")
    assert incentive_code(keyring, tenant.organization_id, "rev2") != code


def test_amount_is_granted_in_the_shops_currency(
    deliver: Deliver, rows: Rows, resend: ResendFake, shop: ShopifyFake, code: str
) -> None:
    set_reviews(rows, incentive_enabled=True, incentive_discount_type="fixed", incentive_discount_value=5)
    rows.execute("UPDATE shopify_connections SET store_currency = 'EUR'")
    add_review(rows)

    assert deliver(APPROVED).result["outcome"] == "rewarded"
    value = shop.shops[SHOP].discounts[code]["input"]["customerGets"]["value"]
    assert (float(value["discountAmount"]["amount"]), value["discountAmount"]["appliesOnEachItem"]) == (5.0, False)
    assert "€5.00 off" in resend.mails[0].body["html"]


@pytest.mark.parametrize(
    ("review", "settings", "rules"),
    [
        ({"body": "word " * 12}, {}, {}),
        ({"body": "word " * 19}, {}, {}),
        ({"body": None}, {}, {}),
        ({}, {"incentive_require_photo": True}, {}),
        ({"order_id": None}, {}, {}),
        ({"rating": 2}, {"incentive_min_rating": 4}, {"allowRatingCondition": True}),
        ({}, {"incentive_discount_value": 0}, {}),
        ({}, {"incentive_discount_value": 101}, {}),
        ({}, {"incentive_enabled": False}, {}),
    ],
)
def test_review_that_earns_nothing_gets_the_plain_mail(
    deliver: Deliver,
    rows: Rows,
    resend: ResendFake,
    shop: ShopifyFake,
    review: dict[str, Any],
    settings: dict[str, Any],
    rules: dict[str, Any],
) -> None:
    set_reviews(rows, **{**TEN_PERCENT, **settings})
    if rules:
        set_rules(rows, **rules)
    add_review(rows, **review)

    done = deliver(APPROVED)

    assert done.result["outcome"] == "notified"
    assert (codes(rows), shop.shops[SHOP].discounts) == ([], {})
    assert subjects(resend) == ["Your review is published"]
    assert resend.mails[0].key == "acme:review-moderated:rev1:approve"


@pytest.mark.parametrize(
    ("review", "settings"),
    [
        ({"rating": 2}, {"incentive_min_rating": 4}),  # praise is no condition
        ({"body": "word\n" * 20}, {}),  # just enough
        ({"order_id": None, "is_verified_purchase": True}, {}),
    ],
)
def test_review_that_earns_its_reward(
    deliver: Deliver,
    rows: Rows,
    resend: ResendFake,
    shop: ShopifyFake,
    review: dict[str, Any],
    settings: dict[str, Any],
) -> None:
    set_reviews(rows, **{**TEN_PERCENT, **settings})
    add_review(rows, **review)

    assert deliver(APPROVED).result["outcome"] == "rewarded"


def test_photo_that_is_there_earns_the_reward(
    deliver: Deliver, rows: Rows, resend: ResendFake, shop: ShopifyFake
) -> None:
    set_reviews(rows, **TEN_PERCENT, incentive_require_photo=True)
    add_review(rows)
    insert(rows, "review_media", {"review_id": "rev1", "media_type": "image", "url": "https://x.test/1.jpg"})

    assert deliver(APPROVED).result["outcome"] == "rewarded"


@pytest.mark.parametrize(
    ("columns", "outcome"),
    [
        ({"order_id": "1001"}, "notified"),
        ({"customer_email": "ann@example.com", "created_at": NOON - timedelta(days=29)}, "notified"),
        ({"customer_email": "ann@example.com", "created_at": NOON - timedelta(days=31)}, "rewarded"),
    ],
)
def test_one_code_per_order_and_per_address_in_thirty_days(
    deliver: Deliver, rows: Rows, resend: ResendFake, shop: ShopifyFake, columns: dict[str, Any], outcome: str
) -> None:
    set_reviews(rows, **TEN_PERCENT)
    add_review(rows)
    insert(
        rows,
        "review_incentive_codes",
        {"code": "EARLIER", "discount_type": "percentage", "discount_value": 10, "created_at": NOON, **columns},
    )

    assert deliver(APPROVED).result["outcome"] == outcome


def test_crash_after_shopify_made_the_code(
    bench: Bench, tenant: Tenant, rows: Rows, resend: ResendFake, shop: ShopifyFake, code: str
) -> None:
    set_reviews(rows, **TEN_PERCENT)
    add_review(rows)
    shop.fail("cut", match="ReviewDiscountCreate")
    bench.publish(APPROVED, tenant.slug)

    first, *more = [each for each in bench.drain(horizon_s=3600) if each.job == "commerce-handle-review-moderated"]

    assert first.state == "retrying"
    assert more[-1].result["outcome"] == "rewarded"
    assert [row["code"] for row in codes(rows)] == [code]
    assert len(resend.mails) == 1


def test_code_of_somebody_else_is_no_reward(
    deliver: Deliver, rows: Rows, resend: ResendFake, shop: ShopifyFake, code: str
) -> None:
    set_reviews(rows, **TEN_PERCENT)
    add_review(rows)
    node = {
        "__typename": "DiscountCodeNode",
        "id": "gid://shopify/DiscountCodeNode/1",
        "codeDiscount": {"__typename": "DiscountCodeBasic", "title": "Spring", "endsAt": None},
    }
    shop.shops[SHOP].discounts[code] = {"node": node, "input": {}}

    assert deliver(APPROVED, expect="dead").code == "INCENTIVE_CODE_TAKEN"
    assert (codes(rows), resend.mails) == ([], [])


def test_mail_that_failed_after_the_code_was_kept_is_sent_with_it(
    bench: Bench, tenant: Tenant, rows: Rows, resend: ResendFake, shop: ShopifyFake, code: str
) -> None:
    set_reviews(rows, **TEN_PERCENT)
    add_review(rows)
    resend.fail("500")
    bench.publish(APPROVED, tenant.slug)

    done = [each for each in bench.drain(horizon_s=3600) if each.job == "commerce-handle-review-moderated"]

    assert [each.state for each in done] == ["retrying", "succeeded"]
    assert len(codes(rows)) == 1
    assert [code in mail.body["html"] for mail in resend.mails] == [True]


@pytest.mark.parametrize("trouble", ["scope", "token", "none"])
def test_shop_that_lets_us_make_no_code_costs_the_reward_not_the_mail(
    deliver: Deliver, rows: Rows, resend: ResendFake, shopify: ShopifyFake, trouble: str
) -> None:
    set_reviews(rows, **TEN_PERCENT)
    add_review(rows)
    if trouble == "token":
        shopify.fail(401)
    elif trouble == "none":
        rows.execute("UPDATE shopify_connections SET status = 'suspended'")

    done = deliver(APPROVED)

    assert (done.result["outcome"], subjects(resend), codes(rows)) == ("notified", ["Your review is published"], [])
    alerts = [event for name, event in done.emitted if name == "alert.apiFailure" and event["source"] == "reviews"]
    own = [each for each in alerts if each["dedupeKey"] == "review-incentive-access:acme:2026-11-20"]
    assert [(each["severity"], each["context"]) for each in own] == [("warning", {"reviewId": "rev1"})]


@pytest.mark.parametrize("kind", ["503", "THROTTLED"])
def test_shop_that_is_busy_is_waited_for_before_any_mail(
    deliver: Deliver, rows: Rows, resend: ResendFake, shop: ShopifyFake, kind: str
) -> None:
    set_reviews(rows, **TEN_PERCENT)
    add_review(rows)
    if kind == "THROTTLED":
        shop.fail(429, retry_after="60")
    else:
        shop.fail(503)

    done = deliver(APPROVED, expect="deferred" if kind == "THROTTLED" else "retrying")

    assert done.code == ("SHOPIFY_THROTTLED" if kind == "THROTTLED" else "SHOPIFY_UNAVAILABLE")
    assert resend.asked == []


def test_spam_gets_no_mail_and_ends_open_reminders(deliver: Deliver, rows: Rows, resend: ResendFake) -> None:
    add_review(rows, status="spam")
    add_mail(rows, status="sent", sent_at=NOON)
    add_mail(rows, "rq2", sequence_number=2)

    done = deliver(SPAM)

    assert (done.result["outcome"], done.result["skippedRows"], resend.asked) == ("spam", 1, [])
    assert (mail_row(rows)["status"], mail_row(rows, "rq2")["skip_reason"]) == ("sent", "review_submitted")
    assert logged(rows, "rq2") == ["skipped"]


def test_review_without_order_ends_the_mails_about_its_product(
    deliver: Deliver, rows: Rows, resend: ResendFake
) -> None:
    add_review(rows, status="rejected", order_id=None)
    add_mail(rows)
    add_mail(rows, "other", order_id="o2", product_id="1")

    done = deliver(REJECTED)

    assert done.result["skippedRows"] == 1
    assert (mail_row(rows)["skip_reason"], mail_row(rows, "other")["status"]) == ("review_submitted", "scheduled")
    assert subjects(resend) == ["About your review"]
    assert resend.mails[0].key == "acme:review-moderated:rev1:reject"


@pytest.mark.parametrize(
    ("action", "rules"), [("reject", {"notifyRejected": False}), ("approve", {"notifyApproved": False})]
)
def test_tenant_may_want_no_such_mails(
    deliver: Deliver, rows: Rows, resend: ResendFake, action: str, rules: dict[str, Any]
) -> None:
    set_rules(rows, **rules)
    add_review(rows, status="approved" if action == "approve" else "rejected")

    event = APPROVED if action == "approve" else REJECTED
    assert deliver(event).result["outcome"] == "notifications_off"
    assert resend.asked == []


@pytest.mark.parametrize(
    ("columns", "outcome"),
    [
        ({"imported_from": "judgeme", "original_id": "1"}, "imported"),
        ({"author_email": ""}, "no_address"),
        ({"author_email": "nobody"}, "no_address"),
        ({"status": "rejected"}, "superseded"),
    ],
)
def test_nobody_is_written_to(
    deliver: Deliver, rows: Rows, resend: ResendFake, columns: dict[str, Any], outcome: str
) -> None:
    add_review(rows, **columns)

    assert deliver(APPROVED).result["outcome"] == outcome
    assert resend.asked == []


def test_superseded_event_ends_no_mails(deliver: Deliver, rows: Rows) -> None:
    add_review(rows, status="rejected")
    add_mail(rows)

    assert deliver(APPROVED).result["skippedRows"] == 0
    assert mail_row(rows)["status"] == "scheduled"


def test_mail_goes_to_the_reviews_address(deliver: Deliver, rows: Rows, resend: ResendFake) -> None:
    add_review(rows)

    done = deliver(APPROVED)

    assert [mail.to for mail in resend.mails] == [[ANN]]
    assert "example.com" not in json.dumps(done.result) + json.dumps(done.emitted)


def test_thank_you_template_replaces_the_plain_mail(deliver: Deliver, rows: Rows, resend: ResendFake) -> None:
    add_template(rows, "thank_you", subject="Thanks, {{customer_name}}")
    add_review(rows)

    deliver(APPROVED)

    assert subjects(resend) == ["Thanks, Ann Lee"]


def test_newest_thank_you_template_decides(deliver: Deliver, rows: Rows, resend: ResendFake) -> None:
    add_template(rows, "thank_you", id="older", created_at=NOON - timedelta(days=9))
    add_template(rows, "thank_you", created_at=NOON, is_enabled=False)
    add_review(rows)

    assert deliver(APPROVED).result["outcome"] == "notified"
    assert subjects(resend) == ["Your review is published"]


@pytest.mark.parametrize(("active", "subject"), [(True, "Common thanks"), (False, "Your review is published")])
def test_common_thank_you_template(
    deliver: Deliver, rows: Rows, resend: ResendFake, active: bool, subject: str
) -> None:
    name = "review_thank_you"
    values: dict[str, Any] = {"notification_type": name, "template_key": name, "name": name, "is_active": active}
    insert(rows, "email_templates", {**values, "subject": "Common thanks", "body_html": "<p>Thanks</p>"})
    add_review(rows)

    assert deliver(APPROVED).result["outcome"] == "notified"
    assert subjects(resend) == [subject]


def test_code_that_the_shop_does_not_know_is_not_sent(
    deliver: Deliver, rows: Rows, resend: ResendFake, shop: ShopifyFake
) -> None:
    """An app has made it, in our table only."""
    set_reviews(rows, **TEN_PERCENT)
    add_review(rows)
    made: dict[str, Any] = {
        "code": "APPMADE1",
        "review_id": "rev1",
        "discount_type": "percentage",
        "discount_value": 10,
    }
    insert(rows, "review_incentive_codes", made)

    assert deliver(APPROVED).result["outcome"] == "notified"
    assert (subjects(resend), len(codes(rows)), shop.shops[SHOP].discounts) == (["Your review is published"], 1, {})


def test_older_order_is_found_by_its_shopify_id(
    deliver: Deliver, rows: Rows, resend: ResendFake, shop: ShopifyFake, code: str
) -> None:
    add_order(rows, "old", shopify_order_id="77", shopify_id="77")
    set_reviews(rows, **TEN_PERCENT)
    add_mail(rows, order_id="old")
    add_review(rows, order_id="77")

    done = deliver(APPROVED)

    assert (done.result["outcome"], done.result["skippedRows"]) == ("rewarded", 1)
    assert (mail_row(rows)["skip_reason"], mail_row(rows)["incentive_code"]) == ("review_submitted", code)
    assert codes(rows)[0]["order_id"] == "old"


def test_reader_who_unsubscribed_is_left_alone(deliver: Deliver, rows: Rows, resend: ResendFake) -> None:
    rows.execute(
        "INSERT INTO mail_suppressions (address_hash, scope, reason) VALUES (%s, 'review', 'unsubscribe')",
        (hash_address(ANN),),
    )
    add_review(rows)

    assert deliver(APPROVED).result["outcome"] == "notifications_off"
    assert resend.asked == []


@pytest.mark.parametrize(("active", "told"), [(True, 1), (False, 0)])
def test_klaviyo_hears_of_an_approved_review(
    deliver: Deliver, rows: Rows, resend: ResendFake, active: bool, told: int
) -> None:
    add_review(rows)
    insert(
        rows,
        "klaviyo_connections",
        {"tenant_id": "acme", "private_api_key_encrypted": "x", "is_active": active},
    )

    events = [event for name, event in deliver(APPROVED).emitted if name == "klaviyo.sync"]

    assert [event["syncType"] for event in events] == ["events"] * told


def test_unknown_review_and_action(deliver: Deliver, rows: Rows) -> None:
    assert deliver(APPROVED, expect="dead").code == "REVIEW_NOT_FOUND"
    payload = {"reviewId": "rev1", "action": "delete"}
    assert deliver.job("commerce-handle-review-moderated", payload, expect="dead").code == "INVALID_PAYLOAD"
