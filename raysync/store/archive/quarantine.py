"""Messages with fields that could not be read: stored without loss, and listed.

Such a message has defaults in place of these fields. If it is stored already, an earlier read may
know them. So they keep their stored values, and lists only gain entries.
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
    """Return *messages* with stored values in place of fields that could not be read.

    No other worker writes the channel meanwhile: the page's statement compares the claim.
    """
    odd = {
        message.id: message
        for message in messages
        if message.quarantine and not message.is_suppressed
    }
    if not odd:
        return messages
    found = await driver.execute(_STORED, {"channel": claim.task.channel_key, "ids": sorted(odd)})
    merged = {row[0]: _merged(odd[row[0]], *row[1:]) for row in await found.fetchall()}
    return [merged.get(message.id, message) for message in messages]


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
        kept = {name: value for fields in stored.values() for name, value in fields.items()}
        kept["author_ref"] = message.author_ref or author_ref
        return replace(message, **kept, metadata=metadata.encode(), raw=raw.encode())
    changes = {
        name: value for field in message.quarantine for name, value in stored.get(field, {}).items()
    }
    flags = {"flags", "pinned"}.intersection(message.quarantine)
    if flags:
        known = orjson.loads(metadata)
        merged = orjson.loads(message.metadata) | {flag: known.get(flag) for flag in flags}
        changes["metadata"] = orjson.dumps(merged)
    return replace(message, **changes)


def _attachments(message: Message, rows: Sequence[Any]) -> tuple[Attachment, ...]:
    known = [Attachment(**row) for row in rows]
    ids = {file.id for file in known}
    return (*known, *(file for file in message.attachments if file.id not in ids))


def _reactions(message: Message, rows: Sequence[Any]) -> tuple[Reaction, ...]:
    known = [Reaction(**row) for row in rows]
    names = {reaction.emoji for reaction in known}
    return (*known, *(reaction for reaction in message.reactions if reaction.emoji not in names))


async def quarantine_of(engine: AsyncEngine, tenant_id: TenantId, most: int) -> Quarantine:
    """Count the tenant's messages with unreadable fields, and list up to *most* of them."""
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
