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
    ContentIntentError,
    ExtrasRefusedError,
    NotFoundError,
    PayloadError,
    RetryableError,
    StoreRestartedError,
)
from raysync.models.entities import Message
from raysync.models.events import ChannelProgress
from raysync.models.extras import ExtraTally
from raysync.models.ids import MessageId, earliest_snowflake, latest_snowflake, snowflake_at
from raysync.models.work import (
    MOST_NAMED,
    ChannelTask,
    Claim,
    IdRange,
    PageWrite,
    Parked,
    Unplaced,
    VisitSpan,
)
from raysync.sync.extras import Visit
from raysync.sync.page import (
    Bounds,
    Step,
    comes_empty,
    falls_short,
    judge,
    nothing_in,
    ranges_to_read,
    rest_of,
)
from raysync.sync.rescue import write_page
from raysync.sync.retry import Retrier, outage_of
from raysync.sync.visits import with_visit
from raysync.sync.window import LATE_ARRIVAL_S, fraction_read

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

MANY_BLANK = 5
"""So many messages of one page that hold nothing are no coincidence."""
WITHHELD = (
    "Discord sends every message of a page empty, though it says that the bot has the Message "
    "Content intent, so the channel is not read on, and nothing stored was emptied. Where all "
    "channels are like that, switch the intent off and on again (Discord Developer Portal, your "
    "application, Bot)."
)


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
        self.tally = task.done
        self.parked: Parked | None = None
        self.again = Retrier(
            engine.policy, engine.clock, engine.sleep, outage_of(engine.source.is_reachable)
        )
        self.finished = False
        self._is_read = task.is_read
        self._unplaced: frozenset[Message] = frozenset()  #: of the last page

    async def read(self, claim: Claim) -> None:
        """Read everything the task asks for and the claim's coverage lacks, then the extras."""
        self._visit_from_s = self._engine.clock.now().timestamp()
        try:
            if not self._is_read:
                self._is_read = await self._read_messages(claim)
            if self._is_read:
                self.finished = await self._read_extras(claim)
        except StoreRestartedError as error:  # the next claim tells what is left of it
            _log.warning("%s", error, extra=where(self._task, "claimed_again"))
            self.come_back()

    def come_back(self) -> None:
        """Be read on under a new claim, from where the database says that the channel stands."""
        self.finished = False
        ages_s = self._engine.source.paged_ago_s(self._task.channel_id)
        self.parked = Parked(0.0, self._remaining_pages(), ages_s)

    async def _read_messages(self, claim: Claim) -> bool:
        source, channel_id = self._engine.source, self._task.channel_id
        if self._task.paged_ago_s:
            source.take_over(channel_id, self._task.paged_ago_s)
        elif claim.paged_ago_s is not None:  # by an earlier run, or by a worker that died
            source.take_for_used(channel_id, claim.paged_ago_s)
        try:
            for each in ranges_to_read(claim):
                if not await self._read_range(claim, each):
                    return False
        finally:
            await self._saved()
        return True

    async def _read_extras(self, claim: Claim) -> bool:
        visit = Visit(claim, self.again, self._gives_way_to_messages, self._count_extras)
        for each in self._engine.extras:
            if not await _of_extras(each.read(visit)):
                ages_s = self._engine.source.paged_ago_s(self._task.channel_id)
                self.parked = Parked(0.0, 0.0, ages_s, is_read=True)
                return False
        return True

    def _gives_way_to_messages(self) -> bool:
        """Whether messages of other channels wait: they go first."""
        return (self._task.is_hurried and not self._task.is_read) or self._is_long_enough()

    def _count_extras(self, done: ExtraTally) -> None:
        self.tally = replace(self.tally, extras=self.tally.extras + done)
        self._on_progress(self._progress())

    async def _read_range(self, claim: Claim, wanted: IdRange) -> bool:
        """Read the range to its end. False: the channel was parked before."""
        bounds = Bounds(
            wanted,
            self._engine.page_size,
            self._task.last_message_id,
            claim.has_rows,
            snowflake_at(self._engine.clock.now() - timedelta(seconds=LATE_ARRIVAL_S)),
            earliest_snowflake(self._task.channel_id),
            latest_snowflake(self._engine.clock.now()),
        )
        cursor = MessageId(max(wanted.start - 1, 0))
        messages = await self._fetch(cursor)
        while True:
            step = judge(messages, cursor, bounds)
            self._note_unplaced(messages, step, cursor)
            await self._saved()
            if step.page is not None:
                self._count(step.page.messages)
                self._saving = asyncio.create_task(self._save(claim, step.page))
            if step.is_end and step.page is None and messages:
                return True  # none of its records has a place: there is no way on
            if step.is_end:
                cursor, messages = step.highest, await self._behind(claim, step, bounds)
                if not messages:
                    return True
            elif bounds.newest is not None and step.highest >= bounds.newest:
                return True
            elif self._gives_way():
                return False
            else:
                cursor = step.next_cursor
                messages = await self._fetch(cursor)

    async def _behind(self, claim: Claim, step: Step, bounds: Bounds) -> Sequence[Message]:
        """What comes after a last page after all; where nothing does, that is written down.

        The channel names a newer message. It was deleted, or the page was cut, or the permission
        to read the history is gone: Discord tells the first by an error of its own, the second
        shows when the next page is asked for, and the third is an error again.
        """
        if bounds.newest is None or not falls_short(step, bounds):
            return ()
        rest = rest_of(step, bounds)
        if rest is None:  # too young to prove anything by
            return await self._fetch(step.highest)
        if await self._is_there(bounds.newest):
            return await self._fetch(step.highest, is_there=True)
        messages = await self._fetch(step.highest)
        if not messages:
            await self._saved()
            await self._save(claim, nothing_in(rest, bounds))
        return messages

    async def _is_there(self, message_id: MessageId) -> bool:
        self._asked()
        source, channel_id = self._engine.source, self._task.channel_id
        return await self.again(lambda: source.has_message(channel_id, message_id))

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

    async def _fetch(self, after: MessageId, *, is_there: bool = False) -> Sequence[Message]:
        """A page; where a message *is_there*, an empty one is asked for again."""
        messages = await self.again(lambda: self._ask(after, is_there))
        blank = _blank_in(messages)
        if not blank:
            return messages
        is_empty = comes_empty(messages)
        await self._require_content(anew=is_empty or blank >= MANY_BLANK)
        if is_empty:  # the intent may have been off, and be on again
            messages = await self.again(lambda: self._ask(after, is_there))
            if comes_empty(messages) and _blank_in(messages) >= MANY_BLANK:
                raise PayloadError(WITHHELD)
        return messages

    async def _ask(self, after: MessageId, is_there: bool) -> Sequence[Message]:
        self._asked()
        messages = await self._engine.source.fetch_after(
            self._task.channel_id, after, self._engine.page_size, self._head_start_s()
        )
        if is_there and not messages:
            raise RetryableError("Discord's pages lack a message that it has.")
        return messages

    def _asked(self) -> None:
        self.tally = replace(self.tally, requests=self.tally.requests + 1)

    async def _require_content(self, *, anew: bool) -> None:
        """Stop the run if messages come empty because the content intent was switched off."""
        source = self._engine.source
        if not await self.again(lambda: source.has_content_intent(anew=anew)):
            raise ContentIntentError(
                "The bot's Message Content intent was switched off: Discord sends every message "
                "empty, so nothing more is read, and nothing stored was emptied. Switch it on "
                "again (Discord Developer Portal, your application, Bot) and start again."
            )

    async def _save(self, claim: Claim, page: PageWrite) -> None:
        store = self._engine.store
        receipt = await write_page(
            lambda some: self.again(lambda: store.save_page(claim, some)), page
        )
        self.tally = replace(
            self.tally,
            added=self.tally.added + receipt.inserted,
            edited=self.tally.edited + receipt.edited,
            deleted=self.tally.deleted + receipt.deleted,
        )

    async def _saved(self) -> None:
        """Wait for the page under way, so that pages are written in order, one at a time."""
        saving, self._saving = self._saving, None
        if saving is not None:
            await saving

    def _count(self, messages: Sequence[Message]) -> None:
        seen = self.tally.last_message_id or 0
        new = [each for each in messages if each.id > seen]
        kept = [each for each in new if not each.is_suppressed]
        first = self.tally.first_message_id
        self.tally = replace(
            self.tally,
            pages=self.tally.pages + 1,
            messages=self.tally.messages + len(kept),
            reactions=self.tally.reactions + sum(len(each.reactions) for each in kept),
            attachments=self.tally.attachments + sum(len(each.attachments) for each in kept),
            first_message_id=first or min((each.id for each in new), default=None),
            last_message_id=max((each.id for each in new), default=self.tally.last_message_id),
        )
        self._on_progress(self._progress())

    def _note_unplaced(self, messages: Sequence[Message], step: Step, cursor: MessageId) -> None:
        """Count the records without a place; pages overlap, so those of the last one are known."""
        known, self._unplaced = self._unplaced, frozenset(messages[at] for at in step.unplaced)
        new = [Unplaced(cursor, at + 1) for at in step.unplaced if messages[at] not in known]
        if new:
            named = (*self.tally.unplaced_at, *new)[:MOST_NAMED]
            unplaced = self.tally.unplaced + len(new)
            self.tally = replace(self.tally, unplaced=unplaced, unplaced_at=named)
            _log.warning(
                "%d records of a page have no place", len(new), extra=where(self._task, "unplaced")
            )

    def _progress(self) -> ChannelProgress:
        return ChannelProgress(
            channel_id=self._task.channel_id,
            attempt=self._task.attempt,
            worker_id=self._engine.worker_id,
            started_at=self._started_at,
            tally=self.tally,
            fraction=self._fraction(),
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

    def _fraction(self) -> float | None:
        """How much of the channel's time, from its first message on, has been read."""
        first, at = self.tally.first_message_id, self.tally.last_message_id
        last = self._task.last_message_id
        return fraction_read(first, at, last) if first and at and last else None


def _blank_in(messages: Sequence[Message]) -> int:
    return sum(each.is_blank for each in messages)


async def _of_extras(reading: Awaitable[bool]) -> bool:
    """What Discord refuses of extras is no refusal of the channel's messages."""
    try:
        return await reading
    except (AccessDeniedError, NotFoundError) as error:
        raise ExtrasRefusedError(str(error)) from None


def where(task: ChannelTask, event: str) -> dict[str, object]:
    """What a line of the log tells of its place."""
    return {
        "event": event,
        "job_id": task.job_id,
        "tenant_id": task.tenant_id,
        "channel_id": task.channel_id,
    }
