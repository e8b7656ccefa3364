"""The rules of applications that need no database: names, codes, links, steps, events for the platforms."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.applications import codes, conversions, onboarding
from shared.applications.contracts import short_id
from shared.applications.links import admin_page, login_url
from shared.applications.resolve import as_uuid, split_name
from shared.integrations.ga4_collect import client_id
from shared.jobs.errors import Permanent
from tests.builders.creators import JANE

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "prefix"),
    [
        ("Jane", "JANE"),
        ("Zoë-Marie", "ZOEMAR"),
        ("Łukasz", "UKASZ"),
        ("李", "CREATOR"),
        ("", "CREATOR"),
        ("o'Neil", "ONEIL"),
    ],
)
def test_prefix_of_a_code_is_plain_letters(name: str, prefix: str) -> None:
    assert codes.prefix(name) == prefix


def candidates(format: str = codes.DEFAULT_FORMAT) -> list[str]:
    return list(codes.candidates(format, first_name="Jane", creator_id=JANE, customer_percent=15))


def test_candidates_follow_from_the_creator_s_id() -> None:
    found = candidates()

    # sha256("11111111-1111-4111-8111-111111111111:0") and so on: the catalogue's own example
    assert found[:3] == ["JANE85", "JANE84", "JANE57"]
    assert len(found) == 20
    assert all(len(code) == 6 for code in found[:10])
    assert all(len(code) == 8 for code in found[10:])
    assert found == candidates()


@pytest.mark.parametrize(
    ("format", "first"),
    [("{NAME}-{PERCENT}", "JANE-15"), ("hi_{RANDOM4}", None), ("{NAME} !", "none"), ("X", "none")],
)
def test_format_is_the_tenant_s_and_what_no_shop_takes_is_left_out(format: str, first: str | None) -> None:
    found = candidates(format)

    if first == "none":
        assert found == []
    elif first is None:
        assert found[0].startswith("HI_")
        assert len(found[0]) == 7
    else:
        assert found[0] == first


@pytest.mark.parametrize("code", ["ab", "a b c", "x" * 33, "né1"])
def test_chosen_code_that_no_shop_takes_is_refused(code: str) -> None:
    with pytest.raises(Permanent, match="CODE_INVALID"):
        codes.checked_code(code)


def test_chosen_code_is_written_large() -> None:
    assert codes.checked_code(" summer-1 ") == "SUMMER-1"


@pytest.mark.parametrize(
    ("name", "parts"),
    [("Jane Doe", ("Jane", "Doe")), ("Jane van Doe", ("Jane", "van Doe")), (" Jane ", ("Jane", "")), ("", ("", ""))],
)
def test_name_is_split_at_the_first_space(name: str, parts: tuple[str, str]) -> None:
    assert split_name(name) == parts


@pytest.mark.parametrize(("text", "uuid"), [(JANE, JANE), ("c1", None), ("", None), (None, None)])
def test_other_ids_are_not_compared_with_a_uuid(text: str | None, uuid: str | None) -> None:
    assert as_uuid(text) == uuid


@pytest.mark.parametrize(
    ("days", "due"), [([3, 7], NOON + timedelta(days=3)), ([], None), (None, None), ([14, 2], NOON + timedelta(days=2))]
)
def test_first_reminder_is_after_the_shortest_time(days: list[int] | None, due: datetime | None) -> None:
    assert onboarding.first_reminder({"id": "x", "reminderDays": days}, NOON) == due


def test_default_steps_are_those_of_the_table() -> None:
    assert [step["id"] for step in onboarding.DEFAULT_STEPS] == [
        "accept_terms",
        "complete_profile",
        "sign_agreement",
        "submit_tax_info",
        "setup_payout",
        "complete_training",
        "receive_samples",
    ]


def test_link_carries_token_and_address_encoded() -> None:
    assert (
        login_url("https://p.test", "a_b-c", "a+b@x.com")
        == "https://p.test/auth/verify?token=a_b-c&email=a%2Bb%40x.com"
    )


def test_page_of_an_applicant_is_the_application_s() -> None:
    assert admin_page("https://a.test", "application:a 1", {}) == (
        "Review",
        "https://a.test/admin/creators/applications?application=a+1",
    )


def test_ids_of_documents_are_the_same_in_every_run() -> None:
    assert short_id("doc", "w1", "c1") == short_id("doc", "w1", "c1")
    assert short_id("doc", "w1", "c1") != short_id("doc", "w1", "c2")
    assert len(short_id("doc", "w1")) == len("doc_") + 12


def test_client_of_ga4_is_ten_digits_and_the_second() -> None:
    first, second = client_id("a1", NOON).split(".")

    assert (len(first), second) == (10, str(int(NOON.timestamp())))
    assert client_id("a1", NOON) == client_id("a1", NOON)
    assert client_id("a2", NOON) != client_id("a1", NOON)


ROW: dict[str, Any] = {
    "id": "a1",
    "name": "Ann Lee",
    "email": "ann@x.com",
    "phone": None,
    "other_social": {"metaEventId": "ev1"},
    "created_at": NOON,
    "reviewed_at": None,
    "source": None,
    "utm_source": None,
    "utm_medium": None,
    "utm_campaign": None,
}


def test_browser_s_event_id_is_that_of_the_form_only() -> None:
    assert conversions.meta_event("submitted", ROW, NOON)["event_id"] == "ev1"
    assert conversions.meta_event("completed_setup", ROW, NOON)["event_id"] == "creator-app:a1:completed_setup"


@pytest.mark.parametrize(
    ("event", "creator", "at"),
    [
        ("submitted", None, NOON),
        ("approved", None, NOON + timedelta(days=9)),
        ("completed_setup", {"onboarding_completed_at": NOON + timedelta(days=2)}, NOON + timedelta(days=2)),
        ("completed_setup", None, NOON + timedelta(days=9)),
    ],
)
def test_step_happened_when_its_row_says_so(event: str, creator: dict[str, Any] | None, at: datetime) -> None:
    assert conversions.occurred_at(event, ROW, creator, NOON + timedelta(days=9)) == at
