"""At most one job of a tenant at a time, by a lock that dies with its driver."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from raysync.errors import JobRunningError
from raysync.models.ids import TenantId

LOCK_CLASS: Final = 0x7279_6A62
"""The first half of the advisory lock; the second is the tenant's key."""

_TRY_LOCK = text("SELECT pg_try_advisory_xact_lock(:class, :tenant_id)")
_RUNNING = text("""
SELECT id, started_at, heartbeat_at FROM sync_jobs
WHERE tenant_id = :tenant_id AND status = 'running'
""")


async def refuse_while_running(connection: AsyncConnection, tenant_id: TenantId) -> None:
    """Keep jobs of the tenant from beginning until the transaction ends.

    Raises:
        JobRunningError: one is running.
    """
    lock = {"class": LOCK_CLASS, "tenant_id": tenant_id}
    if not (await connection.execute(_TRY_LOCK, lock)).scalar_one():
        raise await job_running(connection, tenant_id)


async def job_running(connection: AsyncConnection, tenant_id: TenantId) -> JobRunningError:
    """The error that names the tenant's running job."""
    row = (await connection.execute(_RUNNING, {"tenant_id": tenant_id})).one_or_none()
    if row is None:
        return JobRunningError("Another command is about to sync this tenant: try again shortly.")
    return JobRunningError(running_sentence(row.id, row.started_at))


def running_sentence(job_id: str, started_at: datetime) -> str:
    """Who holds the tenant, since when, and what to do."""
    return (
        f"Job {job_id} has been syncing this tenant since {started_at:%Y-%m-%d %H:%M:%S} UTC: "
        f"wait for it (`raysync status --job-id {job_id}`), or end it with "
        f"`raysync cancel --job-id {job_id}`."
    )
