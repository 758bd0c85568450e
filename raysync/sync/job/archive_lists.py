"""Archived-thread lists of one job: chosen, read, admitted, and settled at the end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from raysync.models.entities import Channel
from raysync.models.ids import ChannelId
from raysync.models.status import SyncType
from raysync.models.work import ArchiveKey, ArchiveRecord, ArchiveTally, KnownChannel
from raysync.sync.job.inputs import JobPorts, JobScope
from raysync.sync.job.ledger import JobLedger
from raysync.sync.job.membership import Membership
from raysync.sync.job.outcome import Trouble
from raysync.sync.planning.archives import ArchiveReader, announcing
from raysync.sync.planning.due import DueArchives, routes_of, vanished
from raysync.sync.planning.partition import exclude_forgotten
from raysync.sync.planning.planner import Archive, Survey

Admit = Callable[[Iterable[Channel]], Awaitable[None]]
"""Function that takes the threads of one list into the job."""


@dataclass(frozen=True, slots=True)
class ArchiveLists:
    """Archived-thread lists of one job."""

    scope: JobScope
    ports: JobPorts
    ledger: JobLedger
    membership: Membership
    survey: Survey
    reader: ArchiveReader
    due: DueArchives

    @classmethod
    async def open(
        cls,
        scope: JobScope,
        ports: JobPorts,
        ledger: JobLedger,
        membership: Membership,
        survey: Survey,
        known: Sequence[KnownChannel],
    ) -> ArchiveLists:
        """Return the lists of a job; *known* is what the store held before the job."""
        searched = announcing(known, (*survey.channels.values(), *survey.active_threads))
        records: Mapping[ArchiveKey, ArchiveRecord] = {}
        if scope.settles_archives:
            records = await ports.retry(ports.catalog.listings)
        is_incremental = scope.window.sync_type is SyncType.INCREMENTAL
        settled = {
            key: record.archived_until
            for key, record in records.items()
            if is_incremental and record.archived_until is not None
        }
        # Without the list of active threads, nothing shows that one was archived.
        shows_active = ports.planner.uncovered.lists_active_threads
        due = DueArchives(
            scope.window.archives_every_s if is_incremental and shows_active else 0.0,
            ports.clock.now(),
            records,
            vanished(known, survey.active_ids) if shows_active else {},
        )
        reader = ArchiveReader(ports.planner, ports.retry, scope.lookback_at, settled, searched)
        return cls(scope, ports, ledger, membership, survey, reader, due)

    async def admit_threads(self, admit: Admit) -> None:
        """Read every list that the job needs, side by side, and admit its threads."""
        due = [archive for archive in self._lists() if self._is_due(archive)]
        await self._void(due)
        async with asyncio.TaskGroup() as listings:
            for archive in due:
                listings.create_task(self._admit_list(archive, admit))

    def _lists(self) -> list[Archive]:
        only = self.scope.window.channels
        if self.scope.window.messages:
            return []
        parents, _ = exclude_forgotten(self.survey.parents_to_list(), self.scope.forgotten)
        if only and only <= set(self.survey.channels):
            parents = [parent for parent in parents if parent.id in only]
        return [archive for parent in parents for archive in self.survey.archives(parent)]

    def _is_due(self, archive: Archive) -> bool:
        if archive.key in self.reader.requested():
            return True
        return self.due.is_due(archive, routes_of(archive, self.reader.searched))

    async def _void(self, lists: Iterable[Archive]) -> None:
        """Void the comparisons of *lists*, so that they are due again if the job ends early."""
        records = self.due.records
        voided = {
            archive.key: replace(records[archive.key], compared_at=None)
            for archive in lists
            if archive.key in records
        }
        await self._note(voided)

    async def _note(self, records: Mapping[ArchiveKey, ArchiveRecord]) -> None:
        if records:
            await self.ports.retry(partial(self.ports.catalog.note_listings, records))

    async def _admit_list(self, archive: Archive, admit: Admit) -> None:
        listed = await self.reader.read(archive)
        if listed.is_refused:
            await self.membership.look()
        if listed.trouble is not None:
            trouble = Trouble(archive.parent.id, f"archived threads: {listed.trouble}")
            if trouble not in self.ledger.troubles:
                self.ledger.troubles.append(trouble)
        await admit(listed.threads)

    def read_whole(self) -> frozenset[ChannelId]:
        """Return the channels whose public list was read from top to bottom."""
        return self.reader.whole()

    def vanished(self) -> frozenset[ChannelId]:
        """Return the public threads that were active before, and whose list was read since.

        A thread that was archived meanwhile is in that part of the list. Threads that an earlier
        run has looked for in vain are among them again, once in each window: Discord may have
        given no answer then, or they may have been deleted since.
        """
        return frozenset(
            thread
            for key in self.reader.answered()
            if not key.is_private
            for thread in self.due.vanished.get(key, ())
        )

    async def settle(self) -> None:
        """Store which lists were compared, and down to which time later runs can skip each.

        A verification lists threads without reading them, so it settles nothing.
        """
        if not self.scope.window.is_whole:
            return
        lists = frozenset(archive.key for archive in self._lists())
        if not self.scope.settles_archives:
            self.ledger.archives = self._tally(lists, self.reader.answered())
            return
        unfinished = self.ledger.unfinished()
        compared = self.reader.compared(unfinished, self.due.vanished, self.due.now)
        compared = {key: record for key, record in compared.items() if key in lists}
        await self._note(self._found_again() | compared)
        self.ledger.archives = self._tally(lists, compared)

    def _found_again(self) -> dict[ArchiveKey, ArchiveRecord]:
        """Return records of other lists, without missing threads that are active again.

        If such a thread vanishes once more, that is a sign of news again.
        """
        active, requested = self.survey.active_ids, self.reader.requested()
        return {
            key: replace(record, missing=record.missing - active)
            for key, record in self.due.records.items()
            if record.missing & active and key not in requested
        }

    def _tally(
        self, lists: frozenset[ArchiveKey], compared: Collection[ArchiveKey]
    ) -> ArchiveTally:
        """Return how far the threads of *lists* are compared; this run *compared* some."""
        requested = self.reader.requested()
        times = [self.due.records[key].compared_at for key in lists - requested]
        times += [self.due.now for key in lists if key in compared]
        return ArchiveTally(
            lists=len(lists),
            compared=sum(key in compared for key in lists),
            unsettled=sum(key in requested and key not in compared for key in lists),
            since=min((time for time in times if time is not None), default=None),
        )
