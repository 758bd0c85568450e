"""Messages that could not be read whole: written without loss of what is stored, and named.

Such a message has its defaults where a field could not be read. Where it is stored already, an
earlier reading may know these fields: so they stay as they are, and lists get what is new.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import orjson
import psycopg
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from raysync.models.entities import WITHHELD, Attachment, Message, Reaction
from raysync.models.ids import ChannelId, MessageId, TenantId
from raysync.models.records import Quarantine, QuarantinedMessage
from raysync.models.work import Claim
from raysync.store.connection.engine import translated

_STORED = """
SELECT platform_message_id, content, anonymized_author_id, type, reply_to_id,
    platform_created_at, edited_at, metadata::text, raw::text,
    ARRAY(SELECT to_jsonb(a) FROM (
        SELECT platform_attachment_id AS id, filename, file_size AS size, content_type, url
        FROM message_attachments
        WHERE channel_id = m.channel_id AND platform_message_id = m.platform_message_id
        ORDER BY platform_attachment_id) a),
    ARRAY(SELECT to_jsonb(r) FROM (
        SELECT emoji, count, burst_count FROM message_emoji_reactions
        WHERE channel_id = m.channel_id AND platform_message_id = m.platform_message_id
            AND anonymized_user_id = ''
        ORDER BY emoji) r)
FROM messages m WHERE channel_id = %(channel)s AND platform_message_id = ANY(%(ids)s)
"""

_OF_TENANT = """
FROM messages m WHERE m.tenant_id = :tenant_id AND m.quarantine IS NOT NULL
    AND m.deleted_at IS NULL
"""
_COUNT = text(f"""
SELECT count(*) AS messages, count(DISTINCT m.channel_id) AS channels {_OF_TENANT}
""")
_NAMED = text(f"""
SELECT c.platform_channel_id, c.name, found.platform_message_id, found.quarantine
FROM (
    SELECT m.channel_id, m.platform_message_id, m.quarantine {_OF_TENANT}
    ORDER BY m.channel_id, m.platform_message_id LIMIT :most
) found JOIN channels c ON c.id = found.channel_id
ORDER BY c.platform_channel_id, found.platform_message_id
""")  # noqa: S608 of constants


async def with_stored(
    driver: psycopg.AsyncConnection[Any], claim: Claim, messages: Sequence[Message]
) -> Sequence[Message]:
    """Return *messages* with what is stored in place of what could not be read.

    Nobody else writes the channel meanwhile: the page's statement compares the claim.
    """
    odd = {each.id: each for each in messages if each.quarantine and not each.is_suppressed}
    if not odd:
        return messages
    found = await driver.execute(_STORED, {"channel": claim.task.channel_key, "ids": sorted(odd)})
    merged = {row[0]: _merged(odd[row[0]], *row[1:]) for row in await found.fetchall()}
    return [merged.get(each.id, each) for each in messages]


def _merged(
    message: Message,
    content: str,
    author_ref: str | None,
    type_: int,
    reply_to: int | None,
    created_at: Any,
    edited_at: Any,
    metadata: str,
    raw: str,
    attachments: Sequence[Any],
    reactions: Sequence[Any],
) -> Message:
    stored: dict[str, dict[str, Any]] = {
        "content": {"content": content},
        "author": {"author_ref": author_ref},
        "type": {"type": type_},
        "message_reference": {"reply_to_id": reply_to},
        "timestamp": {"created_at": created_at},
        "edited_timestamp": {"edited_at": edited_at},
        "attachments": {"attachments": _attachments(message, attachments)},
        "reactions": {"reactions": _reactions(message, reactions)},
    }
    if WITHHELD in message.quarantine:
        kept = {name: value for each in stored.values() for name, value in each.items()}
        kept["author_ref"] = message.author_ref or author_ref
        return replace(message, **kept, metadata=metadata.encode(), raw=raw.encode())
    changes = {
        name: value for each in message.quarantine for name, value in stored.get(each, {}).items()
    }
    flags = {"flags", "pinned"}.intersection(message.quarantine)
    if flags:
        known = orjson.loads(metadata)
        told = orjson.loads(message.metadata) | {each: known.get(each) for each in flags}
        changes["metadata"] = orjson.dumps(told)
    return replace(message, **changes)


def _attachments(message: Message, rows: Sequence[Any]) -> tuple[Attachment, ...]:
    known = [Attachment(**each) for each in rows]
    ids = {each.id for each in known}
    return (*known, *(each for each in message.attachments if each.id not in ids))


def _reactions(message: Message, rows: Sequence[Any]) -> tuple[Reaction, ...]:
    known = [Reaction(**each) for each in rows]
    names = {each.emoji for each in known}
    return (*known, *(each for each in message.reactions if each.emoji not in names))


async def quarantine_of(engine: AsyncEngine, tenant_id: TenantId, most: int) -> Quarantine:
    """Count the tenant's messages that could not be read whole, and name *most* of them."""
    values = {"tenant_id": tenant_id, "most": most}
    with translated():
        async with engine.connect() as connection:
            counted = (await connection.execute(_COUNT, values)).one()
            rows = (await connection.execute(_NAMED, values)).all() if counted.messages else ()
    return Quarantine(
        counted.messages,
        counted.channels,
        tuple(
            QuarantinedMessage(
                ChannelId(row.platform_channel_id),
                row.name,
                MessageId(row.platform_message_id),
                tuple(row.quarantine),
            )
            for row in rows
        ),
    )
