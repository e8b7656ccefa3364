"""Applications, their reviews, and what a tenant has set up for them."""

from __future__ import annotations

from typing import Any, Protocol

from psycopg.types.json import Jsonb

APPLICATION = "a1"
PORTAL = "https://portal.acme.test"
ADMIN = "https://admin.acme.test"


class Rows(Protocol):
    def __call__(self, sql: str, params: Any = None) -> list[dict[str, Any]]: ...
    def execute(self, sql: str, params: Any = None) -> int: ...


def _insert(rows: Rows, table: str, facts: dict[str, Any]) -> None:
    values = {name: Jsonb(value) if isinstance(value, dict) else value for name, value in facts.items()}
    names, marks = ", ".join(values), ", ".join(f"%({name})s" for name in values)
    rows.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", values)  # noqa: S608


def add_application(rows: Rows, id: str = APPLICATION, **columns: Any) -> str:
    """A new application of Jane Doe; its id."""
    facts: dict[str, Any] = {
        "id": id,
        "name": "Jane Doe",
        "email": "jane@example.com",
        "created_at": "2026-11-20T11:59:00Z",
        **columns,
    }
    _insert(rows, "creator_applications", facts)
    return id


def add_review(rows: Rows, id: str = APPLICATION, **columns: Any) -> None:
    """The review of an application."""
    _insert(rows, "creator_application_reviews", {"application_id": id, **columns})


def add_settings(rows: Rows, **columns: Any) -> None:
    """The row of tenant_onboarding_settings."""
    _insert(rows, "tenant_onboarding_settings", columns)


def add_config(rows: Rows, key: str, value: Any) -> None:
    """A value of tenant_config."""
    rows.execute("INSERT INTO tenant_config (key, value) VALUES (%s, %s)", (key, Jsonb(value)))


def map_channel(rows: Rows, organization_id: Any, type: str, channel: str, *, enabled: bool = True) -> None:
    """A notification type goes to a channel."""
    rows.execute(
        "INSERT INTO tenant_slack_channel_mappings (tenant_id, notification_type, channel_id, is_enabled)"
        " VALUES (%s, %s, %s, %s)",
        (organization_id, type, channel, enabled),
    )


def the_review(rows: Rows, id: str = APPLICATION) -> dict[str, Any]:
    """The row of a review."""
    (found,) = rows("SELECT * FROM creator_application_reviews WHERE application_id = %s", (id,))
    return found


def the_application(rows: Rows, id: str = APPLICATION) -> dict[str, Any]:
    """The row of an application."""
    (found,) = rows("SELECT * FROM creator_applications WHERE id = %s", (id,))
    return found


def queue_mail(
    rows: Rows,
    recipient: str,
    template: str = "welcome-1-getting-started",
    *,
    status: str = "scheduled",
    number: int = 1,
) -> None:
    """A mail that waits for somebody in the tenant acme's queue."""
    facts = {
        "tenant_id": "acme",
        "creator_id": recipient,
        "creator_email": "jane@example.com",
        "communication_type": "account",
        "template_type": template,
        "status": status,
        "sequence_number": number,
    }
    _insert(rows, "creator_email_queue", facts)
