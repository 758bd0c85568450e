"""Proof by a page: the messages that exist, and those that were deleted.

A page holds the oldest messages above its cursor, so it proves the ids from there to its highest.
A stored message in that range that is not in the page was deleted. Five cases prove nothing. Taking
any of them as proof would lose a message, or delete one that exists:

* An empty page: a lost READ_MESSAGE_HISTORY looks the same.
* The last millisecond of a full page: Discord does not order the messages of one millisecond by
  id, so a page may end between two of them. The next page starts at that millisecond again.
* A full page of a single millisecond: the number of its further messages is unknown.
* The last minutes: Discord may show a message later than one with a higher id.
* A short page, where the channel names a newer message: it may have been cut. See `RangeReader`.

A page with an unplaced record proves nothing either. The id of such a record cannot be read, or
this page cannot hold it, so it may be any message of the page's range. The readable messages of the
page are stored; it covers nothing, and no message counts as missing from it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from raysync.errors import NoProgressError, PayloadError
from raysync.models.entities import Message
from raysync.models.ids import MAX_SNOWFLAKE, MessageId
from raysync.models.status import SyncType
from raysync.models.work import Claim, IdRange, PageWrite
from raysync.sync.window import cursor_above, cursor_below, union, unread, without

MAX_PAGE: Final = 100
"""Maximum number of messages on one of Discord's pages."""
NO_WAY_ON: Final = (
    "None of the {} records of the page after message {} has an id that a message can have by now, "
    "so the position of the next page is unknown. Set this machine's clock if it is wrong; "
    "otherwise look for a newer version of raysync."
)

NO_END: Final = (
    "Discord's pages end at message {} although more messages follow, whatever the request. "
    "Channels cannot be read to their end through this API."
)


@dataclass(frozen=True, slots=True)
class Bounds:
    """Expectations that a page is judged by."""

    wanted: IdRange
    limit: int  #: number of messages requested; a page with fewer is the last
    newest: MessageId | None = None  #: named by the channel at planning; may be deleted
    has_rows: bool = True  #: messages are stored, so a page may lack some of them
    settled: int = 0  #: ids from here on are too young to count as deleted
    ceiling: int = MAX_SNOWFLAKE  #: ids from here on are of the future, and cannot be proven
    earliest: int = 1  #: lowest id that a message of the channel can have
    latest: int = MAX_SNOWFLAKE  #: highest id that a message can have, even if our clock is slow


@dataclass(frozen=True, slots=True)
class Step:
    """Result of judging one page."""

    page: PageWrite | None  #: None if no record is placed
    highest: MessageId  #: highest placed id; the cursor if there is none
    next_cursor: MessageId
    is_end: bool  #: a short page: no more messages are expected in the range
    beyond: bool  #: the page reaches past the range, so nothing of the range is left
    is_tied: bool = False  #: full with a single millisecond: no cursor leads further
    holds_newest: bool = False  #: full, and it reaches the newest message that the channel names
    unplaced: tuple[int, ...] = ()  #: positions of records without a usable id


def first_cursor(wanted: IdRange) -> MessageId:
    """Return the first cursor: below the millisecond of the first id wanted.

    A cursor between two messages of one millisecond would rely on their order.
    """
    return cursor_below(wanted.start)


def judge(messages: Sequence[Message], cursor: MessageId, bounds: Bounds) -> Step:
    """Return what a page read after *cursor* proves, and the next cursor.

    *cursor* stands at the end of a millisecond, as `first_cursor` and `Step.next_cursor` do.

    Raises:
        NoProgressError: the page holds messages that the cursor excludes.
        PayloadError: the page is full, and no record has an id to continue from.
    """
    if not messages:
        return Step(None, cursor, cursor, is_end=True, beyond=False)
    lowest = max(cursor + 1, bounds.earliest)
    placed = {m.id: m for m in messages if lowest <= m.id <= bounds.latest}
    _require_progress(messages, placed, cursor, bounds)
    unplaced = _unplaced(messages, placed)
    if not placed:
        if len(messages) >= bounds.limit:
            raise PayloadError(NO_WAY_ON.format(len(messages), cursor))
        return Step(None, cursor, cursor, is_end=True, beyond=False, unplaced=unplaced)
    highest = max(placed)
    wanted, newest = bounds.wanted, bounds.newest
    millisecond = cursor_below(highest) + 1
    next_cursor = MessageId(max(cursor_below(highest), cursor))
    is_short = len(messages) < bounds.limit
    is_last = is_short and highest == newest
    known_to = min(highest + 1 if is_last else millisecond, wanted.stop)
    start = max(cursor + 1 if cursor else 0, wanted.start)
    covered = _range(start, min(known_to, bounds.ceiling))
    gone = _range(start, min(known_to, bounds.settled)) if bounds.has_rows else None
    if unplaced:  # each such record may be any message of the range
        covered = gone = None
    kept = tuple(placed[id_] for id_ in sorted(placed) if id_ in wanted)
    page = PageWrite(kept, covered, next_cursor, gone)
    return Step(
        page=page,
        highest=highest,
        next_cursor=next_cursor,
        is_end=is_short,
        beyond=known_to >= wanted.stop,
        is_tied=not is_short and next_cursor == cursor,
        holds_newest=not is_short and newest is not None and highest >= newest,
        unplaced=unplaced,
    )


def _require_progress(
    messages: Sequence[Message],
    placed: Mapping[MessageId, Message],
    cursor: MessageId,
    bounds: Bounds,
) -> None:
    """Raise if a page is not the one after *cursor*.

    A single record with the id of an earlier message, beside others, only has a wrong id.
    """
    earlier = [m.id for m in messages if bounds.earliest <= m.id <= cursor]
    if len(earlier) > 1 or (earlier and not placed):
        raise NoProgressError(
            f"Discord's page after message {cursor} holds the earlier message {min(earlier)}. This "
            "API does not page by `after`, so channels cannot be read to their end through it."
        )


def _unplaced(messages: Sequence[Message], placed: Mapping[MessageId, Message]) -> tuple[int, ...]:
    """Return the positions of records that are not placed, or repeat another record's id."""
    if len(placed) == len(messages):
        return ()
    return tuple(at for at, message in enumerate(messages) if placed.get(message.id) != message)


def tied_page(messages: Sequence[Message], step: Step, bounds: Bounds) -> PageWrite:
    """Return the write of a page that a single millisecond fills, without its unplaced records.

    Its messages are stored, but the millisecond is not covered: there may be more of them.

    Raises:
        NoProgressError: the page repeats messages instead.
    """
    placed = [message for at, message in enumerate(messages) if at not in step.unplaced]
    if len({message.id for message in placed}) < len(placed):
        raise NoProgressError(
            f"Discord's page with message {step.highest} repeats messages instead of going on. "
            "Channels cannot be read to their end through this API."
        )
    kept = sorted((m for m in placed if m.id in bounds.wanted), key=lambda m: m.id)
    return PageWrite(tuple(kept), None, cursor_above(step.highest))


def comes_empty(messages: Sequence[Message]) -> bool:
    """Return whether all messages that need content lack it: as without the content intent."""
    with_content = [message for message in messages if not message.may_be_empty]
    return bool(with_content) and all(message.is_blank for message in with_content)


def falls_short(step: Step, bounds: Bounds) -> bool:
    """Return whether a last page ends below the message that the channel names."""
    return not step.beyond and bounds.newest is not None and step.highest < bounds.newest


def is_doubtful(step: Step, bounds: Bounds) -> bool:
    """Return whether a last page ends elsewhere than at the message that the channel names.

    The id that the channel names may be outdated, or may never have been a message's.
    """
    return step.page is not None and not step.beyond and step.highest != bounds.newest


def rest_of(step: Step, bounds: Bounds) -> IdRange | None:
    """Return the range above a last page, up to the message that the channel names.

    Return None if it is empty, or too young to count as deleted.
    """
    if step.beyond or bounds.newest is None:
        return None
    rest = _range(max(step.highest + 1, bounds.wanted.start), bounds.newest + 1)
    if rest is None or bounds.newest >= bounds.settled:
        return None
    return _range(rest.start, min(rest.stop, bounds.wanted.stop))


def nothing_more(step: Step, rest: IdRange | None, bounds: Bounds) -> PageWrite | None:
    """Return the write after a second request has found nothing above a last page.

    Then the page's last millisecond is complete, and *rest*, if any, is empty.
    """
    if step.page is None:
        proven = rest
    else:
        start = max(step.next_cursor + 1, bounds.wanted.start)
        stop = step.highest + 1 if rest is None else rest.stop
        proven = _range(start, min(stop, bounds.wanted.stop, bounds.ceiling))
    if proven is None:
        return None
    return PageWrite((), proven, None, rest if bounds.has_rows else None)


def ranges_to_read(claim: Claim) -> tuple[IdRange, ...]:
    """Return the ranges left to read, ascending, without those that earlier attempts have read."""
    task = claim.task
    if task.sync_type is SyncType.FULL:
        wanted: tuple[IdRange, ...] = (task.window,)
    else:
        due = unread(task.window, claim.coverage, task.lookback_start)
        wanted = task.recheck if task.only_recheck else union([*task.recheck, *due])
    if claim.resume_after:
        done = IdRange(0, claim.resume_after + 1)
        wanted = tuple(part for ids in wanted for part in without(ids, [done]))
    return wanted


def _range(start: int, stop: int) -> IdRange | None:
    return IdRange(start, stop) if start < stop else None
