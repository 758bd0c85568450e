"""Visits to channels in the process that plans them, until the workers are up."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace

from raysync.clock import Clock
from raysync.errors import RaysyncError
from raysync.models.work import ChannelOutcome, ChannelTask
from raysync.pool.dispatch import next_visit


class EarlyVisits:
    """Reader of channels while the workers start.

    It reads by visits, like a worker. Between two visits, a channel may move to a worker.
    """

    def __init__(
        self,
        sync_channel: Callable[[ChannelTask], Awaitable[ChannelOutcome]],
        slots: int,
        clock: Clock,
    ) -> None:
        """Pay at most *slots* visits at once by *sync_channel*."""
        self._sync_channel = sync_channel
        self._clock = clock
        self._free = asyncio.Semaphore(slots)
        self._ended = asyncio.Event()
        self._waiting = 0  #: for a slot
        self._reading = 0
        self.channels = 0  #: that are not finished
        self.most_at_once = 0  #: maximum number of channels read at the same moment

    def end(self) -> None:
        """Begin no more visits. Those under way finish first. Idempotent."""
        self._ended.set()
        for _ in range(self._waiting):
            self._free.release()

    async def run(self, task: ChannelTask) -> ChannelOutcome | ChannelTask:
        """Return the channel's outcome, or what is left of the task for a worker."""
        self.channels += 1
        try:
            return await self._run(task)
        finally:
            self.channels -= 1

    async def _run(self, task: ChannelTask) -> ChannelOutcome | ChannelTask:
        while await self._is_free():
            try:
                outcome = await self._visit(task)
            except RaysyncError:  # a worker meets it, too, and says how the channel ends
                return replace(task, attempt=task.attempt + 1, paged_ago_s=())
            finally:
                self._reading -= 1
                self._free.release()
            if outcome.parked is None:
                return outcome
            task = next_visit(task, outcome, outcome.parked)
            parked_at_s = self._clock.monotonic_s()
            with suppress(TimeoutError):
                async with asyncio.timeout(outcome.parked.ready_after_s):
                    await self._ended.wait()
            parked_s = self._clock.monotonic_s() - parked_at_s
            ages_s = tuple(age_s + parked_s for age_s in task.paged_ago_s)
            task = replace(task, paged_ago_s=ages_s)
        return task

    async def _is_free(self) -> bool:
        """Wait for a slot. Return whether there is one; there is none after the end."""
        self._waiting += 1
        try:
            await self._free.acquire()
        finally:
            self._waiting -= 1
        if self._ended.is_set():
            self._free.release()
            return False
        return True

    async def _visit(self, task: ChannelTask) -> ChannelOutcome:
        self._reading += 1
        self.most_at_once = max(self.most_at_once, self._reading)
        # workers are about to take over, so a channel keeps its slot no longer than it must
        return await self._sync_channel(replace(task, is_hurried=True))
