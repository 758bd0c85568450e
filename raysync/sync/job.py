"""Runs one tenant's job: plans, has every channel synced, and sums up."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from raysync.errors import (
    PermanentError,
    RetryableError,
    RunStoppedError,
    UnknownChannelError,
)
from raysync.models.entities import Channel, Tenant
from raysync.models.ids import ChannelId, snowflake_at
from raysync.models.status import FailureClass, JobStatus, SyncType
from raysync.models.work import ChannelOutcome, ChannelTask, Skipped, StoredChannel, SyncWindow
from raysync.sync.estimate import expected_pages, is_guess, is_unchanged
from raysync.sync.planner import GuildPlanner, Survey, tell_apart
from raysync.sync.ports import ChannelCatalog, ChannelDispatcher, Moments, ProgressSink
from raysync.sync.progress import JobHeader
from raysync.sync.retry import Retrier
from raysync.sync.window import window_of

LISTINGS_AT_ONCE = 16
"""Archived-thread lists asked for at the same time, while channels are read beside."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that went wrong without ending the job."""

    channel_id: ChannelId | None
    message: str


@dataclass(frozen=True, slots=True)
class JobEnd:
    """How a job ended, before it is put into the result's words."""

    status: JobStatus
    outcomes: tuple[ChannelOutcome, ...]
    planned: tuple[ChannelTask, ...]
    skipped: tuple[Skipped, ...]
    unchanged: int  #: channels of which Discord's own lists say that they hold nothing new
    troubles: tuple[Trouble, ...]

    @property
    def unfinished(self) -> tuple[ChannelTask, ...]:
        """What was planned and did not end."""
        ended = {each.channel_id for each in self.outcomes}
        return tuple(each for each in self.planned if each.channel_id not in ended)


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
        clock: Moments,
        retrier: Retrier,
    ) -> None:
        self._header = header
        self._tenant = tenant
        self._window = window
        self._ids = window_of(window.since, window.until)
        lookback = clock.now() - timedelta(seconds=window.lookback_s)
        self._lookback_start = snowflake_at(lookback)
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
        self._troubles: list[Trouble] = []
        self._work: asyncio.Task[None] | None = None
        self._cancelled = False

    def cancel(self) -> None:
        """Stop as soon as what is under way has let go; `run` then returns."""
        self._cancelled = True
        if self._work is not None:
            self._work.cancel()

    async def run(self) -> JobEnd:
        """Do the job to its end, however it ends. Errors of the user are raised."""
        self._work = asyncio.create_task(self._sync())
        if self._cancelled:
            self._work.cancel()
        status: JobStatus | None = None
        try:
            await self._work
        except asyncio.CancelledError:
            if not self._cancelled:
                raise
            status = JobStatus.CANCELLED
        except (RunStoppedError, RetryableError, PermanentError) as error:
            self._troubles.append(Trouble(None, str(error)))
            status = JobStatus.FAILED
        return self._end(status)

    def _end(self, status: JobStatus | None) -> JobEnd:
        outcomes = tuple(self._outcomes.values())
        if status is None:
            failed = any(each.failure is not None for each in outcomes) or bool(self._troubles)
            status = JobStatus.PARTIAL if failed else JobStatus.COMPLETED
        return JobEnd(
            status,
            outcomes,
            tuple(self._tasks.values()),
            tuple(self._skipped.values()),
            self._unchanged,
            tuple(self._troubles),
        )

    async def _sync(self) -> None:
        survey = await self._again(self._planner.survey)
        try:
            async with asyncio.TaskGroup() as channels:
                await self._admit(survey, channels, survey.channels.values())
                await self._admit(survey, channels, survey.active_threads)
                await self._list_archived(survey, channels)
                if survey.active_threads or survey.parents_to_list():
                    moved = await self._again(self._planner.active_threads)
                    await self._admit(survey, channels, moved)
                self._refuse_unknown_channels()
                await self._sink.planned()
        except BaseExceptionGroup as group:
            raise _first(group) from group

    def _refuse_unknown_channels(self) -> None:
        """Say which of the channels that the user named there are not."""
        unknown = sorted(self._window.channels - self._seen)
        if unknown and len(unknown) == len(self._window.channels):
            named = ", ".join(str(each) for each in unknown)
            raise UnknownChannelError(
                f"The bot sees no channel or thread {named} in this guild: check the ids "
                "(Discord, User Settings, Advanced, Developer Mode; then Copy Channel ID)."
            )
        for each in unknown:
            self._troubles.append(Trouble(each, "The bot sees no channel or thread with this id."))

    async def _list_archived(self, survey: Survey, channels: asyncio.TaskGroup) -> None:
        gate = asyncio.Semaphore(LISTINGS_AT_ONCE)
        only = self._window.channels
        parents = survey.parents_to_list()
        if only and only <= set(survey.channels):
            parents = tuple(each for each in parents if each.id in only)
        async with asyncio.TaskGroup() as listings:
            for parent in parents:
                listings.create_task(self._list_one(survey, channels, parent, gate))

    async def _list_one(
        self, survey: Survey, channels: asyncio.TaskGroup, parent: Channel, gate: asyncio.Semaphore
    ) -> None:
        """Admit the archived threads of one channel; a refusal is that channel's trouble alone."""
        async with gate:
            try:
                threads = await self._again(partial(self._collect, survey, parent))
            except PermanentError as error:
                self._troubles.append(Trouble(parent.id, f"archived threads: {error}"))
                return
        await self._admit(survey, channels, threads)

    async def _collect(self, survey: Survey, parent: Channel) -> list[Channel]:
        return [each async for each in self._planner.archived_threads(survey, parent)]

    async def _admit(
        self, survey: Survey, group: asyncio.TaskGroup, found: Iterable[Channel]
    ) -> None:
        """Record channels not seen before, and start what is to be read of them."""
        new = [each for each in found if each.id not in self._seen]
        if not new:
            return
        self._seen.update(each.id for each in new)
        stored = await self._again(partial(self._catalog.record, new))
        sorted_ = tell_apart(survey, new, self._window.channels)
        tasks = [
            self._task(each, stored[each.id])
            for each in sorted_.readable
            if not self._rests(each, stored[each.id])
        ]
        self._unchanged += len(sorted_.readable) - len(tasks)
        self._tasks.update({each.channel_id: each for each in tasks})
        self._skipped.update({each.channel_id: each for each in sorted_.skipped})
        await self._sink.plan(tasks, sorted_.skipped)
        for task in tasks:
            group.create_task(self._sync_one(task))

    def _rests(self, channel: Channel, stored: StoredChannel) -> bool:
        if self._window.sync_type is SyncType.FULL:
            return False
        return is_unchanged(channel, stored, self._ids, self._lookback_start)

    def _task(self, channel: Channel, stored: StoredChannel) -> ChannelTask:
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
            expected_pages=expected_pages(channel, stored, self._window),
            is_guess=is_guess(channel, stored),
        )

    async def _sync_one(self, task: ChannelTask) -> None:
        outcome = await self._dispatcher.run(task)
        self._outcomes[task.channel_id] = outcome
        await self._sink.settle(outcome)
        if outcome.failure and outcome.failure.failure_class is FailureClass.FATAL:
            raise RunStoppedError(outcome.failure.message)


def _first(group: BaseException) -> BaseException:
    """The error that ended a task group: a stopped run says more than what it dragged along."""
    leaves: list[BaseException] = []
    pending: list[BaseException] = [group]
    while pending:
        each = pending.pop(0)
        if isinstance(each, BaseExceptionGroup):
            pending.extend(each.exceptions)
        else:
            leaves.append(each)
    return next((each for each in leaves if isinstance(each, RunStoppedError)), leaves[0])
