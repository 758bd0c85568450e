"""A page store that measures itself, for a job's usage."""

from __future__ import annotations

import time
from collections.abc import Awaitable
from dataclasses import dataclass, field, replace
from typing import TypeVar

from raysync.clock import SystemClock
from raysync.models.durations import DurationMeter
from raysync.models.events import Written
from raysync.models.work import (
    ChannelOutcome,
    ChannelTask,
    Claim,
    PageReceipt,
    PageWrite,
)
from raysync.sync.ports import PageStore

_T = TypeVar("_T")


@dataclass(slots=True)
class TimedPages:
    """A page store that measures its time and counts its writes."""

    inner: PageStore
    spent_s: float = 0.0
    _saves: DurationMeter = field(default_factory=DurationMeter)
    _written: Written = field(default_factory=Written)

    def written(self) -> Written:
        """Return the writes so far."""
        return replace(self._written, took=self._saves.durations())

    async def claim(self, task: ChannelTask, worker_id: str) -> Claim | None:
        return await self._timed(self.inner.claim(task, worker_id))

    async def save_page(self, claim: Claim, page: PageWrite) -> PageReceipt:
        began_s = time.monotonic()
        receipt = await self._timed(self.inner.save_page(claim, page))
        self._saves.note(time.monotonic() - began_s)
        done = self._written
        self._written = replace(
            done,
            pages=done.pages + 1,
            messages=done.messages + len(page.messages),
            added=done.added + receipt.inserted,
            edited=done.edited + receipt.edited,
            deleted=done.deleted + receipt.deleted,
        )
        return receipt

    async def renew(self, claim: Claim) -> None:
        await self._timed(self.inner.renew(claim))

    async def release(self, claim: Claim, outcome: ChannelOutcome) -> None:
        await self._timed(self.inner.release(claim, outcome))

    async def _timed(self, call: Awaitable[_T]) -> _T:
        clock = SystemClock()
        started_s = clock.monotonic_s()
        try:
            return await call
        finally:
            self.spent_s += clock.monotonic_s() - started_s
