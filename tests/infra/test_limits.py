"""The stacks at all 240 routes against the limits of AWS: resources, bytes, rules, policies, connections."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from infra.constructs.bus import MAX_PATTERN_CHARS
from infra.constructs.roles import MAX_INLINE_CHARS
from infra.deployment import DeploymentError
from shared.jobs.registry import Registry
from tests.conftest import shared_material
from tests.infra import all_routes
from tests.infra.stand_in import registry as stand_in
from tests.infra.synthesis import Resource, Synthesized, synthesize

ROOT = Path(__file__).resolve().parents[2]
MAX_RESOURCES = 500
MAX_TEMPLATE_BYTES = 1_000_000
MAX_QUEUE_POLICY_BYTES = 8_192
MAX_RULES, MAX_RULES_SMALL_REGION = 300, 100
MAX_DASHBOARD_METRICS = 2_500
LONGEST_ACCOUNT_REGION = {"AWS::AccountId": "123456789012", "AWS::Region": "ap-southeast-2", "AWS::Partition": "aws"}


@dataclass(frozen=True)
class Whole:
    """The app at all routes; `bytes`: of each template; `seconds`: building and synthesis."""

    app: Synthesized
    bytes: dict[str, int]
    seconds: float


@pytest.fixture(scope="module")
def routes() -> Registry:
    return all_routes.registry(all_routes.read(shared_material(all_routes.ROUTES)))


@pytest.fixture(scope="module")
def whole(routes: Registry, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    outdir = tmp_path_factory.mktemp("whole")
    began = time.monotonic()
    app = synthesize(routes, outdir)
    seconds = time.monotonic() - began
    sizes = {path.name.removesuffix(".template.json"): path.stat().st_size for path in outdir.glob("*.template.json")}
    return Whole(app, sizes, seconds)


def test_all_routes_fit_the_stacks(routes: Registry, whole: Whole, capsys: pytest.CaptureFixture[str]) -> None:
    counted = {stack: len(resources) for stack, resources in whole.app.stacks.items()}
    with capsys.disabled():
        print(f"\n240 routes on {len(routes.queues())} queues: {whole.seconds:.1f} s to build and synthesize")
        for stack, count in counted.items():
            print(f"  {stack:16} {count:4} resources {whole.bytes[stack]:8,} bytes")

    assert len(routes) == 240
    assert counted.keys() == {f"cgk-{name}" for name in ("shared", "kernel", *routes.categories)}
    assert max(counted.values()) <= MAX_RESOURCES
    assert max(whole.bytes.values()) < MAX_TEMPLATE_BYTES


def test_every_route_is_there_once(routes: Registry, whole: Whole) -> None:
    rules = {r["Properties"]["Name"] for r in whole.app.of_type("AWS::Events::Rule").values()}
    schedules = {s["Properties"]["Name"] for s in whole.app.of_type("AWS::Scheduler::Schedule").values()}

    assert rules == {f"cgk-{job.id}" for job in routes if job.on}
    assert schedules - {name for name in schedules if name.startswith("cgk-kernel-")} == {
        f"cgk-{job.id}" for job in routes.crons
    }


def test_one_bus_holds_all_rules_and_its_archives(whole: Whole) -> None:
    buses = Counter(rule["Properties"]["EventBusName"] for rule in whole.app.of_type("AWS::Events::Rule").values())
    archives = len(whole.app.of_type("AWS::Events::Archive"))

    assert buses.keys() == {"cgk"}
    assert buses["cgk"] + archives <= MAX_RULES


def test_in_a_region_of_100_rules_the_bus_is_split_by_category(routes: Registry, tmp_path: Path) -> None:
    small = {"cgk:rules-per-bus": MAX_RULES_SMALL_REGION}
    with pytest.raises(
        DeploymentError, match="bus cgk would hold 159 rules but cgk:rules-per-bus is 100: set cgk:buses"
    ):
        synthesize(routes, tmp_path / "one", small)

    split = synthesize(routes, tmp_path / "split", {**small, "cgk:buses": "per-category"})
    rules = [rule["Properties"] for rule in split.of_type("AWS::Events::Rule").values()]
    buses = Counter(rule["EventBusName"] for rule in rules)

    assert buses.keys() == {"cgk", *(f"cgk-{category}" for category in routes.categories)}
    assert max(buses.values()) + 1 <= MAX_RULES_SMALL_REGION
    assert max(len(json.dumps(rule["EventPattern"], separators=(",", ":"))) for rule in rules) <= MAX_PATTERN_CHARS
    assert max(len(resources) for resources in split.stacks.values()) <= MAX_RESOURCES
    alarms = {alarm["Properties"]["AlarmName"] for alarm in split.of_type("AWS::CloudWatch::Alarm").values()}
    assert "cgk-hand-on-dead-letters" in alarms
    for category in routes.categories:
        heard = {name for r in rules if r["Name"].startswith(f"cgk-to-{category}-") for name in _heard(r)}
        assert heard == {name for r in rules if r["EventBusName"] == f"cgk-{category}" for name in _heard(r)}
        (policy,) = split.of_type("AWS::SQS::QueuePolicy", f"cgk-{category}").values()
        assert f":rule/cgk-{category}/cgk-*" in json.dumps(policy)


def test_policies_are_within_their_sizes(whole: Whole) -> None:
    for policy in whole.app.of_type("AWS::SQS::QueuePolicy").values():
        assert len(_written(policy["Properties"]["PolicyDocument"])) <= MAX_QUEUE_POLICY_BYTES
    sizes = {
        name: sum(len(_written(policy["PolicyDocument"])) for policy in role["Properties"]["Policies"])
        for name, role in whole.app.of_type("AWS::IAM::Role").items()
    }
    assert max(sizes.values()) <= MAX_INLINE_CHARS, sizes


def test_dashboards_show_no_more_than_cloudwatch_does(whole: Whole) -> None:
    for name, board in whole.app.of_type("AWS::CloudWatch::Dashboard").items():
        body = json.loads(_filled(board["Properties"]["DashboardBody"]))
        shown = [m for w in body["widgets"] if w["type"] == "metric" for m in w["properties"]["metrics"]]
        assert 0 < len(shown) <= MAX_DASHBOARD_METRICS, name


def test_the_documented_figures_of_metrics_and_alarms_are_those_of_all_routes(routes: Registry, whole: Whole) -> None:
    metrics = 3 * len(routes.queues()) + 5 * len(routes.categories) + 2
    alarms = len(whole.app.of_type("AWS::CloudWatch::Alarm"))
    dashboards = len(whole.app.of_type("AWS::CloudWatch::Dashboard"))
    a_month = [0.30 * metrics, 0.10 * alarms, 3.00 * (dashboards - 3)]

    page = " ".join((ROOT / "docs" / "operations.md").read_text(encoding="utf-8").split())
    assert (
        f"on {len(routes.queues())} queues that is {metrics} metrics, {alarms} alarms and {dashboards} dashboards"
        in page
    )
    assert f"{' + '.join(f'${figure:.2f}' for figure in a_month)} = ${sum(a_month):.2f}" in page


def test_the_workers_of_all_queues_fit_the_database(routes: Registry, tmp_path: Path, whole: Whole) -> None:
    mappings = whole.app.of_type("AWS::Lambda::EventSourceMapping").values()
    workers = sum(m["Properties"]["ScalingConfig"]["MaximumConcurrency"] for m in mappings)

    assert workers == 24 * 5 + 24 * 2
    with pytest.raises(DeploymentError, match=r"could hold 220 database connections but cgk:connection-budget is 200"):
        synthesize(routes, tmp_path, {"cgk:connection-budget": 200})


def test_each_stage_of_the_project_has_room_for_all_routes(routes: Registry, tmp_path: Path) -> None:
    from infra.app import project_context
    from infra.deployment import STAGES_KEY, Deployment

    context = project_context()
    assert set(context[STAGES_KEY]) == {"dev", "staging", "production"}
    prefixes = set()
    for stage in context[STAGES_KEY]:
        deployment = Deployment.from_context({**context, "stage": stage})
        deployment.check_connections(routes.queues())
        deployment.check_rules(routes)
        prefixes.add(deployment.prefix)
    assert len(prefixes) == 3  # so that all three may live in one account


def test_fewer_rules_than_the_quota_ask_for_one_bus_only(tmp_path: Path) -> None:
    assert not synthesize(stand_in(), tmp_path).of_type("AWS::SQS::Queue", "cgk-shared")


def _heard(rule: Resource) -> Iterator[str]:
    yield from rule["EventPattern"]["detail-type"]


def _written(document: Any) -> str:
    """A document as AWS gets it, references filled with the longest that they can become."""
    return json.dumps(_filled(document), separators=(",", ":"))


def _filled(value: Any) -> Any:
    if isinstance(value, list):
        return [_filled(part) for part in value]
    if not isinstance(value, dict):
        return value
    if "Ref" in value:
        return LONGEST_ACCOUNT_REGION.get(value["Ref"], "x" * 80)
    if "Fn::GetAtt" in value:
        return "x" * 120
    if "Fn::Join" in value:
        separator, parts = value["Fn::Join"]
        return separator.join(str(_filled(part)) for part in parts)
    return {name: _filled(part) for name, part in value.items()}
