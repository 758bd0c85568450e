"""One attempt at one channel: page after page, then what is read beside messages.

While page N is being written, page N+1 is fetched; nothing else is ever in memory, whatever the
channel's size. No transaction is open while Discord is asked.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from raysync.errors import (
    AccessDeniedError,
    ExtrasRefusedError,
    NoProgressError,
    NotFoundError,
    RouteMissingError,
    StoreRestartedError,
)
from raysync.models.entities import Message
from raysync.models.events import ChannelProgress
from raysync.models.extras import ExtraTally
from raysync.models.ids import (
    MessageId,
    earliest_snowflake,
    latest_snowflake,
    snowflake_at,
)
from raysync.models.work import (
    ChannelTally,
    ChannelTask,
    Claim,
    IdRange,
    PageWrite,
    Parked,
    VisitSpan,
)
from raysync.sync.counting import ChannelCount
from raysync.sync.extras import Visit
from raysync.sync.fetching import PageFetcher
from raysync.sync.page import (
    MAX_PAGE,
    NO_END,
    Bounds,
    Step,
    falls_short,
    first_cursor,
    is_doubtful,
    judge,
    nothing_more,
    ranges_to_read,
    rest_of,
    tied_page,
)
from raysync.sync.rescue import write_page
from raysync.sync.retry import Retrier, outage_of
from raysync.sync.visits import with_visit
from raysync.sync.whereabouts import where
from raysync.sync.window import LATE_ARRIVAL_S, cursor_above, fraction_read

if TYPE_CHECKING:
    from raysync.sync.channel import ChannelSync

_log = logging.getLogger(__name__)

PARK_S = 0.05
"""A channel that would wait longer for its bucket gives its slot to another meanwhile."""
VISIT_S = 2.0
"""Where no bucket empties and others wait for the slot, a channel gives it away after so long."""
LONG_VISIT_S = 3.0
"""The same where nobody waited when the visit began: another worker may have come up since."""
HEAD_START_S = 5.0
"""Of a page before other channels', the most that counts: so much in the middle of a visit where
others wait, for visits in turn refill in turn; else by what is left."""
HALF_START_PAGES = 15.0
"""With so many pages left, a channel has half of the head start."""


class Reading:
    """One attempt at one channel."""

    def __init__(
        self,
        engine: ChannelSync,
        task: ChannelTask,
        started_at: datetime,
        on_progress: Callable[[ChannelProgress], None],
    ) -> None:
        self._engine = engine
        self._task = task
        self._started_at = started_at
        self._on_progress = on_progress
        self._is_sample = task.is_guess and not task.done.pages and not task.is_read
        self._began_s: float | None = None  #: when its first page was there
        self._visit_from_s: float | None = None  #: Unix seconds
        self._saving: asyncio.Task[None] | None = None
        self._counted = ChannelCount(task.done)
        self.parked: Parked | None = None
        self.again = Retrier(
            engine.policy, engine.clock, engine.sleep, outage_of(engine.source.is_reachable)
        )
        self._fetch = PageFetcher(
            engine.source,
            task.channel_id,
            engine.page_size,
            self.again,
            self._head_start_s,
            self._counted.add_request,
        )
        self.finished = False
        self._is_read = task.is_read

    async def read(self, claim: Claim) -> None:
        """Read everything the task asks for and the claim's coverage lacks, then the extras."""
        self._visit_from_s = self._engine.clock.now().timestamp()
        try:
            if not self._is_read:
                self._is_read = await self._read_messages(claim)
            if self._is_read and await self._read_extras(claim):
                self._counted.require_no_ties()
                self.finished = True
        except StoreRestartedError as error:  # the next claim tells what is left of it
            _log.warning("%s", error, extra=where(self._task, "claimed_again"))
            self.come_back()

    def come_back(self) -> None:
        """Be read on under a new claim, from where the database says that the channel stands."""
        self.finished = False
        ages_s = self._engine.source.paged_ago_s(self._task.channel_id)
        self.parked = Parked(0.0, self._remaining_pages(), ages_s)

    @property
    def tally(self) -> ChannelTally:
        """What has been done at the channel in this job so far."""
        return self._counted.tally

    async def _read_messages(self, claim: Claim) -> bool:
        source, channel_id = self._engine.source, self._task.channel_id
        if self._task.paged_ago_s:
            source.take_over(channel_id, self._task.paged_ago_s)
        elif claim.paged_ago_s is not None:  # by an earlier run, or by a worker that died
            source.assume_exhausted(channel_id, claim.paged_ago_s)
        try:
            for each in ranges_to_read(claim):
                if not await self._read_range(claim, each):
                    return False
        finally:
            await self._saved()
            self._on_progress(self._progress())  # with what came of the last page
        return True

    async def _read_extras(self, claim: Claim) -> bool:
        visit = Visit(claim, self.again, self._gives_way_to_messages, self._count_extras)
        if self._engine.extras and not self.tally.extras.extras_counted:
            due = sum([await each.due(visit) for each in self._engine.extras])
            self._count_extras(ExtraTally(extras_due=due, extras_counted=1))
        for each in self._engine.extras:
            if not await self._read_extra(each.read(visit)):
                ages_s = self._engine.source.paged_ago_s(self._task.channel_id)
                self.parked = Parked(0.0, 0.0, ages_s, is_read=True)
                return False
        return True

    async def _read_extra(self, reading: Awaitable[bool]) -> bool:
        """Read one sort of extras; done, too, where the API lacks the route for it.

        What Discord refuses of extras is no refusal of the channel's messages.
        """
        try:
            return await reading
        except RouteMissingError as error:
            self._counted.add_missing(error)
            return True
        except (AccessDeniedError, NotFoundError) as error:
            raise ExtrasRefusedError(str(error)) from None

    def _gives_way_to_messages(self) -> bool:
        """Whether messages of other channels wait: they go first."""
        return (self._task.is_hurried and not self._task.is_read) or self._is_long_enough()

    def _count_extras(self, done: ExtraTally) -> None:
        self._counted.add_extras(done)
        self._on_progress(self._progress())

    async def _read_range(self, claim: Claim, wanted: IdRange) -> bool:
        """Read the range to its end. False: the channel was parked before."""
        bounds = self._bounds(claim, wanted)
        cursor, heeds_cursor, reached = first_cursor(wanted), False, MessageId(0)
        messages = await self._fetch(cursor)
        while True:
            step = judge(messages, cursor, bounds)
            self._note_unplaced(messages, step, cursor)
            if step.is_tied:
                bounds, cursor, messages = await self._pass_ties(claim, messages, step, bounds)
                continue
            bounds = self._bounds(claim, wanted)
            following: Sequence[Message] | None = None
            if step.holds_newest and not heeds_cursor:
                # An API that ignores the cursor sends its newest page: what comes next tells.
                heeds_cursor = True
                following = await self._fetch(step.next_cursor)
                judge(following, step.next_cursor, bounds)
            await self._saved()
            if step.page is not None:
                self._count(step.page.messages)
                self._saving = asyncio.create_task(self._save(claim, step.page))
            if step.beyond or (step.page is None and messages):  # or no record of it has a place
                return True
            if step.is_end:
                grows, reached = step.highest > reached, max(reached, step.highest)
                cursor, messages = (
                    step.next_cursor,
                    await self._behind(claim, step, bounds, reached),
                )
                if not messages:
                    return True
                if not grows:  # each of its last pages has another end
                    raise NoProgressError(NO_END.format(step.highest))
            elif following is not None:
                cursor, messages = step.next_cursor, following
            elif self._gives_way():
                return False
            else:
                cursor = step.next_cursor
                messages = await self._fetch(cursor)

    def _bounds(self, claim: Claim, wanted: IdRange) -> Bounds:
        now, late = self._engine.clock.now(), timedelta(seconds=LATE_ARRIVAL_S)
        return Bounds(
            wanted,
            self._engine.page_size,
            self._task.last_message_id,
            claim.has_rows,
            settled=snowflake_at(now - late),
            ceiling=snowflake_at(now + late),
            earliest=earliest_snowflake(self._task.channel_id),
            latest=latest_snowflake(now),
        )

    async def _pass_ties(
        self, claim: Claim, messages: Sequence[Message], step: Step, bounds: Bounds
    ) -> tuple[Bounds, MessageId, Sequence[Message]]:
        """Get beyond a millisecond that fills a page: by a larger page, or without a proof."""
        if bounds.limit < MAX_PAGE:
            bounds = replace(bounds, limit=MAX_PAGE)
            return bounds, step.next_cursor, await self._fetch(step.next_cursor, limit=MAX_PAGE)
        page = tied_page(messages, step, bounds)
        await self._saved()
        self._count(page.messages)
        if not step.unplaced:  # they are named by themselves
            self._counted.add_tie(step.highest)
        self._saving = asyncio.create_task(self._save(claim, page))
        cursor = cursor_above(step.highest)
        bounds = self._bounds(claim, bounds.wanted)
        return bounds, cursor, await self._fetch(cursor)

    async def _behind(
        self, claim: Claim, step: Step, bounds: Bounds, reached: MessageId
    ) -> Sequence[Message]:
        """Return what comes after a last page after all; write down where nothing does.

        *reached* is the highest message so far. Where the page ends at the message that the channel
        names, nothing comes. Else what it names is not true any more, or never was, and one asks.
        Where it names a newer one, that was deleted, or the page was cut, or the permission
        to read the history is gone: Discord tells the first by an error of its own, the second
        shows when the next page is asked for, and the third is an error again. A page that was
        cut may have been cut within its last millisecond, so that is read once more. Where the API
        lacks the route that tells, an empty page proves nothing, and nothing is written down. Where
        records have no place, the newer message may be one of them.
        """
        if not (is_doubtful(step, bounds) or falls_short(step, bounds)):
            return ()
        if step.unplaced:
            messages = await self._fetch(step.next_cursor)
            goes_on = any(reached < each.id <= bounds.latest for each in messages)
            return messages if goes_on else ()
        rest = rest_of(step, bounds)  # None where it is too young to prove anything by
        newest = bounds.newest
        is_there = False if rest is None or newest is None else await self._is_there(newest)
        if not is_there:
            is_short = falls_short(step, bounds)
            messages = await self._fetch(reached if is_short else cursor_above(reached))
            if messages and step.page is None:
                return messages
            if not messages:
                await self._saved()
                proven = None if is_there is None else nothing_more(step, rest, bounds)
                if proven is not None:
                    await self._save(claim, proven)
                return ()
        return await self._fetch(step.next_cursor, above=reached)

    async def _is_there(self, message_id: MessageId) -> bool | None:
        """Return whether Discord has the message; None where the API lacks the route that tells."""
        try:
            return await self._fetch.is_there(message_id)
        except RouteMissingError as error:
            self._counted.add_missing(error)
            return None

    def _gives_way(self) -> bool:
        """Park the channel if its bucket is empty, or its visit was long enough."""
        source, channel_id = self._engine.source, self._task.channel_id
        left = self._remaining_pages()
        return_s = source.pause_s(channel_id)
        if return_s > PARK_S:
            if self._task.is_hurried:  # rarely, and for as many pages as the bucket can save up
                return_s = source.return_s(channel_id, left or self._task.expected_pages)
        elif not self._is_long_enough():
            return False
        self.parked = Parked(return_s, left, source.paged_ago_s(channel_id))
        return True

    def _is_long_enough(self) -> bool:
        """Whether the slot is due to others: after one page where that tells how much is left."""
        now_s = self._engine.clock.monotonic_s()
        self._began_s = now_s if self._began_s is None else self._began_s
        if self._task.is_hurried:
            return self._is_sample or now_s - self._began_s > VISIT_S
        return now_s - self._began_s > LONG_VISIT_S

    def _head_start_s(self) -> float:
        """How much earlier than others its next page is due.

        Where a slot is to be given away, a visit is not to be drawn out. Else the channels that
        have the most left go first, so that all end together.
        """
        if self._task.is_hurried and self.tally.pages > self._task.done.pages:
            return HEAD_START_S
        left = self._remaining_pages() or self._task.expected_pages
        return HEAD_START_S * left / (left + HALF_START_PAGES)

    def _remaining_pages(self) -> float | None:
        fraction = self._fraction()
        if not fraction:
            return None
        return max(self.tally.pages * (1 - fraction) / fraction, 1.0)

    async def _save(self, claim: Claim, page: PageWrite) -> None:
        store = self._engine.store
        receipt = await write_page(
            lambda some: self.again(lambda: store.save_page(claim, some)), page
        )
        self._counted.add_written(receipt)

    async def _saved(self) -> None:
        """Wait for the page under way, so that pages are written in order, one at a time."""
        saving, self._saving = self._saving, None
        if saving is not None:
            await saving

    def _count(self, messages: Sequence[Message]) -> None:
        self._counted.add_page(messages)
        self._on_progress(self._progress())

    def _note_unplaced(self, messages: Sequence[Message], step: Step, cursor: MessageId) -> None:
        new = self._counted.add_unplaced(messages, step.unplaced, cursor)
        if new:
            told = where(self._task, "unplaced")
            _log.warning("%d records of a page have no place", new, extra=told)

    def _progress(self) -> ChannelProgress:
        return ChannelProgress(
            channel_id=self._task.channel_id,
            attempt=self._task.attempt,
            worker_id=self._engine.worker_id,
            started_at=self._started_at,
            tally=self.tally,
            fraction=self._share_done(),
            visits=self.visits(),
        )

    def visits(self) -> tuple[VisitSpan, ...]:
        """The channel's visits in this job, the one under way as far as it has come."""
        began_s = self._visit_from_s
        if began_s is None:
            return self._task.visits
        ended_s = max(self._engine.clock.now().timestamp(), began_s)
        span = VisitSpan(self._engine.worker_id, began_s, ended_s, 1, ended_s - began_s)
        return with_visit(self._task.visits, span)

    def _share_done(self) -> float | None:
        """How much of the channel has been read, the extras included once they are counted."""
        extras = self.tally.extras
        if not extras.extras_counted:
            return self._fraction()
        whole = self.tally.pages + extras.extras_due
        done = self.tally.pages + min(extras.extras_done, extras.extras_due)
        return done / whole if whole else 1.0

    def _fraction(self) -> float | None:
        """How much of the channel's time, from its first message on, has been read."""
        first, at = self.tally.first_message_id, self.tally.last_message_id
        last = self._task.last_message_id
        return fraction_read(first, at, last) if first and at and last else None
