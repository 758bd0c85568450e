"""Reset of a tenant's progress: the next run reads everything again. Messages stay."""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from raysync.models.ids import TenantId
from raysync.store.archive.channels import forget_listings
from raysync.store.connection.engine import translated
from raysync.store.jobs.lease import refuse_while_running

_FORGET = text("""
UPDATE sync_progress SET
    coverage = '{}', last_synced_message_id = NULL, last_synced_at = NULL, resume_after = NULL,
    status = 'idle', error_details = NULL, worker_id = NULL, job_id = NULL,
    lease_expires_at = NULL, started_at = NULL, messages_per_second = NULL, retry_count = 0,
    epoch = epoch + 1, updated_at = now()
WHERE tenant_id = :tenant_id
""")


async def reset_progress(engine: AsyncEngine, tenant_id: TenantId) -> int:
    """Forget the coverage of the tenant's channels. Return their number.

    Raises:
        JobRunningError: the tenant is being synced; nothing was changed.
    """
    with translated():
        async with engine.begin() as connection:
            await refuse_while_running(connection, tenant_id)
            await forget_listings(connection, tenant_id)
            return (await connection.execute(_FORGET, {"tenant_id": tenant_id})).rowcount
