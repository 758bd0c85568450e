"""Archived-thread lists of one job: read, admitted, and settled at the end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from raysync.models.entities import Channel
from raysync.models.ids import ChannelId
from raysync.models.status import SyncType
from raysync.models.work import ArchiveKey, KnownChannel
from raysync.sync.job.inputs import JobPorts, JobScope
from raysync.sync.job.ledger import JobLedger
from raysync.sync.job.membership import Membership
from raysync.sync.job.outcome import Trouble
from raysync.sync.planning.archives import ArchiveReader, announcing
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
        settled = await _settled_before(scope, ports)
        reader = ArchiveReader(ports.planner, ports.retry, scope.lookback_at, settled, searched)
        return cls(scope, ports, ledger, membership, survey, reader)

    async def admit_threads(self, admit: Admit) -> None:
        """Read every list that the job needs, side by side, and admit its threads."""
        only = self.scope.window.channels
        parents, _ = exclude_forgotten(self.survey.parents_to_list(), self.scope.forgotten)
        if only and only <= set(self.survey.channels):
            parents = [parent for parent in parents if parent.id in only]
        async with asyncio.TaskGroup() as listings:
            for parent in parents:
                for archive in self.survey.archives(parent):
                    listings.create_task(self._admit_list(archive, admit))

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

    async def settle(self) -> None:
        """Store down to which time later runs can skip each list.

        A verification lists threads without reading them, so it settles nothing.
        """
        if not self.scope.window.is_whole or self.scope.is_verification:
            return
        settled = self.reader.newly_settled(self.ledger.unfinished(), self.ports.clock.now())
        if settled:
            await self.ports.retry(lambda: self.ports.catalog.note_listings(settled))


async def _settled_before(scope: JobScope, ports: JobPorts) -> Mapping[ArchiveKey, datetime]:
    """Return the times settled by earlier runs; none for a run that reads everything."""
    if scope.window.sync_type is not SyncType.INCREMENTAL or not scope.window.is_whole:
        return {}
    return await ports.retry(ports.catalog.listings)
