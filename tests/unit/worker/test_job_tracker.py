"""A job's tracker in the driver, and its hand-over, without Ray."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest

from raysync.errors import SyncError
from raysync.models.events import ApiUsage, WorkerReport
from raysync.worker.job_tracker import JobTracker, OwnTracker
from raysync.worker.tracked_jobs import TrackedJobs
from tests.unit.sync.fakes import make_task
from tests.unit.sync.sinks import FakeSink
from tests.unit.worker.test_tracked_jobs import HEADER, JOB, FakeStore, progress
from tests.virtual_time import run_virtual


def usage(requests: int) -> ApiUsage:
    return ApiUsage(calls={"GET /guilds": requests})


def planning(sequence: int, requests: int) -> WorkerReport:
    return WorkerReport(JOB, "driver", sequence, (), usage(requests))


class SlowTracker(OwnTracker):
    """Tracker to which each call takes a while, as to another process."""

    async def open(self) -> None:
        await asyncio.sleep(0.3)
        await super().open()

    async def plan(self, tasks, skipped) -> None:  # type: ignore[no-untyped-def]
        await asyncio.sleep(0.3)
        await super().plan(tasks, skipped)

    async def report(self, report: WorkerReport) -> None:
        await asyncio.sleep(0.3)
        await super().report(report)


def test_a_job_is_stored_while_there_is_no_other_tracker() -> None:
    store = FakeStore()

    async def scenario() -> None:
        jobs = TrackedJobs(store, FakeSink())
        tracker = JobTracker("takaro", OwnTracker(HEADER, jobs))
        await tracker.open()
        await tracker.plan([make_task(1), make_task(2)], [])
        await tracker.report(planning(1, 5))
        await asyncio.sleep(1.5)
        assert store.saved[-1][0].channels_total == 2
        assert store.saved[-1][0].planning
        await tracker.planned()
        assert await tracker.usage() == {"driver": usage(5)}
        await tracker.close()
        await jobs.end()

    run_virtual(scenario())

    assert not store.saved[-1][0].planning


def test_the_other_tracker_gets_everything_once_and_what_comes_meanwhile() -> None:
    ours, theirs = FakeStore(), FakeStore()

    async def scenario() -> None:
        own = TrackedJobs(ours, FakeSink())
        tracker = JobTracker("takaro", OwnTracker(HEADER, own))
        await tracker.open()
        await tracker.plan([make_task(1), make_task(2)], [])
        await tracker.report(planning(1, 5))
        other = SlowTracker(HEADER, TrackedJobs(theirs, FakeSink()))
        first = asyncio.create_task(tracker.hand_over(other))
        await asyncio.sleep(0.1)
        meanwhile = asyncio.gather(
            tracker.plan([make_task(3)], []),
            tracker.report(planning(2, 7)),
            tracker.planned(),
            tracker.hand_over(SlowTracker(HEADER, TrackedJobs(FakeStore(), FakeSink()))),
        )
        await first
        await meanwhile
        worker = WorkerReport(JOB, "worker-0", 1, (progress(40),), usage(1))
        await tracker.report(worker)

        assert other.tasks == [make_task(1), make_task(2), make_task(3)]
        assert other.is_planned
        assert await tracker.usage() == {"driver": usage(7), "worker-0": usage(1)}
        written = len(ours.saved)
        await asyncio.sleep(3.0)
        assert len(ours.saved) == written, "one tracker writes the job"
        await tracker.close()
        await own.end()

    run_virtual(scenario())

    view, _ = theirs.saved[-1]
    assert (view.channels_total, view.messages, view.planning) == (3, 40, False)


def test_channels_that_the_driver_reads_are_under_way_after_the_hand_over() -> None:
    """A report names only the channels with news since the one before."""

    async def scenario() -> None:
        own, shared = TrackedJobs(FakeStore(), FakeSink()), TrackedJobs(FakeStore(), FakeSink())
        tracker = JobTracker("takaro", OwnTracker(HEADER, own))
        await tracker.open()
        await tracker.plan([make_task(1), make_task(2)], [])
        for sequence, moved in enumerate((progress(10), progress(20, 2), progress(30)), start=1):
            await tracker.report(WorkerReport(JOB, "driver", sequence, (moved,), usage(sequence)))
        await tracker.hand_over(OwnTracker(HEADER, shared))

        under_way = await tracker.under_way()
        assert {key: each.tally.messages for key, each in under_way.items()} == {1: 30, 2: 20}
        await tracker.close()
        await own.end()
        await shared.end()

    run_virtual(scenario())


def test_a_hand_over_goes_on_although_the_channel_that_began_it_is_cancelled() -> None:
    """Otherwise both trackers have the job, and the half of the other one is written last."""
    ours, theirs = FakeStore(), FakeStore()

    async def scenario() -> None:
        own, shared = TrackedJobs(ours, FakeSink()), TrackedJobs(theirs, FakeSink())
        tracker = JobTracker("takaro", OwnTracker(HEADER, own))
        await tracker.open()
        await tracker.plan([make_task(1), make_task(2)], [])
        await tracker.report(planning(1, 5))
        beginning = asyncio.create_task(tracker.hand_over(SlowTracker(HEADER, shared)))
        await asyncio.sleep(0.4)
        beginning.cancel()
        await tracker.close()
        written = len(theirs.saved)
        await asyncio.sleep(3.0)
        assert len(theirs.saved) == written, "the job is closed there"
        await own.end()
        await shared.end()

    run_virtual(scenario())

    assert ours.saved == []
    assert theirs.saved[-1][0].channels_total == 2


def test_a_failed_hand_over_is_repeated_by_the_next_channel() -> None:
    class Failing(SlowTracker):
        async def plan(self, tasks, skipped) -> None:  # type: ignore[no-untyped-def]
            raise SyncError("the tracker was lost")

    async def scenario() -> int:
        own, shared = TrackedJobs(FakeStore(), FakeSink()), TrackedJobs(FakeStore(), FakeSink())
        tracker = JobTracker("takaro", OwnTracker(HEADER, own))
        await tracker.open()
        await tracker.plan([make_task(1)], [])
        with pytest.raises(SyncError):
            await tracker.hand_over(Failing(HEADER, shared))
        other = OwnTracker(HEADER, shared)
        await tracker.hand_over(other)
        await own.end()
        await shared.end()
        return len(other.tasks)

    assert run_virtual(scenario()) == 1


def test_a_job_may_begin_at_the_other_tracker() -> None:
    """On a cluster there is one from the start."""
    ours, theirs = FakeStore(), FakeStore()

    async def scenario() -> None:
        own = TrackedJobs(ours, FakeSink())
        tracker = JobTracker("takaro", OwnTracker(HEADER, own))
        await tracker.hand_over(OwnTracker(HEADER, TrackedJobs(theirs, FakeSink())))
        await tracker.plan([make_task(1)], [])
        await tracker.close()
        await own.end()

    run_virtual(scenario())

    assert ours.saved == []
    assert [view.channels_total for view, _ in theirs.saved] == [1]


def test_a_run_imports_no_ray_before_it_needs_ray() -> None:
    """`import ray` takes half a second of a core, and its processes seconds."""
    code = "import raysync.run.driver, sys; print(sorted(m for m in sys.modules if m == 'ray'))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"
