"""Arithmetic on ranges of message ids: what is proven, what is left to read.

All reading goes upwards: `after` a cursor, the oldest first. So an interrupted read leaves one
range behind it that is complete, new messages only ever appear above it, and a watermark can
never be ahead of its rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from raysync.errors import ConfigurationError
from raysync.models.ids import (
    MAX_SNOWFLAKE,
    TIMESTAMP_SHIFT,
    MessageId,
    moment_of,
    snowflake_at,
)
from raysync.models.work import IdRange

LATE_ARRIVAL_S = 300.0
"""Discord may show a message later than one with a higher id: the last minutes are read twice."""


def window_of(since: datetime | None, until: datetime | None) -> IdRange:
    """The ids from *since* up to, and without, *until*. Raises ValueError for an empty window."""
    start = 0 if since is None else snowflake_at(since)
    stop = MAX_SNOWFLAKE if until is None else snowflake_at(until)
    return IdRange(start, stop)


def kept_window(window: IdRange, before: int) -> IdRange:
    """*window* without what is past retention. Raises ConfigurationError where nothing is left."""
    if before >= window.stop:
        raise ConfigurationError(
            f"Nothing before {moment_of(before):%Y-%m-%d %H:%M} UTC is kept of this tenant: "
            "`raysync privacy retention` shows how long messages are, and changes it."
        )
    return IdRange(max(window.start, before), window.stop)


def union(ranges: Iterable[IdRange]) -> tuple[IdRange, ...]:
    """The same ids in as few ranges as possible, ascending."""
    merged: list[IdRange] = []
    for each in sorted(ranges):
        if merged and each.start <= merged[-1].stop:
            merged[-1] = IdRange(merged[-1].start, max(merged[-1].stop, each.stop))
        else:
            merged.append(each)
    return tuple(merged)


def without(window: IdRange, taken: Iterable[IdRange]) -> tuple[IdRange, ...]:
    """What of *window* is in none of *taken*, ascending."""
    left: list[IdRange] = []
    start = window.start
    for each in union(taken):
        if each.start > start:
            left.append(IdRange(start, min(each.start, window.stop)))
        start = max(start, each.stop)
        if start >= window.stop:
            return tuple(left)
    left.append(IdRange(start, window.stop))
    return tuple(left)


def unread(
    window: IdRange, coverage: Sequence[IdRange], lookback_start: int
) -> tuple[IdRange, ...]:
    """What an incremental run reads: gaps in *coverage*, what is new, and the look-back.

    The newest part starts a few minutes below the watermark, for late arrivals.
    """
    gaps = without(window, coverage)
    watermark = max((each.stop for each in coverage), default=0)
    late_ids = int(LATE_ARRIVAL_S * 1000) << TIMESTAMP_SHIFT
    newest_start = max(window.start, min(watermark - late_ids, lookback_start))
    if newest_start >= window.stop:
        return gaps
    return union([*gaps, IdRange(newest_start, window.stop)])


def cursor_below(message_id: int) -> MessageId:
    """The cursor that asks again for the millisecond of *message_id*.

    Discord does not order messages of one millisecond by id, and a page may end between two of
    them: going on from the highest id seen could pass over a lower one.
    """
    return MessageId(max(((message_id >> TIMESTAMP_SHIFT) << TIMESTAMP_SHIFT) - 1, 0))


def cursor_above(message_id: int) -> MessageId:
    """Return the cursor that passes over the rest of the millisecond of *message_id*."""
    return MessageId((((message_id >> TIMESTAMP_SHIFT) + 1) << TIMESTAMP_SHIFT) - 1)


def fraction_read(first: int, position: int, last: int) -> float | None:
    """How much of the time from *first* to *last* lies before *position*; None if unknown."""
    if last <= first or position < first:
        return None
    return min((position - first) / (last - first), 1.0)
