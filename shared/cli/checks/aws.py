"""Checks of what is deployed against what the registry declares: bus, queues, rules, mappings, secrets."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from shared.cli.checks import Finding, fine, problem, some
from shared.cli.platform import Platform
from shared.jobs.settlement import DLQ_SUFFIX

DEPLOY = "deploy the app (cdk deploy, or scripts/dev)"
CRON_GROUP = "crons"
"""Short name of the schedule group that holds the crons, as infra names it."""


def bus(platform: Platform) -> Finding:
    """The bus is there, so AWS can be reached."""
    name = platform.environment.bus
    events = platform.client("events")
    try:
        events.describe_event_bus(Name=name)
    except events.exceptions.ResourceNotFoundException:
        return problem(f"bus {name} does not exist: {DEPLOY}, or set CGK_BUS")
    return fine(f"bus {name} is there")


def queues(platform: Platform) -> Finding:
    """Every queue of the registry exists with its dead-letter queue."""
    prefix = platform.environment.queue_prefix
    pages = platform.client("sqs").get_paginator("list_queues").paginate(QueueNamePrefix=prefix)
    there = {url.rsplit("/", 1)[-1] for page in pages for url in page.get("QueueUrls", [])}
    wanted = [prefix + binding.name + suffix for binding in platform.registry.queues() for suffix in ("", DLQ_SUFFIX)]
    missing = [name for name in wanted if name not in there]
    if missing:
        return problem(f"missing: {some(missing)}: {DEPLOY}")
    return fine(f"{len(wanted) // 2} queues, each with its dead-letter queue")


def dead_letters(platform: Platform) -> Finding:
    """Nothing waits in a dead-letter queue."""
    from shared.cli.letters import DeadLetters

    environment = platform.environment
    letters = DeadLetters(platform.client("sqs"), environment.queue_prefix, platform.queues, platform.registry)
    counts = [letters.count(binding.name) for binding in platform.registry.queues()]
    full = [f"{count.dlq} ({count.messages + count.hidden})" for count in counts if count.messages or count.hidden]
    if full:
        return problem(f"messages lie in {some(full)}: look with `cgk-jobs dlq list QUEUE`, then redrive them")
    return fine("all empty")


def rules(platform: Platform) -> Finding:
    """Every event job has its rule, enabled and for the events it declares."""
    environment = platform.environment
    there = {rule["Name"]: rule for bus in buses(platform) for rule in _rules(platform, bus)}
    wrong: list[str] = []
    event_jobs = [job for job in platform.registry if job.on]
    for job in event_jobs:
        rule = there.get(environment.queue_prefix + job.id)
        if rule is None:
            wrong.append(f"{job.id} has none")
        elif rule.get("State") != "ENABLED":
            wrong.append(f"that of {job.id} is disabled")
        elif _events(rule) != sorted(event.event_name for event in job.on):
            wrong.append(f"that of {job.id} is for {', '.join(_events(rule)) or 'no event'}")
    if wrong:
        return problem(f"rules: {some(wrong)}: {DEPLOY}")
    return fine(f"{len(event_jobs)} rules, all enabled")


def buses(platform: Platform) -> list[str]:
    """The buses that hold the rules of the jobs."""
    return sorted({platform.bus_of(job.category) for job in platform.registry if job.on})


def _rules(platform: Platform, bus: str) -> list[dict[str, Any]]:
    pages = platform.client("events").get_paginator("list_rules").paginate(EventBusName=bus)
    return [rule for page in pages for rule in page["Rules"]]


def schedules(platform: Platform) -> Finding:
    """Every cron job has its schedule, enabled and for the expression and zone it declares."""
    environment = platform.environment
    client = platform.client("scheduler")
    wrong: list[str] = []
    for job in platform.registry.crons:
        assert job.cron is not None
        try:
            name, group = environment.queue_prefix + job.id, environment.queue_prefix + CRON_GROUP
            found = client.get_schedule(Name=name, GroupName=group)
        except client.exceptions.ResourceNotFoundException:
            wrong.append(f"{job.id} has none")
            continue
        zone = found.get("ScheduleExpressionTimezone") or "UTC"
        if found.get("State") != "ENABLED":
            wrong.append(f"that of {job.id} is disabled")
        elif (found["ScheduleExpression"], zone) != (job.cron.to_eventbridge(), job.cron.zone):
            wrong.append(f"that of {job.id} is {found['ScheduleExpression']} {zone}")
    if wrong:
        return problem(f"schedules: {some(wrong)}: {DEPLOY}")
    return fine(f"{len(platform.registry.crons)} schedules, all enabled")


def _events(rule: dict[str, Any]) -> list[str]:
    pattern = json.loads(rule.get("EventPattern") or "{}")
    return sorted(pattern.get("detail-type", []))


def mappings(platform: Platform) -> Finding:
    """Every queue is drained by the function of its category and class."""
    prefix = platform.environment.queue_prefix
    pages = platform.client("lambda").get_paginator("list_event_source_mappings").paginate()
    there = {m["EventSourceArn"].rsplit(":", 1)[-1]: m for page in pages for m in page["EventSourceMappings"]}
    wrong: list[str] = []
    for binding in platform.registry.queues():
        mapping = there.get(prefix + binding.name)
        function = f"{prefix}{binding.category}-{'bulk' if binding.bulk else 'fast'}"
        if mapping is None:
            wrong.append(f"nothing drains {prefix}{binding.name}")
        elif not mapping["FunctionArn"].endswith(f":{function}"):
            wrong.append(f"{prefix}{binding.name} is drained by {mapping['FunctionArn'].rsplit(':', 1)[-1]}")
        elif mapping.get("State") not in ("Enabled", "Enabling", "Updating", "Creating"):
            wrong.append(f"that of {prefix}{binding.name} is {mapping.get('State')}")
    if wrong:
        return problem(f"event source mappings: {some(wrong)}: {DEPLOY}")
    return fine(f"{len(platform.registry.queues())} queues are drained")


JOBS_MEMBERS = ("DATABASE_URL", "INTEGRATION_ENCRYPTION_KEY")
SECRETS = (("jobs", JOBS_MEMBERS), ("admin", (*JOBS_MEMBERS, "DATABASE_ADMIN_URL")))
"""Secrets of the functions below the bus's name, and the members that each needs."""


def secrets(platform: Platform) -> Finding:
    """The functions' secrets hold what they need, and the same key as here; values are never shown."""
    wrong: list[str] = []
    for name, members in SECRETS:
        secret_id = f"{platform.environment.bus}/{name}"
        found = _read(platform, secret_id)
        if found is None:
            wrong.append(f"{secret_id} has no value")
            continue
        wrong += [f"{secret_id} lacks {member}" for member in members if not found.get(member)]
        key, own = found.get("INTEGRATION_ENCRYPTION_KEY"), platform.secret("INTEGRATION_ENCRYPTION_KEY")
        if key and own and key != own:
            wrong.append(f"{secret_id} holds another INTEGRATION_ENCRYPTION_KEY than this environment")
    if wrong:
        return problem(f"secrets: {'; '.join(wrong)}: bring the values there with `scripts/keys push`")
    return fine(" and ".join(f"{platform.environment.bus}/{name}" for name, _ in SECRETS) + " hold what they need")


def _read(platform: Platform, secret_id: str) -> dict[str, str] | None:
    """Members of a secret; None when it has no value or the value is no JSON object."""
    client = platform.client("secretsmanager")
    try:
        value = json.loads(client.get_secret_value(SecretId=secret_id)["SecretString"])
    except (client.exceptions.ResourceNotFoundException, KeyError, ValueError):
        return None
    return value if isinstance(value, dict) else None


AWS_CHECKS: list[tuple[str, Callable[[Platform], Finding]]] = [
    ("bus", bus),
    ("queues", queues),
    ("dead letters", dead_letters),
    ("rules", rules),
    ("schedules", schedules),
    ("mappings", mappings),
    ("secrets", secrets),
]
