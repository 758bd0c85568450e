"""One tenant's job: plan, have every channel read, and return how it ended."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable
from dataclasses import replace
from functools import partial

from raysync.errors import (
    ConfigurationError,
    PermanentError,
    RaysyncError,
    RetryableError,
    RunStoppedError,
)
from raysync.models.entities import Channel
from raysync.models.ids import ChannelId
from raysync.models.status import FailureClass, JobStatus
from raysync.models.work import ChannelTask
from raysync.sync.groups import first_error
from raysync.sync.job.admission import Admission
from raysync.sync.job.archive_lists import ArchiveLists
from raysync.sync.job.gone import GoneChannels
from raysync.sync.job.inputs import JobPorts, JobScope
from raysync.sync.job.ledger import JobLedger
from raysync.sync.job.membership import Membership
from raysync.sync.job.outcome import JobOutcome, Trouble
from raysync.sync.job.rechecks import Rechecks
from raysync.sync.planning.planner import Survey
from raysync.sync.planning.reach import within_reach

LOOK_AGAIN_S = 60.0
"""Length of a run, in seconds. Runs longer than this list channels once more before they end."""


class SyncJob:
    """One job. Call `run` once; call `cancel` from anywhere in the same event loop."""

    def __init__(self, scope: JobScope, ports: JobPorts) -> None:
        self._scope = scope
        self._ports = ports
        self._retry = ports.retry
        self._ledger = ledger = JobLedger()
        self._rechecks = Rechecks(scope.window, scope.ids, ports.catalog)
        self._admission = Admission(scope, ports, ledger, self._rechecks)
        self._gone = GoneChannels(scope, ports, ledger)
        self._membership = Membership(ports.planner, ports.retry, ports.clock)
        self._work: asyncio.Task[None] | None = None
        self._cancelled = False
        self._reason: RaysyncError | None = None

    def cancel(self, reason: RaysyncError | None = None) -> None:
        """Stop as soon as the tasks in flight have let go; `run` then returns.

        With a *reason*, the job counts as failed for it instead of cancelled.
        """
        self._cancelled = True
        self._reason = self._reason or reason
        if self._work is not None:
            self._work.cancel()

    async def run(self) -> JobOutcome:
        """Run the job to its end, and return how it ended.

        Raises:
            ConfigurationError: the user has to change something, and no channel was planned yet.
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
                raise  # the caller's task was cancelled, not the job by `cancel`
            status = JobStatus.CANCELLED
            if self._reason is not None:
                status = self._fail(self._reason)
        except (RunStoppedError, RetryableError, PermanentError, ConfigurationError) as error:
            if isinstance(error, ConfigurationError) and not self._ledger.tasks:
                raise
            status = self._fail(error)
        return self._ledger.close(status, self._ports.planner.uncovered.all())

    def _fail(self, error: RaysyncError) -> JobStatus:
        self._ledger.troubles.append(Trouble(None, str(error)))
        return JobStatus.FAILED

    async def _sync(self) -> None:
        began_s = self._ports.clock.monotonic_s()
        survey = await self._retry(self._ports.planner.survey)
        self._ledger.troubles += [Trouble(None, message) for message in survey.troubles]
        letters = await self._retry(self._ports.catalog.letters)
        if not self._scope.is_verification:
            self._admission.letters = letters
        try:
            lists = await self._prepare(survey, letters)
            self._rechecks.add_letters(self._admission.letters)
            await self._read_guild(survey, lists)
            if self._ports.clock.monotonic_s() - began_s > LOOK_AGAIN_S:
                await self._look_again(survey)
            await lists.settle()
            await self._note_rechecks()
        except BaseExceptionGroup as group:
            raise first_error(group) from group

    async def _prepare(self, survey: Survey, letters: Collection[ChannelId]) -> ArchiveLists:
        """Choose the old pages to compare again, never of a dead letter: it is read whole first."""
        known = await self._retry(self._ports.catalog.known)  # before this run changes it
        lists = await ArchiveLists.open(
            self._scope, self._ports, self._ledger, self._membership, survey, known
        )
        readable: frozenset[ChannelId] = frozenset()
        if self._rechecks.reads_old:
            readable = await within_reach(survey, known, lists.reader, self._scope.forgotten)
        readable -= set(letters)
        await self._retry(lambda: self._rechecks.plan(self._scope.lookback_start, readable))
        return lists

    async def _read_guild(self, survey: Survey, lists: ArchiveLists) -> None:
        """Admit channels and threads list by list, while those admitted are being read."""
        async with asyncio.TaskGroup() as group:
            admit = partial(self._admit, survey, group)
            await admit(survey.channels.values())
            await admit(survey.active_threads)
            await lists.admit_threads(admit)
            self._start(group, await self._admission.admit_rechecks(survey))
            if survey.active_threads or survey.parents_to_list():
                # A thread may have been archived, or revived, while the lists were read.
                await admit(await self._retry(self._ports.planner.active_threads))
            await self._gone.settle_named()
            await self._gone.mark_unlisted(lists.read_whole(), lists.vanished())
            await self._ports.sink.planned()

    async def _look_again(self, survey: Survey) -> None:
        """Read the channels and threads that were created during the run."""
        channels, threads = await self._retry(self._ports.planner.look_again)
        grown = replace(survey, channels={channel.id: channel for channel in channels})
        async with asyncio.TaskGroup() as group:
            await self._admit(grown, group, channels)
            await self._admit(grown, group, threads)

    async def _note_rechecks(self) -> None:
        done = self._rechecks.done(self._ledger.tasks.values(), self._ledger.has_ended)
        if done:
            began_at = self._scope.header.started_at
            await self._retry(lambda: self._ports.catalog.note_rechecks(done, began_at))

    async def _admit(
        self, survey: Survey, group: asyncio.TaskGroup, listed: Iterable[Channel]
    ) -> None:
        self._start(group, await self._admission.admit(survey, listed))

    def _start(self, group: asyncio.TaskGroup, tasks: Iterable[ChannelTask]) -> None:
        for task in tasks:
            group.create_task(self._read(task))

    async def _read(self, task: ChannelTask) -> None:
        """Have one channel read, and record how that ended."""
        ledger = self._ledger
        outcome = await self._ports.dispatcher.run(task)
        outcome = await self._gone.resolve(outcome)
        channel = ledger.in_flight.pop(task.channel_id)
        outcome = await self._membership.explain(outcome, channel)
        if outcome.failure and outcome.failure.failure_class is FailureClass.FATAL:
            raise RunStoppedError(outcome.failure.message)  # the channel is not at fault
        ledger.outcomes[task.channel_id] = outcome
        self._ports.planner.uncovered.add(outcome.tally.not_covered, task.channel_id)
        if outcome.tally.unplaced:
            ledger.not_read.add(task.channel_id)
        await self._ports.sink.settle(outcome)
