"""Tempo of a tail: events a minute, and the time from Discord to the database."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final, Protocol

from raysync.models.ids import moment_of
from raysync.models.live import Dispatch

_MINUTE_S: Final = 60.0
_MOST_LAG_MS: Final = 86_400_000
"""A longer lag is that of a clock, or of an event that a resumed session repeats."""


class TailMeter(Protocol):
    """Receiver of a tail's figures, for metrics."""

    def event(self, name: str) -> None:
        """Count an event that was received."""
        ...

    def batch(self, events: int, lag_s: float) -> None:
        """Count a transaction with so many events, the oldest of them so old."""
        ...

    def resumed(self) -> None:
        """Count a session that was continued."""
        ...

    def identified(self, left: int) -> None:
        """Count a session that begins; Discord allows *left* more today."""
        ...

    def closed(self) -> None:
        """Count a connection that ended."""
        ...

    def settled(self, missed: int) -> None:
        """Count a whole settle pass, with the changes that it found and no event told."""
        ...

    def watch(self, listening: Callable[[], int]) -> None:
        """Take the function that counts the tenants that are listened to."""
        ...


class Unmeasured:
    """`TailMeter` that keeps nothing."""

    def event(self, name: str) -> None: ...
    def batch(self, events: int, lag_s: float) -> None: ...
    def resumed(self) -> None: ...
    def identified(self, left: int) -> None: ...
    def closed(self) -> None: ...
    def settled(self, missed: int) -> None: ...
    def watch(self, listening: Callable[[], int]) -> None: ...


class Tempo:
    """Events of one tenant in the present minute, and in the one before."""

    def __init__(self) -> None:
        self._began_s: float | None = None
        self._events = 0
        self._lag_ms: int | None = None
        self._last: tuple[int | None, int | None] = (None, None)

    def stored(self, events: int, lag_ms: int, now_s: float) -> None:
        """Count events that were stored now, the slowest of them after so many milliseconds."""
        self._turn(now_s)
        self._events += events
        self._lag_ms = max(self._lag_ms or 0, lag_ms)

    def minute(self, now_s: float) -> tuple[int | None, int | None]:
        """Return events and highest lag of the last whole minute; None before its end."""
        self._turn(now_s)
        events, lag_ms = self._last
        return events, lag_ms if self._lag_ms is None else max(lag_ms or 0, self._lag_ms)

    def _turn(self, now_s: float) -> None:
        if self._began_s is None:
            self._began_s = now_s
        minutes = int((now_s - self._began_s) // _MINUTE_S)
        if minutes > 0:
            self._last = (self._events, self._lag_ms) if minutes == 1 else (0, None)
            self._events, self._lag_ms = 0, None
            self._began_s += minutes * _MINUTE_S


def lag_ms(dispatches: Sequence[Dispatch], now: datetime, now_s: float) -> int:
    """Return the highest time from an event to *now*, in milliseconds.

    A new message tells its own time; other events count from their receipt.
    """
    highest = 0
    for dispatch in dispatches:
        lag = round((now_s - dispatch.received_s) * 1000)
        if dispatch.name == "MESSAGE_CREATE":
            id_ = str(dispatch.payload.get("id"))
            if id_.isascii() and id_.isdigit() and len(id_) < 20:
                own = round((now - moment_of(int(id_))).total_seconds() * 1000)
                if 0 <= own < _MOST_LAG_MS:
                    lag = max(lag, own)
        highest = max(highest, lag)
    return highest
