"""The RateLimitGovernor: one actor a cluster, which shares out each token's requests."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import ray

from raysync import __version__
from raysync.actors.metrics import RayMetrics, beat
from raysync.clock import SystemClock
from raysync.credentials import SealedInbox
from raysync.errors import RunStoppedError
from raysync.logs import LogFormat, configure_logs
from raysync.models.permits import Demand, Lease, Sharer
from raysync.ratelimit.governor import Governor
from raysync.ratelimit.share_keeper import ShareKeeper
from raysync.ratelimit.shares import ShareLedger, TokenShare
from raysync.store.connection.engine import open_engine
from raysync.store.limits.token_shares import TokenShares
from raysync.sync import metrics

WATCH_S = 30.0
"""So long a worker's question whether to stop stays open: it may have died meanwhile."""
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

    def __init__(self, log_format: LogFormat) -> None:
        configure_logs(log_format, role="governor")
        self._clock = SystemClock()
        self._inbox = SealedInbox()
        shares: dict[str, TokenShare] = {}
        self._governor = Governor(self._clock.monotonic_s(), shares=shares)
        self._keeper = ShareKeeper(shares, self._clock, _ledger)
        self._refusal = asyncio.Event()
        self._greeted_s = self._clock.monotonic_s()
        self._metrics = RayMetrics()
        self._beside = (
            asyncio.create_task(self._keeper.renew_for_ever()),
            asyncio.create_task(self._end_when_idle()),
            asyncio.create_task(beat(self._tell_metrics)),
        )

    async def public_key(self) -> bytes:
        """Where to seal a database's URL to; whoever asks is going to ask for permits."""
        self._greeted_s = self._clock.monotonic_s()
        return self._inbox.public_key()

    async def connect(
        self, fingerprint: str, sealed_database_url: bytes, invalid_stop: int
    ) -> None:
        """Share a token with whoever does so in that database; again changes nothing.

        After *invalid_stop* refusals nothing is asked any more, of any token.
        """
        self._governor.stop_at(invalid_stop)
        self._keeper.connect(fingerprint, self._inbox.open(sealed_database_url).decode())

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
        self._refusal.set()

    async def stopped(self) -> RunStoppedError | None:
        """Answer as soon as nothing may be asked of Discord any more; None after a while.

        So every worker hears of a ban within milliseconds, and uses no permit that it holds.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(WATCH_S):
                while (reason := self._governor.stopped_by(self._clock.monotonic_s())) is None:
                    self._refusal.clear()
                    await self._refusal.wait()
                return reason
        return None

    async def give_up_shares(self) -> None:
        """Leave all tokens to other clusters' governors: this cluster is about to end."""
        self._governor.give_up_shares()
        await self._keeper.write_down()

    def _tell_metrics(self) -> None:
        refused = self._governor.invalid_requests(self._clock.monotonic_s())
        self._metrics.set(metrics.INVALID_REQUESTS, refused)
        self._metrics.set(metrics.INVALID_REQUEST_LIMIT, self._governor.invalid_request_limit)

    async def _end_when_idle(self) -> None:
        rest_s = IDLE_END_S
        while rest_s > 0:
            await asyncio.sleep(rest_s)
            now_s = self._clock.monotonic_s()
            idle_s = min(self._governor.idle_s(now_s), now_s - self._greeted_s)
            rest_s = IDLE_END_S - idle_s
        ray.kill(ray.get_runtime_context().current_actor, no_restart=True)


def _ledger(database_url: str) -> ShareLedger:
    return TokenShares(open_engine(database_url, pool_size=2, application_name="raysync governor"))


RateLimitGovernorActor = ray.remote(RateLimitGovernor)
