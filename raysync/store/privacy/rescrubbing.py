"""Rescrub: rewrites rows of earlier scrubbing rules under today's, without asking Discord.

Each piece is rewritten in one transaction with a checkpoint, so an interrupted rescrub resumes
there. Rewriting is idempotent, so runs of the tenant may come in between.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from raysync.models.ids import TenantId
from raysync.models.privacy import SCRUBBING_RULES, RescrubCounts
from raysync.store.archive.ranges import IN_PIECE, Piece, Progress, in_pieces_from
from raysync.store.connection.audit import Note, nothing
from raysync.store.connection.engine import translated
from raysync.store.privacy.column_texts import rewrite_column
from raysync.store.privacy.redacting import OTHER_COLUMNS
from raysync.store.privacy.rewriting import (
    REWRITE_MESSAGES,
    REWRITE_VERSIONS,
    VERSIONS,
    rename_emojis,
)

Payload = Mapping[str, Any]


class Rewriter(Protocol):
    """Rewriter of stored values under today's rules: `raysync.discord_api.people.rescrubbing`."""

    def payload(self, payload: Payload, /) -> tuple[dict[str, Any], str]: ...

    def text(self, text: str, payload: Payload, /) -> str: ...

    def original(self, original: str, /) -> str: ...

    def emoji(self, emoji: str, /) -> str: ...

    def report(self, text: str, /) -> str: ...


_AT_ONCE: Final = 1_000
"""Number of channels in one transaction."""

_BEGIN = text("""
INSERT INTO scrubbings (tenant_id, rules) VALUES (:tenant_id, :rules)
ON CONFLICT (tenant_id, rules) DO UPDATE SET completed_at = NULL, begun_at = now(),
    at_channel = 0, at_message = 0
WHERE scrubbings.completed_at IS NOT NULL
""")
_POSITION = text("""
SELECT at_channel, at_message FROM scrubbings WHERE tenant_id = :tenant_id AND rules = :rules
""")
_NOTE = text("""
UPDATE scrubbings SET at_channel = :key, at_message = :upto
WHERE tenant_id = :tenant_id AND rules = :rules
""")
_COMPLETE = text("""
UPDATE scrubbings SET completed_at = now() WHERE tenant_id = :tenant_id AND rules = :rules
""")
# Pages and erasure keep these counts exact.
_COUNT = text("""
SELECT coalesce(sum(message_count), 0)::bigint FROM sync_progress WHERE tenant_id = :tenant_id
""")

_MESSAGES = text(f"""
SELECT platform_message_id AS id, content, metadata::text AS metadata, raw::text AS raw
FROM messages WHERE {IN_PIECE}
""")  # noqa: S608 of constants
_ATTACHMENTS = text(f"""
SELECT platform_message_id AS message_id, platform_attachment_id AS id, filename, url, content_type
FROM message_attachments WHERE {IN_PIECE}
""")  # noqa: S608 of constants
_REWRITE_ATTACHMENTS = text("""
UPDATE message_attachments a SET filename = given.filename, url = given.url,
    content_type = given.content_type, updated_at = now()
FROM unnest(CAST(:messages AS bigint[]), CAST(:ids AS bigint[]), CAST(:filenames AS text[]),
    CAST(:urls AS text[]), CAST(:content_types AS text[]))
    AS given (message_id, id, filename, url, content_type)
WHERE a.channel_id = :key AND a.platform_message_id = given.message_id
    AND a.platform_attachment_id = given.id
""")
_EMOJIS = text(f"""
SELECT DISTINCT emoji FROM message_emoji_reactions WHERE {IN_PIECE} AND length(emoji) > 16
""")  # noqa: S608 of constants
_CHANNELS = text("""
SELECT id, platform_channel_id, name, metadata::text AS metadata FROM channels
WHERE tenant_id = :tenant_id AND id > :after ORDER BY id LIMIT :most
""")
_REWRITE_CHANNELS = text("""
UPDATE channels c SET name = given.name, metadata = CAST(given.metadata AS jsonb),
    updated_at = now()
FROM unnest(CAST(:ids AS bigint[]), CAST(:names AS text[]), CAST(:metadata AS text[]))
    AS given (id, name, metadata)
WHERE c.id = given.id
""")
_CHANNEL = text("SELECT platform_channel_id FROM channels WHERE id = :key")


@dataclass(frozen=True, slots=True)
class Rescrubbing:
    """Rescrub of one tenant that the caller holds. *progress* is called after each piece."""

    engine: AsyncEngine
    tenant_id: TenantId
    progress: Progress

    async def count(self) -> int:
        """Count the messages to look at."""
        with translated():
            async with self.engine.connect() as connection:
                return int((await connection.execute(_COUNT, self._values)).scalar_one())

    async def run(self, rewriter: Rewriter, begun: Note = nothing) -> RescrubCounts:
        """Rewrite all rows of earlier rules, or resume an interrupted rescrub.

        *begun* is called in the transaction that begins it.
        """
        with translated():
            async with self.engine.begin() as connection:
                await connection.execute(_BEGIN, self._values)
                at = (await connection.execute(_POSITION, self._values)).one()
                await begun(connection)

        async def work(connection: AsyncConnection, piece: Piece) -> RescrubCounts:
            done = await _rescrub(connection, piece, rewriter)
            await connection.execute(_NOTE, {**piece.values, **self._values})
            return done

        start = (at.at_channel, at.at_message)
        done = await in_pieces_from(self.engine, self.tenant_id, start, work, self.progress)
        counts = sum(done, RescrubCounts())
        counts += RescrubCounts(channels=await self._channels(rewriter))
        with translated():
            async with self.engine.begin() as connection:
                await self._reports(connection, rewriter)
                await connection.execute(_COMPLETE, self._values)
        return counts

    @property
    def _values(self) -> dict[str, Any]:
        return {"tenant_id": self.tenant_id, "rules": SCRUBBING_RULES}

    async def _channels(self, rewriter: Rewriter) -> int:
        after, rewritten = 0, 0
        while True:
            with translated():
                async with self.engine.begin() as connection:
                    values = {"tenant_id": self.tenant_id, "after": after, "most": _AT_ONCE}
                    rows = (await connection.execute(_CHANNELS, values)).all()
                    if not rows:
                        return rewritten
                    rewritten += await _rescrub_channels(connection, rows, rewriter)
                    after = rows[-1].id

    async def _reports(self, connection: AsyncConnection, rewriter: Rewriter) -> None:
        for table, columns in OTHER_COLUMNS.items():
            for column in columns:
                await rewrite_column(
                    connection,
                    table,
                    column,
                    self.tenant_id,
                    lambda column: column.is_not(None),
                    rewriter.report,
                )


async def _rescrub(connection: AsyncConnection, piece: Piece, rewriter: Rewriter) -> RescrubCounts:
    channel_id = (await connection.execute(_CHANNEL, {"key": piece.key})).scalar_one()
    rows = (await connection.execute(_MESSAGES, piece.values)).all()
    raws: dict[int, Payload] = {}
    changed: list[tuple[int, str, str, str]] = []
    for row in rows:
        content, kept, raw = _rewritten(row, str(channel_id), rewriter)
        metadata = _metadata(row.metadata, kept, rewriter)
        raws[row.id] = kept
        if raw is not None or content != row.content or metadata != row.metadata:
            changed.append((row.id, content, metadata, row.raw if raw is None else raw))
    if changed:
        ids, contents, metadata_of, new_raws = zip(*changed, strict=True)
        values = {"key": piece.key, "ids": list(ids), "contents": list(contents)}
        values |= {"metadata": list(metadata_of), "raws": list(new_raws)}
        await connection.execute(REWRITE_MESSAGES, values)
    emojis = (await connection.execute(_EMOJIS, piece.values)).scalars().all()
    renamed = {emoji: rewriter.emoji(emoji) for emoji in emojis}
    await rename_emojis(connection, piece, renamed)
    return RescrubCounts(
        looked_at=len(rows),
        messages=len(changed),
        versions=await _rescrub_versions(connection, piece, str(channel_id), rewriter),
        attachments=await _rescrub_attachments(connection, piece, raws, rewriter),
        reactions=sum(old != new for old, new in renamed.items()),
    )


def _rewritten(row: Any, channel_id: str, rewriter: Rewriter) -> tuple[str, Payload, str | None]:
    """Return a message's content, its payload, and that as JSON, or None if it is unchanged."""
    payload: Payload = {} if row.raw is None else orjson.loads(row.raw)
    if not payload:  # emptied, or written by a version that did not store it
        around = {"id": str(row.id), "channel_id": channel_id}
        return rewriter.text(row.content, around), payload, None
    kept, raw = rewriter.payload(payload)
    is_its_own = payload.get("content") == row.content
    content = kept.get("content") if is_its_own else rewriter.text(row.content, payload)
    text = content if isinstance(content, str) else row.content
    return text, kept, None if kept == payload else raw


def _metadata(metadata: str, kept: Payload, rewriter: Rewriter) -> str:
    """Return the metadata of a message, which may contain the whole payload once more."""
    stored = orjson.loads(metadata)
    new = dict(stored)
    if "original" in stored:
        new["original"] = rewriter.original(stored["original"])
    if isinstance(kept.get("flags"), str):  # they looked like a person's id
        new["flags"] = 0
    if isinstance(kept.get("pinned"), str):
        new["pinned"] = kept["pinned"]
    return metadata if new == stored else orjson.dumps(new).decode()


async def _rescrub_versions(
    connection: AsyncConnection, piece: Piece, channel_id: str, rewriter: Rewriter
) -> int:
    changed: list[tuple[int, Any, str, str | None]] = []
    for row in (await connection.execute(VERSIONS, piece.values)).all():
        content, _, raw = _rewritten(row, channel_id, rewriter)
        if raw is not None or content != row.content:
            changed.append((row.id, row.seen_at, content, row.raw if raw is None else raw))
    if changed:
        ids, moments, contents, raws = zip(*changed, strict=True)
        values = {"key": piece.key, "ids": list(ids), "moments": list(moments)}
        values |= {"contents": list(contents), "raws": list(raws)}
        await connection.execute(REWRITE_VERSIONS, values)
    return len(changed)


async def _rescrub_attachments(
    connection: AsyncConnection, piece: Piece, raws: Mapping[int, Payload], rewriter: Rewriter
) -> int:
    changed: list[tuple[int, int, str, str, str | None]] = []
    for row in (await connection.execute(_ATTACHMENTS, piece.values)).all():
        raw = raws.get(row.message_id, {})
        listed = _file_of(raw, row.id)
        filename = listed.get("filename") or rewriter.text(row.filename, raw)
        url = listed.get("url") or rewriter.text(row.url, raw)
        kind = row.content_type and (
            listed.get("content_type") or rewriter.text(row.content_type, raw)
        )
        if (filename, url, kind) != (row.filename, row.url, row.content_type):
            changed.append((row.message_id, row.id, filename, url, kind))
    if changed:
        columns = ("messages", "ids", "filenames", "urls", "content_types")
        values = dict(zip(columns, map(list, zip(*changed, strict=True)), strict=True))
        await connection.execute(_REWRITE_ATTACHMENTS, {"key": piece.key, **values})
    return len(changed)


def _file_of(raw: Payload, attachment_id: int) -> dict[str, str]:
    """Return the text fields of one attachment in a payload."""
    listed = raw.get("attachments")
    for file in listed if isinstance(listed, list) else ():
        if isinstance(file, dict) and str(file.get("id")) == str(attachment_id):
            return {key: value for key, value in file.items() if isinstance(value, str)}
    return {}


async def _rescrub_channels(
    connection: AsyncConnection, rows: Sequence[Any], rewriter: Rewriter
) -> int:
    changed: list[tuple[int, str, str]] = []
    for row in rows:
        metadata = orjson.loads(row.metadata)
        around = metadata or {"id": str(row.platform_channel_id)}
        kept, document = rewriter.payload(metadata)
        name = kept.get("name") if metadata.get("name") == row.name else None
        name = name if isinstance(name, str) else rewriter.text(row.name, around)
        if kept != metadata or name != row.name:
            changed.append((row.id, name, document))
    if changed:
        ids, names, documents = map(list, zip(*changed, strict=True))
        values = {"ids": ids, "names": names, "metadata": documents}
        await connection.execute(_REWRITE_CHANNELS, values)
    return len(changed)
