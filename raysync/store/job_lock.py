"""At most one job of a tenant at a time, by an advisory lock that dies with its driver.

The lock is held by a connection of the driver's own, which dies with the process: a driver that
was killed has let go before anybody can ask. Nothing has to expire, and no clocks are compared.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import psycopg
from psycopg.rows import TupleRow
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from raysync.errors import JobRunningError
from raysync.models.ids import JobId, TenantId
from raysync.store.engine import connect_alone, translated

_log = logging.getLogger(__name__)
_Connection = psycopg.AsyncConnection[TupleRow]

RETAKE_EVERY_S = 1.0
LOCK_CLASS: Final = 0x7279_6A62
"""The first half of the lock; the second is the tenant's key."""
_CANCELLATIONS: Final = "raysync_cancel"
"""Where `cancel` notifies; the payload is the job's id."""

_IS_RUNNING = """
SELECT count(*) > 0 FROM sync_jobs
WHERE id = %s AND status = 'running' AND options ->> 'driver' = %s
"""
_RUNNING = """
SELECT id::text, started_at FROM sync_jobs WHERE tenant_id = %s AND status = 'running'
"""
_FAIL_VANISHED = """
WITH vanished AS (
    UPDATE sync_jobs SET status = 'failed', error = 'its driver vanished',
        completed_at = heartbeat_at, updated_at = now()
    WHERE tenant_id = %(tenant_id)s AND status = 'running'
    RETURNING id
)
UPDATE channel_sync_jobs SET status = 'pending', updated_at = now()
WHERE parent_job_id IN (SELECT id FROM vanished) AND status = 'in_progress'
"""
_FREE_CLAIMS = """
UPDATE sync_progress SET status = 'idle', worker_id = NULL, lease_expires_at = NULL,
    epoch = epoch + 1, updated_at = now()
WHERE tenant_id = %(tenant_id)s AND lease_expires_at IS NOT NULL
"""


@dataclass(slots=True)
class JobLease:
    """The right to run jobs of one tenant.

    The connection that holds it may break, as when the server restarts. It is then taken again,
    unless another driver has begun meanwhile.
    """

    tenant_id: TenantId
    driver: str = field(default_factory=lambda: uuid.uuid4().hex)  #: tells drivers of a job apart
    job_id: JobId | None = None  #: the driver's job, once it has begun
    lost: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when it cannot be had again: another driver has begun, and this one must stop."""
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when somebody asked the tenant's job to end."""


@asynccontextmanager
async def hold_tenant(engine: AsyncEngine, tenant_id: TenantId) -> AsyncIterator[JobLease]:
    """Hold the tenant for one driver.

    What a driver that vanished left behind is put in order first: its job has failed, and its
    workers' claims are void, so that one still writing is refused.

    Raises:
        JobRunningError: another driver holds it; the sentence names the job.
    """
    with translated():
        held = [await connect_alone(engine, "raysync driver")]  # the last one counts
        try:
            await _take(held[-1], tenant_id)
        except BaseException:
            await held[-1].close()
            raise
    lease = JobLease(tenant_id)
    watch = asyncio.create_task(_watch(engine, held, lease))
    try:
        yield lease
    finally:
        watch.cancel()
        await asyncio.gather(watch, return_exceptions=True)
        await held[-1].close()


async def _take(connection: _Connection, tenant_id: TenantId) -> None:
    if not await _try_lock(connection, tenant_id):
        running = await connection.execute(_RUNNING, (tenant_id,))
        raise _job_running(await running.fetchone())
    async with connection.transaction():
        await connection.execute(_FAIL_VANISHED, {"tenant_id": tenant_id})
        await connection.execute(_FREE_CLAIMS, {"tenant_id": tenant_id})


async def _watch(engine: AsyncEngine, held: list[_Connection], lease: JobLease) -> None:
    """Wait on the socket for a cancellation; where it breaks, hold the tenant anew."""
    while True:
        try:
            async for note in held[-1].notifies():
                if note.payload == lease.job_id:
                    lease.cancelled.set()
        except psycopg.Error:
            _log.warning("the connection that holds the tenant broke; it is taken again")
        await held[-1].close()
        again = await _take_again(engine, lease)
        if again is None:
            lease.lost.set()
            return
        held.append(again)


async def _take_again(engine: AsyncEngine, lease: JobLease) -> _Connection | None:
    """The tenant, held by a new connection; None: its job is another driver's by now.

    The server may take a while to notice that the old connection is gone, or to be back.
    """
    while True:
        try:
            connection = await connect_alone(engine, "raysync driver")
        except psycopg.Error:
            await asyncio.sleep(RETAKE_EVERY_S)
            continue
        try:
            is_held = await _try_lock(connection, lease.tenant_id)
            found = await connection.execute(_IS_RUNNING, (lease.job_id, lease.driver))
            is_ours = await found.fetchone() == (True,)
            if is_ours and is_held:
                return connection
        except psycopg.Error:
            is_ours = True  # it broke again: nothing was learned
        except BaseException:
            await connection.close()
            raise
        await connection.close()
        if not is_ours:
            return None
        await asyncio.sleep(RETAKE_EVERY_S)


async def _try_lock(connection: _Connection, tenant_id: TenantId) -> bool:
    taken = await connection.execute("SELECT pg_try_advisory_lock(%s, %s)", (LOCK_CLASS, tenant_id))
    if await taken.fetchone() != (True,):
        return False
    await connection.execute(f"LISTEN {_CANCELLATIONS}")
    return True


async def is_held(connection: AsyncConnection, tenant_id: TenantId) -> bool:
    """Whether a driver holds the tenant; if not, none can before the transaction ends."""
    taken = await connection.exec_driver_sql(
        "SELECT pg_try_advisory_xact_lock(%s, %s)", (LOCK_CLASS, tenant_id)
    )
    return not taken.scalar_one()


async def refuse_while_running(connection: AsyncConnection, tenant_id: TenantId) -> None:
    """Keep jobs of the tenant from beginning until the transaction ends.

    Raises:
        JobRunningError: one is running.
    """
    if await is_held(connection, tenant_id):
        running = await connection.exec_driver_sql(_RUNNING, (tenant_id,))
        raise _job_running(running.one_or_none())


async def ask_to_cancel(connection: AsyncConnection, job_id: JobId) -> None:
    """Tell the driver of the job to end it, when the transaction commits."""
    await connection.exec_driver_sql("SELECT pg_notify(%s, %s)", (_CANCELLATIONS, str(job_id)))


def _job_running(job: Any) -> JobRunningError:
    if job is None:
        return JobRunningError("Another command is at work on this tenant: try again shortly.")
    job_id, started_at = job
    return JobRunningError(
        f"Job {job_id} has been syncing this tenant since {started_at:%Y-%m-%d %H:%M:%S} UTC: "
        f"wait for it (`raysync status --job-id {job_id} --watch`), or end it "
        f"(`raysync cancel --job-id {job_id}`)."
    )
