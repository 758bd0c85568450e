"""Whether a worker still moves: to everybody else a process that hangs looks like a busy one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from raysync.clock import Clock

BEAT_S = 0.5
ASKED_WITHIN = 6
"""So often a worker is asked within the time that it may stand still."""


class Heartbeat:
    """A worker's side: when its event loop last turned. Made in that loop, read in any thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._beat_s = clock.monotonic_s()
        self._beating = asyncio.create_task(self._beat())

    def age_s(self) -> float:
        """How long ago the loop last turned; about half a second where nothing blocks it."""
        return self._clock.monotonic_s() - self._beat_s

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(BEAT_S)
            self._beat_s = self._clock.monotonic_s()


async def watch_liveness(ask: Callable[[], Awaitable[float]], timeout_s: float) -> str:
    """Return once a worker has not moved for *timeout_s*, and say what it did not do.

    *ask* brings the age of its pulse. What it raises is left to whoever has called the worker.
    """
    while True:
        await asyncio.sleep(timeout_s / ASKED_WITHIN)
        try:
            async with asyncio.timeout(timeout_s):
                age_s = await ask()
        except TimeoutError:
            return f"has not answered for {timeout_s:.0f} s"
        if age_s > timeout_s:
            return f"has stood still for {age_s:.0f} s"
