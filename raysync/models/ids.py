"""Identifiers, and the time inside Discord's."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import NewType

TenantId = NewType("TenantId", int)
"""Our own key of a tenant."""
ChannelKey = NewType("ChannelKey", int)
"""Our own key of a channel (``channels.id``), short-lived compared with Discord's."""
GuildId = NewType("GuildId", int)
ChannelId = NewType("ChannelId", int)
MessageId = NewType("MessageId", int)
UserId = NewType("UserId", int)
JobId = NewType("JobId", str)
"""A sync job's UUID, as text."""

DISCORD_EPOCH_MS = 1_420_070_400_000
_EPOCH = datetime.fromtimestamp(DISCORD_EPOCH_MS / 1000, UTC)
TIMESTAMP_SHIFT = 22
"""A snowflake's low bits that are not time: two ids that differ only there share a millisecond."""
MAX_SNOWFLAKE = (1 << 63) - 1

NOWHERE = MessageId(0)
NO_CHANNEL = ChannelId(0)
"""In place of ids that cannot be read: nothing has them."""
SLACK = timedelta(days=30)
"""Ids hold the time of Discord's clocks. Ours is hardly further behind: certificates would fail."""


def snowflake_at(moment: datetime) -> int:
    """The lowest snowflake of the millisecond of *moment*; 0 for anything before 2015."""
    elapsed_ms = (moment - _EPOCH) // timedelta(milliseconds=1)
    return min(max(elapsed_ms, 0) << TIMESTAMP_SHIFT, MAX_SNOWFLAKE)


def latest_snowflake(now: datetime) -> int:
    """Return the highest id that can have been made by *now*, by a clock that may be slow."""
    return snowflake_at(now + SLACK)


def earliest_snowflake(channel_id: ChannelId) -> int:
    """Return the lowest id that a message of the channel can have: none is older than it."""
    return max(channel_id - (SLACK // timedelta(milliseconds=1) << TIMESTAMP_SHIFT), 1)


def moment_of(snowflake: int) -> datetime:
    """When *snowflake* was made, to the millisecond, in UTC."""
    return _EPOCH + timedelta(milliseconds=snowflake >> TIMESTAMP_SHIFT)
