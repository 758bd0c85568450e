"""A run in Prometheus, the dashboard, the alerts and the log."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from raysync.sync.progress import metrics
from raysync.sync.progress.metrics import Kind
from tests.cluster.guilds import ServeTenant, wide_world
from tests.cluster.installation import Ended, Installation, ended, ray_environ
from tests.cluster.prometheus import Prometheus, program, running_prometheus
from tests.cluster.ray_head import RayHead, running_head
from tests.cluster.waiting import wait_until
from tests.monitoring import DEPLOY, alert_queries, panel_queries


def promtool(*arguments: str) -> None:
    done = subprocess.run([program("promtool"), *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_can_read_the_configuration_and_the_alerts() -> None:
    promtool("check", "config", str(DEPLOY / "prometheus" / "prometheus.yml"))


def test_each_alert_wakes_somebody_when_it_should_and_nobody_else() -> None:
    promtool("test", "rules", str(DEPLOY / "prometheus" / "alerts_test.yml"))


@pytest.fixture
def head(tmp_path: Path) -> Iterator[RayHead]:
    """A head whose processes report once a second, with a folder for dashboards."""
    program("prometheus")
    dashboards = tmp_path / "dashboards"
    dashboards.mkdir()
    shutil.copy(DEPLOY / "grafana" / "raysync.json", dashboards)
    environ = ray_environ() | {
        "RAY_metrics_report_interval_ms": "1000",
        "RAY_METRICS_GRAFANA_DASHBOARD_OUTPUT_DIR": str(dashboards),
    }
    with (
        tempfile.TemporaryDirectory(prefix="rs-", ignore_cleanup_errors=True) as directory,
        running_head(Path(directory), environ) as running,
    ):
        yield running


@pytest.mark.timeout(240)
def test_a_run_shows_in_every_panel_once_and_vanishes(
    without_ray: Installation, head: RayHead, tmp_path: Path, serve_tenant: ServeTenant
) -> None:
    installation, _ = serve_tenant(
        without_ray,
        wide_world(channels=8, pages=12),
        RAY_ADDRESS=head.address,
        SYNC_MAX_CHANNEL_WORKERS="2",
        SYNC_LOG_FORMAT="json",
    )
    with running_prometheus(head, tmp_path) as prometheus:
        began_s = time.time()
        with installation.starting() as running:
            result = ended(running)
        assert result.code == 0, result.err
        ended_s = time.time()

        assert_all_is_counted_once(prometheus, result)
        assert_every_metric_is_there(prometheus)
        of_runs = [one for one in panel_queries() if "raysync_tail_" not in one.expression]
        for query in of_runs:  # a tail has metrics of its own process
            assert prometheus.samples(query.expression, began_s, ended_s + 5), query
        assert_alerts_are_well_and_silent(prometheus, began_s, ended_s)
        wait_until(lambda: prometheus.value("ray_raysync_jobs_running == 1") is None)
        assert_log_lines_tell_their_place(head, result)
        assert_the_dashboard_is_beside_rays_own(head, tmp_path / "dashboards")


def assert_all_is_counted_once(prometheus: Prometheus, result: Ended) -> None:
    """What the metrics add up to is what the result says, the last second included."""
    job = result.job
    wanted = {
        metrics.API_CALLS: job["parallel_stats"]["total_api_calls"],
        metrics.CHANGES: job["messages_added"],
        metrics.RATE_LIMITED: job["parallel_stats"]["rate_limit_encounters"],
        metrics.DEAD_LETTERS: 0,
    }

    def counted(name: str) -> float | None:  # a busy machine may miss a scrape
        return prometheus.value(f"sum(max_over_time({name}[3m]))")

    with suppress(AssertionError):  # what differs is told below
        wait_until(lambda: all(counted(each.exported) == sum_ for each, sum_ in wanted.items()))
    assert {metric: counted(metric.exported) for metric in wanted} == wanted
    pages = counted(metrics.PAGES.exported)
    assert pages is not None
    assert pages >= 8 * 12
    assert pages == counted(f"{metrics.PAGE_SAVE_TIME.exported}_count")


def assert_every_metric_is_there(prometheus: Prometheus) -> None:
    for metric in metrics.ALL:
        name = metric.exported + ("_bucket" if metric.kind is Kind.HISTOGRAM else "")
        found = prometheus.get("query", query=f"count_over_time({name}[3m])")["result"]
        assert found, f"{name} is not there"
        assert set(metric.labels) <= found[0]["metric"].keys()


def assert_alerts_are_well_and_silent(
    prometheus: Prometheus, began_s: float, ended_s: float
) -> None:
    for query in alert_queries():
        prometheus.samples(query.expression, began_s, ended_s)
    (group,) = prometheus.get("rules")["groups"]
    assert {each["health"] for each in group["rules"]} == {"ok"}
    assert prometheus.samples('ALERTS{alertstate="firing"}', began_s, ended_s + 5) == []


def assert_log_lines_tell_their_place(head: RayHead, result: Ended) -> None:
    lines = [json.loads(line) for line in result.err.splitlines()]
    assert {"ray_ready", "job_started", "job_progress", "job_ended"} <= {
        line.get("event") for line in lines
    }
    written = [
        json.loads(line)
        for path in head.directory.rglob("worker-*.err")
        if not path.is_symlink()
        for line in path.read_text().splitlines()
        if line.startswith("{")
    ]
    ends = [line for line in written if line.get("event") == "channel_ended"]
    assert len(ends) == 8
    for end in ends:
        assert (end["tenant"], end["job_id"]) == ("takaro", result.job["job_id"])
        assert end["worker_id"] in ("worker-0", "worker-1")
        assert end["channel_id"].isdigit()


def assert_the_dashboard_is_beside_rays_own(head: RayHead, dashboards: Path) -> None:
    """Ray has Grafana read the folder that was named, and has left in it what was there."""
    names = {path.name for path in dashboards.iterdir()}
    assert {"raysync.json", "default_grafana_dashboard.json"} <= names
    grafana = head.directory / "session_latest" / "metrics" / "grafana"
    (provider,) = (grafana / "provisioning" / "dashboards").iterdir()
    assert str(dashboards) in provider.read_text()
