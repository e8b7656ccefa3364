"""What modules tell the mail service: their built-in texts, other places where tenants keep templates, event hooks.

A module registers them in `shared/<subject>/mails.py`. Nothing imports those files at start: the service imports all
of them when it meets a key, or a queue, that it does not know, so a worker that belongs to another category finds
them too.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from shared.jobs.context import Session
from shared.mail.categories import CATEGORIES
from shared.mail.rendering import Texts

REGISTRATIONS = "mails"
"""Name of the module, in each package of `shared`, that registers."""

QueueRef = tuple[str, str]
"""(table, id) of the queue's row that a mail belongs to."""


@dataclass(frozen=True, slots=True)
class Template:
    """A template that may be rendered. `category` None: a tenant's own, which fits any.

    `notification_type`: the tenant's setting that governs it; None where there is none.
    """

    key: str
    texts: Texts
    required: frozenset[str] = frozenset()
    category: str | None = None
    notification_type: str | None = None
    from_address: str | None = field(default=None, repr=False)
    """`a@b` or `Name <a@b>`."""
    sender_id: str | None = None
    """tenant_sender_addresses.id."""
    sender_name: str | None = field(default=None, repr=False)
    reply_to: str | None = field(default=None, repr=False)


Disabled = Literal["template_disabled"]
Source = Callable[[Session, str, QueueRef | None], "Template | Disabled | None"]
"""(session, template key, queue row) -> the tenant's template; switched off; or None: look on."""
Hook = Callable[[Session, str, str, datetime], Any]
"""(session, id of the queue's row, delivery event, its instant): told once per event that was news."""

_templates: dict[str, Template] = {}
_sources: dict[str, Source] = {}
_hooks: dict[str, Hook] = {}
_complete = False


def register_template(
    key: str, category: str, vars: Sequence[str], default: Texts, *, notification_type: str | None = None
) -> Template:
    """Register the built-in text of `key`. `vars`: names of its variables, a required one ends in `*`.

    ValueError for an unknown category or a key that has another text already.
    """
    if category not in CATEGORIES:
        raise ValueError(f"template {key}: {category!r} is no category of mails")
    required = frozenset(name.removesuffix("*") for name in vars if name.endswith("*"))
    made = Template(key, default, required, category, notification_type)
    if _templates.setdefault(key, made) != made:
        raise ValueError(f"template {key} is registered twice with different texts")
    return made


def register_source(keys: Sequence[str], source: Source) -> None:
    """Ask `source` for the tenant's template of these keys before the common tables are looked at."""
    for key in keys:
        _sources[key] = source


def register_hook(queue_table: str, hook: Hook) -> None:
    """Tell `hook` of the delivery events of mails whose queue_ref is in `queue_table`."""
    _hooks[queue_table] = hook


def built_in(key: str) -> Template | None:
    """The registered template, None when no module has one."""
    if key not in _templates:
        _load_all()
    return _templates.get(key)


def source_of(key: str) -> Source | None:
    """Where else the tenant may keep the template of `key`."""
    if key not in _templates and key not in _sources:
        _load_all()
    return _sources.get(key)


def hook_of(queue_table: str | None) -> Hook | None:
    """Who wants to hear of a queue's mails."""
    if queue_table is None:
        return None
    if queue_table not in _hooks:
        _load_all()
    return _hooks.get(queue_table)


def _load_all() -> None:
    """Import every `shared/<subject>/mails.py`, once a process."""
    global _complete
    if _complete:
        return
    _complete = True
    import shared

    # By the file, not by importlib.util.find_spec, which would import every package of `shared` to answer.
    for folder in map(Path, shared.__path__):
        for file in sorted(folder.glob(f"*/{REGISTRATIONS}.py")):
            importlib.import_module(f"shared.{file.parent.name}.{REGISTRATIONS}")
