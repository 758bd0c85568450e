"""Permits for the requests of a run's driver, before Ray is there and after."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

from raysync.clock import Clock
from raysync.errors import RunStoppedError
from raysync.models.permits import Bequest, Demand, Lease, Sharer
from raysync.ratelimit.limiter import Report
from raysync.ratelimit.shares import ShareLedger
from raysync.worker.channel_worker import Watch
from raysync.worker.secrets import JobSecrets
from raysync.worker.token_sharing import TokenSharing
from raysync.worker.unmeasured import NoMetrics

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

DRIVER: Final = "driver"
"""Id of a run's driver among its workers, which share permits."""
RELEASE_S: Final = 2.0
"""Timeout for the release of tokens to other governors."""
REPORT_S: Final = 10.0
"""Timeout for each refusal that is reported to the governor that takes over."""
HAND_OVER_RETRY_S: Final = 1.0
"""Seconds between attempts to reach the governor that takes over."""


class PermitSource(Protocol):
    """A governor, as clients in this process use it."""

    def lease_for(self, secrets: JobSecrets) -> Callable[[Demand], Awaitable[Lease]]:
        """Return the function that leases permits of the job's token."""
        ...

    def observe_for(self, fingerprint: str) -> Report:
        """Return the function that reports refusals of a token."""
        ...

    def watch(self) -> Watch:
        """Return the function that waits until requests are forbidden."""
        ...


class Successor(PermitSource, Protocol):
    """A governor that takes over from the one in this process."""

    async def inherit(self, secrets: JobSecrets, bequest: Bequest) -> bool:
        """Continue with a token. Return whether it does; any error: it may, or may not."""
        ...


@dataclass(frozen=True, slots=True)
class _Refusal:
    """A refusal, as it was reported."""

    fingerprint: str
    status: int
    scope: str | None
    retry_after_s: float | None


class OwnGovernor:
    """Governor in this process, which divides tokens with others by the database."""

    def __init__(
        self, sharer: Sharer, clock: Clock, open_ledger: Callable[[str], ShareLedger] | None = None
    ) -> None:
        """Lease permits as *sharer*. Requires a running event loop."""
        self._sharer = sharer
        # no earlier governor did this work, because the process is new
        self._tokens = TokenSharing(clock, NoMetrics(), open_ledger, is_first=True)
        self._renewing = asyncio.create_task(self._tokens.renew_for_ever())
        self._refusals: list[_Refusal] = []
        self._secrets: dict[str, JobSecrets] = {}  # by token

    def lease_for(self, secrets: JobSecrets) -> Callable[[Demand], Awaitable[Lease]]:
        """See `PermitSource`; the share of the token is claimed now."""
        token, per_second = secrets.token_fingerprint, secrets.requests_per_second
        self._secrets[token] = secrets
        self._tokens.stop_at(secrets.invalid_request_limit)
        self._tokens.connect(token, secrets.database_url.get_secret_value())
        self._tokens.expect(token, per_second)

        async def lease(demand: Demand) -> Lease:
            return self._tokens.lease(token, self._sharer, demand, per_second)

        return lease

    def observe_for(self, fingerprint: str) -> Report:
        """See `PermitSource`; refusals are kept for the governor that takes over."""

        async def observe(status: int, scope: str | None, retry_after_s: float | None) -> None:
            self._tokens.observe(fingerprint, status, scope, retry_after_s)
            self._refusals.append(_Refusal(fingerprint, status, scope, retry_after_s))

        return observe

    def watch(self) -> Watch:
        """See `PermitSource`."""
        return self._tokens.stopped

    async def leave_to(self, successor: Successor) -> None:
        """Leave all tokens to *successor*, which need not wait for the last permits then.

        A token that it refuses is released by `close`. If it does not answer, it may have the token
        or not, so the claim is left to expire. Nothing may be leased meanwhile.
        """
        for token, secrets in self._secrets.items():
            bequest = await self._tokens.bequeath(token)
            if bequest is None:
                continue
            try:
                async with asyncio.timeout(REPORT_S):
                    is_left = await successor.inherit(secrets, bequest)
            except Exception as error:  # noqa: BLE001 whatever a call to another process raises
                _log.warning(
                    "the governor may not have taken over a token: %s",
                    type(error).__name__,
                    extra={"event": "hand_over_failed"},
                )
            else:
                if not is_left:
                    self._tokens.regain(token)

    async def pass_on(self, successor: PermitSource) -> None:
        """Report all refusals to *successor*, which counts them as if they came now.

        Raises:
            TimeoutError: *successor* does not answer; it may have counted the refusal.
        """
        while self._refusals:
            refusal = self._refusals[0]
            observe = successor.observe_for(refusal.fingerprint)
            async with asyncio.timeout(REPORT_S):
                await observe(refusal.status, refusal.scope, refusal.retry_after_s)
            del self._refusals[0]

    async def close(self) -> None:
        """Release all tokens to other governors, and close the connections."""
        with suppress(TimeoutError):  # without a database, the shares expire by themselves
            async with asyncio.timeout(RELEASE_S):
                await self._tokens.give_up_shares()
        self._renewing.cancel()
        await asyncio.wait([self._renewing])
        await self._tokens.close()


class DriverGovernor:
    """Governor of the driver's requests: one in this process, until a shared one takes over.

    The other continues this one's claims and permits where they stand. A token for which that is
    impossible is divided by its shares in the database, as between the governors of two clusters.
    So the token's limit holds at any moment of the hand-over: this governor grants nothing any more
    before it releases its share, and the other may use that share only once the last permit of
    this one is out of the way.
    """

    def __init__(
        self, sharer: Sharer, clock: Clock, open_ledger: Callable[[str], ShareLedger] | None = None
    ) -> None:
        self._sharer = sharer
        self._clock = clock
        self._open_ledger = open_ledger
        self._own: OwnGovernor | None = None  # from the first use until the hand-over
        self._retired: OwnGovernor | None = None  # from the hand-over until it is closed
        self._shared: PermitSource | None = None
        self._is_handed_over = asyncio.Event()
        self._may_lease = asyncio.Event()  # not while tokens change hands
        self._may_lease.set()

    def _present(self) -> PermitSource:
        if self._shared is not None:
            return self._shared
        if self._own is None:
            self._own = OwnGovernor(self._sharer, self._clock, self._open_ledger)
        return self._own

    def lease_for(self, secrets: JobSecrets) -> Callable[[Demand], Awaitable[Lease]]:
        """Return the function that leases permits from the governor of the moment."""
        source = self._present()
        lease_from = source.lease_for(secrets)

        async def lease(demand: Demand) -> Lease:
            nonlocal source, lease_from
            await self._may_lease.wait()
            if (present := self._present()) is not source:
                source, lease_from = present, present.lease_for(secrets)
            return await lease_from(demand)

        return lease

    def observe_for(self, fingerprint: str) -> Report:
        """Return the function that reports refusals to the governor of the moment."""

        async def observe(status: int, scope: str | None, retry_after_s: float | None) -> None:
            await self._present().observe_for(fingerprint)(status, scope, retry_after_s)

        return observe

    def watch(self) -> Watch:
        """Return the function that waits until requests are forbidden."""

        async def stopped() -> RunStoppedError | None:
            if self._is_handed_over.is_set():
                return await self._present().watch()()
            return await _unless(self._is_handed_over, self._present().watch()())

        return stopped

    async def hand_over(self, shared: Successor) -> None:
        """Lease from *shared* from now on. It learns first what this governor knows of refusals.

        If *shared* does not answer, retry for ever, and meanwhile go on as before.
        """
        own = self._own
        if own is not None:
            await self._pass_on(own, shared)  # it answers from here on
            self._may_lease.clear()  # for good if this is cancelled: either may have the tokens
            await own.leave_to(shared)
            await self._pass_on(own, shared)
        # nothing is awaited in between, so that no refusal is forgotten
        self._shared, self._own, self._retired = shared, None, own
        self._is_handed_over.set()
        self._may_lease.set()
        if own is not None:
            await own.close()
            self._retired = None

    async def _pass_on(self, own: OwnGovernor, shared: Successor) -> None:
        while True:
            try:
                await own.pass_on(shared)
            except Exception as error:  # noqa: BLE001 whatever a call to another process raises
                _log.warning(
                    "the governor did not take over yet: %s",
                    type(error).__name__,
                    extra={"event": "hand_over_failed"},
                )
                await asyncio.sleep(HAND_OVER_RETRY_S)
            else:
                return

    async def close(self) -> None:
        """Release the tokens that the governor in this process has."""
        own, self._own = self._own or self._retired, None
        if own is not None:
            await own.close()
            self._retired = None


async def _unless(event: asyncio.Event, wait: Awaitable[_T]) -> _T | None:
    """Return the result of *wait*; None if *event* is set first."""
    waiting, ended = asyncio.ensure_future(wait), asyncio.ensure_future(event.wait())
    try:
        await asyncio.wait({waiting, ended}, return_when=asyncio.FIRST_COMPLETED)
        return waiting.result() if waiting.done() else None
    finally:
        waiting.cancel()
        ended.cancel()
