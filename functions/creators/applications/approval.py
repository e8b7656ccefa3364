"""An approval is carried out: identity, membership, terms, onboarding list, discount code, contract, welcome.

    transaction 1    everything of the database, each part an upsert with a fixed identity
    the shop         asked for the code, then told; no transaction is open meanwhile
    transaction 2    the shop's id of the code, or the next candidate everywhere the code stands
    the mails        of the signers who are asked first
    the end          events and the review's end

A run that is repeated finds each part as it left it. What cannot be had (a code, the shop, a template) is told, and
the approval goes on without it.
"""

from __future__ import annotations

from typing import Literal

from shared import mail
from shared.applications import codes, contracts, discounts, reviews
from shared.applications.approvals import Approved, Unchanged, assign, prepare
from shared.events.alerts import AlertApiFailure
from shared.events.applications import (
    CreatorApplicationPipelineEntry,
    CreatorApplicationTrack,
    CreatorApprovalEmail,
    CreatorApprovalProcess,
    CreatorSlackNotification,
)
from shared.events.base import Event, Payload
from shared.events.communications import CreatorWelcomeSequence
from shared.integrations.shopify import Shopify
from shared.jobs import JobContext, Permanent, Retry, Session, job
from shared.jobs.context import Row
from shared.jobs.queues import CREATOR_APPLICATIONS

SIGNING_MAIL = "esign_signing_request"

SHOP_ID = """
-- applications: the code's id in the shop
UPDATE promo_code_metadata SET shopify_discount_id = %(discount)s WHERE code = %(code)s AND creator_id = %(creator)s
"""
CodeState = Literal["none", "local", "created", "adopted", "failed", "exhausted"]


class ApprovalResult(Payload):
    """`commission_percent`: two decimals; `send_notification`: whether the approval's mail is to be sent."""

    processed: bool
    outcome: Literal["approved", "unchanged"]
    creator_id: str
    commission_percent: str
    code_state: CodeState
    contract_state: contracts.ContractState
    documents: int
    welcome_sequence_scheduled: bool
    send_notification: bool


@job(
    "creator-process-approval",
    on=CreatorApprovalProcess,
    queue=CREATOR_APPLICATIONS,
    emits=(
        CreatorWelcomeSequence,
        CreatorSlackNotification,
        CreatorApprovalEmail,
        CreatorApplicationPipelineEntry,
        CreatorApplicationTrack,
        *mail.EMITS,
    ),
    retry=Retry(attempts=3, factor=2, min_s=5, max_s=60),
    timeout_s=120,
    key=lambda p, m: f"{p.application_id or p.creator_id}:approval",
)
def process_approval(ctx: JobContext, payload: CreatorApprovalProcess) -> ApprovalResult:
    """Carries out an approval.

    Raises Permanent CREATOR_NOT_FOUND, CREATOR_TERMINATED, INVALID_COMMISSION, CODE_TAKEN, CODE_INVALID;
    RateLimited SHOPIFY_THROTTLED, Transient SHOPIFY_UNAVAILABLE and those of mails.
    """
    with ctx.tenant_session() as session:
        made = prepare(ctx, session, payload)
    if isinstance(made, Unchanged):
        return _nothing_to_do(made)
    code, state = _code(ctx, made)
    documents = _ask_signers(ctx, made)
    with ctx.final_session() as session:
        return _finish(ctx, session, payload, made, code, state, documents)


def _nothing_to_do(found: Unchanged) -> ApprovalResult:
    return ApprovalResult(
        processed=False,
        outcome="unchanged",
        creator_id=found.creator["id"],
        commission_percent=f"{found.creator['commission_rate_pct']:.2f}",
        code_state="none",
        contract_state="none",
        documents=0,
        welcome_sequence_scheduled=False,
        send_notification=found.terms.send_notification,
    )


# -- the shop, and transaction 2 -------------------------------------------------------------------------------------


def _code(ctx: JobContext, made: Approved) -> tuple[str | None, CodeState]:
    """The code that stands in the end, and what became of it in the shop."""
    if made.code is None:
        return None, "exhausted" if made.exhausted else "none"
    if made.discount_id is not None:
        return made.code, "adopted"
    try:
        shop = discounts.connect(ctx)
    except Permanent as error:
        ctx.log.warning("the shop cannot be asked", extra={"code": error.code})
        return made.code, "failed"
    return (made.code, "local") if shop is None else _in_shop(ctx, shop, made)


def _in_shop(ctx: JobContext, shop: Shopify, made: Approved) -> tuple[str | None, CodeState]:
    code: str | None = made.code
    taken: list[str] = []
    while code is not None:  # one round for each candidate that the shop uses for something else: at most CANDIDATES
        answer = discounts.make(ctx, shop, code, made.creator_id, made.customer_percent)
        if answer.state == "failed":
            ctx.log.warning("the shop refuses the code", extra={"code": answer.code})
            return code, "failed"
        if answer.state != "taken":
            with ctx.tenant_session() as session:
                params = {"discount": answer.discount_id, "code": code, "creator": made.creator_id}
                session.execute(SHOP_ID, params)
            return code, answer.state
        taken.append(code)
        code = _next(ctx, made, code, taken)
    return None, "exhausted"


def _next(ctx: JobContext, made: Approved, former: str, taken: list[str]) -> str | None:
    """Give a code back that the shop uses for something else, and take the next one, everywhere."""
    with ctx.tenant_session() as session:
        codes.release(session, former, made.creator_id)
        code = codes.reserve(
            session, iter(made.wanted), creator_id=made.creator_id, percent=made.percent, without=taken
        )
        if code is None and made.terms.code is not None:
            raise Permanent("CODE_TAKEN", "the shop uses the code that was chosen for something else")
        assign(ctx, session, made.creator, made.identity_id, code, made.percent, former)
    return code


# -- mails and the end -----------------------------------------------------------------------------------------------


def _ask_signers(ctx: JobContext, made: Approved) -> list[tuple[str, str]]:
    """Mail the signers who are asked first; (id, name) of this approval's documents."""
    since = made.creator["approved_at"]
    with ctx.tenant_session(read_only=True) as session:
        asked = contracts.asked(session, made.creator_id, since)
    for signer in asked:  # one or two; what fails stops the run, and the keys keep the others single
        if signer["signer_id"] is None:
            continue
        _mail_signer(ctx, made, signer)
    return list(dict.fromkeys((row["document_id"], row["document_name"]) for row in asked))


def _mail_signer(ctx: JobContext, made: Approved, signer: Row) -> None:
    variables = {
        "signerName": signer["signer_name"],
        "documentName": signer["document_name"],
        "signingUrl": f"{made.portal}/sign/{signer['access_token']}",
        "expiryDate": signer["expires_at"],
        "message": signer["message"],
    }
    key = f"esign:{signer['document_id']}:{signer['signer_id']}:request"
    internal = signer["is_internal"]
    try:
        mail.mail(
            ctx,
            SIGNING_MAIL,
            signer["email"],
            variables,
            key,
            "contract",
            recipient_type="team" if internal else "creator",
            recipient_id=None if internal else made.creator_id,
        )
    except Permanent as error:  # the mail is dead and told by the mail service; the reminders of documents go on
        ctx.log.warning("a signing request cannot be mailed", extra={"code": error.code})


def _finish(
    ctx: JobContext,
    session: Session,
    payload: CreatorApprovalProcess,
    made: Approved,
    code: str | None,
    state: CodeState,
    documents: list[tuple[str, str]],
) -> ApprovalResult:
    """The events, once per approval, and the review's end."""
    once = f"{made.creator_id}:{int(made.creator['approved_at'].timestamp())}"
    session.emit_many([(event, f"{once}:{name}") for name, event in _events(payload, made, documents, once).items()])
    session.emit_many([(alert, alert.dedupe_key) for alert in _alerts(made, state)])
    if made.subject.application_id is not None:
        reviews.open_review(session, made.subject.application_id, ctx.now())
        reviews.complete(session, made.subject.application_id, "approved", by=made.terms.approved_by, now=ctx.now())
    inactive = made.contract.state == "template_inactive"
    return ApprovalResult(
        processed=True,
        outcome="approved",
        creator_id=made.creator_id,
        commission_percent=f"{made.creator['commission_rate_pct']:.2f}",
        code_state=state,
        contract_state="sent" if documents else "template_inactive" if inactive else "none",
        documents=len(documents),
        welcome_sequence_scheduled=True,
        send_notification=made.terms.send_notification,
    )


def _events(
    payload: CreatorApprovalProcess, made: Approved, documents: list[tuple[str, str]], once: str
) -> dict[str, Event]:
    """By the name under which each is published once. Orchestrated: only what no state of the workflow does."""
    creator_id, application_id = made.creator_id, made.subject.application_id
    booked = made.creator["welcome_call_scheduled_at"] is not None
    events: dict[str, Event] = {"welcome": CreatorWelcomeSequence(creator_id=creator_id, welcome_call_scheduled=booked)}
    for id, name in documents:
        events[f"contract:{id}"] = CreatorSlackNotification(
            notification_type="contract_sent",
            creator_id=creator_id,
            metadata={"documentId": id, "documentName": name.rsplit(" - ", 1)[0], "dedupeKey": f"contract-sent:{id}"},
        )
    if payload.orchestrated:
        return events
    # As the workflow's own step names it, so that one approval is one post, whoever carries it out.
    about = {"applicationId": application_id} if application_id else {"dedupeKey": f"approval:{once}"}
    events["slack"] = CreatorSlackNotification(
        notification_type="application_approved",
        creator_id=creator_id,
        metadata=about,
    )
    if made.terms.send_notification:
        events["mail"] = CreatorApprovalEmail(creator_id=creator_id, tier=made.creator["tier"])
    card = application_id or creator_id
    events["card"] = CreatorApplicationPipelineEntry(application_id=card, creator_id=creator_id, stage="approved")
    if application_id is not None:
        events["track"] = CreatorApplicationTrack(
            application_id=application_id, creator_id=creator_id, event="approved"
        )
    return events


def _alerts(made: Approved, state: CodeState) -> list[AlertApiFailure]:
    """What the approval went on without."""
    found: list[tuple[str, str, str]] = []
    if state == "failed":
        found.append(("code", "A creator's discount code is not in the shop", "SHOPIFY_REFUSED"))
    if state == "exhausted":
        found.append(("code", "A creator has no discount code", "CODE_EXHAUSTED"))
    if made.contract.inactive:
        found.append(("contract", "A creator's contract was not sent", "TEMPLATE_INACTIVE"))
    return [
        AlertApiFailure(
            severity="warning",
            source="creators",
            title=title,
            message=f"The approval went on without it ({code}). Mend the cause and add it in the admin app.",
            dedupe_key=f"approval:{made.creator_id}:{part}",
            context={"creatorId": made.creator_id, "code": code},
        )
        for part, title, code in found
    ]
