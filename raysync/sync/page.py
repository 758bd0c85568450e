"""What a page proves: which messages are there, and which are there no more.

A page holds the oldest messages above its cursor, so it proves the ids from there to its highest:
what is stored among them and not in the page was deleted. Five things are no proof. Each of them
would lose a message, or delete one that is there:

* An empty page: it is also what a lost READ_MESSAGE_HISTORY looks like.
* The last millisecond of a full page: Discord does not order the messages of one millisecond by
  id, so a page may end between two of them. The next page starts at that millisecond again.
* A full page of one millisecond alone: nothing says how many more messages it has.
* The last minutes: Discord may show a message later than one with a higher id.
* A short page, where the channel names a newer message: it may have been cut. See `Reading`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from raysync.errors import NoProgressError
from raysync.models.entities import Message
from raysync.models.ids import MAX_SNOWFLAKE, MessageId
from raysync.models.status import SyncType
from raysync.models.work import Claim, IdRange, PageWrite
from raysync.sync.window import cursor_above, cursor_below, union, unread, without

MAX_PAGE: Final = 100
"""The most messages that Discord puts on one page."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a page is judged against."""

    wanted: IdRange
    limit: int  #: how many messages were asked for; a page with fewer is the last
    newest: MessageId | None = None  #: as the channel named it at planning; may be deleted
    has_rows: bool = True  #: whether anything is stored that a page could miss
    settled: int = 0  #: ids from here on are too young to be missed
    ceiling: int = MAX_SNOWFLAKE  #: ids from here on are of the future: nothing proves them


@dataclass(frozen=True, slots=True)
class Step:
    """What one page means for the reading."""

    page: PageWrite | None  #: what to write; None for an empty page
    highest: MessageId  #: the highest id seen, or the cursor where the page was empty
    next_cursor: MessageId
    is_end: bool  #: a short page: nothing more is to be expected in the range
    beyond: bool  #: it reaches past the range, so nothing of it is left
    is_tied: bool = False  #: full, and of the cursor's millisecond alone: there is no way on
    holds_newest: bool = False  #: full, and with the newest message that the channel names
    names_all: bool = False  #: complete up to the newest message that the channel names


def first_cursor(wanted: IdRange) -> MessageId:
    """Return where to begin reading: below the millisecond of the first id wanted.

    A cursor between two messages of one millisecond would rely on their order.
    """
    return cursor_below(wanted.start)


def judge(messages: Sequence[Message], cursor: MessageId, bounds: Bounds) -> Step:
    """Return what a page read after *cursor* proves, and where to go on.

    *cursor* stands at the end of a millisecond, as `first_cursor` and `Step.next_cursor` do.

    Raises:
        NoProgressError: the page holds what the cursor leaves out.
    """
    if not messages:
        return Step(None, cursor, cursor, is_end=True, beyond=False)
    lowest, highest = min(each.id for each in messages), max(each.id for each in messages)
    if lowest <= cursor:
        raise NoProgressError(
            f"Discord's page after message {cursor} holds the earlier message {lowest}: this API "
            "does not page by `after`, so nothing can be read from it to the end."
        )
    wanted, newest = bounds.wanted, bounds.newest
    millisecond = cursor_below(highest) + 1
    next_cursor = MessageId(max(cursor_below(highest), cursor))
    is_short = len(messages) < bounds.limit
    is_last = is_short and (newest is None or highest >= newest)
    known_to = min(highest + 1 if is_last else millisecond, wanted.stop)
    start = max(cursor + 1 if cursor else 0, wanted.start)
    by_id = {each.id: each for each in messages if each.id in wanted}
    page = PageWrite(
        messages=tuple(by_id[each] for each in sorted(by_id)),
        covered=_range(start, min(known_to, bounds.ceiling)),
        checkpoint=next_cursor,
        gone=_range(start, min(known_to, bounds.settled)) if bounds.has_rows else None,
    )
    return Step(
        page=page,
        highest=highest,
        next_cursor=next_cursor,
        is_end=is_short,
        beyond=known_to >= wanted.stop,
        is_tied=not is_short and next_cursor == cursor,
        holds_newest=not is_short and newest is not None and highest >= newest,
        names_all=newest is not None and newest < known_to,
    )


def tied_page(messages: Sequence[Message], step: Step, bounds: Bounds) -> PageWrite:
    """Return what to write of a page that one millisecond fills, whatever was asked for.

    Its messages are kept and its millisecond is not covered: nothing says that these are all.

    Raises:
        NoProgressError: the page repeats messages instead.
    """
    if len({each.id for each in messages}) < len(messages):
        raise NoProgressError(
            f"Discord's page with message {step.highest} repeats messages instead of going on: "
            "nothing can be read from this API to the end."
        )
    kept = sorted((each for each in messages if each.id in bounds.wanted), key=lambda m: m.id)
    return PageWrite(tuple(kept), None, cursor_above(step.highest))


def comes_empty(messages: Sequence[Message]) -> bool:
    """Whether nothing in a page that must hold something does: as without the content intent."""
    telling = [each for each in messages if not each.may_be_empty]
    return bool(telling) and all(each.is_blank for each in telling)


def falls_short(step: Step, bounds: Bounds) -> bool:
    """Return whether a last page ends below the message that the channel names."""
    return not step.beyond and bounds.newest is not None and step.highest < bounds.newest


def rest_of(step: Step, bounds: Bounds) -> IdRange | None:
    """Return what lies above a last page, up to the message that the channel names.

    None where nothing does, or where it is too young to be missed.
    """
    if step.beyond or bounds.newest is None:
        return None
    rest = _range(max(step.highest + 1, bounds.wanted.start), bounds.newest + 1)
    if rest is None or bounds.newest >= bounds.settled:
        return None
    return _range(rest.start, min(rest.stop, bounds.wanted.stop))


def nothing_more(step: Step, rest: IdRange | None, bounds: Bounds) -> PageWrite | None:
    """Return what to write once a second look has found nothing above a last page.

    The millisecond where the page ends is whole, and *rest*, if any, is empty.
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
    """What is left of the task, ascending; an earlier attempt of the same job is not repeated."""
    task = claim.task
    if task.sync_type is SyncType.FULL:
        wanted: tuple[IdRange, ...] = (task.window,)
    else:
        due = unread(task.window, claim.coverage, task.lookback_start)
        wanted = task.recheck if task.only_recheck else union([*task.recheck, *due])
    if claim.resume_after:
        done = IdRange(0, claim.resume_after + 1)
        wanted = tuple(part for each in wanted for part in without(each, [done]))
    return wanted


def _range(start: int, stop: int) -> IdRange | None:
    return IdRange(start, stop) if start < stop else None
