"""Task tokens of workflow steps: kept sealed while a step waits, answered once, repeated to whoever asks again.

    running   the run is under way, or ended by itself: its result or its last error was the answer
    held      the run is done, the step waits for `ctx.workflows.complete` or `fail`
    answered  a later job gave the answer; `answer` keeps it, sealed, for a token that comes after it
    gone      the step had ended (timed out, stopped) before that answer came

A row is named by its run, and that name is all a handler ever sees of the token. The row is made before the handler
begins, so an answer cannot come too early for it. A redelivered or redriven execution asks the same run with a NEW
token: a done run answers it with what it answered before, a holding one keeps the new token in the old one's place.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import psycopg
from psycopg.rows import dict_row
from pydantic_core import to_json

from shared.crypto import Keyring
from shared.jobs.errors import LeaseLost
from shared.jobs.messages import Acknowledge, Dead, Defer, Message, Outgoing, Refused, Run
from shared.jobs.outbox import seal_body
from shared.jobs.uuids import uuid7

PURPOSE = "task-token"
MAX_TOKEN = 2048
"""Characters of a token (Step Functions, SendTaskSuccess)."""
MAX_OUTPUT = 262_144
"""Bytes of a step's output (Step Functions, quota of input and output)."""
MAX_CAUSE = 1000
BUSY_S = 5.0
"""Wait of a message with another token while its run is not over."""

Answered = Literal["answered", "gone"]
"""What became of an answer. `answered`: this one or an earlier one; `gone`: the step no longer waits."""

KEEP = """
-- jobs: the token of a run that begins; what was answered meanwhile stays
INSERT INTO jobs.tokens AS t (run_id, tenant, job, correlation_id, token, token_hash, state, owner, created_at,
                              updated_at)
VALUES (%(run)s, %(tenant)s, %(job)s, %(correlation)s, %(token)s, %(hash)s, 'running', %(owner)s, %(now)s, %(now)s)
ON CONFLICT (run_id) DO UPDATE SET
    token = EXCLUDED.token, token_hash = EXCLUDED.token_hash, owner = EXCLUDED.owner, updated_at = EXCLUDED.updated_at,
    state = CASE t.state WHEN 'held' THEN 'running' ELSE t.state END
"""
HOLD = """
-- jobs: a run ends and its token is held, unless it was answered while the handler ran; the owner is the fence
UPDATE jobs.tokens SET state = CASE state WHEN 'running' THEN 'held' ELSE state END, updated_at = %(now)s
WHERE run_id = %(run)s AND owner = %(owner)s
RETURNING state, answer
"""
TAKE = """
-- jobs: the token that a later job answers
SELECT token, state FROM jobs.tokens WHERE run_id = %(run)s AND tenant = %(tenant)s FOR UPDATE
"""
ANSWER = """
-- jobs: a held token is answered: what with, and the outbox row that says so
WITH taken AS (
    UPDATE jobs.tokens SET state = 'answered', answer = %(answer)s, updated_at = %(now)s WHERE run_id = %(run)s
), failed AS (
    -- A failed step is a dead run: asked again, it begins anew.
    UPDATE jobs.claims SET state = 'dead', code = %(code)s, ended_at = %(now)s, updated_at = %(now)s
    WHERE run_id = %(run)s AND state = 'succeeded' AND %(code)s::text IS NOT NULL
)
INSERT INTO jobs.outbox (id, kind, tenant, target, body, created_at)
VALUES (%(id)s, 'answer', %(tenant)s, %(target)s, %(body)s, %(now)s)
"""
GONE = "UPDATE jobs.tokens SET state = 'gone', updated_at = %(now)s WHERE run_id = %(run)s AND state = 'answered'"
ASKED_AGAIN = """
-- jobs: what is known of runs that a message with a task token met
SELECT i.ord, c.run_id, c.state, c.result, t.state AS token_state, t.token_hash, t.answer
FROM unnest(%(job)s::text[], %(tenant)s::text[], %(key)s::text[]) WITH ORDINALITY AS i (job, tenant, key, ord)
JOIN jobs.claims c ON c.job = i.job AND c.tenant = i.tenant AND c.key = i.key
LEFT JOIN jobs.tokens t ON t.run_id = c.run_id
"""
REPLACE = """
-- jobs: a holding run keeps the new token
UPDATE jobs.tokens SET token = %(token)s, token_hash = %(hash)s, updated_at = %(now)s
WHERE run_id = %(run)s AND state = 'held'
"""

HELD_OF = """
-- jobs: steps of an execution that wait for a later job's answer
SELECT run_id, job, tenant, updated_at AS since FROM jobs.tokens
WHERE correlation_id = %(execution)s AND state = 'held' ORDER BY updated_at
"""

Connection = psycopg.Connection[Any]


def token_digest(token: str) -> bytes:
    """SHA-256 of a token: tells tokens apart without keeping them."""
    return hashlib.sha256(token.encode()).digest()


# -- answers: rows of the outbox -------------------------------------------------------------------------------------


def success(token: str, output: Any, *, tenant: str, run_id: UUID | None) -> Outgoing:
    """The answer with a result (JSON); one that Step Functions would not take becomes the failure RESULT_TOO_LARGE."""
    text = to_json(output)
    if len(text) > MAX_OUTPUT:
        cause = f"the result has {len(text):,} bytes, a step's output at most {MAX_OUTPUT:,}"
        return failure(token, "RESULT_TOO_LARGE", cause, tenant=tenant, run_id=run_id)
    return _answer("success", {"token": token, "output": text.decode()}, tenant, run_id)


def failure(token: str, code: str, cause: str, *, tenant: str, run_id: UUID | None) -> Outgoing:
    """The answer with an error: `code` is what the machine's Catch and Retry see, `cause` one sentence."""
    return _answer("failure", {"token": token, "error": code, "cause": cause[:MAX_CAUSE]}, tenant, run_id)


def _answer(target: str, body: Mapping[str, str], tenant: str, run_id: UUID | None) -> Outgoing:
    return Outgoing(uuid7(), "answer", tenant, target, body, run_id=run_id)


# -- the run of a step -----------------------------------------------------------------------------------------------


def keep(conn: Connection, run: Run, keyring: Keyring, now: datetime) -> None:
    """Before the handler begins: the run's token, sealed."""
    token, tenant = run.message.task_token, run.tenant.slug
    assert token is not None
    conn.execute(
        KEEP,
        {
            "run": run.run_id,
            "tenant": tenant,
            "job": run.job.id,
            "correlation": run.message.correlation_id,
            "token": _seal(keyring, token, tenant),
            "hash": token_digest(token),
            "owner": run.owner,
            "now": now,
        },
    )


def hold(conn: Connection, run: Run, keyring: Keyring, now: datetime) -> list[Outgoing]:
    """The handler returned HoldToken; what is to be sent for it: nothing, or the answer that came while it ran.

    Before the run settles: a crash in between runs it again, and `keep` resets the row.
    """
    row = conn.execute(HOLD, {"run": run.run_id, "owner": run.owner, "now": now}).fetchone()
    if row is None:
        raise LeaseLost(f"{run.job.id} {run.run_id}")
    state, answer = row
    # An earlier attempt's token may have been the one answered; told twice, the step passes over the second.
    token = run.message.task_token
    assert token is not None
    return [] if state == "held" else [_repeated(token, answer, run.tenant.slug, keyring, run.run_id)]


# -- a later job's answer --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Taken:
    """What `take` found: the row to relay, or None and how it was answered before."""

    row: Outgoing | None
    before: Answered = "answered"


def take(
    conn: Connection,
    run_id: UUID,
    tenant: str,
    make: Callable[[str], Outgoing],
    *,
    keyring: Keyring,
    now: datetime,
) -> Taken:
    """Answer a run's token once: token row and outbox row in one transaction. `make`: the answer, given the token."""
    with conn.transaction(), conn.cursor(row_factory=dict_row) as cursor:
        found = cursor.execute(TAKE, {"run": run_id, "tenant": tenant}).fetchone()
        if found is None:
            return Taken(None, "gone")  # another tenant's, or older than tokens are kept
        if found["state"] in ("answered", "gone"):
            return Taken(None, found["state"])
        row = make(_open(keyring, found["token"], tenant))
        text = json.dumps({"target": row.target, **{n: v for n, v in row.body.items() if n != "token"}})
        cursor.execute(
            ANSWER,
            {
                "run": run_id,
                "tenant": tenant,
                "answer": _seal(keyring, text, tenant),
                "code": row.body.get("error"),
                "id": row.id,
                "target": row.target,
                "body": seal_body(row, keyring),
                "now": now,
            },
        )
    return Taken(row)


def note_gone(conn: Connection, run_id: UUID, now: datetime) -> None:
    """The step had ended before the answer came."""
    conn.execute(GONE, {"run": run_id, "now": now})


def held_of(conn: Connection, execution: str) -> list[dict[str, Any]]:
    """The steps of an execution (by its name, their correlation id) that are held: run_id, job, tenant, since."""
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(HELD_OF, {"execution": execution}).fetchall()


# -- messages that did not run ---------------------------------------------------------------------------------------


def with_answers(
    connect: Callable[[], Connection], refused: Sequence[Refused], *, keyring: Keyring, now: datetime
) -> list[Refused]:
    """The refused with what their waiting steps are told; without a task token nothing is asked or changed.

    Dead: the step fails with the code. Done before: the run's own answer again, to this token. Holding: the new
    token is kept. Not over and asked with another token: the message comes back.
    """
    again = [n for n, item in enumerate(refused) if _asks_again(item)]
    known = _known(connect(), [refused[n] for n in again]) if again else {}
    answered: list[Refused] = []
    for n, item in enumerate(refused):
        if n in again:
            found = known.get(again.index(n) + 1)
            item = _asked_again(connect(), item, found, keyring, now) if found else item
        elif isinstance(item.verdict, Dead) and (token := _token_of(item)):
            row = failure(token, item.verdict.code, item.verdict.detail, tenant=item.tenant, run_id=None)
            item = replace(item, outgoing=(row,))
        answered.append(item)
    return answered


def _asks_again(item: Refused) -> bool:
    return isinstance(item.verdict, Acknowledge) and not item.skipped and item.key is not None and bool(_token(item))


def _token(item: Refused) -> str | None:
    return item.message.task_token if item.message else None


def _token_of(item: Refused) -> str | None:
    """The token of a dead message, also of one whose job is not even known: its workflow must not wait in vain."""
    if item.message is not None:
        return item.message.task_token
    try:
        body = json.loads(item.record.body)
    except (ValueError, RecursionError):
        return None
    token = body.get("taskToken") if isinstance(body, dict) else None
    return token if isinstance(token, str) and 0 < len(token) <= MAX_TOKEN else None


def _known(conn: Connection, items: Sequence[Refused]) -> dict[int, dict[str, Any]]:
    parameters = {
        "job": [item.message.job.id if item.message else None for item in items],
        "tenant": [item.tenant for item in items],
        "key": [item.key for item in items],
    }
    with conn.cursor(row_factory=dict_row) as cursor:
        return {row["ord"]: row for row in cursor.execute(ASKED_AGAIN, parameters).fetchall()}


def _asked_again(conn: Connection, item: Refused, found: Mapping[str, Any], keyring: Keyring, now: datetime) -> Refused:
    message, tenant = item.message, item.tenant
    assert isinstance(message, Message)
    token = message.task_token
    assert token is not None
    same = found["token_hash"] == token_digest(token)
    match found["state"], found["token_state"]:
        case "succeeded", "held":
            if same or _replaced(conn, found["run_id"], token, tenant, keyring, now):
                return replace(item, verdict=Acknowledge("holding: the step waits"))
            return replace(item, verdict=Defer(BUSY_S, "BUSY"))  # answered at this very moment
        case "succeeded", ("answered" | "gone"):
            row = _repeated(token, found["answer"], tenant, keyring)
        case "succeeded", _:
            row = success(token, found["result"], tenant=tenant, run_id=None)
        case "cancelled", _:
            row = failure(token, "CANCELLED", "the run was cancelled", tenant=tenant, run_id=None)
        case (("running" | "waiting" | "continuing"), _) if not same:
            return replace(item, verdict=Defer(BUSY_S, "BUSY"))
        case _:
            return item
    return replace(item, outgoing=(row,))


def _replaced(conn: Connection, run_id: UUID, token: str, tenant: str, keyring: Keyring, now: datetime) -> bool:
    sealed = _seal(keyring, token, tenant)
    parameters = {"run": run_id, "token": sealed, "hash": token_digest(token), "now": now}
    return conn.execute(REPLACE, parameters).rowcount == 1


def _repeated(token: str, sealed: bytes, tenant: str, keyring: Keyring, run_id: UUID | None = None) -> Outgoing:
    answer = json.loads(_open(keyring, sealed, tenant))
    return _answer(answer.pop("target"), {"token": token, **answer}, tenant, run_id)


# -- sealing ---------------------------------------------------------------------------------------------------------


def _seal(keyring: Keyring, text: str, tenant: str) -> bytes:
    return keyring.seal(text.encode(), aad=tenant.encode(), purpose=PURPOSE)


def _open(keyring: Keyring, sealed: bytes, tenant: str) -> str:
    return keyring.open(bytes(sealed), aad=tenant.encode(), purpose=PURPOSE).decode()
