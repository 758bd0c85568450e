"""A worker's dealings with the governor: permits in, word of their use out."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

from raysync.clock import Clock
from raysync.errors import PermitUnavailableError, RaysyncError
from raysync.models.permits import Demand, Lease, Use
from raysync.ratelimit.arrivals import Arrivals
from raysync.ratelimit.permit import Permit

LARGEST_LEASE: Final = 8
_DRIFT: Final = 5e-4
"""By how much two machines' monotonic clocks may run apart, in seconds per second."""
_LEAST_PAUSE_S: Final = 0.001
_TELL_WITHIN_S: Final = 0.2
"""The governor must know of a request before a second has passed."""

AskForLease = Callable[[Demand], Awaitable[Lease]]


class ClockBounds:
    """How far the governor's clock is ahead of ours: between *least_s* and *most_s*.

    The governor read its clock after we asked and before we had the answer. Each exchange
    narrows the bounds, so one slow answer among quick ones makes no permit late.
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


class Leases:
    """Holds what the governor has granted and nobody has used yet, in the order of its start."""

    def __init__(
        self, lease: AskForLease, clock: Clock, on_failure: Callable[[RaysyncError], None]
    ) -> None:
        """*on_failure* hears why the governor grants nothing."""
        self.permits: deque[Permit] = deque()
        self.blocked_until_s = -math.inf
        self.lapsed = 0  #: permits that came too late or found nobody
        self.lapses_in_a_row = 0
        self._lease = lease
        self._clock = clock
        self._on_failure = on_failure
        self._bounds = ClockBounds()
        self._asking: asyncio.Task[None] | None = None
        self._ask_at_s = -math.inf
        self._arrivals = Arrivals()
        self._untold_s: dict[float, float | None] = {}  # see Use: from its start to its arrival
        self._telling: asyncio.TimerHandle | None = None

    def block(self, for_s: float) -> None:
        """Drop what is held, and take nothing for so long."""
        self.blocked_until_s = max(self.blocked_until_s, self._clock.monotonic_s() + for_s)
        self._drop_all()

    def sent(self, permit: Permit, at_s: float) -> None:
        """Its request goes out, on our clock: the governor is told soon."""
        self._arrivals.sent(permit, at_s)
        self._note(permit, at_s)

    def answered(self, permit: Permit, at_s: float, *, lost: bool) -> None:
        """Its request has ended; the governor is told soon if it may have arrived late."""
        if lost:
            self._arrivals.lost(permit, at_s)
        else:
            self._arrivals.answered(permit, at_s)
        self._tell_soon()

    def unused(self, permit: Permit) -> None:
        """Its request will not be sent: others may have the room."""
        self._note(permit, None)

    def _note(self, permit: Permit, arrived_s: float | None) -> None:
        told_s = None if arrived_s is None else arrived_s + self._bounds.most_s
        self._untold_s[permit.start_s] = told_s
        self._tell_soon()

    def _tell_soon(self) -> None:
        if self._telling is None:
            loop = asyncio.get_running_loop()
            self._telling = loop.call_later(_TELL_WITHIN_S, self._tell)

    def ask_for(self, waiting: int, weight: float) -> None:
        """Have permits for so many on their way, unless they are already, or it is too early.

        *weight* is what speaks for this worker: see `Demand`.
        """
        due = self._clock.monotonic_s() >= self._ask_at_s
        missing = self._missing(waiting)
        if missing and due and self._asking is None:
            self._asking = asyncio.create_task(self._ask(missing, weight))

    async def refill(self, waiting: int, weight: float) -> None:
        """Wait for the answer to a question, or until one may be asked."""
        self.ask_for(waiting, weight)
        if self._asking is not None:
            await asyncio.wait([self._asking])
        else:
            pause_s = self._ask_at_s - self._clock.monotonic_s()
            await asyncio.sleep(max(pause_s, _LEAST_PAUSE_S))

    def discard_lapsed(self) -> None:
        """Let go of permits whose time is over."""
        now_s = self._clock.monotonic_s()
        while self.permits and self.permits[0].closes_s <= now_s:
            self._let_lapse()
            self.lapses_in_a_row += 1

    async def close(self) -> None:
        """Ask and tell no more: what is not told counts as used at its latest."""
        if self._telling is not None:
            self._telling.cancel()
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait([self._asking])

    def _missing(self, waiting: int) -> int:
        missing = waiting - len(self.permits)
        if missing <= 0 or self._clock.monotonic_s() < self.blocked_until_s:
            return 0
        return min(missing + self.lapses_in_a_row, LARGEST_LEASE)

    async def _ask(self, want: int, weight: float = 1.0) -> None:
        try:
            await self._take_lease(want, weight)
        except RaysyncError as error:
            self._on_failure(error)
        except Exception as error:  # noqa: BLE001 whatever an actor call raises: fail closed
            reason = f"The governor failed: {type(error).__name__}."
            self._on_failure(PermitUnavailableError(reason))
        finally:
            self._asking = None

    async def _take_lease(self, want: int, weight: float) -> None:
        asked_s = self._clock.monotonic_s()
        demand, self._untold_s = Demand(want, self._uses(asked_s), weight), {}
        lease = await self._lease(demand)
        now_s = self._clock.monotonic_s()
        self._bounds.note(asked_s, lease.granted_at_s, now_s)
        self.permits.extend(self._bounds.permits(lease))
        if now_s < self.blocked_until_s:
            self._drop_all()
        if want and not lease.starts:
            self._ask_at_s = now_s + max(lease.ask_again_s, _LEAST_PAUSE_S)

    def _uses(self, now_s: float) -> tuple[Use, ...]:
        """What the governor has not been told yet, or differently."""
        for permit, arrived_s in self._arrivals.news(now_s).items():
            self._untold_s[permit.start_s] = arrived_s + self._bounds.most_s
        return tuple(Use(start_s, arrived_s) for start_s, arrived_s in self._untold_s.items())

    def _tell(self) -> None:
        """Let the governor know, though nobody waits for a permit."""
        self._telling = None
        if self._asking is None and self._uses(self._clock.monotonic_s()):
            self._asking = asyncio.create_task(self._ask(0))
        if self._arrivals:
            self._tell_soon()

    def _drop_all(self) -> None:
        while self.permits:
            self._let_lapse()

    def _let_lapse(self) -> None:
        self.unused(self.permits.popleft())
        self.lapsed += 1
