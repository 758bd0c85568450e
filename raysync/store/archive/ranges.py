"""An archive in pieces: a change to all of it is one short transaction after another."""

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
"""Messages in one transaction: some megabytes, and well under a second."""
Progress = Callable[[int], None]
"""Told after each transaction of how many more messages are done."""

_KEYS = text("SELECT id FROM channels WHERE tenant_id = :tenant_id ORDER BY id")
_NEXT = text("""
SELECT max(id) AS last, count(*) AS messages FROM (
    SELECT platform_message_id AS id FROM messages
    WHERE channel_id = :key AND platform_message_id > :after
    ORDER BY platform_message_id LIMIT :most) some_of_them
""")


@dataclass(frozen=True, slots=True)
class Piece:
    """Messages of one channel, and what belongs to them: above *after*, up to *upto*."""

    key: int
    after: int
    upto: int

    @property
    def values(self) -> dict[str, Any]:
        """For statements."""
        return {"key": self.key, "after": self.after, "upto": self.upto}


async def channel_keys(engine: AsyncEngine, tenant_id: TenantId) -> list[int]:
    """The tenant's channels and threads by our own key, ascending."""
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
    """Have *work* done on the channel, piece by piece from *after* on, each in a transaction.

    Nothing may be written to the channel by others meanwhile.
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
    """Have *work* done on all channels of the tenant, as `in_pieces` does on one.

    *at* is the channel's key and the message up to which an earlier call came.
    """
    at_channel, at_message = at
    done: list[_T] = []
    for key in await channel_keys(engine, tenant_id):
        after = at_message if key == at_channel else 0
        if key >= at_channel and after < MAX_SNOWFLAKE:
            done += await in_pieces(engine, key, work, progress, after)
    return done
