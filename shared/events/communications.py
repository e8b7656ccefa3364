"""Events about mails to creators and applicants."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from shared.events.base import Event

CreatorRef = Annotated[str, StringConstraints(min_length=1, max_length=255)]
"""creators.id, `application:<creator_applications.id>` or `draft:<creator_application_drafts.id>`."""


class CreatorEmailCancel(Event, name="creator.email.cancel", from_apps=True):
    """Stop what is still waiting for a creator."""

    creator_id: CreatorRef
    reason: Literal["status_change", "unsubscribed", "bounced", "admin_cancel", "setup_complete", "superseded"]
    email_types: Annotated[list[str], Field(max_length=100)] | None = None
    """Template keys or categories; absent: by reason."""
    sequence_id: str | None = None
    """Only mails of this sequence."""
