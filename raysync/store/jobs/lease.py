"""At most one job of a tenant at a time, by the tenant's lock.

`raysync.store.connection.locks` defines how long a lock outlives its holder.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from raysync.errors import JobRunningError, UnknownTenantError
from raysync.models.ids import JobId, TenantId
from raysync.models.records import LockRecord
from raysync.store.connection.engine import translated
from raysync.store.connection.locks import IS_HELD, Lease, LockHolder, lock_row

_RUNNING = text("""
SELECT id::text, started_at FROM sync_jobs WHERE tenant_id = :tenant_id AND status = 'running'
""")
_FAIL_VANISHED = text("""
WITH vanished AS (
    UPDATE sync_jobs SET status = 'failed', error = 'its driver vanished',
        completed_at = heartbeat_at, updated_at = now()
    WHERE tenant_id = :tenant_id AND status = 'running'
    RETURNING id
)
UPDATE channel_sync_jobs SET status = 'pending', updated_at = now()
WHERE parent_job_id IN (SELECT id FROM vanished) AND status = 'in_progress'
""")
_FREE_CLAIMS = text("""
UPDATE sync_progress SET status = 'idle', worker_id = NULL, lease_expires_at = NULL,
    epoch = epoch + 1, updated_at = now()
WHERE tenant_id = :tenant_id AND lease_expires_at IS NOT NULL
""")
_HOLDER = text(f"""
SELECT l.host, l.taken_at, l.renewed_at, {IS_HELD} AS is_held,
    extract(epoch FROM clock_timestamp() - l.renewed_at)::float8 AS seen_ago_s
FROM locks l WHERE l.name = :name AND l.holder IS NOT NULL
""")  # noqa: S608 of constants
_CANCEL = text("UPDATE locks SET cancel_job_id = :job_id WHERE name = :name")

TENANT_LOCKS: Final = "tenant/"
"""Prefix of the names of tenants' locks. The tenant's key follows."""


@dataclass(slots=True, eq=False, kw_only=True)
class JobLease(Lease):
    """The right to run jobs of one tenant.

    If the connection that holds it breaks, a running job keeps it unless another has begun. Work
    without a job loses it, and must be started again.
    """

    tenant_id: TenantId


class TenantHolder:
    """Holder of one process's tenants, with one connection for all of them."""

    def __init__(
        self, engine: AsyncEngine, note: Callable[[str | None], None] = lambda _: None
    ) -> None:
        """*note* is that of `LockHolder`."""
        self._engine = engine
        self._locks = LockHolder(engine, "raysync driver", note)

    @asynccontextmanager
    async def hold(self, tenant_id: TenantId) -> AsyncIterator[JobLease]:
        """Hold the tenant for one driver.

        Clean up first after a driver that vanished: fail its job and void its workers' claims, so
        that the writes of a surviving worker are refused.

        Raises:
            JobRunningError: another driver holds it; the sentence names the job.
            UnknownTenantError: the tenant was removed meanwhile.
        """

        async def clean_up(connection: AsyncConnection) -> None:
            await connection.execute(_FAIL_VANISHED, {"tenant_id": tenant_id})
            await connection.execute(_FREE_CLAIMS, {"tenant_id": tenant_id})

        lease = JobLease(name=_name(tenant_id), tenant_id=tenant_id)
        try:
            is_taken = await self._locks.take(lease, tenant_id, clean_up)
        except IntegrityError:
            raise UnknownTenantError(
                "The tenant was removed a moment ago: `raysync tenant list` shows all tenants."
            ) from None
        if not is_taken:
            with translated():
                async with self._engine.connect() as connection:
                    raise await _job_running(connection, tenant_id)
        try:
            yield lease
        finally:
            await self._locks.release(lease)


@asynccontextmanager
async def hold_tenant(engine: AsyncEngine, tenant_id: TenantId) -> AsyncIterator[JobLease]:
    """Hold one tenant. See `TenantHolder.hold`."""
    async with TenantHolder(engine).hold(tenant_id) as lease:
        yield lease


async def add_lock(connection: AsyncConnection, tenant_id: TenantId) -> None:
    """Create the lock of a new tenant, held by nobody."""
    await lock_row(connection, _name(tenant_id), tenant_id)


async def is_held(connection: AsyncConnection, tenant_id: TenantId) -> bool:
    """Return whether a driver holds the tenant. If not, none can before the transaction ends."""
    return await lock_row(connection, _name(tenant_id), tenant_id)


async def holder(connection: AsyncConnection, tenant_id: TenantId) -> LockRecord | None:
    """Return who took the tenant and did not release it, alive or not. Lock nothing."""
    found = await connection.execute(_HOLDER, {"name": _name(tenant_id)})
    row = found.mappings().one_or_none()
    return None if row is None else LockRecord(**row)


async def refuse_if_held(connection: AsyncConnection, tenant_id: TenantId) -> None:
    """Refuse if the tenant is held. A job may begin right afterwards.

    Raises:
        JobRunningError: one is running.
    """
    found = await holder(connection, tenant_id)
    if found is not None and found.is_held:
        raise await _job_running(connection, tenant_id)


async def refuse_while_running(connection: AsyncConnection, tenant_id: TenantId) -> None:
    """Keep jobs of the tenant from beginning until the transaction ends.

    Raises:
        JobRunningError: one is running.
    """
    if await is_held(connection, tenant_id):
        raise await _job_running(connection, tenant_id)


async def request_cancel(connection: AsyncConnection, tenant_id: TenantId, job_id: JobId) -> None:
    """Ask the job's driver to end it, which takes a second or two."""
    await connection.execute(_CANCEL, {"name": _name(tenant_id), "job_id": job_id})


def _name(tenant_id: TenantId) -> str:
    return f"{TENANT_LOCKS}{tenant_id}"


async def _job_running(connection: AsyncConnection, tenant_id: TenantId) -> JobRunningError:
    found = await connection.execute(_RUNNING, {"tenant_id": tenant_id})
    job: Any = found.one_or_none()
    if job is None:
        return JobRunningError("Another command is working on this tenant: try again in a moment.")
    job_id, started_at = job
    return JobRunningError(
        f"Job {job_id} has been syncing this tenant since {started_at:%Y-%m-%d %H:%M:%S} UTC: "
        f"wait for it (`raysync status --job-id {job_id} --watch`), or cancel it "
        f"(`raysync cancel --job-id {job_id}`)."
    )
