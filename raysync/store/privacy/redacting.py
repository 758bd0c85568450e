"""Redaction: finds rows that name a user or channel, and rewrites them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

from sqlalchemy import ColumnElement, func, or_, text
from sqlalchemy.ext.asyncio import AsyncConnection

from raysync.models.ids import TenantId
from raysync.store.archive.forwards import WithoutCopies
from raysync.store.archive.payload_sql import (
    IS_FORWARD,
    QUOTED_SOURCE,
    QUOTES_FORWARD,
    REFERS,
    SOURCE,
)
from raysync.store.archive.ranges import IN_PIECE, Piece
from raysync.store.privacy.column_texts import rewrite_column
from raysync.store.privacy.names import Names, is_named
from raysync.store.privacy.rewriting import (
    REWRITE_MESSAGES,
    REWRITE_VERSIONS,
    rename_emojis,
    rewrite_attachments,
)


class Redactor(Protocol):
    """Remover of a user or channel from stored rows. See `discord_api/people/redaction.py`."""

    def text(self, text: str, /) -> str: ...

    def payload(self, payload: Mapping[str, Any], /) -> dict[str, Any]: ...

    def metadata(self, metadata: Mapping[str, Any], /) -> dict[str, Any]: ...


IN_MESSAGE: Final = is_named("content", "metadata::text", "raw::text")
"""SQL condition: a message names the person."""
IN_VERSION: Final = is_named("content", "raw::text")
"""SQL condition: an earlier version of a message names the person."""
_IN_FILE = is_named("filename", "url", "content_type")
_IN_EMOJI = is_named("emoji")
_IN_CHANNEL = is_named("metadata::text", "name")

_OF_PIECE = f"""
SELECT platform_message_id AS id, content, metadata, raw FROM messages WHERE {IN_PIECE}
"""  # noqa: S608 of constants
_NAMED = text(f"{_OF_PIECE} AND {IN_MESSAGE}")
_REFERRING = text(f"{_OF_PIECE} AND {REFERS}")
_SOURCES = f"{SOURCE} AS source, {QUOTED_SOURCE} AS quoted_source"
_OF_ERASED = """
SELECT f.*, e.platform_message_id AS erased FROM forwards f JOIN erased_messages e
    ON e.platform_message_id IN (f.source, f.quoted_source)
WHERE e.suppression_id = :suppression
"""
_FORWARDING = text(f"""
WITH forwards AS MATERIALIZED (
    SELECT platform_message_id AS id, content, metadata, raw, {_SOURCES}
    FROM messages WHERE {IN_PIECE} AND (metadata ? 'is_forward' OR {QUOTES_FORWARD})
)
{_OF_ERASED}
""")  # noqa: S608 of constants
_FORWARDING_VERSIONS = text(f"""
WITH forwards AS MATERIALIZED (
    SELECT platform_message_id AS id, seen_at, content, raw, {_SOURCES}
    FROM message_versions WHERE {IN_PIECE} AND ({IS_FORWARD} OR {QUOTES_FORWARD})
)
{_OF_ERASED}
""")  # noqa: S608 of constants

_NAMED_VERSIONS = text(f"""
SELECT platform_message_id AS id, seen_at, content, raw FROM message_versions
WHERE {IN_PIECE} AND {IN_VERSION}
""")  # noqa: S608 of constants

_REFERRING_VERSIONS = text(f"""
SELECT platform_message_id AS id, seen_at, content, raw FROM message_versions
WHERE {IN_PIECE} AND {REFERS}
""")  # noqa: S608 of constants

_NAMED_ATTACHMENTS = text(f"""
SELECT platform_message_id AS id, platform_attachment_id AS attachment_id, filename, url,
    content_type
FROM message_attachments WHERE {IN_PIECE} AND {_IN_FILE}
""")  # noqa: S608 of constants
_NAMED_EMOJIS = text(f"""
SELECT DISTINCT emoji FROM message_emoji_reactions WHERE {IN_PIECE} AND {_IN_EMOJI}
""")  # noqa: S608 of constants
_CHANNELS = text(f"""
SELECT id, name, metadata FROM channels
WHERE tenant_id = :tenant_id AND {_IN_CHANNEL}
""")  # noqa: S608 of constants
_REWRITE_CHANNEL = text("UPDATE channels SET name = :name, metadata = :metadata WHERE id = :id")

OTHER_COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "sync_jobs": ("error", "progress", "result"),
    "channel_sync_jobs": ("error_details",),
    "sync_progress": ("error_details",),
    "dead_letters": ("message",),
}
"""Other columns that may hold names of people and channels, by table."""


async def redact_named(
    connection: AsyncConnection, piece: Piece, names: Names, redactor: Redactor
) -> int:
    """Rewrite messages and versions that name the person, and their parts. Return their number."""
    values = {**piece.values, **names.values}
    rows = (await connection.execute(_NAMED, values)).all()
    await _rewrite(connection, piece, rows, redactor)
    versions = (await connection.execute(_NAMED_VERSIONS, values)).all()
    await _rewrite_versions(connection, piece, versions, redactor)
    files = (await connection.execute(_NAMED_ATTACHMENTS, values)).all()
    await rewrite_attachments(connection, piece, files, redactor.text)
    emojis = (await connection.execute(_NAMED_EMOJIS, values)).scalars().all()
    await rename_emojis(connection, piece, {emoji: redactor.text(emoji) for emoji in emojis})
    return len(rows) + len(versions)


async def redact_referring(
    connection: AsyncConnection, piece: Piece, channels: Sequence[str], redactor: Redactor
) -> int:
    """Rewrite messages and versions that refer to *channels*. Return the number of messages."""
    values = {**piece.values, "refs": list(channels)}
    rows = (await connection.execute(_REFERRING, values)).all()
    await _rewrite(connection, piece, rows, redactor)
    versions = (await connection.execute(_REFERRING_VERSIONS, values)).all()
    await _rewrite_versions(connection, piece, versions, redactor)
    return len(rows)


async def redact_forwards(connection: AsyncConnection, piece: Piece, suppression: int) -> int:
    """Empty forwards of messages erased for one suppression entry. Return their number.

    Versions are searched on their own: one may quote a forward that the message quotes no more.
    """
    values = {**piece.values, "suppression": suppression}
    found = (await connection.execute(_FORWARDING, values)).all()
    versions = (await connection.execute(_FORWARDING_VERSIONS, values)).all()
    emptied = WithoutCopies(frozenset(row.erased for row in (*found, *versions)))
    rows = {row.id: row for row in found}
    await _rewrite(connection, piece, list(rows.values()), emptied)
    earlier = {(row.id, row.seen_at): row for row in versions}
    await _rewrite_versions(connection, piece, list(earlier.values()), emptied)
    return len(rows)


async def redact_elsewhere(
    connection: AsyncConnection, tenant_id: TenantId, names: Names, redactor: Redactor
) -> None:
    """Rewrite rows of channels, jobs and failures that name the person."""
    values = {"tenant_id": tenant_id, **names.values}
    for row in (await connection.execute(_CHANNELS, values)).all():
        metadata = json.dumps(redactor.payload(row.metadata))
        rewritten = {"id": row.id, "name": redactor.text(row.name), "metadata": metadata}
        await connection.execute(_REWRITE_CHANNEL, rewritten)
    for table, columns in OTHER_COLUMNS.items():
        for column in columns:
            await rewrite_column(
                connection, table, column, tenant_id, _naming(names), redactor.text
            )


def _naming(names: Names) -> Callable[[ColumnElement[str]], ColumnElement[bool]]:
    return lambda column: or_(*(func.strpos(column, ref) > 0 for ref in names.refs))


async def _rewrite(
    connection: AsyncConnection, piece: Piece, rows: Sequence[Any], redactor: Redactor
) -> None:
    if rows:
        values = {
            "key": piece.key,
            "ids": [row.id for row in rows],
            "contents": [redactor.text(row.content) for row in rows],
            "metadata": [json.dumps(redactor.metadata(row.metadata)) for row in rows],
            "raws": [json.dumps(redactor.payload(row.raw)) for row in rows],
        }
        await connection.execute(REWRITE_MESSAGES, values)


async def _rewrite_versions(
    connection: AsyncConnection, piece: Piece, rows: Sequence[Any], redactor: Redactor
) -> None:
    if rows:
        values = {
            "key": piece.key,
            "ids": [row.id for row in rows],
            "moments": [row.seen_at for row in rows],
            "contents": [redactor.text(row.content) for row in rows],
            "raws": [
                None if row.raw is None else json.dumps(redactor.payload(row.raw)) for row in rows
            ],
        }
        await connection.execute(REWRITE_VERSIONS, values)
