"""The creator's card in the pipeline: forward only, with the time spent in each stage."""

from __future__ import annotations

from datetime import datetime

from shared.events.applications import CreatorApplicationPipelineEntry, Stage
from shared.events.base import Payload
from shared.events.operations import WorkflowTriggered
from shared.jobs import JobContext, Permanent, Retry, Session, job
from shared.jobs.context import Row
from shared.jobs.queues import CREATOR_APPLICATIONS

RANK: dict[str, int] = {"new": 0, "reviewing": 1, "approved": 2, "rejected": 2, "onboarding": 3, "active": 4}
"""Events come in any order; a card does not go back."""

FACTS = """
-- applications: the application and the creator of a card
SELECT a.id AS application_id, a.status::text AS status, a.reviewed_by, c.id AS creator_id
FROM (VALUES (1)) one
LEFT JOIN creator_applications a ON a.id = %(application)s
LEFT JOIN LATERAL (
    SELECT id FROM creators WHERE id IN (a.creator_id, %(creator)s) ORDER BY (id = a.creator_id) DESC NULLS LAST LIMIT 1
) c ON true
"""
ENTRY = """
-- applications: the card by its application, else by its creator, locked
SELECT * FROM creator_pipeline_entries
WHERE application_id = %(application)s OR creator_id = %(creator)s
ORDER BY (application_id = %(application)s) DESC NULLS LAST, created_at, id
LIMIT 1
FOR UPDATE
"""
INSERT_ENTRY = """
-- applications: a new card
INSERT INTO creator_pipeline_entries (application_id, creator_id, stage, stage_entered_at, created_at, updated_at)
VALUES (%(application)s, %(free_creator)s, %(stage)s, %(at)s, %(now)s, %(now)s)
RETURNING *
"""
LINK = """
-- applications: the card learns whose it is, unless the creator has one
UPDATE creator_pipeline_entries e
SET application_id = COALESCE(e.application_id, %(application)s), creator_id = COALESCE(e.creator_id, %(free_creator)s)
WHERE e.id = %(entry)s
"""
MOVE = """
-- applications: the card moves on
UPDATE creator_pipeline_entries SET stage = %(stage)s, stage_entered_at = %(at)s, updated_at = %(now)s
WHERE id = %(entry)s
"""
CLOSE_HISTORY = """
-- applications: the stage that ends, in whole seconds
UPDATE creator_pipeline_history
SET left_at = GREATEST(%(at)s, entered_at),
    duration_seconds = GREATEST(0, floor(EXTRACT(EPOCH FROM %(at)s::timestamptz - entered_at)))::bigint
WHERE entry_id = %(entry)s AND left_at IS NULL
RETURNING duration_seconds
"""
OPEN_HISTORY = """
-- applications: the stage that begins
INSERT INTO creator_pipeline_history (entry_id, from_stage, to_stage, entered_at, changed_by)
VALUES (%(entry)s, %(from)s, %(stage)s, %(at)s, %(by)s)
ON CONFLICT (entry_id, to_stage, entered_at) DO UPDATE SET left_at = NULL, duration_seconds = NULL
"""
TAKEN = """
-- applications: whether the creator has a card of another application
SELECT EXISTS (SELECT FROM creator_pipeline_entries WHERE creator_id = %(creator)s)
"""


class PipelineResult(Payload):
    """`duration_seconds`: spent in the stage that ended."""

    entry_id: str
    stage: Stage
    moved: bool
    duration_seconds: int = 0


@job(
    "creator-create-pipeline-entry",
    on=CreatorApplicationPipelineEntry,
    queue=CREATOR_APPLICATIONS,
    emits=(WorkflowTriggered,),
    retry=Retry(attempts=3, factor=2, min_s=5, max_s=60),
    timeout_s=30,
    key=lambda p, m: f"{p.application_id}:{p.stage}",
)
def create_pipeline_entry(ctx: JobContext, payload: CreatorApplicationPipelineEntry) -> PipelineResult:
    """Makes the creator's card in the pipeline, or moves it forward.

    Raises Permanent APPLICATION_NOT_FOUND: neither the application nor the creator is known.
    """
    at = payload.occurred_at or ctx.now()
    with ctx.final_session() as session:
        session.lock(f"applications:pipeline:{payload.application_id}")  # two events about a card that is not there yet
        wanted = {"application": payload.application_id, "creator": payload.creator_id}
        facts = session.one(FACTS, wanted) or {}
        application, creator = facts.get("application_id"), facts.get("creator_id")
        if application is None and creator is None:
            raise Permanent("APPLICATION_NOT_FOUND", "neither the application nor the creator is known")
        entry = session.one(ENTRY, {"application": application, "creator": creator})
        taken = creator is not None and session.value(TAKEN, {"creator": creator})
        params = {
            "application": application,
            "free_creator": None if taken else creator,
            "stage": payload.stage,
            "at": at,
            "now": ctx.now(),
            "by": facts.get("reviewed_by") or "system",
        }
        if entry is None:
            entry = session.one(INSERT_ENTRY, params)
            assert entry is not None
            return _moved(session, entry, None, payload.stage, params, creator)
        session.execute(LINK, {**params, "entry": entry["id"]})
        if not advances(entry["stage"], payload.stage, facts.get("status")):
            ctx.log.debug("the card stays", extra={"stage": entry["stage"], "asked": payload.stage})
            return PipelineResult(entry_id=str(entry["id"]), stage=entry["stage"], moved=False)
        session.execute(MOVE, {**params, "entry": entry["id"]})
        return _moved(session, entry, entry["stage"], payload.stage, params, creator)


def advances(present: str, asked: str, application_status: str | None) -> bool:
    """Whether a card of `present` moves to `asked`. An approval may follow a rejection, and a rejection an approval
    only where the application says so."""
    if present == asked:
        return False
    if {present, asked} == {"approved", "rejected"}:
        return asked == "approved" or application_status == "rejected"
    return RANK[asked] > RANK[present]


def _moved(
    session: Session, entry: Row, before: str | None, stage: Stage, params: dict[str, object], creator: str | None
) -> PipelineResult:
    at = params["at"]
    assert isinstance(at, datetime)
    row = {**params, "entry": entry["id"], "from": before}
    ended = session.one(CLOSE_HISTORY, row)
    session.execute(OPEN_HISTORY, row)
    context = {"from": before, "to": stage, "applicationId": params["application"], "creatorId": creator}
    told = WorkflowTriggered(
        trigger="status_change", entity_type="creator_pipeline", entity_id=str(entry["id"]), context=context
    )
    session.emit(told, key=f"pipeline:{entry['id']}:{stage}:{at.isoformat()}")
    seconds = ended["duration_seconds"] if ended else 0
    return PipelineResult(entry_id=str(entry["id"]), stage=stage, moved=True, duration_seconds=seconds)
