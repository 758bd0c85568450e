"""Shares of a token's rate limit: one row for each governor, timed by the database's clock."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from raysync.models.records import ShareClaim
from raysync.store.connection.engine import translated

REMEMBERED_S: Final = 6.0
"""Seconds a row is kept after it expires: requests under it may still count at Discord."""

_LOCK: Final = text(
    "INSERT INTO locks (name) VALUES ('token/' || :token) "
    "ON CONFLICT (name) DO UPDATE SET name = excluded.name"
)
_FORGET: Final = text(
    "DELETE FROM token_shares WHERE fingerprint = :token AND "
    "expires_at < clock_timestamp() - make_interval(secs => :remembered)"
)
_OTHERS: Final = text(
    "SELECT requested, granted, expires_at > clock_timestamp() AS valid, "
    "CASE granted WHEN 0 THEN extract(epoch FROM clock_timestamp() - updated_at) ELSE 0 "
    "END::double precision AS quiet_s FROM token_shares "
    "WHERE fingerprint = :token AND governor <> :governor"
)
_CLAIM: Final = text(
    "INSERT INTO token_shares (fingerprint, governor, requested, granted, expires_at) "
    "VALUES (:token, :governor, :requested, :granted, "
    "clock_timestamp() + make_interval(secs => :valid)) "
    "ON CONFLICT (fingerprint, governor) DO UPDATE SET requested = excluded.requested, "
    "granted = excluded.granted, expires_at = excluded.expires_at, updated_at = now()"
)

Decide = Callable[[Sequence[ShareClaim], float], ShareClaim]
"""Function from the other governors' valid claims to one's own.

The second argument is the seconds since another governor may last have used more than its claim. A
claim of 0 is written after its last use. Any other claim counts as used just now, even if it has
expired: where the database's clock was set forward, its governor still uses it.
"""


class TokenShares:
    """Claims of all governors that use this database."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def renew(self, token: str, governor: str, valid_s: float, decide: Decide) -> None:
        """Write the claim that *decide* returns for the others' claims, valid for *valid_s*.

        A lock serializes claims on one token, so each is decided on current claims.

        Raises:
            StoreUnavailableError: nothing was written, or the outcome is unknown.
        """
        with translated():
            async with self._engine.begin() as connection:
                await self._renew(connection, token, governor, valid_s, decide)

    async def close(self) -> None:
        """Close the connections."""
        await self._engine.dispose()

    async def _renew(
        self,
        connection: AsyncConnection,
        token: str,
        governor: str,
        valid_s: float,
        decide: Decide,
    ) -> None:
        names = {"token": token, "governor": governor}
        await connection.execute(_LOCK, {"token": token})
        await connection.execute(_FORGET, {"token": token, "remembered": REMEMBERED_S})
        rows = (await connection.execute(_OTHERS, names)).all()
        claims = [ShareClaim(row.requested, row.granted) for row in rows if row.valid]
        own = decide(claims, max(min((row.quiet_s for row in rows), default=math.inf), 0.0))
        values = {"requested": own.requested, "granted": own.granted, "valid": valid_s}
        await connection.execute(_CLAIM, names | values)
