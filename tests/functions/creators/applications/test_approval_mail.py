"""The mail that says yes: one per approval, with one link, whose token is nowhere else."""

from __future__ import annotations

import hashlib
import json
import logging
import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest

from shared.events.applications import CreatorApprovalEmail
from shared.fakes.resend import ResendFake
from shared.jobs.testing import Deliver, Delivered, ManualClock
from tests.builders.applications import PORTAL
from tests.builders.creators import JANE, add_creator
from tests.conftest import Rows

QUEUE = "creator-applications"
LINKS = "SELECT email, token_hash, purpose::text, expires_at, created_at FROM public.magic_links ORDER BY created_at"
TABLES = "SELECT schemaname, tablename FROM pg_tables WHERE schemaname IN ('jobs', 'tenant_acme', 'public')"


@pytest.fixture
def jane(rows: Rows) -> None:
    add_creator(
        rows,
        JANE,
        email="Jane@example.com",
        status="approved",
        approved_at="2026-11-20T11:00:00Z",
        referral_code="JANE85",
        commission_rate_pct="12.50",
    )


def send(deliver: Deliver, *, expect: str = "succeeded", **more: Any) -> Delivered:
    return deliver(CreatorApprovalEmail(creator_id=JANE, **more), expect=expect)


def link_in(mail: Any) -> str:
    """The log-in link of a mail."""
    text = mail.body["html"].replace("&amp;", "&")
    found = re.search(rf'"({PORTAL}/auth/verify[^"]+)"', text)
    assert found is not None
    return found[1]


def test_link_lives_a_day_and_only_its_hash_is_kept(
    deliver: Deliver,
    rows: Rows,
    admin: psycopg.Connection[Any],
    resend: ResendFake,
    jane: None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)

    done = send(deliver)

    (mail,) = resend.sent_to("Jane@example.com")
    query = parse_qs(urlsplit(link_in(mail)).query)
    (token,), (address,) = query["token"], query["email"]
    (link,) = rows(LINKS)
    assert done.result == {"sent": True, "emailId": mail.id, "deduplicated": False}
    assert (len(token), address) == (48, "jane@example.com")
    assert link["token_hash"] == hashlib.sha256(token.encode()).hexdigest()
    assert (link["email"], link["purpose"]) == ("jane@example.com", "signup")
    assert (link["expires_at"] - link["created_at"]).total_seconds() == 24 * 3600
    assert "JANE85" in mail.body["html"]
    assert "12.5%" in mail.body["html"]
    everything = "".join(
        str(admin.execute(f'SELECT t::text FROM "{schema}"."{table}" t').fetchall())  # noqa: S608
        for schema, table in admin.execute(TABLES).fetchall()
    )
    assert token not in everything
    assert token not in "".join(str(vars(record)) for record in caplog.records if record.name.startswith("cgk"))
    assert token not in json.dumps(done.result)


def test_event_twice_is_one_mail_and_one_link(deliver: Deliver, rows: Rows, resend: ResendFake, jane: None) -> None:
    first = send(deliver)
    second = send(deliver)

    assert second.result == {"sent": True, "emailId": first.result["emailId"], "deduplicated": True}
    assert len(resend.sent_to("Jane@example.com")) == 1
    assert len(rows(LINKS)) == 1


@pytest.mark.parametrize("trouble", [503, "cut"], ids=["unavailable", "answer lost"])
def test_mail_in_trouble_goes_out_with_the_link_it_had(
    deliver: Deliver, rows: Rows, resend: ResendFake, jane: None, trouble: Any
) -> None:
    resend.fail(trouble)

    assert send(deliver, expect="retrying").code == "RESEND_UNAVAILABLE"
    deliver.again(QUEUE)

    (mail,) = resend.sent_to("Jane@example.com")
    assert len(rows(LINKS)) == 1
    assert (
        rows(LINKS)[0]["token_hash"]
        == hashlib.sha256(parse_qs(urlsplit(link_in(mail)).query)["token"][0].encode()).hexdigest()
    )


def test_mail_that_waited_twenty_hours_gets_a_new_link(
    deliver: Deliver, rows: Rows, resend: ResendFake, jane: None, clock: ManualClock
) -> None:
    rows.execute("UPDATE tenant_resend_config SET is_active = false")
    assert send(deliver).result["sent"] is False
    rows.execute("UPDATE tenant_resend_config SET is_active = true")
    clock.advance(s=20 * 3600 + 60)

    assert send(deliver).result["sent"] is True

    old, new = rows(LINKS)
    (mail,) = resend.sent_to("Jane@example.com")
    assert new["token_hash"] == hashlib.sha256(parse_qs(urlsplit(link_in(mail)).query)["token"][0].encode()).hexdigest()
    assert old["expires_at"] == new["created_at"]
    assert {row["dedupe_key"][-2:] for row in rows("SELECT dedupe_key FROM mail_messages")} == {":2", "00"}


def test_creator_without_a_code_reads_nothing_of_one(deliver: Deliver, rows: Rows, resend: ResendFake) -> None:
    add_creator(rows, JANE, approved_at="2026-11-20T11:00:00Z")
    send(deliver)

    assert "personal code" not in resend.sent_to(f"{JANE}@creators.example")[0].body["html"]


def test_link_of_the_caller_is_used(deliver: Deliver, rows: Rows, resend: ResendFake, jane: None) -> None:
    send(deliver, login_url="https://portal.acme.test/in")

    assert 'href="https://portal.acme.test/in"' in resend.sent_to("Jane@example.com")[0].body["html"]
    assert rows(LINKS) == []


@pytest.mark.parametrize("status", ["pending", "inactive", "terminated"])
def test_creator_who_is_not_approved_gets_none(deliver: Deliver, rows: Rows, resend: ResendFake, status: str) -> None:
    add_creator(rows, JANE, status=status)

    assert send(deliver).result == {"sent": False, "deduplicated": False, "skipped": "not_approved"}


def test_plain_http_and_unknown_creators_are_refused(deliver: Deliver) -> None:
    payload = {"creatorId": JANE, "loginUrl": "http://x"}

    assert deliver.job("creator-send-approval-email", payload, expect="dead").code == "INVALID_PAYLOAD"
    assert send(deliver, expect="dead").code == "CREATOR_NOT_FOUND"
