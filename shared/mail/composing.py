"""Makes a finished mail of an order: checks, template, sender, variables, texts, the request's body.

Everything happens in the caller's session; nothing is sent. The order of the steps: the checks (gates), the template,
the account, the texts. So a suppressed address needs no template, and a switched-off template no account.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from shared.jobs.context import JobContext, Session
from shared.mail import unsubscribe
from shared.mail.addresses import hash_address, split_sender
from shared.mail.categories import category
from shared.mail.gates import Asked, Hold, Passed, Skip, check
from shared.mail.ledger import Order, canonical, keyring
from shared.mail.registry import Template
from shared.mail.rendering import check_required, render
from shared.mail.senders import find_account, find_credentials
from shared.mail.templates import find_template, notification_type
from shared.mail.values import Money, as_text
from shared.mail.variables import PORTAL_SETTING, find_brand, merged, standard

_TAG = re.compile(r"[^A-Za-z0-9_-]")
TAG_MAX = 256
"""Characters of a tag's value."""


@dataclass(frozen=True, slots=True)
class Finished:
    """A mail ready to go. `body`: the request as canonical JSON."""

    body: str = field(repr=False)
    sealed_key: str = field(repr=False)
    """The tenant's Resend key, as it is stored."""


@dataclass(frozen=True, slots=True)
class NotConfigured:
    """Nothing can be sent now; `code` says why."""

    code: str


def judge(session: Session, order: Order, *, zone: ZoneInfo, now: datetime) -> Passed | Skip | Hold:
    """The checks for this order; its address is valid."""
    asked = Asked(
        template_key=order.template_key,
        notification_type=notification_type(order.template_key),
        category=order.category,
        mandatory=order.mandatory,
        address_hash=hash_address(order.to),
        creator_id=creator_of(order),
    )
    return check(session, asked, zone=zone, now=now)


def finish(
    ctx: JobContext, session: Session, order: Order, message_id: str, passed: Passed, zone: ZoneInfo
) -> Finished | Skip | NotConfigured:
    """The finished mail. Raises Permanent TEMPLATE_NOT_FOUND, RENDER_MISSING_VARIABLE."""
    template = find_template(session, order.template_key, order.queue_ref)
    if not isinstance(template, Template):
        return Skip(template)
    brand = find_brand(session, portal_setting=ctx.setting(PORTAL_SETTING), creator_id=creator_of(order), zone=zone)
    account = find_account(session, ctx.tenant.slug, template, category(order.category).sender, brand.name)
    url = _unsubscribe_url(ctx, order, passed, brand.portal_url)
    standards = standard(brand, sender_address=account.address, now=ctx.now())
    variables = merged(order.variables, brand, standards, url or "")
    check_required(sorted(template.required), variables)
    if account.unusable is not None:
        return NotConfigured(account.unusable)
    mail = render(template.texts, variables, zone)
    headers: dict[str, str] = {}
    if url is not None and not order.mandatory:
        headers = unsubscribe.headers(url)
        mail = unsubscribe.with_footer(mail, url) if passed.footer else mail
    body: dict[str, Any] = {
        "from": account.sender,
        "to": [order.to],
        "subject": mail.subject,
        "html": mail.html,
        "text": mail.text,
        "tags": tags(ctx.tenant.slug, order.category, message_id),
    }
    reply_to = split_sender(order.reply_to)[1] or account.reply_to
    if reply_to:
        body["reply_to"] = reply_to
    if headers:
        body["headers"] = headers
    return Finished(canonical(body), account.sealed_key)


def reuse(session: Session, slug: str, body: str) -> Finished | NotConfigured:
    """A mail that was finished before, with the account as it is now."""
    account = find_credentials(session, slug)
    return Finished(body, account.sealed_key) if account.unusable is None else NotConfigured(account.unusable)


def creator_of(order: Order) -> str | None:
    """creators.id of the recipient, None when it is no creator."""
    return order.recipient_id if order.recipient_type == "creator" else None


def tags(tenant: str, name: str, message_id: str) -> list[dict[str, str]]:
    """Tags by which a mail is found at Resend; A-Z a-z 0-9 _ - only."""
    values = {"tenant": tenant, "category": name, "message": message_id}
    return [{"name": tag, "value": _TAG.sub("_", value)[:TAG_MAX]} for tag, value in values.items()]


def draft_of(order: Order, zone: ZoneInfo) -> dict[str, Any]:
    """What a mail that waits is made of later: address, variables as JSON, reply address."""
    variables = {name: _plain(value, zone) for name, value in order.variables.items()}
    return {"to": order.to, "variables": variables, "replyTo": order.reply_to}


def _plain(value: Any, zone: ZoneInfo) -> Any:
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, Money | date):
        return as_text(value, zone)
    if isinstance(value, Mapping):
        return str(dict(value))
    if isinstance(value, list | tuple):
        return [_plain(item, zone) for item in value]
    return str(value)


def _unsubscribe_url(ctx: JobContext, order: Order, passed: Passed, portal_url: str) -> str | None:
    page = unsubscribe.page(passed.unsubscribe_page, portal_url)
    if page is None:
        return None
    return unsubscribe.unsubscribe_url(
        keyring(ctx),
        page,
        tenant=ctx.tenant.slug,
        address_hash=hash_address(order.to),
        category=order.category,
        recipient_id=order.recipient_id,
        now=ctx.now(),
    )
