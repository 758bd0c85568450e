"""A tenant's messages as JSON lines, made by the server and streamed: memory stays flat.

The lines come by COPY as CSV whose delimiter and quote are control characters; JSON holds neither
raw, so each line arrives as it is to be written, unquoted and unescaped.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import psycopg
from sqlalchemy.ext.asyncio import AsyncEngine

from raysync.models.ids import TenantId
from raysync.store.engine import connect_alone, translated

_BLOCK_BYTES = 256 * 1024

# One snapshot for all channels. A reader that pauses is no reason to end it.
_BEGIN = """
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
SET LOCAL TimeZone = 'UTC';
SET LOCAL statement_timeout = 0;
SET LOCAL idle_in_transaction_session_timeout = 0
"""

_CHANNELS = """
SELECT c.id, c.platform_channel_id FROM channels c
WHERE c.tenant_id = %s AND EXISTS (SELECT FROM messages m WHERE m.channel_id = c.id)
ORDER BY c.platform_channel_id
"""

_LINES = r"""
COPY (
    SELECT row_to_json(line) FROM (
        SELECT
            m.platform_message_id::text AS id,
            %(channel_id)s::text AS channel_id,
            m.anonymized_author_id AS author,
            m.content,
            m.platform_created_at AS created_at,
            m.edited_at,
            m.deleted_at,
            m.reply_to_id::text AS reply_to_id,
            m.type,
            array_to_json(ARRAY(
                SELECT row_to_json(a) FROM (
                    SELECT platform_attachment_id::text AS id, filename, file_size AS size,
                        content_type
                    FROM message_attachments
                    WHERE channel_id = m.channel_id
                        AND platform_message_id = m.platform_message_id
                    ORDER BY platform_attachment_id) a)) AS attachments,
            array_to_json(ARRAY(
                SELECT row_to_json(r) FROM (
                    SELECT emoji, count FROM message_emoji_reactions
                    WHERE channel_id = m.channel_id
                        AND platform_message_id = m.platform_message_id
                        AND anonymized_user_id = ''
                    ORDER BY emoji COLLATE "C") r)) AS reactions
        FROM messages m WHERE m.channel_id = %(key)s ORDER BY m.platform_message_id
    ) line
) TO STDOUT (FORMAT csv, ENCODING 'UTF8', DELIMITER E'\x02', QUOTE E'\x01')
"""


async def export_lines(engine: AsyncEngine, tenant_id: TenantId) -> AsyncGenerator[bytes, None]:
    """All messages of the tenant, as blocks of whole lines: one JSON object a line.

    By channel and message id as numbers; the state of one moment, whatever is synced beside.
    Close the iterator (`contextlib.aclosing`) where it is not read to its end.
    """
    with translated():
        async with await connect_alone(engine, "raysync export") as connection:
            await connection.execute(_BEGIN)
            channels = await connection.execute(_CHANNELS, (tenant_id,))
            for key, channel_id in await channels.fetchall():
                async with aclosing(_channel_lines(connection, key, channel_id)) as blocks:
                    async for block in blocks:
                        yield block
            await connection.execute("COMMIT")


async def _channel_lines(
    connection: psycopg.AsyncConnection[Any], key: int, channel_id: int
) -> AsyncGenerator[bytes, None]:
    block = bytearray()
    which = {"key": key, "channel_id": channel_id}
    async with connection.cursor() as cursor, cursor.copy(_LINES, which) as copy:
        async for line in copy:
            block += line
            if len(block) >= _BLOCK_BYTES:
                yield bytes(block)
                block.clear()
    if block:
        yield bytes(block)
