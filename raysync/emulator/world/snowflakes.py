"""Discord's ids and times. A snowflake holds the millisecond of its creation."""

from datetime import UTC, datetime, timedelta
from typing import Final

EPOCH_MS: Final = 1_420_070_400_000
MAX_SNOWFLAKE: Final = (1 << 63) - 1
TIMESTAMP_SHIFT: Final = 22
_UNIX: Final = datetime(1970, 1, 1, tzinfo=UTC)


def snowflake(at_ms: int, sequence: int = 0) -> int:
    """Return the id of Unix millisecond *at_ms* and the number *sequence* within it."""
    return (at_ms - EPOCH_MS) << TIMESTAMP_SHIFT | sequence


def made_at_ms(snowflake_id: int) -> int:
    """Return the Unix millisecond in which *snowflake_id* was created."""
    return (snowflake_id >> TIMESTAMP_SHIFT) + EPOCH_MS


def iso(at_ms: int, microseconds: int = 0) -> str:
    """Return a time as Discord writes it: six decimals and a numeric offset."""
    at = _UNIX + timedelta(milliseconds=at_ms, microseconds=microseconds)
    return at.isoformat(timespec="microseconds")


def iso_to_ms(text: str) -> int:
    """Return the Unix milliseconds of an ISO 8601 time. Without an offset it is UTC.

    Raises:
        ValueError: *text* is not an ISO 8601 time.
    """
    at = datetime.fromisoformat(text)
    aware = at if at.tzinfo else at.replace(tzinfo=UTC)
    return (aware - _UNIX) // timedelta(milliseconds=1)
