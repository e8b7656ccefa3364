"""Whose order it is: four places where a code may be a creator's, in their order."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from shared.creator_money import Match, match_creator
from shared.jobs.context import Tenant
from tests.builders.creators import JANE, add_creator
from tests.conftest import Rows
from tests.shared.creator_money.conftest import InSession


def promo(rows: Rows) -> None:
    add_creator(rows, "promo", "Code1")


def referral(rows: Rows) -> None:
    add_creator(rows, "referral", referral_code="CODE1")


def influencer(rows: Rows) -> None:
    add_creator(rows, "influencer")
    rows.execute(
        "INSERT INTO attribution_influencers (tenant_id, name, creator_id, discount_codes)"
        " VALUES ('acme', 'x', 'influencer', '{OTHER, code1}'), ('acme', 'y', 'nobody', '{code1}')"
    )


def member(rows: Rows) -> None:
    add_creator(rows, JANE)
    rows.execute("INSERT INTO public.creators (id, email, name) VALUES (%s, 'j@public.example', 'Jane')", (JANE,))
    rows.execute(
        "INSERT INTO public.creator_brand_memberships (creator_id, organization_id, status, discount_code)"
        " SELECT %s, id, 'active', 'CODE1' FROM public.organizations WHERE slug = 'acme'",
        (JANE,),
    )


PLACES = [(promo, "promo"), (referral, "referral"), (influencer, "influencer"), (member, JANE)]


@pytest.fixture
def matched(in_session: InSession, tenant: Tenant) -> Any:
    def ask(*codes: str, link: str | None = None) -> Match | None:
        found: Match | None = in_session(lambda s: match_creator(s, tenant, codes=codes, link=link))
        return found

    return ask


@pytest.mark.parametrize("first", range(4), ids=["promo code", "referral code", "influencer", "membership"])
def test_first_place_that_knows_the_code_wins(rows: Rows, matched: Any, first: int) -> None:
    for add, _ in PLACES[first:]:
        add(rows)

    found = matched("NOBODY", " cOdE1 ")

    assert (found.creator_id, found.code, found.is_link) == (PLACES[first][1], " cOdE1 ", False)


@pytest.mark.parametrize(
    ("place", "creator"),
    [(promo, "promo"), (referral, "referral"), (influencer, "influencer"), (member, None)],
    ids=["promo code", "referral code", "influencer", "membership"],
)
def test_link_is_looked_up_everywhere_but_among_members(
    rows: Rows, matched: Any, place: Any, creator: str | None
) -> None:
    place(rows)

    found = matched("NOBODY", link="code1")

    assert (found and found.creator_id) == creator


def test_order_of_the_codes_goes_before_the_order_of_the_places(rows: Rows, matched: Any) -> None:
    promo(rows)
    add_creator(rows, "c2", referral_code="FIRST")

    assert matched("FIRST", "CODE1").creator_id == "c2"


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE public.creator_brand_memberships SET status = 'paused'",
        "UPDATE public.creator_brand_memberships SET organization_id ="
        " (SELECT id FROM public.organizations WHERE slug = 'globex')",
        "UPDATE creators SET id = 'c9'",
    ],
    ids=["paused", "of another brand", "unknown here"],
)
def test_membership_that_does_not_count(rows: Rows, matched: Any, change: str) -> None:
    member(rows)
    rows.execute(change)

    assert matched("CODE1") is None


def test_member_of_an_older_row_is_known_by_the_address(rows: Rows, matched: Any) -> None:
    member(rows)
    rows.execute("UPDATE creators SET id = 'c9', email = 'J@public.example'")

    assert matched("CODE1").creator_id == "c9"


def test_inactive_influencer_is_nobody(rows: Rows, matched: Any) -> None:
    influencer(rows)
    rows.execute("UPDATE attribution_influencers SET status = 'paused'")

    assert matched("CODE1") is None


def test_code_s_own_rate_counts_whoever_owns_it(rows: Rows, matched: Any) -> None:
    referral(rows)
    rows.execute("INSERT INTO promo_code_metadata (id, code, commission_percent) VALUES ('p', 'code1', 25)")

    found = matched("CODE1")

    assert (found.creator_id, found.code_percent) == ("referral", Decimal("25.00"))


def test_no_code_asks_nothing(matched: Any) -> None:
    assert matched() is None
    assert matched("", "  ") is None
