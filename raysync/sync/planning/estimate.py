"""Estimate of a channel's pages, and the gaps in what is proven of it.

The estimate decides the order of work, and nothing else.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from raysync.models.entities import Channel
from raysync.models.ids import MessageId, moment_of, snowflake_at
from raysync.models.status import SyncType
from raysync.models.work import Gap, IdRange, StoredChannel, SyncWindow
from raysync.sync.window import LATE_ARRIVAL_S, without

MESSAGES_PER_DAY = 20.0
"""Guess for a channel with a known age and nothing else."""
PAGE = 100
"""Messages per page."""


def plausible(channel: Channel, now: datetime) -> Channel:
    """Return the channel; replace a newest message of the future by an id of some minutes ago.

    Before its time has come, no message can be proven to exist or not.
    """
    last, late = channel.last_message_id, timedelta(seconds=LATE_ARRIVAL_S)
    if last is None or last < snowflake_at(now + late):
        return channel
    return replace(channel, last_message_id=MessageId(snowflake_at(now - late) - 1))


def expected_pages(channel: Channel, stored: StoredChannel, window: SyncWindow) -> float:
    """Return the pages to read: exact for sized threads, else by rate of stored rows, or by age."""
    total = expected_messages(channel, stored)
    if window.sync_type is SyncType.FULL:
        return max(total / PAGE, 1.0)
    new = max(total - stored.message_count, 0.0)
    again = min(_messages_within(channel, total, window.lookback_s), float(stored.message_count))
    return max((new + again) / PAGE, 1.0)


def _messages_within(channel: Channel, total: float, lookback_s: float) -> float:
    """Return the probable number of the channel's messages within its last *lookback_s*."""
    last = channel.last_message_id
    if last is None:
        return 0.0
    days = max(_days(channel.id, last), 1e-3)
    return total * min(lookback_s / 86400 / days, 1.0)


def is_guess(channel: Channel, stored: StoredChannel) -> bool:
    """Return whether the estimate rests on the channel's age alone."""
    counted = channel.thread is not None and channel.thread.message_count is not None
    return not counted and not stored.message_count


def expected_messages(channel: Channel, stored: StoredChannel) -> float:
    """Return the number of messages that the channel probably holds now."""
    if channel.thread is not None and channel.thread.message_count is not None:
        return float(channel.thread.message_count)
    last = channel.last_message_id
    if last is None:
        return 0.0
    if stored.message_count and stored.coverage:
        first, stop = stored.coverage[0].start, stored.coverage[-1].stop
        read_days = max(_days(max(first, channel.id), stop), 1e-3)
        return stored.message_count * max(_days(channel.id, last) / read_days, 1.0)
    return max(_days(channel.id, last), 0.0) * MESSAGES_PER_DAY


def is_unchanged(
    channel: Channel, stored: StoredChannel, window: IdRange, lookback_start: int
) -> bool:
    """Return whether an incremental run can skip the channel: its newest message is covered.

    ``last_message_id`` is null only if nothing was ever posted. It is outdated, or was never true,
    if messages above it are known. If the last page was read within minutes of the last message, a
    late one may have appeared below it since.
    """
    last = channel.last_message_id
    if "last_message_id" in channel.unreadable or _has_more(channel, stored, last or 0):
        return False
    if last is None:
        return True
    if last < window.start:
        return True
    named = IdRange(window.start, min(window.stop, last + 1))
    return (
        last < lookback_start
        and not _may_lack(stored, last)
        and not without(named, stored.coverage)
    )


def _has_more(channel: Channel, stored: StoredChannel, last: int) -> bool:
    """Return whether messages above *last* are known, by coverage or by a thread's count."""
    counted = 0 if channel.thread is None else channel.thread.message_count
    if any(part.stop > last + 1 for part in stored.coverage):
        return True
    return bool(counted and not last)


def _may_lack(stored: StoredChannel, last: int) -> bool:
    """Return whether a message below *last* may have appeared after the channel was read."""
    if stored.read_at is None:
        return False
    return stored.read_at - moment_of(last) < timedelta(seconds=LATE_ARRIVAL_S)


def gaps_of(channel: Channel, stored: StoredChannel, window: IdRange) -> list[Gap]:
    """Return the ranges, up to the channel's newest message, that are not proven complete."""
    last = channel.last_message_id
    if "last_message_id" in channel.unreadable:  # nothing above the coverage is proven
        last = MessageId(window.stop - 1)
    if last is None or last < window.start:
        return []
    proven = max((part.stop for part in stored.coverage), default=0)
    return [
        Gap(channel.id, channel.name, ids, is_news=0 < proven <= ids.start)
        for ids in without(IdRange(window.start, min(last + 1, window.stop)), stored.coverage)
    ]


def _days(first: int, last: int) -> float:
    return (moment_of(last) - moment_of(first)).total_seconds() / 86400
