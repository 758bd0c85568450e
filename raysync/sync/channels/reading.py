"""One attempt at one channel: its messages, then its extras."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from datetime import datetime

from raysync.errors import (
    AccessDeniedError,
    ExtrasRefusedError,
    NotFoundError,
    RouteMissingError,
    StoreRestartedError,
)
from raysync.models.events import ChannelProgress
from raysync.models.extras import ExtraTally
from raysync.models.work import ChannelTally, ChannelTask, Claim, Parked, VisitSpan
from raysync.sync.channels.attempt import AttemptProgress
from raysync.sync.channels.extras import Visit
from raysync.sync.channels.fetching import PageFetcher
from raysync.sync.channels.pace import VisitPace
from raysync.sync.channels.page import ranges_to_read
from raysync.sync.channels.page_writing import PageWriter
from raysync.sync.channels.ports import ChannelPorts
from raysync.sync.channels.range_reading import RangeReader
from raysync.sync.channels.whereabouts import where
from raysync.sync.retry import Retrier, outage_of

_log = logging.getLogger(__name__)


class Reading:
    """One attempt at one channel."""

    def __init__(
        self,
        ports: ChannelPorts,
        task: ChannelTask,
        started_at: datetime,
        on_progress: Callable[[ChannelProgress], None],
    ) -> None:
        self.parked: Parked | None = None
        self.is_finished = False
        self.again = Retrier(
            ports.policy, ports.clock, ports.sleep, outage_of(ports.source.is_reachable)
        )
        self._ports = ports
        self._task = task
        self._is_read = task.is_read
        self._bucket = ports.bucket_of(task.channel_id)
        self._progress = AttemptProgress(
            task, ports.worker_id, ports.clock, started_at, on_progress
        )
        self._counted = self._progress.counted
        self._pace = VisitPace(task, self._bucket, self._progress, ports.clock)

    @property
    def tally(self) -> ChannelTally:
        """The work done at the channel in this job so far."""
        return self._progress.tally

    def visits(self) -> tuple[VisitSpan, ...]:
        """Return the channel's visits in this job; the current one ends now."""
        return self._progress.visits()

    async def read(self, claim: Claim) -> None:
        """Read everything the task asks for and the claim's coverage lacks, then the extras."""
        self._progress.begin_visit()
        self._counted.add_unreported(claim.unreported)
        try:
            if not self._is_read:
                self._is_read = await self._read_messages(claim)
            if self._is_read and await self._read_extras(claim):
                self._counted.require_no_ties()
                self.is_finished = True
        except StoreRestartedError as error:  # the next claim tells what is left of it
            _log.warning("%s", error, extra=where(self._task, "claimed_again"))
            self.come_back()

    def come_back(self) -> None:
        """Have the channel claimed again, and read on from where the database says it stands."""
        self.is_finished = False
        self.parked = Parked(0.0, self._progress.remaining_pages(), self._bucket.ages_s())

    async def _read_messages(self, claim: Claim) -> bool:
        """Read the messages. Return whether all were read; else the channel is parked."""
        if self._task.paged_ago_s:
            self._bucket.restore(self._task.paged_ago_s)
        elif claim.paged_ago_s is not None:  # by an earlier run, or by a worker that died
            self._bucket.assume_exhausted(claim.paged_ago_s)
        ports = self._ports
        fetch = PageFetcher(
            ports.source,
            self._task.channel_id,
            ports.page_size,
            self.again,
            self._pace.set_head_start,
            self._counted.add_request,
            ports.clock,
        )
        writer = PageWriter(claim, ports.store, self.again, self._counted)
        reader = RangeReader(claim, fetch, writer, self._progress, self._pace, ports.clock)
        try:
            for wanted in ranges_to_read(claim):
                self.parked = await reader.read(wanted)
                if self.parked is not None:
                    return False
        finally:
            await writer.finish()
            self._progress.report()  # with what came of the last page
        return True

    async def _read_extras(self, claim: Claim) -> bool:
        """Read the extras. Return whether all were read; else the channel is parked."""
        visit = Visit(claim, self.again, self._pace.gives_way_to_messages, self._count_extras)
        extras = self._ports.extras
        if extras and not self.tally.extras.extras_counted:
            due = sum([await extra.due(visit) for extra in extras])
            self._count_extras(ExtraTally(extras_due=due, extras_counted=1))
        for extra in extras:
            if not await self._read_extra(extra.read(visit)):
                self.parked = Parked(0.0, 0.0, self._bucket.ages_s(), is_read=True)
                return False
        return True

    async def _read_extra(self, reading: Awaitable[bool]) -> bool:
        """Read one sort of extras; where the API lacks the route for it, it is done, too.

        A refusal of extras is no refusal of the channel's messages.
        """
        try:
            return await reading
        except RouteMissingError as error:
            self._counted.add_missing(error)
            return True
        except (AccessDeniedError, NotFoundError) as error:
            raise ExtrasRefusedError(str(error)) from None

    def _count_extras(self, done: ExtraTally) -> None:
        self._counted.add_extras(done)
        self._progress.report()
