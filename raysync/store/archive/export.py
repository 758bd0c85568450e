"""Export of a tenant's messages as JSON lines."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from sqlalchemy.ext.asyncio import AsyncEngine

from raysync.models.ids import TenantId
from raysync.store.archive.json_lines import AS_LINES, BEGIN, copied_lines
from raysync.store.connection.engine import connect_alone, translated

_CHANNELS = """
SELECT c.id, c.platform_channel_id FROM channels c
WHERE c.tenant_id = %s AND EXISTS (SELECT FROM messages m WHERE m.channel_id = c.id)
ORDER BY c.platform_channel_id
"""

_LINES = f"""
COPY (
    SELECT CASE WHEN m.quarantine IS NULL THEN row_to_json(line)::text
        ELSE left(row_to_json(line)::text, -1) || ',"quarantine":'
            || array_to_json(m.quarantine)::text || '}}' END
    FROM messages m CROSS JOIN LATERAL (
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
    ) line
    WHERE m.channel_id = %(key)s ORDER BY m.platform_message_id
) {AS_LINES}
"""  # noqa: S608 of constants


async def export_lines(engine: AsyncEngine, tenant_id: TenantId) -> AsyncGenerator[bytes, None]:
    """Yield all messages of the tenant in blocks of whole lines, one JSON object a line.

    The order is by channel id and message id, as numbers. All lines are of one snapshot, even
    during a sync. A message with unreadable fields has one more key, ``quarantine``, that lists
    them. Close the iterator (`contextlib.aclosing`) if it is not read to its end.
    """
    with translated():
        async with await connect_alone(engine, "raysync export") as connection:
            await connection.execute(BEGIN)
            channels = await connection.execute(_CHANNELS, (tenant_id,))
            for key, channel_id in await channels.fetchall():
                values = {"key": key, "channel_id": channel_id}
                async with aclosing(copied_lines(connection, _LINES, values)) as blocks:
                    async for block in blocks:
                        yield block
            await connection.execute("COMMIT")
