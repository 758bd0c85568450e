"""Composition root of a run: the only module that wires its parts together."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from raysync.clock import SystemClock
from raysync.database import embedded_server, open_store
from raysync.errors import RaysyncError
from raysync.logs import configure_logs
from raysync.models.entities import Tenant
from raysync.models.permits import Sharer
from raysync.models.results import RunResult, SyncJobResult
from raysync.pool.early_visits import EarlyVisits
from raysync.run.active_jobs import ActiveJobs
from raysync.run.interruption import until_signalled
from raysync.run.keys import RunKeys
from raysync.run.observer import RunObserver
from raysync.run.ray_plan import RayPlan
from raysync.run.ray_use import RayUse
from raysync.run.requests import (
    Room,
    SyncRequest,
    as_begun,
    bound_to_here,
    check_vault,
    chosen_tenants,
    require_any,
    room_of,
)
from raysync.run.tenant_job import RunParts, TenantJob
from raysync.run.views import show_progress
from raysync.settings import Settings
from raysync.signals import handlers_restored
from raysync.store.connection.engine import Engine
from raysync.store.jobs.lease import TenantHolder
from raysync.store.jobs.lifecycle import JobStore
from raysync.sync.outage import OutageWatch
from raysync.sync.planning.archives import LISTINGS_AT_ONCE
from raysync.sync.results.unstarted import failed_result, unbegun_result
from raysync.sync.retry import RetryPolicy
from raysync.worker.channel_worker import ChannelWorker
from raysync.worker.driver_governor import DRIVER, DriverGovernor
from raysync.worker.tracked_jobs import TrackedJobs
from raysync.worker.unmeasured import NoMetrics

_log = logging.getLogger(__name__)

MOST_LISTINGS_AT_ONCE = 64
"""Maximum number of concurrent lists of all tenants; at 0.1 s each, one process's maximum rate."""


def sync(request: SyncRequest, settings: Settings, observer: RunObserver) -> RunResult:
    """Run `run_sync` for a terminal: one signal ends it cleanly, a second SIGINT at once.

    Raises:
        KeyboardInterrupt: the second SIGINT, or one before anything began.
    """
    configure_logs(settings.log_format, role="driver")
    with handlers_restored():
        return asyncio.run(
            until_signalled(
                lambda stop, on_ray: run_sync(request, settings, observer, stop, on_ray)
            )
        )


async def run_sync(
    request: SyncRequest,
    settings: Settings,
    observer: RunObserver,
    stop: asyncio.Event,
    on_ray: Callable[[], None] = lambda: None,
) -> RunResult:
    """Sync the tenants of *request*; *stop* ends the run cleanly, with resumable jobs.

    *on_ray* installs the signal handlers. It is called before the first request, and again once Ray
    has started, which replaces them.

    Raises:
        ConfigurationError: the run is impossible; raised before any request where that is known.
    """
    async with open_store(settings, pool_size=4) as engine:
        request = await as_begun(engine, request)
        tenants = await chosen_tenants(engine, request)
        keys = await RunKeys.find(settings, engine, tenants)
        await require_any(engine, tenants, keys.missing)
        await check_vault(request.extras, tenants)
        room = await room_of(engine, request, settings, len(tenants))
        bound = bound_to_here(settings, request.extras, tenants)
        run = _Run(request, settings, observer, engine, keys, room, bound, on_ray)
        return await run.sync_all(tenants, stop)


class _Run:
    """One invocation: its parts, and a job for each tenant."""

    def __init__(
        self,
        request: SyncRequest,
        settings: Settings,
        observer: RunObserver,
        engine: Engine,
        keys: RunKeys,
        room: Room,
        bound: str | None,
        on_ray: Callable[[], None],
    ) -> None:
        self._observer = observer
        self._keys = keys
        self._is_local = settings.ray_address is None
        self._on_ray = on_ray
        self._clock = SystemClock()
        self._active = ActiveJobs()
        policy = RetryPolicy(base_s=settings.retry_delay_ms / 1000)
        server = embedded_server(settings)
        self._outages = OutageWatch(self._clock, observer, server, policy.run_outage_s)
        self._turns = asyncio.Semaphore(room.tenants)  # first in, first out
        self._governor = DriverGovernor(Sharer(keys.label, DRIVER), self._clock)
        slots = min(LISTINGS_AT_ONCE * room.tenants, MOST_LISTINGS_AT_ONCE)
        self._planning = ChannelWorker(
            DRIVER,
            slots,
            self._governor.lease_for,
            self._governor.observe_for,
            self._governor.watch(),
            self._active.report,
            connections=2,
        )
        self._tracked = TrackedJobs(JobStore(engine), NoMetrics())
        self._ray = RayUse(
            RayPlan(
                settings,
                keys,
                room,
                bound,
                observer,
                self._clock,
                self._active,
                self._governor,
                EarlyVisits(self._planning.sync_channel, slots, self._clock),
                lambda: self._planning.in_flight_at(settings.global_requests_per_second),
                on_ray,
            )
        )
        self._parts = RunParts(
            request,
            settings,
            observer,
            engine,
            keys,
            self._clock,
            policy,
            TenantHolder(engine, self._outages.note),
            self._ray,
            self._planning,
            self._tracked,
            self._active,
        )

    async def sync_all(self, tenants: Sequence[Tenant], stop: asyncio.Event) -> RunResult:
        """Sync all tenants with one pool of workers, as many concurrently as there is room for.

        Raises:
            ConfigurationError: Ray cannot be used, and no job has begun.
        """
        if self._is_local:
            self._on_ray()  # signals end the run from now on, before there is a Ray
        else:
            await self._ray.join_cluster()
        background = [
            self._end_after(stop.wait),
            self._end_after(self._outages.watch),
            show_progress(self._active.trackers, self._observer),
        ]
        tasks = [asyncio.create_task(coroutine) for coroutine in background]
        jobs = [TenantJob(self._parts, tenant) for tenant in tenants]
        try:
            ends = await asyncio.gather(
                *(self._in_turn(job) for job in jobs), return_exceptions=True
            )
        finally:
            for task in tasks:
                task.cancel()
            await self._close()
        is_begun = any(job.job_id is not None for job in jobs)
        if self._ray.failure is not None and not is_begun and not stop.is_set():
            raise self._ray.failure
        pairs = zip(jobs, ends, strict=True)
        return RunResult(jobs=[self._result(*pair, alone=len(jobs) == 1) for pair in pairs])

    async def _in_turn(self, job: TenantJob) -> SyncJobResult:
        """Wait for the job's turn and run it.

        A run that is ending begins no job, and neither does one whose Ray cannot start.
        """
        self._keys.require(job.tenant)
        async with self._turns:
            await self._outages.answers(self._active.ending)
            if self._active.ended_by is not None:
                raise self._active.ended_by
            if self._active.ending.is_set():
                return unbegun_result(job.tenant.slug, self._clock.now())
            if self._ray.failure is not None:  # its lists would be requested for nothing
                raise self._ray.failure
            return await job.run()

    def _result(
        self, job: TenantJob, end: SyncJobResult | BaseException, *, alone: bool
    ) -> SyncJobResult:
        """Return the job's result; an error fails its own job, and no other job of the run."""
        if isinstance(end, SyncJobResult):
            return end
        if alone or not isinstance(end, Exception):
            raise end
        if not isinstance(end, RaysyncError):
            _log.error("%s failed", job.tenant.slug, exc_info=end)
        result = failed_result(job.job_id, job.tenant.slug, end, self._clock.now())
        self._observer.finished(result)
        return result

    async def _end_after(self, wait: Callable[[], Awaitable[object]]) -> None:
        """End all jobs after *wait*: they fail if it returns an error, else are cancelled."""
        ended_by = await wait()
        self._active.end(ended_by if isinstance(ended_by, RaysyncError) else None)

    async def _close(self) -> None:
        """End the workers first: their last reports and permits need the other parts."""
        try:
            await close_each(
                self._ray.end_workers,
                self._planning.close,
                self._tracked.end,
                self._governor.close,
            )
        finally:
            await close_each(self._ray.close)


async def close_each(*closes: Callable[[], Awaitable[object]]) -> None:
    """Call *closes* in order, and log their errors: none costs the run its result."""
    for close in closes:
        try:
            await close()
        except Exception:  # noqa: BLE001 the parts are independent
            _log.exception("A part of the run did not end cleanly", extra={"event": "close_failed"})
