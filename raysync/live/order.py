"""Order of a session's events: each once, without a hole."""

from __future__ import annotations

from collections.abc import Iterator

from raysync.models.live import Dispatch

MAX_HELD = 50_000
"""Maximum number of events that wait for an earlier one."""


class Order:
    """Events of a session by their sequence numbers, which have no holes.

    A connection may bring an event twice, late, or not at all. One that is missing is not lost:
    resumed from the number before it, the session repeats it.
    """

    def __init__(self, sequence: int) -> None:
        """Continue after the event *sequence*."""
        self._released = sequence
        self._held: dict[int, Dispatch] = {}

    @property
    def released(self) -> int:
        """Sequence number up to which all events were released."""
        return self._released

    @property
    def is_incomplete(self) -> bool:
        """True while events wait for an earlier one."""
        return bool(self._held)

    @property
    def is_hopeless(self) -> bool:
        """True if so many events wait that the connection has to begin again."""
        return len(self._held) > MAX_HELD

    def add(self, dispatch: Dispatch) -> Iterator[Dispatch]:
        """Take an event, and yield the events that are next in order."""
        if dispatch.sequence > self._released:
            self._held.setdefault(dispatch.sequence, dispatch)
        while (following := self._held.pop(self._released + 1, None)) is not None:
            self._released += 1
            yield following

    def drop_held(self) -> None:
        """Forget the waiting events: the session is about to repeat them."""
        self._held.clear()

    def skip_hole(self) -> Iterator[Dispatch]:
        """Give up the missing events, and yield those behind them."""
        if self._held:
            first = self._held.pop(min(self._held))
            self._released = first.sequence
            yield first
            yield from self._following()

    def _following(self) -> Iterator[Dispatch]:
        while (following := self._held.pop(self._released + 1, None)) is not None:
            self._released += 1
            yield following
