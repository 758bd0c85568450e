"""Erasure of a user or a channel, in pieces. If interrupted, the same call completes it.

The caller holds the tenant (`raysync.store.jobs.lease.hold_tenant`), so no sync runs meanwhile,
and has already suppressed what is erased, so nothing comes back afterwards. Each piece is one
transaction and is idempotent.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from raysync.models.ids import ChannelId, TenantId
from raysync.models.privacy import ErasureCounts
from raysync.store.archive.payload_sql import QUOTED_AUTHOR, QUOTED_SOURCE, REFERS, SOURCE
from raysync.store.archive.ranges import IN_PIECE, Piece, Progress, channel_keys, in_pieces
from raysync.store.connection.engine import NO_TIMEOUT, translated
from raysync.store.privacy.names import Names
from raysync.store.privacy.redacting import (
    IN_MESSAGE,
    IN_VERSION,
    Redactor,
    redact_elsewhere,
    redact_forwards,
    redact_named,
    redact_referring,
)

Work = Callable[[AsyncConnection, Piece], Awaitable[ErasureCounts]]
_THREADS: Final = "(10, 11, 12)"
_OF_GONE = f"{IN_PIECE} AND platform_message_id IN (SELECT id FROM gone)"  # noqa: S608 of constants


_BELONGING = f"""
versions AS (
    DELETE FROM message_versions WHERE {_OF_GONE} RETURNING 1
), attachments AS (
    DELETE FROM message_attachments WHERE {_OF_GONE} RETURNING blob_key
), counted AS (
    UPDATE sync_progress
    SET message_count = greatest(message_count - (SELECT count(*) FROM gone), 0)
    WHERE channel_id = :key
)
"""  # noqa: S608 of constants
_COUNTS = """
SELECT (SELECT count(*) FROM gone) AS messages, (SELECT count(*) FROM versions) AS versions,
    (SELECT count(*) FROM reactions) AS reactions,
    (SELECT count(*) FROM attachments) AS attachments,
    (SELECT count(blob_key) FROM attachments) AS blobs
"""

_ERASE_ALL = text(f"""
WITH gone AS (
    DELETE FROM messages WHERE {IN_PIECE} RETURNING platform_message_id AS id
), {_BELONGING}, reactions AS (
    DELETE FROM message_emoji_reactions WHERE {_OF_GONE} RETURNING 1
)
{_COUNTS}
""")  # noqa: S608 of constants

_ERASE_USER = text(f"""
WITH gone AS (
    DELETE FROM messages WHERE {IN_PIECE} AND anonymized_author_id = ANY(:refs)
    RETURNING platform_message_id AS id
), {_BELONGING}, reactions AS (
    DELETE FROM message_emoji_reactions
    WHERE {IN_PIECE}
        AND (platform_message_id IN (SELECT id FROM gone) OR anonymized_user_id = ANY(:refs))
    RETURNING 1
), noted AS (
    INSERT INTO erased_messages (tenant_id, platform_message_id, suppression_id)
    SELECT :tenant_id, id, :suppression FROM gone ON CONFLICT DO NOTHING
)
{_COUNTS}
""")  # noqa: S608 of constants

_OF_OTHERS = """channel_id IN (SELECT id FROM channels WHERE tenant_id = :tenant_id)
    AND coalesce(anonymized_author_id, '') <> ALL(:refs)"""
_COUNT_USER = text(f"""
WITH ours AS MATERIALIZED (
    SELECT m.channel_id, m.platform_message_id FROM messages m
    JOIN channels c ON c.id = m.channel_id
    WHERE c.tenant_id = :tenant_id AND m.anonymized_author_id = ANY(:refs)
), copied AS MATERIALIZED (
    SELECT platform_message_id AS id FROM ours
    UNION SELECT e.platform_message_id FROM erased_messages e
        JOIN suppressions s ON s.id = e.suppression_id
        WHERE s.tenant_id = :tenant_id AND s.kind = 'user' AND s.ref = ANY(:refs)
)
SELECT (SELECT count(*) FROM ours) AS messages,
    (SELECT count(*) FROM ours JOIN message_versions
        USING (channel_id, platform_message_id)) AS versions,
    (SELECT count(*) FROM ours JOIN message_attachments
        USING (channel_id, platform_message_id)) AS attachments,
    (SELECT count(*) FROM ours JOIN message_emoji_reactions
        USING (channel_id, platform_message_id))
    + (SELECT count(*) FROM message_emoji_reactions r JOIN channels c ON c.id = r.channel_id
        WHERE c.tenant_id = :tenant_id AND r.anonymized_user_id = ANY(:refs) AND NOT EXISTS (
            SELECT FROM ours WHERE ours.channel_id = r.channel_id
                AND ours.platform_message_id = r.platform_message_id)) AS reactions,
    (SELECT count(*) FROM messages WHERE {IN_MESSAGE} AND {_OF_OTHERS})
    + (SELECT count(*) FROM message_versions WHERE {IN_VERSION}
        AND (channel_id, platform_message_id) IN (
            SELECT channel_id, platform_message_id FROM messages WHERE {_OF_OTHERS}))
    + (SELECT count(*) FROM messages WHERE {_OF_OTHERS}
        AND ({SOURCE} IN (SELECT id FROM copied) OR ({QUOTED_SOURCE} IN (SELECT id FROM copied)
            -- a quote of their message is removed as a whole, and counted as a mention
            AND coalesce({QUOTED_AUTHOR}, '') <> ALL(:refs))))
    AS mentions
""")  # noqa: S608 of constants

_COUNT_CHANNELS = text(f"""
SELECT (SELECT count(*) FROM messages WHERE channel_id = ANY(:keys)) AS messages,
    (SELECT count(*) FROM message_versions WHERE channel_id = ANY(:keys)) AS versions,
    (SELECT count(*) FROM message_emoji_reactions WHERE channel_id = ANY(:keys)) AS reactions,
    (SELECT count(*) FROM message_attachments WHERE channel_id = ANY(:keys)) AS attachments,
    (SELECT count(*) FROM messages
        WHERE channel_id IN (SELECT id FROM channels WHERE tenant_id = :tenant_id)
            AND channel_id <> ALL(:keys) AND {REFERS}) AS mentions
""")  # noqa: S608 of constants

_CHANNEL_AND_THREADS = text(f"""
SELECT id, platform_channel_id FROM channels WHERE tenant_id = :tenant_id
    AND (platform_channel_id = :channel OR (parent_channel_id = :channel AND type IN {_THREADS}))
ORDER BY id
""")  # noqa: S608 of constants

_DROP_CHANNEL = text("DELETE FROM channels WHERE id = :key")
_FORGET_VIEWS = text("UPDATE sync_jobs SET progress = NULL WHERE tenant_id = :tenant_id")
_FORGET_RESULTS = text("""
UPDATE sync_jobs SET result = jsonb_set(jsonb_set(jsonb_set(jsonb_set(result,
    '{skipped}', (SELECT coalesce(jsonb_agg(each), '[]') FROM
        jsonb_array_elements(result -> 'skipped') each
        WHERE each ->> 'channel_id' <> ALL(:ids))),
    '{errors}', (SELECT coalesce(jsonb_agg(each), '[]') FROM
        jsonb_array_elements(result -> 'errors') each
        WHERE each ->> 'channel_id' IS NULL OR each ->> 'channel_id' <> ALL(:ids))),
    '{quarantined_messages}', (SELECT coalesce(jsonb_agg(each), '[]') FROM
        jsonb_array_elements(result -> 'quarantined_messages') each
        WHERE each ->> 'channel_id' <> ALL(:ids))),
    '{unplaced_records}', (SELECT coalesce(jsonb_agg(each), '[]') FROM
        jsonb_array_elements(result -> 'unplaced_records') each
        WHERE each ->> 'channel_id' <> ALL(:ids)))
WHERE tenant_id = :tenant_id AND result IS NOT NULL
""")
_FORGET_GAPS = text("""
UPDATE sync_jobs SET result = jsonb_set(result, '{verification,gaps}',
    (SELECT coalesce(jsonb_agg(each), '[]') FROM
        jsonb_array_elements(result -> 'verification' -> 'gaps') each
        WHERE each ->> 'channel_id' <> ALL(:ids)))
WHERE tenant_id = :tenant_id AND jsonb_typeof(result -> 'verification') = 'object'
""")


@dataclass(frozen=True, slots=True)
class StoredChannelRow:
    """Channel or thread to erase."""

    key: int
    id: ChannelId


@dataclass(frozen=True, slots=True)
class Erasure:
    """Erasure for one tenant that the caller holds. *progress* is called after each piece."""

    engine: AsyncEngine
    tenant_id: TenantId
    progress: Progress

    async def count_user(self, names: Names) -> ErasureCounts:
        """Count what `erase_user` would erase. Reads the whole archive once."""
        return await self._count(_COUNT_USER, {"tenant_id": self.tenant_id, **names.values})

    async def count_channels(self, channels: Sequence[StoredChannelRow]) -> ErasureCounts:
        """Count what `erase_channels` would erase. Reads the whole archive once."""
        values = {
            "keys": [channel.key for channel in channels],
            "refs": [str(c.id) for c in channels],
        }
        return await self._count(_COUNT_CHANNELS, {"tenant_id": self.tenant_id, **values})

    async def count_all(self) -> ErasureCounts:
        """Count what `erase_all` would erase."""
        values = {"keys": await self.all_keys(), "refs": []}
        return await self._count(_COUNT_CHANNELS, {"tenant_id": self.tenant_id, **values})

    async def erase_user(self, names: Names, suppression: int, redactor: Redactor) -> ErasureCounts:
        """Erase a user's messages and reactions. *redactor* removes the user from other messages.

        Forwards of the user's messages stay, without the copy.
        """
        values: dict[str, Any] = {"tenant_id": self.tenant_id, "suppression": suppression}
        values["refs"] = list(names.refs)

        async def erase(connection: AsyncConnection, piece: Piece) -> ErasureCounts:
            row = (await connection.execute(_ERASE_USER, {**values, **piece.values})).one()
            return _counts(row, await redact_named(connection, piece, names, redactor))

        async def empty(connection: AsyncConnection, piece: Piece) -> ErasureCounts:
            found = await redact_forwards(connection, piece, suppression)
            return ErasureCounts(mentions=found)

        keys = await channel_keys(self.engine, self.tenant_id)
        erased = await self._in_all(keys, erase)
        # Only now are the ids of all their messages stored.
        forwards = await self._in_all(keys, empty, lambda _: None)
        with translated():
            async with self.engine.begin() as connection:
                await redact_elsewhere(connection, self.tenant_id, names, redactor)
        return erased + forwards

    async def erase_channels(
        self, channels: Sequence[StoredChannelRow], redactor: Redactor
    ) -> ErasureCounts:
        """Erase whole channels. *redactor* removes them from messages in other channels."""
        ids = [str(channel.id) for channel in channels]
        gone = [channel.key for channel in channels]

        async def redact(connection: AsyncConnection, piece: Piece) -> ErasureCounts:
            return ErasureCounts(mentions=await redact_referring(connection, piece, ids, redactor))

        total = await self._in_all(gone, _erase_piece)
        others = [key for key in await self.all_keys() if key not in set(gone)]
        total += await self._in_all(others, redact)
        with translated():
            async with self.engine.begin() as connection:
                await _drop_channels(connection, self.tenant_id, channels)
        return total

    async def erase_all(self) -> ErasureCounts:
        """Erase every message of the tenant. The tenant itself stays."""
        return await self._in_all(await self.all_keys(), _erase_piece)

    async def channel_and_threads(self, channel_id: ChannelId) -> list[StoredChannelRow]:
        """Return the channel with this id and its threads, as far as they are stored."""
        values = {"tenant_id": self.tenant_id, "channel": channel_id}
        with translated():
            async with self.engine.connect() as connection:
                rows = await connection.execute(_CHANNEL_AND_THREADS, values)
                return [
                    StoredChannelRow(row.id, ChannelId(row.platform_channel_id)) for row in rows
                ]

    async def all_keys(self) -> list[int]:
        """Return the keys of all channels of the tenant."""
        return await channel_keys(self.engine, self.tenant_id)

    async def _in_all(
        self, keys: Iterable[int], work: Work, progress: Progress | None = None
    ) -> ErasureCounts:
        total = ErasureCounts()
        for key in keys:
            done = await in_pieces(self.engine, key, work, progress or self.progress)
            total = sum(done, total)
        return total

    async def _count(self, statement: Any, values: dict[str, Any]) -> ErasureCounts:
        with translated():
            async with self.engine.begin() as connection:
                await connection.execute(NO_TIMEOUT)
                row = (await connection.execute(statement, values)).one()
        return _counts(row, row.mentions)


async def _erase_piece(connection: AsyncConnection, piece: Piece) -> ErasureCounts:
    return _counts((await connection.execute(_ERASE_ALL, piece.values)).one())


async def _drop_channels(
    connection: AsyncConnection, tenant_id: TenantId, channels: Sequence[StoredChannelRow]
) -> None:
    """Delete the channels' rows, dependent rows, and their names in reports of jobs."""
    values = {"tenant_id": tenant_id, "ids": [str(channel.id) for channel in channels]}
    for statement in (_FORGET_VIEWS, _FORGET_RESULTS, _FORGET_GAPS):
        await connection.execute(statement, values)
    for channel in channels:
        await connection.execute(_DROP_CHANNEL, {"key": channel.key})


def _counts(row: Any, mentions: int = 0) -> ErasureCounts:
    return ErasureCounts(
        row.messages, row.versions, row.reactions, row.attachments, mentions=mentions
    )
