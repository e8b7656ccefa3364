"""Dashboards as CloudWatch reads them: rows of widgets on a grid of 24 columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct

from infra.constructs.metrics import Metric
from infra.names import named

COLUMNS = 24
HEIGHT = 6
FIVE_MINUTES, DAY = 300, 86_400
MAX_METRICS = 500
"""CloudWatch: metrics of one widget."""

Widget = dict[str, Any]


def graph(
    title: str, metrics: Mapping[str, Metric], *, period_s: int = FIVE_MINUTES, stacked: bool = False, unit: str = ""
) -> Widget:
    """Lines over time. `metrics`: label -> metric; `unit`: at the axis."""
    return _metrics(title, [m.on_dashboard(label) for label, m in metrics.items()], period_s, stacked, unit)


def calculated(title: str, expression: str, label: str, inputs: Mapping[str, Metric], *, unit: str = "") -> Widget:
    """One value per day from metrics that are not shown themselves. `inputs`: id in the expression -> metric."""
    shown: list[list[Any]] = [[{"expression": expression, "label": label, "id": "total"}]]
    hidden = [m.on_dashboard(id, id=id, visible=False) for id, m in inputs.items()]
    widget = _metrics(title, shown + hidden, DAY, False, unit)
    widget["properties"]["view"] = "bar"
    return widget


def found(title: str, namespace: str, dimensions: Sequence[str], name: str, *, period_s: int = FIVE_MINUTES) -> Widget:
    """Lines of whatever series of these dimensions there are at the time of looking: one per job that died."""
    search = f"SEARCH('{{{namespace},{','.join(dimensions)}}} MetricName=\"{name}\"', 'Sum', {period_s})"
    return _metrics(title, [[{"expression": search, "id": "found"}]], period_s, False, "")


def text(markdown: str) -> Widget:
    """A heading or notes, two rows high."""
    return {"type": "text", "height": 2, "properties": {"markdown": markdown}}


def dashboard(scope: Construct, name: str, rows: Sequence[Sequence[Widget]], physical_name: str) -> None:
    """A dashboard of rows; the widgets of a row share its width. `name`: short, part of the logical id."""
    placed: list[Widget] = []
    y = 0
    for row in rows:
        width = COLUMNS // len(row)
        height = max(int(widget.get("height", HEIGHT)) for widget in row)
        placed += [{"x": n * width, "y": y, "width": width, "height": height, **w} for n, w in enumerate(row)]
        y += height
    body = cdk.Stack.of(scope).to_json_string({"start": "-PT12H", "widgets": placed})
    made = cloudwatch.CfnDashboard(scope, f"{name}-dashboard", dashboard_name=physical_name, dashboard_body=body)
    named(made, name, "dashboard")


def _metrics(title: str, metrics: list[Any], period_s: int, stacked: bool, unit: str) -> Widget:
    if len(metrics) > MAX_METRICS:
        raise ValueError(f"{title}: {len(metrics)} metrics in one widget; CloudWatch shows {MAX_METRICS}")
    properties: dict[str, Any] = {
        "title": title,
        "region": cdk.Aws.REGION,
        "view": "timeSeries",
        "stacked": stacked,
        "period": period_s,
        "metrics": metrics,
    }
    if unit:
        properties["yAxis"] = {"left": {"label": unit, "showUnits": False, "min": 0}}
    return {"type": "metric", "properties": properties}
