"""Rotation: replaces all pseudonyms that are stored of a tenant by new ones.

Each piece is rewritten in one transaction with a checkpoint, so nothing is renamed twice, however
often the rotation is interrupted. Until it ends, no run of the tenant begins, because a run could
write pseudonyms of either generation.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache, partial
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from raysync.models.ids import TenantId
from raysync.models.privacy import PSEUDONYM
from raysync.store.archive.people_epoch import rules_changed
from raysync.store.archive.ranges import IN_PIECE, Piece, Progress, in_pieces_from
from raysync.store.connection.audit import Note, nothing
from raysync.store.connection.engine import translated
from raysync.store.privacy.column_texts import rewrite_column
from raysync.store.privacy.redacting import OTHER_COLUMNS
from raysync.store.privacy.rewriting import (
    REWRITE_VERSIONS,
    VERSIONS,
    rename_emojis,
    rewrite_attachments,
)

Rename = Callable[[str], str]
"""Function from a pseudonym to that of the next generation."""
_FOUND: Final = re.compile(PSEUDONYM)
_REMEMBERED: Final = 1 << 17
_SALT_BYTES: Final = 16

_BEGIN = text("""
INSERT INTO pseudonym_generations (tenant_id, generation, salt)
SELECT :tenant_id, coalesce(max(generation), 0) + 1, :salt FROM pseudonym_generations
WHERE tenant_id = :tenant_id
HAVING count(*) FILTER (WHERE completed_at IS NULL) = 0
""")
_UNDER_WAY = text("""
SELECT generation, encode(salt, 'hex') AS salt, at_channel, at_message
FROM pseudonym_generations WHERE tenant_id = :tenant_id AND completed_at IS NULL
""")
_STATE = text("""
SELECT count(*) AS generation, max(completed_at) AS rotated_at,
    count(*) FILTER (WHERE completed_at IS NULL) > 0 AS is_unfinished
FROM pseudonym_generations WHERE tenant_id = :tenant_id
""")
_NOTE = text("""
UPDATE pseudonym_generations SET at_channel = :key, at_message = :upto
WHERE tenant_id = :tenant_id AND completed_at IS NULL
""")
_COMPLETE = text("""
UPDATE pseudonym_generations SET completed_at = now()
WHERE tenant_id = :tenant_id AND completed_at IS NULL
""")

_MESSAGES = text(f"""
SELECT platform_message_id AS id, anonymized_author_id AS author, content,
    metadata::text AS metadata, raw::text AS raw FROM messages WHERE {IN_PIECE}
""")  # noqa: S608 of constants
_RENAME_MESSAGES = text("""
UPDATE messages m SET anonymized_author_id = given.author, content = given.content,
    metadata = CAST(given.metadata AS jsonb), raw = CAST(given.raw AS jsonb), updated_at = now()
FROM unnest(CAST(:ids AS bigint[]), CAST(:authors AS text[]), CAST(:contents AS text[]),
    CAST(:metadata AS text[]), CAST(:raws AS text[])) AS given (id, author, content, metadata, raw)
WHERE m.channel_id = :key AND m.platform_message_id = given.id
""")
_REACTORS = text(f"""
SELECT DISTINCT anonymized_user_id AS ref FROM message_emoji_reactions
WHERE {IN_PIECE} AND anonymized_user_id <> ''
""")  # noqa: S608 of constants
_RENAME_REACTORS = text(f"""
UPDATE message_emoji_reactions SET anonymized_user_id = given.new
FROM unnest(CAST(:old AS text[]), CAST(:new AS text[])) AS given (old, new)
WHERE {IN_PIECE} AND anonymized_user_id = given.old
""")  # noqa: S608 of constants
_ATTACHMENTS = text(f"""
SELECT platform_message_id AS id, platform_attachment_id AS attachment_id, filename, url,
    content_type
FROM message_attachments
WHERE {IN_PIECE} AND concat_ws(' ', filename, url, content_type) ~ '{PSEUDONYM}'
""")  # noqa: S608 of constants
_EMOJIS = text(f"""
SELECT DISTINCT emoji FROM message_emoji_reactions WHERE {IN_PIECE} AND emoji ~ '{PSEUDONYM}'
""")  # noqa: S608 of constants
_OF_TENANT = {
    **OTHER_COLUMNS,
    "channels": ("name", "metadata"),
    "suppressions": ("ref",),
}


@dataclass(frozen=True, slots=True)
class Generations:
    """Rotations of a tenant's pseudonyms so far."""

    generation: int
    rotated_at: datetime | None
    is_unfinished: bool


@dataclass(frozen=True, slots=True)
class Rotation:
    """Rotation of the pseudonyms of one tenant that the caller holds."""

    engine: AsyncEngine
    tenant_id: TenantId
    progress: Progress

    async def state(self) -> Generations:
        """Return the number of rotations, and whether the last one is unfinished."""
        with translated():
            async with self.engine.connect() as connection:
                row = (await connection.execute(_STATE, {"tenant_id": self.tenant_id})).one()
        return Generations(row.generation, row.rotated_at, row.is_unfinished)

    async def run(self, renaming: Callable[[str], Rename], begun: Note = nothing) -> int:
        """Begin a rotation, or resume an interrupted one. Return the number of its generation.

        *renaming* gets the generation's salt in hexadecimal. *begun* is called in the transaction
        that begins the rotation.
        """
        values = {"tenant_id": self.tenant_id, "salt": secrets.token_bytes(_SALT_BYTES)}
        with translated():
            async with self.engine.begin() as connection:
                await connection.execute(_BEGIN, values)
                under_way = (await connection.execute(_UNDER_WAY, values)).one()
                await rules_changed(connection, self.tenant_id)
                await begun(connection)
        rename = lru_cache(_REMEMBERED)(renaming(under_way.salt))

        async def work(connection: AsyncConnection, piece: Piece) -> None:
            await _rename_piece(connection, piece, rename)
            noted = {**piece.values, "tenant_id": self.tenant_id}
            await connection.execute(_NOTE, noted)

        start = (under_way.at_channel, under_way.at_message)
        await in_pieces_from(self.engine, self.tenant_id, start, work, self.progress)
        with translated():
            async with self.engine.begin() as connection:
                for table, columns in _OF_TENANT.items():
                    for column in columns:
                        await rewrite_column(
                            connection,
                            table,
                            column,
                            self.tenant_id,
                            lambda column: column.regexp_match(PSEUDONYM),
                            partial(_FOUND.sub, lambda found: rename(found[0])),
                        )
                await connection.execute(_COMPLETE, {"tenant_id": self.tenant_id})
                await rules_changed(connection, self.tenant_id)
        return int(under_way.generation)


async def _rename_piece(connection: AsyncConnection, piece: Piece, rename: Rename) -> None:
    rows = (await connection.execute(_MESSAGES, piece.values)).all()
    if rows:
        await connection.execute(
            _RENAME_MESSAGES,
            {
                "key": piece.key,
                "ids": [row.id for row in rows],
                "authors": _renamed([row.author for row in rows], rename),
                "contents": _renamed([row.content for row in rows], rename),
                "metadata": _renamed([row.metadata for row in rows], rename),
                "raws": _renamed([row.raw for row in rows], rename),
            },
        )
    versions = (await connection.execute(VERSIONS, piece.values)).all()
    if versions:
        await connection.execute(
            REWRITE_VERSIONS,
            {
                "key": piece.key,
                "ids": [row.id for row in versions],
                "moments": [row.seen_at for row in versions],
                "contents": _renamed([row.content for row in versions], rename),
                "raws": _renamed([row.raw for row in versions], rename),
            },
        )
    reactors = [row.ref for row in await connection.execute(_REACTORS, piece.values)]
    if reactors:
        renamed = {"old": reactors, "new": [rename(ref) for ref in reactors]}
        await connection.execute(_RENAME_REACTORS, {**piece.values, **renamed})
    found = (await connection.execute(_ATTACHMENTS, piece.values)).all()
    rewrite = partial(_FOUND.sub, lambda found: rename(found[0]))
    await rewrite_attachments(connection, piece, found, rewrite)
    emojis = (await connection.execute(_EMOJIS, piece.values)).scalars().all()
    await rename_emojis(connection, piece, {emoji: rewrite(emoji) for emoji in emojis})


def _renamed(texts: Sequence[str | None], rename: Rename) -> list[str | None]:
    return [
        value if value is None else _FOUND.sub(lambda found: rename(found[0]), value)
        for value in texts
    ]
