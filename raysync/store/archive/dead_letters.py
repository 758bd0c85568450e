"""Dead letters: channels that a job gave up, at most one open letter a channel.

A letter is closed when the channel is read to its end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from raysync.models.ids import ChannelId, ChannelKey, JobId, TenantId
from raysync.models.records import DeadLetter
from raysync.models.status import FailureClass
from raysync.models.work import DeadLetterNote
from raysync.store.archive.rechecks import due_of
from raysync.store.connection.engine import translated

_BURY = text("""
INSERT INTO dead_letters AS d (
    tenant_id, channel_id, channel_sync_job_id, failure_class, error_class, message, attempts)
SELECT tenant_id, channel_id, id, error_details ->> 'failure_class', error_details ->> 'error',
    error_details ->> 'message', attempts
FROM channel_sync_jobs
WHERE parent_job_id = :job_id AND channel_id = ANY(:channels) AND error_details IS NOT NULL
ORDER BY channel_id
ON CONFLICT (channel_id) WHERE resolved_at IS NULL DO UPDATE SET
    channel_sync_job_id = excluded.channel_sync_job_id, failure_class = excluded.failure_class,
    error_class = excluded.error_class, message = excluded.message,
    attempts = excluded.attempts + CASE
        WHEN d.channel_sync_job_id = excluded.channel_sync_job_id THEN 0 ELSE d.attempts END,
    last_seen_at = now(), updated_at = now()
""")

_CLOSE = """
UPDATE dead_letters SET resolved_at = now(), updated_at = now()
WHERE channel_id = ANY(:channels) AND resolved_at IS NULL
"""
_RESOLVE = text(_CLOSE)
# A job that reads a sample of pages or a time window does not read a channel to its end.
_RESOLVE_READ = text(
    _CLOSE
    + """AND EXISTS (
    SELECT FROM sync_jobs WHERE id = :job_id AND sync_type <> 'verify'
        AND start_date IS NULL AND end_date IS NULL)
"""
)

_OPEN = text("""
SELECT c.platform_channel_id, c.name, j.parent_job_id, d.failure_class, d.error_class, d.message,
    d.attempts, d.first_seen_at, d.last_seen_at
FROM dead_letters d
JOIN channels c ON c.id = d.channel_id
JOIN channel_sync_jobs j ON j.id = d.channel_sync_job_id
WHERE d.tenant_id = :tenant_id AND d.resolved_at IS NULL
ORDER BY c.platform_channel_id
""")

_NOTES = text("""
SELECT c.platform_channel_id, c.type, c.parent_channel_id, c.name, c.last_message_id,
    p.channel_id, p.coverage, p.message_count, d.message,
    CASE WHEN d.error_class = ANY(:errors) AND s.status <> 'failed'
        AND d.last_seen_at > now() - make_interval(days => :days)
    THEN d.last_seen_at + make_interval(days => :days) END AS cools_until
FROM dead_letters d
JOIN channel_sync_jobs j ON j.id = d.channel_sync_job_id
JOIN sync_jobs s ON s.id = j.parent_job_id
JOIN channels c ON c.id = d.channel_id
JOIN sync_progress p ON p.channel_id = d.channel_id
WHERE d.tenant_id = :tenant_id AND d.resolved_at IS NULL
""")
COOL_DOWN_DAYS: Final = 3
"""Days without a retry of a channel that Discord refused."""
_REFUSALS: Final = ("AccessDeniedError", "NotFoundError")


async def record_failures(
    connection: AsyncConnection, job_id: JobId, channels: Sequence[ChannelKey]
) -> None:
    """Open a letter for each channel that the job gave up, or update the open one."""
    await connection.execute(_BURY, {"job_id": job_id, "channels": list(channels)})


async def close_letters(connection: AsyncConnection, channels: Sequence[ChannelKey]) -> None:
    """Close the letters of channels that are gone."""
    await connection.execute(_RESOLVE, {"channels": list(channels)})


async def close_completed(
    connection: AsyncConnection, job_id: JobId, channels: Sequence[ChannelKey]
) -> None:
    """Close the letters of channels that the job completed, if it reads channels to their end."""
    await connection.execute(_RESOLVE_READ, {"job_id": job_id, "channels": list(channels)})


async def open_letters(
    engine: AsyncEngine, tenant_id: TenantId
) -> Mapping[ChannelId, DeadLetterNote]:
    """Return the channels with open letters.

    A channel that Discord refused cools down for `COOL_DOWN_DAYS`, because each refusal counts
    toward a ban. Refusals in a job that failed as a whole do not cool down: the failure may have
    caused them.
    """
    values = {"tenant_id": tenant_id, "days": COOL_DOWN_DAYS, "errors": list(_REFUSALS)}
    with translated():
        async with engine.connect() as connection:
            rows = await connection.execute(_NOTES, values)
            return {
                ChannelId(row.platform_channel_id): DeadLetterNote(
                    row.cools_until, row.message, due_of(row, (), 0, is_last=False)
                )
                for row in rows
            }


class DeadLetterStore:
    """Open dead letters of one tenant. A retry is a job for their channels alone."""

    def __init__(self, engine: AsyncEngine, tenant_id: TenantId) -> None:
        self._engine = engine
        self._tenant_id = tenant_id

    async def list(self) -> tuple[DeadLetter, ...]:
        """Return the open letters, ordered by channel."""
        with translated():
            async with self._engine.connect() as connection:
                rows = await connection.execute(_OPEN, {"tenant_id": self._tenant_id})
        return tuple(
            DeadLetter(
                ChannelId(row.platform_channel_id),
                row.name,
                JobId(str(row.parent_job_id)),
                FailureClass(row.failure_class),
                row.error_class,
                row.message,
                row.attempts,
                row.first_seen_at,
                row.last_seen_at,
            )
            for row in rows
        )
