"""Overview of the data about people in a tenant's archive, in numbers."""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from raysync.models.ids import TenantId
from raysync.store.connection.engine import NO_TIMEOUT, translated

_KEPT = text("""
SELECT
    (SELECT count(*) FROM messages m JOIN channels c ON c.id = m.channel_id
        WHERE c.tenant_id = :tenant_id) AS messages,
    (SELECT count(DISTINCT anonymized_author_id) FROM messages m
        JOIN channels c ON c.id = m.channel_id WHERE c.tenant_id = :tenant_id) AS authors,
    (SELECT count(*) FROM messages m JOIN channels c ON c.id = m.channel_id
        WHERE c.tenant_id = :tenant_id AND m.deleted_at IS NOT NULL) AS deleted_messages,
    (SELECT count(*) FROM message_versions v JOIN channels c ON c.id = v.channel_id
        WHERE c.tenant_id = :tenant_id) AS versions,
    (SELECT count(*) FROM message_emoji_reactions r JOIN channels c ON c.id = r.channel_id
        WHERE c.tenant_id = :tenant_id AND r.anonymized_user_id <> '') AS reactors,
    (SELECT count(*) FROM message_attachments a JOIN channels c ON c.id = a.channel_id
        WHERE c.tenant_id = :tenant_id) AS attachments,
    (SELECT count(*) FROM message_attachments a JOIN channels c ON c.id = a.channel_id
        WHERE c.tenant_id = :tenant_id AND a.blob_key IS NOT NULL) AS stored_files,
    (SELECT min(m.platform_created_at) FROM messages m JOIN channels c ON c.id = m.channel_id
        WHERE c.tenant_id = :tenant_id) AS oldest_message_at
""")


async def kept_of(engine: AsyncEngine, tenant_id: TenantId) -> dict[str, object]:
    """Return the amount of each kind of data. Reads the keys of the whole archive."""
    with translated():
        async with engine.begin() as connection:
            await connection.execute(NO_TIMEOUT)
            row = (await connection.execute(_KEPT, {"tenant_id": tenant_id})).mappings().one()
    return dict(row)
