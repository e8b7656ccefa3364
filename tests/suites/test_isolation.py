"""Every job run as acme with globex's ids in every field that names something: nothing of globex is read or written.

In CI a thousand attempts over all jobs, with CGK_NIGHTLY=1 a hundred thousand.
"""

from __future__ import annotations

import json
import math
import os
import random
import time
from collections.abc import Mapping
from typing import Any

from shared.db.names import tenant_schema
from shared.jobs.samples import SYSTEM
from tests.suites.conftest import TENANT_JOBS
from tests.suites.counts import Count
from tests.suites.lab import Lab, listening
from tests.suites.marks import marks_in
from tests.suites.payloads import IDENTIFIER, Schema, accepts, filled
from tests.suites.vendors import shop_of
from tests.suites.world import CREATORS

ATTEMPTS = 100_000 if os.environ.get("CGK_NIGHTLY") == "1" else 1_000
"""Over all jobs."""
BATCH = 10
CHUNK = 100
"""Attempts after which the other tenant is looked at."""
GONE_S = 5.0

LEDGER = """
SELECT md5(string_agg(t::text, '|' ORDER BY t::text)) FROM (
    SELECT to_jsonb(c) FROM jobs.claims c WHERE tenant = %(slug)s
    UNION ALL SELECT to_jsonb(r) FROM jobs.runs r WHERE tenant = %(slug)s
    UNION ALL SELECT to_jsonb(o) FROM jobs.tokens o WHERE tenant = %(slug)s
) t
"""
BACKENDS = """
SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'cgk-test'
"""


def test_job_neither_reads_nor_writes_anything_of_another_tenant(lab: Lab, count: Count) -> None:
    if lab.tenant == SYSTEM:
        return  # the platform's own runs serve no tenant
    rng, left = random.Random(lab.job.id), math.ceil(ATTEMPTS / TENANT_JOBS)
    while left > 0:
        attempts = min(CHUNK, left)
        with lab.case(f"{attempts} attempts"):
            _attack(lab, rng, attempts)
        count("isolation", attempts)
        left -= attempts
    lab.verdict()


def _attack(lab: Lab, rng: random.Random, attempts: int) -> None:
    other = lab.world.globex
    lab.send(lab.body(tenant=other.slug, id="theirs"), group=other.slug)
    lab.drain()
    if lab.job.platform:
        lab.bench.queues.queues.clear()
    before, scans = _standing(lab), _scans(lab)
    already = len(lab.bench.bus.published)
    with listening() as heard:
        for first in range(0, attempts, BATCH):
            for n in range(first, min(first + BATCH, attempts)):
                lab.send(_message(lab, rng, n))
            lab.drain()
    assert _scans(lab) == scans, "tables of the other tenant were read"
    assert _standing(lab) == before, "rows of the other tenant have changed"
    _nothing_leaked(lab, heard.text, lab.bench.bus.published[already:])


def _nothing_leaked(lab: Lab, logs: str, published: Any) -> None:
    """No text of the other tenant turns up at acme: its schema, its runs, its events, the log."""
    theirs = f"cnry-{lab.world.globex.slug}-"
    runs = lab.store.rows("SELECT to_jsonb(r) AS row FROM jobs.runs r WHERE tenant = 'acme'")
    places: Mapping[str, Any] = {
        "the log": logs,
        "the runs": [row["row"] for row in runs],
        "the events": [detail for _, detail in published if detail.get("tenantId") != lab.world.globex.slug],
        "acme's vendors": lab.vendors.everything(lab.world.acme),
        "acme's tables": lab.store.effects([tenant_schema(lab.world.acme.slug)]),
    }
    for place, content in places.items():
        found = {mark for mark in marks_in(content) if mark.startswith(theirs)}
        assert not found, f"{place} hold {sorted(found)[:5]}"


def _standing(lab: Lab) -> tuple[Any, ...]:
    """Checksums of the other tenant's schema, of its rows in shared tables, of its runs; what its vendors hold."""
    other = lab.world.globex
    named = [f"%{other.organization_id}%", f"%cnry-{other.slug}-%", f"%{CREATORS[other.slug]}%", f"%{other.uuid}%"]
    # A row of acme may name what it was told; that is no row of the other tenant.
    shared = lab.store.sums("public", like=named, unlike=f"%{lab.world.acme.organization_id}%")
    ledger = lab.store.rows(LEDGER, {"slug": other.slug})
    return lab.store.sums(tenant_schema(other.slug)), shared, ledger, lab.vendors.everything(other)


def _scans(lab: Lab) -> int:
    """Reads of the other tenant's tables so far. The process ends first: only then all of its statistics are there."""
    lab.bench.connections.discard()
    until = time.monotonic() + GONE_S
    while time.monotonic() < until and lab.store.rows(BACKENDS)[0]["count"]:
        time.sleep(0.01)
    return lab.store.scans(tenant_schema(lab.world.globex.slug))


# Messages.


def _message(lab: Lab, rng: random.Random, n: int) -> str:
    """A message of acme whose identifiers are globex's, in the payload and around it."""
    other = lab.world.globex
    texts = [
        other.number,
        f"gid://shopify/Order/{other.number}",
        str(other.uuid),
        str(other.organization_id),
        other.slug,
        shop_of(other),
        f"CODE{other.number}",
        CREATORS[other.slug],
        f"{tenant_schema(other.slug)}.orders",
        f"cnry-{other.slug}",
    ]

    def fill(name: str, schema: Schema) -> Any:
        if not IDENTIFIER.search(name) or rng.random() < 0.1:
            return None
        if schema.get("type") in ("integer", "number"):
            return int(other.number)
        if schema.get("format") == "uuid":
            return rng.choice([str(other.uuid), str(other.organization_id), CREATORS[other.slug]])
        text: str = rng.choice(texts)
        return f"{text}@example.com" if schema.get("format") == "email" else text

    payload = filled(lab.model, lab.sample, fill)
    if rng.random() < 0.2:
        payload |= {"organizationId": str(other.organization_id), "tenant": other.slug, "tenant_id": other.slug}
    assert accepts(lab.model, payload)
    body = json.loads(lab.body(payload, id=f"attack-{n}"))
    return json.dumps(_envelope(body, rng, lab))


def _envelope(body: dict[str, Any], rng: random.Random, lab: Lab) -> dict[str, Any]:
    """Now and then globex's own event id, idempotency key, run or stored payload."""
    theirs = lab.store.rows("SELECT run_id, key FROM jobs.runs WHERE tenant = 'globex' LIMIT 1")
    match rng.randrange(8):
        case 0:
            body["id"] = "theirs"
        case 1 if theirs:
            body["idempotencyKey"] = theirs[0]["key"][:200]
        case 2 if theirs:
            body["payload"]["_meta"] = {"run": {"id": str(theirs[0]["run_id"]), "seq": 0}}
        case 3:
            body["payload"]["_meta"] = {"key": "theirs", "id": "theirs", "correlationId": "theirs"}
        case 4:
            body["payload"]["_blob"] = f"payloads/{lab.world.globex.slug}/{lab.world.globex.uuid}"
    return body
