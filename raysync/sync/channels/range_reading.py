"""The reading of one range of message ids, page after page.

While page N is being written, page N+1 is fetched; nothing else is ever in memory, whatever the
channel's size. No transaction is open while Discord is asked.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from raysync.clock import Clock
from raysync.errors import NoProgressError, RouteMissingError
from raysync.models.entities import Message
from raysync.models.ids import MessageId, earliest_snowflake, latest_snowflake, snowflake_at
from raysync.models.work import Claim, IdRange, Parked
from raysync.sync.channels.attempt import AttemptProgress
from raysync.sync.channels.fetching import PageFetcher
from raysync.sync.channels.pace import VisitPace
from raysync.sync.channels.page import (
    MAX_PAGE,
    NO_END,
    Bounds,
    Step,
    falls_short,
    first_cursor,
    is_doubtful,
    judge,
    nothing_more,
    rest_of,
    tied_page,
)
from raysync.sync.channels.page_writing import PageWriter
from raysync.sync.channels.whereabouts import where
from raysync.sync.window import LATE_ARRIVAL_S, cursor_above

_log = logging.getLogger(__name__)


class RangeReader:
    """Reads the ranges of one claim that its coverage lacks."""

    def __init__(
        self,
        claim: Claim,
        fetch: PageFetcher,
        writer: PageWriter,
        progress: AttemptProgress,
        pace: VisitPace,
        clock: Clock,
    ) -> None:
        self._claim = claim
        self._task = claim.task
        self._fetch = fetch
        self._writer = writer
        self._progress = progress
        self._counted = progress.counted
        self._pace = pace
        self._clock = clock

    async def read(self, wanted: IdRange) -> Parked | None:
        """Read the range to its end. Return how the channel was parked before; None: it was not."""
        bounds = self._bounds(wanted)
        cursor, heeds_cursor, reached = first_cursor(wanted), False, MessageId(0)
        messages = await self._fetch(cursor)
        while True:
            step = judge(messages, cursor, bounds)
            if step.page is not None:  # before another page is requested
                page = replace(step.page, requested_s=self._fetch.requested_s)
                step = replace(step, page=page)
            self._note_unplaced(messages, step, cursor)
            if step.is_tied:
                bounds, cursor, messages = await self._pass_ties(messages, step, bounds)
                continue
            bounds = self._bounds(wanted)
            following: Sequence[Message] | None = None
            if step.holds_newest and not heeds_cursor:
                # An API that ignores the cursor sends its newest page: the next page shows it.
                heeds_cursor = True
                following = await self._fetch(step.next_cursor)
                judge(following, step.next_cursor, bounds)
            await self._writer.finish()
            if step.page is not None:
                self._count(step.page.messages)
                self._writer.begin(step.page)
            if step.beyond or (step.page is None and messages):  # or no record of it has a place
                return None
            if step.is_end:
                grows, reached = step.highest > reached, max(reached, step.highest)
                cursor, messages = step.next_cursor, await self._behind(step, bounds, reached)
                if not messages:
                    return None
                if not grows:  # each of its last pages has another end
                    raise NoProgressError(NO_END.format(step.highest))
            elif following is not None:
                cursor, messages = step.next_cursor, following
            elif (parked := self._pace.park()) is not None:
                return parked
            else:
                cursor = step.next_cursor
                messages = await self._fetch(cursor)

    def _bounds(self, wanted: IdRange) -> Bounds:
        now, late = self._clock.now(), timedelta(seconds=LATE_ARRIVAL_S)
        return Bounds(
            wanted,
            self._fetch.page_size,
            self._task.last_message_id,
            self._claim.has_rows,
            settled=snowflake_at(now - late),
            ceiling=snowflake_at(now + late),
            earliest=earliest_snowflake(self._task.channel_id),
            latest=latest_snowflake(now),
        )

    async def _pass_ties(
        self, messages: Sequence[Message], step: Step, bounds: Bounds
    ) -> tuple[Bounds, MessageId, Sequence[Message]]:
        """Get beyond a millisecond that fills a page: by a larger page, or without a proof."""
        if bounds.limit < MAX_PAGE:
            bounds = replace(bounds, limit=MAX_PAGE)
            return bounds, step.next_cursor, await self._fetch(step.next_cursor, limit=MAX_PAGE)
        page = tied_page(messages, step, bounds)
        page = replace(page, requested_s=self._fetch.requested_s)
        await self._writer.finish()
        self._count(page.messages)
        if not step.unplaced:  # they are named by themselves
            self._counted.add_tie(step.highest)
        self._writer.begin(page)
        cursor = cursor_above(step.highest)
        bounds = self._bounds(bounds.wanted)
        return bounds, cursor, await self._fetch(cursor)

    async def _behind(self, step: Step, bounds: Bounds, reached: MessageId) -> Sequence[Message]:
        """Return the messages behind a last page; write the proof where there are none.

        *reached* is the highest message so far. Where the page ends at the message that the channel
        names, nothing follows. Else the name is outdated or was never true, and Discord is asked.
        Where the channel names a newer message, there are three causes:

        * The message was deleted: Discord says so by an error of its own.
        * The page was cut: the next page shows it. It may have been cut within its last
          millisecond, so that one is read again.
        * The permission to read the history is gone: an error again.

        Where the API lacks the route that tells, an empty page proves nothing, and nothing is
        written. Where records have no place, the newer message may be one of them.
        """
        if not (is_doubtful(step, bounds) or falls_short(step, bounds)):
            return ()
        if step.unplaced:
            messages = await self._fetch(step.next_cursor)
            goes_on = any(reached < message.id <= bounds.latest for message in messages)
            return messages if goes_on else ()
        rest = rest_of(step, bounds)  # None where it is too young to prove anything by
        newest = bounds.newest
        is_there = False if rest is None or newest is None else await self._is_there(newest)
        if not is_there:
            is_short = falls_short(step, bounds)
            messages = await self._fetch(reached if is_short else cursor_above(reached))
            if messages and step.page is None:
                return messages
            if not messages or await self._are_known(messages, step, reached):
                await self._writer.finish()
                proven = None if is_there is None else nothing_more(step, rest, bounds)
                if proven is not None:
                    proven = replace(proven, requested_s=self._fetch.requested_s)
                    await self._writer.write(proven)
                return ()
        return await self._fetch(step.next_cursor, above=reached)

    async def _are_known(self, messages: Sequence[Message], step: Step, reached: MessageId) -> bool:
        """Return whether *messages*, which came behind *reached*, are those of the last page.

        A server that orders a millisecond otherwise than by id sends others of it behind one of
        them. Read whole, from a cursor below it, the millisecond then has nothing more.
        """
        if step.page is None or any(message.id > reached for message in messages):
            return False
        whole = await self._fetch(step.next_cursor, limit=MAX_PAGE)
        known = {message.id for message in step.page.messages}
        return len(whole) < MAX_PAGE and all(message.id in known for message in whole)

    async def _is_there(self, message_id: MessageId) -> bool | None:
        """Return whether Discord has the message; None where the API lacks the route that tells."""
        try:
            return await self._fetch.is_there(message_id)
        except RouteMissingError as error:
            self._counted.add_missing(error)
            return None

    def _count(self, messages: Sequence[Message]) -> None:
        self._counted.add_page(messages)
        self._progress.report()

    def _note_unplaced(self, messages: Sequence[Message], step: Step, cursor: MessageId) -> None:
        new = self._counted.add_unplaced(messages, step.unplaced, cursor)
        if new:
            place = where(self._task, "unplaced")
            _log.warning("%d records of a page have no place", new, extra=place)
