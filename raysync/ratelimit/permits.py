"""A worker's permits: leased from the governor, handed to coroutines, who came first before others.

A request may have a head start, as if it had come earlier: so that what has the most left to do is
not done last. It is bounded, so nobody waits for ever.
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
"""Timers wake a moment early, and nobody is to wait again for what rounding leaves of it."""

WEIGHT_PER_S: Final = 10.0
"""When workers share a token, what the root of a request's weight gains by a second's start."""

_Waiting = tuple[float, int, asyncio.Future[Permit], float]
"""Less is served first: when it came less its head start, the order of coming; who; its weight."""


class PermitPool:
    """Hands out permits: who came first, head starts counted, goes first.

    It asks for as many as there are coroutines waiting, and for the next while the last are
    still being handed out; never for more, since a permit that nobody uses is lost to all. With
    each lease the governor hears what became of earlier permits. Without the governor there are
    none, so nothing is asked of Discord.
    """

    def __init__(
        self,
        lease: AskForLease,
        clock: Clock,
        *,
        places: InFlightLimit | None = None,
        max_wait_s: float = MAX_WAIT_S,
    ) -> None:
        """*lease* asks the governor; what it raises, those who wait get.

        With *places*, no more requests are under way than there is room for.
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
        """How many permits came too late, or found nobody."""
        return self._leases.lapsed

    async def acquire(self, head_start_s: float = 0.0) -> Permit:
        """Wait for a permit; the request must go out at once: tell with `sent`, or `unused`.

        It is served as if it had come *head_start_s* ago, which counts for five seconds at most;
        less than nothing lets others go before.

        Raises:
            PermitUnavailableError: none in time.
            RunStoppedError: nothing may pass any more.
        """
        turn: asyncio.Future[Permit] = asyncio.get_running_loop().create_future()
        head_start_s = min(head_start_s, LONGEST_HEAD_START_S)
        came_s = self._clock.monotonic_s() - head_start_s
        # the last to end are to gain on the others
        weight = (1 + WEIGHT_PER_S * max(head_start_s, 0.0)) ** 2
        bisect.insort(self._waiting, (came_s, next(self._order), turn, weight))
        self._serve()
        try:
            async with asyncio.timeout(self._max_wait_s):
                return await turn
        except TimeoutError:
            self._give_back(turn)
            raise PermitUnavailableError(
                f"No permit within {self._max_wait_s:.0f} s, so nothing was asked of Discord; "
                f"the last {self._leases.lapses_in_a_row} came too late to be used."
            ) from None
        except asyncio.CancelledError:
            self._give_back(turn)
            raise

    def sent(self, permit: Permit) -> None:
        """Say that the request goes out now; `ended` is to follow."""
        self._leases.sent(permit, self._clock.monotonic_s())

    def ended(self, permit: Permit, *, lost: bool = False) -> None:
        """Say that its answer is there; *lost*: that none will come."""
        self._leases.answered(permit, self._clock.monotonic_s(), lost=lost)
        self._free_place()

    def unused(self, permit: Permit) -> None:
        """Say that its request will not be sent."""
        self._leases.unused(permit)
        self._free_place()

    def block(self, for_s: float) -> None:
        """Drop what is leased, and hand out nothing for so long: the token was refused."""
        self._stopped_by = None
        self._leases.block(for_s)

    def stop(self, error: RunStoppedError) -> None:
        """Fail who waits and who comes, for as long as anybody would wait; then ask again."""
        self.block(self._max_wait_s)
        self._stopped_by = error
        self._fail(error)

    async def close(self) -> None:
        """Fail who waits, and let go of the governor."""
        if self._serving is not None:
            self._serving.cancel()
            await asyncio.wait([self._serving])
        await self._leases.close()
        self._fail(PermitUnavailableError("The worker is closing."))

    def _give_back(self, turn: asyncio.Future[Permit]) -> None:
        """Let the next in line have what a leaving coroutine was given, or would have been."""
        waiting = [each for each in self._waiting if each[2] is not turn]
        if len(waiting) < len(self._waiting):
            self._waiting = waiting
        elif turn.done() and not turn.cancelled() and turn.exception() is None:
            self._leases.permits.appendleft(turn.result())
            self._free_place()
            self._serve()

    def _free_place(self) -> None:
        if self._places is not None:
            self._places.give_back()

    def _serve(self) -> None:
        if self._serving is None or self._serving.done():
            self._serving = asyncio.create_task(self._hand_out())
        else:
            self._leases.ask_for(*self._demand())

    def _demand(self) -> tuple[int, float]:
        """How many wait, and what they weigh together."""
        return len(self._waiting), sum(weight for *_, weight in self._waiting)

    async def _hand_out(self) -> None:
        while self._waiting:
            await self._step()
        self._leases.discard_lapsed()

    async def _step(self) -> None:
        """Hand out one permit, or get closer to it."""
        leases = self._leases
        leases.discard_lapsed()
        now_s = self._clock.monotonic_s()
        if now_s < leases.blocked_until_s:
            await self._sit_out(leases.blocked_until_s - now_s)
        elif not leases.permits:
            await leases.refill(*self._demand())
        elif leases.permits[0].opens_s - now_s > _INSTANT_S:
            leases.ask_for(*self._demand())
            await asyncio.sleep(leases.permits[0].opens_s - now_s)
        elif self._places is not None and not self._places.take():
            await self._places.free()
        else:
            self._hand_over()

    async def _sit_out(self, pause_s: float) -> None:
        if self._stopped_by is not None:
            self._fail(self._stopped_by)
        else:
            await asyncio.sleep(pause_s)

    def _hand_over(self) -> None:
        turn = self._waiting.pop(0)[2]
        if turn.done():  # one that is being cancelled has not left the line yet
            self._free_place()
        else:
            turn.set_result(self._leases.permits.popleft())
            self._leases.lapses_in_a_row = 0

    def _fail(self, error: RaysyncError) -> None:
        while self._waiting:
            turn = self._waiting.pop(0)[2]
            if not turn.done():
                turn.set_exception(type(error)(*error.args))
