"""Contracts of the workflow rules: something happened to an entity that a tenant's own rules may react to."""

from __future__ import annotations

import json
from typing import Annotated, Any, Self

from pydantic import StringConstraints, model_validator

from shared.events.base import Event, VendorId

CONTEXT_MAX_BYTES = 16 * 1024
"""Facts for the rules' conditions, not a copy of the entity."""

Trigger = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9._]{1,100}$")]


class WorkflowTriggered(Event, name="workflow.triggered", from_apps=True):
    """`trigger` happened to the entity. The older form names a rule (workflowId) instead of a trigger."""

    trigger: Trigger | None = None
    entity_type: str | None = None
    entity_id: VendorId | None = None
    context: dict[str, Any] | None = None
    workflow_id: str | None = None
    trigger_id: str | None = None

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        if self.trigger is None and self.workflow_id is None:
            raise ValueError("trigger is required (or workflowId in the older form)")
        if self.entity_type is None or self.entity_id is None:
            raise ValueError("entityType and entityId are required")
        if self.context and len(json.dumps(self.context, ensure_ascii=False).encode()) > CONTEXT_MAX_BYTES:
            raise ValueError(f"context exceeds {CONTEXT_MAX_BYTES} bytes")
        return self
