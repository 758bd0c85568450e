"""Admission of channels: which of them a job reads, and the task of each."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial

from raysync.models.entities import Channel
from raysync.models.ids import ChannelId
from raysync.models.status import SyncType
from raysync.models.work import ChannelTask, DeadLetterNote, LeftOut, Skipped, StoredChannel
from raysync.sync.job.inputs import JobPorts, JobScope
from raysync.sync.job.ledger import JobLedger
from raysync.sync.job.outcome import Trouble
from raysync.sync.job.rechecks import Rechecks
from raysync.sync.planning.estimate import (
    expected_pages,
    gaps_of,
    is_guess,
    is_unchanged,
    plausible,
)
from raysync.sync.planning.partition import exclude_forgotten, partition_readable
from raysync.sync.planning.planner import Survey


@dataclass(slots=True)
class Admission:
    """Selection of the channels that lists name, with a task for each channel to read."""

    scope: JobScope
    ports: JobPorts
    ledger: JobLedger
    rechecks: Rechecks
    letters: Mapping[ChannelId, DeadLetterNote] = field(default_factory=dict)  #: dead letters

    async def admit(self, survey: Survey, listed: Iterable[Channel]) -> list[ChannelTask]:
        """Record the channels that no list named before. Return the tasks of those to read."""
        new = self._first_seen(listed)
        if not new:
            return []
        only = self.scope.window.channels
        kept, forgotten = exclude_forgotten(new, self.scope.forgotten, only)
        partition = partition_readable(survey, kept, only)
        stored = await self.ports.retry(partial(self.ports.catalog.record, partition.recordable))
        self.ledger.not_read |= partition.odd
        tasks = self._plan(partition.readable, stored)
        skipped = (*partition.skipped, *forgotten)
        self.ledger.skipped.update({channel.channel_id: channel for channel in skipped})
        left_out = (*skipped, *self._left_out(partition.readable))
        await self.ports.sink.plan(tasks, left_out)
        return tasks

    async def admit_rechecks(self, survey: Survey) -> list[ChannelTask]:
        """Return the tasks of threads that are due for another reason than a list."""
        ledger = self.ledger
        unlisted = self.rechecks.unlisted(ledger.seen, survey.guild.id)
        kept, _ = exclude_forgotten(unlisted, self.scope.forgotten)
        readable = partition_readable(survey, kept, self.scope.window.channels).readable
        ledger.seen.update(channel.id for channel in readable)
        due = [
            (channel, self.rechecks.stored_of(channel.id))
            for channel in self._exclude_cooling(readable)
        ]
        tasks = [self._task(channel, stored) for channel, stored in due if stored is not None]
        ledger.tasks.update({task.channel_id: task for task in tasks})
        cooling = (channel for channel in readable if channel.id in ledger.cooling)
        await self.ports.sink.plan(tasks, tuple(self._left_out(cooling)))
        return tasks

    def _first_seen(self, listed: Iterable[Channel]) -> Collection[Channel]:
        """Return the channels that no list named before, each once, and note them as seen."""
        seen, now = self.ledger.seen, self.ports.clock.now()
        new = {channel.id: plausible(channel, now) for channel in listed if channel.id not in seen}
        seen.update(new)
        return new.values()

    def _plan(
        self, readable: Iterable[Channel], stored: Mapping[ChannelId, StoredChannel]
    ) -> list[ChannelTask]:
        """Return the tasks of the channels with something due; count the others, and all gaps."""
        due: list[Channel] = []
        for channel in readable:
            known = stored[channel.id]
            self.ledger.gaps += gaps_of(channel, known, self.scope.ids)
            if self._is_unchanged(channel, known) and not self.rechecks.stored_of(channel.id):
                self.ledger.unchanged += 1
            else:
                due.append(channel)
        tasks = [self._task(channel, stored[channel.id]) for channel in self._exclude_cooling(due)]
        self.ledger.tasks.update({task.channel_id: task for task in tasks})
        return tasks

    def _left_out(self, readable: Iterable[Channel]) -> Iterator[Skipped]:
        """Yield the readable channels that this run does not read."""
        for channel in readable:
            if channel.id not in self.ledger.tasks:
                is_cooling = channel.id in self.ledger.cooling
                kind = LeftOut.COOLING if is_cooling else LeftOut.UNCHANGED
                yield Skipped(channel.id, "", channel.type, kind.value, kind)

    def _exclude_cooling(self, channels: Iterable[Channel]) -> Iterator[Channel]:
        """Yield *channels* without those that Discord refused lately; report the latter."""
        for channel in channels:
            letter = self.letters.get(channel.id)
            if letter is None or letter.cools_until is None or self.scope.window.channels:
                yield channel
                continue
            self.ledger.not_read.add(channel.id)
            self.ledger.cooling.add(channel.id)
            message = (
                f"An earlier run gave this channel up, so runs of the whole guild leave it out "
                f"until {letter.cools_until:%Y-%m-%d %H:%M} UTC. To read it now, run "
                f"`raysync dead-letters retry`. The reason was: {letter.message}"
            )
            self.ledger.troubles.append(Trouble(channel.id, message))

    def _is_unchanged(self, channel: Channel, stored: StoredChannel) -> bool:
        if self.scope.window.sync_type is SyncType.FULL:
            return False
        if self.scope.is_verification:
            return True
        if channel.id in self.letters:  # a dead letter stays open until a run reads to the end
            return False
        return is_unchanged(channel, stored, self.scope.ids, self.scope.lookback_start)

    def _task(self, channel: Channel, stored: StoredChannel) -> ChannelTask:
        self.ledger.in_flight[channel.id] = channel
        recheck = self.rechecks.of(channel.id)
        only_recheck = (
            self._is_unchanged(channel, stored) and self.rechecks.stored_of(channel.id) is not None
        )
        pages = 0.0 if only_recheck else expected_pages(channel, stored, self.scope.window)
        return ChannelTask(
            job_id=self.scope.header.job_id,
            tenant_id=self.scope.tenant_id,
            channel_key=stored.key,
            channel_id=channel.id,
            name=channel.name,
            sync_type=self.scope.window.sync_type,
            window=self.scope.ids,
            last_message_id=channel.last_message_id,
            lookback_start=self.scope.lookback_start,
            expected_pages=max(pages + (recheck.pages if recheck is not None else 0), 1.0),
            is_guess=is_guess(channel, stored) and not only_recheck,
            recheck=() if recheck is None else recheck.ids,
            only_recheck=only_recheck,
        )
