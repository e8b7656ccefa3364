"""An approval is carried out: identity, membership, terms, onboarding list, code, contract, welcome."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from shared.events.applications import CreatorApprovalProcess
from shared.fakes.resend import ResendFake
from shared.fakes.shopify import Shop, ShopifyFake
from shared.jobs.context import Tenant
from shared.jobs.testing import START, Bench, Deliver, Delivered, ManualClock
from tests.builders.applications import (
    PORTAL,
    add_application,
    add_config,
    add_review,
    queue_mail,
    the_application,
    the_review,
)
from tests.builders.creators import JANE, add_creator
from tests.conftest import SHOP, Rows
from tests.functions.creators.applications.conftest import names, payload_of

BULK = "creator-applications-bulk"
OWNER = "33333333-3333-4333-8333-333333333333"
MEMBERSHIP = (
    "SELECT m.creator_id::text, m.status::text, m.commission_percent::text, m.discount_code"
    " FROM public.creator_brand_memberships m JOIN public.organizations o ON o.id = m.organization_id"
    " WHERE o.slug = 'acme'"
)


def approve(deliver: Deliver, *, expect: str = "succeeded", **more: Any) -> Delivered:
    fields = {"application_id": "a1", "approved_by": "u1", **more}
    return deliver(CreatorApprovalProcess(**fields), expect=expect)


@pytest.fixture
def identity(rows: Rows) -> None:
    """Jane has an identity already, of another brand: so her id, and her codes, are known."""
    rows.execute(
        "INSERT INTO public.creators (id, email, name, status) VALUES (%s, 'jane@example.com', 'Jane D', 'active')",
        (JANE,),
    )


@pytest.fixture
def shop(shopify: ShopifyFake) -> Shop:
    """The tenant's shop, with the scopes for discounts."""
    shop = shopify.shops[SHOP]
    shop.scopes |= {"read_discounts", "write_discounts"}
    return shop


def the_creator(rows: Rows) -> dict[str, Any]:
    (found,) = rows("SELECT * FROM creators WHERE lower(email) = 'jane@example.com'")
    return found


# -- identity and terms ----------------------------------------------------------------------------------------------


def test_new_applicant_becomes_a_creator_of_one_id(deliver: Deliver, rows: Rows) -> None:
    add_application(rows, email="Jane@Example.com", name="Jane van Doe", phone="+15550109999", instagram="jane")

    done = approve(deliver, notes="met at the fair")

    creator = the_creator(rows)
    (identity,) = rows("SELECT id::text, email, name, status::text FROM public.creators")
    assert identity == {"id": creator["id"], "email": "jane@example.com", "name": "Jane van Doe", "status": "active"}
    assert (creator["first_name"], creator["last_name"]) == ("Jane", "van Doe")
    assert (creator["status"], creator["tier"], creator["instagram_handle"]) == ("approved", "bronze", "jane")
    assert creator["approved_at"] == START
    application = the_application(rows)
    assert (application["status"], application["creator_id"], application["reviewed_by"]) == (
        "approved",
        creator["id"],
        "u1",
    )
    assert application["internal_notes"] == "met at the fair"
    assert rows(MEMBERSHIP)[0]["status"] == "active"
    assert done.result["creatorId"] == creator["id"]
    assert (the_review(rows)["status"], the_review(rows)["decision"]) == ("completed", "approved")


def test_name_of_one_word_leaves_the_last_name_empty(deliver: Deliver, rows: Rows) -> None:
    add_application(rows, name="Jane")
    approve(deliver)

    assert the_creator(rows)["last_name"] == ""


def test_creator_of_another_brand_keeps_the_identity_and_the_first_brand_s_rows(
    deliver: Deliver, rows: Rows, tenant: Tenant, other_tenant: Tenant, identity: None
) -> None:
    rows.execute(
        "INSERT INTO public.creator_brand_memberships"
        " (creator_id, organization_id, status, commission_percent, discount_code)"
        " VALUES (%s, %s, 'paused', 33.00, 'THEIRS')",
        (JANE, other_tenant.organization_id),
    )
    add_application(rows)

    approve(deliver)

    assert the_creator(rows)["id"] == JANE
    assert rows("SELECT count(*) AS n FROM public.creators") == [{"n": 1}]
    (theirs,) = rows(
        "SELECT status::text, commission_percent::text, discount_code"
        " FROM public.creator_brand_memberships WHERE organization_id = %s",
        (other_tenant.organization_id,),
    )
    assert theirs == {"status": "paused", "commission_percent": "33.00", "discount_code": "THEIRS"}
    assert rows(MEMBERSHIP)[0]["creator_id"] == JANE
    assert rows("SELECT name FROM public.creators") == [{"name": "Jane D"}]
    assert rows("SELECT 1 FROM creators", tenant=other_tenant) == []


def test_creator_s_own_row_keeps_its_id(deliver: Deliver, rows: Rows, identity: None) -> None:
    add_creator(rows, "c-old", email="JANE@example.com", status="inactive")
    add_application(rows)
    approve(deliver)

    creator = the_creator(rows)
    assert (creator["id"], creator["status"]) == ("c-old", "approved")
    assert rows(MEMBERSHIP)[0]["creator_id"] == JANE


@pytest.mark.parametrize(("status", "count"), [("inactive", 0), ("paused", 3)])
def test_reminders_begin_anew_with_a_new_approval_only(deliver: Deliver, rows: Rows, status: str, count: int) -> None:
    add_creator(
        rows,
        "c1",
        email="jane@example.com",
        status=status,
        approved_at="2026-01-01T00:00:00Z",
        reminder_count=3,
        escalated_at="2026-02-01T00:00:00Z",
    )
    add_application(rows)

    approve(deliver)

    creator = the_creator(rows)
    assert (creator["reminder_count"], creator["escalated_at"] is None) == (count, count == 0)
    assert creator["approved_at"].isoformat().startswith("2026-01-01T00:00:00")


def test_terminated_creator_comes_back_only_by_hand(deliver: Deliver, rows: Rows) -> None:
    add_creator(rows, "c1", email="jane@example.com", status="terminated")
    add_application(rows)

    assert approve(deliver, expect="dead").code == "CREATOR_TERMINATED"


@pytest.mark.parametrize(
    ("wanted", "onboarding", "tiers", "tier", "rate"),
    [
        pytest.param("0", "12.50", None, None, "0.00", id="a wanted zero is no default"),
        pytest.param(None, "12.50", None, None, "12.50", id="onboarding's default"),
        pytest.param(None, None, None, None, "10.00", id="nothing set"),
        pytest.param(None, "12.50", [{"tier": "gold", "rate_percent": 20}], "gold", "20.00", id="the tier's"),
        pytest.param(
            None, None, [{"tier": "gold", "rate_percent": 20}], "silver", "17.00", id="commission settings' default"
        ),
    ],
)
def test_rate_is_the_first_that_is_set_and_alike_everywhere(
    deliver: Deliver, rows: Rows, wanted: str | None, onboarding: str | None, tiers: Any, tier: Any, rate: str
) -> None:
    if onboarding is not None:
        rows.execute("INSERT INTO onboarding_config (default_commission_percent) VALUES (%s)", (onboarding,))
    if tiers is not None:
        rows.execute(
            "INSERT INTO commission_config (default_rate_percent, tier_rates) VALUES (17, %s)", (Jsonb(tiers),)
        )
    add_application(rows)

    done = approve(deliver, commission_percent=Decimal(wanted) if wanted else None, tier=tier)

    assert done.result["commissionPercent"] == rate
    assert str(the_creator(rows)["commission_rate_pct"]) == rate
    assert rows(MEMBERSHIP)[0]["commission_percent"] == rate
    assert rows("SELECT commission_percent::text AS p FROM promo_code_metadata") == [{"p": rate}]
    assert rows("SELECT commission_rate::text AS p FROM attribution_influencers") == [{"p": rate}]


def test_rate_that_the_app_has_agreed_is_kept(deliver: Deliver, rows: Rows, tenant: Tenant, identity: None) -> None:
    rows.execute(
        "INSERT INTO public.creator_brand_memberships (creator_id, organization_id, status, commission_percent)"
        " VALUES (%s, %s, 'active', 22.00)",
        (JANE, tenant.organization_id),
    )
    add_application(rows, status="approved")

    assert approve(deliver).result["commissionPercent"] == "22.00"


@pytest.mark.parametrize("rate", ["101", "-0.01"])
def test_rate_outside_its_bounds_is_refused(deliver: Deliver, rows: Rows, rate: str) -> None:
    add_application(rows)

    assert approve(deliver, commission_percent=Decimal(rate), expect="dead").code == "INVALID_COMMISSION"
    assert the_application(rows)["status"] == "new"


def test_existing_creator_s_rate_gives_way_to_an_explicit_one_only(deliver: Deliver, rows: Rows) -> None:
    add_creator(rows, "c1", email="jane@example.com", status="inactive", commission_rate_pct="30.00")
    add_application(rows)

    assert approve(deliver).result["commissionPercent"] == "30.00"


# -- onboarding list -------------------------------------------------------------------------------------------------


def test_default_list_has_seven_steps_with_their_first_reminder(deliver: Deliver, rows: Rows) -> None:
    add_application(rows)
    approve(deliver)

    steps = {row["step_id"]: row for row in rows("SELECT * FROM creator_onboarding")}
    assert len(steps) == 7
    assert steps["complete_profile"]["next_reminder_at"] == START + timedelta(days=3)
    assert steps["accept_terms"]["next_reminder_at"] is None
    assert steps["submit_tax_info"]["metadata"] == {"name": "Submit W-9 / Tax Info", "order": 4, "required": True}


# -- the code --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("taken", "code"),
    [((), "JANE85"), (("JANE85",), "JANE84"), (("jane85", "JANE84"), "JANE57")],
)
def test_code_follows_from_name_and_id(
    deliver: Deliver, rows: Rows, identity: None, taken: tuple[str, ...], code: str
) -> None:
    for number, each in enumerate(taken):
        add_creator(rows, f"c{number}", referral_code=each)
    add_application(rows)

    done = approve(deliver)

    assert done.result["codeState"] == "local"
    assert the_creator(rows)["referral_code"] == code
    assert rows(MEMBERSHIP)[0]["discount_code"] == code
    assert rows("SELECT code FROM promo_code_metadata WHERE creator_id = %s", (JANE,)) == [{"code": code}]
    (known,) = rows(
        "SELECT discount_codes, utm_patterns, status FROM attribution_influencers WHERE creator_id = %s", (JANE,)
    )
    assert known == {"discount_codes": [code], "utm_patterns": [code.lower()], "status": "active"}


def test_chosen_code_is_the_only_candidate(deliver: Deliver, rows: Rows) -> None:
    add_creator(rows, "c1", code="SUMMER")
    add_application(rows)
    add_application(rows, "a2", email="b@example.com")

    assert approve(deliver, discount_code="summer", expect="dead").code == "CODE_TAKEN"
    deliver(CreatorApprovalProcess(application_id="a2", discount_code="winter"))
    assert rows("SELECT referral_code FROM creators WHERE email = 'b@example.com'") == [{"referral_code": "WINTER"}]


@pytest.mark.parametrize("format", ["SAME", "{NAME} !"], ids=["taken", "no code that a shop takes"])
def test_no_candidate_left_is_told_and_the_approval_goes_on(
    deliver: Deliver, rows: Rows, identity: None, format: str
) -> None:
    rows.execute("INSERT INTO onboarding_config (code_format) VALUES (%s)", (format,))
    add_creator(rows, "c1", code="SAME")
    add_application(rows)

    done = approve(deliver)

    assert done.result["codeState"] == "exhausted"
    assert the_creator(rows)["referral_code"] is None
    alert = payload_of(done, "alert.apiFailure")
    assert (alert["dedupeKey"], alert["context"]["code"]) == (f"approval:{JANE}:code", "CODE_EXHAUSTED")


def test_tenant_that_makes_no_codes_gets_none(deliver: Deliver, rows: Rows) -> None:
    rows.execute("INSERT INTO onboarding_config (auto_generate_code) VALUES (false)")
    add_application(rows)

    assert approve(deliver).result["codeState"] == "none"
    assert rows("SELECT 1 FROM promo_code_metadata") == []


def test_code_is_made_in_the_shop(deliver: Deliver, rows: Rows, identity: None, shop: Shop) -> None:
    add_config(rows, "creator.discount", {"percent": 15})
    add_application(rows)

    done = approve(deliver)

    held = shop.discounts["JANE85"]
    assert done.result["codeState"] == "created"
    assert held["input"] == {
        "title": f"Creator JANE85 ({JANE})",
        "code": "JANE85",
        "startsAt": "2026-11-20T12:00:00Z",
        "context": {"all": "ALL"},
        "customerGets": {"value": {"percentage": 0.15}, "items": {"all": True}},
        "appliesOncePerCustomer": True,
        "combinesWith": {"shippingDiscounts": True, "orderDiscounts": False, "productDiscounts": False},
        "tags": ["creator"],
    }
    assert rows("SELECT shopify_discount_id FROM promo_code_metadata") == [{"shopify_discount_id": held["node"]["id"]}]


def test_crash_after_the_shop_made_the_code_adopts_it(
    deliver: Deliver, rows: Rows, shopify: ShopifyFake, identity: None, shop: Shop
) -> None:
    add_application(rows)
    shopify.fail("cut", match="CreateCreatorCode")

    approve(deliver, expect="retrying")
    done = deliver.again(BULK)

    assert done.result["codeState"] == "adopted"
    assert list(shop.discounts) == ["JANE85"]
    assert the_creator(rows)["referral_code"] == "JANE85"
    assert rows(MEMBERSHIP)[0]["discount_code"] == "JANE85"
    assert rows("SELECT code, shopify_discount_id AS id FROM promo_code_metadata") == [
        {"code": "JANE85", "id": shop.discounts["JANE85"]["node"]["id"]}
    ]
    assert payload_of(done, "creator.welcomeSequence") == {"creatorId": JANE, "welcomeCallScheduled": False}


def test_code_that_the_shop_uses_otherwise_gives_way_everywhere(
    deliver: Deliver, rows: Rows, identity: None, shop: Shop
) -> None:
    shop.discounts["JANE85"] = {
        "node": {
            "__typename": "DiscountCodeNode",
            "id": "gid://shopify/DiscountCodeNode/1",
            "codeDiscount": {"__typename": "DiscountCodeBasic", "title": "Spring sale"},
        },
        "input": {},
    }
    add_application(rows)

    done = approve(deliver)

    assert done.result["codeState"] == "created"
    assert the_creator(rows)["referral_code"] == "JANE84"
    assert rows(MEMBERSHIP)[0]["discount_code"] == "JANE84"
    assert rows("SELECT code FROM promo_code_metadata") == [{"code": "JANE84"}]
    assert rows("SELECT discount_codes, utm_patterns FROM attribution_influencers") == [
        {"discount_codes": ["JANE84"], "utm_patterns": ["jane84"]}
    ]


def test_missing_scope_is_told_and_the_approval_goes_on(
    deliver: Deliver, rows: Rows, shopify: ShopifyFake, identity: None
) -> None:
    add_application(rows)

    done = approve(deliver)

    assert done.result["codeState"] == "failed"
    assert the_creator(rows)["referral_code"] == "JANE85"
    assert payload_of(done, "alert.apiFailure")["dedupeKey"] == f"approval:{JANE}:code"


def test_shop_out_of_reach_is_asked_again(
    deliver: Deliver, rows: Rows, shopify: ShopifyFake, identity: None, shop: Shop
) -> None:
    shopify.fail(503)
    add_application(rows)

    assert approve(deliver, expect="retrying").code == "SHOPIFY_UNAVAILABLE"
    done = deliver.again(BULK)
    assert (done.result["outcome"], done.result["codeState"]) == ("approved", "created")


# -- the contract ----------------------------------------------------------------------------------------------------


@pytest.fixture
def contract(rows: Rows, admin: psycopg.Connection[Any], tenant: Tenant) -> None:
    """A workflow with one template, signed by the creator first and by the brand second."""
    rows.execute(
        "INSERT INTO esign_templates (id, name, file_url, status, created_by)"
        " VALUES ('t1', 'Agreement', 'https://files.test/t1.pdf', 'active', 'u1')"
    )
    rows.execute(
        "INSERT INTO esign_template_fields (id, template_id, type, page, x, y, width, height, signer_order) VALUES"
        " ('f1', 't1', 'signature', 1, 10, 10, 100, 20, 1), ('f2', 't1', 'signature', 1, 10, 50, 100, 20, 2)"
    )
    steps = [
        {"order": 1, "templateId": "t1", "signers": [{"type": "creator", "order": 1}, {"type": "admin", "order": 2}]}
    ]
    rows.execute(
        "INSERT INTO esign_workflows (id, name, trigger_type, steps, default_expires_days, created_by)"
        " VALUES ('w1', 'Onboarding', 'creator_onboarding', %s, 30, 'u1')",
        (Jsonb(steps),),
    )
    admin.execute("INSERT INTO public.users (id, email, name) VALUES (%s, 'owner@acme.test', 'Olga')", (OWNER,))
    admin.execute(
        "INSERT INTO public.user_organizations (user_id, organization_id, role) VALUES (%s, %s, 'owner')",
        (OWNER, tenant.organization_id),
    )


def test_first_signer_is_asked_and_the_second_waits(
    deliver: Deliver, rows: Rows, resend: ResendFake, contract: None, identity: None, clock: ManualClock
) -> None:
    add_application(rows)

    done = approve(deliver)
    for lost in ("jobs.claims", "jobs.claims, creator_onboarding"):  # without its list the approval is carried out anew
        rows.execute(f"TRUNCATE {lost}")
        clock.advance(s=60)
        approve(deliver)

    (document,) = rows("SELECT * FROM esign_documents")
    assert (document["status"], document["name"]) == ("pending", "Agreement - Jane Doe")
    assert document["expires_at"] == START + timedelta(days=30)
    signers = rows(
        "SELECT id, name, email, status, is_internal, access_token FROM esign_signers ORDER BY signing_order"
    )
    assert [(s["name"], s["status"], s["is_internal"]) for s in signers] == [
        ("Jane Doe", "sent", False),
        ("Olga", "pending", True),
    ]
    assert [len(s["access_token"]) for s in signers] == [21, 21]
    fields = rows("SELECT signer_id, template_field_id FROM esign_fields ORDER BY template_field_id")
    assert [f["signer_id"] for f in fields] == [s["id"] for s in signers]
    assert sorted(r["action"] for r in rows("SELECT action FROM esign_audit_log")) == ["created", "sent"]
    (mail,) = resend.sent_to("jane@example.com")
    assert f"{PORTAL}/sign/{signers[0]['access_token']}" in mail.body["html"]
    assert resend.sent_to("owner@acme.test") == []
    assert (done.result["contractState"], done.result["documents"]) == ("sent", 1)
    told = (
        payload_of(done, "creator.slackNotification")
        if len([n for n in names(done) if n == "creator.slackNotification"]) == 1
        else None
    )
    posts = [p for n, p in done.emitted if n == "creator.slackNotification"]
    assert told is None
    assert {p["notificationType"] for p in posts} == {"contract_sent", "application_approved"}
    (sent,) = [p for p in posts if p["notificationType"] == "contract_sent"]
    assert sent["metadata"]["documentName"] == "Agreement"


def test_inactive_template_is_told(deliver: Deliver, rows: Rows, contract: None) -> None:
    rows.execute("UPDATE esign_templates SET status = 'draft'")
    add_application(rows)

    done = approve(deliver)

    assert (done.result["contractState"], done.result["documents"]) == ("template_inactive", 0)
    assert payload_of(done, "alert.apiFailure")["context"]["code"] == "TEMPLATE_INACTIVE"
    assert rows("SELECT 1 FROM esign_workflow_executions") == []


# -- events and repetition -------------------------------------------------------------------------------------------


def test_run_on_its_own_publishes_the_following_steps(deliver: Deliver, rows: Rows) -> None:
    add_application(rows)

    done = approve(deliver, tier="gold")

    assert sorted(names(done)) == [
        "creator.application.pipelineEntry",
        "creator.application.track",
        "creator.approval.email",
        "creator.slackNotification",
        "creator.welcomeSequence",
    ]
    assert payload_of(done, "creator.approval.email") == {"creatorId": the_creator(rows)["id"], "tier": "gold"}


def test_orchestrated_run_publishes_the_welcome_only(deliver: Deliver, rows: Rows) -> None:
    add_application(rows)

    assert names(approve(deliver, orchestrated=True)) == ["creator.welcomeSequence"]


def test_orchestrated_run_takes_its_terms_from_the_stored_decision(deliver: Deliver, rows: Rows) -> None:
    add_application(rows)
    terms = {"tier": "platinum", "commissionPercent": "7.50", "discountCode": "jd7", "sendNotification": False}
    add_review(rows, status="decided", decision="approved", decided_by="u9", decision_payload=terms)

    done = approve(deliver, orchestrated=True)

    creator = the_creator(rows)
    assert (creator["tier"], creator["referral_code"], str(creator["commission_rate_pct"])) == (
        "platinum",
        "JD7",
        "7.50",
    )
    assert done.result["sendNotification"] is False
    assert the_application(rows)["reviewed_by"] == "u9"


def test_no_mail_is_asked_for_without_notice(deliver: Deliver, rows: Rows) -> None:
    add_application(rows)

    assert "creator.approval.email" not in names(approve(deliver, send_notification=False))


def test_approved_before_with_everything_in_place_changes_nothing(
    deliver: Deliver, rows: Rows, clock: ManualClock
) -> None:
    add_application(rows)
    approve(deliver)
    before = the_creator(rows)
    rows.execute("DELETE FROM jobs.claims")
    clock.advance(s=60)

    again = approve(deliver)

    assert (again.result["outcome"], again.result["processed"]) == ("unchanged", False)
    assert names(again) == []
    assert the_creator(rows)["approved_at"] == before["approved_at"]


def test_missing_part_of_an_older_approval_is_made(deliver: Deliver, rows: Rows, clock: ManualClock) -> None:
    add_creator(rows, "c1", email="jane@example.com", status="active", approved_at="2026-11-01T00:00:00Z")
    add_application(rows, status="approved")

    done = approve(deliver)

    assert done.result["outcome"] == "approved"
    assert (the_creator(rows)["status"], len(rows("SELECT 1 FROM creator_onboarding"))) == ("active", 7)


def test_waiting_mails_of_the_applicant_are_called_back_but_the_confirmation(deliver: Deliver, rows: Rows) -> None:
    add_application(rows)
    queue_mail(rows, "application:a1", "creator_application_rejected")
    queue_mail(rows, "application:a1", "creator_application_received", number=2)

    approve(deliver)

    left = rows("SELECT template_type FROM creator_email_queue WHERE status = 'scheduled'")
    assert left == [{"template_type": "creator_application_received"}]


def test_creator_put_in_by_hand_needs_no_application(deliver: Deliver, rows: Rows) -> None:
    add_creator(rows, "c1", email="jane@example.com", status="pending")

    done = approve(deliver, application_id=None, creator_id="c1")

    assert done.result["creatorId"] == "c1"
    assert the_creator(rows)["status"] == "approved"
    assert "creator.application.track" not in names(done)
    assert payload_of(done, "creator.application.pipelineEntry") == {
        "applicationId": "c1",
        "creatorId": "c1",
        "stage": "approved",
    }


def test_two_brands_that_approve_one_person_at_once_share_the_identity(
    deliver: Deliver, rows: Rows, other_tenant: Tenant, bench: Bench
) -> None:
    add_application(rows)
    rows.execute(
        "INSERT INTO creator_applications (id, name, email) VALUES ('b1', 'Jane D', 'JANE@example.com')",
        tenant=other_tenant,
    )

    approve(deliver)
    deliver(CreatorApprovalProcess(application_id="b1"), tenant=other_tenant)

    assert rows("SELECT count(*) AS n FROM public.creators") == [{"n": 1}]
    assert rows("SELECT count(*) AS n FROM public.creator_brand_memberships") == [{"n": 2}]


def test_nobody_is_refused(deliver: Deliver) -> None:
    assert approve(deliver, expect="dead").code == "CREATOR_NOT_FOUND"
    assert deliver.job("creator-process-approval", {}, expect="dead").code == "INVALID_PAYLOAD"


def test_clock_of_the_tests_is_the_one_of_the_figures() -> None:
    assert datetime(2026, 11, 20, 12, 0, tzinfo=UTC) == START
