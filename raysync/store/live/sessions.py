"""Sessions of the gateway: who listens, from where a successor resumes, and how many began."""

from __future__ import annotations

from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from raysync.errors import TailRunningError
from raysync.models.live import Position, SessionLease
from raysync.store.connection.engine import translated
from raysync.store.connection.locks import IS_HELD, Lease, LockHolder

_TAKE = text("""
INSERT INTO gateway_sessions AS s (fingerprint, shard, shards, epoch)
VALUES (:fingerprint, :shard, :shards, 1)
ON CONFLICT (fingerprint, shard) DO UPDATE SET
    epoch = s.epoch + 1, shards = excluded.shards, updated_at = now(),
    -- the events of another number of shards are divided otherwise
    session_id = CASE WHEN s.shards = excluded.shards THEN s.session_id END,
    resume_url = CASE WHEN s.shards = excluded.shards THEN s.resume_url END,
    sequence = CASE WHEN s.shards = excluded.shards THEN s.sequence END
RETURNING epoch, session_id, resume_url, sequence
""")
_HOLDER = text(f"""
SELECT l.host, l.taken_at FROM locks l WHERE l.name = :name AND {IS_HELD}
""")  # noqa: S608 of constants
_IDENTIFIED = text("""
WITH old AS (
    DELETE FROM gateway_identifies
    WHERE fingerprint = :fingerprint AND at < now() - interval '1 day'
), noted AS (
    INSERT INTO gateway_identifies (fingerprint) VALUES (:fingerprint)
)
UPDATE gateway_sessions SET identifies_left = :left, updated_at = now()
WHERE fingerprint = :fingerprint AND shard = :shard
""")
_AGES = text("""
SELECT extract(epoch FROM now() - at)::float8 FROM gateway_identifies
WHERE fingerprint = :fingerprint AND at > now() - make_interval(secs => :within_s)
ORDER BY at
""")

LOCKS = "tail/"
"""Prefix of the names of the locks by which a process listens."""


class SessionStore:
    """Sessions that one process holds, with one connection for all of their locks."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._locks = LockHolder(engine, "raysync tail")

    async def take(
        self, fingerprint: str, shard: int = 0, shards: int = 1
    ) -> tuple[Lease, SessionLease, Position | None]:
        """Take the right to listen. Return it with the position of the predecessor, if any.

        Raises:
            TailRunningError: another process has it; the sentence names its machine.
        """
        name = f"{LOCKS}{fingerprint}/{shard}"
        found: list[Any] = []

        async def begin(connection: AsyncConnection) -> None:
            values = {"fingerprint": fingerprint, "shard": shard, "shards": shards}
            found.append((await connection.execute(_TAKE, values)).one())

        lock = Lease(name=name, has_epoch=True)
        if not await self._locks.take(lock, None, begin):
            raise await self._refusal(name)
        row = found[0]
        position = None
        if row.session_id is not None and row.sequence is not None:
            position = Position(row.session_id, row.resume_url, row.sequence)
        return lock, SessionLease(fingerprint, shard, row.epoch), position

    async def release(self, lock: Lease) -> None:
        """Let another process listen."""
        await self._locks.release(lock)

    async def note_identify(self, lease: SessionLease, left: int) -> None:
        """Count a session that is about to begin; Discord allows *left* more today."""
        values = {"fingerprint": lease.fingerprint, "shard": lease.shard, "left": left}
        with translated():
            async with self._engine.begin() as connection:
                await connection.execute(_IDENTIFIED, values)

    async def identify_ages_s(self, fingerprint: str, within_s: float) -> list[float]:
        """Return how many seconds ago sessions of the token began, the oldest first."""
        values = {"fingerprint": fingerprint, "within_s": within_s}
        with translated():
            async with self._engine.connect() as connection:
                return [float(age) for age in (await connection.execute(_AGES, values)).scalars()]

    async def _refusal(self, name: str) -> TailRunningError:
        with translated():
            async with self._engine.connect() as connection:
                row: Any = (await connection.execute(_HOLDER, {"name": name})).one_or_none()
        if row is None:
            return TailRunningError("Another tail of this token just ended: try again.")
        return TailRunningError(
            f"A tail on {row.host} has been listening with this token since "
            f"{row.taken_at:%Y-%m-%d %H:%M:%S} UTC. Two would store every event twice, so stop "
            "that one first, or leave it running."
        )
