"""What the suites stand on: every table has a row of each tenant, and every job ends by itself."""

from __future__ import annotations

from shared.jobs.usage import usage
from tests.suites.counts import Count
from tests.suites.lab import Lab
from tests.suites.world import World


def test_nearly_every_table_has_a_row(filled: World) -> None:
    refused = {schema: sown.refused for schema, sown in filled.sown.items() if sown.refused}
    sown = sum(len(sown.rows) for sown in filled.sown.values())

    assert sum(map(len, refused.values())) <= sown / 20, refused


def test_job_ends_by_itself(lab: Lab, count: Count) -> None:
    lab.fresh()
    lab.send()
    ended = lab.end()
    written = {table.partition(".")[2] for table in ended.effects}
    assert written <= set(usage(lab.job).writes), f"{lab.job.id} writes to more than its reference says"
    count("jobs")
    count("jobs whose sample runs to success", int(ended.good))
