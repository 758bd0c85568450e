"""Dashboard, alerts and docs name the metrics that there are, all of them and no others."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from prometheus_client import generate_latest

from raysync.run.tail_metrics import ALL as TAIL
from raysync.run.tail_metrics import TailMetric, TailMetrics
from raysync.sync.progress import metrics
from raysync.sync.progress.metrics import Kind, Metric
from tests.monitoring import Query, alert_queries, alerts, dashboard, panel_queries

DOCS = (Path(__file__).parents[2] / "docs" / "watching.md").read_text()
OF_RAY = {"ray_component_cpu_percentage"}
"""What Ray itself measures, and we show."""


def series_of(metric: Metric) -> set[str]:
    """The names under which Prometheus keeps a metric."""
    suffixes = ("_bucket", "_count", "_sum") if metric.kind is Kind.HISTOGRAM else ("",)
    return {metric.exported + each for each in suffixes}


def tail_series(metric: TailMetric) -> set[str]:
    """The names under which Prometheus keeps a metric of the tail."""
    suffixes = ("_bucket", "_count", "_sum") if metric.kind == "histogram" else ("",)
    return {metric.name + each for each in suffixes}


@pytest.mark.parametrize("query", [*panel_queries(), *alert_queries()], ids=lambda each: each.owner)
def test_a_query_reads_only_metrics_that_there_are(query: Query) -> None:
    known = OF_RAY.union(*(series_of(each) for each in metrics.ALL), *map(tail_series, TAIL))

    assert query.names
    assert query.names <= known


@pytest.mark.parametrize("metric", metrics.ALL, ids=lambda each: each.name)
def test_a_metric_is_in_the_dashboard_and_in_the_docs_as_it_is(metric: Metric) -> None:
    shown = set[str]().union(*(each.names for each in panel_queries()))
    labels = ", ".join(f"`{each}`" for each in metric.labels)

    assert shown & series_of(metric)
    assert f"| `{metric.exported}` | {metric.kind} | {labels} | {metric.help} |" in DOCS


@pytest.mark.parametrize("metric", TAIL, ids=lambda each: each.name)
def test_a_metric_of_the_tail_is_in_the_dashboard_and_in_the_docs(metric: TailMetric) -> None:
    shown = set[str]().union(*(each.names for each in panel_queries()))
    labels = ", ".join(f"`{each}`" for each in metric.labels)

    assert shown & tail_series(metric)
    assert f"| `{metric.name}` | {metric.kind} | {labels} | {metric.help} |" in DOCS


def test_a_tail_serves_the_metrics_that_are_named() -> None:
    meter = TailMetrics()
    meter.watch(lambda: 2)
    meter.event("MESSAGE_CREATE")
    meter.event("SOMETHING_NEW")
    text = generate_latest(meter.registry).decode()
    names = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")}
    kept = {name for name in names if not name.endswith("_created")}

    assert kept == {metric.name for metric in TAIL}
    assert 'raysync_tail_events_total{event="other"} 1.0' in text
    assert "raysync_tail_listening 2.0" in text


def test_labels_in_queries_are_labels_that_the_metrics_have() -> None:
    of_ray = {"SessionName", "Component", "alertstate", "le"}
    known = of_ray.union(*(each.labels for each in (*metrics.ALL, *TAIL)))
    for query in [*panel_queries(), *alert_queries()]:
        matched = re.findall(r"(\w+)(?:=~|!=|=)\"", query.expression)
        grouped = re.findall(r"(?:by|on) \(([\w, ]+)\)", query.expression)
        used = {*matched, *(each for group in grouped for each in group.split(", "))}
        assert used <= known, query


def test_the_docs_explain_every_alert_and_every_alert_says_what_to_do() -> None:
    for rule in alerts():
        assert f"`{rule['alert']}`" in DOCS
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert len(rule["annotations"]["summary"]) > 60


def test_panels_have_titles_of_their_own_and_do_not_overlap() -> None:
    panels = dashboard()["panels"]
    assert len({each["title"] for each in panels}) >= len(panels) - 1  # efficiency: now, over time
    assert len({each["id"] for each in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert at["x"] + at["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells
