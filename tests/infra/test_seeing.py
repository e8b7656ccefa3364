"""Dashboards, alarms and saved queries: what they look at is there, and what they say leads somewhere."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from functions.scheduled import health
from infra.constructs.queries import QUERIES
from shared.events.base import Event, Payload
from shared.jobs import Cron, JobContext, Permanent, Tick, Transient, job
from shared.jobs.queues import Queue
from shared.jobs.registry import Registry, build_registry
from shared.jobs.signals import EmfMetrics
from shared.jobs.ticks import tick_body
from tests.infra.synthesis import Synthesized, synthesize
from tests.infra.test_roles import REVIEW, with_review

ROOT = Path(__file__).resolve().parents[2]
RUNBOOK = ROOT / "docs" / "operations.md"
SERVICE = "scheduled-fast"
MAX_EXPRESSION_CHARS = 2_048
"""CloudWatch: characters of a metric math expression."""

AWS_METRICS: dict[str, tuple[tuple[str, ...], frozenset[str]]] = {
    "AWS/SQS": (
        ("QueueName",),
        frozenset(
            {
                "ApproximateAgeOfOldestMessage",
                "ApproximateAgeOfOldestMessageInQuietGroups",
                "ApproximateNumberOfMessagesVisible",
                "ApproximateNumberOfNoisyGroups",
                "NumberOfEmptyReceives",
                "NumberOfMessagesDeleted",
                "NumberOfMessagesReceived",
                "NumberOfMessagesSent",
            }
        ),
    ),
    "AWS/Lambda": (
        ("FunctionName",),
        frozenset({"ConcurrentExecutions", "Duration", "Errors", "Invocations", "Throttles"}),
    ),
    "AWS/Scheduler": (
        ("ScheduleGroup",),
        frozenset(
            {
                "InvocationAttemptCount",
                "InvocationDroppedCount",
                "InvocationsFailedToBeSentToDeadLetterCount",
                "TargetErrorCount",
            }
        ),
    ),
    "AWS/Events": (
        ("EventBusName", "RuleName"),
        frozenset({"FailedInvocations", "InvocationsFailedToBeSentToDlq"}),
    ),
    "AWS/States": (
        ("StateMachineArn",),
        frozenset(
            {
                "ExecutionThrottled",
                "ExecutionTime",
                "ExecutionsAborted",
                "ExecutionsFailed",
                "ExecutionsStarted",
                "ExecutionsSucceeded",
                "ExecutionsTimedOut",
            }
        ),
    ),
}
"""Namespace -> (dimensions, names), from AWS's documentation of each service; only what is used here."""


@dataclass(frozen=True)
class Series:
    """One metric as a widget or an alarm asks for it. `place`: which one."""

    namespace: str
    name: str
    dimensions: tuple[tuple[str, str], ...]
    place: str

    @property
    def key(self) -> tuple[str, str, tuple[tuple[str, str], ...]]:
        return self.namespace, self.name, self.dimensions


# What is asked for, and whether it is there.


@pytest.fixture(scope="module")
def stand_in_app(tmp_path_factory: pytest.TempPathFactory) -> Synthesized:
    return synthesize(with_review(), tmp_path_factory.mktemp("seen"), workflows=[REVIEW])


def test_metrics_of_aws_have_names_that_aws_documents(app: Synthesized, stand_in_app: Synthesized) -> None:
    for series in [*asked_for(app), *asked_for(stand_in_app)]:
        if series.namespace.startswith("AWS/"):
            dimensions, names = AWS_METRICS[series.namespace]
            assert series.name in names, series
            assert tuple(sorted(name for name, _ in series.dimensions)) == dimensions, series


def test_what_is_watched_is_deployed(app: Synthesized, stand_in_app: Synthesized) -> None:
    for one in (app, stand_in_app):
        there = {
            "QueueName": names(one, "AWS::SQS::Queue", "QueueName"),
            "FunctionName": names(one, "AWS::Lambda::Function", "FunctionName"),
            "ScheduleGroup": names(one, "AWS::Scheduler::ScheduleGroup", "Name"),
            "EventBusName": names(one, "AWS::Events::EventBus", "Name"),
            "RuleName": names(one, "AWS::Events::Rule", "Name"),
            "StateMachineArn": {
                f"arn:aws:states:R:A:stateMachine:{name}"
                for name in names(one, "AWS::StepFunctions::StateMachine", "StateMachineName")
            },
        }
        for series in asked_for(one):
            for dimension, value in series.dimensions:
                assert value in there.get(dimension, {value}), series


def test_every_queue_function_schedule_group_and_workflow_has_its_alarms(stand_in_app: Synthesized) -> None:
    asked = {series.key for series in asked_for(stand_in_app) if series.place.startswith("alarm ")}
    for queue in names(stand_in_app, "AWS::SQS::Queue", "QueueName"):
        metric = "ApproximateNumberOfMessagesVisible" if queue.endswith("-dlq") else "ApproximateAgeOfOldestMessage"
        assert ("AWS/SQS", metric, (("QueueName", queue),)) in asked
    for function in names(stand_in_app, "AWS::Lambda::Function", "FunctionName"):
        kinds = {name for ns, name, dims in asked if ns == "AWS/Lambda" and dims == (("FunctionName", function),)}
        assert kinds == ({"Errors"} if "-kernel-" in function else {"Errors", "Throttles", "Duration"}), function
    for group in names(stand_in_app, "AWS::Scheduler::ScheduleGroup", "Name"):
        assert ("AWS/Scheduler", "InvocationDroppedCount", (("ScheduleGroup", group),)) in asked
    machine = (("StateMachineArn", "arn:aws:states:R:A:stateMachine:cgk-ParcelReview"),)
    assert {("AWS/States", name, machine) for name in ("ExecutionsFailed", "ExecutionsTimedOut")} <= asked


def test_alarms_tell_the_topic_and_lead_to_a_section_of_the_runbook(app: Synthesized) -> None:
    anchors = {re.sub(r"[^a-z0-9 -]", "", h.lower()).replace(" ", "-") for h in headings()}
    for name, alarm in app.of_type("AWS::CloudWatch::Alarm").items():
        properties = alarm["Properties"]
        found = re.search(r"What to do: docs/operations\.md#([a-z0-9-]+)$", properties["AlarmDescription"])
        assert found, name
        assert found[1] in anchors, name
        assert ":cgk-alarms" in json.dumps(properties["AlarmActions"])
        assert properties["OKActions"] == properties["AlarmActions"]


def test_thresholds_follow_the_queue_the_function_and_the_context(tmp_path: Path) -> None:
    context = {"cgk:fast-age-alarm-s": 120, "cgk:runbooks": "https://example.com/runbook"}
    app = synthesize(with_review(), tmp_path, context, workflows=[REVIEW])
    alarms = {a["Properties"]["AlarmName"]: a["Properties"] for a in app.of_type("AWS::CloudWatch::Alarm").values()}

    assert alarms["cgk-parcels-age"]["Threshold"] == 120
    assert alarms["cgk-parcels-bulk-age"]["Threshold"] == 3600
    assert alarms["cgk-commerce-fast-duration"]["Threshold"] == 85_500
    assert alarms["cgk-commerce-bulk-duration"]["Threshold"] == 855_000
    assert alarms["cgk-commerce-bulk-duration"]["ExtendedStatistic"] == "p99"
    assert alarms["cgk-parcels-dead-letters"]["AlarmDescription"].endswith("https://example.com/runbook#dead-letters")


def test_there_is_an_overview_and_a_dashboard_per_category_and_workflow(stand_in_app: Synthesized) -> None:
    assert names(stand_in_app, "AWS::CloudWatch::Dashboard", "DashboardName") == {
        "cgk-overview",
        "cgk-commerce",
        "cgk-scheduled",
        "cgk-ParcelReview",
    }
    overview = json.loads(board(stand_in_app, "cgk-overview"))
    titles = {widget["properties"].get("title") for widget in overview["widgets"]}
    assert {
        "Runs that succeeded",
        "Runs that failed",
        "Age of the oldest message",
        "Dead letters",
        "Cost per day, estimated",
        "Schedules",
        "Workflows that ended badly",
    } <= titles


def test_widgets_do_not_overlap_and_stay_on_the_grid(stand_in_app: Synthesized) -> None:
    for name in names(stand_in_app, "AWS::CloudWatch::Dashboard", "DashboardName"):
        taken: set[tuple[int, int]] = set()
        for w in json.loads(board(stand_in_app, name))["widgets"]:
            cells = {(x, y) for x in range(w["x"], w["x"] + w["width"]) for y in range(w["y"], w["y"] + w["height"])}
            assert not cells & taken
            assert max(x for x, _ in cells) < 24
            taken |= cells


def test_the_cost_of_a_day_counts_every_function_and_queue(stand_in_app: Synthesized) -> None:
    widgets = json.loads(board(stand_in_app, "cgk-overview"))["widgets"]
    (cost,) = [w for w in widgets if w["properties"].get("title") == "Cost per day, estimated"]
    (total, *inputs) = cost["properties"]["metrics"]
    expression = total[0]["expression"]

    groups = dict(re.findall(r'FILL\(SUM\(METRICS\("(\w+)"\)\),0\)\*([0-9.]+)', expression))
    assert len(expression) <= MAX_EXPRESSION_CHARS
    assert all(each[-1]["visible"] is False for each in inputs)
    assert cost["properties"]["period"] == 86_400
    summed = {each[-1]["id"]: [group for group in groups if group in each[-1]["id"]] for each in inputs}
    assert all(len(found) == 1 for found in summed.values())  # METRICS() looks for its text anywhere in an id
    counted = {group: len([id for id, found in summed.items() if found == [group]]) for group in groups}
    assert counted == {"fast": 2, "bulk": 1, "calls": 3, "sqs": 4 * 4}
    # An hour of a fast worker, half a GB on arm64, at $0.0000133334 per GB and second; a million requests.
    assert float(groups["fast"]) * 3_600_000 == pytest.approx(0.024, abs=1e-6)
    assert float(groups["bulk"]) == pytest.approx(2 * float(groups["fast"]))
    assert (float(groups["calls"]) * 1e6, float(groups["sqs"]) * 1e6) == pytest.approx(
        (0.20, 0.50)
    )  # SQS with fair queues


def test_saved_queries_ask_the_job_functions_for_fields_that_are_logged(stand_in_app: Synthesized) -> None:
    queries = [q["Properties"] for q in stand_in_app.of_type("AWS::Logs::QueryDefinition").values()]
    assert {query["Name"] for query in queries} == {f"cgk/{name}" for name in QUERIES}
    groups = names(stand_in_app, "AWS::Logs::LogGroup", "LogGroupName")
    logged = set(re.findall(r'"(\w+)":', (ROOT / "shared" / "jobs" / "logs.py").read_text(encoding="utf-8")))
    logged |= {"message", "trace", "code", "detail"}
    for query in queries:
        assert set(query["LogGroupNames"]) == {group for group in groups if "-kernel-" not in group}
        for field in re.findall(
            r"(?:by|fields|filter|and|sum\(|pct\(|max\(|count_distinct\() ?([a-z_]+)", query["QueryString"]
        ):
            assert field in logged | {"not"}, (query["Name"], field)


# Jobs run, what they measure is collected and compared.


class Measured(Event, name="measured.asked", from_apps=True):
    end: str


class Nothing(Payload):
    pass


COMMERCE, SCHEDULED = Queue("measured-orders"), Queue("measured-reports")


def _ends(id: str, queue: Queue, category: str, timeout_s: int = 60) -> Any:
    @job(id, on=Measured, queue=queue, timeout_s=timeout_s)
    def end(ctx: JobContext, payload: Measured) -> Nothing:
        """Ends as it is told."""
        if payload.end == "dead":
            raise Permanent("TOLD_TO")
        if payload.end == "retried":
            raise Transient("TOLD_TO")
        return Nothing()

    return replace(end, module=f"functions.{category}.measured")


class NoQueues:
    """No figures of queues: CloudWatch is not asked."""

    def ages_and_backlogs(self, *asked: Any) -> dict[str, Any]:
        return {}

    def depths(self, *asked: Any) -> dict[str, int]:
        return {}


@pytest.fixture
def measured() -> Registry:
    jobs = [
        _ends("measured-order", COMMERCE, "commerce"),
        _ends("measured-import", COMMERCE, "commerce", timeout_s=300),
        _ends("measured-report", SCHEDULED, "scheduled"),
    ]
    watched = build_registry(jobs)
    instruments = health.Instruments(registry=lambda: watched, queues=lambda ctx: NoQueues())
    check = replace(health.check_critical, handler=lambda ctx, payload: health.check(ctx, payload, instruments))
    return build_registry([*jobs, check])


@pytest.fixture
def emitted(
    measured: Registry, make_bench: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> set[tuple[str, str, tuple[tuple[str, str], ...]]]:
    """(namespace, name, dimensions) of all that jobs of every queue wrote, whatever their end."""
    monkeypatch.setenv("POWERTOOLS_METRICS_NAMESPACE", "cgk")
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", SERVICE)
    bench = make_bench(measured)
    bench.metrics = EmfMetrics()
    bench._wire()
    for end in ("well", "dead", "retried"):
        for job_id in ("measured-order", "measured-import", "measured-report"):
            bench.send(job_id, {"tenantId": "acme", "end": end})
    bench.send_raw(measured.jobs["ops-health-check-critical"].queue_name, _tick(bench))
    bench.drain(horizon_s=600)
    bench.metrics.count("AlertDeliveryFailed", 1, channel="slack")  # as shared/alerts/delivery.py does
    return set(embedded(capsys.readouterr().out))


def test_widgets_and_alarms_ask_for_what_jobs_write(measured: Registry, emitted: set[Any], tmp_path: Path) -> None:
    app = synthesize(measured, tmp_path)
    asked = {series.key: series.place for series in asked_for(app) if series.namespace == "cgk"}

    assert not {key: place for key, place in asked.items() if key not in emitted}
    searched = {search.partition("}")[0]: search for search in searches(app)}
    assert searched.keys() == {"SEARCH('{cgk,job", "SEARCH('{cgk,channel,service"}
    by_job = {("cgk", "RunsDead", (("job", f"measured-{name}"),)) for name in ("order", "import", "report")}
    assert 'MetricName="RunsDead"' in searched["SEARCH('{cgk,job"]
    by_channel = {key for key in emitted if key[1] == "AlertDeliveryFailed"}
    assert [tuple(name for name, _ in dimensions) for _, _, dimensions in by_channel] == [("channel", "service")]
    assert 'MetricName="AlertDeliveryFailed"' in searched["SEARCH('{cgk,channel,service"]
    assert emitted - asked.keys() == by_job | by_channel


def test_a_job_is_named_in_a_metric_for_its_dead_runs_only(emitted: set[Any]) -> None:
    assert {name for _, name, dimensions in emitted if dimensions[0][0] == "job"} == {"RunsDead"}
    assert {tuple(name for name, _ in dimensions) for _, _, dimensions in emitted} == {
        ("queue",),
        ("category",),
        ("job",),
        ("service",),
        ("channel", "service"),
    }


def test_a_cron_without_its_tick_is_counted(
    make_bench: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both hourly crons have run once; three hours later only one of them has gone on."""
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", SERVICE)
    registry = with_crons()
    bench = make_bench(registry)
    bench.metrics = EmfMetrics()
    bench._wire()
    bench.tick("measured-hourly")
    bench.tick("measured-hourly-too")
    bench.clock.advance(s=3 * 3600)
    bench.tick("measured-hourly")
    bench.send_raw("ops", _tick(bench))
    bench.drain(horizon_s=60)

    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if '"MissingCrons"' in line]
    assert [line["MissingCrons"] for line in lines] == [[1.0]]


def with_crons() -> Registry:
    """Two hourly crons, and the check that looks for their ticks."""

    def declared(id: str) -> Any:
        @job(id, cron=Cron("0 * * * *", zone="UTC"), queue=SCHEDULED)
        def run(ctx: JobContext, payload: Tick) -> Nothing:
            """Do nothing."""
            return Nothing()

        return replace(run, module="functions.scheduled.measured")

    crons = [declared("measured-hourly"), declared("measured-hourly-too")]
    instruments = health.Instruments(registry=lambda: build_registry(crons), queues=lambda ctx: NoQueues())
    check = replace(health.check_critical, handler=lambda ctx, payload: health.check(ctx, payload, instruments))
    return build_registry([*crons, check])


def test_the_health_check_has_two_alarms_of_its_own(measured: Registry, tmp_path: Path) -> None:
    app = synthesize(measured, tmp_path)
    alarms = {a["Properties"]["AlarmName"]: a["Properties"] for a in app.of_type("AWS::CloudWatch::Alarm").values()}
    beat, missing = alarms["cgk-heartbeat"], alarms["cgk-missing-crons"]

    assert (beat["MetricName"], beat["TreatMissingData"]) == ("HealthHeartbeat", "breaching")
    assert beat["Period"] * beat["EvaluationPeriods"] == 300
    assert (beat["DatapointsToAlarm"], beat["Threshold"], beat["ComparisonOperator"]) == (3, 1, "LessThanThreshold")
    assert beat["Dimensions"] == [{"Name": "service", "Value": SERVICE}] == missing["Dimensions"]
    assert (missing["MetricName"], missing["Statistic"], missing["Threshold"]) == ("MissingCrons", "Maximum", 1)
    assert missing["TreatMissingData"] == "notBreaching"


# Reading.


def _tick(bench: Any) -> str:
    now = bench.clock.now().replace(second=0, microsecond=0)
    return tick_body("ops-health-check-critical", now.isoformat())


def embedded(out: str) -> Iterator[tuple[str, str, tuple[tuple[str, str], ...]]]:
    """What CloudWatch reads out of lines on standard output."""
    for line in out.splitlines():
        if not line.startswith("{") or "_aws" not in (found := json.loads(line)):
            continue
        for described in found["_aws"]["CloudWatchMetrics"]:
            for dimensions in described["Dimensions"]:
                for metric in described["Metrics"]:
                    assert metric["Name"] in found
                    values = tuple(sorted((name, str(found[name])) for name in dimensions))
                    yield described["Namespace"], metric["Name"], values


def asked_for(app: Synthesized) -> Iterator[Series]:
    """Every metric of every alarm and widget."""
    for alarm in app.of_type("AWS::CloudWatch::Alarm").values():
        p = alarm["Properties"]
        dimensions = tuple(sorted((d["Name"], filled(d["Value"])) for d in p["Dimensions"]))
        yield Series(p["Namespace"], p["MetricName"], dimensions, f"alarm {p['AlarmName']}")
    for name in names(app, "AWS::CloudWatch::Dashboard", "DashboardName"):
        for widget in json.loads(board(app, name))["widgets"]:
            for metric in widget["properties"].get("metrics", ()):
                if isinstance(metric[0], dict):
                    continue  # an expression over others, or a search
                namespace, metric_name, *pairs = metric[:-1]
                values = tuple(sorted(zip(pairs[::2], pairs[1::2], strict=True)))
                yield Series(namespace, metric_name, values, f"{name}: {widget['properties']['title']}")


def searches(app: Synthesized) -> list[str]:
    """The search expressions of the overview."""
    widgets = json.loads(board(app, "cgk-overview"))["widgets"]
    metrics = [metric for widget in widgets for metric in widget["properties"].get("metrics", ())]
    expressions = [metric[0]["expression"] for metric in metrics if isinstance(metric[0], dict)]
    return [expression for expression in expressions if expression.startswith("SEARCH(")]


def board(app: Synthesized, name: str) -> str:
    (found,) = [
        b["Properties"]["DashboardBody"]
        for b in app.of_type("AWS::CloudWatch::Dashboard").values()
        if b["Properties"]["DashboardName"] == name
    ]
    return filled(found)


def names(app: Synthesized, kind: str, member: str) -> set[str]:
    return {resource["Properties"][member] for resource in app.of_type(kind).values()}


def filled(value: Any) -> str:
    """A text of a template, its references filled in."""
    if isinstance(value, str):
        return value
    places = {"AWS::Partition": "aws", "AWS::Region": "R", "AWS::AccountId": "A"}
    separator, parts = value["Fn::Join"]
    return str(separator).join(part if isinstance(part, str) else places[part["Ref"]] for part in parts)


def headings() -> list[str]:
    return re.findall(r"^## (.+)$", RUNBOOK.read_text(encoding="utf-8"), flags=re.M)
