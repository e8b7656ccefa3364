"""The list of steps that a new creator goes through, and the settings that make it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from psycopg.types.json import Jsonb

from shared.jobs.context import Session

Step = Mapping[str, Any]

_DEFAULTS: tuple[tuple[str, str, bool, tuple[int, ...]], ...] = (
    ("accept_terms", "Accept Terms & Conditions", True, ()),
    ("complete_profile", "Complete Profile", True, (3, 7, 14)),
    ("sign_agreement", "Sign Creator Agreement", True, (3, 7)),
    ("submit_tax_info", "Submit W-9 / Tax Info", True, (7, 14, 21)),
    ("setup_payout", "Set Up Payout Method", True, (7, 14)),
    ("complete_training", "Complete Training Module", False, (7,)),
    ("receive_samples", "Receive Sample Products", False, ()),
)
"""The column's own default, for a tenant without a row."""
DEFAULT_STEPS: tuple[Step, ...] = tuple(
    {"id": id, "name": name, "order": order, "required": required, "reminderDays": list(days)}
    for order, (id, name, required, days) in enumerate(_DEFAULTS, 1)
)

CONFIG = """
-- applications: how the tenant brings creators on board
SELECT steps, auto_generate_code, code_format FROM onboarding_config ORDER BY created_at, id LIMIT 1
"""
INSERT = """
-- applications: the steps that the creator does not have yet
INSERT INTO creator_onboarding (creator_id, step_id, next_reminder_at, metadata, created_at, updated_at)
SELECT %(creator)s, s.id, s.next_reminder_at, s.metadata, %(now)s, %(now)s
FROM unnest(%(ids)s::text[], %(reminders)s::timestamptz[], %(metadata)s::jsonb[]) AS s (id, next_reminder_at, metadata)
ON CONFLICT (creator_id, step_id) DO NOTHING
"""


def config(session: Session) -> Mapping[str, Any]:
    """steps, auto_generate_code and code_format; the columns' defaults where there is no row."""
    row = session.one(CONFIG)
    return row or {"steps": list(DEFAULT_STEPS), "auto_generate_code": True, "code_format": "{NAME}{RANDOM2}"}


def first_reminder(step: Step, approved_at: datetime) -> datetime | None:
    """approved_at + the smallest of reminderDays, None without any."""
    days = [day for day in step.get("reminderDays") or () if isinstance(day, int | float) and day >= 0]
    return approved_at + timedelta(days=min(days)) if days else None


def begin(session: Session, creator_id: str, steps: list[Step], *, approved_at: datetime, now: datetime) -> int:
    """Write the steps that are missing; how many."""
    known = [step for step in steps if isinstance(step, dict) and step.get("id")]
    params = {
        "creator": creator_id,
        "ids": [str(step["id"]) for step in known],
        "reminders": [first_reminder(step, approved_at) for step in known],
        "metadata": [Jsonb({name: step.get(name) for name in ("name", "order", "required")}) for step in known],
        "now": now,
    }
    return session.execute(INSERT, params)
