"""Purge of what is past retention: erases old messages, and empties those deleted on Discord.

If nothing is due, it costs one index look-up for each channel and one for the tenant.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from raysync.models.ids import TenantId
from raysync.models.privacy import PurgeCounts
from raysync.store.archive.payload_sql import HAS_QUOTE, QUOTED_ID, WITHOUT_QUOTE
from raysync.store.archive.ranges import AT_ONCE, Progress, channel_keys
from raysync.store.connection.engine import NO_TIMEOUT, translated

_QUOTED: Final = f"coalesce({QUOTED_ID}, 0)"
"""Id of the quoted message; 0, which counts as old, if it cannot be read."""

_ERASE_OLD = text("""
WITH gone AS (
    DELETE FROM messages WHERE channel_id = :key AND platform_message_id IN (
        SELECT platform_message_id FROM messages
        WHERE channel_id = :key AND platform_message_id < :before
        ORDER BY platform_message_id LIMIT :most)
    RETURNING platform_message_id AS id
), versions AS (
    DELETE FROM message_versions
    WHERE channel_id = :key AND platform_message_id IN (SELECT id FROM gone)
), attachments AS (
    DELETE FROM message_attachments
    WHERE channel_id = :key AND platform_message_id IN (SELECT id FROM gone) RETURNING blob_key
), reactions AS (
    DELETE FROM message_emoji_reactions
    WHERE channel_id = :key AND platform_message_id IN (SELECT id FROM gone)
), counted AS (
    UPDATE sync_progress
    SET message_count = greatest(message_count - (SELECT count(*) FROM gone), 0)
    WHERE channel_id = :key AND EXISTS (SELECT FROM gone)
)
SELECT (SELECT count(*) FROM gone) AS messages,
    (SELECT count(blob_key) FROM attachments) AS blobs
""")

_HERE = """
channel_id IN (
    SELECT t.id FROM channels c JOIN channels t ON t.tenant_id = c.tenant_id
        AND (t.id = c.id OR t.parent_channel_id = c.platform_channel_id)
    WHERE c.id = :key)
"""
"""SQL condition: a message is in the channel or its threads, which begin with a quote from it."""

_IS_DUE = text("""
SELECT EXISTS (SELECT FROM messages WHERE channel_id = :key AND platform_message_id < :before)
""")

_EMPTY_OLD_QUOTES = text(f"""
WITH answers AS (
    UPDATE messages SET raw = {WITHOUT_QUOTE}, metadata = metadata - 'original',
        updated_at = now()
    WHERE {_HERE} AND {HAS_QUOTE} AND {_QUOTED} < :before
)
UPDATE message_versions SET raw = {WITHOUT_QUOTE}
WHERE {_HERE} AND {HAS_QUOTE} AND {_QUOTED} < :before
""")  # noqa: S608 of constants

_DELETED = text("""
SELECT channel_id AS key, platform_message_id AS id FROM messages
WHERE tenant_id = :tenant_id AND deleted_at < now() - make_interval(secs => :age_s)
    AND deleted_at IS NOT NULL AND raw <> '{}'::jsonb
ORDER BY channel_id, platform_message_id LIMIT :most
""")

_EMPTY_DELETED = text("""
WITH emptied AS (
    UPDATE messages SET content = '', raw = '{}', metadata = metadata - 'original',
        quarantine = NULL, updated_at = now()
    WHERE channel_id = :key AND platform_message_id = ANY(:ids)
    RETURNING platform_message_id AS id
), versions AS (
    DELETE FROM message_versions WHERE channel_id = :key AND platform_message_id = ANY(:ids)
), reactions AS (
    DELETE FROM message_emoji_reactions WHERE channel_id = :key AND platform_message_id = ANY(:ids)
), attachments AS (
    DELETE FROM message_attachments WHERE channel_id = :key AND platform_message_id = ANY(:ids)
    RETURNING blob_key
)
SELECT (SELECT count(*) FROM emptied) AS messages,
    (SELECT count(blob_key) FROM attachments) AS blobs
""")

_EMPTY_QUOTES_OF = text(f"""
WITH answers AS (
    UPDATE messages SET raw = {WITHOUT_QUOTE}, metadata = metadata - 'original',
        updated_at = now()
    WHERE {_HERE} AND {HAS_QUOTE} AND {_QUOTED} = ANY(:ids)
)
UPDATE message_versions SET raw = {WITHOUT_QUOTE}
WHERE {_HERE} AND {HAS_QUOTE} AND {_QUOTED} = ANY(:ids)
""")  # noqa: S608 of constants

# Uses both indexes, so the cost grows with the rows that are due, not with those that are kept.
_COUNT = text("""
WITH due AS MATERIALIZED (
    SELECT m.channel_id, m.platform_message_id, true AS is_old
    FROM messages m JOIN channels c ON c.id = m.channel_id
    WHERE c.tenant_id = :tenant_id AND m.platform_message_id < :before
    UNION ALL
    SELECT channel_id, platform_message_id, false FROM messages
    WHERE tenant_id = :tenant_id AND platform_message_id >= :before
        AND deleted_at < now() - make_interval(secs => :age_s)
        AND deleted_at IS NOT NULL AND raw <> '{}'::jsonb
)
SELECT (SELECT count(*) FROM due WHERE is_old) AS erased,
    (SELECT count(*) FROM due WHERE NOT is_old) AS emptied,
    (SELECT count(blob_key) FROM due JOIN message_attachments
        USING (channel_id, platform_message_id)) AS blobs
""")


@dataclass(frozen=True, slots=True)
class Purge:
    """Purge of one tenant that the caller holds. *progress* is called after each transaction."""

    engine: AsyncEngine
    tenant_id: TenantId
    progress: Progress

    async def count(self, before: int, deleted_after: timedelta | None) -> PurgeCounts:
        """Count what `erase_before` and `empty_deleted` would do. Reads what is due."""
        age_s = None if deleted_after is None else deleted_after.total_seconds()
        values = {"tenant_id": self.tenant_id, "before": before, "age_s": age_s}
        with translated():
            async with self.engine.begin() as connection:
                await connection.execute(NO_TIMEOUT)
                row = (await connection.execute(_COUNT, values)).one()
        return PurgeCounts(erased=row.erased, emptied=row.emptied, blobs=row.blobs)

    async def erase_before(self, before: int) -> PurgeCounts:
        """Erase messages with ids below *before*, and quotes of them."""
        total = PurgeCounts()
        for key in await channel_keys(self.engine, self.tenant_id) if before else ():
            values = {"key": key, "before": before, "most": AT_ONCE}
            if await self._run(_IS_DUE, values):
                # Quotes first: after an interruption, the messages must still be due.
                await self._run(_EMPTY_OLD_QUOTES, values)
                total += await self._erase_channel(values)
        return total

    async def _erase_channel(self, values: dict[str, Any]) -> PurgeCounts:
        total, is_last = PurgeCounts(), False
        while not is_last:
            with translated():
                async with self.engine.begin() as connection:
                    row = (await connection.execute(_ERASE_OLD, values)).one()
            is_last = row.messages < AT_ONCE
            total += PurgeCounts(erased=row.messages, blobs=row.blobs)
            self.progress(row.messages)
        return total

    async def empty_deleted(self, after: timedelta | None) -> PurgeCounts:
        """Empty messages that were found deleted at least *after* ago. Rows with their ids stay."""
        if after is None:
            return PurgeCounts()
        total, is_last = PurgeCounts(), False
        values = {"tenant_id": self.tenant_id, "age_s": after.total_seconds(), "most": AT_ONCE}
        while not is_last:
            with translated():
                async with self.engine.begin() as connection:
                    await connection.execute(NO_TIMEOUT)
                    due = (await connection.execute(_DELETED, values)).all()
                    total += await _empty(connection, due)
            is_last = len(due) < AT_ONCE
            self.progress(len(due))
        return total

    async def _run(self, statement: Any, values: dict[str, Any]) -> Any:
        """Run the statement. Return its value if it returns rows."""
        with translated():
            async with self.engine.begin() as connection:
                await connection.execute(NO_TIMEOUT)
                answer = await connection.execute(statement, values)
                return answer.scalar_one() if answer.returns_rows else None


async def _empty(connection: AsyncConnection, due: Sequence[Any]) -> PurgeCounts:
    total = PurgeCounts()
    by_channel: dict[int, list[int]] = {}
    for row in due:
        by_channel.setdefault(row.key, []).append(row.id)
    for key, ids in by_channel.items():
        values = {"key": key, "ids": ids}
        row = (await connection.execute(_EMPTY_DELETED, values)).one()
        await connection.execute(_EMPTY_QUOTES_OF, values)
        total += PurgeCounts(emptied=row.messages, blobs=row.blobs)
    return total
