"""What workers write: claims, pages, checkpoints.

Each is one statement, and so one transaction and one round trip. A page's statement locks the
claim, compares it and merges the rows, which come as one JSON document. It writes what it joins
with the claim's locked row, so a worker that lost its channel writes nothing; that lock comes
before any other and is the only one that two transactions can both want, so they cannot deadlock.

Page transactions do not wait for the disk (``synchronous_commit = off``): a crash of the server
may lose the last fraction of a second. But a page and its checkpoint go together, and under a
claim of before the crash no more pages are written: the channel is claimed anew, and read on from
where the database says that it stands.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from psycopg.types.json import Json, Jsonb
from sqlalchemy.ext.asyncio import AsyncEngine

from raysync.errors import ClaimLostError, StoreRestartedError
from raysync.models.status import ChannelJobStatus, ProgressStatus
from raysync.models.work import (
    ChannelOutcome,
    ChannelTask,
    Claim,
    IdRange,
    PageReceipt,
    PageWrite,
)
from raysync.store.archive.erased_pages import without_erased
from raysync.store.archive.page_rows import failure_details, page_json
from raysync.store.archive.quarantine import with_stored
from raysync.store.connection.engine import translated

_Driver = psycopg.AsyncConnection[Any]

_CLAIM = """
UPDATE sync_progress SET
    worker_id = %(worker_id)s, attempt = %(attempt)s, epoch = epoch + 1,
    resume_after = CASE WHEN job_id = %(job_id)s THEN resume_after END,
    job_id = %(job_id)s, status = 'in_progress', error_details = NULL, started_at = now(),
    lease_expires_at = now() + make_interval(secs => %(lease_s)s), updated_at = now()
WHERE channel_id = %(channel_key)s AND (
    lease_expires_at IS NULL OR lease_expires_at <= now()
    OR (job_id = %(job_id)s AND (
        attempt < %(attempt)s OR (attempt = %(attempt)s AND worker_id = %(worker_id)s))))
RETURNING epoch, coverage, resume_after, extract(epoch FROM now() - last_synced_at)::float8,
    message_count > 0, (SELECT life::text FROM server_life)
"""

_PLAN_ONCE = "SET plan_cache_mode = force_generic_plan"
"""The bounds of a page make any plan good, and planning each anew costs 0.7 ms a page."""

_PAGE = """
WITH page AS MATERIALIZED (
    SELECT * FROM json_to_recordset(%(page)s) AS given (
        id bigint, author text, content text, type integer, reply_to bigint,
        created_at timestamptz, edited_at timestamptz, metadata jsonb, raw jsonb,
        reactions jsonb, attachments jsonb, quarantine text[])
), claim AS MATERIALIZED (
    SELECT tenant_id, set_config('synchronous_commit', 'off', true) FROM sync_progress
    WHERE channel_id = %(channel)s AND epoch = %(epoch)s AND worker_id = %(worker_id)s
        AND EXISTS (SELECT FROM server_life WHERE life = %(server)s::uuid)
    FOR UPDATE
), withheld AS MATERIALIZED (  -- what vanishes without an edit is what Discord withheld
    SELECT p.id FROM claim CROSS JOIN page p
        JOIN messages m ON m.channel_id = %(channel)s AND m.platform_message_id = p.id
    WHERE p.content = '' AND m.edited_at IS NOT DISTINCT FROM p.edited_at
        AND (m.content <> '' OR (
            p.attachments IS NULL AND p.raw -> 'poll' IS NULL
            AND NOT p.raw @? '$.embeds[*]' AND NOT p.raw @? '$.components[*]'
            AND (m.raw -> 'poll' IS NOT NULL OR m.raw @? '$.components[*]'
                -- embeds are also hidden, which a flag (4) tells
                OR (m.raw @? '$.embeds[*]'
                    AND ((p.metadata ->> 'flags')::bigint & 4) IS DISTINCT FROM 4)
                OR EXISTS (SELECT FROM message_attachments a WHERE a.channel_id = m.channel_id
                    AND a.platform_message_id = m.platform_message_id))))
), earlier AS (
    INSERT INTO message_versions (
        channel_id, platform_message_id, seen_at, content, edited_at, raw)
    SELECT m.channel_id, m.platform_message_id, now(), m.content, m.edited_at, m.raw
    FROM claim CROSS JOIN messages m JOIN page p ON m.platform_message_id = p.id
    WHERE m.channel_id = %(channel)s AND m.platform_message_id BETWEEN %(low)s AND %(high)s
        AND (m.content, m.edited_at) IS DISTINCT FROM (p.content, p.edited_at)
        AND (m.quarantine IS NULL  -- what could not be read before has not changed by that
            OR (m.content <> p.content
                AND NOT (m.content = '' AND m.quarantine && '{content,payload}'::text[]))
            OR (m.edited_at IS DISTINCT FROM p.edited_at
                AND NOT m.quarantine && '{edited_timestamp,payload}'::text[]))
        AND p.id NOT IN (SELECT id FROM withheld)
    -- as they are once the claim is had: a first try of this page may have committed meanwhile
    FOR UPDATE OF m
    RETURNING 1
), vanished AS (
    UPDATE messages m SET deleted_at = now(), updated_at = now()
    FROM claim
    WHERE m.channel_id = %(channel)s AND m.deleted_at IS NULL
        AND m.platform_message_id >= %(gone_start)s AND m.platform_message_id < %(gone_stop)s
        AND m.platform_message_id <> ALL(%(ids)s)
    RETURNING 1
), merged AS (
    INSERT INTO messages AS m (
        channel_id, platform_message_id, tenant_id, anonymized_author_id, content, type,
        reply_to_id, platform_created_at, edited_at, metadata, raw, quarantine)
    SELECT %(channel)s, id, tenant_id, author, content, type, reply_to, created_at, edited_at,
        metadata, raw, quarantine
    FROM claim CROSS JOIN page
    WHERE id NOT IN (SELECT id FROM withheld)
        AND (SELECT count(*) FROM earlier) >= 0  -- before what they were is written over
    ON CONFLICT (channel_id, platform_message_id) DO UPDATE SET
        anonymized_author_id = excluded.anonymized_author_id, content = excluded.content,
        type = excluded.type, reply_to_id = excluded.reply_to_id,
        platform_created_at = excluded.platform_created_at, edited_at = excluded.edited_at,
        deleted_at = NULL, metadata = excluded.metadata, raw = excluded.raw,
        quarantine = excluded.quarantine, updated_at = now()
    WHERE (m.anonymized_author_id, m.content, m.type, m.reply_to_id, m.platform_created_at,
            m.edited_at, m.deleted_at, m.metadata, m.raw, m.quarantine)
        IS DISTINCT FROM (excluded.anonymized_author_id, excluded.content, excluded.type,
            excluded.reply_to_id, excluded.platform_created_at, excluded.edited_at,
            NULL::timestamptz, excluded.metadata, excluded.raw, excluded.quarantine)
    RETURNING xmax = 0 AS is_new
), counted AS (
    SELECT count(*) FILTER (WHERE is_new) AS inserted,
        count(*) FILTER (WHERE NOT is_new) AS updated
    FROM merged
), known AS MATERIALIZED (  -- messages that were there may have lost some of their parts
    SELECT id FROM page WHERE (SELECT inserted FROM counted) < %(rows)s
        AND EXISTS (SELECT FROM claim)
), given_reactions AS MATERIALIZED (
    SELECT id, r.* FROM page, jsonb_to_recordset(reactions)
        AS r (emoji text, count integer, burst_count integer)
    WHERE reactions IS NOT NULL AND EXISTS (SELECT FROM claim)
), gone_reactions AS (
    DELETE FROM message_emoji_reactions e USING known k
    WHERE e.channel_id = %(channel)s AND e.platform_message_id BETWEEN %(low)s AND %(high)s
        AND e.platform_message_id = k.id
        AND NOT EXISTS (
            SELECT FROM given_reactions g WHERE g.id = k.id AND g.emoji = e.emoji)
), reactions AS (
    INSERT INTO message_emoji_reactions AS e (
        channel_id, platform_message_id, emoji, count, burst_count)
    SELECT %(channel)s, id, emoji, count, burst_count FROM given_reactions
    ON CONFLICT (channel_id, platform_message_id, emoji, anonymized_user_id) DO UPDATE SET
        count = excluded.count, burst_count = excluded.burst_count, updated_at = now()
    WHERE (e.count, e.burst_count) IS DISTINCT FROM (excluded.count, excluded.burst_count)
), given_attachments AS MATERIALIZED (
    SELECT page.id AS message_id, a.* FROM page, jsonb_to_recordset(attachments)
        AS a (id bigint, filename text, size bigint, content_type text, url text)
    WHERE attachments IS NOT NULL AND EXISTS (SELECT FROM claim)
), gone_attachments AS (
    DELETE FROM message_attachments e USING known k
    WHERE e.channel_id = %(channel)s AND e.platform_message_id BETWEEN %(low)s AND %(high)s
        AND e.platform_message_id = k.id AND k.id NOT IN (SELECT id FROM withheld)
        AND NOT EXISTS (
            SELECT FROM given_attachments g
            WHERE g.message_id = k.id AND g.id = e.platform_attachment_id)
), attachments AS (
    INSERT INTO message_attachments AS e (
        channel_id, platform_message_id, platform_attachment_id,
        filename, file_size, content_type, url)
    SELECT %(channel)s, message_id, id, filename, size, content_type, url FROM given_attachments
    ON CONFLICT (channel_id, platform_message_id, platform_attachment_id) DO UPDATE SET
        filename = excluded.filename, file_size = excluded.file_size,
        content_type = excluded.content_type, url = excluded.url, updated_at = now()
    WHERE (e.filename, e.file_size, e.content_type, e.url) IS DISTINCT FROM
        (excluded.filename, excluded.file_size, excluded.content_type, excluded.url)
), advanced AS (
    UPDATE sync_progress SET
        coverage = coverage + int8multirange(int8range(%(start)s, %(stop)s)),
        last_synced_message_id = greatest(last_synced_message_id, %(high)s::bigint),
        last_synced_at = now(), updated_at = now(),
        message_count = message_count + (SELECT inserted FROM counted),
        resume_after = coalesce(%(checkpoint)s::bigint, resume_after),
        lease_expires_at = now() + make_interval(secs => %(lease_s)s)
    WHERE channel_id = %(channel)s AND EXISTS (SELECT FROM claim)
)
SELECT inserted, updated, (SELECT count(*) FROM earlier), (SELECT count(*) FROM vanished)
FROM counted WHERE EXISTS (SELECT FROM claim)
"""

_PAGE_VALUES = tuple(dict.fromkeys(re.findall(r"%\((\w+)\)s", _PAGE)))
_NUMBERED_PAGE = re.sub(r"%\((\w+)\)s", lambda found: f"${_PAGE_VALUES.index(found[1]) + 1}", _PAGE)
"""psycopg would translate so long a statement for every page anew, 0.2 ms of CPU each time."""

_LIFE = "SELECT life::text FROM server_life"
_BEGIN_LIFE = """
INSERT INTO server_life (life) VALUES (gen_random_uuid()) ON CONFLICT DO NOTHING
"""
"""An unlogged table: a crash of the server empties it, whichever of its processes died."""

_RENEW = """
UPDATE sync_progress SET lease_expires_at = now() + make_interval(secs => %(lease_s)s)
WHERE channel_id = %(channel)s AND epoch = %(epoch)s AND worker_id = %(worker_id)s
"""

_RELEASE = """
UPDATE sync_progress SET
    status = CASE WHEN EXISTS (SELECT FROM server_life WHERE life = %(server)s::uuid)
        THEN %(status)s ELSE 'idle' END,
    error_details = %(error)s, worker_id = NULL, lease_expires_at = NULL,
    messages_per_second = %(rate)s, retry_count = %(retry_count)s, updated_at = now()
WHERE channel_id = %(channel)s AND epoch = %(epoch)s AND worker_id = %(worker_id)s
RETURNING EXISTS (SELECT FROM server_life WHERE life = %(server)s::uuid)
"""

_STATUS_AFTER = {
    ChannelJobStatus.COMPLETED: ProgressStatus.COMPLETED,
    ChannelJobStatus.FAILED: ProgressStatus.FAILED,
    ChannelJobStatus.PENDING: ProgressStatus.IDLE,
    ChannelJobStatus.IN_PROGRESS: ProgressStatus.IDLE,
}


class PostgresPages:
    """The `PageStore` of a worker; every method is one transaction and may be repeated.

    A lease is counted by the database's clock alone, so workers' clocks need not agree.
    """

    def __init__(self, engine: AsyncEngine, lease_s: float = 60.0) -> None:
        self._engine = engine
        self._lease_s = lease_s

    async def claim(self, task: ChannelTask, worker_id: str) -> Claim | None:
        """Take the channel, or None where another worker's lease on it lives.

        A later attempt of the same job takes it over at once: the driver starts one only when
        the worker of the earlier is gone.
        """
        values = {
            "channel_key": task.channel_key,
            "job_id": task.job_id,
            "attempt": task.attempt,
            "worker_id": worker_id,
            "lease_s": self._lease_s,
        }
        async with self._connection() as driver:
            if await (await driver.execute(_LIFE)).fetchone() is None:
                await driver.execute(_BEGIN_LIFE)
            row = await (await driver.execute(_CLAIM, values)).fetchone()
        if row is None:
            return None
        epoch, coverage, resume_after, paged_ago_s, has_rows, server = row
        ranges = tuple(IdRange(each.lower, each.upper) for each in coverage)
        return Claim(task, worker_id, epoch, ranges, resume_after, paged_ago_s, has_rows, server)

    async def save_page(self, claim: Claim, page: PageWrite) -> PageReceipt:
        """Write the page, its coverage and its checkpoint in one transaction; renew the lease.

        Messages that did not change are not written, an edited one leaves its earlier content in
        `message_versions`, and reactions and attachments become those of the page. What is stored
        where the page says that all is told, and is not in it, is marked as deleted and kept. A
        message that comes empty without an edit was withheld: it stays as it is, its files too.
        Of one that could not be read whole, what could not is left as it is stored. What somebody
        wrote who is kept out is proven to be there like the rest, and not written.

        Raises:
            ClaimLostError: another worker took over; nothing was written.
            StoreRestartedError: the server was started anew since the claim; nothing was written.
        """
        ids = {each.id for each in page.messages}
        values = {
            **self._of(claim),
            "server": claim.server,
            "rows": len({each.id for each in page.messages if not each.is_suppressed}),
            "low": min(ids, default=None),
            "high": max(ids, default=None),
            "start": page.covered.start if page.covered else 0,
            "stop": page.covered.stop if page.covered else 0,
            "checkpoint": page.checkpoint,
            "ids": sorted(ids) if page.gone else [],
            "gone_start": page.gone.start if page.gone else 0,
            "gone_stop": page.gone.stop if page.gone else 0,
        }
        async with self._connection() as driver, psycopg.AsyncRawCursor(driver) as cursor:
            kept = await without_erased(driver, claim, page.messages)
            kept = await with_stored(driver, claim, kept)
            values["page"] = Json(kept, page_json)
            await cursor.execute(_NUMBERED_PAGE, [values[each] for each in _PAGE_VALUES])
            row = await cursor.fetchone()
            if row is None:
                life = await (await driver.execute(_LIFE)).fetchone()
                raise refusal(claim, is_same_server=life == (claim.server,))
        return PageReceipt(*row)

    async def renew(self, claim: Claim) -> None:
        """Keep the lease while nothing is written.

        Raises:
            ClaimLostError: another worker took over.
        """
        async with self._connection() as driver:
            renewed = await driver.execute(_RENEW, self._of(claim))
        if renewed.rowcount == 0:
            raise refusal(claim, is_same_server=True)

    async def release(self, claim: Claim, outcome: ChannelOutcome) -> None:
        """Give the channel back and record how the attempt ended; no error if it was lost.

        Raises:
            StoreRestartedError: the last pages may be lost; it is given back as unfinished.
        """
        elapsed_s = (outcome.completed_at - outcome.started_at).total_seconds()
        failure = outcome.failure
        values = {
            **self._of(claim),
            "status": _STATUS_AFTER[outcome.status].value,
            "error": Jsonb(failure_details(failure)) if failure else None,
            "rate": outcome.tally.messages / elapsed_s if elapsed_s > 0 else None,
            "retry_count": outcome.retry_count,
            "server": claim.server,
        }
        async with self._connection() as driver:
            released = await (await driver.execute(_RELEASE, values)).fetchone()
        if released == (False,):
            raise refusal(claim, is_same_server=False)

    def _of(self, claim: Claim) -> dict[str, Any]:
        return {
            "channel": claim.task.channel_key,
            "epoch": claim.epoch,
            "worker_id": claim.worker_id,
            "lease_s": self._lease_s,
        }

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[_Driver]:
        """The driver's own connection in autocommit: each statement here is a transaction.

        SQLAlchemy's isolation level is not used: it loses the connection of a task that is
        cancelled while it is set.
        """
        with translated():
            async with self._engine.connect() as connection:
                pooled = await connection.get_raw_connection()
                driver: _Driver = pooled.driver_connection  # type: ignore[assignment]  # untyped there
                try:
                    await driver.set_autocommit(True)
                    if not pooled.info.get("plans_once"):
                        await driver.execute(_PLAN_ONCE)
                        pooled.info["plans_once"] = True
                    yield driver
                except psycopg.Error:
                    if driver.closed:
                        await connection.invalidate()
                    raise
                finally:
                    await asyncio.shield(_end_autocommit(driver))  # before another task has it


async def _end_autocommit(driver: _Driver) -> None:
    """Make the connection fit for the pool again, or close it, which the pool notices."""
    try:
        if not driver.closed:
            await driver.set_autocommit(False)
    except psycopg.Error:
        await driver.close()


def refusal(claim: Claim, *, is_same_server: bool) -> ClaimLostError | StoreRestartedError:
    """Why nothing was written under *claim*."""
    if not is_same_server:
        return StoreRestartedError(
            f"The database server was started anew while channel {claim.task.channel_id} was read: "
            "it may have lost the last pages, and the channel is claimed again."
        )
    return ClaimLostError(
        f"Another worker took over channel {claim.task.channel_id}; what {claim.worker_id} "
        "still had of it was not written."
    )
