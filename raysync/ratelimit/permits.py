"""A worker's permits: leased from the governor, handed to coroutines in the order they came."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from raysync.clock import Clock
from raysync.errors import PermitUnavailableError, RaysyncError, RunStoppedError
from raysync.ratelimit.budget import Demand, Lease, Use

MAX_WAIT_S: Final = 60.0
LARGEST_LEASE: Final = 8
_DRIFT: Final = 5e-4
"""By how much two machines' monotonic clocks may run apart, in seconds per second."""
_LEAST_PAUSE_S: Final = 0.001
_TELL_WITHIN_S: Final = 0.2
"""The governor must know of a request before a second has passed."""


@dataclass(frozen=True, slots=True)
class Permit:
    """Leave for one request."""

    start_s: float  #: on the governor's clock: its name there
    opens_s: float  #: on ours, as what follows
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
            Permit(start_s, start_s - self.least_s, start_s + lease.valid_for_s - self.most_s)
            for start_s in starts_s
        ]


class PermitPool:
    """Hands out permits first come, first served.

    It asks for as many as there are coroutines waiting, and for the next while the last are
    still being handed out; never for more, since a permit that nobody uses is lost to all.
    With each lease it tells the governor what became of earlier permits. Without the governor
    there are no permits, so nothing is asked of Discord.
    """

    def __init__(
        self,
        lease: Callable[[Demand], Awaitable[Lease]],
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
        self._waiting: deque[asyncio.Future[Permit]] = deque()
        self._permits: deque[Permit] = deque()
        self._serving: asyncio.Task[None] | None = None
        self._leasing: asyncio.Task[None] | None = None
        self._ask_at_s = -math.inf
        self._blocked_until_s = -math.inf
        self._stopped_by: RunStoppedError | None = None
        self._lapses_in_a_row = 0
        self._uses: list[Use] = []
        self._telling: asyncio.TimerHandle | None = None
        self.lapsed = 0  #: permits that came too late or found nobody

    async def acquire(self) -> Permit:
        """Wait for a permit; the request must be sent at once, and `settle` be called.

        Raises:
            PermitUnavailableError: none in time.
            RunStoppedError: nothing may pass any more.
        """
        turn: asyncio.Future[Permit] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        self._serve()
        try:
            async with asyncio.timeout(self._max_wait_s):
                return await turn
        except TimeoutError:
            self._give_back(turn)
            raise PermitUnavailableError(
                f"No permit within {self._max_wait_s:.0f} s, so nothing was asked of Discord; "
                f"the last {self._lapses_in_a_row} came too late to be used."
            ) from None
        except asyncio.CancelledError:
            self._give_back(turn)
            raise

    def settle(self, permit: Permit, sent_s: float | None) -> None:
        """Say when the request was sent, on our clock; None says that it will not be."""
        told_s = None if sent_s is None else sent_s + self._bounds.most_s
        self._uses.append(Use(permit.start_s, told_s))
        if self._telling is None:
            loop = asyncio.get_running_loop()
            self._telling = loop.call_later(_TELL_WITHIN_S, self._tell)

    def block(self, for_s: float) -> None:
        """Drop what is leased, and hand out nothing for so long: the token was refused."""
        self._blocked_until_s = max(self._blocked_until_s, self._clock.monotonic_s() + for_s)
        self._drop_all()

    def stop(self, error: RunStoppedError) -> None:
        """Fail who waits and who comes, for as long as anybody would wait; then ask again."""
        self._stopped_by = error
        self.block(self._max_wait_s)
        self._fail(error)

    async def close(self) -> None:
        """Fail who waits, and let go of the governor."""
        if self._telling is not None:
            self._telling.cancel()
        ending = [each for each in (self._serving, self._leasing) if each is not None]
        for each in ending:
            each.cancel()
        await asyncio.gather(*ending, return_exceptions=True)
        self._fail(PermitUnavailableError("The worker is closing."))

    def _give_back(self, turn: asyncio.Future[Permit]) -> None:
        """Let the next in line have what a leaving coroutine was given, or would have been."""
        if turn in self._waiting:
            self._waiting.remove(turn)
        elif turn.done() and not turn.cancelled() and turn.exception() is None:
            self._permits.appendleft(turn.result())
            self._serve()

    def _serve(self) -> None:
        if self._serving is None or self._serving.done():
            self._serving = asyncio.create_task(self._hand_out())
        elif self._permits:
            self._ask_ahead()

    async def _hand_out(self) -> None:
        while self._waiting:
            await self._step()

    async def _step(self) -> None:
        """Hand out one permit, or get closer to it."""
        now_s = self._clock.monotonic_s()
        self._discard_lapsed(now_s)
        if now_s < self._blocked_until_s:
            await self._sit_out()
        elif not self._permits:
            await self._refill(now_s)
        elif self._permits[0].opens_s > now_s:
            self._ask_ahead()
            await asyncio.sleep(self._permits[0].opens_s - now_s)
        else:
            self._hand_over()

    def _hand_over(self) -> None:
        turn = self._waiting.popleft()
        if not turn.done():  # one that is being cancelled has not left the line yet
            turn.set_result(self._permits.popleft())
            self._lapses_in_a_row = 0

    async def _sit_out(self) -> None:
        if self._stopped_by is not None:
            self._fail(self._stopped_by)
            return
        await asyncio.sleep(self._blocked_until_s - self._clock.monotonic_s())

    def _discard_lapsed(self, now_s: float) -> None:
        while self._permits and self._permits[0].closes_s <= now_s:
            self._let_lapse()
            self._lapses_in_a_row += 1

    def _drop_all(self) -> None:
        while self._permits:
            self._let_lapse()

    def _let_lapse(self) -> None:
        self.settle(self._permits.popleft(), None)
        self.lapsed += 1

    async def _refill(self, now_s: float) -> None:
        if self._leasing is None and now_s < self._ask_at_s:
            await asyncio.sleep(self._ask_at_s - now_s)
            return
        await asyncio.wait([self._leasing or self._start_asking()])

    def _ask_ahead(self) -> None:
        """Have the next lease under way while this one's permits open."""
        due = self._clock.monotonic_s() >= max(self._ask_at_s, self._blocked_until_s)
        if self._leasing is None and due and len(self._permits) < len(self._waiting):
            self._start_asking()

    def _start_asking(self) -> asyncio.Task[None]:
        self._leasing = asyncio.create_task(self._ask())
        return self._leasing

    async def _ask(self) -> None:
        try:
            await self._take_lease(self._missing())
        except RaysyncError as error:
            self._fail(error)
        except Exception as error:  # noqa: BLE001 whatever an actor call raises: fail closed
            self._fail(PermitUnavailableError(f"The governor failed: {type(error).__name__}."))
        finally:
            self._leasing = None

    def _missing(self) -> int:
        """How many permits to ask for."""
        missing = len(self._waiting) - len(self._permits)
        if missing <= 0 or self._clock.monotonic_s() < self._blocked_until_s:
            return 0
        return min(missing + self._lapses_in_a_row, self._largest_lease)

    async def _take_lease(self, want: int) -> None:
        demand, self._uses = Demand(want, tuple(self._uses)), []
        asked_s = self._clock.monotonic_s()
        lease = await self._lease(demand)
        now_s = self._clock.monotonic_s()
        self._bounds.note(asked_s, lease.granted_at_s, now_s)
        self._permits.extend(self._bounds.permits(lease))
        if now_s < self._blocked_until_s:
            self._drop_all()
        else:
            self._stopped_by = None
        if want and not lease.starts:
            self._ask_at_s = now_s + max(lease.ask_again_s, _LEAST_PAUSE_S)

    def _tell(self) -> None:
        """Let the governor know, though nobody waits for a permit."""
        self._telling = None
        if self._uses and self._leasing is None:
            self._start_asking()

    def _fail(self, error: RaysyncError) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_exception(type(error)(*error.args))
