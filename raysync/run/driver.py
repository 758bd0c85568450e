"""The composition root: the only place that wires a run together."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from raysync.actors.cluster import RunActors
from raysync.actors.handles import RemoteTracker
from raysync.actors.nodes import require_nodes, watch_draining_nodes
from raysync.actors.run_metrics import RunMetrics
from raysync.actors.runtime import RayRuntime, connect, disconnect
from raysync.clock import SystemClock
from raysync.database import embedded_server, open_store
from raysync.errors import (
    DatabaseFullError,
    RaysyncError,
    StoreUnavailableError,
    SyncError,
    safe_message,
)
from raysync.logs import configure_logs, log_place
from raysync.models.entities import Tenant
from raysync.models.ids import JobId
from raysync.models.results import RunResult, SyncJobResult
from raysync.models.status import JobStatus, SyncType
from raysync.models.work import SyncWindow
from raysync.operators import operator_name
from raysync.pool.dispatch import Dispatcher
from raysync.pool.policies import ClusterScaling, LocalScaling
from raysync.privacy import TenantPrivacy
from raysync.run.channel_names import with_names
from raysync.run.keys import RunKeys
from raysync.run.observer import RunObserver
from raysync.run.quarantine import with_quarantine
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
from raysync.settings import Settings
from raysync.signals import call_at_end, call_at_hangup, handlers_restored
from raysync.store.archive.channels import ChannelStore
from raysync.store.connection.audit import AuditLog
from raysync.store.connection.engine import Engine
from raysync.store.jobs.lease import JobLease, TenantHolder
from raysync.store.jobs.store import JobStore
from raysync.store.privacy.suppressions import people_rules
from raysync.sync.archives import LISTINGS_AT_ONCE
from raysync.sync.final_write import flush_best_effort, write_despite_outage
from raysync.sync.job import SyncJob
from raysync.sync.outage import OutageWatch
from raysync.sync.planner import GuildPlanner
from raysync.sync.progress import JobHeader
from raysync.sync.retry import Retrier, RetryPolicy, outage_of
from raysync.sync.summary import failed_result, summarize, unbegun_result
from raysync.worker.channel_worker import ChannelWorker
from raysync.worker.secrets import JobSecrets

_log = logging.getLogger(__name__)

VIEW_PERIOD_S = 0.5
VIEWS_PER_S = 20.0  # at most: each is a call of the tracker
SHOWN_CHANNELS = 30
MOST_LISTINGS_AT_ONCE = 64  # of all tenants: at 0.1 s each, about what one process can ask
FIRST_LOGIN_ATTEMPTS = 3
"""Before anything is read, an unreachable Discord is reported soon; later it is waited for."""


def sync(request: SyncRequest, settings: Settings, observer: RunObserver) -> RunResult:
    """`run_sync` for a terminal. A signal ends it cleanly, a second SIGINT at once.

    Raises:
        KeyboardInterrupt: the second SIGINT, or one before anything began.
    """
    configure_logs(settings.log_format, role="driver")
    with handlers_restored():
        return asyncio.run(_sync_until_signalled(request, settings, observer))


async def _sync_until_signalled(
    request: SyncRequest, settings: Settings, observer: RunObserver
) -> RunResult:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    whole = asyncio.current_task()

    def interrupt() -> None:
        if stop.is_set() and whole is not None:
            whole.cancel()
        stop.set()

    def listen() -> None:  # after Ray has installed its own
        loop.add_signal_handler(signal.SIGINT, interrupt)
        call_at_end(stop.set)

    call_at_hangup(stop.set)  # Ray leaves it alone, and starts what must be ended
    try:
        return await run_sync(request, settings, observer, stop, listen)
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


async def run_sync(
    request: SyncRequest,
    settings: Settings,
    observer: RunObserver,
    stop: asyncio.Event,
    on_ray: Callable[[], None] = lambda: None,
) -> RunResult:
    """Sync the tenants of *request*; *stop* ends it cleanly, its jobs cancelled and resumable.

    *on_ray* is called when Ray has started, and has taken the signals it takes.

    Raises:
        ConfigurationError: what makes the run impossible, said before anything is asked where
            that can be.
    """
    async with open_store(settings, pool_size=4) as engine:
        request = await as_begun(engine, request)
        tenants = await chosen_tenants(engine, request)
        keys = await RunKeys.find(settings, engine, tenants)
        await require_any(engine, tenants, keys.missing)
        await check_vault(request.extras, tenants)
        room = await room_of(engine, request, settings, len(tenants))
        runtime = connect(settings.ray_address, hidden=keys.variables)
        on_ray()
        try:
            bound = bound_to_here(settings, request.extras, tenants)
            if not runtime.is_local:
                await asyncio.to_thread(require_nodes, bound, settings.worker_resource)
            observer.ray_ready(runtime.dashboard_url, runtime.needs_token)
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
        self._request = request
        self._settings = settings
        self._observer = observer
        self._engine = engine
        self._runtime = runtime
        self._keys = keys
        self._clock = SystemClock()
        self._policy = RetryPolicy(base_s=settings.retry_delay_ms / 1000)
        self._secrets: dict[JobId, JobSecrets] = {}
        self._begun: dict[str, JobId] = {}
        self._jobs: dict[JobId, SyncJob] = {}
        self._trackers: dict[JobId, RemoteTracker] = {}
        self._stopping = asyncio.Event()
        self._ended_by: RaysyncError | None = None
        server = embedded_server(settings)
        self._outages = OutageWatch(self._clock, observer, server, self._policy.run_outage_s)
        self._holder = TenantHolder(engine, self._outages.note)
        self._turns = asyncio.Semaphore(room.tenants)  # first come, first served
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
            lambda number: self._actors.spawn(number, self._secrets.__getitem__),
            slots,
            self._clock,
            (LocalScaling if runtime.is_local else ClusterScaling)(room.workers, slots),
            self._actors.new_slot_pool,
        )
        self._metrics = RunMetrics(self._dispatcher, self._trackers)
        self._planning = ChannelWorker(
            "driver",
            min(LISTINGS_AT_ONCE * room.tenants, MOST_LISTINGS_AT_ONCE),
            self._actors.lease_for("driver"),
            self._actors.observe_for,
            self._actors.watch(),
            self._actors.report,
            connections=2,
        )

    async def sync_all(self, tenants: Sequence[Tenant], stop: asyncio.Event) -> RunResult:
        """Sync all tenants in one pool of workers, as many side by side as there is room for."""
        self._dispatcher.warm_up()
        ends = self._end_after(stop.wait), self._end_after(self._outages.watch)
        watching = [*ends, self._show()]
        if not self._runtime.is_local:
            watching.append(watch_draining_nodes(self._dispatcher.leave))
        beside = [asyncio.create_task(each) for each in (*watching, self._metrics.tell_for_ever())]
        try:
            ended = await asyncio.gather(
                *(self._in_turn(each) for each in tenants), return_exceptions=True
            )
        finally:
            for each in beside:
                each.cancel()
            await self._close()
        pairs = zip(tenants, ended, strict=True)
        return RunResult(jobs=[self._result(*pair, alone=len(ended) == 1) for pair in pairs])

    def _result(
        self, tenant: Tenant, ended: SyncJobResult | BaseException, *, alone: bool
    ) -> SyncJobResult:
        """The result of one tenant: an error of its own fails its job, not those beside it."""
        if isinstance(ended, SyncJobResult):
            return ended
        if alone or not isinstance(ended, Exception):
            raise ended
        if not isinstance(ended, RaysyncError):
            _log.error("%s failed", tenant.slug, exc_info=ended)
        result = failed_result(self._begun.get(tenant.slug), tenant.slug, ended, self._clock.now())
        self._observer.finished(result)
        return result

    async def _close(self) -> None:
        self._metrics.close()
        await self._dispatcher.close()
        await self._planning.close()
        if self._runtime.is_local:
            await self._actors.leave_tokens()
        self._actors.end()

    async def _end_after(self, end: Callable[[], Awaitable[object]]) -> None:
        """End all jobs after *end*. They have failed if it returns an error, else are cancelled."""
        ended_by = await end()
        reason = ended_by if isinstance(ended_by, RaysyncError) else None
        self._ended_by = self._ended_by or reason
        self._stopping.set()
        for each in self._jobs.values():
            each.cancel(reason)

    async def _show(self) -> None:
        while True:
            await asyncio.sleep(max(VIEW_PERIOD_S, len(self._trackers) / VIEWS_PER_S))
            views = []
            for each in list(self._trackers.values()):
                with suppress(SyncError):  # a tracker that is away is shown when it is back
                    views.append(await each.view(SHOWN_CHANNELS))
            if views:
                self._observer.progress(views)

    async def _in_turn(self, tenant: Tenant) -> SyncJobResult:
        """Sync a tenant when it is its turn; a run that was ended begins none."""
        self._keys.require(tenant)
        async with self._turns:
            await self._outages.answers(self._stopping)
            if self._ended_by is not None:
                raise self._ended_by
            if self._stopping.is_set():
                return unbegun_result(tenant.slug, self._clock.now())
            return await self._sync_tenant(tenant)

    async def _sync_tenant(self, tenant: Tenant) -> SyncJobResult:
        window = self._request.window
        store = JobStore(self._engine)
        async with self._holder.hold(tenant.id) as lease:
            people = await people_rules(self._engine, tenant, self._clock.now())
            job_id = await self._begin(store, lease, window)
            lease.job_id = self._begun[tenant.slug] = job_id
            self._observer.started(tenant.slug, job_id)
            header = JobHeader(
                job_id,
                tenant.slug,
                window.sync_type,
                self._clock.now(),
                self._settings.global_requests_per_second,
                self._settings.channel_pages_per_second,
                window.extras,
            )
            self._secrets[job_id] = self._keys.of(tenant, job_id, window.extras, people)
            obeying = asyncio.create_task(self._stop_on_cancel_or_loss(lease, job_id))
            try:
                with log_place(tenant=tenant.slug, job_id=job_id):
                    await self._audit(tenant, job_id, window)
                    result = await self._run_job(header, tenant, window, lease)
                    result = await with_quarantine(self._engine, tenant.id, result)
                    result = await with_names(self._engine, tenant.id, result)
            except BaseException as error:
                stopped = isinstance(error, asyncio.CancelledError)
                status = JobStatus.CANCELLED if stopped else JobStatus.FAILED
                why = None if stopped else safe_message(error)
                with suppress(StoreUnavailableError, DatabaseFullError):  # the next driver says it
                    await store.finish(job_id, status, error=why, driver=lease.driver)
                raise
            finally:
                obeying.cancel()
            await self._patiently(
                lambda: store.finish(job_id, JobStatus(result.status), result, driver=lease.driver)
            )
            await self._purge(tenant, lease)
        self._observer.finished(result)
        return result

    async def _purge(self, tenant: Tenant, lease: JobLease) -> None:
        """Erase what is past retention by now; where that fails, the next run does it."""
        is_reading = self._request.window.sync_type is not SyncType.VERIFY
        if is_reading and not self._stopping.is_set():
            try:
                await TenantPrivacy(self._engine, tenant, operator_name()).purge_held(lease)
            except RaysyncError as error:
                _log.warning("what is past retention was not purged: %s", error)

    async def _patiently(self, write: Callable[[], Awaitable[object]]) -> None:
        await write_despite_outage(write, Retrier(self._policy, self._clock), self._stopping)

    async def _begin(self, store: JobStore, lease: JobLease, window: SyncWindow) -> JobId:
        submission, driver = self._runtime.submission_id, lease.driver
        if self._request.resume is None:
            return await store.begin(lease.tenant_id, window, submission, driver)
        return (await store.resume(self._request.resume, submission, driver)).id

    async def _stop_on_cancel_or_loss(self, lease: JobLease, job_id: JobId) -> None:
        """End the job when its lease is revoked."""
        await lease.revoked()
        if job_id in self._jobs:
            self._jobs[job_id].cancel()

    async def _audit(self, tenant: Tenant, job_id: JobId, window: SyncWindow) -> None:
        details = {"job_id": job_id, "sync_type": window.sync_type.value}
        log = AuditLog(self._engine)
        await log.record(operator_name(), self._request.action, tenant.slug, details)

    async def _run_job(
        self, header: JobHeader, tenant: Tenant, window: SyncWindow, lease: JobLease
    ) -> SyncJobResult:
        secrets = self._secrets[header.job_id]
        tracker = await self._actors.track(header, secrets.database_url.get_secret_value())
        self._trackers[header.job_id] = tracker
        try:
            session = await self._planning.open_job(secrets, FIRST_LOGIN_ATTEMPTS)
            known = {"identity": await session.client.login()}
            self._secrets[header.job_id] = secrets.model_copy(update=known)
            is_outage = outage_of(session.client.history.is_reachable)
            job = SyncJob(
                header,
                tenant,
                window,
                GuildPlanner(session.client.guilds, tenant.guild_id),
                ChannelStore(self._engine, tenant.id),
                self._dispatcher,
                tracker,
                self._clock,
                Retrier(self._policy, self._clock, is_outage=is_outage),
                secrets.people,
            )
            self._jobs[header.job_id] = job
            if self._stopping.is_set() or lease.is_revoked:
                job.cancel(self._ended_by)
            end = await job.run()
            await session.reporter.flush()
            result = summarize(
                header,
                end,
                await tracker.usage(),
                await tracker.under_way(),
                self._dispatcher.most_at_once,
                self._clock.now(),
            )
            await self._patiently(tracker.close)
        except Exception:  # what was asked counts for the address, whatever came of it
            await flush_best_effort(lambda: self._planning.close_job(header.job_id), tracker.close)
            raise
        finally:
            self._metrics.tell()  # what was given up since the last beat
            self._jobs.pop(header.job_id, None)
            self._trackers.pop(header.job_id, None)
            if not self._stopping.is_set():
                await self._forget(header.job_id)
        return result

    async def _forget(self, job_id: JobId) -> None:
        """Have nobody keep what only this job needed: a client and a session in each worker."""
        await asyncio.gather(self._planning.close_job(job_id), self._dispatcher.close_job(job_id))
        del self._secrets[job_id]
