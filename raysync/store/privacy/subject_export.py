"""Export of all that is kept of one user, as JSON lines."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from raysync.models.ids import TenantId
from raysync.store.archive.json_lines import AS_LINES, BEGIN, copied_lines
from raysync.store.connection.engine import connect_alone, translated
from raysync.store.privacy.names import Names, is_named


def _places(**columns: str) -> str:
    """Return SQL for an array of the keys of those *columns* that name the user."""
    cases = ", ".join(f"CASE WHEN {_named(name)} THEN '{key}' END" for key, name in columns.items())
    return f"array_remove(ARRAY[{cases}], NULL)"


def _named(column: str) -> str:
    """Return `is_named` with psycopg's placeholders: COPY takes no parameters of the server."""
    return is_named(column).replace(":refs", "%(refs)s").replace(":patterns", "%(patterns)s")


_OF_MESSAGE = "channel_id = m.channel_id AND platform_message_id = m.platform_message_id"

_LINES = f"""
COPY (
    SELECT row_to_json(line) FROM (
        SELECT 'message' AS kind, m.platform_message_id::text AS id,
            c.platform_channel_id::text AS channel_id, m.anonymized_author_id AS author,
            m.content, m.platform_created_at AS created_at, m.edited_at, m.deleted_at,
            m.reply_to_id::text AS reply_to_id, m.type, m.raw, m.quarantine,
            array_to_json(ARRAY(SELECT row_to_json(v) FROM (
                SELECT seen_at, content, edited_at, raw FROM message_versions
                WHERE {_OF_MESSAGE} ORDER BY seen_at) v)) AS versions,
            array_to_json(ARRAY(SELECT row_to_json(a) FROM (
                SELECT platform_attachment_id::text AS id, filename, file_size AS size,
                    content_type, url, encode(sha256, 'hex') AS sha256, blob_key
                FROM message_attachments WHERE {_OF_MESSAGE}
                ORDER BY platform_attachment_id) a)) AS attachments,
            array_to_json(ARRAY(SELECT row_to_json(r) FROM (
                SELECT emoji, count FROM message_emoji_reactions
                WHERE {_OF_MESSAGE} AND anonymized_user_id = ''
                ORDER BY emoji COLLATE "C") r)) AS reactions
        FROM messages m JOIN channels c ON c.id = m.channel_id
        WHERE c.tenant_id = %(tenant_id)s AND m.anonymized_author_id = ANY(%(refs)s)
        ORDER BY c.platform_channel_id, m.platform_message_id
    ) line
) {AS_LINES}
"""  # noqa: S608 of constants

_REACTIONS = f"""
COPY (
    SELECT row_to_json(line) FROM (
        SELECT 'reaction' AS kind, c.platform_channel_id::text AS channel_id,
            r.platform_message_id::text AS message_id, r.anonymized_user_id AS reactor, r.emoji,
            r.count, r.burst_count
        FROM message_emoji_reactions r JOIN channels c ON c.id = r.channel_id
        WHERE c.tenant_id = %(tenant_id)s AND r.anonymized_user_id = ANY(%(refs)s)
        ORDER BY c.platform_channel_id, r.platform_message_id, r.emoji COLLATE "C"
    ) line
) {AS_LINES}
"""  # noqa: S608 of constants


_OF_OTHERS = "coalesce(m.anonymized_author_id, '') <> ALL(%(refs)s)"
_IN_MESSAGE = _places(content="m.content", metadata="m.metadata::text", raw="m.raw::text")
_IN_VERSION = _places(content="v.content", raw="v.raw::text")
_IN_CHANNEL = _places(name="c.name", metadata="c.metadata::text")
_MENTIONS = f"""
COPY (
    SELECT row_to_json(line) FROM (
        SELECT 'mention' AS kind, c.platform_channel_id::text AS channel_id, found.message_id,
            found.seen_at, found.named_in
        FROM channels c CROSS JOIN LATERAL (
            SELECT m.platform_message_id::text AS message_id, NULL::timestamptz AS seen_at,
                {_IN_MESSAGE} AS named_in
            FROM messages m WHERE m.channel_id = c.id AND {_OF_OTHERS}
            UNION ALL
            SELECT v.platform_message_id::text, v.seen_at, {_IN_VERSION}
            FROM message_versions v JOIN messages m USING (channel_id, platform_message_id)
            WHERE v.channel_id = c.id AND {_OF_OTHERS}
            UNION ALL
            SELECT NULL, NULL, {_IN_CHANNEL}
        ) found
        WHERE c.tenant_id = %(tenant_id)s AND cardinality(found.named_in) > 0
        ORDER BY c.platform_channel_id, found.message_id, found.seen_at NULLS FIRST
    ) line
) {AS_LINES}
"""  # noqa: S608 of constants


async def subject_lines(
    engine: AsyncEngine, tenant_id: TenantId, names: Names, *, with_mentions: bool = False
) -> AsyncGenerator[bytes, None]:
    """Yield the user's messages with versions, attachments and reaction counts, then reactions.

    *with_mentions* adds the places where others name the user, one a line, without what others
    wrote. Blocks hold whole lines. Close the iterator if it is not read to its end.
    """
    values: dict[str, Any] = {"tenant_id": tenant_id, **names.values}
    statements = (_LINES, _REACTIONS, *((_MENTIONS,) if with_mentions else ()))
    with translated():
        async with await connect_alone(engine, "raysync export") as connection:
            await connection.execute(BEGIN)
            for statement in statements:
                async with aclosing(copied_lines(connection, statement, values)) as blocks:
                    async for block in blocks:
                        yield block
            await connection.execute("COMMIT")
