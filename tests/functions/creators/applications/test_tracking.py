"""A step of the funnel: counted once, told to Meta and GA4 where that is set up and allowed, nobody in clear."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import pytest

from shared.crypto import encrypt_platform
from shared.events.applications import CreatorApplicationTrack
from shared.fakes.conversions import ConversionsFake
from shared.integrations.meta_conversions import normalised_phone
from shared.jobs.testing import Bench, Deliver, Delivered, ManualClock
from tests.builders.applications import add_application, add_config
from tests.conftest import ENCRYPTION_KEY, Rows

QUEUE = "creator-applications"
STATUS = "SELECT meta_status, meta_detail, ga4_status, ga4_detail FROM creator_application_events"


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.fixture
def platforms(clock: ManualClock) -> Iterator[ConversionsFake]:
    with ConversionsFake.start(now=clock.now) as fake:
        yield fake
        assert fake.problems == []


@pytest.fixture
def accounts(rows: Rows) -> None:
    """A pixel with its token and a measurement with its secret."""
    rows.execute("INSERT INTO site_config (tenant_id, fb_pixel_id, ga4_measurement_id) VALUES ('acme', 'px1', 'G-1')")
    rows.execute(
        "INSERT INTO meta_ad_connections (tenant_id, access_token_encrypted, status) VALUES ('acme', %s, 'active')",
        (encrypt_platform("meta-token", ENCRYPTION_KEY),),
    )
    rows.execute(
        "INSERT INTO tenant_api_credentials (tenant_id, service_name, api_key_encrypted, api_secret_encrypted)"
        " VALUES ('acme', 'ga4', %s, %s)",
        (encrypt_platform("unused", ENCRYPTION_KEY), encrypt_platform("ga4-secret", ENCRYPTION_KEY)),
    )


def track(deliver: Deliver, event: Any = "submitted", *, expect: str = "succeeded", **more: Any) -> Delivered:
    return deliver(CreatorApplicationTrack(application_id="a1", event=event, **more), expect=expect)


def test_person_goes_out_hashed_only(deliver: Deliver, rows: Rows, platforms: ConversionsFake, accounts: None) -> None:
    add_application(
        rows, email=" Ann@Example.COM ", name="Ann Lee", phone="+1 (555) 010-9999", other_social={"metaEventId": "ev1"}
    )

    done = track(deliver, metadata={"plan": "secret plan"})

    assert done.result == {"tracked": True, "platforms": ["internal", "meta", "ga4"]}
    event = platforms.meta["px1", "Lead", "ev1"]
    assert event["user_data"] == {
        "em": [sha("ann@example.com")],
        "ph": [sha("15550109999")],
        "fn": [sha("ann")],
        "ln": [sha("lee")],
        "external_id": [sha("a1")],
    }
    assert event["custom_data"] == {
        "content_name": "creator_application",
        "content_category": "creator",
        "status": "submitted",
    }
    sent = " ".join(platforms.bodies).lower()
    for clear in ("ann@", "555", '"ann', "secret plan"):
        assert clear not in sent


def test_ga4_hears_the_step_with_its_source(
    deliver: Deliver, rows: Rows, platforms: ConversionsFake, accounts: None
) -> None:
    add_application(rows, source="ig", utm_source="ig", utm_campaign="c" * 150)

    track(deliver)

    (body,) = platforms.ga4
    (event,) = body["events"]
    assert event["name"] == "creator_submitted"
    assert event["params"] == {
        "application_id": "a1",
        "source": "ig",
        "engagement_time_msec": 1,
        "utm_source": "ig",
        "utm_campaign": "c" * 100,
    }
    # 2026-11-20T11:59:00Z
    assert body["client_id"].endswith(".1795175940")
    assert len(body["client_id"].split(".")[0]) == 10
    assert body["timestamp_micros"] == 1795175940_000000


def test_rejection_is_counted_here_only(
    deliver: Deliver, rows: Rows, platforms: ConversionsFake, accounts: None
) -> None:
    add_application(rows, status="rejected", reviewed_at="2026-11-20T11:59:30Z")

    assert track(deliver, "rejected").result["platforms"] == ["internal"]
    assert (platforms.meta_calls, platforms.ga4_calls) == (0, 0)


def test_approval_judges_a_person_and_meta_does_not_hear_of_it(
    deliver: Deliver, rows: Rows, platforms: ConversionsFake, accounts: None
) -> None:
    add_application(rows, status="approved", reviewed_at="2026-11-20T11:59:30Z")

    assert track(deliver, "approved").result["platforms"] == ["internal", "ga4"]
    assert platforms.meta_calls == 0


def test_meta_in_trouble_is_asked_again_and_ga4_is_not(
    deliver: Deliver, rows: Rows, platforms: ConversionsFake, accounts: None
) -> None:
    platforms.fail("meta", 500)
    add_application(rows)

    first = track(deliver, expect="retrying")
    second = deliver.again(QUEUE)

    assert first.code == "META_UNAVAILABLE"
    assert second.result["platforms"] == ["internal", "meta", "ga4"]
    assert (platforms.meta_calls, platforms.ga4_calls) == (2, 1)


def test_old_step_is_not_told_to_meta(deliver: Deliver, rows: Rows, platforms: ConversionsFake, accounts: None) -> None:
    """7 days and 1 hour ago: Meta would refuse the whole call. GA4 takes it without its time."""
    add_application(rows, created_at="2026-11-13T11:00:00Z")

    assert track(deliver).result["platforms"] == ["internal", "ga4"]
    (row,) = rows(STATUS)
    assert (row["meta_status"], row["meta_detail"]) == ("skipped", "too_old")
    assert "timestamp_micros" not in platforms.ga4[0]


@pytest.mark.parametrize(
    ("type", "granted", "platforms_told"),
    [
        ("third_party", False, ["internal", "ga4"]),
        ("analytics", False, ["internal", "meta"]),
        ("third_party", True, ["internal", "meta", "ga4"]),
    ],
)
def test_refused_consent_is_respected_by_platform(
    deliver: Deliver,
    rows: Rows,
    platforms: ConversionsFake,
    accounts: None,
    type: str,
    granted: bool,
    platforms_told: list[str],
) -> None:
    add_application(rows)
    rows.execute(
        "INSERT INTO consent_records (customer_email, consent_type, granted, created_at) VALUES"
        " ('Jane@example.com', %s, %s, now()), ('jane@example.com', %s, true, now() - interval '1 day')",
        (type, granted, type),
    )

    assert track(deliver).result["platforms"] == platforms_told
    if not granted:
        assert "no_consent" in rows(STATUS)[0].values()


def test_tenant_that_tracks_nobody_tells_nobody(
    deliver: Deliver, rows: Rows, platforms: ConversionsFake, accounts: None
) -> None:
    add_application(rows)
    add_config(rows, "privacy.creator_ads_tracking", {"enabled": False})

    assert track(deliver).result["platforms"] == ["internal"]


def test_second_delivery_calls_nobody(deliver: Deliver, rows: Rows, platforms: ConversionsFake, accounts: None) -> None:
    add_application(rows)
    track(deliver)
    rows.execute("DELETE FROM jobs.claims")

    assert track(deliver).result["platforms"] == ["internal", "meta", "ga4"]
    assert (platforms.meta_calls, platforms.ga4_calls) == (1, 1)


def test_ga4_found_in_the_middle_of_a_call_is_not_told_again(
    deliver: Deliver, rows: Rows, platforms: ConversionsFake, accounts: None
) -> None:
    add_application(rows)
    rows.execute(
        "INSERT INTO creator_application_events (application_id, event, occurred_at, ga4_status)"
        " VALUES ('a1', 'submitted', '2026-11-20T11:59:00Z', 'sending')"
    )

    assert track(deliver).result["platforms"] == ["internal", "meta"]
    assert platforms.ga4_calls == 0


def test_ga4_that_fails_after_it_was_asked_is_not_asked_again(
    deliver: Deliver, rows: Rows, platforms: ConversionsFake, accounts: None
) -> None:
    platforms.fail("ga4", 503)
    add_application(rows)

    assert track(deliver).result["platforms"] == ["internal", "meta"]
    assert rows(STATUS)[0]["ga4_status"] == "sending"


META_ERRORS = [
    pytest.param(400, 4, "deferred", "META_THROTTLED", id="application limit"),
    pytest.param(400, 80004, "deferred", "META_THROTTLED", id="account limit"),
    pytest.param(429, None, "deferred", "META_THROTTLED", id="429"),
    pytest.param(400, 2, "retrying", "META_UNAVAILABLE", id="service temporarily unavailable"),
    pytest.param(503, None, "retrying", "META_UNAVAILABLE", id="503"),
]


@pytest.mark.parametrize(("status", "code", "state", "said"), META_ERRORS)
def test_meta_s_passing_troubles(
    deliver: Deliver,
    rows: Rows,
    platforms: ConversionsFake,
    accounts: None,
    status: int,
    code: int | None,
    state: str,
    said: str,
) -> None:
    platforms.fail("meta", status, code)
    add_application(rows)

    assert track(deliver, expect=state).code == said
    assert platforms.ga4_calls == 1


@pytest.mark.parametrize(("code", "detail", "alerts"), [(190, "META_TOKEN_INVALID", 1), (100, "META_REFUSED", 0)])
def test_meta_s_refusals_are_recorded(
    deliver: Deliver,
    bench: Bench,
    rows: Rows,
    platforms: ConversionsFake,
    accounts: None,
    code: int,
    detail: str,
    alerts: int,
) -> None:
    platforms.fail("meta", 400, code)
    add_application(rows)

    assert track(deliver).result["platforms"] == ["internal", "ga4"]
    (row,) = rows(STATUS)
    assert (row["meta_status"], row["meta_detail"]) == ("failed", detail)
    assert len([1 for name, _ in bench.bus.published if name == "alert.apiFailure"]) == alerts


def test_tenant_without_accounts_counts_here_only(deliver: Deliver, rows: Rows, platforms: ConversionsFake) -> None:
    add_application(rows)

    assert track(deliver).result["platforms"] == ["internal"]
    assert rows(STATUS) == [
        {
            "meta_status": "skipped",
            "meta_detail": "not_configured",
            "ga4_status": "skipped",
            "ga4_detail": "not_configured",
        }
    ]


def test_unknown_event_and_unknown_application_are_refused(deliver: Deliver) -> None:
    done = deliver.job("creator-track-application-analytics", {"applicationId": "a1", "event": "opened"}, expect="dead")

    assert done.code == "INVALID_PAYLOAD"
    assert track(deliver, expect="dead").code == "APPLICATION_NOT_FOUND"


@pytest.mark.parametrize(
    ("typed", "sent"), [("+1 (555) 010-9999", "15550109999"), ("0044 20 7946", "44207946"), ("n/a", None)]
)
def test_phone_is_digits_with_the_country_first(typed: str, sent: str | None) -> None:
    assert normalised_phone(typed) == sent
