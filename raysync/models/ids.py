"""Identifiers, and the time that is encoded in Discord's ids."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import NewType

TenantId = NewType("TenantId", int)
"""Key of a tenant in our database."""
ChannelKey = NewType("ChannelKey", int)
"""Key of a channel in our database (``channels.id``), short-lived compared with Discord's id."""
GuildId = NewType("GuildId", int)
ChannelId = NewType("ChannelId", int)
MessageId = NewType("MessageId", int)
UserId = NewType("UserId", int)
JobId = NewType("JobId", str)
"""UUID of a sync job, as text."""

DISCORD_EPOCH_MS = 1_420_070_400_000
_EPOCH = datetime.fromtimestamp(DISCORD_EPOCH_MS / 1000, UTC)
TIMESTAMP_SHIFT = 22
"""Number of low bits in a snowflake that are not time.

Two ids that differ only there share a millisecond.
"""
MAX_SNOWFLAKE = (1 << 63) - 1

NOWHERE = MessageId(0)
NO_CHANNEL = ChannelId(0)
"""Placeholders of ids that cannot be read: no message and no channel has them."""
SLACK = timedelta(days=30)
"""Maximum lag of our clock behind Discord's clocks, whose time ids hold.

With a longer lag, certificates would be rejected.
"""


def snowflake_at(moment: datetime) -> int:
    """Return the lowest snowflake of the millisecond of *moment*; 0 for anything before 2015."""
    elapsed_ms = (moment - _EPOCH) // timedelta(milliseconds=1)
    return min(max(elapsed_ms, 0) << TIMESTAMP_SHIFT, MAX_SNOWFLAKE)


def latest_snowflake(now: datetime) -> int:
    """Return the highest id that can exist at *now*, read from a clock that may be slow."""
    return snowflake_at(now + SLACK)


def earliest_snowflake(channel_id: ChannelId) -> int:
    """Return the lowest id that a message of the channel can have: messages are not older."""
    return max(channel_id - (SLACK // timedelta(milliseconds=1) << TIMESTAMP_SHIFT), 1)


def moment_of(snowflake: int) -> datetime:
    """Return the time of *snowflake*, to the millisecond, in UTC."""
    return _EPOCH + timedelta(milliseconds=snowflake >> TIMESTAMP_SHIFT)
