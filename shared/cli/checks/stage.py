"""Checks of one stage: right account, every function of this version, every route bound to its queue, time zones.

They ask AWS for each rule and schedule once, so `doctor` makes them only when it is given a stage.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable
from typing import Any

from shared.cli.checks import Finding, fine, problem, some, warning
from shared.cli.checks.aws import CRON_GROUP, DEPLOY
from shared.cli.platform import Platform
from shared.jobs.registry import AnyJob
from shared.jobs.settlement import DLQ_SUFFIX

KERNEL = ("sweep", "provision", "partitions", "ticks")
"""Functions of the kernel, each with a schedule of its own."""
Function = dict[str, Any]


def account(platform: Platform) -> Finding:
    """The credentials lead to the stage's own account."""
    stage = platform.stage
    assert stage is not None
    here = platform.client("sts").get_caller_identity()["Account"]
    if stage.account and here != stage.account:
        return problem(f"these credentials lead to account {here}, stage {stage.name} is in {stage.account}")
    return fine(f"account {here}" + ("" if stage.account else "; cdk.json names none for this stage"))


def functions(platform: Platform) -> Finding:
    """Every function of the registry and the kernel is there, updated, and of this stage."""
    stage = platform.stage
    assert stage is not None
    there = _functions(platform)
    wrong = [f"{name} is missing" for name in _wanted(platform) if name not in there]
    for name, function in sorted(there.items()):
        said = _variables(function).get("CGK_STAGE")
        if said != stage.name:
            wrong.append(f"{name} says it is of stage {said or 'none'}")
        elif function.get("LastUpdateStatus", "Successful") != "Successful":
            wrong.append(f"the last update of {name} is {function['LastUpdateStatus']}")
        elif function.get("State", "Active") not in ("Active", "Inactive"):  # inactive: not called for long
            wrong.append(f"{name} is {function['State']}")
    if wrong:
        return problem(f"{some(wrong)}: {DEPLOY}")
    return fine(f"{len(there)} functions of stage {stage.name}")


def versions(platform: Platform) -> Finding:
    """All functions run one version of the code, on one runtime and architecture, with the same libraries."""
    there = _functions(platform)
    differing = [
        what
        for what, values in (
            ("code", [f.get("CodeSha256") for f in there.values()]),
            ("runtimes", [f.get("Runtime") for f in there.values()]),
            ("architectures", [tuple(f.get("Architectures", ["x86_64"])) for f in there.values()]),
        )
        if len(set(values)) > 1
    ]
    if differing:
        return problem(f"functions differ in {', '.join(differing)}: a deploy ended halfway; {DEPLOY}")
    return fine(f"{len(there)} functions run the same code")


def deployment(platform: Platform) -> Finding:
    """The last deployment came to its end, and is of this checkout's commit; see scripts/owner/deploying/records.py."""
    current = _record(platform, "current")
    if _record(platform, "begun") is not None:
        return problem("a deployment is under way, or was killed: scripts/deploy brings it to its end")
    if current is None:
        return warning("there is no record of a deployment by scripts/deploy")
    deployed, here = str(current.get("commit")), _commit(platform)
    text = f"{deployed} of {str(current.get('at'))[:16]}"
    if here is not None and not deployed.startswith(here):
        return warning(f"{text} is deployed, this checkout is {here}: what it declares may differ")
    return fine(f"{text} is deployed")


def _record(platform: Platform, name: str) -> dict[str, Any] | None:
    """A record of the deployments in the app's bucket; None when there is none."""
    from botocore.exceptions import ClientError

    sts, s3 = platform.client("sts"), platform.client("s3")
    account = sts.get_caller_identity()["Account"]
    bucket = f"{platform.environment.bus}-{account}-{sts.meta.region_name}"
    try:
        body = s3.get_object(Bucket=bucket, Key=f"deployments/{name}.json")["Body"].read()
    except ClientError as error:
        if error.response["Error"]["Code"] in ("NoSuchKey", "NoSuchBucket", "404"):
            return None
        raise
    found: dict[str, Any] = json.loads(body)
    return found


def _commit(platform: Platform) -> str | None:
    """This checkout's commit, shortened; None without git."""
    import subprocess

    command = ["git", "rev-parse", "--short=12", "HEAD"]
    try:
        done = subprocess.run(command, cwd=platform.root, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def targets(platform: Platform) -> Finding:
    """Every rule leads to its job's queue, with the tenant as the message's group and a dead-letter queue behind it."""
    events = platform.client("events")
    prefix = platform.environment.queue_prefix
    wrong: list[str] = []
    jobs = [job for job in platform.registry if job.on]
    for job in jobs:
        try:
            found = events.list_targets_by_rule(Rule=prefix + job.id, EventBusName=platform.bus_of(job.category))
        except events.exceptions.ResourceNotFoundException:
            wrong.append(f"the rule of {job.id} is missing")
            continue
        wrong += [f"the rule of {job.id} {text}" for text in _unbound(prefix, job, found["Targets"])]
    if wrong:
        return problem(f"{some(wrong)}: {DEPLOY}")
    return fine(f"{len(jobs)} rules lead to their queues")


def _unbound(prefix: str, job: AnyJob, targets: list[dict[str, Any]]) -> Iterable[str]:
    """What is wrong with the targets of a job's rule."""
    queue = prefix + job.queue_name
    target = next((t for t in targets if t["Arn"].rsplit(":", 1)[-1] == queue), None)
    if target is None:
        yield f"does not lead to {queue}"
        return
    if target.get("DeadLetterConfig", {}).get("Arn", "").rsplit(":", 1)[-1] != queue + DLQ_SUFFIX:
        yield "has no dead-letter queue"
    if not target.get("SqsParameters", {}).get("MessageGroupId"):
        yield "gives its messages no group, so a tenant's flood would hold up the others"


def ticking(platform: Platform) -> Finding:
    """Every schedule, the kernel's too, is on and leads where it should."""
    client = platform.client("scheduler")
    prefix = platform.environment.queue_prefix
    wanted = {prefix + job.id: prefix + job.queue_name for job in platform.registry.crons}
    wanted |= {f"{prefix}kernel-{name}": f"{prefix}kernel-{name}" for name in KERNEL}
    wrong: list[str] = []
    for name, leads_to in wanted.items():
        try:
            found = client.get_schedule(Name=name, GroupName=prefix + CRON_GROUP)
        except client.exceptions.ResourceNotFoundException:
            wrong.append(f"{name} is missing")
            continue
        if found.get("State", "ENABLED") != "ENABLED":
            wrong.append(f"{name} is off")
        elif found["Target"]["Arn"].rsplit(":", 1)[-1] != leads_to:
            wrong.append(f"{name} does not lead to {leads_to}")
    if wrong:
        return problem(f"schedules: {some(wrong)}: {DEPLOY}")
    return fine(f"{len(wanted)} schedules are on and lead to their queues and kernel functions")


def zones(platform: Platform) -> Finding:
    """Where a tenant's settings name different time zones, its days begin at different instants."""
    from shared.cli.tenants import tenants_of
    from shared.db.sessions import tenant_transaction
    from shared.jobs.context import Tenant
    from shared.time import ZONE_NAMES

    conn = platform.database()
    differing: list[str] = []
    ready = [tenant for tenant in tenants_of(conn) if tenant["provisioned"]]
    for each in ready:  # a transaction each: every tenant has a role of its own
        tenant = Tenant(each["slug"], each["id"], each["status"])
        with tenant_transaction(conn, tenant, read_only=True) as session:
            named = {source: zone for source, zone in (session.one(ZONE_NAMES) or {}).items() if zone}
        if len(set(named.values())) > 1:
            differing.append(f"{tenant.slug} ({', '.join(f'{source} {zone}' for source, zone in named.items())})")
    if differing:
        return warning(
            f"time zones differ within {some(differing)}; jobs use the first, so days differ from the others'"
        )
    return fine(f"{len(ready)} tenants, each with one time zone")


def _wanted(platform: Platform) -> list[str]:
    """Physical names of the functions of the registry and the kernel."""
    prefix = platform.environment.queue_prefix
    jobs = {f"{prefix}{job.category}-{'bulk' if job.bulk else 'fast'}" for job in platform.registry}
    return sorted(jobs | {f"{prefix}kernel-{name}" for name in KERNEL})


def _functions(platform: Platform) -> dict[str, Function]:
    """Those of the wanted functions that are deployed. Asked for one by one: a list does not tell their state."""
    client = platform.client("lambda")
    found: dict[str, Function] = {}
    for name in _wanted(platform):
        with contextlib.suppress(client.exceptions.ResourceNotFoundException):
            found[name] = client.get_function_configuration(FunctionName=name)
    return found


def _variables(function: Function) -> dict[str, str]:
    found: dict[str, str] = function.get("Environment", {}).get("Variables", {})
    return found


STAGE_AWS_CHECKS: list[tuple[str, Callable[[Platform], Finding]]] = [
    ("account", account),
    ("functions", functions),
    ("versions", versions),
    ("deployment", deployment),
    ("targets", targets),
    ("ticking", ticking),
]
STAGE_DATABASE_CHECKS: list[tuple[str, Callable[[Platform], Finding]]] = [("time zones", zones)]
