"""The ProgressTracker: one actor a run, which folds reports and writes them down."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Protocol

import ray

from raysync.actors.metrics import RayMetrics
from raysync.clock import SystemClock
from raysync.credentials import SealedInbox
from raysync.errors import SyncError, safe_message
from raysync.logs import LogFormat, configure_logs
from raysync.models.events import ApiUsage, ChannelProgress, ChannelRow, JobView, WorkerReport
from raysync.models.ids import ChannelId, JobId
from raysync.models.samples import JobSample
from raysync.models.work import ChannelOutcome, ChannelTask, Skipped
from raysync.store.connection.engine import open_engine
from raysync.store.jobs.lifecycle import JobStore
from raysync.sync.metering import JobMeter
from raysync.sync.metrics import MetricSink
from raysync.sync.progress import JobHeader, ProgressBoard

_log = logging.getLogger(__name__)

FLUSH_PERIOD_S = 1.0


class UnknownJobError(SyncError):
    """This tracker was restarted and does not know the job yet."""


class ProgressStore(Protocol):
    """Where the tracker writes a job down; the store's JobStore by shape."""

    async def save_progress(
        self,
        view: JobView,
        rows: Sequence[ChannelRow],
        usage: Mapping[str, ApiUsage],
        sample: JobSample | None = None,
    ) -> None:
        """Heartbeat, view without channels, changed rows, counters, sample: one transaction."""
        ...


class TrackedJobs:
    """The boards of a run's jobs, and the beat that writes them down.

    The database has what must survive: checkpoints are committed with the pages. If this dies,
    its driver tells a new one what it planned and how it ended, and workers go on reporting sums.
    """

    def __init__(self, record: ProgressStore, sink: MetricSink) -> None:
        self._record = record
        self._sink = sink
        self._boards: dict[JobId, ProgressBoard] = {}
        self._meters: dict[JobId, JobMeter] = {}
        self._closed: set[JobId] = set()
        self._beat: asyncio.Task[None] | None = None

    def open(self, header: JobHeader) -> None:
        """Begin to track a job; again for one that is tracked changes nothing."""
        if header.job_id not in self._boards:
            self._boards[header.job_id] = ProgressBoard(header, SystemClock())
            self._meters[header.job_id] = JobMeter(header.tenant, self._sink)
        if self._beat is None:
            self._beat = asyncio.create_task(self._flush_for_ever())

    def board(self, job_id: JobId) -> ProgressBoard:
        """The board of a job. Raises UnknownJobError."""
        try:
            return self._boards[job_id]
        except KeyError:
            raise UnknownJobError(f"job {job_id} is not tracked here") from None

    async def flush(self, job_id: JobId) -> None:
        """Write down what changed since the last time. Raises the store's errors."""
        board = self.board(job_id)
        view, usage = board.view(0), board.usage()
        self._meters[job_id].tell(view, board.states(), board.efficiency(), usage)
        rows = board.take_changed()
        try:
            await self._record.save_progress(view, rows, usage, board.sample(view))
        except BaseException:
            board.put_back(rows)
            raise

    def report(self, report: WorkerReport) -> None:
        """Fold a worker's report; one that comes after the job's end is of no use any more."""
        if report.job_id not in self._closed:
            self.board(report.job_id).report(report)
            self._meters[report.job_id].meet(report)

    async def close(self, job_id: JobId) -> None:
        """Write the rest down and forget the job."""
        await self.flush(job_id)
        del self._boards[job_id]
        self._meters.pop(job_id).close()
        self._closed.add(job_id)

    async def _flush_for_ever(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_PERIOD_S)
            for job_id in list(self._boards):
                if job_id not in self._boards:  # closed while others were written
                    continue
                try:
                    await self.flush(job_id)
                except Exception as error:  # noqa: BLE001 the next beat writes it, and must come
                    place = {"event": "progress_not_written", "job_id": job_id}
                    _log.warning("progress was not written: %s", safe_message(error), extra=place)


class ProgressTracker:
    """Actor shell. Owned by the run's driver and gone with it; every method is idempotent."""

    def __init__(self, run: str, log_format: LogFormat) -> None:
        configure_logs(log_format, role="tracker", run=run)
        self._inbox = SealedInbox()
        self._jobs: TrackedJobs | None = None

    async def public_key(self) -> bytes:
        """Where to seal the database's URL to."""
        return self._inbox.public_key()

    async def connect(self, sealed_database_url: bytes) -> None:
        """Open the database; again changes nothing."""
        if self._jobs is None:
            url = self._inbox.open(sealed_database_url).decode()
            engine = open_engine(url, pool_size=2, application_name="raysync tracker")
            self._jobs = TrackedJobs(JobStore(engine), RayMetrics())

    def _tracked(self) -> TrackedJobs:
        if self._jobs is None:
            raise UnknownJobError("this tracker was restarted")
        return self._jobs

    async def open(self, header: JobHeader) -> None:
        self._tracked().open(header)

    async def plan(
        self, job_id: JobId, tasks: Sequence[ChannelTask], skipped: Sequence[Skipped]
    ) -> None:
        self._tracked().board(job_id).plan(tasks, skipped)

    async def planned(self, job_id: JobId) -> None:
        self._tracked().board(job_id).planned()

    async def report(self, report: WorkerReport) -> None:
        self._tracked().report(report)

    async def settle(self, job_id: JobId, outcome: ChannelOutcome) -> None:
        self._tracked().board(job_id).settle(outcome)

    async def usage(self, job_id: JobId) -> Mapping[str, ApiUsage]:
        return self._tracked().board(job_id).usage()

    async def under_way(self, job_id: JobId) -> Mapping[ChannelId, ChannelProgress]:
        return self._tracked().board(job_id).under_way()

    async def view(self, job_id: JobId, busiest: int) -> JobView:
        return self._tracked().board(job_id).view(busiest)

    async def close(self, job_id: JobId) -> None:
        """Write down what is left of a job."""
        await self._tracked().close(job_id)


ProgressTrackerActor = ray.remote(ProgressTracker)
