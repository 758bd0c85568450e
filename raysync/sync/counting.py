"""Counts what a channel's pages hold: they overlap, and what two of them hold counts once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from raysync.models.entities import Message
from raysync.models.ids import TIMESTAMP_SHIFT, MessageId
from raysync.models.work import MOST_NAMED, ChannelTally, Unplaced


class PageCounter:
    """Adds one page after the other to a tally, and knows what the last one held."""

    def __init__(self) -> None:
        self._last_ids: frozenset[MessageId] = frozenset()  #: of the last millisecond counted
        self._unplaced: frozenset[Message] = frozenset()  #: of the last page

    def with_page(self, tally: ChannelTally, messages: Sequence[Message]) -> ChannelTally:
        """Add a page; of its first millisecond, which the page before held, what is new."""
        seen = tally.last_message_id or 0
        at = seen >> TIMESTAMP_SHIFT
        known, self._last_ids = self._last_ids, _of_last_millisecond(messages)
        new = [
            each
            for each in messages
            if each.id > seen
            or (known and each.id >> TIMESTAMP_SHIFT == at and each.id not in known)
        ]
        kept = [each for each in new if not each.is_suppressed]
        first = tally.first_message_id
        return replace(
            tally,
            pages=tally.pages + 1,
            messages=tally.messages + len(kept),
            reactions=tally.reactions + sum(len(each.reactions) for each in kept),
            attachments=tally.attachments + sum(len(each.attachments) for each in kept),
            first_message_id=first or min((each.id for each in new), default=None),
            last_message_id=MessageId(max((seen, *(each.id for each in new))))
            if seen or new
            else None,
        )

    def with_unplaced(
        self,
        tally: ChannelTally,
        messages: Sequence[Message],
        positions: Sequence[int],
        cursor: MessageId,
    ) -> ChannelTally:
        """Add the records without a place at *positions* of the page after *cursor*."""
        known, self._unplaced = self._unplaced, frozenset(messages[at] for at in positions)
        new = [Unplaced(cursor, at + 1) for at in positions if messages[at] not in known]
        return replace(
            tally,
            unplaced=tally.unplaced + len(new),
            unplaced_at=(*tally.unplaced_at, *new)[:MOST_NAMED],
        )


def _of_last_millisecond(messages: Sequence[Message]) -> frozenset[MessageId]:
    last = max((each.id for each in messages), default=MessageId(0)) >> TIMESTAMP_SHIFT
    return frozenset(each.id for each in messages if each.id >> TIMESTAMP_SHIFT == last)
