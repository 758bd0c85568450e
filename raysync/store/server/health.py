"""Health of the database: server, running and abandoned jobs, and refusals."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from raysync.models.ids import JobId, TenantId
from raysync.store.connection.engine import translated
from raysync.store.connection.locks import IS_HELD, LEGACY_CLASS
from raysync.store.jobs.lease import TENANT_LOCKS

_SERVER = text("""
SELECT current_setting('server_version') AS version,
    current_setting('max_connections')::integer
        - current_setting('superuser_reserved_connections')::integer AS most,
    (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend') AS used,
    pg_database_size(current_database()) AS size,
    clock_timestamp() AS now
""")

_RUNNING = text(f"""
SELECT j.id::text AS id, j.tenant_id, coalesce({IS_HELD}, false) AS is_held
FROM sync_jobs j LEFT JOIN locks l ON l.name = '{TENANT_LOCKS}' || j.tenant_id
WHERE j.status = 'running' ORDER BY j.started_at
""")  # noqa: S608 of constants

_TABLES = text("SELECT to_regclass('sync_jobs') IS NOT NULL, to_regclass('locks') IS NOT NULL")

# For a driver of a version without the table `locks`.
_LEGACY_RUNNING = text("""
SELECT j.id::text AS id, j.tenant_id, EXISTS (
    SELECT FROM pg_locks k JOIN pg_database d ON d.oid = k.database
    WHERE k.locktype = 'advisory' AND k.classid = :lock_class AND k.objid = j.tenant_id
        AND k.objsubid = 2 AND k.granted AND d.datname = current_database()) AS is_held
FROM sync_jobs j WHERE j.status = 'running' ORDER BY j.started_at
""")

# A job's counts are sums, so its earlier refusals are included. Answers of the shared scope are
# not the bot's fault and do not count toward a ban.
_REFUSALS = text("""
SELECT coalesce(sum(c.calls) FILTER (WHERE c.route ~ ' (401|403|429)$'), 0)
    - coalesce(sum(c.calls) FILTER (WHERE c.route = '429 shared'), 0)
FROM job_api_calls c WHERE c.updated_at > now() - interval '10 minutes'
""")


@dataclass(frozen=True, slots=True)
class ServerState:
    """State of the database server, as it reports it."""

    version: str
    max_connections: int  #: for roles that are no superuser
    used_connections: int
    size: int  #: of the database, in bytes
    now: datetime


async def server_state(engine: AsyncEngine) -> ServerState:
    """Return the server's version, connections, size and time."""
    with translated():
        async with engine.connect() as connection:
            row = (await connection.execute(_SERVER)).one()
    return ServerState(row.version, row.most, row.used, row.size, row.now)


async def abandoned_jobs(engine: AsyncEngine) -> Sequence[tuple[TenantId, JobId]]:
    """Return the jobs with status running whose driver is gone."""
    with translated():
        async with engine.connect() as connection:
            return _found(await connection.execute(_RUNNING), is_held=False)


async def running_jobs(engine: AsyncEngine) -> Sequence[tuple[TenantId, JobId]]:
    """Return the jobs whose driver is alive. The schema may be missing or of an earlier version."""
    with translated():
        async with engine.connect() as connection:
            has_jobs, has_locks = (await connection.execute(_TABLES)).one()
            if not has_jobs:
                return []
            if has_locks:
                return _found(await connection.execute(_RUNNING), is_held=True)
            legacy = await connection.execute(_LEGACY_RUNNING, {"lock_class": LEGACY_CLASS})
            return _found(legacy, is_held=True)


def _found(rows: Iterable[Any], *, is_held: bool) -> list[tuple[TenantId, JobId]]:
    return [(TenantId(row.tenant_id), JobId(row.id)) for row in rows if row.is_held == is_held]


async def refusals(engine: AsyncEngine) -> int:
    """Return the invalid requests of the jobs that were active in the last ten minutes."""
    with translated():
        async with engine.connect() as connection:
            return max(int((await connection.execute(_REFUSALS)).scalar_one()), 0)
