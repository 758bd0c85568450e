"""Lists of archived threads: each is read down to where an earlier run has settled it.

Such a list comes by time of archival, the latest first, and whatever is archived, or written in
and archived again, moves to its top. So below the time that an earlier run has reached, nothing is
new, provided that every thread that it found there was read to its end: only then is the time kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from raysync.errors import (
    AccessDeniedError,
    NotFoundError,
    PermanentError,
    PermitUnavailableError,
    RetryableError,
    RouteMissingError,
    StoreUnavailableError,
)
from raysync.models import channel_types
from raysync.models.entities import Channel
from raysync.models.ids import NO_CHANNEL, ChannelId
from raysync.models.work import ArchiveKey, KnownChannel
from raysync.sync.planner import Archive, GuildPlanner, placeable
from raysync.sync.retry import Retrier

LISTINGS_AT_ONCE = 16
"""Archived-thread lists asked for at the same time, while channels are read beside."""
OVERLAP = timedelta(minutes=5)
"""A list may show a thread later than one that was archived after it."""

Way = Callable[[Archive, datetime | None], AsyncIterator[Channel]]
"""One of the routes that tell of a list, read down to a time of archival."""


@dataclass(frozen=True, slots=True)
class Listed:
    """What one list held."""

    archive: Archive
    threads: Sequence[Channel]
    trouble: str | None = None  #: why it is not all
    is_whole: bool = True  #: every route that tells of it was there, and answered
    is_refused: bool = False  #: for want of a permission, or of the channel


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
        threads: dict[tuple[ChannelId, int], Channel] = {}  # by id; those without one, by number
        ways: list[Way] = [self.planner.archived_threads]
        if archive.parent.id in self.searched and not archive.key.is_private:
            ways.append(self.planner.searched_threads)
        is_whole, is_refused, trouble = True, False, None
        try:
            for way in ways:
                if not await self._collect(threads, way, archive, since):
                    is_whole = False
        except (StoreUnavailableError, PermitUnavailableError):
            raise
        except (PermanentError, RetryableError) as error:
            is_whole, trouble = False, str(error)
            is_refused = isinstance(error, AccessDeniedError | NotFoundError)
        placed, without_id = placeable(threads.values())
        if without_id is not None:
            is_whole, trouble = False, trouble or without_id
        return Listed(archive, placed, trouble, is_whole, is_refused)

    async def _collect(
        self,
        threads: dict[tuple[ChannelId, int], Channel],
        way: Way,
        archive: Archive,
        since: datetime | None,
    ) -> bool:
        """Add to *threads* what one route tells of the list. Return False if the API lacks it."""

        async def collect() -> None:
            without_id = 0
            async for thread in way(archive, since):
                without_id += thread.id == NO_CHANNEL
                threads[thread.id, without_id if thread.id == NO_CHANNEL else 0] = thread

        try:
            await self.again(collect)
        except RouteMissingError as error:
            self.planner.uncovered.note(error, archive.parent.id)
            return False
        return True

    def _since(self, key: ArchiveKey) -> datetime | None:
        settled = self.settled.get(key)
        return None if settled is None else min(settled, self.lookback_start) - OVERLAP

    def whole(self) -> frozenset[ChannelId]:
        """The channels whose public list was read from top to bottom.

        None where nothing tells which threads are active: those are in no such list.
        """
        if not self.planner.uncovered.lists_active_threads:
            return frozenset()
        return frozenset(
            each.archive.parent.id
            for each in self._read.values()
            if each.is_whole
            and not each.archive.key.is_private
            and self._since(each.archive.key) is None
        )

    def newly_settled(
        self, unfinished: Collection[ChannelId], now: datetime | None = None
    ) -> dict[ArchiveKey, datetime]:
        """Up to where each list is settled; *unfinished* threads were not read to their end.

        Nothing is settled beyond *now*, whatever a thread says of itself.
        """
        settled: dict[ArchiveKey, datetime] = {}
        for each in self._read.values():
            times = [t.thread.archived_at for t in each.threads if t.thread]
            latest = max((at for at in times if at is not None), default=None)
            is_settled = each.is_whole and not each.archive.joined_only
            if is_settled and latest and not any(t.id in unfinished for t in each.threads):
                settled[each.archive.key] = latest if now is None else min(latest, now)
        return settled
