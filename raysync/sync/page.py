"""What a page proves: which messages are there, and which are there no more.

A page holds the oldest messages above its cursor, so it proves the ids from there to its highest:
what is stored among them and not in the page was deleted. Five things are no proof. Each of them
would lose a message, or delete one that is there:

* An empty page: it is also what a lost READ_MESSAGE_HISTORY looks like.
* The last millisecond of a full page: Discord does not order the messages of one millisecond by
  id, so a page may end between two of them. The next page starts at that millisecond again.
* A full page of one millisecond alone: nothing says how many more messages it has.
* The last minutes: Discord may show a message later than one with a higher id.
* A short page, where the channel names a newer message: it may have been cut. See `RangeReader`.

Nor does a page prove anything that holds a record without a place: one whose id cannot be read, or
is not one that this page can hold. It may be any message of the page's range. What can be read of
such a page is kept; nothing is covered by it, and nothing is missed in it.
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
"""The most messages that Discord puts on one page."""
NO_WAY_ON: Final = (
    "None of the {} records of the page after message {} has an id that a message can have by now, "
    "so it is not known where the channel goes on. Set this machine's clock if it is wrong; else "
    "look for a newer version of raysync."
)

NO_END: Final = (
    "Discord's pages end at message {} though more follows, whatever is asked for: nothing can be "
    "read from this API to the end."
)


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a page is judged against."""

    wanted: IdRange
    limit: int  #: how many messages were asked for; a page with fewer is the last
    newest: MessageId | None = None  #: as the channel named it at planning; may be deleted
    has_rows: bool = True  #: whether anything is stored that a page could miss
    settled: int = 0  #: ids from here on are too young to be missed
    ceiling: int = MAX_SNOWFLAKE  #: ids from here on are of the future: nothing proves them
    earliest: int = 1  #: no message of the channel can have a lower id ...
    latest: int = MAX_SNOWFLAKE  #: ... nor a higher one, however slow our clock is


@dataclass(frozen=True, slots=True)
class Step:
    """What one page means for the reading."""

    page: PageWrite | None  #: what to write; None where no record has a place
    highest: MessageId  #: the highest id that has a place, or the cursor where none has
    next_cursor: MessageId
    is_end: bool  #: a short page: nothing more is to be expected in the range
    beyond: bool  #: it reaches past the range, so nothing of it is left
    is_tied: bool = False  #: full, and of the cursor's millisecond alone: there is no way on
    holds_newest: bool = False  #: full, and with the newest message that the channel names
    unplaced: tuple[int, ...] = ()  #: which of its records have no place


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
        PayloadError: the page is full, and none of its records tells where to go on.
    """
    if not messages:
        return Step(None, cursor, cursor, is_end=True, beyond=False)
    lowest = max(cursor + 1, bounds.earliest)
    placed = {each.id: each for each in messages if lowest <= each.id <= bounds.latest}
    _require_progress(messages, placed, cursor, bounds)
    unplaced = _others(messages, placed)
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
    if unplaced:  # each of them may be any message of the range
        covered = gone = None
    kept = tuple(placed[each] for each in sorted(placed) if each in wanted)
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
    messages: Sequence[Message], placed: Mapping[MessageId, Message], cursor: MessageId, of: Bounds
) -> None:
    """Raise where a page is not the one after *cursor*.

    One record with the id of an earlier message, beside others, is a record with a wrong id.
    """
    earlier = [each.id for each in messages if of.earliest <= each.id <= cursor]
    if len(earlier) > 1 or (earlier and not placed):
        raise NoProgressError(
            f"Discord's page after message {cursor} holds the earlier message {min(earlier)}: this "
            "API does not page by `after`, so nothing can be read from it to the end."
        )


def _others(messages: Sequence[Message], placed: Mapping[MessageId, Message]) -> tuple[int, ...]:
    """Return the positions of those without a place, or with one that another has."""
    if len(placed) == len(messages):
        return ()
    return tuple(at for at, each in enumerate(messages) if placed.get(each.id) != each)


def tied_page(messages: Sequence[Message], step: Step, bounds: Bounds) -> PageWrite:
    """Return what to write of a page that one millisecond fills, so far as its records have places.

    Its messages are kept and its millisecond is not covered: nothing says that these are all.

    Raises:
        NoProgressError: the page repeats messages instead.
    """
    placed = [each for at, each in enumerate(messages) if at not in step.unplaced]
    if len({each.id for each in placed}) < len(placed):
        raise NoProgressError(
            f"Discord's page with message {step.highest} repeats messages instead of going on: "
            "nothing can be read from this API to the end."
        )
    kept = sorted((each for each in placed if each.id in bounds.wanted), key=lambda m: m.id)
    return PageWrite(tuple(kept), None, cursor_above(step.highest))


def comes_empty(messages: Sequence[Message]) -> bool:
    """Whether nothing in a page that must hold something does: as without the content intent."""
    telling = [each for each in messages if not each.may_be_empty]
    return bool(telling) and all(each.is_blank for each in telling)


def falls_short(step: Step, bounds: Bounds) -> bool:
    """Return whether a last page ends below the message that the channel names."""
    return not step.beyond and bounds.newest is not None and step.highest < bounds.newest


def is_doubtful(step: Step, bounds: Bounds) -> bool:
    """Return whether a last page ends elsewhere than at the message that the channel names.

    What the channel names may be out of date, or never was true: Discord has it no message's.
    """
    return step.page is not None and not step.beyond and step.highest != bounds.newest


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
