"""One sample message per job, events/<job>.json: what Lambda receives from SQS when the job's rule has matched,
or its schedule has fired for a tenant.

    python -m shared.jobs.samples [--check]       (scripts/events)

Feed one to the real entry with `cgk-jobs invoke JOB` or `sam local invoke -e events/<job>.json`. Payloads come from the
model: a whole example of the model (json_schema_extra={"examples": [...]}, wire form) if there is one, else the fields'
own Field(examples=[...]), else values by type, with as few optional fields as the model accepts.

A sample has no `time` and a SentTimestamp of 0, so the pipeline takes the instant of the invocation: a file that is
checked in would otherwise always be older than its job's max_age.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from shared.events.base import Payload
from shared.jobs.messages import OWN_SOURCE
from shared.jobs.registry import AnyJob, Registry, load_registry

FOLDER = Path(__file__).resolve().parents[2] / "events"
TENANT = "acme"
SYSTEM = "system"
REGION = "us-east-1"
ACCOUNT = "000000000000"
QUEUE_PREFIX = "cgk-"
MAX_EXTRA = 4
"""Optional fields tried together to satisfy a rule across fields."""
UUID_TEXT = "00000000-0000-4000-8000-000000000001"
INSTANT = "2026-01-15T12:00:00Z"
BY_FORMAT = {
    "uuid": UUID_TEXT,
    "date-time": INSTANT,
    "date": INSTANT[:10],
    "time": "12:00:00Z",
    "duration": "PT1H",
    "email": "person@example.com",
    "uri": "https://example.com/",
}
BY_NAME = (
    (re.compile(r"(^ids?|Ids?)$"), "1001"),
    (re.compile(r"currency$", re.IGNORECASE), "USD"),
    (re.compile(r"email$", re.IGNORECASE), "person@example.com"),
    (re.compile(r"url$", re.IGNORECASE), "https://example.com/"),
)
"""Text that reads well in fields whose name says what they hold."""

Schema = Mapping[str, Any]


class NoSample(ValueError):
    """The model gives no hint what a valid payload is; the sentence says where to give one."""


def sample_event(job: AnyJob) -> dict[str, Any]:
    """Lambda's SQS event with one message for the job, in the form of the bus rule, or of the fan-out for a cron."""
    tenant = SYSTEM if job.tenants == "system" else TENANT
    model: type[Payload] = job.on[0] if job.on else job.payload
    body = {
        "job": job.id,
        **({"event": job.on[0].event_name} if job.on else {}),
        "id": f"sample-{job.id}",
        # What a tick starts comes from the fan-out, whom alone the platform's own tenant is believed.
        "source": OWN_SOURCE if job.cron or tenant == SYSTEM else "app",
        "payload": {"tenantId": tenant, **sample_payload(model)},
    }
    text = json.dumps(body, separators=(",", ":"), ensure_ascii=False)
    record = {
        "messageId": f"sample-{job.id}",
        "receiptHandle": "sample",
        "body": text,
        "attributes": {
            "ApproximateReceiveCount": "1",
            "SentTimestamp": "0",
            "SenderId": "events.amazonaws.com",
            "ApproximateFirstReceiveTimestamp": "0",
            "MessageGroupId": tenant,
        },
        "messageAttributes": {},
        "md5OfBody": hashlib.md5(text.encode(), usedforsecurity=False).hexdigest(),
        "eventSource": "aws:sqs",
        "eventSourceARN": f"arn:aws:sqs:{REGION}:{ACCOUNT}:{QUEUE_PREFIX}{job.queue_name}",
        "awsRegion": REGION,
    }
    return {"Records": [record]}


def sample_payload(model: type[Payload]) -> dict[str, Any]:
    """A payload in wire form that the model accepts; raises NoSample when none is found."""
    schema = model.model_json_schema(by_alias=True)
    if examples := schema.get("examples"):
        return dict(examples[0])
    for candidate in _candidates(schema):
        try:
            model.model_validate_json(json.dumps(candidate), strict=True)
        except ValidationError:
            continue
        return candidate
    raise NoSample(
        f"no sample payload for {model.__name__}: give its fields Field(examples=[...]), "
        'or the model json_schema_extra={"examples": [...]}'
    )


def _candidates(schema: Schema) -> Iterator[dict[str, Any]]:
    """Payloads from few fields to more: required ones and those with examples, then with 1, 2, .. optional ones."""
    values = {name: _value(name, part, schema) for name, part in schema.get("properties", {}).items()}
    required = set(schema.get("required", ()))
    base = [name for name, part in schema.get("properties", {}).items() if name in required or part.get("examples")]
    optional = [name for name in values if name not in base]
    for size in range(min(MAX_EXTRA, len(optional)) + 1):
        for extra in combinations(optional, size):
            yield {name: values[name] for name in values if name in base or name in extra}


def _value(name: str, part: Schema, root: Schema) -> Any:
    """A value for one field of a JSON schema."""
    if part.get("examples"):
        return part["examples"][0]
    if "$ref" in part:
        return _value(name, root["$defs"][part["$ref"].rsplit("/", 1)[-1]], root)
    for key in ("anyOf", "oneOf", "allOf"):
        if choices := [choice for choice in part.get(key, ()) if choice.get("type") != "null"]:
            return _value(name, choices[0], root)
    if "const" in part:
        return part["const"]
    if part.get("enum"):
        return part["enum"][0]
    match part.get("type"):
        case "string":
            return _text(name, part)
        case "integer" | "number":
            return _number(part)
        case "boolean":
            return True
        case "array":
            return [_value(name, part.get("items", {}), root)] * max(1, part.get("minItems", 1))
        case _:
            return {
                n: _value(n, p, root) for n, p in part.get("properties", {}).items() if n in part.get("required", ())
            }


def _text(name: str, part: Schema) -> str:
    if part.get("format") in BY_FORMAT:
        return BY_FORMAT[part["format"]]
    text = next((text for pattern, text in BY_NAME if pattern.search(name)), "sample")
    return text.ljust(part.get("minLength", 0), "0")[: part.get("maxLength", 1000)]


def _number(part: Schema) -> Any:
    low = part.get("minimum", part.get("exclusiveMinimum", 0) + 1)
    return min(max(1, low), part.get("maximum", max(1, low)))


def render(job: AnyJob) -> str:
    """Text of the job's file."""
    return json.dumps(sample_event(job), indent=2, ensure_ascii=False) + "\n"


def write(registry: Registry, folder: Path = FOLDER) -> list[str]:
    """Write the files of all jobs and remove those of jobs that are gone; the names of what changed."""
    folder.mkdir(parents=True, exist_ok=True)
    changed: list[str] = []
    for job in registry:
        path, text = folder / f"{job.id}.json", render(job)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            changed.append(path.name)
    for path in _left_over(registry, folder):
        path.unlink()
        changed.append(path.name)
    return changed


def stale(registry: Registry, folder: Path = FOLDER) -> list[str]:
    """What is wrong with the files, one sentence each; empty when all are fresh."""
    found: list[str] = []
    for job in registry:
        path = folder / f"{job.id}.json"
        if not path.exists():
            found.append(f"{path.name} is missing")
        elif path.read_text(encoding="utf-8") != render(job):
            found.append(f"{path.name} is not what the declaration of {job.id} gives")
    return found + [f"{path.name} belongs to no job" for path in _left_over(registry, folder)]


def _left_over(registry: Registry, folder: Path) -> list[Path]:
    return [path for path in sorted(folder.glob("*.json")) if path.stem not in registry.jobs]


def main(argv: Sequence[str] | None = None, folder: Path = FOLDER) -> int:
    """Write the samples, or with --check say what is stale (exit 1)."""
    parser = argparse.ArgumentParser(prog="scripts/events", description="Generate events/<job>.json from the jobs.")
    parser.add_argument("--check", action="store_true", help="only say which files are stale; exit 1 if any is")
    check: bool = parser.parse_args(argv).check
    registry = load_registry()
    found = stale(registry, folder) if check else write(registry, folder)
    if check and found:
        print("; ".join(found) + ": run scripts/events", file=sys.stderr)
        return 1
    print(f"{len(registry)} samples are fresh" if check or not found else f"written: {', '.join(found)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
