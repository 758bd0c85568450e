"""Extras of messages: reactors, and the files of attachments.

Every write locks the channel's claim and compares it, as a page does, so a worker that lost its
channel writes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from psycopg.types.json import Jsonb
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from raysync.models.extras import (
    REACTORS_PER_PAGE,
    Extras,
    FileRules,
    MissingFile,
    ReactionCount,
    Reactor,
    StoredFile,
)
from raysync.models.ids import MessageId, TenantId
from raysync.models.work import Claim, IdRange, Recheck
from raysync.store.archive.pages import refusal
from raysync.store.archive.rechecks import due_of
from raysync.store.connection.engine import NO_TIMEOUT, translated

_ANY_SIZE: Final = 1 << 62

_CLAIM = """
WITH claim AS MATERIALIZED (
    SELECT channel_id FROM sync_progress
    WHERE channel_id = :channel AND epoch = :epoch AND worker_id = :worker_id
        AND EXISTS (SELECT FROM server_life WHERE life = CAST(:server AS uuid))
    FOR UPDATE
)
"""

_IS_UNREAD = """
    e.anonymized_user_id = ''
    AND (e.count, e.burst_count) IS DISTINCT FROM (e.read_count, e.read_burst_count)
    AND m.deleted_at IS NULL
"""

_UNREAD = text(f"""
SELECT e.platform_message_id, e.emoji, e.count, e.burst_count
FROM message_emoji_reactions e JOIN messages m USING (channel_id, platform_message_id)
WHERE e.channel_id = :channel AND {_IS_UNREAD}
    AND e.platform_message_id >= :start AND e.platform_message_id < :stop
    AND (e.platform_message_id, e.emoji) > (:after, :after_emoji)
ORDER BY e.platform_message_id, e.emoji LIMIT :most
""")  # noqa: S608 of constants

_COUNT_UNREAD = text(f"""
SELECT coalesce(sum(
    ceil(greatest(e.count - e.burst_count, 0) / {REACTORS_PER_PAGE}.0)
    + ceil(e.burst_count / {REACTORS_PER_PAGE}.0)), 0)::bigint
FROM message_emoji_reactions e JOIN messages m USING (channel_id, platform_message_id)
WHERE e.channel_id = :channel AND {_IS_UNREAD}
    AND e.platform_message_id >= :start AND e.platform_message_id < :stop
""")  # noqa: S608 of constants

_REACTORS = text(f"""
{_CLAIM}, given AS (
    SELECT * FROM jsonb_to_recordset(:reactors) AS r (ref text, count integer, burst integer)
), gone AS (
    DELETE FROM message_emoji_reactions e USING claim
    WHERE e.channel_id = :channel AND e.platform_message_id = :message_id AND e.emoji = :emoji
        AND e.anonymized_user_id <> '' AND :are_known
        AND NOT EXISTS (SELECT FROM given g WHERE g.ref = e.anonymized_user_id)
), kept AS (
    INSERT INTO message_emoji_reactions AS e (
        channel_id, platform_message_id, emoji, anonymized_user_id, count, burst_count)
    SELECT :channel, :message_id, :emoji, ref, count, burst FROM claim CROSS JOIN given
    ON CONFLICT (channel_id, platform_message_id, emoji, anonymized_user_id) DO UPDATE SET
        count = excluded.count, burst_count = excluded.burst_count, updated_at = now()
    WHERE (e.count, e.burst_count) IS DISTINCT FROM (excluded.count, excluded.burst_count)
), noted AS (
    UPDATE message_emoji_reactions e SET read_count = :count, read_burst_count = :burst_count
    FROM claim
    WHERE e.channel_id = :channel AND e.platform_message_id = :message_id AND e.emoji = :emoji
        AND e.anonymized_user_id = ''
)
SELECT count(*) FROM claim
""")  # noqa: S608 of constants

_IS_MISSING = """
    a.blob_key IS NULL AND a.file_size > 0 AND a.file_size <= :max_bytes
    AND (a.blob_retry_at IS NULL OR a.blob_retry_at <= now())
    AND (:takes_all OR a.content_type LIKE ANY (:types))
"""

_MISSING = text(f"""
SELECT a.platform_message_id, a.platform_attachment_id, a.url, a.file_size, a.content_type
FROM message_attachments a
WHERE a.channel_id = :channel AND {_IS_MISSING}
    AND a.platform_message_id >= :start AND a.platform_message_id < :stop
    AND (a.platform_message_id, a.platform_attachment_id) > (:after, :after_attachment)
ORDER BY a.platform_message_id, a.platform_attachment_id LIMIT :most
""")  # noqa: S608 of constants

_COUNT_MISSING = text(f"""
SELECT count(*) FROM message_attachments a
WHERE a.channel_id = :channel AND {_IS_MISSING}
    AND a.platform_message_id >= :start AND a.platform_message_id < :stop
""")  # noqa: S608 of constants

_FILE = text(f"""
{_CLAIM}, noted AS (
    UPDATE message_attachments a SET
        sha256 = :sha256, blob_key = :key, blob_error = NULL, updated_at = now()
    FROM claim WHERE a.channel_id = :channel AND a.platform_message_id = :message_id
        AND a.platform_attachment_id = :attachment_id
)
SELECT count(*) FROM claim
""")  # noqa: S608 of constants

_MISSED = text(f"""
{_CLAIM}, noted AS (
    UPDATE message_attachments a SET
        blob_error = :why, blob_attempts = blob_attempts + 1, updated_at = now(),
        blob_retry_at = now()
            + least(interval '1 hour' * power(2, least(blob_attempts, 20)), interval '30 days')
    FROM claim WHERE a.channel_id = :channel AND a.platform_message_id = :message_id
        AND a.platform_attachment_id = :attachment_id
)
SELECT count(*) FROM claim
""")  # noqa: S608 of constants

_LEFT = text(f"""
SELECT c.platform_channel_id, c.type, c.parent_channel_id, c.name, c.last_message_id,
    p.channel_id, p.coverage, p.message_count
FROM sync_progress p JOIN channels c ON c.id = p.channel_id
WHERE c.tenant_id = :tenant_id AND c.deleted_at IS NULL AND p.message_count > 0 AND (
    (:reactors AND EXISTS (
        SELECT FROM message_emoji_reactions e JOIN messages m
            USING (channel_id, platform_message_id)
        WHERE e.channel_id = p.channel_id AND {_IS_UNREAD}
            AND e.platform_message_id >= :start AND e.platform_message_id < :stop))
    OR (:files AND EXISTS (
        SELECT FROM message_attachments a WHERE a.channel_id = p.channel_id AND {_IS_MISSING}
            AND a.platform_message_id >= :start AND a.platform_message_id < :stop)))
""")  # noqa: S608 of constants


_LIFE = text("SELECT life::text FROM server_life")


class ExtrasStore:
    """Reactors and files of a worker: the engine's `ReactorStore` and `FileStore`."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def unread_reactions(
        self, claim: Claim, last: ReactionCount | None, most: int
    ) -> Sequence[ReactionCount]:
        """Return up to *most* counts after *last* that changed since their reactors were read."""
        values = {
            **_window_values(claim, most),
            "after": last.message_id if last else 0,
            "after_emoji": last.emoji if last else "",
        }
        rows = await self._rows(_UNREAD, values)
        return [ReactionCount(MessageId(row[0]), *row[1:]) for row in rows]

    async def count_unread(self, claim: Claim) -> int:
        """Return the number of requests that `unread_reactions` will cause."""
        ((requests,),) = await self._rows(_COUNT_UNREAD, _window_values(claim, 0))
        return int(requests)

    async def save_reactors(
        self,
        claim: Claim,
        reaction: ReactionCount,
        reactors: Sequence[Reactor] | None,
        *,
        is_whole: bool = True,
    ) -> None:
        """Store the reactors of an emoji, and mark its counts as read. None keeps the stored ones.

        If the list *is_whole*, remove other stored reactors, else keep them.

        Raises:
            ClaimLostError: another worker took over; nothing was written.
        """
        given = [
            {"ref": reactor.ref, "count": reactor.count, "burst": reactor.burst_count}
            for reactor in reactors or ()
        ]
        values = {
            "message_id": reaction.message_id,
            "emoji": reaction.emoji,
            "count": reaction.count,
            "burst_count": reaction.burst_count,
            "reactors": Jsonb(given),
            "are_known": reactors is not None and is_whole,
        }
        await self._write(_REACTORS, claim, values)

    async def missing_files(
        self, claim: Claim, rules: FileRules, last: MissingFile | None, most: int
    ) -> Sequence[MissingFile]:
        """Return up to *most* attachments after *last* whose bytes are wanted and not stored."""
        values = {
            **_window_values(claim, most),
            **_rule_values(rules),
            "after": last.message_id if last else 0,
            "after_attachment": last.attachment_id if last else 0,
        }
        rows = await self._rows(_MISSING, values)
        return [MissingFile(MessageId(row[0]), *row[1:]) for row in rows]

    async def count_missing(self, claim: Claim, rules: FileRules) -> int:
        """Return the number of files that `missing_files` returns."""
        ((files,),) = await self._rows(
            _COUNT_MISSING, {**_window_values(claim, 0), **_rule_values(rules)}
        )
        return int(files)

    async def note_file(self, claim: Claim, file: MissingFile, stored: StoredFile) -> None:
        """Record where a file's bytes are stored. Raises ClaimLostError."""
        await self._write(_FILE, claim, _file_values(file, sha256=stored.sha256, key=stored.key))

    async def note_missed(self, claim: Claim, file: MissingFile, why: str) -> None:
        """Record a failed download and its backoff: an hour, doubled each time, 30 days at most."""
        await self._write(_MISSED, claim, _file_values(file, why=why))

    async def _rows(self, statement: Any, values: Mapping[str, Any]) -> Sequence[Any]:
        with translated():
            async with self._engine.connect() as connection:
                return (await connection.execute(statement, values)).all()

    async def _write(self, statement: Any, claim: Claim, values: Mapping[str, Any]) -> None:
        claimed = {
            "channel": claim.task.channel_key,
            "epoch": claim.epoch,
            "worker_id": claim.worker_id,
            "server": claim.server,
        }
        with translated():
            async with self._engine.begin() as connection:
                held = (await connection.execute(statement, {**claimed, **values})).scalar()
                life = None if held else (await connection.execute(_LIFE)).scalar()
        if not held:
            raise refusal(claim, is_same_server=life == claim.server)


async def plan_leftovers(
    engine: AsyncEngine, tenant_id: TenantId, extras: Extras, window: IdRange
) -> Sequence[Recheck]:
    """Return the channels with missing extras, whether they have new messages or not.

    The query may read all reactions, so it has no timeout.
    """
    if not extras:
        return ()
    values = {
        "tenant_id": tenant_id,
        "reactors": extras.reactors,
        "files": extras.files is not None,
        "start": window.start,
        "stop": window.stop,
        **_rule_values(extras.files or FileRules("")),
    }
    with translated():
        async with engine.begin() as connection:
            await connection.execute(NO_TIMEOUT)
            rows = (await connection.execute(_LEFT, values)).all()
    return [due_of(row, (), 0, is_last=False) for row in rows]


def _window_values(claim: Claim, most: int) -> dict[str, Any]:
    window = claim.task.window
    return {
        "channel": claim.task.channel_key,
        "start": window.start,
        "stop": window.stop,
        "most": most,
    }


def _rule_values(rules: FileRules) -> dict[str, Any]:
    return {
        "max_bytes": _ANY_SIZE if rules.max_bytes is None else rules.max_bytes,
        "takes_all": not rules.types,
        "types": [_like_pattern(pattern) for pattern in rules.types],
    }


def _like_pattern(pattern: str) -> str:
    """Return *pattern* for LIKE. It also matches parameters: ``text/plain; charset=utf-8``."""
    escaped = pattern.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")
    return escaped.replace("*", "%") + "%"


def _file_values(file: MissingFile, **values: Any) -> dict[str, Any]:
    return {"message_id": file.message_id, "attachment_id": file.attachment_id, **values}
