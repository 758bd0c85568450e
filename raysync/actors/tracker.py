"""Actor shell of the ProgressTracker: one actor per run, which collects and stores progress."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import ray

from raysync.actors.metrics import RayMetrics
from raysync.credentials import SealedInbox
from raysync.errors import UnknownJobError
from raysync.logs import LogFormat, configure_logs
from raysync.models.events import ApiUsage, ChannelProgress, JobHeader, JobView, WorkerReport
from raysync.models.ids import ChannelId, JobId
from raysync.models.work import ChannelOutcome, ChannelTask, Skipped
from raysync.store.connection.engine import open_engine
from raysync.store.jobs.lifecycle import JobStore
from raysync.worker.tracked_jobs import TrackedJobs


class ProgressTracker:
    """Actor shell. Owned by the run's driver and gone with it; every method is idempotent."""

    def __init__(self, run: str, log_format: LogFormat) -> None:
        configure_logs(log_format, role="tracker", run=run)
        self._inbox = SealedInbox()
        self._jobs: TrackedJobs | None = None

    async def public_key(self) -> bytes:
        """Return the public key to which the database's URL is sealed."""
        return self._inbox.public_key()

    async def connect(self, sealed_database_url: bytes) -> None:
        """Open the database, unless it is open."""
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

    @ray.method(enable_task_events=False)  # too many for the dashboard's list of tasks
    async def report(self, report: WorkerReport) -> None:
        self._tracked().report(report)

    @ray.method(enable_task_events=False)
    async def settle(self, job_id: JobId, outcome: ChannelOutcome) -> None:
        self._tracked().board(job_id).settle(outcome)

    async def usage(self, job_id: JobId) -> Mapping[str, ApiUsage]:
        return self._tracked().board(job_id).usage()

    async def under_way(self, job_id: JobId) -> Mapping[ChannelId, ChannelProgress]:
        return self._tracked().board(job_id).under_way()

    @ray.method(enable_task_events=False)
    async def view(self, job_id: JobId, busiest: int) -> JobView:
        return self._tracked().board(job_id).view(busiest)

    async def close(self, job_id: JobId) -> None:
        """Flush the job, then stop tracking it."""
        await self._tracked().close(job_id)


ProgressTrackerActor = ray.remote(ProgressTracker)
