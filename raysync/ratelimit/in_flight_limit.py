"""Room for so many requests of one process at a time, whatever their tokens."""

from __future__ import annotations

import asyncio


class InFlightLimit:
    """Counts requests under way; whoever holds a permit goes when there is a place.

    A worker claims more channels than it may read at a time, so that a request never waits for
    another channel's last page to be written. What is bounded are the requests.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._taken = 0
        self._freed = asyncio.Event()
        self._waits = 0
        self.waited_s = 0.0  #: how long in all somebody had everything but a place

    def take(self) -> bool:
        """Take a place, if one is free."""
        if self._taken >= self._limit:
            return False
        self._taken += 1
        return True

    def give_back(self) -> None:
        """Leave a place to the next."""
        self._taken -= 1
        self._freed.set()

    async def free(self) -> None:
        """Wait until one is free; somebody else may take it first."""
        loop = asyncio.get_running_loop()
        began_s, self._waits = loop.time(), self._waits + 1
        try:
            while self._taken >= self._limit:
                self._freed.clear()
                await self._freed.wait()
        finally:
            self.waited_s += (loop.time() - began_s) / self._waits
            self._waits -= 1
