"""A stage from nothing on the local engine, then a version with one job more, one less and another cron: the plan says
so, and the engine has it afterwards. The smoke test takes the real way, through the deployed function into the ledger.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from functions.scheduled.health import check_critical
from scripts.local import ROOT, engine
from scripts.local.deploy import ACCOUNT, client, engine_context, node_folder, put_secret
from scripts.owner.deploying.apply import ByCli
from scripts.owner.deploying.assembly import synthesize, unpack
from scripts.owner.deploying.main import Tool, main
from shared.jobs.crons import Cron
from shared.jobs.queues import Queue
from shared.jobs.registry import AnyJob, Registry, build_registry
from tests.conftest import ENCRYPTION_KEY
from tests.infra.test_engine import eventually
from tests.scripts.owner.deploying.depot import Arrived, Loaded, a_job

pytestmark = [pytest.mark.engine, pytest.mark.xdist_group("engine")]

PREFIX = "depot"
GATES, YARD = Queue("gates"), Queue("yard")


def version(*jobs: AnyJob) -> Registry:
    return build_registry([check_critical, *jobs])


FIRST = version(
    a_job("depot-open-gate", on=Arrived, queue=GATES),
    a_job("depot-park-truck", on=Loaded, queue=YARD),
    a_job("depot-count-trucks", cron=Cron("0 3 * * *", zone="UTC"), queue=GATES),
)
SECOND = version(
    a_job("depot-open-gate", on=Arrived, queue=GATES),
    a_job("depot-weigh-truck", on=Arrived, queue=GATES),
    a_job("depot-count-trucks", cron=Cron("30 4 * * *", zone="Europe/Berlin"), queue=GATES),
)


@dataclass
class Stage:
    """The stage local on an engine of its own."""

    endpoint: str
    root: Path
    said: list[str] = field(default_factory=list)

    def deploy(self, registry: Registry, *options: str) -> int:
        self.said.clear()
        tool = Tool(
            root=self.root,
            say=self.said.append,
            load=lambda: registry,
            workflows=tuple,
            context={"cgk:prefix": PREFIX},
            folder=self.root / "assembly",
        )
        return main(["--stage", "local", "--yes", "--wait", "5", *options], tool)

    def told(self) -> str:
        return "\n".join(self.said)

    def client(self, service: str) -> Any:
        return client(service, self.endpoint)

    def rules(self) -> set[str]:
        found = self.client("events").list_rules(EventBusName=PREFIX)["Rules"]
        return {rule["Name"].removeprefix(f"{PREFIX}-") for rule in found if rule["State"] == "ENABLED"}

    def cron(self) -> tuple[str, str]:
        name = f"{PREFIX}-depot-count-trucks"
        found = self.client("scheduler").get_schedule(Name=name, GroupName=f"{PREFIX}-crons")
        return found["ScheduleExpression"], found["ScheduleExpressionTimezone"]

    def queues(self) -> set[str]:
        urls = self.client("sqs").list_queues(QueueNamePrefix=f"{PREFIX}-")["QueueUrls"]
        return {url.rsplit("/", 1)[-1].removeprefix(f"{PREFIX}-") for url in urls}


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    running = engine.start(tmp_path / "engine")
    for name, value in engine.client_environment(running.endpoint).items():
        monkeypatch.setenv(name, value)
    for name in ("DATABASE_URL", "DATABASE_ADMIN_URL", "CGK_SECRET_ID", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("CGK_BUS", "CGK_QUEUE_PREFIX"):
        monkeypatch.setenv(name, os.environ.get(name, "cgk"))  # set by the tool, put back afterwards
    yield Stage(running.endpoint, tmp_path)
    running.stop()


def test_from_nothing_and_then_with_one_job_more_one_less_and_another_cron(
    stage: Stage, admin_url: str, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # From nothing: first the secrets' stack, and what to do next.
    assert stage.deploy(FIRST) == 0, stage.told()
    assert any("scripts/keys push --stage local" in line for line in stage.said)
    stacks = stage.client("cloudformation").describe_stacks()["Stacks"]
    assert [each["StackName"] for each in stacks] == [f"{PREFIX}-shared"]

    jobs = {"DATABASE_URL": database_url, "INTEGRATION_ENCRYPTION_KEY": ENCRYPTION_KEY}
    put_secret(stage.endpoint, f"{PREFIX}/jobs", jobs)
    put_secret(stage.endpoint, f"{PREFIX}/admin", {**jobs, "DATABASE_ADMIN_URL": admin_url})
    monkeypatch.setenv("CGK_SECRET_ID", f"{PREFIX}/admin")

    # Then everything.
    assert stage.deploy(FIRST) == 0, stage.told()
    assert "Routes: 4 added, 0 removed, 0 changed" in stage.said
    assert stage.rules() == {"depot-open-gate", "depot-park-truck"}
    assert stage.cron() == ("cron(0 3 * * ? *)", "UTC")

    # A plan shows what would change, and changes nothing.
    assert stage.deploy(SECOND, "--plan") == 0, stage.told()
    assert stage.rules() == {"depot-open-gate", "depot-park-truck"}
    plan = stage.said[: stage.said.index("Nothing was changed.")]
    assert [line for line in plan if line.startswith(("Routes", "  ", "Queue"))] == [
        "Routes: 1 added, 1 removed, 1 changed",
        "  + depot-weigh-truck: depot.arrived -> gates (commerce, fast, 60 s)",
        "  - depot-park-truck: depot.loaded -> yard (commerce, fast, 60 s)",
        "  ~ depot-count-trucks",
        "      cron: 0 3 * * * UTC -> 30 4 * * * Europe/Berlin",
        "Queue yard has no job any more; it stays until it is empty, without a rule that leads to it",
    ]

    # A dead letter on the queue that goes keeps the queue, and not the deployment.
    letters = f"{stage.endpoint}/000000000000/{PREFIX}-yard-dlq"
    stage.client("sqs").send_message(QueueUrl=letters, MessageBody=json.dumps({"job": "depot-park-truck"}))
    assert stage.deploy(SECOND, "--wait", "0") == 0, stage.told()
    assert stage.rules() == {"depot-open-gate", "depot-weigh-truck"}
    assert stage.cron() == ("cron(30 4 * * ? *)", "Europe/Berlin")
    assert {"yard", "yard-dlq"} < stage.queues()
    assert any("Queue yard stays: 1 waiting on depot-yard-dlq" in line for line in stage.said)

    # The next deployment finds it empty and removes it.
    stage.client("sqs").purge_queue(QueueUrl=letters)
    assert stage.deploy(SECOND) == 0, stage.told()
    assert "Queue yard is empty and is removed" in stage.said
    assert not {"yard", "yard-dlq"} & stage.queues()

    # And back to the version before, whose routes were recorded.
    assert stage.deploy(SECOND, "--back") == 0, stage.told()
    assert stage.rules() == {"depot-open-gate", "depot-park-truck"}
    assert stage.cron() == ("cron(0 3 * * ? *)", "UTC")


def test_the_cdk_cli_deploys_an_assembly_and_again_one_that_was_kept_without_its_zips(
    stage: Stage, tmp_path: Path
) -> None:
    from infra.app import build

    if not (ROOT / "node_modules" / "aws-cdk").exists():
        pytest.skip("node_modules is missing: scripts/bootstrap.py installs the CDK CLI")
    context = {**engine_context(stage.endpoint), "cgk:prefix": PREFIX}
    made = {
        name: synthesize(lambda out, jobs=jobs: build(jobs, context=context, outdir=out), tmp_path / name)  # type: ignore[misc]
        for name, jobs in (("first", FIRST), ("second", SECOND))
    }
    bootstrap(stage.endpoint)
    apply = ByCli(dict(os.environ), run=quietly)

    apply(made["first"], made["first"].stacks)
    assert stage.rules() == {"depot-open-gate", "depot-park-truck"}

    kept = unpack(made["second"].pack(), tmp_path / "kept")
    carried = kept.with_queues_of(made["first"])
    assert carried == [("depot-commerce", "depot-yard"), ("depot-commerce", "depot-yard-dlq")]
    assert not list(kept.folder.glob("asset.*"))
    apply(kept, kept.stacks)
    assert stage.rules() == {"depot-open-gate", "depot-weigh-truck"}
    assert {"yard", "yard-dlq"} < stage.queues()


def quietly(command: list[str], **options: Any) -> subprocess.CompletedProcess[bytes]:
    """What the CLI says belongs to the test's output only when it fails."""
    done = subprocess.run(command, capture_output=True, **options)
    if done.returncode:
        print(done.stdout.decode(), done.stderr.decode())
    return done


def bootstrap(endpoint: str) -> None:
    """The CLI's own bucket and roles."""
    environment = {**os.environ, **engine.client_environment(endpoint), "CDK_DISABLE_CLI_TELEMETRY": "true"}
    environment["PATH"] = os.pathsep.join((str(node_folder()), environment.get("PATH", os.defpath)))
    cdk = [str(node_folder() / "node"), str(ROOT / "node_modules" / "aws-cdk" / "bin" / "cdk")]
    place = f"aws://{ACCOUNT}/{engine.REGION}"
    done = subprocess.run(
        [*cdk, "bootstrap", place, "--no-notices"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_role_by_which_github_deploys_is_made_by_its_template(stage: Stage) -> None:
    provider = f"arn:aws:iam::{ACCOUNT}:oidc-provider/token.actions.githubusercontent.com"
    parameters = {"Prefix": PREFIX, "Subject": "repo:acme/cgk-jobs:environment:staging", "Provider": provider}
    text = (ROOT / "scripts" / "owner" / "deploying" / "github_role.json").read_text(encoding="utf-8")
    template = json.loads(text)
    del template["Resources"]["GitHub"]  # the engine knows no OIDC provider; the account of this test has one
    stacks = stage.client("cloudformation")
    stacks.create_stack(
        StackName=f"{PREFIX}-github",
        TemplateBody=json.dumps(template),
        Capabilities=["CAPABILITY_NAMED_IAM"],
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
    )

    def made() -> dict[str, Any] | None:
        (found,) = stacks.describe_stacks(StackName=f"{PREFIX}-github")["Stacks"]
        return found if found["StackStatus"] == "CREATE_COMPLETE" else None

    (output,) = eventually(made)["Outputs"]
    assert output["OutputValue"] == f"arn:aws:iam::{ACCOUNT}:role/{PREFIX}-deploy"
    trust = stage.client("iam").get_role(RoleName=f"{PREFIX}-deploy")["Role"]["AssumeRolePolicyDocument"]
    (statement,) = trust["Statement"]
    assert statement["Principal"] == {"Federated": provider}
    assert statement["Condition"]["StringEquals"]["token.actions.githubusercontent.com:sub"] == parameters["Subject"]
