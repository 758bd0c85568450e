"""Messages with fields that could not be read: stored without loss, and listed.

Such a message has defaults in place of these fields. If it is stored already, an earlier read may
know them. So they keep their stored values, and lists only gain entries.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import orjson
import psycopg
from psycopg.rows import namedtuple_row
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from raysync.models.entities import WITHHELD, Attachment, Message, Reaction
from raysync.models.ids import ChannelId, MessageId, TenantId
from raysync.models.records import Quarantine, QuarantinedMessage
from raysync.models.work import Claim
from raysync.store.archive.page_columns import ATTACHMENT, REACTION
from raysync.store.connection.engine import translated

_STORED = f"""
SELECT platform_message_id AS id, content, anonymized_author_id AS author_ref, type, reply_to_id,
    platform_created_at AS created_at, edited_at, metadata::text AS metadata, raw::text AS raw,
    ARRAY(SELECT to_jsonb(a) FROM (
        SELECT {ATTACHMENT.selected} FROM message_attachments
        WHERE channel_id = m.channel_id AND platform_message_id = m.platform_message_id
        ORDER BY platform_attachment_id) a) AS attachments,
    ARRAY(SELECT to_jsonb(r) FROM (
        SELECT {REACTION.selected} FROM message_emoji_reactions
        WHERE channel_id = m.channel_id AND platform_message_id = m.platform_message_id
            AND anonymized_user_id = ''
        ORDER BY emoji) r) AS reactions
FROM messages m WHERE channel_id = %(channel)s AND platform_message_id = ANY(%(ids)s)
"""  # noqa: S608 of constants

_ATTRIBUTES: Final = {
    "content": "content",
    "author": "author_ref",
    "type": "type",
    "message_reference": "reply_to_id",
    "timestamp": "created_at",
    "edited_timestamp": "edited_at",
    "attachments": "attachments",
    "reactions": "reactions",
}
"""Attributes of a message by the fields of Discord that they come from."""

_OF_TENANT = """
FROM messages m WHERE m.tenant_id = :tenant_id AND m.quarantine IS NOT NULL
    AND m.deleted_at IS NULL
"""
# `status --watch` counts once a second, so the count ends where a larger number says no more.
_COUNT = text(f"""
SELECT count(*) AS messages, count(DISTINCT channel_id) AS channels
FROM (SELECT m.channel_id {_OF_TENANT} LIMIT :counted) some_of_them
""")  # noqa: S608 of constants
COUNTED_UP_TO: Final = 1_000
"""Maximum number of messages that a command which only looks counts."""
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
    values = {"channel": claim.task.channel_key, "ids": sorted(odd)}
    async with driver.cursor(row_factory=namedtuple_row) as cursor:
        await cursor.execute(_STORED, values)
        rows: list[Any] = await cursor.fetchall()
    merged = {row.id: _merged(odd[row.id], row) for row in rows}
    return [merged.get(message.id, message) for message in messages]


def _merged(message: Message, row: Any) -> Message:
    """Return *message* with the stored *row*'s values of fields that could not be read."""
    stored: dict[str, Any] = {
        "content": row.content,
        "author_ref": row.author_ref,
        "type": row.type,
        "reply_to_id": row.reply_to_id,
        "created_at": row.created_at,
        "edited_at": row.edited_at,
        "attachments": _attachments(message, row.attachments),
        "reactions": _reactions(message, row.reactions),
    }
    if WITHHELD in message.quarantine:
        stored["author_ref"] = message.author_ref or row.author_ref
        return replace(message, **stored, metadata=row.metadata.encode(), raw=row.raw.encode())
    names = [_ATTRIBUTES[field] for field in message.quarantine if field in _ATTRIBUTES]
    changes = {name: stored[name] for name in names}
    flags = {"flags", "pinned"}.intersection(message.quarantine)
    if flags:
        known = orjson.loads(row.metadata)
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


async def quarantine_of(
    engine: AsyncEngine, tenant_id: TenantId, most: int, *, counted_up_to: int | None = None
) -> Quarantine:
    """Count the tenant's messages with unreadable fields, and list up to *most* of them.

    The count ends at *counted_up_to*.
    """
    limit = None if counted_up_to is None else counted_up_to + 1
    values = {"tenant_id": tenant_id, "most": most, "counted": limit}
    with translated():
        async with engine.connect() as connection:
            counted = (await connection.execute(_COUNT, values)).one()
            rows = (await connection.execute(_NAMED, values)).all() if counted.messages else ()
    has_more = counted_up_to is not None and counted.messages > counted_up_to
    return Quarantine(
        counted.messages - has_more,
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
        has_more=has_more,
    )
