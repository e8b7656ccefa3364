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


class CreatorEmailProcess(Event, name="creator.email.process", from_apps=True):
    """Send what is due in the queue of creators' mails; `priority` high: the most urgent only."""

    priority: Literal["high"] | None = None


class CreatorWelcomeSequence(Event, name="creator.welcomeSequence", from_apps=True):
    """Plan the welcome mails of a creator who was just approved."""

    creator_id: CreatorRef
    welcome_call_scheduled: bool = False
