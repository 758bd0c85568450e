"""Progress of a run's jobs, as the tracker folds it from reports and writes it to the database."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Protocol

from raysync.clock import SystemClock
from raysync.errors import UnknownJobError, safe_message
from raysync.models.events import ApiUsage, ChannelRow, JobHeader, JobView, WorkerReport
from raysync.models.ids import JobId
from raysync.models.samples import JobSample
from raysync.sync.progress.board import ProgressBoard
from raysync.sync.progress.metering import JobMeter
from raysync.sync.progress.metrics import MetricSink

_log = logging.getLogger(__name__)

FLUSH_PERIOD_S = 1.0


class ProgressStore(Protocol):
    """Store for a job's progress; JobStore satisfies it."""

    async def save_progress(
        self,
        view: JobView,
        rows: Sequence[ChannelRow],
        usage: Mapping[str, ApiUsage],
        sample: JobSample | None = None,
    ) -> None:
        """Write heartbeat, view without channels, changed rows, counters and sample atomically."""
        ...


class TrackedJobs:
    """Progress boards of a run's jobs, flushed to the database once a second.

    This is a cache: what must survive is committed with the pages, as checkpoints. After a crash
    the driver sends the plan and the outcomes to a new tracker, and workers report sums as before.
    """

    def __init__(self, store: ProgressStore, sink: MetricSink) -> None:
        self._store = store
        self._sink = sink
        self._boards: dict[JobId, ProgressBoard] = {}
        self._meters: dict[JobId, JobMeter] = {}
        self._closed: set[JobId] = set()
        self._flushing: asyncio.Task[None] | None = None

    def open(self, header: JobHeader) -> None:
        """Begin to track a job. Idempotent."""
        if header.job_id not in self._boards:
            self._boards[header.job_id] = ProgressBoard(header, SystemClock())
            self._meters[header.job_id] = JobMeter(header.tenant, self._sink)
        if self._flushing is None:
            self._flushing = asyncio.create_task(self._flush_for_ever())

    def board(self, job_id: JobId) -> ProgressBoard:
        """Return the board of a job. Raises UnknownJobError."""
        try:
            return self._boards[job_id]
        except KeyError:
            raise UnknownJobError(f"job {job_id} is not tracked here") from None

    async def flush(self, job_id: JobId) -> None:
        """Write the changes since the last flush. Raises the store's errors."""
        board = self.board(job_id)
        view, usage = board.view(0), board.usage()
        self._meters[job_id].update(view, board.states(), board.efficiency(), usage)
        rows = board.take_changed()
        try:
            await self._store.save_progress(view, rows, usage, board.sample(view))
        except BaseException:
            board.put_back(rows)
            raise

    def report(self, report: WorkerReport) -> None:
        """Fold a worker's report; ignore one that arrives after the job has been closed."""
        if report.job_id not in self._closed:
            self.board(report.job_id).report(report)
            self._meters[report.job_id].register(report)

    async def close(self, job_id: JobId) -> None:
        """Flush the job, then stop tracking it."""
        await self.flush(job_id)
        del self._boards[job_id]
        self._meters.pop(job_id).close()
        self._closed.add(job_id)

    def drop(self, job_id: JobId) -> None:
        """Stop tracking a job without a flush: another tracker has all of it. Idempotent."""
        if self._boards.pop(job_id, None) is not None:
            self._meters.pop(job_id).close()
        self._closed.add(job_id)

    async def end(self) -> None:
        """Stop the periodic flushes."""
        if self._flushing is not None:
            self._flushing.cancel()
            await asyncio.wait([self._flushing])

    async def _flush_for_ever(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_PERIOD_S)
            for job_id in list(self._boards):
                if job_id not in self._boards:  # closed while other jobs were flushed
                    continue
                try:
                    await self.flush(job_id)
                except Exception as error:  # noqa: BLE001 the next flush retries, and must happen
                    place = {"event": "progress_not_written", "job_id": job_id}
                    _log.warning("progress was not written: %s", safe_message(error), extra=place)
