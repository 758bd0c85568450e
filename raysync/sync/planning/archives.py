"""Reader of archived-thread lists, each down to the time where an earlier run has settled it.

Such a list is ordered by time of archival, newest first. A thread that is archived, or revived and
archived again, moves to the top. So nothing is new below the time that an earlier run has reached,
provided that the run read every thread above it to its end. Only then the time is stored.
"""

from __future__ import annotations

import asyncio
from collections.abc import (
    AsyncIterator,
    Callable,
    Collection,
    Iterable,
    Mapping,
    Sequence,
)
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
from raysync.models.work import ArchiveKey, ArchiveRecord, KnownChannel
from raysync.sync.planning.due import SEARCH, routes_of
from raysync.sync.planning.planner import Archive, GuildPlanner, placeable
from raysync.sync.retry import Retrier

LISTINGS_AT_ONCE = 16
"""Limit on archived-thread lists read at the same time, beside the channels."""
OVERLAP = timedelta(minutes=5)
"""Time that is listed twice: a thread may show up after one that was archived later."""

Route = Callable[[Archive, datetime | None], AsyncIterator[Channel]]
"""Request for the threads of a list, down to a time of archival."""


@dataclass(frozen=True, slots=True)
class Listed:
    """Result of reading one list."""

    archive: Archive
    threads: Sequence[Channel]
    trouble: str | None = None  #: reason why threads are missing
    is_whole: bool = True  #: every route that lists these threads exists, and answered
    is_refused: bool = False  #: for lack of a permission, or because the channel is gone


def announcing(known: Iterable[KnownChannel], channels: Iterable[Channel]) -> frozenset[ChannelId]:
    """Return the channels that are, or once were, announcement channels.

    A channel that no longer is one still holds announcement threads, and no list has them.
    """
    every = [(channel.type, channel.id, channel.parent_id) for channel in known]
    every += [(channel.type, channel.id, channel.parent_id) for channel in channels]
    named = {id_ for kind, id_, _ in every if kind == channel_types.ANNOUNCEMENT}
    parents = {parent for kind, _, parent in every if kind == channel_types.ANNOUNCEMENT_THREAD}
    return frozenset(named | {parent for parent in parents if parent is not None})


@dataclass(slots=True)
class ArchiveReader:
    """Reader of one run's lists, which also computes down to where they are settled."""

    planner: GuildPlanner
    retry: Retrier
    lookback_at: datetime  #: threads archived since then may hold messages to compare again
    settled: Mapping[ArchiveKey, datetime]  #: by earlier runs; empty to read whole lists
    searched: Collection[ChannelId]  #: channels with threads that no list has; see `announcing`
    _read: dict[ArchiveKey, Listed] = field(default_factory=dict)
    _gate: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(LISTINGS_AT_ONCE))

    async def read(self, archive: Archive) -> Listed:
        """Read one list as far down as needed, at most once; report a refusal as its trouble."""
        if archive.key in self._read:
            return self._read[archive.key]
        since = self._since(archive.key)
        async with self._gate:
            listed = await self._read_since(archive, since)
        self._read[archive.key] = listed
        return listed

    async def _read_since(self, archive: Archive, since: datetime | None) -> Listed:
        """Read a list, and the search if the list lacks threads; keep what precedes a refusal."""
        threads: dict[tuple[ChannelId, int], Channel] = {}  # by id; those without one, by number
        routes: list[Route] = [self.planner.archived_threads]
        if SEARCH in routes_of(archive, self.searched):
            routes.append(self.planner.searched_threads)
        is_whole, is_refused, trouble = True, False, None
        try:
            for route in routes:
                if not await self._collect(threads, route, archive, since):
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
        route: Route,
        archive: Archive,
        since: datetime | None,
    ) -> bool:
        """Add the threads of one route to *threads*. Return False if the API lacks the route."""

        async def collect() -> None:
            without_id = 0
            async for thread in route(archive, since):
                without_id += thread.id == NO_CHANNEL
                threads[thread.id, without_id if thread.id == NO_CHANNEL else 0] = thread

        try:
            await self.retry(collect)
        except RouteMissingError as error:
            self.planner.uncovered.note(error, archive.parent.id)
            return False
        return True

    def _since(self, key: ArchiveKey) -> datetime | None:
        settled = self.settled.get(key)
        return None if settled is None else min(settled, self.lookback_at) - OVERLAP

    def whole(self) -> frozenset[ChannelId]:
        """Return the channels whose public list was read from top to bottom.

        Return none if the API does not list active threads: those are in no archive list.
        """
        if not self.planner.uncovered.lists_active_threads:
            return frozenset()
        return frozenset(
            listed.archive.parent.id
            for listed in self._read.values()
            if listed.is_whole
            and not listed.archive.key.is_private
            and self._since(listed.archive.key) is None
        )

    def compared(
        self,
        unfinished: Collection[ChannelId],
        vanished: Mapping[ArchiveKey, frozenset[ChannelId]],
        now: datetime,
    ) -> dict[ArchiveKey, ArchiveRecord]:
        """Return what to remember of each list that was compared by a run that began *now*.

        A list with *unfinished* threads, which were not read to their end, is not among them. Of
        the threads that *vanished* from the active ones, remember those that it does not name.
        """
        return {
            key: ArchiveRecord(
                compared_at=now,
                archived_until=_watermark(listed, now),
                last_message_id=listed.archive.parent.last_message_id,
                routes=routes_of(listed.archive, self.searched),
                missing=vanished.get(key, frozenset()) - {thread.id for thread in listed.threads},
            )
            for key, listed in self._read.items()
            if listed.is_whole and not any(thread.id in unfinished for thread in listed.threads)
        }

    def requested(self) -> frozenset[ArchiveKey]:
        """Return the lists that were requested, with whatever result."""
        return frozenset(self._read)

    def answered(self) -> frozenset[ArchiveKey]:
        """Return the lists that were read as far down as needed, by every route."""
        return frozenset(key for key, listed in self._read.items() if listed.is_whole)


def _watermark(listed: Listed, now: datetime) -> datetime | None:
    """Return the time down to which later runs can skip a settled list, at most *now*."""
    if listed.archive.joined_only:  # ordered by id
        return None
    times = [thread.thread.archived_at for thread in listed.threads if thread.thread]
    latest = max((at for at in times if at is not None), default=None)
    return None if latest is None else min(latest, now)
