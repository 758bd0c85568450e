"""A worker's exchange with the governor: permits come in, reports of their use go out."""

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
"""Maximum drift between two machines' monotonic clocks, in seconds per second."""
_LEAST_PAUSE_S: Final = 0.001
_REPORT_WITHIN_S: Final = 0.2
"""Seconds until a use is reported: the governor must know of it within a second."""

AskForLease = Callable[[Demand], Awaitable[Lease]]
"""A call of the governor for one token."""


class ClockBounds:
    """Bounds of the governor's clock minus ours: between *least_s* and *most_s*.

    The governor read its clock after our request and before its answer came. Each exchange
    narrows the bounds, so one slow answer among quick ones makes no permit late.
    """

    def __init__(self) -> None:
        self.least_s, self.most_s = -math.inf, math.inf
        self._at_s = -math.inf

    def note(self, asked_s: float, read_s: float, answered_s: float) -> None:
        """Add one exchange: *read_s* is on the governor's clock, the other times are on ours."""
        drift_s = _DRIFT * (answered_s - self._at_s) if math.isfinite(self._at_s) else 0.0
        least_s, most_s = read_s - answered_s, read_s - asked_s
        self.least_s = max(self.least_s - drift_s, least_s)
        self.most_s = min(self.most_s + drift_s, most_s)
        if self.least_s > self.most_s:  # another governor, on another machine
            self.least_s, self.most_s = least_s, most_s
        self._at_s = answered_s

    def permits(self, lease: Lease) -> list[Permit]:
        """Return the permits of *lease*, each for the time in which it is surely valid."""
        starts_s = [lease.granted_at_s + offset_s for offset_s in lease.starts]
        return [
            Permit(start_s, start_s - self.least_s, start_s + lease.valid_for_s - self.most_s)
            for start_s in starts_s
        ]


class Leases:
    """The permits that were granted and not used yet, in the order of their start."""

    def __init__(
        self, lease: AskForLease, clock: Clock, on_failure: Callable[[RaysyncError], None]
    ) -> None:
        """Call *on_failure* with the reason where the governor grants nothing."""
        self.permits: deque[Permit] = deque()
        self.blocked_until_s = -math.inf
        self.lapsed = 0  #: permits that came too late, or when no request waited
        self.lapses_in_a_row = 0
        self._lease = lease
        self._clock = clock
        self._on_failure = on_failure
        self._bounds = ClockBounds()
        self._asking: asyncio.Task[None] | None = None
        self._ask_at_s = -math.inf
        self._arrivals = Arrivals()
        self._unreported_s: dict[float, float | None] = {}  # see `Use`: from start to arrival
        self._report_timer: asyncio.TimerHandle | None = None

    def block(self, for_s: float) -> None:
        """Drop all permits, and accept none for *for_s* seconds."""
        self.blocked_until_s = max(self.blocked_until_s, self._clock.monotonic_s() + for_s)
        self._drop_all()

    def sent(self, permit: Permit, at_s: float) -> None:
        """Record that the request of *permit* is being sent, and report it soon."""
        self._arrivals.sent(permit, at_s)
        self._note(permit, at_s)

    def answered(self, permit: Permit, at_s: float, *, lost: bool) -> None:
        """Record that the request has ended, and report it soon if it may have arrived late."""
        if lost:
            self._arrivals.lost(permit, at_s)
        else:
            self._arrivals.answered(permit, at_s)
        self._report_soon()

    def unused(self, permit: Permit) -> None:
        """Record that the request will not be sent: other workers may have its room."""
        self._note(permit, None)

    def _note(self, permit: Permit, arrived_s: float | None) -> None:
        latest_s = None if arrived_s is None else arrived_s + self._bounds.most_s
        self._unreported_s[permit.start_s] = latest_s
        self._report_soon()

    def _report_soon(self) -> None:
        if self._report_timer is None:
            loop = asyncio.get_running_loop()
            self._report_timer = loop.call_later(_REPORT_WITHIN_S, self._report)

    def ask_for(self, waiting: int, weight: float) -> None:
        """Ask for permits for *waiting* requests, unless that is under way or too early.

        *weight* is the worker's weight: see `Demand`.
        """
        due = self._clock.monotonic_s() >= self._ask_at_s
        missing = self._missing(waiting)
        if missing and due and self._asking is None:
            self._asking = asyncio.create_task(self._ask(missing, weight))

    async def refill(self, waiting: int, weight: float) -> None:
        """Wait for a lease, or until the next one may be asked for."""
        self.ask_for(waiting, weight)
        if self._asking is not None:
            await asyncio.wait([self._asking])
        else:
            pause_s = self._ask_at_s - self._clock.monotonic_s()
            await asyncio.sleep(max(pause_s, _LEAST_PAUSE_S))

    def discard_lapsed(self) -> None:
        """Drop permits that have expired."""
        now_s = self._clock.monotonic_s()
        while self.permits and self.permits[0].closes_s <= now_s:
            self._drop_first()
            self.lapses_in_a_row += 1

    async def close(self) -> None:
        """Stop. Permits without a report count as used at the end of their validity."""
        if self._report_timer is not None:
            self._report_timer.cancel()
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
        demand, self._unreported_s = Demand(want, self._uses(asked_s), weight), {}
        lease = await self._lease(demand)
        now_s = self._clock.monotonic_s()
        self._bounds.note(asked_s, lease.granted_at_s, now_s)
        self.permits.extend(self._bounds.permits(lease))
        if now_s < self.blocked_until_s:
            self._drop_all()
        if want and not lease.starts:
            self._ask_at_s = now_s + max(lease.ask_again_s, _LEAST_PAUSE_S)

    def _uses(self, now_s: float) -> tuple[Use, ...]:
        """Return the uses that are not reported yet, or were reported differently."""
        for permit, arrived_s in self._arrivals.news(now_s).items():
            self._unreported_s[permit.start_s] = arrived_s + self._bounds.most_s
        return tuple(Use(start_s, arrived_s) for start_s, arrived_s in self._unreported_s.items())

    def _report(self) -> None:
        """Report uses to the governor although no request waits for a permit."""
        self._report_timer = None
        if self._asking is None and self._uses(self._clock.monotonic_s()):
            self._asking = asyncio.create_task(self._ask(0))
        if self._arrivals:
            self._report_soon()

    def _drop_all(self) -> None:
        while self.permits:
            self._drop_first()

    def _drop_first(self) -> None:
        self.unused(self.permits.popleft())
        self.lapsed += 1
