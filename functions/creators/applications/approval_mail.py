"""The mail that says yes, with a log-in link of its own.

The link's token is in the mail and nowhere else: the table holds its SHA-256, the mail service seals what it sends.
"""

from __future__ import annotations

import hashlib
import secrets
from datetime import timedelta
from typing import Any

from shared import mail
from shared.applications.links import login_url, portal_url
from shared.applications.resolve import resolve
from shared.events.applications import CreatorApprovalEmail
from shared.events.base import Payload
from shared.jobs import JobContext, Permanent, Retry, Session, job
from shared.jobs.context import Row
from shared.jobs.queues import CREATOR_APPLICATIONS
from shared.mail.variables import percent_text

TEMPLATE = "creator_application_approved"
LINK_TTL = timedelta(hours=24)
LINK_TOO_OLD = timedelta(hours=20)
"""A mail that waited longer gets a new link: the old one would be dead soon after its arrival."""
TOKEN_BYTES = 36
"""Give 48 URL-safe characters."""

FORMER = """
-- applications: the approval's mail, as far as there is one
SELECT id, dedupe_key, status, provider_message_id, skip_reason, created_at, sealed IS NOT NULL AS sealed
FROM mail_messages WHERE dedupe_key = ANY(%(keys)s) ORDER BY dedupe_key DESC
"""
END_LINKS = """
-- applications: former links of the address, for this purpose and tenant, end
UPDATE public.magic_links SET expires_at = %(now)s
WHERE email = %(email)s AND purpose = 'signup' AND organization_id = current_setting('cgk.tenant_id')::uuid
  AND used_at IS NULL AND expires_at > %(now)s
"""
MAKE_LINK = """
-- applications: a log-in link; only the hash of its token is kept
INSERT INTO public.magic_links (email, token_hash, purpose, organization_id, expires_at, created_at)
VALUES (%(email)s, %(hash)s, 'signup', current_setting('cgk.tenant_id')::uuid, %(expires_at)s, %(now)s)
"""


class ApprovalMailResult(Payload):
    """`email_id`: Resend's id. `skipped`: why no mail went out (yet)."""

    sent: bool
    email_id: str | None = None
    deduplicated: bool = False
    skipped: str | None = None


@job(
    "creator-send-approval-email",
    on=CreatorApprovalEmail,
    queue=CREATOR_APPLICATIONS,
    emits=mail.EMITS,
    retry=Retry(attempts=3, factor=2, min_s=5, max_s=60),
    timeout_s=30,
    key=lambda p, m: f"{p.creator_id}:{m.id}",
)
def send_approval_email(ctx: JobContext, payload: CreatorApprovalEmail) -> ApprovalMailResult:
    """Sends the approval with a personal log-in link, once per approval.

    Raises Permanent CREATOR_NOT_FOUND, INVALID_RECIPIENT, PORTAL_URL_MISSING; Transient RESEND_UNAVAILABLE.
    """
    with ctx.tenant_session() as session:
        creator = resolve(session, creator_id=payload.creator_id, application_id=None).creator
        if creator is None:
            raise Permanent("CREATOR_NOT_FOUND", "no creator of this id")
        if creator["status"] not in ("approved", "active", "paused") or creator["approved_at"] is None:
            return ApprovalMailResult(sent=False, skipped="not_approved")
        key = f"approval:{creator['id']}:{int(creator['approved_at'].timestamp())}"
        former = session.one(FORMER, {"keys": [key, f"{key}:2"]})
        if former is not None and former["status"] == "sent":
            return ApprovalMailResult(sent=True, email_id=former["provider_message_id"], deduplicated=True)
        fresh = former is None or not former["sealed"]
        if former is not None and ctx.now() - former["created_at"] > LINK_TOO_OLD:
            key, fresh = f"{key}:2", former["dedupe_key"] == key
        variables = _variables(ctx, session, creator, payload.login_url) if fresh else {}
    if fresh or former is None:
        done = mail.mail(
            ctx,
            TEMPLATE,
            creator["email"],
            variables,
            key,
            "account",
            recipient_type="creator",
            recipient_id=creator["id"],
            mandatory=True,
        )
    else:
        done = mail.resume(ctx, former["id"])  # the link that was made goes out, no second one
    return _result(done)


def _result(done: mail.Outcome) -> ApprovalMailResult:
    gone = done.status == "sent" or (done.status == "duplicate" and done.provider_id is not None)
    return ApprovalMailResult(
        sent=gone,
        email_id=done.provider_id,
        deduplicated=done.status == "duplicate",
        skipped=None if gone else done.reason or done.status,
    )


def _variables(ctx: JobContext, session: Session, creator: Row, given_url: str | None) -> dict[str, Any]:
    portal = portal_url(ctx, session)
    return {
        "loginUrl": given_url or _new_link(ctx, session, portal, creator["email"]),
        "dashboardUrl": portal,
        "discountCode": creator["referral_code"],
        "commissionRate": percent_text(creator["commission_rate_pct"]),
    }


def _new_link(ctx: JobContext, session: Session, portal: str, address: str) -> str:
    if not portal:
        raise Permanent("PORTAL_URL_MISSING", "set tenant_config creator.portal_url or CREATOR_PORTAL_URL")
    now, email, token = ctx.now(), address.strip().lower(), secrets.token_urlsafe(TOKEN_BYTES)
    session.execute(END_LINKS, {"email": email, "now": now})
    digest = hashlib.sha256(token.encode()).hexdigest()
    session.execute(MAKE_LINK, {"email": email, "hash": digest, "expires_at": now + LINK_TTL, "now": now})
    return login_url(portal, token, email)
