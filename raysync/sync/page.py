"""What a page proves: which messages are there, and which are there no more.

A page holds the oldest messages above its cursor, so it proves the ids from there to its highest:
what is stored among them and not in the page was deleted. Four things are no proof, and each of
them would delete what is there:

* An empty page: it is also what a lost READ_MESSAGE_HISTORY looks like.
* The end of a page that has more behind it, down to the last millisecond: Discord does not order
  messages of one millisecond by id, and a page may end between two of them.
* The last minutes: Discord may show a message later than one with a higher id.
* A short page, where the channel names a newer message: it may have been cut. See `Reading`.

Nor does a page prove anything that holds a record without a place: one whose id cannot be read, or
is not one that this page can hold. It may be any message of the page's range. What can be read of
such a page is kept; nothing is covered by it, and nothing is missed in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from raysync.errors import PayloadError
from raysync.models.entities import Message
from raysync.models.ids import MAX_SNOWFLAKE, MessageId
from raysync.models.status import SyncType
from raysync.models.work import Claim, IdRange, PageWrite
from raysync.sync.window import cursor_below, union, unread, without

NO_WAY_ON = (
    "None of the {} records of the page after message {} has an id that a message can have by now, "
    "so it is not known where the channel goes on. Set this machine's clock if it is wrong; else "
    "look for a newer version of raysync."
)


@dataclass(frozen=True, slots=True)
class Step:
    """What one page means for the reading."""

    page: PageWrite | None  #: what to write; None for an empty page
    highest: MessageId  #: the highest id seen, or the cursor where the page was empty
    next_cursor: MessageId
    is_end: bool  #: nothing more is to be expected in the range
    beyond: bool  #: it reaches past the range, so nothing of it is left
    unplaced: tuple[int, ...] = ()  #: which of its records have no place


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a page is judged against."""

    wanted: IdRange
    limit: int  #: a page with fewer messages is the last
    newest: MessageId | None = None  #: as the channel named it at planning; may be deleted
    has_rows: bool = True  #: whether anything is stored that a page could miss
    settled: int = 0  #: ids from here on are too young to be missed
    earliest: int = 1  #: no message of the channel can have a lower id ...
    latest: int = MAX_SNOWFLAKE  #: ... nor a higher one yet


def judge(messages: Sequence[Message], cursor: MessageId, bounds: Bounds) -> Step:
    """Say what a page read after *cursor* proves, and where to go on.

    Raises:
        PayloadError: the page is full, and none of its records tells where to go on.
    """
    wanted = bounds.wanted
    if not messages:
        return Step(None, cursor, cursor, is_end=True, beyond=False)
    lowest = max(cursor + 1, bounds.earliest)
    placed = {each.id: each for each in messages if lowest <= each.id <= bounds.latest}
    unplaced = _others(messages, placed)
    if not placed:
        if len(messages) >= bounds.limit:
            raise PayloadError(NO_WAY_ON.format(len(messages), cursor))
        return Step(None, cursor, cursor, is_end=True, beyond=False, unplaced=unplaced)
    highest = max(placed)
    is_last, beyond = len(messages) < bounds.limit, highest >= wanted.stop - 1
    kept = tuple(placed[each] for each in sorted(placed) if each in wanted)
    start, below = (cursor + 1 if cursor else 0), cursor_below(highest)
    next_cursor = MessageId(below if below > cursor else highest)  # or it would never end
    whole = is_last or beyond or (bounds.newest is not None and highest >= bounds.newest)
    covered = _range(start, min(highest + 1 if whole else next_cursor + 1, wanted.stop))
    surely = highest + 1 if is_last else below + 1
    gone = _range(start, min(wanted.stop if beyond else surely, bounds.settled))
    if unplaced:  # each of them may be any message of the range
        covered = gone = None
    page = PageWrite(kept, covered, next_cursor, gone if bounds.has_rows else None)
    return Step(page, highest, next_cursor, beyond or is_last, beyond, unplaced)


def _others(messages: Sequence[Message], placed: Mapping[MessageId, Message]) -> tuple[int, ...]:
    """The positions in *messages* of those without a place, or with one that another has."""
    if len(placed) == len(messages):
        return ()
    return tuple(at for at, each in enumerate(messages) if placed.get(each.id) != each)


def comes_empty(messages: Sequence[Message]) -> bool:
    """Whether nothing in a page that must hold something does: as without the content intent."""
    telling = [each for each in messages if not each.may_be_empty]
    return bool(telling) and all(each.is_blank for each in telling)


def falls_short(step: Step, bounds: Bounds) -> bool:
    """Whether a last page ends below the message that the channel names."""
    return not step.beyond and bounds.newest is not None and step.highest < bounds.newest


def rest_of(step: Step, bounds: Bounds) -> IdRange | None:
    """What of the range lies above a last page, up to the message that the channel names.

    None where nothing does, or where it is too young to be missed.
    """
    if step.beyond or bounds.newest is None:
        return None
    rest = _range(max(step.highest + 1, bounds.wanted.start), bounds.newest + 1)
    if rest is None or bounds.newest >= bounds.settled:
        return None
    return _range(rest.start, min(rest.stop, bounds.wanted.stop))


def nothing_in(rest: IdRange, bounds: Bounds) -> PageWrite:
    """What to write of a range that was proven empty."""
    return PageWrite((), rest, None, rest if bounds.has_rows else None)


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
