"""Permits for all jobs of a cluster, as the governor's actor grants them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from raysync.clock import Clock
from raysync.errors import RunStoppedError
from raysync.models.permits import Bequest, Demand, Lease, Sharer
from raysync.ratelimit.budget import QUIET_S, limit_of
from raysync.ratelimit.governor import Governor
from raysync.ratelimit.share_keeper import ShareKeeper
from raysync.ratelimit.shares import ShareLedger, TokenShare
from raysync.store.connection.engine import open_engine
from raysync.store.limits.token_shares import TokenShares
from raysync.sync.progress import metrics
from raysync.sync.progress.metrics import MetricSink

WATCH_S = 30.0
"""Seconds that a call of `stopped` stays open: the process that called may have died."""
IDLE_END_S = 120.0
"""Seconds without a request after which the governor ends: it outlives the jobs it serves."""


class TokenSharing:
    """Governor of the cluster's tokens, with its shares in databases and its idle time.

    No state must survive. After a restart it begins with an exhausted second, so that earlier and
    later permits cannot add up. Processes then name again the database in which governors of
    several clusters share a token.
    """

    def __init__(
        self,
        clock: Clock,
        sink: MetricSink,
        open_ledger: Callable[[str], ShareLedger] | None = None,
        *,
        is_first: bool = False,
    ) -> None:
        """Open the ledger of a database's URL by *open_ledger*; None: in that database.

        *is_first* says that no earlier governor did this one's work, so that only those in the
        ledger can have granted permits lately.
        """
        self._clock = clock
        self._sink = sink
        self._shares: dict[str, TokenShare] = {}
        started_s = clock.monotonic_s() - QUIET_S * is_first
        self._governor = Governor(started_s, shares=self._shares)
        self._keeper = ShareKeeper(self._shares, clock, open_ledger or _ledger)
        self._refused = asyncio.Event()
        self._greeted_s = clock.monotonic_s()

    def greet(self) -> None:
        """Count the process that asks for the public key as a request: it will need permits."""
        self._greeted_s = self._clock.monotonic_s()

    def stop_at(self, invalid_stop: int) -> None:
        """Permit no request any more after *invalid_stop* refusals, with any token."""
        self._governor.stop_at(invalid_stop)

    def connect(self, fingerprint: str, database_url: str) -> None:
        """Share a token with all governors that use this database. Idempotent."""
        self._keeper.connect(fingerprint, database_url)

    def expect(self, fingerprint: str, per_second: float) -> None:
        """Claim a share of a token before the first request for permits of it."""
        share = self._shares.setdefault(fingerprint, TokenShare(limit_of(per_second)))
        share.note_use(0, self._clock.monotonic_s())

    def lease(self, fingerprint: str, sharer: Sharer, demand: Demand, per_second: float) -> Lease:
        """Grant permits for one token; see `Governor.lease`. Raises LedgerUnknownError."""
        self._keeper.require(fingerprint)
        now_s = self._clock.monotonic_s()
        return self._governor.lease(fingerprint, sharer, demand, per_second, now_s)

    def observe(
        self, fingerprint: str, status: int, scope: str | None, retry_after_s: float | None
    ) -> None:
        """Count an answer of 401, 403 or 429."""
        now_s = self._clock.monotonic_s()
        self._governor.observe(fingerprint, status, scope, retry_after_s, now_s)
        self._refused.set()

    async def bequeath(self, fingerprint: str) -> Bequest | None:
        """Leave a token to another governor on this machine; see `Governor.bequeath`."""
        await self._keeper.settle()
        claimant = self._keeper.claimant(fingerprint)
        return self._governor.bequeath(fingerprint, claimant, self._clock.monotonic_s())

    def regain(self, fingerprint: str) -> None:
        """Take back a token that the other governor has refused."""
        self._governor.regain(fingerprint)

    def inherit(self, fingerprint: str, bequest: Bequest, per_second: float) -> bool:
        """Continue with a token of another governor; see `Governor.inherit`.

        Raises:
            LedgerUnknownError: the token's database is unknown.
        """
        self._keeper.require(fingerprint)
        if self._keeper.is_renewing(fingerprint):
            return False
        now_s = self._clock.monotonic_s()
        is_heir = self._governor.inherit(fingerprint, bequest, per_second, now_s)
        if is_heir:
            self._keeper.inherit(fingerprint, bequest.claimant)
        return is_heir

    async def stopped(self) -> RunStoppedError | None:
        """Return the reason as soon as requests are forbidden; None after `WATCH_S`.

        So every worker learns of a ban within milliseconds, and uses no permit that it holds.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(WATCH_S):
                while (reason := self._governor.stopped_by(self._clock.monotonic_s())) is None:
                    self._refused.clear()
                    await self._refused.wait()
                return reason
        return None

    async def give_up_shares(self) -> None:
        """Release all tokens to the governors of other clusters: this cluster is about to end."""
        self._governor.give_up_shares()
        await self._keeper.settle()  # a renewal that was decided before takes the share again
        self._governor.give_up_shares()
        await self._keeper.write_down()

    async def renew_for_ever(self) -> None:
        """Renew the shares of tokens."""
        await self._keeper.renew_for_ever()

    async def close(self) -> None:
        """Close the ledgers; `renew_for_ever` must have ended."""
        await self._keeper.close()

    def publish_metrics(self) -> None:
        """Publish the refusals of this address, and their limit."""
        refused = self._governor.invalid_requests(self._clock.monotonic_s())
        self._sink.set(metrics.INVALID_REQUESTS, refused)
        self._sink.set(metrics.INVALID_REQUEST_LIMIT, self._governor.invalid_request_limit)

    async def until_idle(self) -> None:
        """Wait until there has been no request for `IDLE_END_S`."""
        rest_s = IDLE_END_S
        while rest_s > 0:
            await asyncio.sleep(rest_s)
            now_s = self._clock.monotonic_s()
            rest_s = IDLE_END_S - min(self._governor.idle_s(now_s), now_s - self._greeted_s)


def _ledger(database_url: str) -> ShareLedger:
    return TokenShares(open_engine(database_url, pool_size=2, application_name="raysync governor"))
