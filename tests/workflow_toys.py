"""A small workflow for the kernel's tests: a job, a job that holds its token, a job that answers it.

ToyReview: Check (toy-check) -> Wait (toy-wait, holds; timed out: Round 2) -> Done
toy-begin starts it, toy-decide answers what waits.
"""

from __future__ import annotations

from typing import Any, Literal

from shared.events import Event, Payload
from shared.jobs import HoldToken, JobContext, Permanent, Retry, Transient, job
from shared.jobs.queues import Queue
from shared.jobs.registry import build_registry

REVIEWS = Queue("toy-reviews")
WORKFLOW = "ToyReview"


class ReviewBegun(Event, name="toy.reviewBegun", from_apps=True):
    review_id: str
    final: bool = False


class ReviewChecked(Event, name="toy.reviewChecked", from_apps=True):
    """`act` names what toy-check does."""

    review_id: str
    act: str = "pass"


class ReviewWaits(Event, name="toy.reviewWaits", from_apps=True):
    review_id: str
    round: int = 1
    act: str = "final"


class ReviewDecided(Event, name="toy.reviewDecided", from_apps=True):
    review_id: str
    decision: str = "approved"
    act: Literal["complete", "fail", "in_session"] = "complete"


class Begun(Payload):
    execution_arn: str | None


class Checked(Payload):
    ok: bool
    attempt: int
    text: str = ""


class Waits(Payload):
    decision: str | None = None


class Decided(Payload):
    outcome: str


calls: list[tuple[str, str]] = []
"""(job, review) of every start of a handler."""

READ = "SELECT value FROM tenant_config WHERE key = %(key)s"
WRITE = """
INSERT INTO tenant_config (key, value) VALUES (%(key)s, to_jsonb(%(value)s::text))
ON CONFLICT (key) DO UPDATE SET value = EXCLUDED.value
"""


@job("toy-begin", on=ReviewBegun, queue=REVIEWS, workflows=(WORKFLOW,))
def begin(ctx: JobContext, payload: ReviewBegun) -> Begun:
    """Starts the workflow of a review."""
    calls.append((ctx.job_id, payload.review_id))
    if payload.final:
        with ctx.final_session() as session:
            _write(session, f"begun-{payload.review_id}", "yes")
            return Begun(execution_arn=_start(ctx, payload.review_id))
    return Begun(execution_arn=_start(ctx, payload.review_id))


def _start(ctx: JobContext, review_id: str) -> str | None:
    return ctx.workflows.start(WORKFLOW, {"reviewId": review_id}, f"toy-{review_id}")


@job(
    "toy-check",
    on=ReviewChecked,
    queue=REVIEWS,
    retry=Retry(attempts=2, factor=1, min_s=2, max_s=2),
    key=lambda p, m: f"check-{p.review_id}",
)
def check(ctx: JobContext, payload: ReviewChecked) -> Checked:
    """Checks a review, or fails as it is told."""
    calls.append((ctx.job_id, payload.review_id))
    if payload.act == "permanent":
        raise Permanent("TOY_REFUSED", "not this one")
    if payload.act == "transient":
        raise Transient("TOY_LATER")
    if payload.act == "once" and len(calls) == 1:
        raise Transient("TOY_LATER")
    if payload.act == "legs" and ctx.cursor is None:
        ctx.continue_from({"leg": 1})
    text = "x" * 300_000 if payload.act == "large" else ""
    return Checked(ok=True, attempt=ctx.attempt, text=text)


@job("toy-fresh", on=ReviewChecked, queue=REVIEWS)
def fresh(ctx: JobContext, payload: ReviewChecked) -> Checked:
    """Has no key of its own: each entry of its step is a run."""
    calls.append((ctx.job_id, payload.review_id))
    return Checked(ok=True, attempt=ctx.attempt)


@job("toy-wait", on=ReviewWaits, queue=REVIEWS, key=lambda p, m: f"wait-{p.review_id}-{p.round}")
def wait(ctx: JobContext, payload: ReviewWaits) -> Waits | HoldToken[Waits]:
    """Waits for the decision of a review; one that is known already is the result."""
    calls.append((ctx.job_id, payload.review_id))
    decision = _decision(ctx, payload.review_id)
    if decision is not None:
        return Waits(decision=decision)
    token = ctx.task_token or ""
    if payload.act == "final":
        with ctx.final_session() as session:
            _write(session, f"token-{payload.review_id}", token)
            return HoldToken(Waits())
    if token:
        with ctx.tenant_session() as session:
            _write(session, f"token-{payload.review_id}", token)
    if payload.act == "crash_once" and len(calls) == 1:
        raise SystemExit
    if payload.act == "early":
        ctx.log.info("decided while it runs", extra={"outcome": EARLY[0](payload.review_id)})
    return HoldToken(Waits())


EARLY: list[Any] = []
"""What toy-wait calls with act=early, after it stored its token."""


@job("toy-decide", on=ReviewDecided, queue=REVIEWS, workflows=(WORKFLOW,))
def decide(ctx: JobContext, payload: ReviewDecided) -> Decided:
    """Stores the decision of a review and answers the step that waits for it."""
    calls.append((ctx.job_id, payload.review_id))
    with ctx.tenant_session() as session:
        token = session.value(READ, {"key": f"token-{payload.review_id}"})
        if payload.act == "in_session":
            ctx.workflows.complete(token, {})
        _write(session, f"decision-{payload.review_id}", payload.decision)
    if payload.act == "fail":
        return Decided(outcome=ctx.workflows.fail(token, "TOY_WITHDRAWN", "by its author"))
    return Decided(outcome=ctx.workflows.complete(token, Waits(decision=payload.decision)))


REGISTRY = build_registry([begin, check, fresh, wait, decide])


def _decision(ctx: JobContext, review_id: str) -> str | None:
    with ctx.tenant_session(read_only=True) as session:
        found = session.value(READ, {"key": f"decision-{review_id}"})
    return None if found is None else str(found)


def _write(session: Any, key: str, value: str) -> None:
    session.execute(WRITE, {"key": key, "value": value})
