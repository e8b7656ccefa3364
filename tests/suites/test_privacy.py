"""Every job with personal data in its payload, its rows and its vendors' answers: none of it in log, run or ledger."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from shared.jobs.errors import Transient
from tests.conftest import ENCRYPTION_KEY, LOGIN_PASSWORD
from tests.suites.counts import Count
from tests.suites.lab import Heard, Lab, listening
from tests.suites.marks import marks_in
from tests.suites.payloads import CODED, Schema, accepts, filled

PLAIN_TABLES = ("claims", "runs", "outbox", "payloads", "tokens", "ticks", "slots", "pauses", "rate_limits")
KINDS = ("-pii-", "-sec-")
SECRETS = (ENCRYPTION_KEY, LOGIN_PASSWORD)


def _undisturbed(lab: Lab) -> None:
    lab.send(_marked(lab))
    lab.end()


def _nothing_is_taken(lab: Lab) -> None:
    """What is to be sent stays in the outbox, so that it can be looked at."""
    lab.bench.bus.refuse = lab.bench.schedules.refuse = lab.bench.machines.refuse = 1000
    lab.send(_marked(lab))
    lab.bench.queues.refuse_sends = 1000
    lab.pump()


def _raising(text: str) -> Callable[[Lab], None]:
    def scenario(lab: Lab) -> None:
        mark = lab.world.acme.mark("pii")

        def fail() -> None:
            raise ValueError(f"{text} {mark}")

        for nth in (1, 2, 3):
            lab.bench.faults.on("in-session", fail, nth=nth)
        lab.bench.faults.on("before-handler", fail)
        lab.bench.faults.on("after-handler", fail)
        lab.send(_marked(lab))
        lab.drain()

    return scenario


def _vendors_fail(lab: Lab) -> None:
    lab.vendors.fail(500, 50)
    lab.send(_marked(lab))
    try:
        lab.drain()
    finally:
        lab.vendors.mend()


def _wrong_types(lab: Lab) -> None:
    """Personal data where the model wants something else: the refusal names fields, never values."""
    mark = lab.world.acme.mark
    for name in lab.model.model_json_schema(by_alias=True).get("properties", {}):
        for value in (mark("pii"), {mark("pii"): mark("pii")}, [mark("pii")]):
            payload = {**lab.sample, name: value}
            if accepts(lab.model, payload):
                continue  # an identifier of any form: it may stand in the run's key
            lab.send(lab.body(payload, id=f"wrong-{name}-{type(value).__name__}"))
    lab.send('{"job": "' + lab.job.id + '", "payload": {"tenantId": "' + mark("pii") + '"}}')
    lab.send('{"job": "' + mark("pii"))
    lab.drain()


def _database_refuses(lab: Lab) -> None:
    """An error of the database whose text holds a row's values."""
    mark = lab.world.acme.mark("pii")

    def fail() -> None:
        conn = lab.bench.connections.get()
        conn.execute(f"SELECT '{mark}'::int")

    lab.bench.faults.on("in-session", fail)
    lab.bench.faults.on("after-handler", fail)
    lab.send(_marked(lab))
    lab.drain()


def _gives_up(lab: Lab) -> None:
    def fail() -> None:
        raise Transient("SUITE_LATER")

    for nth in range(1, 11):
        lab.bench.faults.on("before-handler", fail, nth=nth)
    lab.send(_marked(lab))
    lab.drain()


SCENARIOS: dict[str, Callable[[Lab], None]] = {
    "undisturbed": _undisturbed,
    "nothing is taken": _nothing_is_taken,
    "a bug that quotes a customer": _raising("no such customer:"),
    "vendors fail": _vendors_fail,
    "wrong types": _wrong_types,
    "the database refuses": _database_refuses,
    "attempts used up": _gives_up,
}


def test_no_personal_data_and_no_secret_in_log_or_ledger(lab: Lab, count: Count) -> None:
    for what, scenario in SCENARIOS.items():
        with lab.case(what):
            with listening() as heard:
                scenario(lab)
            leaks = _leaks(lab, heard)
            assert not leaks, leaks
        count("privacy scenarios")
    lab.verdict()


def _marked(lab: Lab) -> str:
    """A message whose every free text is a mark."""

    def fill(name: str, schema: Schema) -> Any:
        if schema.get("type") != "string" or schema.get("pattern") or CODED.search(name):
            return None
        if schema.get("format") not in (None, "email"):
            return None
        mark = lab.world.acme.mark("pii")
        return f"{mark}@example.com" if schema.get("format") == "email" or "mail" in name.lower() else mark

    return lab.body(filled(lab.model, lab.sample, fill))


def _leaks(lab: Lab, heard: Heard) -> dict[str, list[str]]:
    """Place -> what was found there."""
    places: dict[str, Any] = {"log": heard.text}
    for table in PLAIN_TABLES:
        rows = lab.store.rows(f"SELECT to_jsonb(t) AS row FROM jobs.{table} t")  # noqa: S608 - names from above
        places[f"jobs.{table}"] = [_bytes_as_text(row["row"]) for row in rows]
    places["letters"] = [letter.attributes for letter in lab.bench.queues.dead(lab.job.queue_name)]
    places["bucket"] = [data.decode("latin-1") for data in lab.bench.blobs.objects.values()]
    places["metrics"] = [lab.bench.metrics.counted, lab.bench.alarms.published]
    places["results"] = [item.result for item in lab.delivered]
    found = {place: _found(content) for place, content in places.items()}
    # Personal data belongs into events and to vendors; secrets do not.
    found["vendors"] = [mark for mark in marks_in(lab.vendors.everything(lab.world.acme)) if "-sec-" in mark]
    found["events"] = [mark for mark in marks_in(lab.bench.bus.published) if "-sec-" in mark]
    return {place: marks for place, marks in found.items() if marks}


def _found(content: Any) -> list[str]:
    marks = sorted(mark for mark in marks_in(content) if any(kind in mark for kind in KINDS))
    text = json.dumps(content, default=str)
    return marks[:5] + [secret for secret in SECRETS if secret in text]


def _bytes_as_text(row: dict[str, Any]) -> dict[str, Any]:
    """bytea columns come as hex; what they hold is looked at as text."""
    sealed = {n: v for n, v in row.items() if isinstance(v, str) and v.startswith("\\x")}
    return row | {name: bytes.fromhex(value[2:]).decode("latin-1") for name, value in sealed.items()}
