"""cgk-jobs cost: what the runs of the ledger cost on AWS, by job, tenant or day."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import asdict
from datetime import timedelta
from typing import Any

from shared.cli.costs import prices
from shared.cli.costs.model import Cost, Group, Rates, grouped
from shared.cli.costs.usage import Usage, read_usage
from shared.cli.output import Printer
from shared.cli.platform import Platform
from shared.jobs.ledger import RunFilter

FAST_MB = 512
BULK_MB = 1024
"""Memory of the two classes of functions where cdk.json does not say otherwise."""
DEFAULT_SPAN = timedelta(days=30)


def cost(platform: Platform, printer: Printer, arguments: Namespace) -> None:
    """{"region", "as_of", "since", "until", "by", "groups": [{.., "runs", "work_ms", "usd", ..}], "total": {..}}.

    With --prices the table of prices instead: {"region", "as_of", "prices": {name: {"usd", "unit", "source"}}}.
    """
    if arguments.prices:
        _prices(printer)
        return
    if arguments.job is not None:
        platform.job(arguments.job)
    by = tuple(dict.fromkeys(arguments.by or ["job"]))
    since = arguments.since or platform.now() - DEFAULT_SPAN
    where = RunFilter(job=arguments.job, tenant=arguments.tenant, since=since, until=arguments.until)
    usage = read_usage(platform.database(), where, by_tenant="tenant" in by, by_day="day" in by)
    rates = _rates(platform, arguments)
    groups = grouped(usage, rates, by)
    whole = _whole(usage, rates)
    if printer.as_json:
        head = {"region": prices.REGION, "as_of": prices.AS_OF, "since": since, "until": arguments.until, "by": by}
        shown = [_as_dict(group, by) for group in groups[: arguments.limit]]
        printer.json({**head, "groups": shown, "total": _as_dict(whole, ())})
        return
    _print(printer, groups, whole, by, arguments.limit)


def _rates(platform: Platform, arguments: Namespace) -> Rates:
    fast = arguments.fast_memory or (platform.stage.fast_memory_mb if platform.stage else FAST_MB)
    bulk = arguments.bulk_memory or (platform.stage.bulk_memory_mb if platform.stage else BULK_MB)
    registry = platform.registry
    heard = {job.id: max((len(registry.listeners[e.event_name]) for e in job.on), default=1) for job in registry}
    return Rates(
        memory_mb={job.id: bulk if job.bulk else fast for job in registry},
        listeners=heard,
        gb_second=prices.LAMBDA_X86 if arguments.x86 else prices.LAMBDA_ARM,
        batch=arguments.batch,
        default_memory_mb=fast,
    )


def _whole(usage: list[Usage], rates: Rates) -> Group:
    found = grouped(usage, rates, ())
    return found[0] if found else Group((), 0, 0, 0, Cost())


def _as_dict(group: Group, by: tuple[str, ...]) -> dict[str, Any]:
    return {
        **dict(zip(by, group.key, strict=True)),
        "runs": group.runs,
        "messages": group.messages,
        "work_ms": group.work_ms,
        "usd": round(group.cost.total, 8),
        "usd_per_million": round(group.per_million, 4),
        "parts": {name: round(value, 8) for name, value in asdict(group.cost).items()},
    }


def _print(printer: Printer, groups: list[Group], whole: Group, by: tuple[str, ...], limit: int) -> None:
    rows = [[*group.key, *_figures(group)] for group in groups[:limit]]
    columns = [*(name.upper() for name in by), "RUNS", "MS A RUN", "USD", "USD PER MILLION"]
    printer.table(columns, rows, nothing="the ledger holds no run of that time")
    if not groups:
        return
    if len(groups) > limit:
        printer.line(f"and {len(groups) - limit} more; --limit shows them")
    parts = ", ".join(f"{name} {value:.4f}" for name, value in asdict(whole.cost).items())
    printer.line(f"\n{whole.runs:,} runs: {whole.cost.total:.4f} USD ({parts})")
    printer.line(
        f"a million runs like these: {whole.per_million:.2f} USD; prices of {prices.REGION}, {prices.AS_OF}, "
        "without free tiers, database and vendors"
    )


def _figures(group: Group) -> list[str]:
    each = group.work_ms / group.runs if group.runs else 0.0
    return [f"{group.runs:,}", f"{each:.1f}", f"{group.cost.total:.4f}", f"{group.per_million:.2f}"]


def _prices(printer: Printer) -> None:
    if printer.as_json:
        table = {name: asdict(price) for name, price in prices.ALL.items()}
        printer.json({"region": prices.REGION, "as_of": prices.AS_OF, "prices": table})
        return
    rows = [[name, f"{price.usd:.12f}".rstrip("0"), price.unit, price.source] for name, price in prices.ALL.items()]
    printer.table(["PRICE", "USD", "FOR ONE", "PUBLISHED AT"], rows)
    printer.line(f"{prices.REGION}, looked up on {prices.AS_OF}")
