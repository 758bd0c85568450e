"""The limit of requests in flight in one process, whatever their tokens."""

from __future__ import annotations

import asyncio


class InFlightLimit:
    """A count of requests in flight. A request with a permit is sent when there is a place.

    A worker claims more channels than it may read at a time, so that a request never waits for
    another channel's last page to be written. So the limit is on requests, not on channels.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._taken = 0
        self._freed = asyncio.Event()
        self._waits = 0
        self.waited_s = 0.0  #: total time in which a request lacked nothing but a place

    def take(self) -> bool:
        """Take a place if one is free; return whether it was."""
        if self._taken >= self._limit:
            return False
        self._taken += 1
        return True

    def release(self) -> None:
        """Release a place."""
        self._taken -= 1
        self._freed.set()

    async def free(self) -> None:
        """Wait until a place is free; another coroutine may take it first."""
        loop = asyncio.get_running_loop()
        began_s, self._waits = loop.time(), self._waits + 1
        try:
            while self._taken >= self._limit:
                self._freed.clear()
                await self._freed.wait()
        finally:
            self.waited_s += (loop.time() - began_s) / self._waits
            self._waits -= 1
