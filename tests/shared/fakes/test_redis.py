"""The Redis fake: its commands answer as Redis does, its scripts are really run, its faults leave what they say."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from shared.fakes.redis import Database, RedisFake, Refusal

TOKEN = "rest_test"


@pytest.fixture
def fake() -> Iterator[RedisFake]:
    with RedisFake.start() as running:
        running.database(TOKEN)
        yield running


def post(fake: RedisFake, path: str, body: Any, token: str | None = TOKEN) -> tuple[int, Any]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    request = urllib.request.Request(fake.base_url + path, json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


@pytest.mark.parametrize(
    ("commands", "answers"),
    [
        ([["HINCRBY", "h", "a", 5], ["HINCRBY", "h", "a", -7], ["HGETALL", "h"]], [5, -2, ["a", "-2"]]),
        ([["HSET", "h", "a", "1", "b", "2"], ["HSETNX", "h", "a", "9"], ["HGET", "h", "a"]], [2, 0, "1"]),
        ([["HGET", "nothing", "a"], ["EXISTS", "nothing"], ["TYPE", "nothing"]], [None, 0, "none"]),
        ([["SADD", "s", "x", "y"], ["SREM", "s", "x"], ["SMEMBERS", "s"], ["TYPE", "s"]], [2, 1, ["y"], "set"]),
        ([["SADD", "s", "x"], ["SREM", "s", "x"], ["EXISTS", "s"]], [1, 1, 0]),
        ([["SET", "k", "v"], ["RENAME", "k", "l"], ["GET", "l"], ["GET", "k"]], ["OK", "OK", "v", None]),
        ([["SET", "k", "v"], ["EXPIRE", "k", 9], ["RENAME", "k", "l"], ["PERSIST", "l"], ["PERSIST", "l"]],
         ["OK", 1, "OK", 1, 0]),
        ([["PING"], ["DEL", "x", "y"]], ["PONG", 0]),
    ],
)  # fmt: skip
def test_commands(commands: list[list[Any]], answers: list[Any]) -> None:
    database = Database()

    assert [database.execute(command) for command in commands] == answers


@pytest.mark.parametrize(
    ("command", "word"),
    [
        (["HGET", "text", "a"], "WRONGTYPE"),
        (["SADD", "text", "a"], "WRONGTYPE"),
        (["HINCRBY", "hash", "word", 1], "ERR hash value is not an integer"),
        (["HINCRBY", "hash", "a", "x"], "ERR value is not an integer"),
        (["RENAME", "nothing", "x"], "ERR no such key"),
        (["HGET", "hash"], "ERR wrong number of arguments"),
        (["KEYS", "*"], "ERR unknown command"),
        (["SCAN", "0"], "ERR unknown command"),
        (["EVAL", "return 1"], "ERR value is not an integer"),
        (["EVAL", "return 1", 2, "k"], "ERR Number of keys"),
        (["EVAL", "return", 0, "k"], None),
        (["EVAL", "return nope", 0], "ERR Error compiling or running script"),
        (["EVAL", "if 1 then", 0], "ERR Error compiling or running script"),
        (["EVAL", "return redis.call('HGET', 'text', 'a')", 0], "WRONGTYPE"),
    ],
)
def test_refusals(command: list[Any], word: str | None) -> None:
    database = Database()
    database.execute(["SET", "text", "x"])
    database.execute(["HSET", "hash", "word", "x", "a", "1"])

    if word is None:
        assert database.execute(command) is None
        return
    with pytest.raises(Refusal, match=word):
        database.execute(command)


@pytest.mark.parametrize(
    ("script", "answer"),
    [
        ("return 1 + 2 * 3 - 1", 6),
        ("return 'a' .. 'b' .. 1", "ab1"),
        ("return {1, 'two', false, 4}", [1, "two", None, 4]),
        ("return {1, nil, 3}", [1]),
        ("return 3.9", 3),
        ("return true", 1),
        ("return false", None),
        ("return #KEYS + #ARGV", 3),
        ("return KEYS[1] .. ARGV[2]", "ky"),
        ("if 0 then return 'yes' else return 'no' end", "yes"),
        ("if nil or false then return 1 elseif not nil and 1 ~= '1' then return 2 end", 2),
        ("local n = 0 for i = 1, 5, 2 do n = n + i end return n", 9),
        ("local a, b = 1 return b", None),
        ("-- a word\nreturn redis.status_reply('FINE') -- another", "FINE"),
        ("return redis.call('HGET', 'h', 'nothing') == false", 1),
        ("redis.call('HSET', 'h', unpack({'a', 1, 'b', 2})) return redis.call('HGETALL', 'h')", ["a", "1", "b", "2"]),
        ("return redis.call('TYPE', 'h').ok", "none"),
        ("return tonumber('x') or tonumber('7')", 7),
    ],
)
def test_scripts(script: str, answer: Any) -> None:
    assert Database().execute(["EVAL", script, 1, "k", "x", "y"]) == answer


def test_one_command_and_a_pipeline(fake: RedisFake) -> None:
    assert post(fake, "/", ["SET", "k", "v"]) == (200, {"result": "OK"})
    assert post(fake, "/", ["HGET", "k", "a"])[0] == 400
    status, said = post(fake, "/pipeline", [["GET", "k"], ["HGET", "k", "a"], ["INCR", "k"]])

    assert (status, said[0]) == (200, {"result": "v"})
    assert [sorted(each) for each in said[1:]] == [["error"], ["error"]]
    assert post(fake, "/multi-exec", [["GET", "k"]]) == (200, [{"result": "v"}])


@pytest.mark.parametrize("token", [None, "another"])
def test_unknown_token_sees_nothing(fake: RedisFake, token: str | None) -> None:
    assert post(fake, "/pipeline", [["SET", "k", "v"]], token)[0] == 401
    assert fake.databases[TOKEN].keys == {}


@pytest.mark.parametrize("body", [{"a": 1}, [], ["PING"], [[["nested"]]]])
def test_body_that_is_no_pipeline(fake: RedisFake, body: Any) -> None:
    assert post(fake, "/pipeline", body)[0] == 400


@pytest.mark.parametrize(
    ("kind", "done"), [("cut", ["a", "b"]), ("half", ["a"]), ("timeout", [])], ids=["cut", "half", "timeout"]
)
def test_lost_answers_leave_what_was_done(fake: RedisFake, kind: str, done: list[str]) -> None:
    fake.fail(kind, hold_s=0.01)

    with pytest.raises(OSError, match=r"."):
        post(fake, "/pipeline", [["SET", "a", "1"], ["SET", "b", "2"]])

    assert sorted(fake.databases[TOKEN].keys) == done
    assert [asked.status for asked in fake.asked] == [0]


def test_slow_answer_comes(fake: RedisFake) -> None:
    fake.fail("slow", hold_s=0.01)

    assert post(fake, "/", ["PING"]) == (200, {"result": "PONG"})


def test_faults_and_requests_over_http(fake: RedisFake) -> None:
    assert post(fake, "/_fake/faults", {"kind": "503", "match": "only this"})[0] == 200

    assert post(fake, "/", ["SET", "k", "another"])[0] == 200
    assert post(fake, "/", ["SET", "k", "only this"])[0] == 503
    with urllib.request.urlopen(f"{fake.base_url}/_fake/requests", timeout=5) as answer:
        assert [each["status"] for each in json.load(answer)["requests"]] == [200, 503]
    with urllib.request.urlopen(f"{fake.base_url}/_fake/keys", timeout=5) as answer:
        assert json.load(answer) == {"databases": [{"k": "another"}]}


def test_fake_as_a_process() -> None:
    command = [sys.executable, "-m", "shared.fakes.redis", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = process.stdout.readline().split()[-1]
        with urllib.request.urlopen(f"{address}/_fake/health", timeout=5) as answer:
            assert json.load(answer) == {"ok": True, "databases": 1}
        process.terminate()
        assert process.wait(5) == 0
