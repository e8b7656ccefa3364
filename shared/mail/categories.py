"""Categories of mails: what is mandatory, which switch of a creator governs it, how urgent it is, who it comes from."""

from __future__ import annotations

from dataclasses import dataclass

from shared.jobs.errors import Permanent

HIGH, RAISED, NORMAL, LOW = 1, 3, 5, 9
"""Priorities of the queue; 1 leaves first."""


@dataclass(frozen=True, slots=True)
class Category:
    """`switch`: column of public.creator_notification_settings; `sender`: purpose of the default sender address."""

    name: str
    mandatory: bool = False
    switch: str | None = None
    priority: int = NORMAL
    sender: str = "creator"


CATEGORIES: dict[str, Category] = {
    each.name: each
    for each in (
        Category("account", mandatory=True, priority=HIGH),
        Category("contract", mandatory=True, priority=HIGH),
        Category("payment", switch="email_payment_received", priority=RAISED),
        Category("project", switch="email_project_updated", priority=RAISED),
        Category("message", switch="email_message_received"),
        Category("reminder", switch="email_deadline_reminder"),
        Category("onboarding"),
        Category("shipment", switch="email_project_updated"),
        Category("summary", priority=LOW),
        Category("marketing", priority=LOW),
        Category("review", sender="transactional"),
        Category("transactional", sender="transactional"),
        Category("admin", mandatory=True, sender="transactional"),
    )
}

SWITCHES = {
    "creator_project_assigned": "email_project_assigned",
    "creator_revision_requested": "email_revision_requested",
    "creator_no_response_reminder": "email_message_received",
}
"""Templates with a switch of their own instead of their category's."""
SWITCH_COLUMNS = frozenset(SWITCHES.values()) | {each.switch for each in CATEGORIES.values() if each.switch}

PRIORITIES = {"creator_payout_failed": HIGH}
"""Templates more urgent than their category."""

UNSUBSCRIBED_MAY_GET = frozenset(("account", "transactional"))
"""Categories that someone who unsubscribed from everything still gets."""
WHILE_INACTIVE = frozenset(("account", "payment"))
"""Categories that a creator gets whose relation has ended."""
WHILE_PAUSED = frozenset(("account", "payment", "contract", "message"))


def category(name: str) -> Category:
    """The category `name`; Permanent MAIL_CATEGORY_UNKNOWN."""
    found = CATEGORIES.get(name)
    if found is None:
        raise Permanent("MAIL_CATEGORY_UNKNOWN", f"{name!r} is none of {', '.join(CATEGORIES)}")
    return found


def switch_of(template_key: str, name: str) -> str | None:
    """The creator's switch that governs a template of a category."""
    return SWITCHES.get(template_key) or category(name).switch


def priority_of(template_key: str, name: str) -> int:
    """The queue's priority of a template of a category."""
    return PRIORITIES.get(template_key, category(name).priority)
