"""What is proven of a channel, and how many pages it is likely to take.

The order of work depends on the latter, nothing else.
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
"""A guess for a channel of which nothing but its age is known."""
PAGE = 100


def plausible(channel: Channel, now: datetime) -> Channel:
    """Return the channel; a newest message of the future stands for one of some minutes ago.

    No message can be proven to be there, or not, before its time has come.
    """
    last, late = channel.last_message_id, timedelta(seconds=LATE_ARRIVAL_S)
    if last is None or last < snowflake_at(now + late):
        return channel
    return replace(channel, last_message_id=MessageId(snowflake_at(now - late) - 1))


def expected_pages(channel: Channel, stored: StoredChannel, window: SyncWindow) -> float:
    """An estimate: exact for threads of known size, by rate where rows are stored, else by age."""
    total = expected_messages(channel, stored)
    if window.sync_type is SyncType.FULL:
        return max(total / PAGE, 1.0)
    new = max(total - stored.message_count, 0.0)
    again = min(_messages_within(channel, total, window.lookback_s), float(stored.message_count))
    return max((new + again) / PAGE, 1.0)


def _messages_within(channel: Channel, total: float, lookback_s: float) -> float:
    """How many of the channel's messages are probably so young."""
    last = channel.last_message_id
    if last is None:
        return 0.0
    days = max(_days(channel.id, last), 1e-3)
    return total * min(lookback_s / 86400 / days, 1.0)


def is_guess(channel: Channel, stored: StoredChannel) -> bool:
    """Whether the estimate rests on the channel's age alone."""
    counted = channel.thread is not None and channel.thread.message_count is not None
    return not counted and not stored.message_count


def expected_messages(channel: Channel, stored: StoredChannel) -> float:
    """How many messages the channel probably holds now."""
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
    """Whether an incremental run has nothing to ask: all that the channel names is covered.

    ``last_message_id`` is null only where nothing was ever posted. Where there is more than it
    names, it is out of date, or never was true. Where the last reading came within minutes of the
    last message, another may have shown since, below it.
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
    """Whether there were messages above *last*: what was read proves it, or a thread's count."""
    counted = 0 if channel.thread is None else channel.thread.message_count
    if any(each.stop > last + 1 for each in stored.coverage):
        return True
    return bool(counted and not last)


def _may_lack(stored: StoredChannel, last: int) -> bool:
    """Whether a message below *last* may have shown after the channel was read."""
    if stored.read_at is None:
        return False
    return stored.read_at - moment_of(last) < timedelta(seconds=LATE_ARRIVAL_S)


def gaps_of(channel: Channel, stored: StoredChannel, window: IdRange) -> list[Gap]:
    """What of the channel, up to the newest message that it names, is not proven complete."""
    last = channel.last_message_id
    if "last_message_id" in channel.unreadable:  # whatever is above what was read is not proven
        last = MessageId(window.stop - 1)
    if last is None or last < window.start:
        return []
    proven = max((each.stop for each in stored.coverage), default=0)
    return [
        Gap(channel.id, channel.name, each, is_news=0 < proven <= each.start)
        for each in without(IdRange(window.start, min(last + 1, window.stop)), stored.coverage)
    ]


def _days(first: int, last: int) -> float:
    return (moment_of(last) - moment_of(first)).total_seconds() / 86400
