"""Locks as rows of the table `locks`, which take privileges on that table.

A lock is a lease. One connection of its holder renews all of the holder's locks, and each row names
that connection's backend. A lock is free as soon as its holder's backend is gone, which is at once
if the holder was killed, and `LEASE_S` after its last renewal in any case. Only the server's clock
counts.

Advisory locks and notifications have no privileges: any role that can connect could take every
lock, or cancel every run.
"""

from __future__ import annotations

import asyncio
import logging
import platform
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final

import psycopg
from psycopg.rows import TupleRow
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from raysync.models.ids import JobId, TenantId
from raysync.store.connection.engine import connect_alone, translated, why_away

_log = logging.getLogger(__name__)
_Connection = psycopg.AsyncConnection[TupleRow]

LEASE_S: Final = 30.0
"""Longest time that a lock outlives its last renewal."""
RENEW_EVERY_S: Final = 5.0
LOOK_EVERY_S: Final = 1.0
"""Seconds between a holder's reads of its rows, to notice a cancellation or a loss."""
RETAKE_EVERY_S: Final = 1.0
LOOK_TIMEOUT_S: Final = 10.0
"""Seconds before a connection that does not answer is replaced, well before a lease expires."""
WAIT_S: Final = 2
"""Longest wait in seconds for a transaction that has locked a row."""

LEGACY_CLASS: Final = 0x7279_6A62
"""First half of the advisory lock by which versions without this table locked a tenant."""

IS_HELD: Final = """(l.holder IS NOT NULL AND l.expires_at > clock_timestamp() AND EXISTS (
    SELECT FROM pg_stat_get_activity(l.backend_pid) a
    -- a null start: the server shows only that another role's backend exists
    WHERE a.backend_start IS NULL OR a.backend_start = l.backend_start))"""
"""SQL condition: the row `l` of locks is held. It reads the row itself and current backends."""

_BOUND_WAIT = text("SELECT set_config('lock_timeout', :wait, true)")
_TAKE = text(f"""
INSERT INTO locks AS l (name, tenant_id, holder, host, backend_pid, backend_start,
    taken_at, renewed_at, expires_at)
SELECT :name, CAST(:tenant_id AS bigint), :holder, :host, :pid, CAST(:start AS timestamptz),
    now, now, now + make_interval(secs => :lease_s)
FROM clock_timestamp() AS now
ON CONFLICT (name) DO UPDATE SET
    holder = excluded.holder, host = excluded.host, backend_pid = excluded.backend_pid,
    backend_start = excluded.backend_start, taken_at = excluded.taken_at,
    renewed_at = excluded.renewed_at, expires_at = excluded.expires_at, cancel_job_id = NULL
WHERE NOT {IS_HELD}
RETURNING true
""")  # noqa: S608 of constants
_LOCK_ROW = text(f"""
INSERT INTO locks AS l (name, tenant_id) VALUES (:name, CAST(:tenant_id AS bigint))
ON CONFLICT (name) DO UPDATE SET tenant_id = excluded.tenant_id
RETURNING {IS_HELD}
""")  # noqa: S608 of constants
_BACKEND = "SELECT pid, backend_start FROM pg_stat_get_activity(pg_backend_pid())"
_LOOK = "SELECT name, cancel_job_id::text FROM locks WHERE holder = %(holder)s"
# Rows that another transaction has locked, for example to remove the tenant, are renewed later.
_RENEW = f"""
WITH free AS (
    SELECT name FROM locks WHERE holder = %(holder)s FOR UPDATE SKIP LOCKED
), renewed AS (
    UPDATE locks l SET backend_pid = %(pid)s, backend_start = %(start)s,
        renewed_at = clock_timestamp(),
        expires_at = clock_timestamp() + make_interval(secs => %(lease_s)s)
    FROM free WHERE l.name = free.name
)
{_LOOK}
"""  # noqa: S608 of constants
_FREE = """
UPDATE locks SET holder = NULL, host = NULL, backend_pid = NULL, backend_start = NULL,
    taken_at = NULL, renewed_at = NULL, expires_at = NULL, cancel_job_id = NULL
WHERE name = %(name)s AND holder = %(holder)s
"""
_DRIVEN = """
SELECT id::text, options ->> 'driver' FROM sync_jobs WHERE status = 'running' AND id = ANY(%s)
"""


@dataclass(slots=True, eq=False)
class Lease:
    """A lock that is held, or about to be."""

    name: str
    driver: str = field(
        default_factory=lambda: uuid.uuid4().hex
    )  #: distinguishes drivers of one job
    job_id: JobId | None = None  #: the driver's job, once it has begun
    is_taken: bool = False
    has_epoch: bool = False  #: an epoch refuses writes of an earlier holder
    lost: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when another holder may have begun: this one must stop."""
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when an operator has cancelled the holder's job."""

    @property
    def is_revoked(self) -> bool:
        """True if the holder must stop: see `cancelled` and `lost`."""
        return self.cancelled.is_set() or self.lost.is_set()

    async def revoked(self) -> None:
        """Wait until the holder must stop."""
        waits = [asyncio.create_task(event.wait()) for event in (self.cancelled, self.lost)]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()


async def _nothing(_: AsyncConnection) -> None:
    return


class LockHolder:
    """Holder of one process's locks, which renews all of them by one statement.

    Its connection is open while it holds a lock. If the connection breaks, as when the server
    restarts, the holder opens another and keeps the locks that nobody took meanwhile.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        application_name: str,
        note: Callable[[str | None], None] = lambda _: None,
    ) -> None:
        """*note* is called after each read: with None, or why the database did not answer."""
        self._engine = engine
        self._note = note
        self._application_name = application_name
        self._id = uuid.uuid4().hex
        self._leases: dict[str, Lease] = {}
        self._opening = asyncio.Lock()
        self._connection: _Connection | None = None
        self._backend: dict[str, Any] = {}
        self._watching: asyncio.Task[None] | None = None

    async def take(
        self,
        lease: Lease,
        tenant_id: TenantId | None = None,
        at_first: Callable[[AsyncConnection], Awaitable[None]] = _nothing,
    ) -> bool:
        """Take the lock and run *at_first* in the same transaction. Return False if it is held.

        Raises:
            sqlalchemy.exc.IntegrityError: there is no such tenant.
        """
        if lease.name in self._leases:
            return False
        self._leases[lease.name] = lease
        try:
            with translated():
                await self._open()
                lease.is_taken = await self._take(lease, tenant_id, at_first)
        finally:
            if not lease.is_taken:
                await self.release(lease)
        return lease.is_taken

    async def _take(
        self,
        lease: Lease,
        tenant_id: TenantId | None,
        at_first: Callable[[AsyncConnection], Awaitable[None]],
    ) -> bool:
        values = {"name": lease.name, "tenant_id": tenant_id, "host": platform.node(), **self._own}
        try:
            async with self._engine.begin() as connection:
                async with bounded_wait(connection):
                    taken = (await connection.execute(_TAKE, values)).scalar_one_or_none()
                if taken:
                    await at_first(connection)
        except OperationalError as error:
            if isinstance(error.orig, psycopg.errors.LockNotAvailable):
                return False
            raise
        return taken is not None

    async def release(self, lease: Lease) -> None:
        """Release the lock. If the database is away, closing the connection releases it."""
        was_taken, lease.is_taken = lease.is_taken, False  # a missing row is no loss from here on
        try:
            if was_taken:
                with suppress(psycopg.Error, TimeoutError):
                    await self._query(_FREE, {"name": lease.name, "holder": self._id})
        finally:
            self._leases.pop(lease.name, None)  # not earlier: the last one closes the connection
        async with self._opening:
            if not self._leases:
                await self._close()

    @property
    def _own(self) -> dict[str, Any]:
        return {"holder": self._id, "lease_s": LEASE_S, **self._backend}

    async def _open(self) -> None:
        async with self._opening:
            if self._watching is None:
                await self._connect()
                self._watching = asyncio.create_task(self._watch())

    async def _connect(self) -> None:
        connection = await connect_alone(self._engine, self._application_name)
        try:
            ((pid, start),) = await _answer(connection, _BACKEND)
        except BaseException:
            await connection.close()
            raise
        self._connection, self._backend = connection, {"pid": pid, "start": start}

    async def _close(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
            self._watching = None
        if self._connection is not None:
            await self._connection.close()
            self._connection = None

    async def _watch(self) -> None:
        """Read and renew the rows while a lock is held."""
        try:
            await self._poll_forever()
        except Exception:  # noqa: BLE001 after any error, nothing renews the leases
            _log.exception("renewal of leases stopped")
            for lease in self._leases.values():
                lease.lost.set()

    async def _poll_forever(self) -> None:
        clock = asyncio.get_running_loop().time
        renewed_at = clock()
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            is_due = clock() - renewed_at >= RENEW_EVERY_S
            try:
                await self._poll(_RENEW if is_due else _LOOK)
                self._note(None)
            except (psycopg.Error, TimeoutError) as error:
                _log.warning("the connection that holds locks broke; opening another")
                if isinstance(error, TimeoutError):  # a broken connection alone is no outage
                    self._note(why_away(error))
                await self._reopen()
                is_due = True
            if is_due:
                renewed_at = clock()

    async def _poll(self, statement: str) -> None:
        taken = [lease for lease in self._leases.values() if lease.is_taken]  # before the query
        rows = await self._rows(statement)
        for lease in taken:
            if lease.name not in rows:
                lease.lost.set()
            elif lease.job_id is not None and rows[lease.name] == lease.job_id:
                lease.cancelled.set()
        for name in rows.keys() - self._leases.keys():  # released while the database was away
            await self._query(_FREE, {"name": name, "holder": self._id})

    async def _reopen(self) -> None:
        """Keep the locks by another connection.

        A lease with neither a running job of its own nor an epoch is lost: nothing shows that
        nobody worked meanwhile.
        """
        taken = [lease for lease in self._leases.values() if lease.is_taken]
        jobs = [lease.job_id for lease in taken if lease.job_id is not None]
        while True:
            try:
                if self._connection is not None:
                    await self._connection.close()
                await self._connect()
                rows = await self._rows(_RENEW)
                drivers = dict(await self._query(_DRIVEN, (jobs,)))
                self._note(None)
                break
            except (psycopg.Error, TimeoutError) as error:
                self._note(why_away(error))
                await asyncio.sleep(RETAKE_EVERY_S)
        for lease in taken:
            is_kept = lease.has_epoch or drivers.get(lease.job_id) == lease.driver
            if lease.name not in rows or not is_kept:
                lease.lost.set()

    async def _rows(self, statement: str) -> dict[str, str | None]:
        """Return the job to cancel, if any, by the name of each lock that is held."""
        return dict(await self._query(statement, self._own))

    async def _query(self, statement: str, values: Any) -> list[Any]:
        if self._connection is None:
            raise psycopg.OperationalError("there is no connection")
        return await _answer(self._connection, statement, values)


async def _answer(connection: _Connection, statement: str, values: Any = None) -> list[Any]:
    """Return the rows of *statement*.

    Raises:
        TimeoutError: no answer within `LOOK_TIMEOUT_S`. psycopg needs some more seconds to give
            the query up.
        psycopg.Error: the server refused, or is gone.
    """
    async with asyncio.timeout(LOOK_TIMEOUT_S):
        answer = await connection.execute(statement.encode(), values)
        return await answer.fetchall() if answer.description else []


@asynccontextmanager
async def bounded_wait(connection: AsyncConnection) -> AsyncIterator[None]:
    """Limit waits for locked rows to `WAIT_S`."""
    await connection.execute(_BOUND_WAIT, {"wait": f"{WAIT_S}s"})
    yield
    await connection.execute(_BOUND_WAIT, {"wait": "0"})


async def lock_row(connection: AsyncConnection, name: str, tenant_id: TenantId | None) -> bool:
    """Return whether the lock is held. If not, nobody can take it before the transaction ends.

    Return True, too, if another transaction keeps the row locked.
    """
    try:
        async with connection.begin_nested(), bounded_wait(connection):
            values = {"name": name, "tenant_id": tenant_id}
            return bool((await connection.execute(_LOCK_ROW, values)).scalar_one())
    except OperationalError as error:
        if isinstance(error.orig, psycopg.errors.LockNotAvailable):
            return True
        raise
