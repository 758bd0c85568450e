"""Lists of archived threads: each is read down to where an earlier run has settled it.

Such a list comes by time of archival, the latest first, and whatever is archived, or written in
and archived again, moves to its top. So below the time that an earlier run has reached, nothing is
new, provided that every thread that it found there was read to its end: only then is the time kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from raysync.errors import (
    PermanentError,
    PermitUnavailableError,
    RetryableError,
    StoreUnavailableError,
)
from raysync.models import channel_types
from raysync.models.entities import Channel
from raysync.models.ids import ChannelId
from raysync.models.work import ArchiveKey, KnownChannel
from raysync.sync.planner import Archive, GuildPlanner
from raysync.sync.retry import Retrier

LISTINGS_AT_ONCE = 16
"""Archived-thread lists asked for at the same time, while channels are read beside."""
OVERLAP = timedelta(minutes=5)
"""A list may show a thread later than one that was archived after it."""


@dataclass(frozen=True, slots=True)
class Listed:
    """What one list held."""

    archive: Archive
    threads: Sequence[Channel]
    trouble: str | None = None  #: why it is not all


def announcing(known: Iterable[KnownChannel], channels: Iterable[Channel]) -> frozenset[ChannelId]:
    """Which channels are, or once were, announcement channels: such they were stored or listed as.

    Those that were and are no more still hold announcement threads, and no list has them.
    """
    every = [(each.type, each.id, each.parent_id) for each in known]
    every += [(each.type, each.id, each.parent_id) for each in channels]
    named = {id_ for kind, id_, _ in every if kind == channel_types.ANNOUNCEMENT}
    parents = {parent for kind, _, parent in every if kind == channel_types.ANNOUNCEMENT_THREAD}
    return frozenset(named | {each for each in parents if each is not None})


@dataclass(slots=True)
class ArchiveReader:
    """Reads the lists of one run, and tells afterwards up to where they are settled."""

    planner: GuildPlanner
    again: Retrier
    lookback_start: datetime  #: threads archived since then may hold messages to look at again
    settled: Mapping[ArchiveKey, datetime]  #: by earlier runs; none where all is to be read
    searched: Collection[ChannelId]  #: the channels whose threads no list has: see `announcing`
    _read: dict[ArchiveKey, Listed] = field(default_factory=dict)
    _gate: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(LISTINGS_AT_ONCE))

    async def read(self, archive: Archive) -> Listed:
        """Read one list, as far down as needed, and once; a refusal is its trouble alone."""
        if archive.key in self._read:
            return self._read[archive.key]
        since = self._since(archive.key)
        async with self._gate:
            listed = await self._read_since(archive, since)
        self._read[archive.key] = listed
        return listed

    async def _read_since(self, archive: Archive, since: datetime | None) -> Listed:
        """Read a list, and the search where lists lack threads; keep what came before a refusal."""
        threads: dict[ChannelId, Channel] = {}

        async def collect(listing: AsyncIterator[Channel]) -> None:
            async for thread in listing:
                threads[thread.id] = thread

        try:
            await self.again(lambda: collect(self.planner.archived_threads(archive, since)))
            if archive.parent.id in self.searched and not archive.key.is_private:
                await self.again(lambda: collect(self.planner.searched_threads(archive, since)))
        except (StoreUnavailableError, PermitUnavailableError):
            raise
        except (PermanentError, RetryableError) as error:
            return Listed(archive, tuple(threads.values()), str(error))
        return Listed(archive, tuple(threads.values()))

    def _since(self, key: ArchiveKey) -> datetime | None:
        settled = self.settled.get(key)
        return None if settled is None else min(settled, self.lookback_start) - OVERLAP

    def whole(self) -> frozenset[ChannelId]:
        """The channels whose public list was read from top to bottom."""
        return frozenset(
            each.archive.parent.id
            for each in self._read.values()
            if each.trouble is None
            and not each.archive.key.is_private
            and self._since(each.archive.key) is None
        )

    def newly_settled(self, unfinished: Collection[ChannelId]) -> dict[ArchiveKey, datetime]:
        """Up to where each list is settled; *unfinished* threads were not read to their end."""
        settled: dict[ArchiveKey, datetime] = {}
        for each in self._read.values():
            times = [t.thread.archived_at for t in each.threads if t.thread]
            latest = max((at for at in times if at is not None), default=None)
            is_settled = each.trouble is None and not each.archive.joined_only
            if is_settled and latest and not any(t.id in unfinished for t in each.threads):
                settled[each.archive.key] = latest
        return settled
