"""Writes of a worker: claims, pages, checkpoints.

Each is one statement, and so one transaction and one round trip. `page_statement` has a page's.

Page transactions do not wait for the disk (``synchronous_commit = off``), so a crash of the server
may lose the last fraction of a second. A page and its checkpoint are lost together. Claims from
before the crash write no more pages: the channel is claimed again, and read on from the checkpoint
that the database has.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from psycopg.types.json import Jsonb
from sqlalchemy.ext.asyncio import AsyncEngine

from raysync.clock import SystemClock
from raysync.errors import ClaimLostError, StoreRestartedError
from raysync.models.status import ChannelJobStatus, ProgressStatus
from raysync.models.work import (
    ChannelOutcome,
    ChannelTally,
    ChannelTask,
    Claim,
    IdRange,
    PageReceipt,
    PageWrite,
)
from raysync.store.archive.erased_pages import without_erased
from raysync.store.archive.page_rows import failure_details, page_json
from raysync.store.archive.page_statement import NUMBERED_PAGE, PAGE_VALUES
from raysync.store.archive.quarantine import with_stored
from raysync.store.archive.unreported import count_unreported
from raysync.store.connection.engine import translated

_MARGIN_S = 1.0
"""Maximum time, in seconds, from the reading of our clock to the server's reading of its own."""
_Driver = psycopg.AsyncConnection[Any]

_CLAIM = """
UPDATE sync_progress SET
    worker_id = %(worker_id)s, attempt = %(attempt)s, epoch = epoch + 1,
    resume_after = CASE WHEN job_id = %(job_id)s THEN resume_after END,
    job_id = %(job_id)s, status = 'in_progress', error_details = NULL,
    -- a takeover keeps it: what the dead worker wrote since then was not reported
    started_at = CASE WHEN job_id = %(job_id)s AND attempt < %(attempt)s AND attempt > 0
        THEN started_at ELSE now() END,
    lease_expires_at = now() + make_interval(secs => %(lease_s)s), updated_at = now()
WHERE channel_id = %(channel_key)s AND (
    lease_expires_at IS NULL OR lease_expires_at <= now()
    OR (job_id = %(job_id)s AND (
        attempt < %(attempt)s OR (attempt = %(attempt)s AND worker_id = %(worker_id)s))))
RETURNING epoch, coverage, resume_after, extract(epoch FROM now() - last_synced_at)::float8,
    message_count > 0, (SELECT life::text FROM server_life), started_at
"""

_PLAN_ONCE = "SET plan_cache_mode = force_generic_plan"
"""Plan the page's statement once: any plan is good, and planning costs 0.7 ms a page."""

_LIFE = "SELECT life::text FROM server_life"
_BEGIN_LIFE = """
INSERT INTO server_life (life) VALUES (gen_random_uuid()) ON CONFLICT DO NOTHING
"""
"""The table is unlogged, so a crash of any of the server's processes empties it."""

_IS_CLAIMED = """
SELECT FROM sync_progress
WHERE channel_id = %(channel)s AND epoch = %(epoch)s AND worker_id = %(worker_id)s
"""

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
    """`PageStore` of a worker. Every method is one transaction and may be repeated.

    Leases use the database's clock only, so workers' clocks need not agree.
    """

    def __init__(self, engine: AsyncEngine, lease_s: float = 60.0) -> None:
        self._engine = engine
        self._lease_s = lease_s

    async def claim(self, task: ChannelTask, worker_id: str) -> Claim | None:
        """Claim the channel. Return None if another worker's lease on it has not expired.

        A later attempt of the same job takes the channel over at once: the driver starts one only
        after the worker of the earlier attempt is gone.
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
            epoch, coverage, resume_after, paged_ago_s, has_rows, server, since = row
            unreported = ChannelTally()
            if task.attempt > 1:
                unreported = await count_unreported(driver, task, since, resume_after)
        return Claim(
            task,
            worker_id,
            epoch,
            tuple(IdRange(part.lower, part.upper) for part in coverage),
            resume_after,
            paged_ago_s,
            has_rows,
            server,
            unreported,
        )

    async def save_page(self, claim: Claim, page: PageWrite) -> PageReceipt:
        """Write the page, its coverage and its checkpoint in one transaction; renew the lease.

        - Unchanged messages are not written. An edited one leaves its earlier content in
          `message_versions`. Reactions and attachments become those of the page.
        - Stored messages in the page's ``gone`` range that are missing from the page are marked as
          deleted and kept.
        - A message that comes empty without an edit was withheld: it stays as stored, its files
          too. Fields that could not be read stay as stored.
        - Messages of suppressed authors count as covered and are not written.

        Raises:
            ClaimLostError: another worker took over; nothing was written.
            StoreRestartedError: the server restarted since the claim; nothing was written.
        """
        ids = {message.id for message in page.messages}
        values = {
            **self._claim_values(claim),
            "server": claim.server,
            "rows": len({message.id for message in page.messages if not message.is_suppressed}),
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
            kept = await without_erased(driver, claim.task.tenant_id, page.messages)
            kept = await with_stored(driver, claim, kept)
            values["page"] = Jsonb(kept, page_json)
            while True:
                values["age_s"] = _age_s(page)
                await cursor.execute(NUMBERED_PAGE, [values[name] for name in PAGE_VALUES])
                row = await cursor.fetchone()
                if row is not None:
                    return PageReceipt(*row)
                life = await (await driver.execute(_LIFE)).fetchone()
                kept_claim = await (await driver.execute(_IS_CLAIMED, values)).fetchone()
                if life != (claim.server,) or kept_claim is None:
                    raise refusal(claim, is_same_server=life == (claim.server,))
                # events came while the statement waited for the row: its snapshot lacks them

    async def renew(self, claim: Claim) -> None:
        """Renew the lease while no page is written.

        Raises:
            ClaimLostError: another worker took over.
        """
        async with self._connection() as driver:
            renewed = await driver.execute(_RENEW, self._claim_values(claim))
        if renewed.rowcount == 0:
            raise refusal(claim, is_same_server=True)

    async def release(self, claim: Claim, outcome: ChannelOutcome) -> None:
        """Release the channel and record how the attempt ended. Do nothing if the claim is lost.

        Raises:
            StoreRestartedError: the last pages may be lost; the channel is released as unfinished.
        """
        elapsed_s = (outcome.completed_at - outcome.started_at).total_seconds()
        failure = outcome.failure
        values = {
            **self._claim_values(claim),
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

    def _claim_values(self, claim: Claim) -> dict[str, Any]:
        return {
            "channel": claim.task.channel_key,
            "epoch": claim.epoch,
            "worker_id": claim.worker_id,
            "lease_s": self._lease_s,
        }

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[_Driver]:
        """Yield the driver's connection in autocommit, where each statement is a transaction.

        SQLAlchemy's isolation level would lose the connection if the task is cancelled while it
        is being set.
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
                    await asyncio.shield(_end_autocommit(driver))  # before another task gets it


def _age_s(page: PageWrite) -> float:
    """Return how many seconds ago *page* was requested, rounded up by `_MARGIN_S`."""
    if page.requested_s is None:
        return 0.0
    return max(SystemClock().monotonic_s() - page.requested_s, 0.0) + _MARGIN_S


async def _end_autocommit(driver: _Driver) -> None:
    """Make the connection fit for the pool. If that fails, close it, which the pool notices."""
    try:
        if not driver.closed:
            await driver.set_autocommit(False)
    except psycopg.Error:
        await driver.close()


def refusal(claim: Claim, *, is_same_server: bool) -> ClaimLostError | StoreRestartedError:
    """Return the error for a write that *claim* no longer allows."""
    if not is_same_server:
        return StoreRestartedError(
            f"The database server restarted while channel {claim.task.channel_id} was read, so its "
            "last pages may be lost. The channel is claimed and read again."
        )
    return ClaimLostError(
        f"Another worker took over channel {claim.task.channel_id}, so the last pages of "
        f"{claim.worker_id} were not written."
    )
