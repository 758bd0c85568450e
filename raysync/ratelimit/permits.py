"""A worker's permits: leased from the governor, handed to coroutines in the order they came.

A request may have a head start, as if it had come earlier, so that the channels with the most left
are not read last. Head starts are bounded, so no request waits for ever.
"""

from __future__ import annotations

import asyncio
import bisect
import itertools
from typing import Final

from raysync.clock import Clock
from raysync.errors import PermitUnavailableError, RaysyncError, RunStoppedError
from raysync.ratelimit.in_flight_limit import InFlightLimit
from raysync.ratelimit.leases import AskForLease, Leases
from raysync.ratelimit.permit import Permit

MAX_WAIT_S: Final = 60.0
LONGEST_HEAD_START_S: Final = 5.0
_INSTANT_S: Final = 1e-6
"""Rounding error in seconds: timers wake a moment early, and nothing waits again for so little."""

WEIGHT_PER_S: Final = 10.0
"""Gain of the root of a request's weight for each second of its head start.

The weights count where workers share a token."""

_Waiting = tuple[float, int, asyncio.Future[Permit], float]
"""Arrival less head start, order of arrival, future, weight; the least is served first."""


class PermitPool:
    """Hands out permits, first come, first served, with head starts counted.

    It asks for as many permits as coroutines wait, and for the next ones while the last are still
    being handed out. It never asks for more, since an unused permit is lost to all workers. Each
    request for a lease reports the use of earlier permits. Without the governor there are no
    permits, so nothing is sent to Discord.
    """

    def __init__(
        self,
        lease: AskForLease,
        clock: Clock,
        *,
        places: InFlightLimit | None = None,
        max_wait_s: float = MAX_WAIT_S,
    ) -> None:
        """Lease permits by *lease*, which calls the governor; waiting coroutines get its errors.

        *places* limits the requests in flight.
        """
        self._clock = clock
        self._places = places
        self._max_wait_s = max_wait_s
        self._leases = Leases(lease, clock, self._fail)
        self._waiting: list[_Waiting] = []
        self._order = itertools.count()
        self._serving: asyncio.Task[None] | None = None
        self._stopped_by: RunStoppedError | None = None

    @property
    def lapsed(self) -> int:
        """The number of permits that came too late, or when no request waited."""
        return self._leases.lapsed

    async def acquire(self, head_start_s: float = 0.0) -> Permit:
        """Wait for a permit. The request must be sent at once; report `sent`, or `unused`.

        The request is served as if it had come *head_start_s* ago, five seconds at most. A negative
        head start lets other requests go first.

        Raises:
            PermitUnavailableError: there was no permit in time.
            RunStoppedError: no request may be sent any more.
        """
        future: asyncio.Future[Permit] = asyncio.get_running_loop().create_future()
        head_start_s = min(head_start_s, LONGEST_HEAD_START_S)
        came_s = self._clock.monotonic_s() - head_start_s
        # the channels that end last are to gain on the others
        weight = (1 + WEIGHT_PER_S * max(head_start_s, 0.0)) ** 2
        bisect.insort(self._waiting, (came_s, next(self._order), future, weight))
        self._serve()
        try:
            async with asyncio.timeout(self._max_wait_s):
                return await future
        except TimeoutError:
            self._give_back(future)
            late = self._leases.lapses_in_a_row
            raise PermitUnavailableError(
                f"No permit within {self._max_wait_s:.0f} s, so no request was sent to Discord."
                + (f" Permits that came too late, in a row: {late}." if late else "")
            ) from None
        except asyncio.CancelledError:
            self._give_back(future)
            raise

    def sent(self, permit: Permit) -> None:
        """Record that the request is being sent; `ended` must follow."""
        self._leases.sent(permit, self._clock.monotonic_s())

    def ended(self, permit: Permit, *, lost: bool = False) -> None:
        """Record that the answer is there; *lost*: that none will come."""
        self._leases.answered(permit, self._clock.monotonic_s(), lost=lost)
        self._release_place()

    def unused(self, permit: Permit) -> None:
        """Record that the request will not be sent."""
        self._leases.unused(permit)
        self._release_place()

    def block(self, for_s: float) -> None:
        """Drop all leased permits, and hand out none for *for_s* seconds: the token was refused."""
        self._stopped_by = None
        self._leases.block(for_s)

    def stop(self, error: RunStoppedError) -> None:
        """Fail waiting and new requests for the longest wait of a request; then ask again."""
        self.block(self._max_wait_s)
        self._stopped_by = error
        self._fail(error)

    async def close(self) -> None:
        """Fail waiting requests, and stop asking the governor."""
        if self._serving is not None:
            self._serving.cancel()
            await asyncio.wait([self._serving])
        await self._leases.close()
        self._fail(PermitUnavailableError("The worker is closing."))

    def _give_back(self, future: asyncio.Future[Permit]) -> None:
        """Pass the permit of a cancelled coroutine on to the next one."""
        waiting = [entry for entry in self._waiting if entry[2] is not future]
        if len(waiting) < len(self._waiting):
            self._waiting = waiting
        elif future.done() and not future.cancelled() and future.exception() is None:
            self._leases.permits.appendleft(future.result())
            self._release_place()
            self._serve()

    def _release_place(self) -> None:
        if self._places is not None:
            self._places.release()

    def _serve(self) -> None:
        if self._serving is None or self._serving.done():
            self._serving = asyncio.create_task(self._hand_out())
        else:
            self._leases.ask_for(*self._demand())

    def _demand(self) -> tuple[int, float]:
        """Return the number of waiting requests, and the sum of their weights."""
        return len(self._waiting), sum(weight for *_, weight in self._waiting)

    async def _hand_out(self) -> None:
        while self._waiting:
            await self._step()
        self._leases.discard_lapsed()

    async def _step(self) -> None:
        """Hand out one permit, or wait for the next event that allows it."""
        leases = self._leases
        leases.discard_lapsed()
        now_s = self._clock.monotonic_s()
        if now_s < leases.blocked_until_s:
            await self._wait_blocked(leases.blocked_until_s - now_s)
        elif not leases.permits:
            await leases.refill(*self._demand())
        elif leases.permits[0].opens_s - now_s > _INSTANT_S:
            leases.ask_for(*self._demand())
            await asyncio.sleep(leases.permits[0].opens_s - now_s)
        elif self._places is not None and not self._places.take():
            await self._places.free()
        else:
            self._hand_over()

    async def _wait_blocked(self, pause_s: float) -> None:
        if self._stopped_by is not None:
            self._fail(self._stopped_by)
        else:
            await asyncio.sleep(pause_s)

    def _hand_over(self) -> None:
        future = self._waiting.pop(0)[2]
        if future.done():  # a coroutine that is being cancelled is still in the queue
            self._release_place()
        else:
            future.set_result(self._leases.permits.popleft())
            self._leases.lapses_in_a_row = 0

    def _fail(self, error: RaysyncError) -> None:
        while self._waiting:
            future = self._waiting.pop(0)[2]
            if not future.done():
                future.set_exception(type(error)(*error.args))
