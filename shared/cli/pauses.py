"""cgk-jobs pause, resume, pauses: hold a job, a queue or a tenant back while everything runs."""

from __future__ import annotations

import getpass
from argparse import Namespace

from shared.cli.errors import Failure, UsageError, nearest
from shared.cli.output import Printer
from shared.cli.platform import Platform
from shared.cli.tenants import tenants_of
from shared.jobs import pauses
from shared.jobs.pauses import MAX_WAIT_S, REMEMBER_S, Scope


def pause(platform: Platform, printer: Printer, arguments: Namespace) -> None:
    """{"scope", "name", "paused": whether it was not paused before}."""
    scope, name = _thing(platform, arguments)
    new = pauses.pause(platform.database(), scope, name, now=platform.now(), reason=arguments.reason or "", by=_who())
    if printer.as_json:
        printer.json({"scope": scope, "name": name, "paused": new})
    elif new:
        printer.line(f"{scope} {name} is paused; no run of it begins after {REMEMBER_S:g} s, and nothing is lost")
    else:
        printer.line(f"{scope} {name} was paused already")


def resume(platform: Platform, printer: Printer, arguments: Namespace) -> None:
    """{"scope", "name", "resumed": true}."""
    scope, name = _thing(platform, arguments)
    if not pauses.resume(platform.database(), scope, name, now=platform.now(), by=_who()):
        raise Failure(f"{scope} {name} is not paused")
    if printer.as_json:
        printer.json({"scope": scope, "name": name, "resumed": True})
    else:
        printer.line(f"{scope} {name} goes on; what waited is back within {MAX_WAIT_S + REMEMBER_S:g} s")


def list_pauses(platform: Platform, printer: Printer, arguments: Namespace) -> None:
    """{"pauses": [{"id", "scope", "name", "since", "reason", "paused_by", "ended_at", "ended_by"}]}."""
    found = pauses.read(platform.database(), platform.now(), ended=arguments.all)
    if printer.as_json:
        printer.json({"pauses": found})
        return
    printer.table(
        ["SCOPE", "NAME", "SINCE (UTC)", "BY", "REASON", "ENDED (UTC)"],
        [[p.scope, p.name, p.since, p.paused_by, p.reason, p.ended_at] for p in found],
        nothing="nothing is paused",
    )


def _thing(platform: Platform, arguments: Namespace) -> tuple[Scope, str]:
    """What the name means: a job, a queue (both classes, or the one named), a tenant. UsageError when two or none."""
    name, registry = arguments.name, platform.registry
    queues = {q for binding in registry.queues() for q in (binding.name, binding.queue.name)}
    slugs = [tenant["slug"] for tenant in tenants_of(platform.database())]
    known: dict[Scope, list[str]] = {"job": sorted(registry.jobs), "queue": sorted(queues), "tenant": slugs}
    if arguments.scope is not None:
        known = {arguments.scope: known[arguments.scope]}
    found = [scope for scope, names in known.items() if name in names]
    if len(found) > 1:
        raise UsageError(f"{name} is the name of a {' and a '.join(found)}; add --as {'|'.join(found)}")
    if not found:
        every = [known_name for names in known.values() for known_name in names]
        raise UsageError(f"there is no {' or '.join(known)} {name!r}{nearest(name, every)}")
    return found[0], name


def _who() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container without an entry for its user
        return ""
