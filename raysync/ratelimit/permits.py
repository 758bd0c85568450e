"""A worker's permits: leased from the governor, handed to coroutines in the order they came."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from raysync.clock import Clock
from raysync.errors import PermitUnavailableError, RaysyncError
from raysync.ratelimit.budget import Lease

MAX_WAIT_S: Final = 60.0
LARGEST_LEASE: Final = 8
_DRIFT: Final = 5e-4
"""By how much two machines' monotonic clocks may run apart, in seconds per second."""
_LEAST_PAUSE_S: Final = 0.001


@dataclass(frozen=True, slots=True)
class Permit:
    """Leave for one request, on this worker's clock."""

    opens_s: float
    closes_s: float


class ClockBounds:
    """How far the governor's clock is ahead of ours: between *least_s* and *most_s*.

    The governor read its clock after we asked and before we had the answer. Each exchange
    narrows the bounds, so one slow answer among quick ones makes no permit lapse.
    """

    def __init__(self) -> None:
        self.least_s, self.most_s = -math.inf, math.inf
        self._at_s = -math.inf

    def note(self, asked_s: float, read_s: float, answered_s: float) -> None:
        """Take in one exchange: *read_s* on the governor's clock, the others on ours."""
        drift_s = _DRIFT * (answered_s - self._at_s) if math.isfinite(self._at_s) else 0.0
        least_s, most_s = read_s - answered_s, read_s - asked_s
        self.least_s = max(self.least_s - drift_s, least_s)
        self.most_s = min(self.most_s + drift_s, most_s)
        if self.least_s > self.most_s:  # another governor, on another machine
            self.least_s, self.most_s = least_s, most_s
        self._at_s = answered_s

    def permits(self, lease: Lease) -> list[Permit]:
        """The permits of *lease*, each no longer than it is surely good."""
        starts_s = [lease.granted_at_s + offset_s for offset_s in lease.starts]
        return [
            Permit(start_s - self.least_s, start_s + lease.valid_for_s - self.most_s)
            for start_s in starts_s
        ]


class PermitPool:
    """Hands out permits first come, first served.

    It asks for as many as there are coroutines waiting, and for the next while the last are
    still being handed out; never for more, since a permit that nobody uses is lost to all.
    Without the governor there are no permits, so nothing is asked of Discord.
    """

    def __init__(
        self,
        lease: Callable[[int], Awaitable[Lease]],
        clock: Clock,
        *,
        max_wait_s: float = MAX_WAIT_S,
        largest_lease: int = LARGEST_LEASE,
    ) -> None:
        self._lease = lease
        self._clock = clock
        self._max_wait_s = max_wait_s
        self._largest_lease = largest_lease
        self._bounds = ClockBounds()
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._permits: deque[Permit] = deque()
        self._serving: asyncio.Task[None] | None = None
        self._leasing: asyncio.Task[Lease] | None = None
        self._lapses_in_a_row = 0
        self._closed_until_s = -math.inf
        self.lapsed = 0  #: permits that came too late or found nobody

    async def acquire(self) -> None:
        """Wait for a permit; the request must be sent at once.

        Raises:
            PermitUnavailableError: none in time.
            RunStoppedError: the governor lets nothing pass any more.
        """
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        self._serve()
        try:
            async with asyncio.timeout(self._max_wait_s):
                await turn
        except TimeoutError:
            raise PermitUnavailableError(
                f"No permit within {self._max_wait_s:.0f} s, so nothing was asked of Discord."
            ) from None
        finally:
            if not turn.done() or turn.cancelled():
                self._withdraw(turn)

    def block(self, for_s: float) -> None:
        """Drop what is leased, and hand out nothing for so long: the token was refused."""
        self._closed_until_s = max(self._closed_until_s, self._clock.monotonic_s() + for_s)
        self.lapsed += len(self._permits)
        self._permits.clear()

    async def close(self) -> None:
        """Fail who waits, and let go of the governor."""
        ending = [each for each in (self._serving, self._leasing) if each is not None]
        for each in ending:
            each.cancel()
        await asyncio.gather(*ending, return_exceptions=True)
        self._fail(PermitUnavailableError("The worker is closing."))

    def _withdraw(self, turn: asyncio.Future[None]) -> None:
        if turn in self._waiting:
            self._waiting.remove(turn)

    def _serve(self) -> None:
        if self._serving is None or self._serving.done():
            self._serving = asyncio.create_task(self._hand_out())

    async def _hand_out(self) -> None:
        try:
            while self._waiting:
                await self._step()
        except RaysyncError as error:
            self._fail(error)
        except Exception as error:  # noqa: BLE001 whatever the actor call raises: fail closed
            self._fail(PermitUnavailableError(f"The governor failed: {type(error).__name__}."))

    async def _step(self) -> None:
        """Hand out one permit, or get closer to it."""
        now_s = self._clock.monotonic_s()
        self._discard_lapsed(now_s)
        if now_s < self._closed_until_s:
            await asyncio.sleep(self._closed_until_s - now_s)
        elif not self._permits:
            await self._take_lease()
        elif self._permits[0].opens_s > now_s:
            self._ask_ahead()
            await asyncio.sleep(self._permits[0].opens_s - now_s)
        else:
            self._permits.popleft()
            self._lapses_in_a_row = 0
            self._waiting.popleft().set_result(None)

    def _discard_lapsed(self, now_s: float) -> None:
        while self._permits and self._permits[0].closes_s <= now_s:
            self._permits.popleft()
            self.lapsed += 1
            self._lapses_in_a_row += 1

    def _ask_ahead(self) -> None:
        """Have the next lease under way while this one's permits open."""
        if self._leasing is None and len(self._permits) < len(self._waiting):
            self._leasing = asyncio.create_task(self._ask())

    async def _take_lease(self) -> None:
        if self._leasing is None:
            self._leasing = asyncio.create_task(self._ask())
        try:
            lease = await asyncio.shield(self._leasing)
        finally:
            if self._leasing.done():
                self._leasing = None
        if not lease.starts:
            await asyncio.sleep(max(lease.ask_again_s, _LEAST_PAUSE_S))

    async def _ask(self) -> Lease:
        missing = len(self._waiting) - len(self._permits) + self._lapses_in_a_row
        asked_s = self._clock.monotonic_s()
        lease = await self._lease(min(max(missing, 1), self._largest_lease))
        answered_s = self._clock.monotonic_s()
        self._bounds.note(asked_s, lease.granted_at_s, answered_s)
        if asked_s >= self._closed_until_s:
            self._permits.extend(self._bounds.permits(lease))
        return lease

    def _fail(self, error: RaysyncError) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_exception(error)
