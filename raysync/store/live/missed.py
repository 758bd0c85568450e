"""Differences that a look-back found, and that the tail should have heard."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from raysync.models.ids import TenantId, snowflake_at
from raysync.store.connection.engine import translated

LATE: Final = "interval '1 minute'"
"""Maximum time by which an event follows what it tells."""

# Each part reads what the run itself wrote: rows of the look-back's time, by the channels' keys.
_COUNT = text(f"""
WITH ours AS MATERIALIZED (SELECT id FROM channels WHERE tenant_id = :tenant_id)
SELECT
    (SELECT count(*) FROM ours JOIN messages m ON m.channel_id = ours.id
        AND m.platform_message_id BETWEEN :first AND :last
        WHERE m.live_at IS NULL AND m.created_at >= :began_at)
    + (SELECT count(*) FROM ours JOIN messages m ON m.channel_id = ours.id
        AND m.platform_message_id >= :reach
        WHERE m.edited_at > :since AND m.edited_at < CAST(:began_at AS timestamptz) - {LATE}
            AND coalesce(m.live_at, '-infinity') < m.edited_at AND m.created_at < :began_at
            AND EXISTS (SELECT FROM message_versions v WHERE v.channel_id = m.channel_id
                AND v.platform_message_id = m.platform_message_id AND v.seen_at >= :began_at))
    + (SELECT count(*) FROM messages m WHERE m.tenant_id = :tenant_id
        AND m.deleted_at >= :began_at AND m.raw <> '{{}}'::jsonb
        AND coalesce(m.live_at, '-infinity') < m.deleted_at)
    AS missed
""")  # noqa: S608 of constants
_NOW = text("SELECT clock_timestamp()")


async def server_time(engine: AsyncEngine) -> datetime:
    """Return the time of the database's clock, the only one that counts here."""
    with translated():
        async with engine.connect() as connection:
            now: datetime = (await connection.execute(_NOW)).scalar_one()
    return now


async def count_missed(
    engine: AsyncEngine, tenant_id: TenantId, since: datetime, began_at: datetime, reach: datetime
) -> int:
    """Count what a run that began at *began_at* found, though a tail had listened *since*.

    *reach* is how far the run looked back. Not counted: what happened in the last minute before the
    run or during it, whose events may come late, and deletions whose event came in the end.
    """
    values = {
        "tenant_id": tenant_id,
        "since": since,
        "began_at": began_at,
        "first": snowflake_at(since),
        "last": max(snowflake_at(began_at) - (60_000 << 22), 0),
        "reach": snowflake_at(reach),
    }
    with translated():
        async with engine.connect() as connection:
            return int((await connection.execute(_COUNT, values)).scalar_one())
