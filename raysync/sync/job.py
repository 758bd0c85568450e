"""Runs one tenant's job: plans, has every channel synced, and sums up."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

from raysync.clock import Clock
from raysync.errors import (
    ConfigurationError,
    NotFoundError,
    PermanentError,
    RaysyncError,
    RetryableError,
    RunStoppedError,
)
from raysync.models.entities import Channel, Tenant
from raysync.models.ids import ChannelId, snowflake_at
from raysync.models.privacy import PeopleRules
from raysync.models.status import ChannelJobStatus, FailureClass, JobStatus, SyncType
from raysync.models.work import (
    ArchiveKey,
    ChannelOutcome,
    ChannelTask,
    DeadLetterNote,
    Gap,
    LeftOut,
    Skipped,
    StoredChannel,
    SyncWindow,
)
from raysync.sync.archives import ArchiveReader, announcing
from raysync.sync.estimate import expected_pages, gaps_of, is_guess, is_unchanged, plausible
from raysync.sync.gone import GoneChannels
from raysync.sync.groups import first_error
from raysync.sync.job_end import JobEnd, Trouble, lost_channels, without_place
from raysync.sync.membership import Membership
from raysync.sync.planner import (
    Archive,
    GuildPlanner,
    Survey,
    exclude_forgotten,
    partition_readable,
)
from raysync.sync.ports import ChannelCatalog, ChannelDispatcher, ProgressSink
from raysync.sync.progress import JobHeader
from raysync.sync.reach import within_reach
from raysync.sync.rechecks import Rechecks
from raysync.sync.retry import Retrier
from raysync.sync.window import kept_window, window_of

LOOK_AGAIN_S = 60.0
"""After a longer run, what came into being meanwhile is read, too; after a shorter by the next."""


class SyncJob:
    """One job. `run` it once; `cancel` it from anywhere in the same loop."""

    def __init__(
        self,
        header: JobHeader,
        tenant: Tenant,
        window: SyncWindow,
        planner: GuildPlanner,
        catalog: ChannelCatalog,
        dispatcher: ChannelDispatcher,
        sink: ProgressSink,
        clock: Clock,
        retrier: Retrier,
        people: PeopleRules = PeopleRules(),  # noqa: B008 frozen
    ) -> None:
        """Raises ConfigurationError where all that is asked for is past the tenant's retention."""
        self._header = header
        self._clock = clock
        self._tenant = tenant
        self._window = window
        self._forgotten = people.channels
        self._ids = kept_window(window_of(window.since, window.until), people.before)
        self._lookback = clock.now() - timedelta(seconds=window.lookback_s)
        self._lookback_start = snowflake_at(self._lookback)
        self._planner = planner
        self._catalog = catalog
        self._dispatcher = dispatcher
        self._sink = sink
        self._again = retrier
        self._tasks: dict[ChannelId, ChannelTask] = {}
        self._outcomes: dict[ChannelId, ChannelOutcome] = {}
        self._skipped: dict[ChannelId, Skipped] = {}
        self._seen: set[ChannelId] = set()
        self._unchanged = 0
        self._archives: ArchiveReader | None = None
        self._gaps: list[Gap] = []
        self._rechecks = Rechecks(window, self._ids, catalog)
        self._troubles: list[Trouble] = []
        self._gone = GoneChannels(planner, catalog, retrier, self._troubles.append)
        self._membership = Membership(planner, retrier, clock)
        self._channels: dict[ChannelId, Channel] = {}  #: of tasks under way
        self._letters: Mapping[ChannelId, DeadLetterNote] = {}
        self._cooling: set[ChannelId] = set()  # given up before
        self._left: set[ChannelId] = set()  # not read: lists of threads are not settled over them
        self._work: asyncio.Task[None] | None = None
        self._cancelled = False
        self._reason: RaysyncError | None = None

    def cancel(self, reason: RaysyncError | None = None) -> None:
        """Stop as soon as what is under way has let go; `run` then returns.

        With a *reason* the job has failed for it.
        """
        self._cancelled = True
        self._reason = self._reason or reason
        if self._work is not None:
            self._work.cancel()

    async def run(self) -> JobEnd:
        """Do the job to its end, however it ends.

        Raises:
            ConfigurationError: the user's to mend, and nothing was begun yet.
        """
        self._work = asyncio.create_task(self._sync())
        if self._cancelled:
            self._work.cancel()
        status: JobStatus | None = None
        try:
            await self._work
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if not self._cancelled or (task is not None and task.cancelling()):
                raise  # not by `cancel`: whoever runs it wants no more of it
            status = JobStatus.CANCELLED
            if self._reason is not None:
                self._troubles.append(Trouble(None, str(self._reason)))
                status = JobStatus.FAILED
        except (RunStoppedError, RetryableError, PermanentError, ConfigurationError) as error:
            if isinstance(error, ConfigurationError) and not self._tasks:
                raise
            self._troubles.append(Trouble(None, str(error)))
            status = JobStatus.FAILED
        return self._end(status)

    def _end(self, status: JobStatus | None) -> JobEnd:
        outcomes = tuple(self._outcomes.values())
        self._troubles += without_place(outcomes)
        if status is None:
            self._troubles += lost_channels(self._tasks.keys() - self._outcomes.keys())
            failed = any(each.failure is not None for each in outcomes) or bool(self._troubles)
            status = JobStatus.PARTIAL if failed else JobStatus.COMPLETED
        return JobEnd(
            status,
            outcomes,
            tuple(self._tasks.values()),
            tuple(self._skipped.values()),
            self._unchanged,
            tuple(self._troubles),
            frozenset(self._gone.found),
            tuple(self._gaps),
            self._planner.uncovered.all(),
            frozenset(self._cooling),
        )

    async def _sync(self) -> None:
        began_s = self._clock.monotonic_s()
        survey = await self._again(self._planner.survey)
        self._troubles += [Trouble(None, each) for each in survey.troubles]
        letters = await self._again(self._catalog.letters)
        if self._window.sync_type is not SyncType.VERIFY:
            self._letters = letters
        try:
            archives = self._archives = await self._prepare(survey, letters)
            self._rechecks.add_letters(self._letters)
            async with asyncio.TaskGroup() as channels:
                await self._admit(survey, channels, survey.channels.values())
                await self._admit(survey, channels, survey.active_threads)
                await self._list_archived(survey, channels, archives)
                await self._admit_rechecks(survey, channels)
                if survey.active_threads or survey.parents_to_list():
                    moved = await self._again(self._planner.active_threads)
                    await self._admit(survey, channels, moved)
                self._seen |= await self._gone.settle_named(self._window.channels, self._seen)
                await self._mark_gone()
                await self._sink.planned()
            if self._clock.monotonic_s() - began_s > LOOK_AGAIN_S:
                await self._look_again(survey)
            await self._settle_archives()
            await self._note_rechecks()
        except BaseExceptionGroup as group:
            raise first_error(group) from group

    async def _look_again(self, survey: Survey) -> None:
        """Read what came into being while the rest was read."""
        channels, threads = await self._again(self._planner.look_again)
        grown = replace(survey, channels={each.id: each for each in channels})
        async with asyncio.TaskGroup() as new:
            await self._admit(grown, new, channels)
            await self._admit(grown, new, threads)

    async def _prepare(self, survey: Survey, letters: Collection[ChannelId]) -> ArchiveReader:
        """Choose what is read again; what was given up has to be read to its end before."""
        known = await self._again(self._catalog.known)  # before this run changes it
        once = announcing(known, (*survey.channels.values(), *survey.active_threads))
        settled = await self._settled_archives()
        archives = ArchiveReader(self._planner, self._again, self._lookback, settled, once)
        readable: frozenset[ChannelId] = frozenset()
        if self._rechecks.reads_old:
            readable = await within_reach(survey, known, archives, self._forgotten)
        readable -= set(letters)
        await self._again(lambda: self._rechecks.plan(self._lookback_start, readable))
        return archives

    async def _list_archived(
        self, survey: Survey, channels: asyncio.TaskGroup, archives: ArchiveReader
    ) -> None:
        only = self._window.channels
        parents, _ = exclude_forgotten(survey.parents_to_list(), self._forgotten)
        if only and only <= set(survey.channels):
            parents = [each for each in parents if each.id in only]
        async with asyncio.TaskGroup() as listings:
            for archive in (each for parent in parents for each in survey.archives(parent)):
                listings.create_task(self._list_one(survey, channels, archives, archive))

    async def _settled_archives(self) -> Mapping[ArchiveKey, datetime]:
        """Up to where earlier runs have settled the lists; nothing where all is to be read."""
        if self._window.sync_type is not SyncType.INCREMENTAL or not self._window.is_whole:
            return {}
        return await self._again(self._catalog.listings)

    async def _list_one(
        self,
        survey: Survey,
        channels: asyncio.TaskGroup,
        archives: ArchiveReader,
        archive: Archive,
    ) -> None:
        """Admit the archived threads of one list."""
        listed = await archives.read(archive)
        if listed.is_refused:
            await self._membership.look()
        if listed.trouble is not None:
            trouble = Trouble(archive.parent.id, f"archived threads: {listed.trouble}")
            if trouble not in self._troubles:
                self._troubles.append(trouble)
        await self._admit(survey, channels, listed.threads)

    async def _settle_archives(self) -> None:
        """Keep up to where the lists of archived threads need not be read again.

        A verification finds threads and reads none of them.
        """
        is_reading = self._window.sync_type is not SyncType.VERIFY
        if self._archives is None or not self._window.is_whole or not is_reading:
            return
        unfinished = {each for each in self._tasks if not self._has_ended(each)} | self._left
        settled = self._archives.newly_settled(unfinished, self._clock.now())
        if settled:
            await self._again(lambda: self._catalog.note_listings(settled))

    async def _mark_gone(self) -> None:
        """See `GoneChannels`. A run of some channels alone, or a verification, marks nothing."""
        if self._window.channels or self._window.sync_type is SyncType.VERIFY:
            return
        whole = self._archives.whole() if self._archives is not None else frozenset()
        await self._gone.mark_unlisted(self._seen, whole)

    async def _admit(
        self, survey: Survey, group: asyncio.TaskGroup, found: Iterable[Channel]
    ) -> None:
        """Record channels not seen before, and start what is to be read of them."""
        now = self._clock.now()
        by_id = {each.id: plausible(each, now) for each in found if each.id not in self._seen}
        if not by_id:
            return
        self._seen.update(by_id)
        new, forgotten = exclude_forgotten(by_id.values(), self._forgotten, self._window.channels)
        sorted_ = partition_readable(survey, new, self._window.channels)
        stored = await self._again(partial(self._catalog.record, sorted_.recordable))
        self._left |= sorted_.odd
        due = [
            each
            for each in sorted_.readable
            if not self._rests(each, stored[each.id]) or self._rechecks.stored_of(each.id)
        ]
        self._unchanged += len(sorted_.readable) - len(due)
        tasks = [self._task(each, stored[each.id]) for each in self._without_cooling(due)]
        for each in sorted_.readable:
            self._gaps += gaps_of(each, stored[each.id], self._ids)
        self._tasks.update({each.channel_id: each for each in tasks})
        skipped = (*sorted_.skipped, *forgotten)
        self._skipped.update({each.channel_id: each for each in skipped})
        await self._sink.plan(tasks, (*skipped, *self._not_asked(sorted_.readable)))
        for task in tasks:
            group.create_task(self._sync_one(task))

    def _not_asked(self, readable: Iterable[Channel]) -> Iterator[Skipped]:
        """Yield those that could be read, and of which nothing is asked in this run."""
        for each in readable:
            if each.id not in self._tasks:
                kind = LeftOut.COOLING if each.id in self._cooling else LeftOut.UNCHANGED
                yield Skipped(each.id, "", each.type, kind.value, kind)

    def _without_cooling(self, channels: Iterable[Channel]) -> Iterator[Channel]:
        """Those that Discord did not refuse lately; of the others the result tells."""
        for each in channels:
            letter = self._letters.get(each.id)
            if letter is None or letter.cools_until is None or self._window.channels:
                yield each
                continue
            self._left.add(each.id)
            self._cooling.add(each.id)
            told = (
                f"Given up before, and left alone until {letter.cools_until:%Y-%m-%d %H:%M} UTC "
                f"(`raysync dead-letters retry` asks at once): {letter.message}"
            )
            self._troubles.append(Trouble(each.id, told))

    async def _admit_rechecks(self, survey: Survey, group: asyncio.TaskGroup) -> None:
        """Start what is due of threads that no list named."""
        unlisted, _ = exclude_forgotten(
            self._rechecks.unlisted(self._seen, survey.guild.id), self._forgotten
        )
        readable = partition_readable(survey, unlisted, self._window.channels).readable
        self._seen.update(each.id for each in readable)
        cooled = self._without_cooling(readable)
        due = [(each, self._rechecks.stored_of(each.id)) for each in cooled]
        tasks = [self._task(each, stored) for each, stored in due if stored is not None]
        self._tasks.update({each.channel_id: each for each in tasks})
        cooling = (each for each in readable if each.id in self._cooling)
        await self._sink.plan(tasks, tuple(self._not_asked(cooling)))
        for task in tasks:
            group.create_task(self._sync_one(task))

    async def _note_rechecks(self) -> None:
        done = self._rechecks.done(self._tasks.values(), self._has_ended)
        if done:
            began_at = self._header.started_at
            await self._again(lambda: self._catalog.note_rechecks(done, began_at))

    def _has_ended(self, channel_id: ChannelId) -> bool:
        outcome = self._outcomes.get(channel_id)
        return outcome is not None and outcome.failure is None

    def _rests(self, channel: Channel, stored: StoredChannel) -> bool:
        if self._window.sync_type is SyncType.FULL:
            return False
        if self._window.sync_type is SyncType.VERIFY:
            return True
        if channel.id in self._letters:  # it stays one until it is read to its end
            return False
        return is_unchanged(channel, stored, self._ids, self._lookback_start)

    def _task(self, channel: Channel, stored: StoredChannel) -> ChannelTask:
        self._channels[channel.id] = channel
        recheck = self._rechecks.of(channel.id)
        rests = self._rests(channel, stored) and self._rechecks.stored_of(channel.id) is not None
        pages = 0.0 if rests else expected_pages(channel, stored, self._window)
        return ChannelTask(
            job_id=self._header.job_id,
            tenant_id=self._tenant.id,
            channel_key=stored.key,
            channel_id=channel.id,
            name=channel.name,
            sync_type=self._window.sync_type,
            window=self._ids,
            last_message_id=channel.last_message_id,
            lookback_start=self._lookback_start,
            expected_pages=max(pages + (recheck.pages if recheck is not None else 0), 1.0),
            is_guess=is_guess(channel, stored) and not rests,
            recheck=() if recheck is None else recheck.ids,
            only_recheck=rests,
        )

    async def _sync_one(self, task: ChannelTask) -> None:
        outcome = await self._dispatcher.run(task)
        if _is_not_found(outcome) and not await self._gone.exists(task.channel_id):
            await self._gone.mark({task.channel_id})
            outcome = replace(outcome, status=ChannelJobStatus.COMPLETED, failure=None)
        outcome = await self._membership.explain(outcome, self._channels.pop(task.channel_id))
        if outcome.failure and outcome.failure.failure_class is FailureClass.FATAL:
            raise RunStoppedError(outcome.failure.message)  # it is no fault of the channel's
        self._outcomes[task.channel_id] = outcome
        self._planner.uncovered.add(outcome.tally.not_covered, task.channel_id)
        if outcome.tally.unplaced:
            self._left.add(task.channel_id)
        await self._sink.settle(outcome)


def _is_not_found(outcome: ChannelOutcome) -> bool:
    return outcome.failure is not None and outcome.failure.error == NotFoundError.__name__
