"""Channels and threads of a tenant, and the coverage of each."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import islice
from typing import Any

import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from raysync.errors import safe_message
from raysync.models.entities import Channel
from raysync.models.extras import Extras
from raysync.models.ids import ChannelId, ChannelKey, MessageId, TenantId
from raysync.models.storable import storable_text
from raysync.models.work import (
    ArchiveKey,
    ArchiveRecord,
    DeadLetterNote,
    IdRange,
    KnownChannel,
    Recheck,
    StoredChannel,
)
from raysync.store.archive.dead_letters import close_letters, open_letters
from raysync.store.archive.extras import plan_leftovers
from raysync.store.archive.page_rows import storable_json
from raysync.store.archive.rechecks import (
    note_rechecks,
    plan_messages,
    plan_rechecks,
    plan_sample,
)
from raysync.store.connection.engine import is_refusal, translated

_log = logging.getLogger(__name__)

_AT_ONCE = 1_000
"""Number of channels in one statement: about a megabyte with their metadata."""

_UPSERT = text("""
INSERT INTO channels AS c (
    tenant_id, platform_channel_id, parent_channel_id, name, type, metadata, last_message_id)
SELECT :tenant_id, id, parent_id, name, type, metadata, last_message_id
FROM jsonb_to_recordset(CAST(:channels AS jsonb)) AS given (
    id bigint, parent_id bigint, name text, type integer, metadata jsonb, last_message_id bigint)
ORDER BY id
ON CONFLICT (tenant_id, platform_channel_id) DO UPDATE SET
    parent_channel_id = excluded.parent_channel_id, type = excluded.type,
    name = coalesce(nullif(excluded.name, ''), c.name),  -- an unreadable name is empty
    metadata = excluded.metadata, deleted_at = NULL, updated_at = now(),
    last_message_id = greatest(c.last_message_id, excluded.last_message_id)
WHERE (c.parent_channel_id, c.name, c.type, c.metadata, c.deleted_at,
        coalesce(c.last_message_id, 0))
    IS DISTINCT FROM (excluded.parent_channel_id, coalesce(nullif(excluded.name, ''), c.name),
        excluded.type, excluded.metadata, NULL::timestamptz,
        greatest(c.last_message_id, excluded.last_message_id, 0))
""")

_NAMES = text("""
SELECT platform_channel_id, name FROM channels
WHERE tenant_id = :tenant_id AND platform_channel_id = ANY(CAST(:channels AS bigint[]))
""")
_START_PROGRESS = text("""
INSERT INTO sync_progress (tenant_id, channel_id)
SELECT tenant_id, id FROM channels
WHERE tenant_id = :tenant_id AND platform_channel_id = ANY(:ids)
ORDER BY id
ON CONFLICT (channel_id) DO NOTHING
""")

_STORED = text("""
SELECT c.id, c.platform_channel_id, p.coverage, p.message_count, p.last_synced_at
FROM channels c JOIN sync_progress p ON p.channel_id = c.id
WHERE c.tenant_id = :tenant_id AND c.platform_channel_id = ANY(:ids)
""")


_LISTINGS = text("""
SELECT c.platform_channel_id, l.is_private, l.archived_until, l.compared_at, l.last_message_id,
       l.routes, l.missing_threads
FROM thread_listings l JOIN channels c ON c.id = l.channel_id
WHERE c.tenant_id = :tenant_id
""")

_NOTE_LISTING = text("""
INSERT INTO thread_listings AS l (
    channel_id, is_private, archived_until, compared_at, last_message_id, routes, missing_threads)
SELECT c.id, given.is_private, given.archived_until, given.compared_at, given.last_message_id,
       given.routes, given.missing_threads
FROM jsonb_to_recordset(CAST(:listings AS jsonb)) AS given (
    channel_id bigint, is_private boolean, archived_until timestamptz, compared_at timestamptz,
    last_message_id bigint, routes text, missing_threads bigint[])
JOIN channels c ON c.tenant_id = :tenant_id AND c.platform_channel_id = given.channel_id
ORDER BY c.id, given.is_private
ON CONFLICT (channel_id, is_private) DO UPDATE SET
    archived_until = greatest(l.archived_until, excluded.archived_until),  -- ignores nulls
    compared_at = excluded.compared_at, last_message_id = excluded.last_message_id,
    routes = excluded.routes, missing_threads = excluded.missing_threads, updated_at = now()
""")

_FORGET_LISTINGS = text("""
DELETE FROM thread_listings l USING channels c
WHERE c.id = l.channel_id AND c.tenant_id = :tenant_id
""")

_KNOWN = text("""
SELECT platform_channel_id, type, parent_channel_id,
       type IN (10, 11, 12) AND metadata->'thread_metadata'->>'archived' = 'false' AS is_active
FROM channels
WHERE tenant_id = :tenant_id AND deleted_at IS NULL
ORDER BY platform_channel_id
""")

_IDS = text("SELECT platform_channel_id FROM channels WHERE tenant_id = :tenant_id")
_MARK_DELETED = text("""
UPDATE channels SET deleted_at = now(), updated_at = now()
WHERE tenant_id = :tenant_id AND platform_channel_id = ANY(:ids) AND deleted_at IS NULL
RETURNING id
""")


class ChannelStore:
    """`ChannelCatalog` of one tenant."""

    def __init__(self, engine: AsyncEngine, tenant_id: TenantId) -> None:
        self._engine = engine
        self._tenant_id = tenant_id

    async def record(self, channels: Sequence[Channel]) -> Mapping[ChannelId, StoredChannel]:
        """Insert or update *channels* and return what is stored of each.

        A channel's last message id only grows, because Discord's listings may be out of date.
        """
        stored: dict[ChannelId, StoredChannel] = {}
        by_id = {channel.id: channel for channel in channels}
        for chunk in _in_chunks(sorted(by_id.values(), key=lambda channel: channel.id)):
            stored.update(await self._record_all(chunk))
        return stored

    async def _record_all(self, channels: Sequence[Channel]) -> dict[ChannelId, StoredChannel]:
        """Record *channels*. One that the database refuses is recorded without its payload."""
        try:
            with translated():
                async with self._engine.begin() as connection:
                    return await self._record_some(connection, channels)
        except Exception as error:
            if not is_refusal(error) or channels == [_without_payload(channels[0])]:
                raise
            _log.warning("the database refused channels: %s", safe_message(error))
        if len(channels) == 1:
            return await self._record_all([_without_payload(channels[0])])
        middle = len(channels) // 2
        halves = channels[:middle], channels[middle:]
        return await self._record_all(halves[0]) | await self._record_all(halves[1])

    async def listings(self) -> Mapping[ArchiveKey, ArchiveRecord]:
        """Return what is known of each list of archived threads that was compared before."""
        with translated():
            async with self._engine.connect() as connection:
                rows = await connection.execute(_LISTINGS, {"tenant_id": self._tenant_id})
                return {
                    ArchiveKey(ChannelId(row.platform_channel_id), row.is_private): ArchiveRecord(
                        row.compared_at,
                        row.archived_until,
                        row.last_message_id,
                        row.routes,
                        frozenset(row.missing_threads),
                    )
                    for row in rows
                }

    async def note_listings(self, listings: Mapping[ArchiveKey, ArchiveRecord]) -> None:
        """Store the comparisons of lists of archived threads. Watermarks never move back."""
        rows = [
            {
                "channel_id": key.channel_id,
                "is_private": key.is_private,
                "archived_until": record.archived_until,
                "compared_at": record.compared_at,
                "last_message_id": record.last_message_id,
                "routes": record.routes,
                "missing_threads": sorted(record.missing),
            }
            for key, record in listings.items()
        ]
        document = orjson.dumps(rows).decode()
        with translated():
            async with self._engine.begin() as connection:
                values = {"tenant_id": self._tenant_id, "listings": document}
                await connection.execute(_NOTE_LISTING, values)

    async def forget_listings(self) -> None:
        """See `forget_listings`. No run may be active: it would store watermarks at its end."""
        with translated():
            async with self._engine.begin() as connection:
                await forget_listings(connection, self._tenant_id)

    async def plan_rechecks(
        self, requests: int, before: int, readable: Collection[ChannelId]
    ) -> Sequence[Recheck]:
        """See `raysync.store.archive.rechecks`."""
        return await plan_rechecks(self._engine, self._tenant_id, requests, before, readable)

    async def plan_sample(self, pages: int, readable: Collection[ChannelId]) -> Sequence[Recheck]:
        """See `raysync.store.archive.rechecks`."""
        return await plan_sample(self._engine, self._tenant_id, pages, readable)

    async def plan_messages(
        self, messages: Collection[tuple[ChannelId, MessageId]], readable: Collection[ChannelId]
    ) -> Sequence[Recheck]:
        """See `raysync.store.archive.rechecks`."""
        return await plan_messages(self._engine, self._tenant_id, messages, readable)

    async def plan_leftovers(self, extras: Extras, window: IdRange) -> Sequence[Recheck]:
        """See `raysync.store.archive.extras`."""
        return await plan_leftovers(self._engine, self._tenant_id, extras, window)

    async def note_rechecks(
        self, done: Mapping[ChannelKey, int | None], began_at: datetime
    ) -> None:
        """See `raysync.store.archive.rechecks`."""
        await note_rechecks(self._engine, done, began_at)

    async def letters(self) -> Mapping[ChannelId, DeadLetterNote]:
        """See `raysync.store.archive.dead_letters`."""
        return await open_letters(self._engine, self._tenant_id)

    async def known(self) -> Sequence[KnownChannel]:
        """Return the channels and threads that are not marked as deleted."""
        with translated():
            async with self._engine.connect() as connection:
                rows = await connection.execute(_KNOWN, {"tenant_id": self._tenant_id})
                return [
                    KnownChannel(
                        ChannelId(row.platform_channel_id),
                        row.type,
                        row.parent_channel_id,
                        bool(row.is_active),
                    )
                    for row in rows
                ]

    async def names(self, channels: Collection[ChannelId]) -> Mapping[ChannelId, str]:
        """Return the names of those of *channels* that are stored. Forgotten ones have none."""
        values = {"tenant_id": self._tenant_id, "channels": list(channels)}
        with translated():
            async with self._engine.connect() as connection:
                rows = await connection.execute(_NAMES, values)
                return {ChannelId(row.platform_channel_id): row.name for row in rows}

    async def ids(self) -> Sequence[ChannelId]:
        """Return the ids of all channels and threads, deleted ones included."""
        with translated():
            async with self._engine.connect() as connection:
                rows = await connection.execute(_IDS, {"tenant_id": self._tenant_id})
                return [ChannelId(channel_id) for channel_id in rows.scalars()]

    async def mark_deleted(self, channels: Collection[ChannelId]) -> None:
        """Mark channels as deleted and close their dead letters. Their messages stay unchanged."""
        values = {"tenant_id": self._tenant_id, "ids": sorted(channels)}
        with translated():
            async with self._engine.begin() as connection:
                marked = await connection.execute(_MARK_DELETED, values)
                await close_letters(connection, [ChannelKey(row.id) for row in marked])

    async def _record_some(
        self, connection: AsyncConnection, channels: Sequence[Channel]
    ) -> dict[ChannelId, StoredChannel]:
        document = storable_json(orjson.dumps([_as_json(channel) for channel in channels])).decode()
        ids = [channel.id for channel in channels]
        wanted: dict[str, Any] = {"tenant_id": self._tenant_id, "ids": ids}
        await connection.execute(_UPSERT, {"tenant_id": self._tenant_id, "channels": document})
        await connection.execute(_START_PROGRESS, wanted)
        rows = await connection.execute(_STORED, wanted)
        return {row.platform_channel_id: _stored(row) for row in rows}


async def forget_listings(connection: AsyncConnection, tenant_id: TenantId) -> None:
    """Delete the watermarks, so the next run reads all lists of archived threads to their ends."""
    await connection.execute(_FORGET_LISTINGS, {"tenant_id": tenant_id})


def _in_chunks(channels: Sequence[Channel]) -> Iterator[list[Channel]]:
    rest = iter(channels)
    while chunk := list(islice(rest, _AT_ONCE)):
        yield chunk


def _without_payload(channel: Channel) -> Channel:
    metadata = {"id": str(channel.id), "type": channel.type, "withheld_by_raysync": True}
    return replace(channel, name="", metadata=metadata)


def _as_json(channel: Channel) -> dict[str, Any]:
    return {
        "id": channel.id,
        "parent_id": channel.parent_id,
        "name": storable_text(channel.name),
        "type": channel.type,
        "metadata": dict(channel.metadata),
        "last_message_id": channel.last_message_id,
    }


def _stored(row: Any) -> StoredChannel:
    coverage = tuple(IdRange(part.lower, part.upper) for part in row.coverage)
    channel_id = ChannelId(row.platform_channel_id)
    return StoredChannel(
        ChannelKey(row.id), channel_id, coverage, row.message_count, row.last_synced_at
    )
