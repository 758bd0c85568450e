"""Tracker of one job for its driver, before Ray is there and after."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from raysync.background import take_note
from raysync.models.events import ApiUsage, ChannelProgress, JobHeader, JobView, WorkerReport
from raysync.models.ids import ChannelId
from raysync.models.work import ChannelOutcome, ChannelTask, Skipped
from raysync.sync.progress.metering import TenantFigures
from raysync.worker.tracked_jobs import TrackedJobs


class Tracker(Protocol):
    """Receiver of a job's progress, and source of the job's view."""

    async def open(self) -> None:
        """Begin to track the job."""
        ...

    async def plan(self, tasks: Sequence[ChannelTask], skipped: Sequence[Skipped]) -> None:
        """Add planned channels."""
        ...

    async def planned(self) -> None:
        """Note that no more channels will be planned."""
        ...

    async def report(self, report: WorkerReport) -> None:
        """Fold a worker's report."""
        ...

    async def settle(self, outcome: ChannelOutcome) -> None:
        """Record the outcome of a channel."""
        ...

    async def usage(self) -> Mapping[str, ApiUsage]:
        """Return the requests of each worker."""
        ...

    async def under_way(self) -> Mapping[ChannelId, ChannelProgress]:
        """Return the progress of the channels that have begun and not ended."""
        ...

    async def view(self, busiest: int) -> JobView:
        """Return the job's view with its *busiest* channels."""
        ...

    async def close(self) -> None:
        """Flush the job, and stop tracking it."""
        ...

    def figures(self, waiting: int) -> TenantFigures:
        """Return the figures of the job that only the driver knows, and *waiting*."""
        ...


class OwnTracker:
    """`Tracker` over the boards of this process."""

    def __init__(self, header: JobHeader, jobs: TrackedJobs) -> None:
        self._header = header
        self._jobs = jobs
        self._failed = 0
        self.tasks: list[ChannelTask] = []
        self.skipped: list[Skipped] = []
        self.outcomes: list[ChannelOutcome] = []
        self.is_planned = False
        self.reports: dict[str, WorkerReport] = {}  #: of each worker, with all of its channels

    async def open(self) -> None:
        self._jobs.open(self._header)

    async def plan(self, tasks: Sequence[ChannelTask], skipped: Sequence[Skipped]) -> None:
        self.tasks += tasks
        self.skipped += skipped
        self._jobs.board(self._header.job_id).plan(tasks, skipped)

    async def planned(self) -> None:
        self.is_planned = True
        self._jobs.board(self._header.job_id).planned()

    async def report(self, report: WorkerReport) -> None:
        last = self.reports.get(report.worker_id)
        progress = {
            each.channel_id: each for each in (*(last.channels if last else ()), *report.channels)
        }
        self.reports[report.worker_id] = replace(report, channels=tuple(progress.values()))
        self._jobs.report(report)

    async def settle(self, outcome: ChannelOutcome) -> None:
        self.outcomes.append(outcome)
        self._failed += outcome.failure is not None
        self._jobs.board(self._header.job_id).settle(outcome)

    async def usage(self) -> Mapping[str, ApiUsage]:
        return self._jobs.board(self._header.job_id).usage()

    async def under_way(self) -> Mapping[ChannelId, ChannelProgress]:
        return self._jobs.board(self._header.job_id).under_way()

    async def view(self, busiest: int) -> JobView:
        return self._jobs.board(self._header.job_id).view(busiest)

    async def close(self) -> None:
        await self._jobs.close(self._header.job_id)

    def figures(self, waiting: int) -> TenantFigures:
        return TenantFigures(waiting, self._failed, 0)

    def leave(self) -> None:
        """Stop tracking the job without a flush: another tracker has all of it."""
        self._jobs.drop(self._header.job_id)


class JobTracker:
    """`Tracker` in this process, until another one takes the job over.

    Reports are sums, and folding them is idempotent. So the other tracker gets everything that
    was reported so far, once, and later reports complete it. Calls wait meanwhile.
    """

    def __init__(self, tenant: str, tracker: OwnTracker) -> None:
        self.tenant = tenant  #: slug of the job's tenant
        self._own: OwnTracker | None = tracker
        self._now: Tracker = tracker
        self._handing_over: asyncio.Task[None] | None = None

    async def hand_over(self, other: Tracker) -> None:
        """Send the job to *other*, and use it from now on. Idempotent.

        A cancelled call does not end the hand-over. Half-way, both trackers have the job open, and
        both would write its progress. Concurrent calls share one hand-over, and its error.
        """
        if self._own is None:
            return
        if self._handing_over is None or self._handing_over.done():
            self._handing_over = asyncio.create_task(self._hand_over(other))
            self._handing_over.add_done_callback(take_note)
        await asyncio.shield(self._handing_over)

    async def _hand_over(self, other: Tracker) -> None:
        own = self._own
        if own is None:
            return
        await other.open()
        await other.plan(own.tasks, own.skipped)
        for outcome in own.outcomes:
            await other.settle(outcome)
        if own.is_planned:
            await other.planned()
        for report in own.reports.values():
            await other.report(report)
        self._now, self._own = other, None
        own.leave()

    async def _present(self) -> Tracker:
        """Return the tracker of the moment; wait while it changes.

        Calls of the tracker in this process await nothing, so that none falls into a hand-over.
        """
        if self._own is not None and self._handing_over is not None:
            await asyncio.wait([self._handing_over])
        return self._now

    async def open(self) -> None:
        await (await self._present()).open()

    async def plan(self, tasks: Sequence[ChannelTask], skipped: Sequence[Skipped]) -> None:
        await (await self._present()).plan(tasks, skipped)

    async def planned(self) -> None:
        await (await self._present()).planned()

    async def report(self, report: WorkerReport) -> None:
        await (await self._present()).report(report)

    async def settle(self, outcome: ChannelOutcome) -> None:
        await (await self._present()).settle(outcome)

    async def usage(self) -> Mapping[str, ApiUsage]:
        return await (await self._present()).usage()

    async def under_way(self) -> Mapping[ChannelId, ChannelProgress]:
        return await (await self._present()).under_way()

    async def view(self, busiest: int) -> JobView:
        return await (await self._present()).view(busiest)

    async def close(self) -> None:
        await (await self._present()).close()

    def figures(self, waiting: int) -> TenantFigures:
        return self._now.figures(waiting)
