"""One tenant's job in a run, from its lease to its stored result."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from raysync.clock import Clock
from raysync.errors import (
    DatabaseFullError,
    RaysyncError,
    StoreUnavailableError,
    safe_message,
)
from raysync.logs import log_place
from raysync.models.entities import Tenant
from raysync.models.events import JobHeader
from raysync.models.ids import JobId
from raysync.models.live import ListenedTenant
from raysync.models.results import SyncJobResult
from raysync.models.status import JobStatus, SyncType
from raysync.operators import operator_name
from raysync.privacy import TenantPrivacy
from raysync.run.active_jobs import ActiveJobs
from raysync.run.channel_names import with_names
from raysync.run.keys import RunKeys
from raysync.run.observer import RunObserver
from raysync.run.quarantine import with_quarantine
from raysync.run.readers import ChannelReaders
from raysync.run.relying import relied, settles
from raysync.run.requests import SyncRequest
from raysync.settings import Settings
from raysync.store.archive.channels import ChannelStore
from raysync.store.connection.audit import AuditLog
from raysync.store.connection.engine import Engine
from raysync.store.jobs.lease import JobLease, TenantHolder
from raysync.store.jobs.lifecycle import JobStore
from raysync.store.live.listening import ListeningStore
from raysync.store.live.missed import count_missed, server_time
from raysync.store.live.statements import LATE_S
from raysync.store.privacy.suppressions import people_rules
from raysync.sync.final_write import flush_best_effort, write_despite_outage
from raysync.sync.job.inputs import JobPorts, JobScope
from raysync.sync.job.job import SyncJob
from raysync.sync.planning.planner import GuildPlanner
from raysync.sync.results.summary import summarize
from raysync.sync.retry import Retrier, RetryPolicy, outage_of
from raysync.worker.channel_worker import ChannelWorker
from raysync.worker.job_tracker import JobTracker, OwnTracker
from raysync.worker.tracked_jobs import TrackedJobs

_log = logging.getLogger(__name__)

FIRST_LOGIN_ATTEMPTS = 3
"""Login attempts before anything is read: a user learns early that Discord is unreachable."""


@dataclass(frozen=True, slots=True)
class RunParts:
    """Parts of a run that all of its jobs share."""

    request: SyncRequest
    settings: Settings
    observer: RunObserver
    engine: Engine
    keys: RunKeys
    clock: Clock
    policy: RetryPolicy
    holder: TenantHolder
    ray: ChannelReaders
    planning: ChannelWorker  #: sessions of this process, which list the channels
    tracked: TrackedJobs  #: progress of the jobs that Ray's tracker does not have yet
    active: ActiveJobs


class TenantJob:
    """A job that syncs one tenant."""

    def __init__(self, parts: RunParts, tenant: Tenant) -> None:
        self.tenant = tenant
        self.job_id: JobId | None = None  #: once the job has begun
        self._parts = parts
        self._window = parts.request.window
        self._store = JobStore(parts.engine)

    async def run(self) -> SyncJobResult:
        """Sync the tenant, store the result and return it.

        Raises:
            JobRunningError: another driver holds the tenant.
            RaysyncError: the job failed before it had a result; the stored job has failed.
        """
        parts, tenant, window = self._parts, self.tenant, self._window
        async with parts.holder.hold(tenant.id) as lease:
            people = await people_rules(parts.engine, tenant, parts.clock.now())
            began_at = await server_time(parts.engine)
            listened = await ListeningStore(parts.engine).state(tenant.id)
            if parts.request.relies_on_tail:
                window = self._window = relied(window, listened, began_at)
            job_id = await self._begin(lease)
            lease.job_id = self.job_id = job_id
            parts.observer.started(tenant.slug, job_id)
            header = JobHeader(
                job_id,
                tenant.slug,
                window.sync_type,
                parts.clock.now(),
                parts.settings.global_requests_per_second,
                parts.settings.channel_pages_per_second,
                window.extras,
            )
            parts.active.secrets[job_id] = parts.keys.of(tenant, job_id, window.extras, people)
            watching = asyncio.create_task(self._cancel_on_revocation(lease, job_id))
            try:
                with log_place(tenant=tenant.slug, job_id=job_id):
                    await self._audit(job_id)
                    result = await self.sync(header, lease)
                    result = await with_quarantine(parts.engine, tenant.id, result)
                    result = result.model_copy(
                        update={"listened_since": self._window.listened_since}
                    )
                    result = await with_names(parts.engine, tenant.id, result)
            except BaseException as error:
                await self._store_failure(job_id, lease, error)
                raise
            finally:
                watching.cancel()
            status = JobStatus(result.status)
            await self._write(
                lambda: self._store.finish(job_id, status, result, driver=lease.driver)
            )
            await self._purge(lease)
            await self._note_settled(result, listened, began_at)
        parts.observer.finished(result)
        return result

    async def _begin(self, lease: JobLease) -> JobId:
        submission, resume = self._parts.ray.submission_id, self._parts.request.resume
        if resume is None:
            return await self._store.begin(lease.tenant_id, self._window, submission, lease.driver)
        return (await self._store.resume(resume, submission, lease.driver)).id

    async def _cancel_on_revocation(self, lease: JobLease, job_id: JobId) -> None:
        await lease.revoked()
        self._parts.active.cancel(job_id)

    async def _audit(self, job_id: JobId) -> None:
        details = {"job_id": job_id, "sync_type": self._window.sync_type.value}
        action = self._parts.request.action
        log = AuditLog(self._parts.engine)
        await log.record(operator_name(), action, self.tenant.slug, details)

    async def _store_failure(self, job_id: JobId, lease: JobLease, error: BaseException) -> None:
        is_cancelled = isinstance(error, asyncio.CancelledError)
        status = JobStatus.CANCELLED if is_cancelled else JobStatus.FAILED
        reason = None if is_cancelled else safe_message(error)
        with suppress(StoreUnavailableError, DatabaseFullError):  # the next driver writes it
            await self._store.finish(job_id, status, error=reason, driver=lease.driver)

    async def sync(self, header: JobHeader, lease: JobLease) -> SyncJobResult:
        """Plan the job, have its channels read, and return its result, which is not stored yet."""
        parts, job_id = self._parts, header.job_id
        secrets = parts.active.secrets[job_id]
        tracker = JobTracker(self.tenant.slug, OwnTracker(header, parts.tracked))
        await parts.ray.track(tracker, header)
        parts.active.trackers[job_id] = tracker
        try:
            session = await parts.planning.open_job(secrets, FIRST_LOGIN_ATTEMPTS)
            known = {"identity": await session.client.login()}
            parts.active.secrets[job_id] = secrets.model_copy(update=known)
            is_outage = outage_of(session.client.history.is_reachable)
            job = SyncJob(
                JobScope.of(
                    header, self.tenant.id, self._window, parts.clock.now(), secrets.people
                ),
                JobPorts(
                    planner=GuildPlanner(session.client.guilds, self.tenant.guild_id),
                    catalog=ChannelStore(parts.engine, self.tenant.id),
                    dispatcher=parts.ray.channels_of(tracker, header),
                    sink=tracker,
                    clock=parts.clock,
                    retry=Retrier(parts.policy, parts.clock, is_outage=is_outage),
                ),
            )
            parts.active.add(job_id, job, is_revoked=lease.is_revoked)
            end = await job.run()
            # Workers report twice a second: requests of their last visits may be unreported.
            await asyncio.gather(session.reporter.flush(), parts.ray.close_job(job_id))
            result = summarize(
                header,
                end,
                await tracker.usage(),
                await tracker.under_way(),
                parts.ray.most_at_once,
                parts.clock.now(),
            )
            await self._write(tracker.close)
        except Exception:  # requests count toward the address's limits even if the job failed
            await flush_best_effort(
                lambda: parts.planning.close_job(job_id),
                lambda: parts.ray.close_job(job_id),
                tracker.close,
            )
            raise
        finally:
            parts.ray.publish_metrics()  # includes channels that failed since the last beat
            parts.active.discard(job_id)
            if not parts.active.ending.is_set():
                await self._forget(job_id)
        return result

    async def _write(self, write: Callable[[], Awaitable[object]]) -> None:
        retrier = Retrier(self._parts.policy, self._parts.clock)
        await write_despite_outage(write, retrier, self._parts.active.ending)

    async def _purge(self, lease: JobLease) -> None:
        """Erase rows past their retention period; if that fails, the next run does it."""
        is_reading = self._window.sync_type is not SyncType.VERIFY
        if is_reading and not self._parts.active.ending.is_set():
            try:
                privacy = TenantPrivacy(self._parts.engine, self.tenant, operator_name())
                await privacy.purge_held(lease)
            except RaysyncError as error:
                _log.warning("rows past their retention period were not purged: %s", error)

    async def _note_settled(
        self, result: SyncJobResult, before: ListenedTenant | None, began_at: datetime
    ) -> None:
        """Record what this run compared, and what it found that a tail should have heard."""
        has_ended = result.status in (JobStatus.COMPLETED.value, JobStatus.PARTIAL.value)
        if before is None or not settles(self._window) or not has_ended:
            return
        listening, missed = ListeningStore(self._parts.engine), 0
        try:
            now = await listening.state(self.tenant.id)
            since = before.unbroken_since(now)
            if since is not None:
                if result.messages_deleted:  # the events of what pages have shown may come late
                    await self._pause(LATE_S)
                reach = began_at - timedelta(seconds=self._window.lookback_s)
                engine = self._parts.engine
                missed = await count_missed(engine, self.tenant.id, since, began_at, reach)
            await listening.settled(self.tenant.id, began_at, missed)
        except RaysyncError as error:
            _log.warning("the tail's record was not updated: %s", error)

    async def _pause(self, duration_s: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(duration_s):
                await self._parts.active.ending.wait()

    async def _forget(self, job_id: JobId) -> None:
        """Close the job's client and session in this process and in each worker."""
        parts = self._parts
        await asyncio.gather(parts.planning.close_job(job_id), parts.ray.close_job(job_id))
        del parts.active.secrets[job_id]
