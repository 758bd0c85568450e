"""The agreement of a route's latest answers, so that no single answer is believed alone."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Hashable
from statistics import median_high, median_low
from typing import Final

_ANSWERS: Final = 5
_ROUNDS: Final = 3
_OPEN: Final = 256
"""Number of unfinished rounds kept; the one whose bucket answered longest ago is dropped."""


class RouteVotes:
    """The last answers of one route: the limits they name, and the windows their buckets show.

    Every answer votes for a limit. A *round* votes for a window: as many successive answers of one
    bucket as its limit. In every form of bucket, one of them comes when the bucket was empty or is
    full, and shows the window as far as it was used.
    """

    def __init__(self) -> None:
        self.answers = 0
        self.looser = 0  #: answers in a row that name more than is believed
        self._limits: deque[int] = deque(maxlen=_ANSWERS)
        self._rounds: deque[float] = deque(maxlen=_ROUNDS)
        self._open: OrderedDict[Hashable, list[float]] = OrderedDict()

    def note(self, bucket: Hashable, limit: int, window_s: float, believed: int) -> bool:
        """Add an answer, where *believed* is the limit so far; return whether it ended a round."""
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
        """The number of rounds among the last ones."""
        return len(self._rounds)
