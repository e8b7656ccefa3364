"""The order of a deployment and what happens when a step fails. Records, rules and queues are AWS's, in memory; the
stacks go to a stand-in of the account that can be told to fail. The whole on an engine: test_engine_scenario.py.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import boto3
import psycopg
import pytest

from scripts.owner import OwnerError, WrongUse
from scripts.owner.deploying.assembly import Assembly
from scripts.owner.deploying.drain import Drain
from scripts.owner.deploying.records import Records
from scripts.owner.deploying.rollout import Options, Rollout
from shared.cli.stages import Stage
from shared.jobs.queues import Queue
from shared.jobs.registry import Registry, build_registry
from tests.scripts.owner.deploying.depot import Arrived, Loaded, a_job, an_event

BUCKET = "depot-123456789012-us-east-1"
GATE = a_job("depot-open-gate", on=Arrived, queue=Queue("gates"))
TRUCK = a_job("depot-park-truck", on=Loaded, queue=Queue("yard"))
SCALE = a_job("depot-weigh-truck", on=Arrived, queue=Queue("scales"))


def assembly_of(registry: Registry, folder: Path) -> Assembly:
    """The queues of a registry as CDK lays an assembly out: one stack per category, its template an asset."""
    folder.mkdir(parents=True, exist_ok=True)
    artifacts: dict[str, Any] = {}
    for category in registry.categories:
        stack = f"depot-{category}"
        names = [f"{binding.name}{end}" for binding in registry.queues(category) for end in ("", "-dlq")]
        queues = {n: {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": f"depot-{n}"}} for n in names}
        text = json.dumps({"Resources": queues})
        key = hashlib.sha256(text.encode()).hexdigest()
        source = {"path": f"{stack}.template.json", "packaging": "file"}
        destination = {"here": {"bucketName": "assets", "objectKey": f"{key}.json"}}
        files = {key: {"source": source, "destinations": destination}}
        (folder / source["path"]).write_text(text, encoding="utf-8")
        (folder / f"{stack}.assets.json").write_text(json.dumps({"files": files}), encoding="utf-8")
        url = {"stackTemplateAssetObjectUrl": f"s3://assets/{key}.json"}
        artifacts[stack] = {"type": "aws:cloudformation:stack", "properties": url}
    (folder / "manifest.json").write_text(json.dumps({"artifacts": artifacts}), encoding="utf-8")
    (folder / "cdk.out").write_text('{"version": "1"}', encoding="utf-8")
    return Assembly(folder)


@dataclass
class Account:
    """Stands for CloudFormation: what was applied, and whether the next time fails."""

    applied: list[list[str]] = field(default_factory=list)
    fails: bool = False

    def __call__(self, assembly: Assembly, stacks: Sequence[str]) -> None:
        queues = [r["Properties"]["QueueName"] for s in stacks for r in assembly.template(s)["Resources"].values()]
        self.applied.append([queue.removeprefix("depot-") for queue in queues if not queue.endswith("-dlq")])
        if self.fails:
            self.fails = False
            raise OwnerError("cdk deploy failed")

    @property
    def queues(self) -> list[str]:
        return self.applied[-1]


@dataclass
class Looking:
    """What the smoke tests say, one after the other; nothing wrong when there is no more to say."""

    unbound: list[str] = field(default_factory=list)
    answers: list[list[str]] = field(default_factory=list)
    raises: Exception | None = None

    def bound(self) -> list[str]:
        if self.raises:
            raise self.raises
        found, self.unbound = self.unbound, []
        return found

    def message(self) -> list[str]:
        return self.answers.pop(0) if self.answers else []


@dataclass
class Depot:
    """A stage, and versions of it to deploy."""

    drain: Drain
    records: Records
    folder: Path
    account: Account = field(default_factory=Account)
    looking: Looking = field(default_factory=Looking)
    said: list[str] = field(default_factory=list)
    migrated: int = 0
    n: int = 0

    def version(self, *jobs: Any, commit: str = "aaaa", **options: Any) -> Rollout:
        return Rollout(
            stage=self.drain.stage,
            registry=build_registry(jobs),
            records=self.records,
            drain=self.drain,
            smoke=self.looking,
            synthesize=self._synthesize,
            apply=self.account,
            migrate=self._migrate,
            commit=commit,
            scratch=self.folder / "stored",
            options=replace(Options(wait_s=0, quiet_s=0), **options),
            say=self.said.append,
            measures=False,
        )

    def deploy(self, *jobs: Any, commit: str = "aaaa", **options: Any) -> int:
        rollout = self.version(*jobs, commit=commit, **options)
        plan = rollout.plan()
        rollout.refuse(plan)
        return rollout.carry_out(plan)

    def _synthesize(self, registry: Registry) -> Assembly:
        self.n += 1
        return assembly_of(registry, self.folder / str(self.n))

    def _migrate(self, plan_only: bool) -> list[str]:
        self.migrated += not plan_only
        return ["Database: 1 changes in 1 schemas are due"]

    def send(self, queue: str) -> None:
        queues = boto3.client("sqs")
        url = queues.create_queue(QueueName=f"depot-{queue}")["QueueUrl"]
        queues.send_message(QueueUrl=url, MessageBody="{}")

    def empty(self, queue: str) -> None:
        queues = boto3.client("sqs")
        queues.purge_queue(QueueUrl=queues.get_queue_url(QueueName=f"depot-{queue}")["QueueUrl"])


@pytest.fixture
def depot(aws: None, admin: psycopg.Connection[Any], tmp_path: Path) -> Depot:
    boto3.client("s3").create_bucket(Bucket=BUCKET)
    events = boto3.client("events")
    events.create_event_bus(Name="depot")
    for job in (GATE, TRUCK):
        events.put_rule(Name=f"depot-{job.id}", EventBusName="depot", EventPattern='{"source": ["x"]}')
    drain = Drain(Stage("staging", prefix="depot"), boto3.client, lambda: admin, sleep=lambda seconds: None)
    return Depot(drain, Records(boto3.client("s3"), BUCKET), tmp_path)


def rule(job: str) -> str:
    return str(boto3.client("events").describe_rule(Name=f"depot-{job}", EventBusName="depot")["State"])


def test_a_first_deployment_is_recorded_and_a_second_one_knows_it(depot: Depot) -> None:
    assert depot.deploy(GATE, TRUCK) == 0

    current = depot.records.current()
    assert current is not None
    assert current.manifest.routes.keys() == {GATE.id, TRUCK.id}
    assert depot.records.ids() == [current.current.id]
    assert depot.records.begun() is None
    assert depot.migrated == 1

    plan = depot.version(GATE, TRUCK, commit="bbbb").plan()
    assert list(plan.lines())[:1] == [f"Version bbbb, over aaaa of {current.current.at:%Y-%m-%d %H:%M} UTC"]
    assert plan.diff.empty
    assert plan.stacks == (("depot-commerce", "unchanged"),)
    assert depot.migrated == 1


def test_routes_that_nobody_recorded_are_said_to_be_unknown(depot: Depot) -> None:
    warning = "Routes are deployed here that were never recorded"
    assert any(line.startswith(warning) for line in depot.version(GATE).plan().lines())
    assert depot.deploy(GATE) == 0
    assert not any(line.startswith(warning) for line in depot.version(GATE).plan().lines())


def test_a_failed_first_deployment_says_that_there_is_nothing_to_go_back_to(depot: Depot) -> None:
    depot.looking.answers = [["no run"]]
    with pytest.raises(OwnerError, match="this was the first deployment"):
        depot.deploy(GATE)
    assert depot.records.current() is None


@pytest.mark.parametrize("how", ["stack", "unbound", "message"])
def test_a_version_that_does_not_work_is_replaced_by_the_one_before(depot: Depot, how: str) -> None:
    assert depot.deploy(GATE, TRUCK, commit="good") == 0
    depot.account.fails = how == "stack"
    depot.looking.unbound = ["rules: one is missing"] if how == "unbound" else []
    depot.looking.answers = [["no run"]] if how == "message" else []

    assert depot.deploy(GATE, TRUCK, SCALE, commit="bad") == 1

    # The queue that only the bad version had stays: it may hold messages already.
    assert depot.account.applied[-2:] == [["gates", "scales", "yard"], ["gates", "yard", "scales"]]
    current = depot.records.current()
    assert current is not None
    assert current.current.commit == "good"
    assert current.manifest.routes.keys() == {GATE.id, TRUCK.id}
    assert [queue.name for queue in current.manifest.retiring] == ["scales"]
    assert depot.records.begun() is None
    assert depot.said[-1].endswith("is back and works. The migrations stay; they only add.")


def test_an_unexpected_error_of_the_smoke_test_brings_the_version_before_back(depot: Depot) -> None:
    assert depot.deploy(GATE, commit="good") == 0
    depot.looking.raises = ConnectionError("no route to host")
    assert depot.deploy(GATE, TRUCK, commit="bad") == 1
    assert any("It does not work: ConnectionError: no route to host" in line for line in depot.said)
    assert depot.account.queues == ["gates", "yard"]


def test_it_is_said_when_the_version_before_does_not_work_either(depot: Depot) -> None:
    assert depot.deploy(GATE) == 0
    depot.looking.answers = [["no run"], ["still no run"]]
    with pytest.raises(OwnerError, match="is back, but does not work either: still no run"):
        depot.deploy(GATE, TRUCK)


def test_a_job_goes_only_when_its_messages_are_done(depot: Depot) -> None:
    assert depot.deploy(GATE, TRUCK) == 0
    depot.send("yard")

    with pytest.raises(OwnerError, match=r"1 waiting on depot-yard, .*depot-park-truck.*Nothing was deployed"):
        depot.deploy(GATE)
    assert rule(TRUCK.id) == "ENABLED"
    assert len(depot.account.applied) == 1

    assert depot.deploy(GATE, force=True) == 0
    assert any("Left behind: 1 waiting on depot-yard" in line for line in depot.said)


def test_a_rule_stays_off_no_longer_than_an_interrupted_wait(depot: Depot) -> None:
    assert depot.deploy(GATE, TRUCK) == 0
    depot.send("yard")

    def interrupt(seconds: float) -> None:
        assert rule(TRUCK.id) == "DISABLED"
        raise KeyboardInterrupt

    depot.drain = replace(depot.drain, sleep=interrupt)
    with pytest.raises(KeyboardInterrupt):
        depot.deploy(GATE, wait_s=60, quiet_s=5)
    assert rule(TRUCK.id) == "ENABLED"


def test_a_queue_without_jobs_goes_one_deployment_later_and_only_empty(depot: Depot) -> None:
    assert depot.deploy(GATE, TRUCK) == 0
    depot.send("yard-dlq")

    assert depot.deploy(GATE) == 0
    assert depot.account.queues == ["gates", "yard"]
    assert any(line.startswith("Queue yard stays: 1 waiting on depot-yard-dlq") for line in depot.said)
    assert depot.deploy(GATE, SCALE) == 0
    assert depot.account.queues == ["gates", "scales", "yard"]

    depot.empty("yard-dlq")
    assert "Queue yard is empty and is removed" in list(depot.version(GATE, SCALE).plan().lines())
    assert depot.deploy(GATE, SCALE) == 0
    assert depot.account.queues == ["gates", "scales"]


def test_an_empty_queue_without_jobs_goes_at_the_end_of_the_same_deployment(depot: Depot) -> None:
    assert depot.deploy(GATE, TRUCK) == 0
    assert depot.deploy(GATE) == 0
    assert depot.account.applied[-2:] == [["gates", "yard"], ["gates"]]
    assert depot.said[-1] == "Removed the empty queues yard"


def test_a_queue_that_a_job_leaves_for_another_is_drained_by_the_new_version(depot: Depot) -> None:
    assert depot.deploy(GATE, TRUCK) == 0
    depot.send("yard")
    moved = a_job("depot-park-truck", on=Loaded, queue=Queue("garage"))

    assert depot.deploy(GATE, moved) == 0

    assert depot.account.queues == ["garage", "gates", "yard"]
    assert rule(TRUCK.id) == "ENABLED"


def test_a_contract_that_breaks_messages_in_flight_needs_force(depot: Depot) -> None:
    assert depot.deploy(GATE) == 0
    needs_more = an_event("depot.arrived", truck_id=(str, ...), plate=(str, ...))
    changed = a_job("depot-open-gate", on=needs_more, queue=Queue("gates"))

    with pytest.raises(WrongUse, match="new contract of depot-open-gate"):
        depot.deploy(changed)
    assert len(depot.account.applied) == 1
    assert depot.deploy(changed, force=True) == 0


def test_what_a_killed_deployment_added_counts_as_deployed(depot: Depot) -> None:
    assert depot.deploy(GATE) == 0
    begun = depot.version(GATE, TRUCK).plan().diff.after
    depot.records.begin(begun)

    plan = depot.version(GATE, commit="next").plan()

    assert plan.diff.removed == (TRUCK.id,)
    assert [queue.name for queue in plan.diff.after.retiring] == ["yard"]
    assert depot.said[-1] == "The last deployment did not come to its end; its routes count as deployed."


def test_a_rule_that_a_killed_deployment_left_off_is_switched_on(depot: Depot) -> None:
    assert depot.deploy(GATE, TRUCK) == 0
    depot.drain.switch_off(depot.version(GATE, TRUCK).plan().diff.after, [TRUCK.id])
    assert depot.deploy(GATE, TRUCK) == 0
    assert rule(TRUCK.id) == "ENABLED"
    assert "Switched on again: depot-park-truck" in depot.said


def back(depot: Depot, id: str | None = None) -> Callable[[], int]:
    rollout = depot.version(GATE)
    plan = rollout.plan_back(id)
    return lambda: rollout.carry_out(plan)


def test_going_back_brings_the_routes_of_the_version_before_and_keeps_newer_queues(depot: Depot) -> None:
    assert depot.deploy(GATE, TRUCK, commit="one") == 0
    assert depot.deploy(GATE, TRUCK, SCALE, commit="two") == 0

    assert back(depot)() == 0

    assert depot.account.queues == ["gates", "yard", "scales"]
    current = depot.records.current()
    assert current is not None
    assert (current.current.commit, list(current.manifest.routes)) == ("one", [GATE.id, TRUCK.id])
    assert [queue.name for queue in current.manifest.retiring] == ["scales"]
    assert depot.migrated == 2


def test_going_back_names_what_there_is_not(depot: Depot) -> None:
    with pytest.raises(OwnerError, match="there is no deployment before this one"):
        back(depot)
    assert depot.deploy(GATE) == 0
    with pytest.raises(OwnerError, match="there is no deployment before this one"):
        back(depot)
    with pytest.raises(WrongUse, match="there is no deployment 'x'"):
        back(depot, "x")


def test_a_damaged_record_is_a_sentence(depot: Depot) -> None:
    boto3.client("s3").put_object(Bucket=BUCKET, Key="deployments/current.json", Body=b'{"id": 1}')
    with pytest.raises(OwnerError, match=r"current\.json cannot be read"):
        depot.records.current()
