"""Clock as a dependency, so that tests never sleep."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Source of the time."""

    def monotonic_s(self) -> float:
        """Return the seconds of a clock that never jumps; only differences have a meaning."""
        ...

    def now(self) -> datetime:
        """Return the present time in UTC, with its time zone."""
        ...


class SystemClock:
    """Clock of the machine."""

    def monotonic_s(self) -> float:
        return time.monotonic()

    def now(self) -> datetime:
        return datetime.now(UTC)
