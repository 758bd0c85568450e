"""Arithmetic on ranges of message ids: ranges that are proven, and ranges left to read.

All reading goes upwards: `after` a cursor, oldest first. So an interrupted read leaves one complete
range behind it, new messages only appear above that range, and a watermark is never ahead of its
rows.
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
"""Maximum delay of a message, in seconds: it may appear after one with a higher id.

So the last minutes are read twice."""


def window_of(since: datetime | None, until: datetime | None) -> IdRange:
    """Return the ids from *since* to before *until*. Raises ValueError if there are none."""
    start = 0 if since is None else snowflake_at(since)
    stop = MAX_SNOWFLAKE if until is None else snowflake_at(until)
    return IdRange(start, stop)


def kept_window(window: IdRange, before: int) -> IdRange:
    """Return *window* without ids below *before*, which are past retention.

    Raises:
        ConfigurationError: no id is left.
    """
    if before >= window.stop:
        raise ConfigurationError(
            f"This tenant keeps no messages from before {moment_of(before):%Y-%m-%d %H:%M} UTC, so "
            "there is nothing to read. `raysync privacy retention` shows and changes the limit."
        )
    return IdRange(max(window.start, before), window.stop)


def union(ranges: Iterable[IdRange]) -> tuple[IdRange, ...]:
    """Return the same ids in as few ranges as possible, ascending."""
    merged: list[IdRange] = []
    for ids in sorted(ranges):
        if merged and ids.start <= merged[-1].stop:
            merged[-1] = IdRange(merged[-1].start, max(merged[-1].stop, ids.stop))
        else:
            merged.append(ids)
    return tuple(merged)


def without(window: IdRange, taken: Iterable[IdRange]) -> tuple[IdRange, ...]:
    """Return the parts of *window* that are in none of *taken*, ascending."""
    left: list[IdRange] = []
    start = window.start
    for ids in union(taken):
        if ids.start > start:
            left.append(IdRange(start, min(ids.start, window.stop)))
        start = max(start, ids.stop)
        if start >= window.stop:
            return tuple(left)
    left.append(IdRange(start, window.stop))
    return tuple(left)


def unread(
    window: IdRange, coverage: Sequence[IdRange], lookback_start: int
) -> tuple[IdRange, ...]:
    """Return what an incremental run reads: gaps in *coverage*, new messages, and the look-back.

    The newest part starts a few minutes below the watermark, for messages that appear late.
    """
    gaps = without(window, coverage)
    watermark = max((ids.stop for ids in coverage), default=0)
    late_ids = int(LATE_ARRIVAL_S * 1000) << TIMESTAMP_SHIFT
    newest_start = max(window.start, min(watermark - late_ids, lookback_start))
    if newest_start >= window.stop:
        return gaps
    return union([*gaps, IdRange(newest_start, window.stop)])


def cursor_below(message_id: int) -> MessageId:
    """Return the cursor that requests the millisecond of *message_id* again.

    Discord does not order messages of one millisecond by id, and a page may end between two of
    them. A cursor at the highest id seen could skip a lower one.
    """
    return MessageId(max(((message_id >> TIMESTAMP_SHIFT) << TIMESTAMP_SHIFT) - 1, 0))


def cursor_above(message_id: int) -> MessageId:
    """Return the cursor that skips the rest of the millisecond of *message_id*."""
    return MessageId((((message_id >> TIMESTAMP_SHIFT) + 1) << TIMESTAMP_SHIFT) - 1)


def fraction_read(first: int, position: int, last: int) -> float | None:
    """Return the share of the time from *first* to *last* before *position*; None if unknown."""
    if last <= first or position < first:
        return None
    return min((position - first) / (last - first), 1.0)
