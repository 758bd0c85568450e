"""The last changes that events made, for eyes that follow them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from raysync.store.connection.engine import translated
from raysync.store.live.missed import server_time as server_now

__all__ = ["RecentChange", "recent_changes", "server_now"]

_RECENT = text("""
SELECT m.platform_message_id AS message_id, c.name AS channel, m.content, m.live_at AS at,
    CASE WHEN m.deleted_at IS NOT NULL THEN 'deleted' WHEN m.edited_at IS NOT NULL THEN 'edited'
        ELSE 'written' END AS kind,
    CASE WHEN m.deleted_at IS NULL THEN extract(epoch FROM
        m.live_at - coalesce(m.edited_at, m.platform_created_at))::float8 END AS lag_s
FROM messages m JOIN channels c ON c.id = m.channel_id
WHERE m.live_at > :since
ORDER BY m.live_at LIMIT :most
""")


@dataclass(frozen=True, slots=True)
class RecentChange:
    """Message that an event wrote, as it is now."""

    message_id: int
    channel: str
    content: str
    at: datetime  #: of the event's transaction
    kind: str  #: written, edited or deleted
    lag_s: float | None  #: from Discord's time to the transaction, by both clocks


async def recent_changes(engine: AsyncEngine, since: datetime, most: int) -> Sequence[RecentChange]:
    """Return messages that events wrote after *since*, the earliest first.

    It reads all messages: for small archives such as the demo's.
    """
    with translated():
        async with engine.connect() as connection:
            rows = await connection.execute(_RECENT, {"since": since, "most": most})
            return [RecentChange(**row) for row in rows.mappings()]
