"""What the demo puts into the fakes: the same each time, and with something to say for every chapter."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.request
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from shared.fakes import demo_merchant
from shared.fakes.cdnow import PurchaseLog, read_log, trickle
from shared.fakes.cdnow_order import ALBUMS
from shared.fakes.demo_catalog import has_picture, is_sold_out, offer_ids
from shared.fakes.demo_visitors import CHALLENGER, CONTROL, LEAD, PER_ARM, arm_of, converted, span, visitors
from shared.fakes.merchant import MerchantFake

ROOT = Path(__file__).resolve().parents[3]
LAST_DAY = date(2026, 11, 25)
BUYERS = 40


@pytest.fixture
def log(tmp_path: Path) -> PurchaseLog:
    """A made-up log: 40 customers who bought once a day before the last day, half of them again on that day."""
    lines = [" customer_id  date number_of_cds  dollar_value"]
    lines += [f" {n:05} 19980629  1   11.77" for n in range(1, BUYERS + 1)]
    lines += [f" {n:05} 19980630  2   20.00" for n in range(1, BUYERS + 1, 2)]
    path = tmp_path / "log.txt"
    path.write_text("\n".join(lines) + "\n", encoding="ascii")
    return read_log(path)


def test_every_buyer_is_a_visitor_who_came_before_the_first_order(log: PurchaseLog) -> None:
    orders = trickle(log, LAST_DAY)
    seen = {visitor.id: visitor for visitor in visitors(orders)}
    begin, end = span(orders)

    for facts in orders.facts():
        node = orders.node(facts.legacy_id)
        visitor = seen[f"visitor-{_customer(node)}"]
        assert begin <= visitor.assigned_at < datetime.fromtimestamp(facts.created_s, UTC) <= end
    assert end - begin >= LEAD


def _customer(node: dict[str, object]) -> str:
    customer = node["customer"]
    assert isinstance(customer, dict)
    return str(customer["lastName"])


def test_both_arms_have_the_same_number_of_visitors_and_each_visitor_is_there_once(log: PurchaseLog) -> None:
    people = visitors(trickle(log, LAST_DAY))

    assert Counter(person.variant for person in people) == {CONTROL: PER_ARM, CHALLENGER: PER_ARM}
    assert len({person.id for person in people}) == len(people)
    assert people == visitors(trickle(log, LAST_DAY))


def test_buyers_count_once_and_only_while_an_order_stands(log: PurchaseLog) -> None:
    orders = trickle(log, LAST_DAY)
    standing = {
        _customer(node) for facts in orders.facts() if not (node := orders.node(facts.legacy_id))["cancelledAt"]
    }

    found = converted(orders)

    assert sum(found.values()) == len(standing)
    assert found[CONTROL] == sum(arm_of(int(customer)) == CONTROL for customer in standing)


def test_no_album_is_odd_in_two_ways_and_every_way_is_there() -> None:
    albums = range(1, ALBUMS + 1)
    ways = [
        {album for album in albums if is_sold_out(album)},
        {album for album in albums if not has_picture(album)},
        {album for album in albums if album % 50 == demo_merchant.DISAPPROVED},
        {album for album in albums if album % 50 == demo_merchant.WARNED},
    ]

    assert [len(way) for way in ways] == [20, 8, 8, 8]
    assert len(set.union(*ways)) == sum(map(len, ways))


def test_google_disapproves_of_some_albums_once_it_has_looked_at_them() -> None:
    clock = [datetime(2026, 11, 25, 12, tzinfo=UTC)]
    with MerchantFake.start(now=lambda: clock[0], review_s=demo_merchant.REVIEW_S) as fake:
        account = fake.account("1234567")
        demo_merchant.judge(account)
        source = account.source("CGK Demo")
        bad, fine = offer_ids(demo_merchant.DISAPPROVED)
        attributes = dict.fromkeys(("title", "link", "imageLink", "price", "availability"), "x")
        for offer_id in (bad, fine):
            body = {"contentLanguage": "en", "feedLabel": "US", "offerId": offer_id, "productAttributes": attributes}
            account.insert(source, body)
        before = {each["offerId"]: each["status"] for each in fake.shown()}
        clock[0] += timedelta(seconds=demo_merchant.REVIEW_S)
        after = {each["offerId"]: each["status"] for each in fake.shown()}

    assert before == {bad: "pending", fine: "pending"}
    assert after == {bad: "disapproved", fine: "approved"}


def test_the_demos_google_is_a_process_of_its_own() -> None:
    command = [sys.executable, "-m", "shared.fakes.demo_merchant", "--port", "0"]
    command += ["--account", "1234567", "--refresh-token", "rt_fake"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = process.stdout.readline().split()[2]
        with urllib.request.urlopen(f"{address}/_fake/health") as health:
            said = json.load(health)
        process.send_signal(signal.SIGTERM)

        assert process.wait(10) == 0
    assert said == {"ok": True, "accounts": ["1234567"]}
