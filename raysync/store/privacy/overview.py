"""Overview of the data about people in a tenant's archive, in numbers.

Messages are counted by `sync_progress` as they are written, so their number is exact and costs one
row a channel. The oldest message comes from the index. Other numbers are counted only in a small
archive, or on request. In a large one they are estimated from a sample of the tables' blocks. A
sample takes the same time in an archive of any size, needs no statistics of ANALYZE, and shows a
role only rows that row-level security shows it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncEngine

from raysync.errors import StatementTimeoutError
from raysync.models.ids import TenantId, snowflake_at
from raysync.store.connection.engine import translated

COUNTED_UP_TO: Final = 200_000
"""Maximum messages of a tenant whose authors and deleted messages are counted by default."""
PARTS_COUNTED: Final = 10
"""Factor on this limit for versions, reactors and attachments: fewer and shorter rows."""
COUNT_TIMEOUT_S: Final = 1.0
"""Seconds for all counts by default. Numbers that are not counted by then are estimated."""
SAMPLED_BLOCKS: Final = 2_500
"""Maximum of sampled blocks of `messages`: 20 MB, read in the table's order."""
_OF_TENANT: Final = 1_000
"""Blocks of the tenant's own rows in `messages` that a sample aims at."""
_OF_PARTS: Final = 0.4
"""Sampled blocks of each other table, per block of `messages`. A block holds ten times the rows."""

# By key, so that no row of another tenant is read.
_OURS: Final = "channel_id = ANY(ARRAY(SELECT id FROM channels WHERE tenant_id = :tenant_id))"
NAMES: Final = (
    "messages",
    "authors",
    "deleted_messages",
    "versions",
    "reactors",
    "attachments",
    "stored_files",
    "oldest_message_at",
)
"""Names of the amounts, in the order of their output."""

_SET_TIMEOUT = text("SELECT set_config('statement_timeout', :limit, true)")

_TOTALS = text("""
SELECT coalesce(sum(message_count) FILTER (WHERE tenant_id = :tenant_id), 0)::bigint AS messages,
    coalesce(sum(message_count), 0)::bigint AS of_all
FROM sync_progress
""")

_COUNTED_MESSAGES = text(f"""
SELECT count(author) AS authors, coalesce(sum(deleted), 0)::bigint AS deleted_messages,
    coalesce(sum(messages), 0)::bigint AS messages, min(oldest) AS oldest_message_at
FROM (
    SELECT anonymized_author_id AS author, count(*) AS messages, count(deleted_at) AS deleted,
        min(platform_created_at) AS oldest
    FROM messages WHERE {_OURS} GROUP BY 1
) by_author
""")  # noqa: S608 of constants


@dataclass(frozen=True, slots=True)
class _Sampled:
    """SQL for a sample of about `:blocks` blocks of a table."""

    table: str

    @property
    def share(self) -> str:
        """SQL expression: the percentage of the table's blocks."""
        return f"""least(100, 100.0 * :blocks * current_setting('block_size')::integer
            / greatest(pg_relation_size('{self.table}'), 1))"""

    @property
    def rows(self) -> str:
        """SQL table: the same blocks in each call, while the table does not grow."""
        return f"{self.table} TABLESAMPLE SYSTEM ({self.share}) REPEATABLE (0)"


_MESSAGES: Final = _Sampled("messages")
_VERSIONS: Final = _Sampled("message_versions")
_REACTIONS: Final = _Sampled("message_emoji_reactions")
_ATTACHMENTS: Final = _Sampled("message_attachments")

_SAMPLED_MESSAGES = text(f"""
WITH seen AS MATERIALIZED (
    SELECT anonymized_author_id AS author, deleted_at FROM {_MESSAGES.rows}
    WHERE tenant_id = :tenant_id
)
SELECT (SELECT count(*) FROM seen) AS messages,
    (SELECT count(deleted_at) FROM seen) AS deleted_messages, count(*) AS authors,
    count(*) FILTER (WHERE messages = 1) AS authors_of_one,
    count(*) FILTER (WHERE messages = 2) AS authors_of_two
FROM (SELECT count(*) AS messages FROM seen WHERE author IS NOT NULL GROUP BY author) by_author
""")  # noqa: S608 of constants

_OF_THE_TENANT: Final = "channel_id IN (SELECT id FROM channels WHERE tenant_id = :tenant_id)"
_REACTORS: Final = "count(*) FILTER (WHERE anonymized_user_id <> '') AS reactors"
_FILES: Final = "count(*) AS attachments, count(blob_key) AS stored_files"


@dataclass(frozen=True, slots=True)
class _Part:
    """Statements on one table of parts of messages."""

    counted: TextClause
    sampled: TextClause  #: the same counts in a sample, and its share of the table


_PARTS: Final = (
    _Part(
        text(f"SELECT count(*) AS versions FROM message_versions WHERE {_OURS}"),  # noqa: S608 of constants
        text(f"""
            SELECT count(*) AS versions, {_VERSIONS.share} / 100 AS share
            FROM {_VERSIONS.rows} WHERE {_OF_THE_TENANT}
        """),  # noqa: S608 of constants
    ),
    _Part(
        text(f"SELECT {_REACTORS} FROM message_emoji_reactions WHERE {_OURS}"),  # noqa: S608 of constants
        text(f"""
            SELECT {_REACTORS}, {_REACTIONS.share} / 100 AS share
            FROM {_REACTIONS.rows} WHERE {_OF_THE_TENANT}
        """),  # noqa: S608 of constants
    ),
    _Part(
        text(f"SELECT {_FILES} FROM message_attachments WHERE {_OURS}"),  # noqa: S608 of constants
        text(f"""
            SELECT {_FILES}, {_ATTACHMENTS.share} / 100 AS share
            FROM {_ATTACHMENTS.rows} WHERE {_OF_THE_TENANT}
        """),  # noqa: S608 of constants
    ),
)

_FIRSTS: Final = 100
# A message is younger than its channel, so channels younger than the oldest message so far are not
# looked at.
_OLDEST = text("""
SELECT min(m.platform_created_at) AS at, max(c.platform_channel_id) AS looked_up_to
FROM (
    SELECT id, platform_channel_id FROM channels
    WHERE tenant_id = :tenant_id AND platform_channel_id > :after AND platform_channel_id < :before
    ORDER BY platform_channel_id LIMIT :most
) c LEFT JOIN LATERAL (
    SELECT platform_created_at FROM messages WHERE channel_id = c.id
    ORDER BY platform_message_id LIMIT 1
) m ON true
""")
_MAX_ID: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Kept:
    """Amount of each kind of data of a tenant."""

    values: dict[str, int | datetime | None]
    estimated: frozenset[str] = field(default=frozenset())
    """Names of the values that are estimates. `authors` is then a lower bound."""


async def kept_of(
    engine: AsyncEngine,
    tenant_id: TenantId,
    *,
    is_exact: bool = False,
    counted_up_to: int = COUNTED_UP_TO,
    count_timeout_s: float = COUNT_TIMEOUT_S,
    sampled_blocks: int = SAMPLED_BLOCKS,
) -> Kept:
    """Return the amount of each kind of data.

    With *is_exact*, read all rows of the tenant, however long that takes. Otherwise estimate the
    data of a tenant with more than *counted_up_to* messages, or whose count takes longer than
    *count_timeout_s*.
    """
    overview = _Overview(engine, {"tenant_id": tenant_id})
    totals = await overview.row(_TOTALS)
    messages = totals["messages"]
    blocks = min(sampled_blocks, round(_OF_TENANT * totals["of_all"] / max(messages, 1)))
    deadline_s = time.monotonic() + count_timeout_s
    values: dict[str, Any] = {"messages": messages}
    estimated: set[str] = set()

    async def counted(statement: TextClause, up_to: int) -> bool:
        """Count unless there is too much to count, or too little time left."""
        limit_s = None if is_exact else deadline_s - time.monotonic()
        if not is_exact and messages > up_to:
            return False
        counts = await overview.count(statement, limit_s)
        values.update(counts or {})
        return counts is not None

    for part in _PARTS:
        if not await counted(part.counted, counted_up_to * PARTS_COUNTED):
            found = await overview.sampled_parts(part, blocks)
            values |= found
            estimated |= found.keys()
    if not await counted(_COUNTED_MESSAGES, counted_up_to):
        found = await overview.sampled_messages(messages, blocks)
        values |= {**found, "oldest_message_at": await overview.oldest()}
        estimated |= found.keys()
    return Kept({name: values[name] for name in NAMES}, frozenset(estimated))


@dataclass(frozen=True, slots=True)
class _Overview:
    """Statements on one tenant, each in a transaction of its own."""

    engine: AsyncEngine
    values: dict[str, Any]

    async def row(self, statement: TextClause, **values: Any) -> dict[str, Any]:
        """Return the only row of *statement*."""
        with translated():
            async with self.engine.connect() as connection:
                rows = await connection.execute(statement, {**self.values, **values})
                return dict(rows.mappings().one())

    async def count(self, statement: TextClause, limit_s: float | None) -> dict[str, Any] | None:
        """Return the counts of *statement*, or None if it takes longer than *limit_s*."""
        if limit_s is not None and limit_s <= 0:
            return None
        limit_ms = 0 if limit_s is None else max(round(limit_s * 1000), 1)
        try:
            with translated():
                async with self.engine.begin() as connection:
                    await connection.execute(_SET_TIMEOUT, {"limit": f"{limit_ms}ms"})
                    rows = await connection.execute(statement, self.values)
                    return dict(rows.mappings().one())
        except StatementTimeoutError:
            if limit_s is None:
                raise
            return None

    async def sampled_parts(self, part: _Part, blocks: int) -> dict[str, Any]:
        """Estimate the counts of a table from a sample of it."""
        row = await self.row(part.sampled, blocks=max(round(blocks * _OF_PARTS), 1))
        share = float(row.pop("share"))
        return {name: round(rows / share) for name, rows in row.items()}

    async def sampled_messages(self, messages: int, blocks: int) -> dict[str, Any]:
        """Estimate authors and deleted messages from a sample. *messages* is the true number."""
        seen = await self.row(_SAMPLED_MESSAGES, blocks=blocks)
        share = seen["deleted_messages"] / seen["messages"] if seen["messages"] else 0.0
        return {"authors": _authors(seen, messages), "deleted_messages": round(share * messages)}

    async def oldest(self) -> datetime | None:
        """Return the time of the oldest message, by the first message of each channel."""
        row = await self.row(_OLDEST, after=-1, before=_MAX_ID, most=_FIRSTS)
        if row["looked_up_to"] is None:
            return None
        before = _MAX_ID if row["at"] is None else snowflake_at(row["at"])
        later = await self.row(_OLDEST, after=row["looked_up_to"], before=before, most=None)
        return min((at for at in (row["at"], later["at"]) if at is not None), default=None)


def _authors(seen: Mapping[str, int], messages: int) -> int:
    """Estimate a lower bound of the number of authors, after Chao (1984).

    The sample's authors of one message and of two give a lower bound of those that it misses.
    A sample of chats gives no better bound: most people write rarely, and at one time.
    """
    once, twice = seen["authors_of_one"], seen["authors_of_two"]
    return int(min(seen["authors"] + once * (once - 1) / (2 * (twice + 1)), messages))
