"""The RateLimitGovernor: one actor a cluster, which shares out each token's requests."""

from __future__ import annotations

import asyncio

import ray

from raysync import __version__
from raysync.actors.shares import ShareKeeper
from raysync.clock import SystemClock
from raysync.credentials import Letterbox
from raysync.ratelimit.governor import Demand, Governor, Lease, Sharer
from raysync.ratelimit.shares import ShareLedger, TokenShare
from raysync.store.engine import open_engine
from raysync.store.token_shares import TokenShares

IDLE_END_S = 120.0
"""Without a request for so long, the governor ends itself: it outlives the jobs it serves."""

# the version is in the name, for `get_if_exists` returns an actor with the code it began with
GOVERNOR_NAME = f"raysync/governor/{__version__}"


class RateLimitGovernor:
    """Actor shell. Detached, for all jobs of the cluster share it; ends itself when idle.

    It keeps no state that must survive: after a restart it begins with an empty second, so that
    what it granted before its death cannot add up with what it grants after, and is told anew in
    which database it shares a token with the governors of other clusters.
    """

    def __init__(self) -> None:
        self._clock = SystemClock()
        self._letterbox = Letterbox()
        shares: dict[str, TokenShare] = {}
        self._governor = Governor(self._clock.monotonic_s(), shares=shares)
        self._keeper = ShareKeeper(shares, self._clock, _ledger)
        self._beside = (
            asyncio.create_task(self._keeper.renew_for_ever()),
            asyncio.create_task(self._end_when_idle()),
        )

    async def address(self) -> bytes:
        """Where to seal a database's URL to."""
        return self._letterbox.address()

    async def connect(self, fingerprint: str, sealed_database_url: bytes) -> None:
        """Share a token with whoever does so in that database; again changes nothing."""
        self._keeper.connect(fingerprint, self._letterbox.open(sealed_database_url).decode())

    async def lease(
        self, fingerprint: str, sharer: Sharer, demand: Demand, per_second: float
    ) -> Lease:
        """Permits for one token; see `Governor.lease`. Raises LedgerUnknownError."""
        self._keeper.require(fingerprint)
        now_s = self._clock.monotonic_s()
        return self._governor.lease(fingerprint, sharer, demand, per_second, now_s)

    async def observe(
        self, fingerprint: str, status: int, scope: str | None, retry_after_s: float | None
    ) -> None:
        """Take in an answer that counts: 401, 403, 429."""
        now_s = self._clock.monotonic_s()
        self._governor.observe(fingerprint, status, scope, retry_after_s, now_s)

    async def give_up_shares(self) -> None:
        """Leave all tokens to other clusters' governors: this cluster is about to end."""
        self._governor.give_up_shares()
        await self._keeper.write_down()

    async def _end_when_idle(self) -> None:
        rest_s = IDLE_END_S
        while rest_s > 0:
            await asyncio.sleep(rest_s)
            rest_s = IDLE_END_S - self._governor.idle_s(self._clock.monotonic_s())
        ray.kill(ray.get_runtime_context().current_actor, no_restart=True)


def _ledger(database_url: str) -> ShareLedger:
    return TokenShares(open_engine(database_url, pool_size=2, application_name="raysync governor"))


RateLimitGovernorActor = ray.remote(RateLimitGovernor)
