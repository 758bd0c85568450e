"""Statements and steps with which redaction, rescrub and rotation rewrite messages of a piece."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from raysync.store.archive.ranges import IN_PIECE, Piece

REWRITE_MESSAGES: Final = text("""
UPDATE messages m SET content = given.content, metadata = CAST(given.metadata AS jsonb),
    raw = CAST(given.raw AS jsonb), updated_at = now()
FROM unnest(CAST(:ids AS bigint[]), CAST(:contents AS text[]), CAST(:metadata AS text[]),
    CAST(:raws AS text[])) AS given (id, content, metadata, raw)
WHERE m.channel_id = :key AND m.platform_message_id = given.id
""")

VERSIONS: Final = text(f"""
SELECT platform_message_id AS id, seen_at, content, raw::text AS raw
FROM message_versions WHERE {IN_PIECE}
""")  # noqa: S608 of constants
REWRITE_VERSIONS: Final = text("""
UPDATE message_versions v SET content = given.content, raw = CAST(given.raw AS jsonb)
FROM unnest(CAST(:ids AS bigint[]), CAST(:moments AS timestamptz[]), CAST(:contents AS text[]),
    CAST(:raws AS text[])) AS given (id, seen_at, content, raw)
WHERE v.channel_id = :key AND v.platform_message_id = given.id AND v.seen_at = given.seen_at
""")

_REWRITE_ATTACHMENT = text("""
UPDATE message_attachments SET filename = :filename, url = :url, content_type = :content_type
WHERE channel_id = :key AND platform_message_id = :id AND platform_attachment_id = :attachment_id
""")

_DROP_DOUBLES = text("""
DELETE FROM message_emoji_reactions old USING message_emoji_reactions new
WHERE old.channel_id = :key AND old.platform_message_id > :after
    AND old.platform_message_id <= :upto AND old.emoji = :old AND new.channel_id = :key
    AND new.platform_message_id = old.platform_message_id AND new.emoji = :new
    AND new.anonymized_user_id = old.anonymized_user_id
""")
_RENAME_EMOJI = text(f"""
UPDATE message_emoji_reactions SET emoji = :new WHERE {IN_PIECE} AND emoji = :old
""")  # noqa: S608 of constants


async def rename_emojis(
    connection: AsyncConnection, piece: Piece, renamed: Mapping[str, str]
) -> None:
    """Rename custom emojis in the reactions of a piece."""
    for old, new in renamed.items():
        if old != new:
            values = {**piece.values, "old": old, "new": new}
            await connection.execute(_DROP_DOUBLES, values)
            await connection.execute(_RENAME_EMOJI, values)


async def rewrite_attachments(
    connection: AsyncConnection, piece: Piece, rows: Sequence[Any], rewrite: Callable[[str], str]
) -> None:
    """Apply *rewrite* to the names, addresses and types of files in *rows*."""
    for row in rows:
        which = {"key": piece.key, "id": row.id, "attachment_id": row.attachment_id}
        kind = row.content_type
        rewritten = {
            "filename": rewrite(row.filename),
            "url": rewrite(row.url),
            "content_type": None if kind is None else rewrite(kind),
        }
        await connection.execute(_REWRITE_ATTACHMENT, {**which, **rewritten})
