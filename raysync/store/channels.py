"""A tenant's channels and threads, and what is proven of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from raysync.models.entities import Channel
from raysync.models.ids import ChannelId, ChannelKey, TenantId
from raysync.models.work import IdRange, StoredChannel
from raysync.store.engine import translated
from raysync.store.page_rows import storable_json, storable_text

_AT_ONCE = 1_000
"""Channels per statement: with their metadata about a megabyte."""

_UPSERT = text("""
INSERT INTO channels AS c (
    tenant_id, platform_channel_id, parent_channel_id, name, type, metadata, last_message_id)
SELECT :tenant_id, id, parent_id, name, type, metadata, last_message_id
FROM jsonb_to_recordset(CAST(:channels AS jsonb)) AS given (
    id bigint, parent_id bigint, name text, type integer, metadata jsonb, last_message_id bigint)
ORDER BY id
ON CONFLICT (tenant_id, platform_channel_id) DO UPDATE SET
    parent_channel_id = excluded.parent_channel_id, name = excluded.name, type = excluded.type,
    metadata = excluded.metadata, deleted_at = NULL, updated_at = now(),
    last_message_id = greatest(c.last_message_id, excluded.last_message_id)
WHERE (c.parent_channel_id, c.name, c.type, c.metadata, c.deleted_at,
        coalesce(c.last_message_id, 0))
    IS DISTINCT FROM (excluded.parent_channel_id, excluded.name, excluded.type, excluded.metadata,
        NULL::timestamptz, greatest(c.last_message_id, excluded.last_message_id, 0))
""")

_START_PROGRESS = text("""
INSERT INTO sync_progress (tenant_id, channel_id)
SELECT tenant_id, id FROM channels
WHERE tenant_id = :tenant_id AND platform_channel_id = ANY(:ids)
ORDER BY id
ON CONFLICT (channel_id) DO NOTHING
""")

_STORED = text("""
SELECT c.id, c.platform_channel_id, p.coverage, p.message_count
FROM channels c JOIN sync_progress p ON p.channel_id = c.id
WHERE c.tenant_id = :tenant_id AND c.platform_channel_id = ANY(:ids)
""")


class ChannelStore:
    """The `ChannelCatalog` of one tenant."""

    def __init__(self, engine: AsyncEngine, tenant_id: TenantId) -> None:
        self._engine = engine
        self._tenant_id = tenant_id

    async def record(self, channels: Sequence[Channel]) -> Mapping[ChannelId, StoredChannel]:
        """Insert or update *channels* and return what is stored of each.

        The last message that a channel named once is never forgotten: Discord's listing of it
        may be older than another.
        """
        stored: dict[ChannelId, StoredChannel] = {}
        by_id = {each.id: each for each in channels}
        for some in _in_chunks(sorted(by_id.values(), key=lambda each: each.id)):
            with translated():
                async with self._engine.begin() as connection:
                    stored.update(await self._record_some(connection, some))
        return stored

    async def _record_some(
        self, connection: AsyncConnection, channels: Sequence[Channel]
    ) -> dict[ChannelId, StoredChannel]:
        document = storable_json(orjson.dumps([_as_json(each) for each in channels])).decode()
        ids = [each.id for each in channels]
        wanted: dict[str, Any] = {"tenant_id": self._tenant_id, "ids": ids}
        await connection.execute(_UPSERT, {"tenant_id": self._tenant_id, "channels": document})
        await connection.execute(_START_PROGRESS, wanted)
        rows = await connection.execute(_STORED, wanted)
        return {row.platform_channel_id: _stored(row) for row in rows}


def _in_chunks(channels: Sequence[Channel]) -> Iterator[list[Channel]]:
    rest = iter(channels)
    while some := list(islice(rest, _AT_ONCE)):
        yield some


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
    coverage = tuple(IdRange(each.lower, each.upper) for each in row.coverage)
    return StoredChannel(
        ChannelKey(row.id), ChannelId(row.platform_channel_id), coverage, row.message_count
    )
