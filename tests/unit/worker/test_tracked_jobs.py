"""Jobs of the tracker and reports of a worker, without Ray."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from raysync.errors import StoreUnavailableError, SyncError, UnknownJobError
from raysync.models.events import (
    ApiUsage,
    ChannelProgress,
    ChannelRow,
    JobHeader,
    JobView,
    WorkerReport,
)
from raysync.models.ids import ChannelId, JobId
from raysync.models.samples import JobSample
from raysync.models.status import SyncType
from raysync.models.work import ChannelTally
from raysync.worker.reporting import JobReporter
from raysync.worker.tracked_jobs import TrackedJobs
from tests.unit.sync.fakes import make_task
from tests.unit.sync.sinks import FakeSink
from tests.virtual_time import LoopClock, run_virtual

JOB = JobId("job")
HEADER = JobHeader(JOB, "takaro", SyncType.FULL, LoopClock.start, 48.0)


class FakeStore:
    """Store that keeps what the tracker writes, after it has raised the given errors."""

    def __init__(self) -> None:
        self.errors: list[Exception] = []
        self.saved: list[tuple[JobView, tuple[ChannelRow, ...]]] = []
        self.samples: list[JobSample | None] = []

    async def save_progress(
        self,
        view: JobView,
        rows: Sequence[ChannelRow],
        usage: Mapping[str, ApiUsage],
        sample: JobSample | None = None,
    ) -> None:
        if self.errors:
            raise self.errors.pop(0)
        self.saved.append((view, tuple(rows)))
        self.samples.append(sample)


def progress(messages: int, channel: int = 1) -> ChannelProgress:
    tally = ChannelTally(requests=1, messages=messages)
    return ChannelProgress(ChannelId(channel), 1, "worker-0", LoopClock.start, tally, None)


def report(sequence: int, messages: int) -> WorkerReport:
    return WorkerReport(JOB, "worker-0", sequence, (progress(messages),), ApiUsage())


def test_a_job_is_flushed_once_a_second_however_many_reports_arrive() -> None:
    store = FakeStore()

    async def scenario() -> None:
        jobs = TrackedJobs(store, FakeSink())
        jobs.open(HEADER)
        jobs.board(JOB).plan([make_task(1)], [])
        for number in range(100):
            jobs.report(report(number, number))
            await asyncio.sleep(0.05)

    run_virtual(scenario())

    assert 4 <= len(store.saved) <= 6
    assert store.saved[-1][0].messages > store.saved[0][0].messages


def test_each_flush_samples_the_progress() -> None:
    store = FakeStore()

    async def scenario() -> None:
        jobs = TrackedJobs(store, FakeSink())
        jobs.open(HEADER)
        jobs.board(JOB).plan([make_task(1)], [])
        for number in range(1, 4):
            jobs.report(report(number, 100 * number))
            await asyncio.sleep(1.01)
        await jobs.close(JOB)

    run_virtual(scenario())

    samples = [each for each in store.samples if each is not None]
    assert [each.messages for each in samples] == [100, 200, 300, 300]
    assert [each.taken_at for each in samples] == [view.heartbeat_at for view, _ in store.saved]


@pytest.mark.parametrize(
    "error", [StoreUnavailableError("the database is away"), LookupError("nobody thought of it")]
)
def test_a_failed_flush_is_repeated_with_the_next_one(error: Exception) -> None:
    store = FakeStore()
    store.errors = [error]

    async def scenario() -> None:
        jobs = TrackedJobs(store, FakeSink())
        jobs.open(HEADER)
        jobs.board(JOB).plan([make_task(1)], [])
        await asyncio.sleep(2.5)

    run_virtual(scenario())

    assert [len(rows) for _, rows in store.saved] == [1]


def test_a_new_tracker_raises_unknown_job() -> None:
    with pytest.raises(UnknownJobError):
        TrackedJobs(FakeStore(), FakeSink()).report(report(1, 1))


def test_a_report_after_the_jobs_end_is_ignored() -> None:
    async def scenario() -> None:
        jobs = TrackedJobs(FakeStore(), FakeSink())
        jobs.open(HEADER)
        await jobs.close(JOB)
        jobs.report(report(1, 1))

    run_virtual(scenario())


class FakeTracker:
    """Tracker that accepts a worker's reports, or raises the given errors."""

    def __init__(self) -> None:
        self.errors: list[Exception] = []
        self.reports: list[WorkerReport] = []

    async def send(self, report: WorkerReport) -> None:
        if self.errors:
            raise self.errors.pop(0)
        self.reports.append(report)


def test_reports_are_numbered_and_have_the_latest_progress_of_each_channel() -> None:
    tracker = FakeTracker()

    async def scenario() -> None:
        reporter = JobReporter(JOB, "worker-0", tracker.send, ApiUsage)
        reporter.note(progress(100))
        reporter.note(progress(200))
        reporter.note(progress(50, channel=2))
        await reporter.flush()
        await reporter.close()

    run_virtual(scenario())

    assert [each.sequence for each in tracker.reports] == [1, 2]
    sent = {each.channel_id: each.tally.messages for each in tracker.reports[0].channels}
    assert sent == {1: 200, 2: 50}


def test_a_refused_report_is_sent_again() -> None:
    tracker = FakeTracker()
    tracker.errors = [SyncError("the tracker is away")]

    async def scenario() -> None:
        reporter = JobReporter(JOB, "worker-0", tracker.send, ApiUsage)
        reporter.note(progress(100))
        await asyncio.sleep(1.2)
        await reporter.close()

    run_virtual(scenario())

    assert [each.channel_id for one in tracker.reports for each in one.channels] == [1]


def test_a_worker_that_does_nothing_reports_nothing() -> None:
    tracker = FakeTracker()

    async def scenario() -> None:
        reporter = JobReporter(JOB, "worker-0", tracker.send, ApiUsage)
        await asyncio.sleep(60)
        assert tracker.reports == []
        await reporter.close()

    run_virtual(scenario())
