"""Iteration over an archive in pieces: a change to all of it is many short transactions."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from raysync.models.ids import MAX_SNOWFLAKE, TenantId
from raysync.store.connection.engine import translated

_T = TypeVar("_T")
AT_ONCE: Final = 2_000
"""Number of messages in one transaction: some megabytes, and well under a second."""
Progress = Callable[[int], None]
"""Callback after each transaction, with the number of messages that it completed."""

IN_PIECE: Final = (
    "channel_id = :key AND platform_message_id > :after AND platform_message_id <= :upto"
)
"""SQL condition: a row belongs to the piece. See `Piece.values`."""

_KEYS = text("SELECT id FROM channels WHERE tenant_id = :tenant_id ORDER BY id")
_NEXT = text("""
SELECT max(id) AS last, count(*) AS messages FROM (
    SELECT platform_message_id AS id FROM messages
    WHERE channel_id = :key AND platform_message_id > :after
    ORDER BY platform_message_id LIMIT :most) some_of_them
""")


@dataclass(frozen=True, slots=True)
class Piece:
    """Range of one channel's messages and their parts: ids above *after*, up to *upto*."""

    key: int
    after: int
    upto: int

    @property
    def values(self) -> dict[str, Any]:
        """Parameters of statements."""
        return {"key": self.key, "after": self.after, "upto": self.upto}


async def channel_keys(engine: AsyncEngine, tenant_id: TenantId) -> list[int]:
    """Return the keys of the tenant's channels and threads, ascending."""
    with translated():
        async with engine.connect() as connection:
            rows = await connection.execute(_KEYS, {"tenant_id": tenant_id})
            return [row.id for row in rows]


async def in_pieces(
    engine: AsyncEngine,
    key: int,
    work: Callable[[AsyncConnection, Piece], Awaitable[_T]],
    progress: Progress,
    after: int = 0,
) -> list[_T]:
    """Run *work* on each piece of the channel above *after*, each in its own transaction.

    No other process may write to the channel meanwhile.
    """
    done: list[_T] = []
    is_last = False
    while not is_last:
        with translated():
            async with engine.begin() as connection:
                values = {"key": key, "after": after, "most": AT_ONCE}
                found = (await connection.execute(_NEXT, values)).one()
                is_last = found.messages < AT_ONCE
                upto = MAX_SNOWFLAKE if is_last else found.last
                done.append(await work(connection, Piece(key, after, upto)))
        progress(found.messages)
        after = upto
    return done


async def in_pieces_from(
    engine: AsyncEngine,
    tenant_id: TenantId,
    at: tuple[int, int],
    work: Callable[[AsyncConnection, Piece], Awaitable[_T]],
    progress: Progress,
) -> list[_T]:
    """Run *work* on all channels of the tenant, as `in_pieces` does on one.

    *at* is the position that an earlier call reached: a channel's key and a message id.
    """
    at_channel, at_message = at
    done: list[_T] = []
    for key in await channel_keys(engine, tenant_id):
        after = at_message if key == at_channel else 0
        if key >= at_channel and after < MAX_SNOWFLAKE:
            done += await in_pieces(engine, key, work, progress, after)
    return done
