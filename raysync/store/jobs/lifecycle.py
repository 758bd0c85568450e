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
    hold_tenant,
    is_held,
    refuse_if_held,
    request_cancel,
)
from raysync.store.jobs.progress import save_progress
from raysync.store.jobs.records import read_job, read_jobs, read_usage
from raysync.store.jobs.rows import EARLIER_RUNS, as_json, options_of
from raysync.store.schema.job_tables import sync_jobs

# The next run's workers reuse these names and count from zero.
_MERGE_CALLS_OF_LAST_RUN = text("""
WITH last_run AS (
    DELETE FROM job_api_calls WHERE job_id = :job_id AND worker_id <> :earlier
    RETURNING job_id, route, calls, updated_at
)
INSERT INTO job_api_calls AS c (job_id, worker_id, route, calls, updated_at)
SELECT job_id, :earlier, route, sum(calls), max(updated_at) FROM last_run GROUP BY job_id, route
ON CONFLICT (job_id, worker_id, route) DO UPDATE SET
    calls = c.calls + excluded.calls, updated_at = greatest(c.updated_at, excluded.updated_at)
""")

# The new run counts attempts from 1. Its second attempt must not continue the count of messages
# where the last run's first attempt began. The epochs, which void old claims, stay.
_RESET_ATTEMPTS = text("""
UPDATE sync_progress SET attempt = 0
WHERE tenant_id = :tenant_id AND job_id = :job_id AND attempt <> 0
""")

_DELETE_SAMPLES = text("DELETE FROM job_samples WHERE job_id = :job_id")

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
_RESUMABLE = [status.value for status in JobStatus if JobStatus.RUNNING in JOB_MOVES[status]]


class JobStore:
    """Jobs of all tenants. Every method is one transaction."""

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
        """Begin a job. *driver* identifies the holder of the tenant's lease, which must be held.

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
                raise JobRunningError(
                    "The tenant has a running job already: `raysync status` shows it."
                ) from None
        return job_id

    async def resume(
        self, job_id: JobId, ray_job_id: str | None = None, driver: str | None = None
    ) -> JobRecord:
        """Resume a job that stopped. The tenant's lease must be held.

        Raises:
            ConfigurationError: there is no such job, or it completed.
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
                if resumed.rowcount:  # samples and calls are of one run, and a new one begins
                    await connection.execute(_DELETE_SAMPLES, {"job_id": job_id})
                    merged = {"job_id": job_id, "earlier": EARLIER_RUNS}
                    await connection.execute(_MERGE_CALLS_OF_LAST_RUN, merged)
                    progress = {"job_id": job_id, "tenant_id": record.tenant_id}
                    await connection.execute(_RESET_ATTEMPTS, progress)
        if resumed.rowcount == 0:
            raise nothing_to_resume(record)
        return await self.load(job_id)

    async def require_free(self, tenant_id: TenantId) -> None:
        """Raise if the tenant's lease cannot be taken now, and take nothing.

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
        """Write heartbeat, view, changed channels, API counters and sample in one transaction.

        A channel that was given up becomes a dead letter; one read to its end stops being one.
        Saving the same twice changes only the heartbeat.
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
        """End a running job if it still belongs to *driver*; None matches any driver.

        Return False if it is not running or belongs to another driver; nothing was changed.
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
        """Cancel a running job: by its driver if that is alive, which takes a moment, else here.

        Return False if the job is not running. Raises ConfigurationError for an unknown job.
        """
        record = await self.load(job_id)
        if record.status is not JobStatus.RUNNING:
            return False
        with translated():
            async with self._engine.begin() as connection:
                if await is_held(connection, record.tenant_id):
                    await request_cancel(connection, record.tenant_id, job_id)
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
        """Return a job with all its channels. Raises ConfigurationError if there is none."""
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
        """Return the jobs that were active last, of one tenant or of all, without channels."""
        with translated():
            async with self._engine.connect() as connection:
                return await read_jobs(connection, tenant_id, limit)

    async def latest(self, tenant_id: TenantId | None = None) -> JobRecord | None:
        """Return the job that was active last, with all its channels."""
        found = await self.recent(tenant_id, limit=1)
        return await self.load(found[0].id) if found else None

    async def usage(self, job_id: JobId) -> Mapping[str, ApiUsage]:
        """Return each worker's API usage in the job's last run, as last saved."""
        with translated():
            async with self._engine.connect() as connection:
                return await read_usage(connection, job_id)


def _is_uuid(value: str) -> bool:
    try:
        uuid.UUID(value)
    except ValueError:
        return False
    return True


def nothing_to_resume(record: JobRecord) -> ConfigurationError:
    """Return the error for resuming a job that completed."""
    return ConfigurationError(
        f"Job {record.id} is {record.status.value}: there is nothing to resume. "
        f"`raysync start --tenant {record.tenant}` begins another."
    )
