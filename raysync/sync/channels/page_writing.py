"""The writing of a channel's pages, one at a time, while the next one is fetched."""

from __future__ import annotations

import asyncio

from raysync.models.work import Claim, PageWrite
from raysync.sync.channels.counting import ChannelCount
from raysync.sync.channels.rescue import write_page
from raysync.sync.ports import PageStore
from raysync.sync.retry import Retrier

LAST_WRITE_S = 5.0
"""Seconds that a cancelled reading waits for the page that is being written."""


class PageWriter:
    """Writes the pages of one claim in order."""

    def __init__(
        self, claim: Claim, store: PageStore, again: Retrier, counted: ChannelCount
    ) -> None:
        self._claim = claim
        self._store = store
        self._again = again
        self._counted = counted
        self._writing: asyncio.Task[None] | None = None

    def begin(self, page: PageWrite) -> None:
        """Write *page* in the background; `finish` must have been awaited before."""
        self._writing = asyncio.create_task(self.write(page))

    async def finish(self) -> None:
        """Wait for the page that is being written; raise its error.

        A cancelled task waits for `LAST_WRITE_S` only: while the database is away, the page would
        be retried for hours. An unwritten page is read again by the next run.
        """
        writing, self._writing = self._writing, None
        if writing is None:
            return
        reader = asyncio.current_task()
        if reader is not None and reader.cancelling():
            await asyncio.wait({writing}, timeout=LAST_WRITE_S)
            writing.cancel()
        await writing

    async def write(self, page: PageWrite) -> None:
        """Write *page* and count what it changed."""
        receipt = await write_page(
            lambda part: self._again(lambda: self._store.save_page(self._claim, part)), page
        )
        self._counted.add_written(receipt)
