"""How the database stands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from raysync.models.ids import JobId, TenantId
from raysync.store.engine import translated
from raysync.store.job_lock import is_held

_SERVER = text("""
SELECT current_setting('server_version') AS version,
    current_setting('max_connections')::integer
        - current_setting('superuser_reserved_connections')::integer AS most,
    (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend') AS used,
    pg_database_size(current_database()) AS size,
    clock_timestamp() AS now
""")

_RUNNING = text("""
SELECT id::text AS id, tenant_id FROM sync_jobs WHERE status = 'running' ORDER BY started_at
""")

_HAS_JOBS = text("SELECT to_regclass('sync_jobs') IS NOT NULL")

# A job adds up its calls, so what it was refused earlier is in it, too; those of the shared
# scope are no fault of the bot's and do not count.
_REFUSALS = text("""
SELECT coalesce(sum(c.calls) FILTER (WHERE c.route ~ ' (401|403|429)$'), 0)
    - coalesce(sum(c.calls) FILTER (WHERE c.route = '429 shared'), 0)
FROM job_api_calls c WHERE c.updated_at > now() - interval '10 minutes'
""")


@dataclass(frozen=True, slots=True)
class ServerState:
    """The database server, as it says itself."""

    version: str
    max_connections: int  #: for those who are no superuser
    used_connections: int
    size: int  #: of the database, in bytes
    now: datetime


async def server_state(engine: AsyncEngine) -> ServerState:
    """What the server says of itself."""
    with translated():
        async with engine.connect() as connection:
            row = (await connection.execute(_SERVER)).one()
    return ServerState(row.version, row.most, row.used, row.size, row.now)


async def abandoned_jobs(engine: AsyncEngine) -> Sequence[tuple[TenantId, JobId]]:
    """Jobs that are called running, and whose driver is gone."""
    return await _called_running(engine, has_driver=False)


async def running_jobs(engine: AsyncEngine) -> Sequence[tuple[TenantId, JobId]]:
    """Jobs whose driver lives; none where the database is empty still."""
    with translated():
        async with engine.connect() as connection:
            has_jobs = (await connection.execute(_HAS_JOBS)).scalar_one()
    return await _called_running(engine, has_driver=True) if has_jobs else []


async def _called_running(
    engine: AsyncEngine, *, has_driver: bool
) -> Sequence[tuple[TenantId, JobId]]:
    with translated():
        async with engine.connect() as connection:
            rows = (await connection.execute(_RUNNING)).all()
            return [
                (TenantId(row.tenant_id), JobId(row.id))
                for row in rows
                if await is_held(connection, TenantId(row.tenant_id)) == has_driver
            ]


async def refusals(engine: AsyncEngine) -> int:
    """How many invalid requests those jobs had that were under way in the last ten minutes."""
    with translated():
        async with engine.connect() as connection:
            return max(int((await connection.execute(_REFUSALS)).scalar_one()), 0)
