"""Jobs of a run that are under way, and the end of the run."""

from __future__ import annotations

import asyncio

from raysync.errors import RaysyncError
from raysync.models.events import WorkerReport
from raysync.models.ids import JobId
from raysync.sync.job.job import SyncJob
from raysync.worker.job_tracker import JobTracker
from raysync.worker.secrets import JobSecrets


class ActiveJobs:
    """Jobs under way, by id, with their secrets and trackers.

    Once the run is `ending`, no job begins, and each job under way is cancelled.
    """

    def __init__(self) -> None:
        self.secrets: dict[JobId, JobSecrets] = {}
        self.trackers: dict[JobId, JobTracker] = {}
        self.ending = asyncio.Event()
        self.ended_by: RaysyncError | None = None  #: None: the user ended the run
        self._jobs: dict[JobId, SyncJob] = {}

    def add(self, job_id: JobId, job: SyncJob, *, is_revoked: bool) -> None:
        """Add a job; cancel it at once if the run is ending or the job's lease is revoked."""
        self._jobs[job_id] = job
        if self.ending.is_set() or is_revoked:
            job.cancel(self.ended_by)

    def discard(self, job_id: JobId) -> None:
        """Remove a job, if it is there."""
        self._jobs.pop(job_id, None)
        self.trackers.pop(job_id, None)

    def cancel(self, job_id: JobId) -> None:
        """Cancel a job, if it is under way."""
        if job_id in self._jobs:
            self._jobs[job_id].cancel()

    async def report(self, report: WorkerReport) -> None:
        """Pass a report of the planner on to the job's tracker; ignore one after the job's end."""
        tracker = self.trackers.get(report.job_id)
        if tracker is not None:
            await tracker.report(report)

    def end(self, reason: RaysyncError | None) -> None:
        """End all jobs: they fail for *reason*, or are cancelled where it is None."""
        self.ended_by = self.ended_by or reason
        self.ending.set()
        for job in self._jobs.values():
            job.cancel(reason)
