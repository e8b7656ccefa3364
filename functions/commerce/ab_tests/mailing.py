"""Mails about tests: to whom, and each once. Names in texts are cut, and no visitor's or order's data are in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from shared.ab_tests.mails import CATEGORY
from shared.jobs import JobContext, Permanent, Session
from shared.jobs.errors import JobError
from shared.mail import mail
from shared.mail.addresses import hash_address, is_address
from shared.tenant_settings import config

SETTING = "ab.summary"
DEFAULTS: Mapping[str, Any] = {"slack": True, "emails": [], "sendWhenQuiet": False}
ADMIN_URL = "ADMIN_URL"


@dataclass(frozen=True, slots=True)
class Telling:
    """How a tenant wants to be told of its tests."""

    slack: bool
    addresses: tuple[str, ...]
    skipped: int
    """Addresses that are none."""
    when_quiet: bool


def telling_of(session: Session, *, more: str | None = None) -> Telling:
    """The tenant's settings, with one address more."""
    given = config(session, SETTING, dict(DEFAULTS))
    given = given if isinstance(given, dict) else dict(DEFAULTS)
    emails = given["emails"] if isinstance(given["emails"], list) else []
    wanted = [str(each).strip() for each in (*emails, *([more] if more else []))]
    good = tuple(dict.fromkeys(each for each in wanted if is_address(each)))
    skipped = sum(not is_address(each) for each in wanted)
    return Telling(given["slack"] is not False, good, skipped, given["sendWhenQuiet"] is True)


def send_mails(
    ctx: JobContext,
    template: str,
    addresses: Sequence[str],
    variables: Mapping[str, Any],
    *,
    dedupe: str,
    raising: bool,
) -> int:
    """Mail to each address, once per `dedupe`; how many are sent or wait.

    An address that is refused stops no other. `raising`: what may pass is raised at the end, so that it is tried again.
    """
    sent, trouble = 0, None
    for address in addresses:
        key = f"{dedupe}:{hash_address(address)[:16]}"
        try:
            outcome = mail(ctx, template, address, variables, key, CATEGORY, recipient_type="other")
        except Permanent as error:
            ctx.log.warning("a mail about tests was refused", extra={"code": error.code})
        except JobError as error:
            ctx.log.warning("a mail about tests was not sent yet", extra={"code": error.code})
            trouble = error
        else:
            sent += outcome.status in ("sent", "queued")
    if trouble is not None and raising:
        raise trouble
    return sent


def admin_page(ctx: JobContext, test_id: str | None = None) -> str:
    """The tests, or one, in the admin app; '' when it is not known where that is."""
    base = (ctx.setting(ADMIN_URL) or "").rstrip("/")
    if not base:
        return ""
    return f"{base}/admin/ab-tests" + (f"/{quote(test_id, safe='')}" if test_id else "")
