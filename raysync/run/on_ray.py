"""Parts of a run that need Ray. Nothing imports this module before Ray is needed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final

from raysync.actors.cluster import RunActors
from raysync.actors.control_service import (
    control_service_answers,
    control_service_listens,
    watch_control_service,
)
from raysync.actors.nodes import place_workers, watch_draining_nodes
from raysync.actors.offers import Placement
from raysync.actors.run_metrics import RunMetrics
from raysync.actors.runtime import RayRuntime, connect, disconnect, open_dashboard
from raysync.background import in_thread
from raysync.models.events import JobHeader
from raysync.models.ids import JobId
from raysync.pool.dispatch import Dispatcher
from raysync.pool.policies import ClusterScaling, LocalScaling
from raysync.run.active_jobs import ActiveJobs
from raysync.run.keys import RunKeys
from raysync.run.observer import RunObserver
from raysync.run.ray_plan import RayPlan
from raysync.settings import Settings
from raysync.worker.job_tracker import Tracker
from raysync.worker.secrets import JobSecrets

DASHBOARD_S: Final = 120.0
"""Timeout for the start of a local Ray's dashboard, in seconds; it usually takes four."""


class OnRay:
    """Actors, dispatcher and metrics of one run, on a Ray that this process has joined."""

    def __init__(self, plan: RayPlan, runtime: RayRuntime, placement: Placement | None) -> None:
        """Start the actors, and the first worker. Requires a running event loop.

        Without *placement*, workers may run anywhere.
        """
        self.runtime = runtime
        settings, active = plan.settings, plan.active
        slots = settings.channel_batch_size
        self.actors = RunActors(
            plan.keys.label,
            slots,
            is_local=runtime.is_local,
            worker_resource=settings.worker_resource if not runtime.is_local else None,
            worker_timeout_s=settings.worker_timeout_s,
            log_format=settings.log_format,
            placement=placement or Placement(),
        )
        self.dispatcher = Dispatcher(
            lambda number: self.actors.spawn(number, self._secrets_of(active)),
            slots,
            plan.clock,
            LocalScaling(plan.room.workers, slots, plan.in_flight)
            if runtime.is_local
            else ClusterScaling(plan.room.workers, slots),
            self.actors.new_slot_pool,
        )
        self.metrics = RunMetrics(self.dispatcher, active.trackers)
        background = [self.metrics.publish_for_ever(), self._end_without_control_service(active)]
        if not runtime.is_local:
            background.append(watch_draining_nodes(self.dispatcher.leave))
        if runtime.is_local and runtime.dashboard_url is None:
            background.append(self._open_dashboard(plan.observer))
        self._background = [asyncio.create_task(coroutine) for coroutine in background]
        self.dispatcher.warm_up(plan.early.channels)

    @staticmethod
    def _secrets_of(active: ActiveJobs) -> Callable[[JobId], JobSecrets]:
        secrets: Mapping[JobId, JobSecrets] = active.secrets
        return secrets.__getitem__

    async def _open_dashboard(self, observer: RunObserver) -> None:
        """Open the dashboard of a local Ray after the first worker, which must not wait for it."""
        await self.actors.worker_started.wait()
        url = None
        with suppress(TimeoutError):
            url = await in_thread(open_dashboard, DASHBOARD_S)
        if url is not None:
            observer.ray_ready(url, self.runtime.token_source)

    async def _end_without_control_service(self, active: ActiveJobs) -> None:
        """End all jobs once Ray's control service is gone for good."""
        is_there = control_service_listens if self.runtime.is_local else control_service_answers
        active.end(await watch_control_service(is_there))

    def tracker_of(self, header: JobHeader, database_url: str) -> Tracker:
        """Return the port of the run's tracker for a job, which is not open there yet."""
        return self.actors.tracker_of(header, database_url)

    async def end_workers(self) -> None:
        """Cancel the visits under way, whose progress is kept, and end the workers."""
        for task in self._background:
            task.cancel()
        self.metrics.close()
        await self.dispatcher.close()

    async def close(self) -> None:
        """End the other actors of the run; `end_workers` comes first."""
        if self.runtime.is_local:
            await self.actors.leave_tokens()
        await self.actors.end()


def join(settings: Settings, keys: RunKeys) -> RayRuntime:
    """Join the user's cluster, or start a local Ray, which works in any thread; see `connect`.

    Raises:
        ConfigurationError: Ray cannot be used.
    """
    return connect(
        settings.ray_address,
        settings.home,
        hidden=keys.variables,
        idle_s=settings.local_ray_idle_s,
    )


async def place_on_cluster(settings: Settings, bound: str | None) -> Placement:
    """Return the places of the workers on the user's cluster.

    *bound* is the reason why workers may not run on other machines, if there is one.

    Raises:
        ConfigurationError: the cluster cannot do the run's work.
    """
    return await place_workers(bound, settings.worker_resource)


def leave() -> None:
    """Leave the cluster, or end a local Ray."""
    disconnect()
