"""Metrics of a run that only its driver knows: workers, queues, losses and failed channels."""

from __future__ import annotations

from collections.abc import Mapping

from raysync.actors.metrics import RayMetrics, beat
from raysync.models.ids import JobId
from raysync.pool.dispatch import Dispatcher
from raysync.sync.progress.metering import RunMeter
from raysync.worker.job_tracker import JobTracker


class RunMetrics:
    """Meter over the dispatcher and the running jobs' trackers."""

    def __init__(self, dispatcher: Dispatcher, trackers: Mapping[JobId, JobTracker]) -> None:
        self._dispatcher = dispatcher
        self._trackers = trackers
        self._meter = RunMeter(RayMetrics())

    def publish(self) -> None:
        """Publish the present values."""
        pool = self._dispatcher.figures()
        tenants = {
            tracker.tenant: tracker.figures(pool.waiting.get(job_id, 0))
            for job_id, tracker in self._trackers.items()
        }
        self._meter.update(pool, tenants)

    async def publish_for_ever(self) -> None:
        """Publish the present values about once a second."""
        await beat(self.publish)

    def close(self) -> None:
        """Set all gauges to 0."""
        self._meter.close()
