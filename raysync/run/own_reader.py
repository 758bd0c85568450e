"""Reader of a run's channels in this process, without Ray.

A tail settles with it: one process is enough for a token's limit, and starting Ray takes longer
than most passes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime
from typing import Final

from raysync.clock import Clock
from raysync.errors import RaysyncError, RunStoppedError
from raysync.models.events import JobHeader
from raysync.models.ids import JobId
from raysync.models.status import ChannelJobStatus
from raysync.models.work import ChannelOutcome, ChannelTask
from raysync.pool.dispatch import next_visit
from raysync.sync.retry import failure_of
from raysync.worker.job_tracker import JobTracker

ATTEMPTS: Final = 3
"""Attempts at a channel whose visit fails as a whole; a channel's own failures are outcomes."""
RETRY_S: Final = 1.0


class OwnReader:
    """`ChannelReaders` and `ChannelDispatcher` of a process that has no workers."""

    submission_id: str | None = None

    def __init__(
        self,
        sync_channel: Callable[[ChannelTask], Awaitable[ChannelOutcome]],
        slots: int,
        clock: Clock,
    ) -> None:
        """Read at most *slots* channels at once by *sync_channel*."""
        self._sync_channel = sync_channel
        self._free = asyncio.Semaphore(slots)
        self._clock = clock
        self._reading = 0
        self.most_at_once = 0

    async def track(self, tracker: JobTracker, _header: JobHeader) -> None:
        """See `ChannelReaders`."""
        await tracker.open()

    def channels_of(self, _job: JobTracker, _header: JobHeader) -> OwnReader:
        """See `ChannelReaders`."""
        return self

    async def close_job(self, job_id: JobId) -> None:
        """See `ChannelReaders`. The planning worker closes the job's only session."""

    def publish_metrics(self) -> None:
        """See `ChannelReaders`. There is no Ray to export them."""

    async def run(self, task: ChannelTask) -> ChannelOutcome:
        """Sync a channel, in as many visits as it takes."""
        started_at = self._clock.now()
        while True:
            try:
                outcome = await self._visit(task)
            except RunStoppedError:
                raise
            except RaysyncError as error:
                if task.attempt >= ATTEMPTS:
                    return self._failed(task, started_at, error)
                task = replace(task, attempt=task.attempt + 1, paged_ago_s=())
                await asyncio.sleep(RETRY_S)
                continue
            if outcome.parked is None:
                return outcome
            task = next_visit(task, outcome, outcome.parked)
            parked_at_s = self._clock.monotonic_s()
            await asyncio.sleep(outcome.parked.ready_after_s)
            parked_s = self._clock.monotonic_s() - parked_at_s
            ages_s = tuple(age_s + parked_s for age_s in task.paged_ago_s)
            task = replace(task, paged_ago_s=ages_s)

    async def _visit(self, task: ChannelTask) -> ChannelOutcome:
        is_crowded = self._free.locked()
        async with self._free:
            self._reading += 1
            self.most_at_once = max(self.most_at_once, self._reading)
            try:
                return await self._sync_channel(replace(task, is_hurried=is_crowded))
            finally:
                self._reading -= 1

    def _failed(self, task: ChannelTask, began_at: datetime, error: RaysyncError) -> ChannelOutcome:
        now = self._clock.now()
        return ChannelOutcome(
            channel_id=task.channel_id,
            status=ChannelJobStatus.FAILED,
            worker_id="",
            attempt=task.attempt,
            started_at=task.started_at or began_at,
            completed_at=now,
            tally=task.done,
            retry_count=task.retries_before + task.attempt - 1,
            failure=failure_of(error),
            visits=task.visits,
        )
