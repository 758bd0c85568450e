"""Overview of the data about people in a tenant's archive, in numbers.

Messages are counted by `sync_progress` as they are written, so their number is exact and costs one
row a channel. The oldest message comes from the index. Other numbers are counted only in a small
archive, or on request. In a large one they are estimated from a sample of the tables' blocks. A
sample takes the same time in an archive of any size, needs no statistics of ANALYZE, and shows a
role only rows that row-level security shows it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from raysync.errors import StatementTimeoutError
from raysync.models.ids import TenantId, snowflake_at
from raysync.store.connection.engine import NO_TIMEOUT, translated

COUNTED_UP_TO: Final = 200_000
"""Messages of a tenant whose data is counted without a request."""
COUNT_TIMEOUT_S: Final = 0.7
"""Limit of a count without a request. The count of a slow disk becomes an estimate."""
TENANT_BLOCKS: Final = 2_000
"""Sampled blocks of `messages` with rows of the tenant, as far as `SAMPLED_BLOCKS` allows."""
SAMPLED_BLOCKS: Final = 5_000
"""Sampled blocks of a table at most: 40 MB, read in the table's order."""

# By key: what is not the tenant's is not read.
_OURS: Final = "channel_id = ANY(ARRAY(SELECT id FROM channels WHERE tenant_id = :tenant_id))"
_SET_TIMEOUT = text("SELECT set_config('statement_timeout', :limit, true)")

_TOTALS = text("""
SELECT coalesce(sum(message_count) FILTER (WHERE tenant_id = :tenant_id), 0)::bigint AS messages,
    coalesce(sum(message_count), 0)::bigint AS of_all
FROM sync_progress
""")

_COUNTED = text(f"""
SELECT coalesce(sum(messages), 0)::bigint AS messages, count(author) AS authors,
    coalesce(sum(deleted), 0)::bigint AS deleted_messages,
    (SELECT count(*) FROM message_versions WHERE {_OURS}) AS versions,
    (SELECT count(*) FROM message_emoji_reactions
        WHERE {_OURS} AND anonymized_user_id <> '') AS reactors,
    (SELECT count(*) FROM message_attachments WHERE {_OURS}) AS attachments,
    (SELECT count(blob_key) FROM message_attachments WHERE {_OURS}) AS stored_files,
    min(oldest) AS oldest_message_at
FROM (
    SELECT anonymized_author_id AS author, count(*) AS messages, count(deleted_at) AS deleted,
        min(platform_created_at) AS oldest
    FROM messages WHERE {_OURS} GROUP BY 1
) by_author
""")  # noqa: S608 of constants

_SHARE = """least(100, 100.0 * :blocks * current_setting('block_size')::integer
        / greatest(pg_relation_size('{table}'), 1))"""
"""SQL expression: the percentage of a table's blocks that is about *blocks* of them."""
_SAMPLE = "{table} TABLESAMPLE SYSTEM ({share}) REPEATABLE (0)"
"""SQL table: a sample of blocks, the same in each call while the table does not grow."""


def _sample(table: str) -> str:
    return _SAMPLE.format(table=table, share=_SHARE.format(table=table))


_SAMPLED_MESSAGES = text(f"""
WITH seen AS MATERIALIZED (
    SELECT anonymized_author_id AS author, deleted_at FROM {_sample("messages")}
    WHERE tenant_id = :tenant_id
)
SELECT (SELECT count(*) FROM seen) AS messages,
    (SELECT count(deleted_at) FROM seen) AS deleted_messages, count(*) AS authors,
    count(*) FILTER (WHERE messages = 1) AS authors_of_one,
    count(*) FILTER (WHERE messages = 2) AS authors_of_two
FROM (SELECT count(*) AS messages FROM seen WHERE author IS NOT NULL GROUP BY author) by_author
""")  # noqa: S608 of constants


def _sampled_rows(table: str, counts: str) -> Any:
    return text(f"""
        SELECT {counts}, {_SHARE.format(table=table)} / 100 AS share FROM {_sample(table)}
        WHERE channel_id IN (SELECT id FROM channels WHERE tenant_id = :tenant_id)
    """)  # noqa: S608 of constants


_SAMPLED_PARTS = (
    _sampled_rows("message_versions", "count(*) AS versions"),
    _sampled_rows(
        "message_emoji_reactions", "count(*) FILTER (WHERE anonymized_user_id <> '') AS reactors"
    ),
    _sampled_rows(
        "message_attachments", "count(*) AS attachments, count(blob_key) AS stored_files"
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
    values: dict[str, Any] = {"tenant_id": tenant_id}
    with translated():
        async with engine.connect() as connection:
            totals = (await connection.execute(_TOTALS, values)).one()
    if is_exact or totals.messages <= counted_up_to:
        try:
            return await _counted(engine, values, None if is_exact else count_timeout_s)
        except StatementTimeoutError:
            if is_exact:
                raise
    share = totals.messages / totals.of_all if totals.of_all else 1.0
    most = min(sampled_blocks, round(TENANT_BLOCKS / max(share, 1e-9)))
    with translated():
        async with engine.connect() as connection:
            return await _estimated(connection, values, totals.messages, most)


async def _counted(engine: AsyncEngine, values: dict[str, Any], timeout_s: float | None) -> Kept:
    with translated():
        async with engine.begin() as connection:
            if timeout_s is None:
                await connection.execute(NO_TIMEOUT)
            else:
                limit = {"limit": f"{max(round(timeout_s * 1000), 1)}ms"}
                await connection.execute(_SET_TIMEOUT, limit)
            row = (await connection.execute(_COUNTED, values)).mappings().one()
    return Kept(dict(row))


async def _estimated(
    connection: AsyncConnection, values: dict[str, Any], messages: int, blocks: int
) -> Kept:
    sampled = {**values, "blocks": blocks}
    seen = (await connection.execute(_SAMPLED_MESSAGES, sampled)).one()
    deleted = round(seen.deleted_messages * messages / seen.messages) if seen.messages else 0
    found: dict[str, Any] = {"authors": _authors(seen, messages), "deleted_messages": deleted}
    for statement in _SAMPLED_PARTS:
        row = dict((await connection.execute(statement, sampled)).mappings().one())
        share = float(row.pop("share"))
        found |= {name: round(rows / share) for name, rows in row.items()}
    oldest = await _oldest(connection, values)
    return Kept(
        {"messages": messages, **found, "oldest_message_at": oldest}, frozenset(found.keys())
    )


def _authors(seen: Any, messages: int) -> int:
    """Estimate a lower bound of the number of authors, after Chao (1984).

    Those whom a sample misses are at least as many as its authors of one message and of two tell.
    A sample of chats cannot tell more: most people write rarely, and at one time.
    """
    once, twice = seen.authors_of_one, seen.authors_of_two
    return int(min(seen.authors + once * (once - 1) / (2 * (twice + 1)), messages))


async def _oldest(connection: AsyncConnection, values: dict[str, Any]) -> datetime | None:
    """Return the time of the oldest message, by the first message of each channel."""
    first: dict[str, Any] = {**values, "after": -1, "before": _MAX_ID, "most": _FIRSTS}
    row = (await connection.execute(_OLDEST, first)).one()
    if row.looked_up_to is None:
        return None
    before = _MAX_ID if row.at is None else snowflake_at(row.at)
    rest = {**values, "after": row.looked_up_to, "before": before, "most": None}
    later = (await connection.execute(_OLDEST, rest)).one()
    return min((at for at in (row.at, later.at) if at is not None), default=None)
