"""Saved queries of CloudWatch Logs Insights over the functions' logs; the fields are those of shared/jobs/logs.py."""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import aws_logs as logs
from constructs import Construct

from infra.constructs.cost import job_functions
from infra.deployment import Deployment
from infra.names import named
from shared.jobs.registry import Registry

MAX_GROUPS = 50
"""Logs Insights: log groups of one query."""

RUNS = 'filter message = "run"'
QUERIES = {
    "dead-runs": f"""fields @timestamp, job, tenant, run, code, detail
| {RUNS} and outcome = "dead"
| sort @timestamp desc
| limit 200""",
    "dead-by-code": f"""{RUNS} and outcome = "dead"
| stats count(*) as runs, count_distinct(tenant) as tenants, max(@timestamp) as last by job, code
| sort runs desc""",
    "retries-by-code": f"""{RUNS} and outcome = "defer"
| stats count(*) as attempts, count_distinct(tenant) as tenants by job, code
| sort attempts desc""",
    "own-faults": """fields @timestamp, job, tenant, run, code, detail, trace.0, trace.1, trace.2
| filter code in ["UNEXPECTED", "DATABASE_ERROR", "TIMEOUT"]
| sort @timestamp desc
| limit 100""",
    "slowest-jobs": f"""{RUNS}
| stats count(*) as runs, pct(duration_ms, 50) as p50, pct(duration_ms, 99) as p99, max(duration_ms) as longest by job
| sort p99 desc
| limit 50""",
    "longest-waits": f"""{RUNS}
| stats count(*) as runs, pct(queued_ms, 95) as p95_ms, max(queued_ms) as longest_ms by job
| sort p95_ms desc
| limit 50""",
    "busiest-tenants": f"""{RUNS}
| stats count(*) as runs, sum(duration_ms) / 1000 as seconds by tenant
| sort seconds desc
| limit 50""",
    "one-correlation": """fields @timestamp, job, tenant, run, attempt, outcome, code, duration_ms
| filter correlation_id = "PUT-THE-ID-HERE"
| sort @timestamp asc""",
    "refused-messages": """fields @timestamp, job, tenant, message_id, outcome, code, detail
| filter message = "message" and outcome = "dead"
| sort @timestamp desc
| limit 200""",
    "crashes-and-timeouts": """fields @timestamp, @log, @requestId, @message
| filter @message like /Task timed out|Runtime exited|OutOfMemory/
| sort @timestamp desc
| limit 100""",
}
"""Name -> query. Console: Logs Insights, Saved queries, folder of the prefix."""


def job_log_groups(registry: Registry, deployment: Deployment) -> Sequence[str]:
    """The log groups of the functions that run jobs."""
    return [f"/aws/lambda/{deployment.physical(name)}" for name, _ in job_functions(registry)]


class SavedQueries(Construct):
    """`<prefix>/<name>`, over the logs of all functions that run jobs."""

    def __init__(self, scope: Construct, registry: Registry, deployment: Deployment) -> None:
        super().__init__(scope, "queries")
        groups = job_log_groups(registry, deployment)[:MAX_GROUPS]
        for name, query in QUERIES.items():
            made = logs.CfnQueryDefinition(
                self, name, name=f"{deployment.prefix}/{name}", query_string=query, log_group_names=list(groups)
            )
            named(made, name, "query")
