"""Counters grow once, whichever tracker reports; gauges end at 0."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from raysync.models.durations import BOUNDS_S, DurationMeter, Durations
from raysync.models.events import ApiUsage, JobHeader, WorkerReport, Written
from raysync.models.ids import JobId
from raysync.models.status import SyncType
from raysync.sync.progress import metrics
from raysync.sync.progress.board import ProgressBoard
from raysync.sync.progress.metering import JobMeter, PoolFigures, RunMeter, TenantFigures
from raysync.sync.progress.metrics import Kind
from tests.unit.sync.fakes import make_task
from tests.unit.sync.sinks import FakeSink
from tests.unit.sync.test_progress import HandClock

JOB = JobId("job")
PAGES = "GET /channels/{channel_id}/messages"
HEADER = JobHeader(JOB, "takaro", SyncType.FULL, datetime(2026, 1, 1, tzinfo=UTC), 48.0)


def durations(*took_s: float) -> Durations:
    meter = DurationMeter()
    for each in took_s:
        meter.note(each)
    return meter.durations()


def usage(pages: int, hits: int = 0, took: Durations | None = None) -> ApiUsage:
    return ApiUsage(
        calls={f"{PAGES} 200": pages},
        rate_limit_hits={"user": hits} if hits else {},
        permits=pages,
        permit_wait_s=pages / 10,
        store_s=pages / 100,
        written=Written(pages, 99 * pages, 98 * pages, 1, 0, took or Durations()),
    )


class Tracker:
    """Tracker, reduced to its use of the meter."""

    def __init__(self, sink: FakeSink) -> None:
        self.board = ProgressBoard(HEADER, HandClock())
        self.board.plan([make_task(1), make_task(2)], [])
        self.meter = JobMeter("takaro", sink)

    def report(self, worker: str, sequence: int, used: ApiUsage) -> None:
        report = WorkerReport(JOB, worker, sequence, (), used)
        self.board.report(report)
        self.meter.register(report)

    def beat(self) -> None:
        board = self.board
        self.meter.update(board.view(10), board.states(), board.efficiency(), board.usage())


def counted(sink: FakeSink, metric: metrics.Metric, *labels: str) -> float:
    return sink.counters[metric.name, *labels]


def test_a_counter_is_the_sum_of_its_workers_however_often_it_is_updated() -> None:
    sink = FakeSink()
    tracker = Tracker(sink)

    tracker.report("worker-0", 1, usage(3))
    tracker.beat()
    tracker.beat()
    tracker.report("worker-0", 2, usage(5, hits=1))
    tracker.report("worker-0", 1, usage(3))
    tracker.report("worker-1", 1, usage(2))
    tracker.beat()

    assert counted(sink, metrics.PAGES, "takaro") == 7
    assert counted(sink, metrics.MESSAGES, "takaro") == 99 * 7
    assert counted(sink, metrics.CHANGES, "takaro", "added") == 98 * 7
    assert counted(sink, metrics.API_CALLS, "takaro", PAGES, "200") == 7
    assert counted(sink, metrics.RATE_LIMITED, "takaro", "user") == 1
    assert round(counted(sink, metrics.PERMIT_WAIT, "takaro"), 6) == 0.7


def test_counters_exist_at_0_before_anything_happens() -> None:
    sink = FakeSink()
    JobMeter("takaro", sink)

    assert set(sink.counters.values()) == {0}
    assert (metrics.RATE_LIMITED.name, "takaro", "ban") in sink.counters
    assert (metrics.PAGES.name, "takaro") in sink.counters


def test_a_restarted_tracker_counts_nothing_twice() -> None:
    before, after = FakeSink(), FakeSink()
    first, second = Tracker(before), Tracker(after)
    first.report("worker-0", 1, usage(3))
    first.report("worker-0", 2, usage(10))
    first.beat()

    second.report("worker-0", 3, usage(12))
    second.beat()
    second.report("worker-0", 4, usage(15))
    second.report("worker-7", 1, usage(2))
    second.beat()

    assert counted(before, metrics.PAGES, "takaro") == 10
    assert counted(after, metrics.PAGES, "takaro") == 3 + 2


def test_a_duration_is_observed_once_within_its_class() -> None:
    sink = FakeSink()
    tracker = Tracker(sink)

    tracker.report("worker-0", 1, usage(1, took=durations(0.004)))
    tracker.beat()
    tracker.report("worker-0", 2, usage(3, took=durations(0.004, 0.005, 99.0)))
    tracker.beat()

    name = metrics.PAGE_SAVE_TIME.name
    assert dict(sink.observed) == {(name, 0.005): 2, (name, 2 * BOUNDS_S[-1]): 1}


def test_an_unknown_scope_gets_no_series_of_its_own() -> None:
    sink = FakeSink()
    tracker = Tracker(sink)

    tracker.report("worker-0", 1, ApiUsage(rate_limit_hits={"whatever-the-header-says": 2}))
    tracker.beat()

    assert counted(sink, metrics.RATE_LIMITED, "takaro", "other") == 2


def test_gauges_follow_the_job_and_end_at_0() -> None:
    sink = FakeSink()
    tracker = Tracker(sink)
    tracker.report("worker-0", 1, usage(3))

    tracker.beat()
    assert sink.gauges[metrics.JOBS_RUNNING.name, "takaro"] == 1
    assert sink.gauges[metrics.CHANNELS.name, "takaro", "pending"] == 2

    tracker.meter.close()
    assert set(sink.gauges.values()) == {0}


def test_a_driver_reports_its_workers_and_the_lost_ones() -> None:
    sink = FakeSink()
    meter = RunMeter(sink)
    assert counted(sink, metrics.WORKERS_LOST) == 0

    meter.update(PoolFigures(3, 1, 2, 1, {}), {"takaro": TenantFigures(7, 1, 0)})
    meter.update(PoolFigures(3, 0, 3, 1, {}), {"takaro": TenantFigures(4, 3, 1)})

    assert sink.gauges[metrics.WORKERS.name, "running"] == 3
    assert sink.gauges[metrics.WAITING.name, "takaro"] == 4
    assert counted(sink, metrics.WORKERS_LOST) == 1
    assert counted(sink, metrics.DEAD_LETTERS, "takaro") == 3
    assert counted(sink, metrics.TRACKER_RESTARTS, "takaro") == 1

    meter.update(PoolFigures(0, 0, 3, 1, {}), {})
    assert sink.gauges[metrics.WAITING.name, "takaro"] == 0
    meter.close()
    assert set(sink.gauges.values()) == {0}


def test_names_follow_prometheus_conventions() -> None:
    names = [each.name for each in metrics.ALL]
    assert len(set(names)) == len(names) > 15
    for each in metrics.ALL:
        assert re.fullmatch(r"raysync(_[a-z]+)+", each.name)
        assert each.name.endswith("_total") == (each.kind is Kind.COUNTER)
        assert set(each.labels) <= {"tenant", "route", "outcome", "scope", "change", "state"}
