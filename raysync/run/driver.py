"""Composition root of a run: the only module that wires its parts together."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from raysync.actors.cluster import RunActors
from raysync.actors.nodes import require_nodes, watch_draining_nodes
from raysync.actors.run_metrics import RunMetrics
from raysync.actors.runtime import RayRuntime, connect, disconnect, open_dashboard
from raysync.clock import SystemClock
from raysync.database import embedded_server, open_store
from raysync.errors import RaysyncError
from raysync.logs import configure_logs
from raysync.models.entities import Tenant
from raysync.models.results import RunResult, SyncJobResult
from raysync.pool.dispatch import Dispatcher
from raysync.pool.policies import ClusterScaling, LocalScaling
from raysync.run.active_jobs import ActiveJobs
from raysync.run.interruption import until_signalled
from raysync.run.keys import RunKeys
from raysync.run.observer import RunObserver
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
from raysync.sync.outage import OutageWatch
from raysync.sync.planning.archives import LISTINGS_AT_ONCE
from raysync.sync.results.unstarted import failed_result, unbegun_result
from raysync.sync.retry import RetryPolicy
from raysync.worker.channel_worker import ChannelWorker

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

    *on_ray* is called once Ray has started and has installed its signal handlers.

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
        runtime = connect(
            settings.ray_address,
            settings.home,
            hidden=keys.variables,
            idle_s=settings.local_ray_idle_s,
        )
        on_ray()
        try:
            bound = bound_to_here(settings, request.extras, tenants)
            if not runtime.is_local:
                await asyncio.to_thread(require_nodes, bound, settings.worker_resource)
            observer.ray_ready(runtime.dashboard_url, runtime.token_source)
            run = _Run(request, settings, observer, engine, runtime, keys, room, bound)
            return await run.sync_all(tenants, stop)
        finally:
            disconnect()


class _Run:
    """One invocation: its actors, and a job for each tenant."""

    def __init__(
        self,
        request: SyncRequest,
        settings: Settings,
        observer: RunObserver,
        engine: Engine,
        runtime: RayRuntime,
        keys: RunKeys,
        room: Room,
        bound: str | None,
    ) -> None:
        self._observer = observer
        self._keys = keys
        self._is_local = runtime.is_local
        self._opens_dashboard = runtime.dashboard_url is None
        self._token_source = runtime.token_source
        self._clock = SystemClock()
        self._active = ActiveJobs()
        policy = RetryPolicy(base_s=settings.retry_delay_ms / 1000)
        server = embedded_server(settings)
        self._outages = OutageWatch(self._clock, observer, server, policy.run_outage_s)
        self._turns = asyncio.Semaphore(room.tenants)  # first in, first out
        slots = settings.channel_batch_size
        self._actors = RunActors(
            keys.label,
            slots,
            is_local=runtime.is_local,
            worker_resource=settings.worker_resource if not runtime.is_local else None,
            worker_timeout_s=settings.worker_timeout_s,
            log_format=settings.log_format,
            bound=bound if not runtime.is_local else None,
        )
        self._dispatcher = Dispatcher(
            lambda number: self._actors.spawn(number, self._active.secrets.__getitem__),
            slots,
            self._clock,
            (LocalScaling if runtime.is_local else ClusterScaling)(room.workers, slots),
            self._actors.new_slot_pool,
        )
        self._metrics = RunMetrics(self._dispatcher, self._active.trackers)
        self._planning = ChannelWorker(
            "driver",
            min(LISTINGS_AT_ONCE * room.tenants, MOST_LISTINGS_AT_ONCE),
            self._actors.lease_for("driver"),
            self._actors.observe_for,
            self._actors.watch(),
            self._actors.report,
            connections=2,
        )
        self._parts = RunParts(
            request,
            settings,
            observer,
            engine,
            runtime.submission_id,
            keys,
            self._clock,
            policy,
            TenantHolder(engine, self._outages.note),
            self._actors,
            self._dispatcher,
            self._planning,
            self._metrics,
            self._active,
        )

    async def sync_all(self, tenants: Sequence[Tenant], stop: asyncio.Event) -> RunResult:
        """Sync all tenants with one pool of workers, as many concurrently as there is room for."""
        self._dispatcher.warm_up()
        background = [
            self._end_after(stop.wait),
            self._end_after(self._outages.watch),
            show_progress(self._active.trackers, self._observer),
        ]
        if self._is_local and self._opens_dashboard:
            background.append(self._show_dashboard())
        if not self._is_local:
            background.append(watch_draining_nodes(self._dispatcher.leave))
        background.append(self._metrics.publish_for_ever())
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
        pairs = zip(jobs, ends, strict=True)
        return RunResult(jobs=[self._result(*pair, alone=len(jobs) == 1) for pair in pairs])

    async def _show_dashboard(self) -> None:
        """Open the dashboard of a local Ray after the first worker, which must not wait for it."""
        await self._actors.worker_started.wait()
        url = await asyncio.to_thread(open_dashboard)
        if url is not None:
            self._observer.ray_ready(url, self._token_source)

    async def _in_turn(self, job: TenantJob) -> SyncJobResult:
        """Wait for the job's turn and run it; a run that is ending begins no job."""
        self._keys.require(job.tenant)
        async with self._turns:
            await self._outages.answers(self._active.ending)
            if self._active.ended_by is not None:
                raise self._active.ended_by
            if self._active.ending.is_set():
                return unbegun_result(job.tenant.slug, self._clock.now())
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
        self._metrics.close()
        await self._dispatcher.close()
        await self._planning.close()
        if self._is_local:
            await self._actors.leave_tokens()
        self._actors.end()
