"""Tally of one channel's reading: each page, request and oddity is counted once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from raysync.errors import RouteMissingError, TiedMessagesError
from raysync.models.entities import Message
from raysync.models.extras import ExtraTally
from raysync.models.ids import TIMESTAMP_SHIFT, MessageId, moment_of
from raysync.models.work import MOST_NAMED, ChannelTally, PageReceipt, Unplaced
from raysync.sync.channels.page import MAX_PAGE
from raysync.sync.uncovered import missing_of


class ChannelCount:
    """Counter of one channel, which continues the tally of earlier visits."""

    def __init__(self, done: ChannelTally) -> None:
        self.tally = done
        self._last_ids: frozenset[MessageId] = frozenset()  #: of the last millisecond counted
        self._unplaced: frozenset[Message] = frozenset()  #: of the last page

    def add_unreported(self, lost: ChannelTally) -> None:
        """Count the pages that a worker committed before it died without a report."""
        if not lost.messages:
            return
        tally = self.tally
        self.tally = replace(
            tally,
            pages=tally.pages + lost.pages,
            messages=tally.messages + lost.messages,
            reactions=tally.reactions + lost.reactions,
            attachments=tally.attachments + lost.attachments,
            added=tally.added + lost.added,
            first_message_id=tally.first_message_id or lost.first_message_id,
            last_message_id=lost.last_message_id,
        )

    def add_request(self) -> None:
        """Count a request for the channel's messages."""
        self.tally = replace(self.tally, requests=self.tally.requests + 1)

    def add_page(self, messages: Sequence[Message]) -> None:
        """Count a page, without messages that the page before held in the same millisecond."""
        seen = self.tally.last_message_id or 0
        at = seen >> TIMESTAMP_SHIFT
        known, self._last_ids = self._last_ids, _of_last_millisecond(messages)
        new = [
            message
            for message in messages
            if message.id > seen
            or (known and message.id >> TIMESTAMP_SHIFT == at and message.id not in known)
        ]
        kept = [message for message in new if not message.is_suppressed]
        first = self.tally.first_message_id
        self.tally = replace(
            self.tally,
            pages=self.tally.pages + 1,
            messages=self.tally.messages + len(kept),
            reactions=self.tally.reactions + sum(len(message.reactions) for message in kept),
            attachments=self.tally.attachments + sum(len(message.attachments) for message in kept),
            first_message_id=first or min((message.id for message in new), default=None),
            last_message_id=MessageId(max((seen, *(message.id for message in new))))
            if seen or new
            else None,
        )

    def add_unplaced(
        self, messages: Sequence[Message], positions: Sequence[int], cursor: MessageId
    ) -> int:
        """Count the unplaced records at *positions* of the page after *cursor*.

        Return the number of new ones: pages overlap.
        """
        known, self._unplaced = self._unplaced, frozenset(messages[at] for at in positions)
        new = [Unplaced(cursor, at + 1) for at in positions if messages[at] not in known]
        self.tally = replace(
            self.tally,
            unplaced=self.tally.unplaced + len(new),
            unplaced_at=(*self.tally.unplaced_at, *new)[:MOST_NAMED],
        )
        return len(new)

    def add_tie(self, message_id: MessageId) -> None:
        """Count a millisecond with more messages than a page; *message_id* is one of them."""
        self.tally = replace(
            self.tally,
            ties=self.tally.ties + 1,
            first_tie=self.tally.first_tie or message_id,
        )

    def add_written(self, receipt: PageReceipt) -> None:
        """Count the changes of a page that was written."""
        self.tally = replace(
            self.tally,
            added=self.tally.added + receipt.inserted,
            edited=self.tally.edited + receipt.edited,
            deleted=self.tally.deleted + receipt.deleted,
        )

    def add_extras(self, done: ExtraTally) -> None:
        """Count reactors and files."""
        self.tally = replace(self.tally, extras=self.tally.extras + done)

    def add_missing(self, error: RouteMissingError) -> None:
        """Record a route that the API lacks, once."""
        missing = missing_of(error)
        if missing not in self.tally.not_covered:
            noted = (*self.tally.not_covered, missing)
            self.tally = replace(self.tally, not_covered=noted)

    def require_no_ties(self) -> None:
        """Raise TiedMessagesError if a millisecond may hold more messages than were read."""
        tally = self.tally
        if tally.first_tie is None:
            return
        others = f", and {tally.ties - 1} more milliseconds are like it" if tally.ties > 1 else ""
        raise TiedMessagesError(
            f"At {moment_of(tally.first_tie):%Y-%m-%d %H:%M:%S.%f} UTC at least {MAX_PAGE} "
            f"messages share one millisecond (message {tally.first_tie} is one of them){others}. "
            "A page cannot hold them all, so some may be missing. All other messages were read."
        )


def _of_last_millisecond(messages: Sequence[Message]) -> frozenset[MessageId]:
    last = max((message.id for message in messages), default=MessageId(0)) >> TIMESTAMP_SHIFT
    return frozenset(message.id for message in messages if message.id >> TIMESTAMP_SHIFT == last)
