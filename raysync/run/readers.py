"""Port of what reads a run's channels: workers on Ray, or the process itself."""

from __future__ import annotations

from typing import Protocol

from raysync.models.events import JobHeader
from raysync.models.ids import JobId
from raysync.sync.ports import ChannelDispatcher
from raysync.worker.job_tracker import JobTracker


class ChannelReaders(Protocol):
    """What reads the channels of a run's jobs."""

    @property
    def submission_id(self) -> str | None:
        """Id of the run as a submitted job of a cluster."""
        ...

    @property
    def most_at_once(self) -> int:
        """Maximum number of channels read at the same moment."""
        ...

    async def track(self, tracker: JobTracker, header: JobHeader) -> None:
        """Open a job at its tracker."""
        ...

    def channels_of(self, job: JobTracker, header: JobHeader) -> ChannelDispatcher:
        """Return the dispatcher of one job's channels."""
        ...

    async def close_job(self, job_id: JobId) -> None:
        """Close the job's sessions."""
        ...

    def publish_metrics(self) -> None:
        """Publish the present values of the run's metrics."""
        ...
