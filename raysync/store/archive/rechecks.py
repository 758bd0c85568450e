"""Rechecks: old pages that are due to be read again, and the time since the oldest recheck.

Messages older than the look-back are swept upwards, page by page, over as many runs as it takes.
`recheck_from` is the position of the current sweep; `rechecked_at` is the start of the last whole
one. So every old message was compared with Discord's since the tenant's oldest `rechecked_at`. A
channel without a sweep counts from its first read.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from raysync.models.ids import ChannelId, ChannelKey, MessageId, TenantId
from raysync.models.work import IdRange, Recheck, StoredChannel
from raysync.store.connection.engine import translated

_ALL = 1_000_000_000
PER_PAGE = 99
"""Number of stored messages that a page rereads at least: pages overlap by one of a hundred."""

_DUE = text("""
SELECT c.platform_channel_id, c.type, c.parent_channel_id, c.name, c.last_message_id,
    p.channel_id, p.coverage, p.message_count, p.recheck_from
FROM sync_progress p JOIN channels c ON c.id = p.channel_id
WHERE c.tenant_id = :tenant_id AND c.deleted_at IS NULL AND p.message_count > 0
    AND c.platform_channel_id = ANY(:readable)
ORDER BY coalesce(p.rechecked_at, p.created_at), c.platform_channel_id
LIMIT :most
""")

_NAMED = text("""
SELECT c.platform_channel_id, c.type, c.parent_channel_id, c.name, c.last_message_id,
    p.channel_id, p.coverage, p.message_count, p.recheck_from
FROM sync_progress p JOIN channels c ON c.id = p.channel_id
WHERE c.tenant_id = :tenant_id AND c.deleted_at IS NULL
    AND c.platform_channel_id = ANY(:channels)
ORDER BY c.platform_channel_id
""")

_NEXT = text("""
SELECT max(id) AS last, count(*) AS messages FROM (
    SELECT platform_message_id AS id FROM messages
    WHERE channel_id = :key AND platform_message_id >= :start AND platform_message_id < :before
        AND deleted_at IS NULL
    ORDER BY platform_message_id LIMIT :most) some_of_them
""")

_ENDS = text("""
SELECT min(platform_message_id) AS first, max(platform_message_id) AS last
FROM messages WHERE channel_id = :key AND deleted_at IS NULL
""")

_NOTE = text("""
UPDATE sync_progress SET
    rechecked_at = CASE WHEN :is_last THEN
        CASE WHEN recheck_from = 0 THEN :began_at ELSE coalesce(recheck_started_at, :began_at) END
        ELSE rechecked_at END,
    recheck_started_at = CASE WHEN recheck_from = 0 THEN :began_at ELSE recheck_started_at END,
    recheck_from = CASE WHEN :is_last THEN 0 ELSE :stop END, updated_at = now()
WHERE channel_id = :key
""")

_OLDEST = text("""
SELECT min(coalesce(p.rechecked_at, p.created_at)) AS since,
    sum(p.message_count)::bigint AS messages
FROM sync_progress p JOIN channels c ON c.id = p.channel_id
WHERE c.tenant_id = :tenant_id AND c.deleted_at IS NULL AND p.message_count > 0
""")


async def plan_rechecks(
    engine: AsyncEngine,
    tenant_id: TenantId,
    requests: int,
    before: int,
    readable: Collection[ChannelId],
) -> Sequence[Recheck]:
    """Return the old pages that were read longest ago, for at most *requests* requests.

    *before* is the message id at which the look-back begins. Only *readable* channels get
    requests: another one would come first in each run and use them all up.
    """
    values = {"tenant_id": tenant_id, "most": requests, "readable": sorted(readable)}
    planned: list[Recheck] = []
    with translated():
        async with engine.connect() as connection:
            due = await connection.execute(_DUE, values)
            for row in due.all():
                if requests <= 0:
                    break
                recheck = await _recheck(connection, row, requests, before)
                planned.append(recheck)
                requests -= recheck.pages
    return planned


async def _recheck(connection: AsyncConnection, row: Any, requests: int, before: int) -> Recheck:
    start, most = row.recheck_from, requests * PER_PAGE
    found = await _next_messages(connection, row.channel_id, start, before, most)
    is_last = found.messages < most
    stop = before if is_last else found.last + 1
    if not found.messages or start >= stop:
        return due_of(row, (), 0, is_last=is_last)
    pages = found.messages // PER_PAGE + (1 if is_last else 0)
    return due_of(row, (IdRange(start, stop),), pages, is_last=is_last)


async def plan_sample(
    engine: AsyncEngine, tenant_id: TenantId, pages: int, readable: Collection[ChannelId]
) -> Sequence[Recheck]:
    """Choose *pages* random pages of *readable* channels, weighted by their number of messages."""
    dice = random.SystemRandom()
    with translated():
        async with engine.connect() as connection:
            values = {"tenant_id": tenant_id, "most": _ALL, "readable": sorted(readable)}
            rows = (await connection.execute(_DUE, values)).all()
            if not rows:
                return ()
            chosen = dice.choices(rows, [row.message_count for row in rows], k=pages)
            picked = Counter(row.channel_id for row in chosen)
            return [
                await _sample(connection, row, picked[row.channel_id], dice)
                for row in rows
                if picked[row.channel_id]
            ]


async def plan_messages(
    engine: AsyncEngine,
    tenant_id: TenantId,
    messages: Collection[tuple[ChannelId, MessageId]],
    readable: Collection[ChannelId],
) -> Sequence[Recheck]:
    """Return the pages with these *messages* of *readable* channels."""
    wanted: dict[int, list[int]] = {}
    for channel_id, message_id in sorted(messages):
        if channel_id in readable:
            wanted.setdefault(channel_id, []).append(message_id)
    planned: list[Recheck] = []
    with translated():
        async with engine.connect() as connection:
            values = {"tenant_id": tenant_id, "channels": sorted(wanted)}
            for row in (await connection.execute(_NAMED, values)).all():
                ids = wanted[row.platform_channel_id]
                ranges = await _around(connection, row.channel_id, ids)
                planned.append(due_of(row, tuple(ranges), len(ranges), is_last=False))
    return planned


async def _around(connection: AsyncConnection, key: int, ids: Sequence[int]) -> list[IdRange]:
    """Return ranges with all *ids*, each no longer than a page of the stored messages."""
    ranges: list[IdRange] = []
    for message_id in ids:
        if ranges and message_id in ranges[-1]:
            continue
        found = await _next_messages(connection, key, message_id, ids[-1] + 1, PER_PAGE)
        last = max(found.last or message_id, message_id)
        ranges.append(IdRange(message_id, last + 1))
    return ranges


async def _sample(
    connection: AsyncConnection, row: Any, pages: int, dice: random.Random
) -> Recheck:
    bounds = (await connection.execute(_ENDS, {"key": row.channel_id})).one()
    ranges = []
    for _ in range(pages if bounds.first is not None else 0):
        start = dice.randint(bounds.first, bounds.last)
        found = await _next_messages(connection, row.channel_id, start, bounds.last + 1, PER_PAGE)
        ranges.append(IdRange(start, found.last + 1))
    return due_of(row, tuple(sorted(ranges)), len(ranges), is_last=False)


async def _next_messages(
    connection: AsyncConnection, key: int, start: int, before: int, most: int
) -> Any:
    """Return the last of the next *most* messages from *start* on, and their number."""
    values = {"key": key, "start": start, "before": before, "most": most}
    return (await connection.execute(_NEXT, values)).one()


def due_of(row: Any, ids: tuple[IdRange, ...], pages: int, *, is_last: bool) -> Recheck:
    """Return the recheck of the channel in *row*, which has the columns of `_DUE`."""
    coverage = tuple(IdRange(part.lower, part.upper) for part in row.coverage)
    channel_id, last_id = ChannelId(row.platform_channel_id), row.last_message_id
    parent_id = row.parent_channel_id
    return Recheck(
        stored=StoredChannel(ChannelKey(row.channel_id), channel_id, coverage, row.message_count),
        name=row.name,
        type=row.type,
        parent_id=None if parent_id is None else ChannelId(parent_id),
        last_message_id=None if last_id is None else MessageId(last_id),
        ids=ids,
        pages=pages,
        is_last=is_last,
    )


async def note_rechecks(
    engine: AsyncEngine, done: Mapping[ChannelKey, int | None], began_at: datetime
) -> None:
    """Store the ends of the sweeps of a run that *began_at* then. None: the sweep is complete."""
    with translated():
        async with engine.begin() as connection:
            rows = [
                {"key": key, "is_last": stop is None, "stop": stop or 0, "began_at": began_at}
                for key, stop in sorted(done.items())
            ]
            if rows:
                await connection.execute(_NOTE, rows)


async def rechecked_since(engine: AsyncEngine, tenant_id: TenantId) -> tuple[datetime | None, int]:
    """Return the time since which every message was compared, and the number of messages."""
    with translated():
        async with engine.connect() as connection:
            row = (await connection.execute(_OLDEST, {"tenant_id": tenant_id})).one()
    return row.since, row.messages or 0
