"""What lets the jobs make one-off schedules, and no more than that."""

from __future__ import annotations

import json
from typing import Any

from tests.infra.synthesis import Resource, Synthesized


def test_one_group_and_one_role_send_what_is_delayed(app: Synthesized) -> None:
    groups = {group["Properties"]["Name"] for group in app.of_type("AWS::Scheduler::ScheduleGroup").values()}
    assert groups == {"cgk-delayed", "cgk-crons"}
    role = app.of_type("AWS::IAM::Role", "cgk-shared")["DelayedRole"]
    (trusted,) = role["Properties"]["AssumeRolePolicyDocument"]["Statement"]
    assert trusted["Principal"] == {"Service": "scheduler.amazonaws.com"}
    assert trusted["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}
    assert {action for statement in _statements(role) for action in statement["Action"]} == {
        "sqs:SendMessage",
        "events:PutEvents",
    }


def test_functions_that_relay_may_make_schedules_of_this_group_and_lend_this_role_only(app: Synthesized) -> None:
    roles = app.of_type("AWS::IAM::Role")
    relaying = {name for name, role in roles.items() if _statement(role, "MakeSchedules")}
    own = {f"{b.category.title()}{'Bulk' if b.bulk else 'Fast'}Role" for b in app.registry.queues()}
    assert relaying == own | {"KernelSweepRole"}
    for name in relaying:
        make, lend = _statement(roles[name], "MakeSchedules"), _statement(roles[name], "LendRoleToSchedules")
        assert make
        assert lend
        assert make["Action"] == ["scheduler:CreateSchedule"]
        assert ":schedule/cgk-delayed/*" in json.dumps(make["Resource"])
        assert ":role/cgk-delayed-" in json.dumps(lend["Resource"])
        assert lend["Condition"] == {"StringEquals": {"iam:PassedToService": "scheduler.amazonaws.com"}}


def test_functions_that_relay_know_the_group_and_the_role_and_reach_large_payloads(app: Synthesized) -> None:
    functions = app.of_type("AWS::Lambda::Function")
    for name, role in app.of_type("AWS::IAM::Role").items():
        if not _statement(role, "MakeSchedules"):
            continue
        variables = functions[name.replace("Role", "Function")]["Properties"]["Environment"]["Variables"]
        assert variables["CGK_SCHEDULE_GROUP"] == "cgk-delayed"
        assert ":role/cgk-delayed-" in json.dumps(variables["CGK_SCHEDULER_ROLE"])
        keep, miss = _statement(role, "KeepPayloads"), _statement(role, "MissPayloads")
        assert keep
        assert miss
        assert "/payloads/*" in json.dumps(keep["Resource"])
        assert "/payloads-long/*" in json.dumps(keep["Resource"])
        assert miss["Action"] == ["s3:ListBucket"]  # else a missing object is "forbidden", and tried for ever


def test_payloads_of_delayed_messages_outlive_the_longest_delay(app: Synthesized) -> None:
    (bucket,) = app.of_type("AWS::S3::Bucket").values()
    rules = {rule.get("Prefix"): rule for rule in bucket["Properties"]["LifecycleConfiguration"]["Rules"]}
    assert rules["payloads/"]["ExpirationInDays"] == 31
    assert rules["payloads-long/"]["ExpirationInDays"] == 31 + 365


def _statements(role: Resource) -> list[dict[str, Any]]:
    return [s for policy in role["Properties"]["Policies"] for s in policy["PolicyDocument"]["Statement"]]


def _statement(role: Resource, sid: str) -> dict[str, Any] | None:
    return next((statement for statement in _statements(role) if statement["Sid"] == sid), None)
