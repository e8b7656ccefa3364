"""Texts of review mails: all of them built in, the tenant's own where it has some."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from shared.crypto import Keyring
from shared.mail.registry import built_in
from shared.mail.rendering import render
from shared.reviews.link import review_url
from shared.reviews.mails import KEYS
from shared.tokens import REVIEW_LINK, TokenExpired, verify_token

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
EVERYTHING: dict[str, Any] = {
    "customerName": "Ann Lee",
    "customerFirstName": "Ann",
    "productTitle": "Mug <b>",
    "orderNumber": "#1001",
    "reviewUrl": "https://shop.acme.test/review?token=x",
    "brandName": "Acme",
    "incentiveText": "10% off",
    "incentiveCode": "REVIEWABCDEFGH",
    "incentiveExpiresOn": "2026-12-20",
}


@pytest.mark.parametrize("key", KEYS)
def test_every_key_has_a_text_that_fills(key: str) -> None:
    template = built_in(key)

    assert template is not None
    assert (template.category, template.notification_type) == ("review", None)
    mail = render(template.texts, EVERYTHING, ZoneInfo("UTC"))
    assert mail.subject
    assert "{{" not in mail.subject + mail.html + mail.text
    assert "Hi Ann," in mail.text
    assert "<b>" not in mail.html.replace("Mug &lt;b&gt;", "")


@pytest.mark.parametrize("key", [key for key in KEYS if key not in ("review_incentive",)])
def test_only_the_rewards_own_mail_shows_a_code(key: str) -> None:
    template = built_in(key)
    assert template is not None
    assert "REVIEWABCDEFGH" not in render(template.texts, EVERYTHING, ZoneInfo("UTC")).html


@pytest.mark.parametrize(
    ("key", "required"),
    [
        ("review_request", {"reviewUrl"}),
        ("review_reminder_2", {"reviewUrl"}),
        ("review_incentive", {"incentiveCode", "incentiveText"}),
        ("review_rejected", set()),
    ],
)
def test_what_a_mail_cannot_do_without(key: str, required: set[str]) -> None:
    template = built_in(key)
    assert template is not None
    assert template.required == required


def test_link_works_for_120_days() -> None:
    keyring = Keyring.of({"INTEGRATION_ENCRYPTION_KEY": "k" * 32})
    url = review_url(keyring, "https://shop.test", tenant="acme", order_id="o1", queue_id="q1", now=NOW)

    assert url is not None
    assert url.startswith("https://shop.test/review?token=")
    token = url.partition("=")[2]
    held = verify_token(keyring, REVIEW_LINK, token, now=datetime(2027, 3, 20, 11, 59, 59, tzinfo=UTC))
    assert (held["t"], held["o"], held["q"]) == ("acme", "o1", "q1")
    with pytest.raises(TokenExpired):
        verify_token(keyring, REVIEW_LINK, token, now=datetime(2027, 3, 20, 12, tzinfo=UTC))


def test_without_a_domain_there_is_no_link() -> None:
    keyring = Keyring.of({"INTEGRATION_ENCRYPTION_KEY": "k" * 32})
    assert review_url(keyring, None, tenant="acme", order_id="o1", queue_id="q1", now=NOW) is None
