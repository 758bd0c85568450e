"""What the latest answers of a route agree on, so that no single answer is believed alone."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Hashable
from statistics import median_high, median_low
from typing import Final

_ANSWERS: Final = 5
_ROUNDS: Final = 3
_OPEN: Final = 256
"""Buckets with a round under way that are kept; the one that answered longest ago goes first."""


class RouteVotes:
    """The last answers of one route: the limit they name, and the window their buckets show.

    Every answer votes for a limit. For a window, a *round* votes: as many answers of one bucket,
    one after another, as its limit. Whatever its form, one of them comes when the bucket has been
    empty or is full, and shows the window as far as it was used.
    """

    def __init__(self) -> None:
        self.answers = 0
        self.looser = 0  #: answers in a row that name more than is believed
        self._limits: deque[int] = deque(maxlen=_ANSWERS)
        self._rounds: deque[float] = deque(maxlen=_ROUNDS)
        self._open: OrderedDict[Hashable, list[float]] = OrderedDict()

    def note(self, bucket: Hashable, limit: int, window_s: float, believed: int) -> bool:
        """Take in an answer, where *believed* is the limit so far; return whether a round ended."""
        self.answers += 1
        self.looser = self.looser + 1 if limit > believed else 0
        self._limits.append(limit)
        shown = self._open.setdefault(bucket, [])
        self._open.move_to_end(bucket)
        shown.append(window_s)
        if len(shown) >= limit:
            self._rounds.append(max(shown))
            del self._open[bucket]
            return True
        if len(self._open) > _OPEN:
            self._open.popitem(last=False)
        return False

    @property
    def limit(self) -> int:
        """The limit that most of the last answers name."""
        return median_high(self._limits)

    @property
    def window_s(self) -> float:
        """The window that most of the last rounds show."""
        return median_low(self._rounds)

    @property
    def rounds(self) -> int:
        """How many rounds there were, of the last ones."""
        return len(self._rounds)
