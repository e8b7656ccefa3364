"""cgk-jobs cost: dollars of the ledger's runs, by job, tenant and day, from one dated table of prices."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any

import psycopg
import pytest

from shared.cli.costs import prices
from shared.cli.costs.model import OVERHEAD_MS, Cost, Rates, grouped
from shared.cli.costs.usage import Usage
from shared.db.partitions import ensure_partitions
from tests.shared.cli.conftest import Cli

INSERT = """
INSERT INTO jobs.runs (run_id, run_at, job, tenant, key, event, state, attempt, seq, work_ms)
SELECT gen_random_uuid(), %(at)s, %(job)s, %(tenant)s, n::text, %(event)s, 'succeeded', %(attempt)s, %(seq)s, %(ms)s
FROM generate_series(1, %(runs)s) n
"""


def rates(**changes: Any) -> Rates:
    return Rates(**({"memory_mb": {"fast": 512, "bulk": 1024}, "listeners": {"fast": 2}} | changes))


def usage(job: str = "fast", **changes: Any) -> Usage:
    values = {"tenant": None, "day": None, "runs": 1_000_000, "work_ms": 20_000_000, "messages": 1_000_000, "events": 0}
    return Usage(job=job, **(values | changes))


def test_million_runs_of_20_ms_one_by_one() -> None:
    cost = rates().cost(usage(events=1_000_000))

    assert cost.compute == pytest.approx((20 + OVERHEAD_MS) * 1000 * 0.5 * 0.0000133334)
    assert cost.requests == pytest.approx(0.20)
    assert cost.queue == pytest.approx(3 * 0.50)
    assert cost.bus == pytest.approx(0.50)
    assert cost.logs == pytest.approx(0.45)
    assert cost.total == pytest.approx(0.2333345 + 0.2 + 1.5 + 0.5 + 0.45)


@pytest.mark.parametrize(
    ("changed", "dearer"),
    [
        ({"batch": 10.0}, {"requests": 0.1, "queue": 0.1, "bus": 1, "logs": 1}),
        ({"memory_mb": {"fast": 1024}}, {"compute": 2, "requests": 1, "queue": 1}),
        ({"gb_second": prices.LAMBDA_X86}, {"compute": 1.25, "requests": 1}),
    ],
    ids=["ten messages an invocation", "twice the memory", "x86_64"],
)
def test_what_a_setting_changes(changed: dict[str, Any], dearer: dict[str, float]) -> None:
    row = usage(events=1_000_000)
    before, after = rates().cost(row), rates(**changed).cost(row)

    for part, factor in dearer.items():
        assert getattr(after, part) == pytest.approx(getattr(before, part) * factor, rel=1e-4), part


def test_job_of_old_is_taken_for_a_fast_one() -> None:
    assert rates().cost(usage("gone")).compute == rates().cost(usage("fast")).compute


def test_groups_are_put_together_dearest_first() -> None:
    rows = [usage(tenant="acme"), usage(tenant="globex"), usage("bulk", tenant="acme")]

    by_tenant = grouped(rows, rates(), ("tenant",))
    by_both = grouped(rows, rates(), ("job", "tenant"))

    assert [(group.key, group.runs) for group in by_tenant] == [(("acme",), 2_000_000), (("globex",), 1_000_000)]
    assert [group.key for group in by_both] == [("bulk", "acme"), ("fast", "acme"), ("fast", "globex")]
    assert by_tenant[0].cost.total == pytest.approx(by_both[0].cost.total + by_both[1].cost.total)
    assert by_both[1].per_million == pytest.approx(by_both[1].cost.total)
    assert Cost().total == 0


def test_every_price_is_dated_and_names_its_page() -> None:
    assert date(2025, 1, 1) < prices.AS_OF
    assert all(price.usd > 0 and price.source.startswith("aws.amazon.com/") for price in prices.ALL.values())


@pytest.fixture
def ledger(cli: Cli, admin: psycopg.Connection[Any]) -> Cli:
    """1,000 runs of two jobs, two tenants, on two days."""
    now = cli.platform.now()
    for day in (now.date(), now.date() - timedelta(days=1)):
        ensure_partitions(admin, day)
    for at, job, tenant, event, attempt, seq, ms, runs in (
        (now, "toy-play", "acme", "toy.asked", 1, 0, 10, 400),
        (now - timedelta(days=1), "toy-play", "globex", "toy.asked", 2, 0, 20, 500),
        (now, "toy-dig", "acme", None, 1, 3, 4000, 100),
        (now - timedelta(days=60), "toy-play", "acme", "toy.asked", 1, 0, 10, 77),
    ):
        values = {"at": at, "job": job, "tenant": tenant, "event": event, "attempt": attempt, "seq": seq, "ms": ms}
        admin.execute(INSERT, values | {"runs": runs})
    return cli


def test_by_job_over_thirty_days(ledger: Cli) -> None:
    found = ledger("cost", "--json").json

    rows = {group["job"]: group for group in found["groups"]}
    assert (rows["toy-play"]["runs"], rows["toy-play"]["messages"], rows["toy-play"]["work_ms"]) == (900, 1400, 14_000)
    assert (rows["toy-dig"]["runs"], rows["toy-dig"]["messages"], rows["toy-dig"]["work_ms"]) == (100, 400, 400_000)
    assert rows["toy-dig"]["parts"]["bus"] == 0
    assert rows["toy-dig"]["parts"]["compute"] == pytest.approx(
        (400 + 400 * OVERHEAD_MS / 1000) * 0.0000133334, abs=1e-8
    )
    assert rows["toy-play"]["parts"]["bus"] == pytest.approx(900 / 2 * 1e-6, abs=1e-8)
    assert found["total"]["runs"] == 1000
    assert found["total"]["usd"] == pytest.approx(sum(row["usd"] for row in rows.values()), abs=1e-7)
    assert found["region"] == "us-east-1"


def test_by_tenant_and_day(ledger: Cli) -> None:
    found = ledger("cost", "--by", "tenant", "--by", "day", "--json").json
    today = datetime.now(UTC) if ledger.platform.clock is None else ledger.platform.clock.now()

    keys = {(group["tenant"], group["day"]): group["runs"] for group in found["groups"]}
    yesterday = today - timedelta(days=1)
    assert keys == {("acme", f"{today:%Y-%m-%d}"): 500, ("globex", f"{yesterday:%Y-%m-%d}"): 500}


@pytest.mark.parametrize(
    ("argv", "runs"),
    [
        (("--tenant", "globex"), 500),
        (("--job", "toy-dig"), 100),
        (("--since", "2000-01-01"), 1077),
        (("--until", "2000-01-01"), 0),
    ],
)
def test_only_what_was_asked_for(ledger: Cli, argv: tuple[str, ...], runs: int) -> None:
    assert ledger("cost", *argv, "--json").json["total"]["runs"] == runs


def test_text_says_what_a_million_would_cost(ledger: Cli) -> None:
    out = ledger("cost", "--limit", "1").out

    assert out.splitlines()[0].split() == ["JOB", "RUNS", "MS", "A", "RUN", "USD", "USD", "PER", "MILLION"]
    assert "and 1 more; --limit shows them" in out
    assert "a million runs like these: " in out
    assert f"prices of us-east-1, {prices.AS_OF}" in out
    assert ledger("cost", "--until", "2000-01-01").out == "the ledger holds no run of that time\n"


def test_stage_gives_the_functions_memory(ledger: Cli) -> None:
    plain = ledger("cost", "--json").json["total"]["parts"]["compute"]
    doubled = ledger("cost", "--fast-memory", "1024", "--bulk-memory", "2048", "--json").json["total"]["parts"][
        "compute"
    ]
    assert doubled == pytest.approx(plain * 2, rel=1e-3)

    stage = {"context": {"cgk:stages": {"local": {"fast-memory-mb": 1024, "bulk-memory-mb": 2048}}}}
    (ledger.platform.root / "cdk.json").write_text(json.dumps(stage))
    assert ledger("cost", "--stage", "local", "--json").json["total"]["parts"]["compute"] == doubled


def test_prices_need_no_database(bare: Cli) -> None:
    found = bare("cost", "--prices", "--json").json

    assert found["prices"]["Lambda compute, arm64"]["usd"] == 0.0000133334
    assert "looked up on" in bare("cost", "--prices").out


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (("--batch", "11"), "between 1 and 10 messages"),
        (("--job", "toy-pla"), "there is no job 'toy-pla'; did you mean toy-play"),
        (("--by", "hour"), "hour"),
    ],
)
def test_wrong_use(cli: Cli, argv: tuple[str, ...], says: str) -> None:
    said = cli("cost", *argv)

    assert said.code == 2
    assert says in said.err
