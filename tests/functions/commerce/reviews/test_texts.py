"""Where the texts and the links of a tenant's review mails come from, in real runs."""

from __future__ import annotations

from typing import Any

import pytest

from shared.events.reviews import ReviewEmailQueue
from shared.fakes.resend import ResendFake
from shared.jobs.testing import Deliver
from tests.builders.ab_tests import insert
from tests.builders.reviews import add_mail, add_order, add_template, mail_row, set_reviews, set_rules
from tests.conftest import Rows

WORK = ReviewEmailQueue()


@pytest.fixture(autouse=True)
def order(rows: Rows) -> None:
    add_order(rows)


def common(rows: Rows, name: str, **columns: Any) -> None:
    """One of the tenant's common templates, named as the admin app names those of reviews."""
    values = {
        "notification_type": name,
        "template_key": name,
        "name": name,
        "subject": f"Common {name}",
        "body_html": "<p>{{review_link}}</p>",
        **columns,
    }
    insert(rows, "email_templates", values)


@pytest.mark.parametrize(
    "columns",
    [
        {"incentive_enabled": False, "incentive_discount_type": "fixed", "incentive_discount_value": 5},
        {"incentive_enabled": True, "incentive_discount_type": "percentage", "incentive_discount_value": 101},
    ],
)
def test_reward_that_there_is_no_more_is_not_promised(
    deliver: Deliver, rows: Rows, resend: ResendFake, columns: dict[str, Any]
) -> None:
    set_reviews(rows, **columns)
    for name in ("review_request", "review_request_incentive"):
        common(rows, name)
    add_mail(rows, incentive_offered=True)

    deliver(WORK)

    assert subject(resend) == "Common review_request"


def subject(resend: ResendFake) -> str:
    [mail] = resend.mails
    return str(mail.body["subject"])


@pytest.mark.parametrize(
    ("type", "number", "offered", "expected"),
    [
        ("request", 1, False, "Common review_request"),
        ("request", 1, True, "Common review_request_incentive"),
        ("reminder_1", 2, False, "Common review_reminder"),
        ("reminder_2", 3, True, "Common review_reminder"),
    ],
)
def test_common_templates_by_the_apps_names(
    deliver: Deliver, rows: Rows, resend: ResendFake, type: str, number: int, offered: bool, expected: str
) -> None:
    set_reviews(rows, incentive_enabled=True, incentive_discount_type="fixed", incentive_discount_value=5)
    for name in ("review_request", "review_request_incentive", "review_reminder"):
        common(rows, name)
    add_mail(rows, template_type=type, sequence_number=number, incentive_offered=offered)

    deliver(WORK)

    assert subject(resend) == expected
    assert "/review?token=" in resend.mails[0].body["html"]


def test_own_template_of_the_type_wins_over_the_common_one(deliver: Deliver, rows: Rows, resend: ResendFake) -> None:
    common(rows, "review_request")
    add_template(rows)
    add_mail(rows)

    deliver(WORK)

    assert subject(resend) == "Own Mug"


def test_common_template_that_is_switched_off(deliver: Deliver, rows: Rows, resend: ResendFake) -> None:
    common(rows, "review_request", is_active=False)
    add_mail(rows)

    deliver(WORK)

    assert (mail_row(rows)["skip_reason"], resend.mails) == ("template_disabled", [])


@pytest.mark.parametrize(
    ("base", "verified", "shop", "expected"),
    [
        ("https://reviews.acme.test/", True, None, "https://reviews.acme.test/review?token="),
        ("javascript:alert(1)", True, None, "https://shop.acme.test/review?token="),
        (None, False, "acme.myshopify.com", "https://acme.myshopify.com/review?token="),
    ],
)
def test_link_leads_to_the_tenants_page(
    deliver: Deliver,
    rows: Rows,
    resend: ResendFake,
    base: str | None,
    verified: bool,
    shop: str | None,
    expected: str,
) -> None:
    if base:
        set_rules(rows, "reviews.link", baseUrl=base)
    rows.execute(
        "UPDATE public.organizations SET custom_domain_verified = %s, shopify_store_domain = %s WHERE slug = 'acme'",
        (verified, shop),
    )
    add_mail(rows)

    deliver(WORK)

    assert f'href="{expected}' in resend.mails[0].body["html"]


def test_tenant_without_any_domain_sends_no_mail_without_link(deliver: Deliver, rows: Rows, resend: ResendFake) -> None:
    rows.execute("UPDATE public.organizations SET custom_domain = NULL, shopify_store_domain = NULL")
    add_mail(rows)

    assert deliver(WORK).result["dead"] == 1
    assert (mail_row(rows)["error_code"], resend.mails) == ("RENDER_MISSING_VARIABLE", [])


def test_mail_can_be_unsubscribed_from(deliver: Deliver, rows: Rows, resend: ResendFake) -> None:
    insert(rows, "tenant_config", {"key": "creator.portal_url", "value": {"url": "https://portal.acme.test"}})
    add_mail(rows)

    deliver(WORK)

    headers = resend.mails[0].body["headers"]
    assert headers["List-Unsubscribe"].startswith("<https://portal.acme.test/unsubscribe?t=")
    assert headers["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
