"""What an approval writes in one transaction: identity, membership, terms, onboarding list, reserved code, contract.

Each part is an upsert with a fixed identity, so a run that is repeated finds it as it left it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from shared.applications import codes, contracts, discounts, identity, onboarding, reviews
from shared.applications.commission import agreed_percent
from shared.applications.links import portal_url
from shared.applications.queued import cancel_queued
from shared.applications.resolve import REFERENCE, Subject, resolve
from shared.events.applications import CreatorApprovalProcess
from shared.jobs.context import JobContext, Row, Session
from shared.jobs.errors import Permanent

CONFIRMATION = "creator_application_received"
"""The one mail of an applicant that an approval does not call back."""

CODE_EVERYWHERE = """
-- applications: the creator's code, in every place where it stands
WITH own AS (
    UPDATE creators SET referral_code = %(code)s WHERE id = %(creator)s AND referral_code IS DISTINCT FROM %(code)s
)
UPDATE public.creator_brand_memberships SET discount_code = %(code)s, updated_at = %(now)s
WHERE creator_id = %(identity)s AND organization_id = current_setting('cgk.tenant_id')::uuid
  AND discount_code IS DISTINCT FROM %(code)s
"""
RENAME_IN_CONTRACTS = """
-- applications: contracts that name the former code
UPDATE esign_workflow_executions
SET context = jsonb_set(context, '{discount_code}', COALESCE(to_jsonb(%(code)s::text), 'null'))
WHERE context ->> 'creator_id' = %(creator)s AND context ->> 'discount_code' = %(former)s
"""
INFLUENCER = """
-- applications: the creator as attribution knows him; links and former codes stay
WITH known AS (
    UPDATE attribution_influencers i
    SET name = %(name)s, status = 'active', commission_rate = %(percent)s,
        discount_codes = ARRAY(
            SELECT DISTINCT c FROM unnest(array_append(i.discount_codes, %(code)s::text)) c
            WHERE c IS DISTINCT FROM %(former)s::text AND c IS NOT NULL ORDER BY c),
        utm_patterns = ARRAY(
            SELECT DISTINCT c FROM unnest(array_append(i.utm_patterns, lower(%(code)s::text))) c
            WHERE c IS DISTINCT FROM lower(%(former)s::text) AND c IS NOT NULL ORDER BY c)
    WHERE i.creator_id = %(creator)s
    RETURNING i.id
)
INSERT INTO attribution_influencers (tenant_id, name, status, discount_codes, utm_patterns, commission_rate, creator_id)
SELECT %(slug)s, %(name)s, 'active', array_remove(ARRAY[%(code)s::text], NULL),
       array_remove(ARRAY[lower(%(code)s::text)], NULL), %(percent)s, %(creator)s
WHERE NOT EXISTS (SELECT FROM known)
"""
PRESENT = """
-- applications: which parts of an approval are there
SELECT
    (SELECT count(*) FROM creator_onboarding WHERE creator_id = %(creator)s) AS steps,
    EXISTS (SELECT FROM public.creator_brand_memberships
            WHERE creator_id = %(identity)s AND organization_id = current_setting('cgk.tenant_id')::uuid
              AND status = 'active') AS member,
    EXISTS (SELECT FROM promo_code_metadata m WHERE m.code = %(code)s AND m.creator_id = %(creator)s
              AND (m.shopify_discount_id IS NOT NULL
                   OR NOT EXISTS (SELECT FROM shopify_connections WHERE status = 'active'))) AS coded
"""


@dataclass(frozen=True, slots=True)
class Terms:
    """What was agreed: by the event, or by the stored decision."""

    approved_by: str
    tier: str | None
    percent: Decimal | None
    code: str | None
    notes: str | None = field(repr=False)
    send_notification: bool


@dataclass(frozen=True, slots=True)
class Unchanged:
    """The creator was approved before, and nothing is missing."""

    creator: Row = field(repr=False)
    terms: Terms


@dataclass(frozen=True, slots=True)
class Approved:
    """What `prepare` leaves: the creator's row, and what there is still to do. `wanted`: candidates for the code."""

    creator: Row = field(repr=False)
    identity_id: str
    subject: Subject
    terms: Terms
    percent: Decimal
    code: str | None
    exhausted: bool
    discount_id: str | None
    customer_percent: int
    wanted: tuple[str, ...]
    contract: contracts.Started
    portal: str

    @property
    def creator_id(self) -> str:
        return str(self.creator["id"])


def prepare(ctx: JobContext, session: Session, payload: CreatorApprovalProcess) -> Approved | Unchanged:
    """Write everything that the database holds of an approval. Raises as creator-process-approval does."""
    subject = resolve(session, creator_id=payload.creator_id, application_id=payload.application_id)
    if subject.creator and subject.creator["status"] == "terminated":
        raise Permanent("CREATOR_TERMINATED", "a creator who was ended comes back only by hand")
    terms = _terms(ctx, session, payload, subject)
    settings = onboarding.config(session)
    person = identity.person_of(subject)
    known = subject.identity["id"] if subject.identity else None
    if known is not None and _unchanged(ctx, session, subject, str(known), settings):
        return Unchanged(subject.creator or {}, terms)
    identity_id = identity.ensure_identity(session, person)
    before = identity.membership(session, identity_id)
    by_app = subject.application is not None and subject.application["status"] == "approved"
    percent = agreed_percent(session, wanted=terms.percent, membership=before, approved_before=by_app, tier=terms.tier)
    if terms.percent is None and subject.creator is not None:
        percent = subject.creator["commission_rate_pct"]
    creator = identity.approve(
        session,
        subject,
        identity_id=identity_id,
        percent=percent,
        set_rate=terms.percent is not None,
        tier=terms.tier,
        now=ctx.now(),
    )
    if subject.application_id is not None:
        identity.approve_application(
            session,
            subject.application_id,
            creator_id=creator["id"],
            by=terms.approved_by,
            notes=terms.notes,
            now=ctx.now(),
        )
    return _rest(ctx, session, subject, terms, settings, creator, identity_id, percent)


def _rest(
    ctx: JobContext,
    session: Session,
    subject: Subject,
    terms: Terms,
    settings: Mapping[str, Any],
    creator: Row,
    identity_id: str,
    percent: Decimal,
) -> Approved:
    """Onboarding list, reserved code, contract, waiting mails."""
    now, creator_id = ctx.now(), str(creator["id"])
    onboarding.begin(session, creator_id, list(settings["steps"] or ()), approved_at=creator["approved_at"], now=now)
    customer = discounts.customer_percent(session)
    wanted = _candidates(creator, terms, settings, customer)
    code = codes.reserve(session, iter(wanted), creator_id=creator_id, percent=percent)
    if code is None and terms.code is not None and not creator["referral_code"]:
        raise Permanent("CODE_TAKEN", "another creator has the code that was chosen")
    assign(ctx, session, creator, identity_id, code, percent)
    contract = contracts.start(
        session,
        contracts.Terms(creator, subject.application_id, f"{percent:.2f}", code, terms.approved_by),
        now,
    )
    if subject.application_id is not None:
        waiting = [REFERENCE + subject.application_id]
        cancel_queued(session, ctx.tenant.slug, waiting, "status_change", now=now, keep=[CONFIRMATION])
    return Approved(
        creator=creator,
        identity_id=identity_id,
        subject=subject,
        terms=terms,
        percent=percent,
        code=code,
        exhausted=code is None and bool(wanted or settings["auto_generate_code"]),
        discount_id=session.value(
            "SELECT shopify_discount_id FROM promo_code_metadata WHERE code = %(code)s", {"code": code}
        ),
        customer_percent=customer,
        wanted=wanted,
        contract=contract,
        portal=portal_url(ctx, session),
    )


def _candidates(creator: Row, terms: Terms, settings: Mapping[str, Any], customer: int) -> tuple[str, ...]:
    """The creator's own code, or the one that was chosen; those of the tenant's format for a creator who has none, or
    whose code the shop uses for something else."""
    own = [str(creator["referral_code"])] if creator["referral_code"] else []
    if not own and terms.code is not None:
        return (codes.checked_code(terms.code),)
    if not settings["auto_generate_code"]:
        return tuple(own)
    made = codes.candidates(
        settings["code_format"] or codes.DEFAULT_FORMAT,
        first_name=creator["first_name"],
        creator_id=str(creator["id"]),
        customer_percent=customer,
    )
    return (*own, *made)


def assign(
    ctx: JobContext,
    session: Session,
    creator: Row,
    identity_id: str,
    code: str | None,
    percent: Decimal,
    former: str | None = None,
) -> None:
    """Put the code wherever it stands."""
    params = {
        "creator": creator["id"],
        "identity": identity_id,
        "code": code,
        "former": former,
        "name": f"{creator['first_name']} {creator['last_name']}".strip(),
        "percent": percent,
        "slug": ctx.tenant.slug,
        "now": ctx.now(),
    }
    if code is not None or former is not None:
        session.execute(CODE_EVERYWHERE, params)
        session.execute(RENAME_IN_CONTRACTS, params)
    session.execute(INFLUENCER, params)


def _terms(ctx: JobContext, session: Session, payload: CreatorApprovalProcess, subject: Subject) -> Terms:
    """Of the payload; orchestrated, of the decision that the review keeps: it does not travel through the workflow."""
    stored: Mapping[str, Any] = {}
    by = payload.approved_by
    if payload.orchestrated and subject.application_id is not None:
        review, _ = reviews.open_review(session, subject.application_id, ctx.now())
        if review["decision"] == "approved":
            stored, by = review["decision_payload"], review["decided_by"] or by
    percent = payload.commission_percent
    if percent is None and stored.get("commissionPercent") is not None:
        percent = Decimal(str(stored["commissionPercent"]))
    return Terms(
        approved_by=by,
        tier=payload.tier or stored.get("tier"),
        percent=percent,
        code=payload.discount_code or stored.get("discountCode"),
        notes=payload.notes or stored.get("notes"),
        send_notification=bool(stored.get("sendNotification", payload.send_notification)),
    )


def _unchanged(
    ctx: JobContext, session: Session, subject: Subject, identity_id: str, settings: Mapping[str, Any]
) -> bool:
    """Approved before this message was sent, with every part in its place: its events are not repeated."""
    creator = subject.creator
    if creator is None or not subject.works or creator["approved_at"] is None:
        return False
    if subject.application is not None and subject.application["status"] != "approved":
        return False
    if creator["approved_at"] >= ctx.delivery.sent_at:
        return False
    params = {"creator": creator["id"], "identity": identity_id, "code": creator["referral_code"]}
    found = session.one(PRESENT, params) or {}
    wants_code = bool(settings["auto_generate_code"] or creator["referral_code"])
    return bool(found["member"] and found["steps"] and (found["coded"] or not wants_code))
