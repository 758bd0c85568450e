"""Discord's ids and times: a snowflake carries the millisecond of its making."""

from datetime import UTC, datetime, timedelta
from typing import Final

EPOCH_MS: Final = 1_420_070_400_000
MAX_SNOWFLAKE: Final = (1 << 63) - 1
TIMESTAMP_SHIFT: Final = 22
_UNIX: Final = datetime(1970, 1, 1, tzinfo=UTC)


def snowflake(at_ms: int, sequence: int = 0) -> int:
    """Return the id made at *at_ms* (Unix), the *sequence*-th of its millisecond."""
    return (at_ms - EPOCH_MS) << TIMESTAMP_SHIFT | sequence


def made_at_ms(snowflake_id: int) -> int:
    """Return the Unix millisecond at which *snowflake_id* was made."""
    return (snowflake_id >> TIMESTAMP_SHIFT) + EPOCH_MS


def iso(at_ms: int, microseconds: int = 0) -> str:
    """Write a time the way Discord does: six decimals and a spelled-out offset."""
    at = _UNIX + timedelta(milliseconds=at_ms, microseconds=microseconds)
    return at.isoformat(timespec="microseconds")


def iso_to_ms(text: str) -> int:
    """Read an ISO 8601 time; one without an offset is UTC.

    Raises ValueError where it is none.
    """
    at = datetime.fromisoformat(text)
    aware = at if at.tzinfo else at.replace(tzinfo=UTC)
    return (aware - _UNIX) // timedelta(milliseconds=1)
