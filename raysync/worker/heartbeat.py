"""Heartbeat of a worker, which tells a process that hangs from one that is busy."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from raysync.clock import Clock

BEAT_S = 0.5
CHECKS_PER_TIMEOUT = 6
"""Number of checks of a worker within the liveness timeout."""


class Heartbeat:
    """Heartbeat of an event loop. Created in that loop, and read in any thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._beat_s = clock.monotonic_s()
        self._beating = asyncio.create_task(self._beat())

    def age_s(self) -> float:
        """Return the seconds since the last beat; up to 0.5 s while nothing blocks the loop."""
        return self._clock.monotonic_s() - self._beat_s

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(BEAT_S)
            self._beat_s = self._clock.monotonic_s()


async def watch_liveness(ask: Callable[[], Awaitable[float]], timeout_s: float) -> str:
    """Return once a worker has shown no heartbeat for *timeout_s*, with a description.

    *ask* returns the age of the worker's heartbeat. Its errors propagate to the caller.
    """
    while True:
        await asyncio.sleep(timeout_s / CHECKS_PER_TIMEOUT)
        try:
            async with asyncio.timeout(timeout_s):
                age_s = await ask()
        except TimeoutError:
            return f"has not answered for {timeout_s:.0f} s"
        if age_s > timeout_s:
            return f"has had no heartbeat for {age_s:.0f} s"
