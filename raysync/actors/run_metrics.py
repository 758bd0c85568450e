"""The metrics of a run that its driver knows: workers, queues, what was lost and given up."""

from __future__ import annotations

from collections.abc import Mapping

from raysync.actors.handles import RemoteTracker
from raysync.actors.metrics import RayMetrics, beat
from raysync.models.ids import JobId
from raysync.pool.dispatch import Dispatcher
from raysync.sync.metering import RunMeter


class RunMetrics:
    """Reads the dispatcher and the running jobs' trackers, as they are when it tells."""

    def __init__(self, dispatcher: Dispatcher, trackers: Mapping[JobId, RemoteTracker]) -> None:
        self._dispatcher = dispatcher
        self._trackers = trackers
        self._meter = RunMeter(RayMetrics())

    def tell(self) -> None:
        """Bring the metrics up to date."""
        pool = self._dispatcher.figures()
        tenants = {
            each.tenant: each.figures(pool.waiting.get(job_id, 0))
            for job_id, each in self._trackers.items()
        }
        self._meter.update(pool, tenants)

    async def tell_for_ever(self) -> None:
        """The same, about once a second."""
        await beat(self.tell)

    def close(self) -> None:
        """Let what is shown end at 0."""
        self._meter.close()
