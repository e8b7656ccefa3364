"""The vendors of the suites' world: every fake, on the case's clock, opened anew for each case, and what they hold.

Fakes are kept as objects in this process: to put one back or to look into it costs no request.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import IO, Any

from shared.fakes.conversions import ConversionsFake
from shared.fakes.merchant import MerchantFake
from shared.fakes.redis import RedisFake
from shared.fakes.resend import ResendFake
from shared.fakes.shopify import ShopifyFake
from shared.fakes.slack import SlackFake
from shared.fakes.vendor_files import shopify_schema
from shared.jobs.testing import START, ManualClock
from tests.builders.google_feed import an_image
from tests.builders.orders import a_fulfillment, a_line, an_order
from tests.builders.pictures import Pictures
from tests.conftest import ROOT
from tests.suites.marks import Side
from tests.suites.store import plain

NOWHERE = "http://127.0.0.1:9"
"""Where every vendor without a fake is: nothing listens there."""
CHANNELS = {"acme": "C00001001", "globex": "C00002002"}
"""The channel of each tenant's workspace that every notice goes to."""
PLATFORM_TOKEN = "cnry-platform-sec-1"
PLATFORM_CHANNEL = "C00000001"
GOOGLE_CLIENT = ("client-id", "client-secret")
SHOPIFY, RESEND, SLACK, REDIS, GOOGLE, META, GA4 = range(7)
"""Which of a tenant's secrets a vendor is given."""

Held = Mapping[str, int]
"""What a vendor holds as text -> how often."""


class Bucket:
    """The platform's bucket as far as jobs write to it: key -> (bytes, arguments)."""

    def __init__(self) -> None:
        self.objects: dict[str, tuple[bytes, Any]] = {}

    def put_object(self, **call: Any) -> None:
        self.objects[call.pop("Key")] = (call.pop("Body"), call)

    def upload_fileobj(self, data: IO[bytes], bucket: str, key: str, **call: Any) -> None:
        self.objects[key] = (data.read(), call["ExtraArgs"])


class Settings(dict[str, str]):
    """Settings in which every vendor without a fake has an address that nobody serves."""

    def get(self, key: str, default: Any = None) -> Any:
        return super().get(key, NOWHERE if key.endswith("_BASE_URL") else default)


@dataclass
class Vendors:
    """The fakes, on whatever clock the case has."""

    shopify: ShopifyFake
    resend: ResendFake
    slack: SlackFake
    redis: RedisFake
    merchant: MerchantFake
    conversions: ConversionsFake
    pictures: Pictures
    bucket: Bucket = field(default_factory=Bucket)
    clock: ManualClock = field(default_factory=ManualClock)

    @classmethod
    def start(cls) -> Vendors:
        holder: list[Vendors] = []

        def now() -> datetime:
            return holder[0].clock.now() if holder else START

        made = cls(
            ShopifyFake.start(shopify_schema(), now=now),
            ResendFake.start(contract=_contract("resend/resend.trim.json"), now=now),
            SlackFake.start(contract=_contract("slack/slack_web_v2.trim.json"), now=now),
            RedisFake.start(),
            MerchantFake.start(now=now),
            ConversionsFake.start(now=now),
            Pictures.start(),
        )
        made.pictures.everywhere = (an_image((640, 640), kind="PNG", colour=(250, 0, 0, 0)), "image/png")
        holder.append(made)
        return made

    def stop(self) -> None:
        fakes = (self.shopify, self.resend, self.slack, self.redis, self.merchant, self.conversions, self.pictures)
        for fake in fakes:
            fake.__exit__(None, None, None)

    @property
    def settings(self) -> Settings:
        return Settings(
            SHOPIFY_BASE_URL=self.shopify.base_url,
            RESEND_BASE_URL=self.resend.base_url,
            SLACK_BASE_URL=self.slack.base_url,
            UPSTASH_BASE_URL=self.redis.base_url,
            MERCHANT_BASE_URL=self.merchant.base_url,
            GOOGLE_OAUTH_BASE_URL=self.merchant.base_url,
            META_BASE_URL=self.conversions.base_url,
            GA4_BASE_URL=self.conversions.base_url,
            IMAGE_DOWNLOAD_BASE_URL=self.pictures.base_url,
            CGK_BUCKET="cgk-test-files",
            ADMIN_URL="https://admin.cgk.test",
            CREATOR_PORTAL_URL="https://portal.cgk.test",
        )

    # A case.

    def reset(self, sides: tuple[Side, ...], clock: ManualClock, *, later: bool = True) -> None:
        """Every vendor as at the beginning of a case. `later`: the shop's order has changed since it was stored."""
        self.clock = clock
        self.shopify.requests.clear()
        self._forget()
        self.slack.team(PLATFORM_TOKEN, channels=(PLATFORM_CHANNEL,))
        for side in sides:
            self.shopify.shop(shop_of(side), token=token_of(side)).put_order(_order(side, later=later))
            self.resend.team(token_of(side, RESEND), side.slug, domains=[domain_of(side)])
            self.slack.team(token_of(side, SLACK), channels=(CHANNELS[side.slug],))
            self._count(side)
            token = token_of(side, GOOGLE)
            self.merchant.account(side.number, refresh_token=token, client=GOOGLE_CLIENT).source("Feed")

    def _forget(self) -> None:
        mails, slack, google, platforms = self.resend, self.slack, self.merchant, self.conversions
        held: list[Any] = [mails.mails, mails.asked, mails.teams, slack.messages, slack.asked, slack.teams, slack.hooks]
        held += [self.redis.databases, self.redis.asked, google.asked, google.accounts]
        held += [google.tokens.clients, google.tokens.services, google.tokens.given]
        held += [platforms.meta, platforms.ga4, platforms.problems, platforms.bodies]
        held += [self.pictures.asked, self.bucket.objects]
        for each in held:
            each.clear()
        slack._posts = google.tokens.count = 0
        self.mend()

    def _count(self, side: Side) -> None:
        """The storefront's counters of the second variant of the tenant's A/B test."""
        database = self.redis.database(token_of(side, REDIS))
        counted = {"impressions": 40, "visitors": 30, "conversions": 3, "revenue": 15_000}
        for name, by in counted.items():
            key = f"ab:{side.slug}:{side.number}:{side.number}_2:counters"
            database.execute(["HINCRBY", key, name, by])

    def fail(self, status: int, count: int) -> None:
        """Every vendor answers its next `count` requests with a status."""
        for fake in (self.shopify, self.resend, self.slack, self.redis, self.merchant):
            fake.fail(status, count)
        for platform in ("meta", "ga4"):
            self.conversions.fail(platform, status, count=count)
        self.pictures.faults += [status] * count

    def mend(self) -> None:
        """No fault is left."""
        self.shopify.faults.clear()
        for fake in (self.resend, self.slack, self.redis, self.merchant):
            fake.faults.clear()
        self.conversions._faults.clear()
        self.pictures.faults.clear()

    # What they hold.

    def problems(self) -> list[str]:
        """Everything that any request did against a vendor's rules."""
        every = (self.resend, self.slack, self.merchant)
        return [problem for fake in every for problem in fake.problems()] + self.conversions.problems

    def work(self, side: Side) -> dict[str, Held]:
        """Vendor -> what it holds of a tenant, without what differs between any two runs."""
        found = {vendor: Counter(_line(part) for part in parts) for vendor, parts in self._work(side)}
        return {vendor: dict(held) for vendor, held in found.items() if held}

    def _work(self, side: Side) -> Iterator[tuple[str, list[Any]]]:
        mails = [mail for mail in self.resend.mails if mail.team == side.slug]
        yield "resend", [{"key": m.key, "to": m.to, "subject": m.body["subject"], "tags": m.tags} for m in mails]
        yield "slack", [{"channel": m.channel, "text": m.text, "reply": bool(m.thread_ts)} for m in self._posts(side)]
        yield "redis", [{key: value} for key, value in self._keys(side).items()]
        yield (
            "merchant",
            [{offer: each.attributes} for offer, each in self.merchant.accounts[side.number].held().items()],
        )
        yield "meta", [list(key[1:]) for key in self.conversions.meta if key[0] == side.number]
        yield "bucket", [[key, sha256(data).hexdigest(), more] for key, (data, more) in self.bucket.objects.items()]
        yield "shopify", [{code: each["input"]} for code, each in self._shop(side).discounts.items()]

    def everything(self, side: Side) -> dict[str, list[str]]:
        """Vendor -> all texts that it holds of a tenant, as they are."""
        return {
            "resend": [mail.raw.decode() for mail in self.resend.mails if mail.team == side.slug],
            "slack": [repr((post.text, post.blocks, post.attachments)) for post in self._posts(side)],
            "redis": [repr((key, sorted(value))) for key, value in self._keys(side).items()],
            "merchant": [repr(each) for each in self.merchant.accounts[side.number].inputs.values()],
            "meta": [repr(each) for key, each in self.conversions.meta.items() if key[0] == side.number],
            "shopify": [repr(each["input"]) for each in self._shop(side).discounts.values()],
        }

    def _posts(self, side: Side) -> list[Any]:
        team = self.slack.teams[token_of(side, SLACK)].id
        return [post for post in self.slack.messages if post.team == team]

    def _keys(self, side: Side) -> dict[str, Any]:
        keys = self.redis.database(token_of(side, REDIS)).keys
        return {key: sorted(value) if isinstance(value, set) else value for key, value in keys.items()}

    def _shop(self, side: Side) -> Any:
        return self.shopify.shops[shop_of(side)]


def _line(part: Any) -> str:
    return json.dumps(plain(part), sort_keys=True, default=str)


def _contract(name: str) -> Path | None:
    """A vendor's own contract, where it is beside the checkout; else the fake's rules must do."""
    path = ROOT.parent / "shared" / "contracts" / name
    return path if path.exists() else None


def shop_of(side: Side) -> str:
    return f"{side.slug}.myshopify.com"


def domain_of(side: Side) -> str:
    """What the tenant's mails come from."""
    return f"{side.slug}.test"


def token_of(side: Side, vendor: int = SHOPIFY) -> str:
    """The tenant's secret for a vendor: a secret mark that no row's text has."""
    return f"cnry-{side.slug}-sec-0{vendor or ''}"


def source_of(side: Side) -> str:
    """The data source of the tenant's feed, the first of its merchant account."""
    return f"accounts/{side.number}/dataSources/1001"


# The shop.


def _order(side: Side, *, later: bool) -> dict[str, Any]:
    """The order `side.number` of a customer whose every particular is a mark."""
    n, who = int(side.number), f"cnry-{side.slug}-pii-0"
    node = an_order(
        n,
        lines=[a_line(n * 10, quantity=2, price="50.00")],
        email=f"{who}@example.com",
        note=who,
        discountCodes=[code_of(side)],
        shippingAddress=_address(who),
    )
    if later:
        node |= {
            "updatedAt": "2026-11-20T11:30:00Z",
            "fulfillments": [a_fulfillment(n)],
            "displayFulfillmentStatus": "FULFILLED",
        }
    return node


def _address(who: str) -> dict[str, Any]:
    lines = dict.fromkeys(("firstName", "lastName", "name", "address1", "city", "zip", "phone"), who)
    rest = ("address2", "company", "country", "countryCodeV2", "province", "provinceCode", "latitude", "longitude")
    return {**dict.fromkeys(rest), **lines}


def code_of(side: Side) -> str:
    return f"CODE{side.number}"
