"""Lifecycle of sync jobs: begin, resume, save progress, finish, cancel, and look up."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager

from sqlalchemy import insert, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from raysync.errors import ConfigurationError, JobRunningError
from raysync.models.events import ApiUsage, ChannelRow, JobView
from raysync.models.ids import JobId, TenantId
from raysync.models.records import JobRecord
from raysync.models.results import SyncJobResult
from raysync.models.samples import JobSample
from raysync.models.status import JOB_MOVES, JobStatus
from raysync.models.work import SyncWindow
from raysync.store.connection.engine import translated
from raysync.store.jobs.lease import (
    JobLease,
    ask_to_cancel,
    hold_tenant,
    is_held,
    refuse_if_held,
)
from raysync.store.jobs.progress import save_progress
from raysync.store.jobs.records import read_job, read_jobs, read_usage
from raysync.store.jobs.rows import EARLIER_RUNS, as_json, options_of
from raysync.store.schema.job_tables import sync_jobs

# The next run's workers reuse these names and count from zero.
_SET_CALLS_ASIDE = text("""
WITH last_run AS (
    DELETE FROM job_api_calls WHERE job_id = :job_id AND worker_id <> :earlier
    RETURNING job_id, route, calls, updated_at
)
INSERT INTO job_api_calls AS c (job_id, worker_id, route, calls, updated_at)
SELECT job_id, :earlier, route, sum(calls), max(updated_at) FROM last_run GROUP BY job_id, route
ON CONFLICT (job_id, worker_id, route) DO UPDATE SET
    calls = c.calls + excluded.calls, updated_at = greatest(c.updated_at, excluded.updated_at)
""")

_FORGET_SAMPLES = text("DELETE FROM job_samples WHERE job_id = :job_id")

_FINISH = text("""
UPDATE sync_jobs SET status = :status, result = CAST(:result AS jsonb), error = :error,
    completed_at = now(), heartbeat_at = now(), updated_at = now()
WHERE id = :job_id AND status = 'running'
    AND (CAST(:driver AS text) IS NULL OR options ->> 'driver' = :driver)
""")

_RESUME = text("""
UPDATE sync_jobs SET status = 'running', error = NULL, result = NULL, completed_at = NULL,
    ray_job_id = :ray_job_id, heartbeat_at = now(), updated_at = now(),
    options = options || jsonb_build_object('driver', CAST(:driver AS text))
WHERE id = :job_id AND status = ANY(:resumable)
""")
_RESUMABLE = [each.value for each in JobStatus if JobStatus.RUNNING in JOB_MOVES[each]]


class JobStore:
    """The jobs of all tenants. Every method is one transaction."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    def lease(self, tenant_id: TenantId) -> AbstractAsyncContextManager[JobLease]:
        """Hold the tenant while its job runs; see `raysync.store.jobs.lease.hold_tenant`."""
        return hold_tenant(self._engine, tenant_id)

    async def begin(
        self,
        tenant_id: TenantId,
        window: SyncWindow,
        ray_job_id: str | None = None,
        driver: str | None = None,
    ) -> JobId:
        """Begin a job. The tenant's lease must be held; *driver* is who holds it.

        Raises:
            JobRunningError: the tenant has a running job.
        """
        job_id = JobId(str(uuid.uuid4()))
        new = insert(sync_jobs).values(
            id=job_id,
            tenant_id=tenant_id,
            sync_type=window.sync_type.value,
            start_date=window.since,
            end_date=window.until,
            lookback_s=window.lookback_s,
            channel_filter=sorted(window.channels) or None,
            options=options_of(window) | {"driver": driver},
            ray_job_id=ray_job_id,
        )
        with translated():
            try:
                async with self._engine.begin() as connection:
                    await connection.execute(new)
            except IntegrityError as error:
                diagnosis = getattr(error.orig, "diag", None)
                if getattr(diagnosis, "constraint_name", None) != "uq_sync_jobs_running_tenant":
                    raise
                raise JobRunningError("The tenant has a running job already.") from None
        return job_id

    async def resume(
        self, job_id: JobId, ray_job_id: str | None = None, driver: str | None = None
    ) -> JobRecord:
        """Have a job that stopped run again. The tenant's lease must be held.

        Raises:
            ConfigurationError: there is no such job, or it ended well.
        """
        values = {
            "job_id": job_id,
            "ray_job_id": ray_job_id,
            "resumable": _RESUMABLE,
            "driver": driver,
        }
        record = await self.load(job_id)
        with translated():
            async with self._engine.begin() as connection:
                resumed = await connection.execute(_RESUME, values)
                if resumed.rowcount:  # they are of one run, which begins now
                    await connection.execute(_FORGET_SAMPLES, {"job_id": job_id})
                    aside = {"job_id": job_id, "earlier": EARLIER_RUNS}
                    await connection.execute(_SET_CALLS_ASIDE, aside)
        if resumed.rowcount == 0:
            raise nothing_to_resume(record)
        return await self.load(job_id)

    async def require_free(self, tenant_id: TenantId) -> None:
        """Refuse what `lease` would refuse now, and hold nothing.

        Raises:
            JobRunningError: the tenant is being synced.
        """
        with translated():
            async with self._engine.connect() as connection:
                await refuse_if_held(connection, tenant_id)

    async def save_progress(
        self,
        view: JobView,
        rows: Sequence[ChannelRow],
        usage: Mapping[str, ApiUsage],
        sample: JobSample | None = None,
    ) -> None:
        """Heartbeat, view, changed channels, API counters and sample, in one transaction.

        A channel that was given up becomes a dead letter, one read to its end is none any more.
        Saving the same twice changes nothing but the heartbeat.
        """
        with translated():
            async with self._engine.begin() as connection:
                await save_progress(connection, view, rows, usage, sample)

    async def finish(
        self,
        job_id: JobId,
        status: JobStatus,
        result: SyncJobResult | None = None,
        error: str | None = None,
        driver: str | None = None,
    ) -> bool:
        """End a running job, if it is still that *driver*'s.

        False: it was not running any more, or is another's, and nothing was changed.
        """
        values = {
            "job_id": job_id,
            "status": status.value,
            "result": as_json(result),
            "error": error,
            "driver": driver,
        }
        with translated():
            async with self._engine.begin() as connection:
                return (await connection.execute(_FINISH, values)).rowcount == 1

    async def cancel(self, job_id: JobId) -> bool:
        """End a running job: by its driver where that lives, which takes a moment, else here.

        False: the job was not running. Raises ConfigurationError for an unknown job.
        """
        record = await self.load(job_id)
        if record.status is not JobStatus.RUNNING:
            return False
        with translated():
            async with self._engine.begin() as connection:
                if await is_held(connection, record.tenant_id):
                    await ask_to_cancel(connection, record.tenant_id, job_id)
                    return True
                values = {
                    "job_id": job_id,
                    "status": "cancelled",
                    "result": None,
                    "error": None,
                    "driver": None,
                }
                return (await connection.execute(_FINISH, values)).rowcount == 1

    async def load(self, job_id: JobId) -> JobRecord:
        """A job with all its channels. Raises ConfigurationError where there is none."""
        record = None
        if _is_uuid(job_id):
            with translated():
                async with self._engine.connect() as connection:
                    record = await read_job(connection, job_id)
        if record is None:
            raise ConfigurationError(
                f"There is no job {job_id}: `raysync status` shows the latest ones."
            )
        return record

    async def recent(
        self, tenant_id: TenantId | None = None, limit: int = 20
    ) -> tuple[JobRecord, ...]:
        """The jobs that were active last, of one tenant or of all, without their channels."""
        with translated():
            async with self._engine.connect() as connection:
                return await read_jobs(connection, tenant_id, limit)

    async def latest(self, tenant_id: TenantId | None = None) -> JobRecord | None:
        """The job that was active last, with all its channels."""
        found = await self.recent(tenant_id, limit=1)
        return await self.load(found[0].id) if found else None

    async def usage(self, job_id: JobId) -> Mapping[str, ApiUsage]:
        """What each worker has asked of Discord in the job's last run, as last saved."""
        with translated():
            async with self._engine.connect() as connection:
                return await read_usage(connection, job_id)


def _is_uuid(text_of_it: str) -> bool:
    try:
        uuid.UUID(text_of_it)
    except ValueError:
        return False
    return True


def nothing_to_resume(record: JobRecord) -> ConfigurationError:
    """What to say where a job is to go on that has ended well."""
    return ConfigurationError(
        f"Job {record.id} is {record.status.value}: there is nothing to resume. "
        f"`raysync start --tenant {record.tenant}` begins another."
    )
