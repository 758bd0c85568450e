"""Finds where somebody is named in what others wrote, and has it rewritten."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

from sqlalchemy import ColumnElement, func, text
from sqlalchemy.ext.asyncio import AsyncConnection

from raysync.models.ids import TenantId
from raysync.store.archive_ranges import Piece
from raysync.store.column_texts import rewrite_column
from raysync.store.columns import ID_PATTERN
from raysync.store.forwards import WithoutCopies


class Redactor(Protocol):
    """Takes somebody, or a channel, out of what is stored; see `raysync.discord_api.redaction`."""

    def text(self, text: str, /) -> str: ...

    def payload(self, payload: Mapping[str, Any], /) -> dict[str, Any]: ...

    def metadata(self, metadata: Mapping[str, Any], /) -> dict[str, Any]: ...


_WITHIN = "channel_id = :key AND platform_message_id > :after AND platform_message_id <= :upto"
NAMES: Final = """(strpos(content, :ref) > 0 OR strpos(metadata::text, :ref) > 0
    OR strpos(raw::text, :ref) > 0)"""
"""What is named in a message."""
REFERS: Final = """(raw -> 'message_reference' ->> 'channel_id' = ANY(:refs)
    OR raw -> 'thread' ->> 'id' = ANY(:refs)
    OR raw -> 'referenced_message' -> 'message_reference' ->> 'channel_id' = ANY(:refs)
    OR raw -> 'referenced_message' -> 'thread' ->> 'id' = ANY(:refs))"""
"""What answers, forwards or heads something in another channel, or quotes what does."""


_OF_PIECE = f"""
SELECT platform_message_id AS id, content, metadata, raw FROM messages WHERE {_WITHIN}
"""  # noqa: S608 of constants
_NAMED = text(f"{_OF_PIECE} AND {NAMES}")
_REFERRING = text(f"{_OF_PIECE} AND {REFERS}")
_SOURCE = "raw -> 'message_reference' ->> 'message_id'"
_QUOTED_SOURCE = "raw -> 'referenced_message' -> 'message_reference' ->> 'message_id'"
_SOURCES = f"""
        CASE WHEN {_SOURCE} ~ '{ID_PATTERN}' THEN CAST({_SOURCE} AS bigint) END AS source,
        CASE WHEN {_QUOTED_SOURCE} ~ '{ID_PATTERN}' THEN CAST({_QUOTED_SOURCE} AS bigint) END
            AS quoted_source
"""
_COPIES = "raw -> 'referenced_message' ? 'message_snapshots'"
_OF_ERASED = """
SELECT f.*, e.platform_message_id AS erased FROM forwards f JOIN erased_messages e
    ON e.platform_message_id IN (f.source, f.quoted_source)
WHERE e.suppression_id = :suppression
"""
_FORWARDING = text(f"""
WITH forwards AS MATERIALIZED (
    SELECT platform_message_id AS id, content, metadata, raw, {_SOURCES}
    FROM messages WHERE {_WITHIN} AND (metadata ? 'is_forward' OR {_COPIES})
)
{_OF_ERASED}
""")  # noqa: S608 of constants
_FORWARDING_VERSIONS = text(f"""
WITH forwards AS MATERIALIZED (
    SELECT platform_message_id AS id, seen_at, content, raw, {_SOURCES}
    FROM message_versions WHERE {_WITHIN} AND (raw ? 'message_snapshots' OR {_COPIES})
)
{_OF_ERASED}
""")  # noqa: S608 of constants

_REWRITE = text("""
UPDATE messages m SET content = given.content, metadata = CAST(given.metadata AS jsonb),
    raw = CAST(given.raw AS jsonb), updated_at = now()
FROM unnest(CAST(:ids AS bigint[]), CAST(:contents AS text[]), CAST(:metadata AS text[]),
    CAST(:raws AS text[])) AS given (id, content, metadata, raw)
WHERE m.channel_id = :key AND m.platform_message_id = given.id
""")

_NAMED_VERSIONS = text(f"""
SELECT platform_message_id AS id, seen_at, content, raw FROM message_versions
WHERE {_WITHIN} AND (strpos(content, :ref) > 0 OR strpos(raw::text, :ref) > 0)
""")  # noqa: S608 of constants

_REFERRING_VERSIONS = text(f"""
SELECT platform_message_id AS id, seen_at, content, raw FROM message_versions
WHERE {_WITHIN} AND {REFERS}
""")  # noqa: S608 of constants

_NAMED_ATTACHMENTS = text(f"""
SELECT platform_message_id AS id, platform_attachment_id AS attachment_id, filename, url
FROM message_attachments WHERE {_WITHIN} AND (strpos(filename, :ref) > 0 OR strpos(url, :ref) > 0)
""")  # noqa: S608 of constants
_REWRITE_ATTACHMENT = text("""
UPDATE message_attachments SET filename = :filename, url = :url
WHERE channel_id = :key AND platform_message_id = :id AND platform_attachment_id = :attachment_id
""")

_REWRITE_VERSIONS = text("""
UPDATE message_versions v SET content = given.content, raw = CAST(given.raw AS jsonb)
FROM unnest(CAST(:ids AS bigint[]), CAST(:moments AS timestamptz[]), CAST(:contents AS text[]),
    CAST(:raws AS text[])) AS given (id, seen_at, content, raw)
WHERE v.channel_id = :key AND v.platform_message_id = given.id AND v.seen_at = given.seen_at
""")

_CHANNELS = text("""
SELECT id, name, metadata FROM channels
WHERE tenant_id = :tenant_id AND (strpos(metadata::text, :ref) > 0 OR strpos(name, :ref) > 0)
""")
_REWRITE_CHANNEL = text("UPDATE channels SET name = :name, metadata = :metadata WHERE id = :id")

ELSEWHERE: Final[Mapping[str, tuple[str, ...]]] = {
    "sync_jobs": ("error", "progress", "result"),
    "channel_sync_jobs": ("error_details",),
    "sync_progress": ("error_details",),
    "dead_letters": ("message",),
}
"""Where else names of channels and sentences about them are kept, by the columns of a tenant."""


async def redact_named(
    connection: AsyncConnection, piece: Piece, ref: str, redactor: Redactor
) -> int:
    """Rewrite the messages, versions and attachments in which *ref* is named; how many."""
    values = {**piece.values, "ref": ref}
    rows = (await connection.execute(_NAMED, values)).all()
    await _rewrite(connection, piece, rows, redactor)
    versions = (await connection.execute(_NAMED_VERSIONS, values)).all()
    await _rewrite_versions(connection, piece, versions, redactor)
    files = (await connection.execute(_NAMED_ATTACHMENTS, values)).all()
    await rewrite_attachments(connection, piece, files, redactor.text)
    return len(rows) + len(versions)


async def rewrite_attachments(
    connection: AsyncConnection, piece: Piece, rows: Sequence[Any], rewrite: Callable[[str], str]
) -> None:
    """Put what *rewrite* makes of them in place of the names and addresses of files in *rows*."""
    for row in rows:
        which = {"key": piece.key, "id": row.id, "attachment_id": row.attachment_id}
        told = {"filename": rewrite(row.filename), "url": rewrite(row.url)}
        await connection.execute(_REWRITE_ATTACHMENT, {**which, **told})


async def redact_referring(
    connection: AsyncConnection, piece: Piece, channels: Sequence[str], redactor: Redactor
) -> int:
    """Rewrite the messages that hold something of *channels*, with their versions; how many."""
    values = {**piece.values, "refs": list(channels)}
    rows = (await connection.execute(_REFERRING, values)).all()
    await _rewrite(connection, piece, rows, redactor)
    versions = (await connection.execute(_REFERRING_VERSIONS, values)).all()
    await _rewrite_versions(connection, piece, versions, redactor)
    return len(rows)


async def redact_forwards(connection: AsyncConnection, piece: Piece, suppression: int) -> int:
    """Empty the forwards of what was erased for one entry of the suppression list; how many.

    Earlier versions are looked for by themselves: one may quote a forward that is quoted no more.
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
    connection: AsyncConnection, tenant_id: TenantId, ref: str, redactor: Redactor
) -> None:
    """Rewrite what is kept of channels, jobs and failures."""
    values = {"tenant_id": tenant_id, "ref": ref}
    for row in (await connection.execute(_CHANNELS, values)).all():
        metadata = json.dumps(redactor.payload(row.metadata))
        rewritten = {"id": row.id, "name": redactor.text(row.name), "metadata": metadata}
        await connection.execute(_REWRITE_CHANNEL, rewritten)
    for table, columns in ELSEWHERE.items():
        for each in columns:
            await rewrite_column(connection, table, each, tenant_id, _naming(ref), redactor.text)


def _naming(ref: str) -> Callable[[ColumnElement[str]], ColumnElement[bool]]:
    return lambda told: func.strpos(told, ref) > 0


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
        await connection.execute(_REWRITE, values)


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
        await connection.execute(_REWRITE_VERSIONS, values)
