"""Use of Ray by a run: a cluster from the start, a local Ray once a channel is to be read."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from raysync.background import in_thread, take_note
from raysync.models.events import JobHeader
from raysync.models.ids import JobId
from raysync.models.work import ChannelOutcome, ChannelTask
from raysync.run.ray_plan import RayPlan
from raysync.worker.job_tracker import JobTracker

if TYPE_CHECKING:
    from raysync.actors.offers import Placement
    from raysync.actors.runtime import RayRuntime
    from raysync.run.on_ray import OnRay


class RayUse:
    """The Ray of one run.

    A local Ray takes seconds of two cores to start, and a second to end. So a run plans first, and
    its driver reads the first pages. A run that has nothing to read needs no Ray. `ray.init` cannot
    be cancelled: a run that ends meanwhile waits for it.
    """

    def __init__(self, plan: RayPlan) -> None:
        self._plan = plan
        self._joining: asyncio.Task[RayRuntime] | None = None
        self._starting: asyncio.Task[OnRay] | None = None
        self._present: OnRay | None = None
        self.failure: Exception | None = None  #: why Ray could not be used

    async def join_cluster(self) -> None:
        """Join the user's cluster, in this thread, where signals are handled.

        Raises:
            ConfigurationError: the cluster cannot be used.
        """
        from raysync.run.on_ray import join, leave, place_on_cluster

        runtime = join(self._plan.settings, self._plan.keys)
        self._plan.on_ray()
        try:
            placement = await place_on_cluster(self._plan.settings, self._plan.bound)
            self._present = self._begin(runtime, placement)
            await self._plan.governor.hand_over(self._present.actors)
        except BaseException:
            leave()
            raise

    async def started(self) -> OnRay:
        """Return the run's Ray; start a local one if there is none yet.

        Raises:
            ConfigurationError: Ray cannot be used.
        """
        if self._starting is None and self._present is not None:
            return self._present
        return await asyncio.shield(self._start_once())  # other channels wait for it, too

    async def visit_early(self, task: ChannelTask) -> ChannelOutcome | ChannelTask:
        """Read the channel here while a local Ray starts.

        Return its outcome, or what is left of the task for a worker.
        """
        if self._starting is None and self._present is not None:
            return task
        self._start_once()
        return await self._plan.early.run(task)

    def _start_once(self) -> asyncio.Task[OnRay]:
        if self._starting is None:
            self._starting = asyncio.create_task(self._start())
            self._starting.add_done_callback(take_note)
        return self._starting

    async def _start(self) -> OnRay:
        self._joining = asyncio.create_task(in_thread(self._start_local, None))
        self._joining.add_done_callback(take_note)
        try:
            runtime = await asyncio.shield(self._joining)
            self._plan.on_ray()
            present = self._present = self._begin(runtime, None)
            await present.dispatcher.warmed_up()
        except Exception as error:
            self.failure = error
            raise
        finally:
            self._plan.early.end()
        await self._plan.governor.hand_over(present.actors)
        return present

    def _start_local(self) -> RayRuntime:
        from raysync.run.on_ray import join

        return join(self._plan.settings, self._plan.keys)

    def _begin(self, runtime: RayRuntime, placement: Placement | None) -> OnRay:
        """Start the run's actors; workers of a local Ray have one place, and no *placement*."""
        from raysync.run.on_ray import OnRay

        self._plan.observer.ray_ready(runtime.dashboard_url, runtime.token_source)
        return OnRay(self._plan, runtime, placement)

    def channels_of(self, job: JobTracker, header: JobHeader) -> JobChannels:
        """Return the dispatcher of one job's channels."""
        return JobChannels(self, job, header, self._plan.keys.database_url)

    async def track(self, tracker: JobTracker, header: JobHeader) -> None:
        """Open a job at its tracker: at Ray's if there is a Ray already."""
        if self._present is None:
            await tracker.open()
        else:
            url = self._plan.keys.database_url
            await tracker.hand_over(self._present.tracker_of(header, url))

    @property
    def submission_id(self) -> str | None:
        """Id of the run as a submitted job of the cluster."""
        return None if self._present is None else self._present.runtime.submission_id

    @property
    def most_at_once(self) -> int:
        """Maximum number of channels read at the same moment."""
        present = 0 if self._present is None else self._present.dispatcher.most_at_once
        return max(present, self._plan.early.most_at_once)

    def publish_metrics(self) -> None:
        """Publish the present values of the run's metrics, if Ray is there to export them."""
        if self._present is not None:
            self._present.metrics.publish()

    async def close_job(self, job_id: JobId) -> None:
        """Close the job's session in all workers; none of its channels may be in flight."""
        if self._present is not None:
            await self._present.dispatcher.close_job(job_id)

    async def end_workers(self) -> None:
        """End the workers, or a start of Ray that is under way."""
        if self._starting is not None:
            self._starting.cancel()
        if self._present is not None:
            await self._present.end_workers()

    async def close(self) -> None:
        """End the actors, and leave Ray.

        A cancelled call does not wait for a Ray that is still starting. Its processes end with
        this one, and so does the thread that starts it.
        """
        try:
            if self._joining is not None:
                await asyncio.wait([self._joining])
            if self._present is not None:
                await self._present.close()
        finally:
            is_starting = self._joining is not None and not self._joining.done()
            has_ray = self._joining is not None or self._present is not None
            if has_ray and not is_starting:  # `leave` would wait for the start
                from raysync.run.on_ray import leave

                leave()


class JobChannels:
    """Dispatcher of one job's channels; the first of them starts Ray."""

    def __init__(
        self, ray: RayUse, tracker: JobTracker, header: JobHeader, database_url: str
    ) -> None:
        self._ray = ray
        self._tracker = tracker
        self._header = header
        self._database_url = database_url

    async def run(self, task: ChannelTask) -> ChannelOutcome:
        """See `ChannelDispatcher`. Workers' reports need the job at Ray's tracker first."""
        left = await self._ray.visit_early(task)
        if isinstance(left, ChannelOutcome):
            return left
        present = await self._ray.started()
        await self._tracker.hand_over(present.tracker_of(self._header, self._database_url))
        return await present.dispatcher.run(left)
