"""The worker's side of the budget: permits fetched in leases, handed out in turn."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from raysync.clock import Clock
from raysync.errors import PermitUnavailableError, RunStoppedError
from raysync.ratelimit.governor import Lease

MAX_WAIT_S = 60.0
MAX_LEASE = 8


class PermitPool:
    """Hands permits of one token to the coroutines of one process, first come, first served.

    `acquire` returns at a moment at which one request may be sent. A cancelled wait leaves its
    permit to the next in line. If the governor cannot be asked, so is nothing else: the wait ends
    with PermitUnavailableError.
    """

    def __init__(self, lease: Callable[[int], Awaitable[Lease]], clock: Clock) -> None:
        self._lease = lease
        self._clock = clock
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._serving: asyncio.Task[None] | None = None

    async def acquire(self) -> float:
        """Wait for a permit. Returns the seconds waited.

        Raises:
            PermitUnavailableError: none came in time, or the governor does not answer.
            RunStoppedError: nothing may be asked any more.
        """
        started_s = self._clock.monotonic_s()
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        if self._serving is None or self._serving.done():
            self._serving = asyncio.create_task(self._serve())
        try:
            async with asyncio.timeout(MAX_WAIT_S):
                await turn
        except TimeoutError:
            raise PermitUnavailableError(
                f"No permit to ask Discord came within {MAX_WAIT_S:.0f} s."
            ) from None
        return self._clock.monotonic_s() - started_s

    async def _serve(self) -> None:
        """Lease and hand out for as long as anyone waits; the next lease is fetched meanwhile."""
        try:
            ahead: asyncio.Task[tuple[Lease, float]] | None = None
            while self._trim():
                lease, asked_s = await (ahead or self._ask(len(self._waiting)))
                if lease.stop is not None:
                    self._refuse(RunStoppedError(lease.stop))
                    return
                rest = len(self._waiting) - len(lease.starts)
                ahead = asyncio.create_task(self._ask(rest)) if rest > 0 else None
                await self._hand_out(lease, asked_s)
        except PermitUnavailableError as error:
            self._refuse(error)

    def _refuse(self, error: Exception) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_exception(error)

    async def _ask(self, want: int) -> tuple[Lease, float]:
        lease = await self._lease(min(max(want, 1), MAX_LEASE))
        return lease, self._clock.monotonic_s()

    async def _hand_out(self, lease: Lease, received_s: float) -> None:
        for start in lease.starts:
            pause_s = received_s + start - self._clock.monotonic_s()
            if pause_s > 0:
                await asyncio.sleep(pause_s)
            elif -pause_s > lease.valid_for_s:
                continue  # lapsed
            if not self._trim():
                return
            self._waiting.popleft().set_result(None)

    def _trim(self) -> bool:
        """Forget those that gave up waiting; say whether anyone is left."""
        while self._waiting and self._waiting[0].done():
            self._waiting.popleft()
        return bool(self._waiting)
