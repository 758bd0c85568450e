"""When a worker's requests have reached Discord at the latest, which is what Discord counts.

A request may arrive later than it was sent: a machine has too much to do, a network stutters. How
late at most is told by how much longer its answer took than the quickest lately; while there is no
answer, it may be arriving only now. A delay of `TOLERATED_S` needs no telling: the governor
leaves room for it.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import Final

from raysync.ratelimit.budget import JITTER_S
from raysync.ratelimit.permit import Permit

TOLERATED_S: Final = JITTER_S - 0.01
"""So late is on time. The rest of the governor's room is for a least that was seldom reached."""
_LATELY_S: Final = 30.0
_SETTLED_S: Final = 0.005
_ENOUGH: Final = 12
_LONG_ENOUGH_S: Final = 1.0
"""All of the first requests may have been late: fewer, or for less long, tell nothing."""
_COUNTS_S: Final = 1.5
"""An arrival counts for a second at Discord."""


@dataclass(frozen=True, slots=True)
class _Answered:
    permit: Permit
    sent_s: float
    answered_s: float


class LeastLately:
    """The least of what was seen in the last half to whole minute; 0 until enough was seen."""

    def __init__(self) -> None:
        self._before = self._now = math.inf
        self._since_s = -math.inf
        self._seen = 0
        self._watched_s = 0.0
        self._began_s = math.inf

    def note(self, value: float, now_s: float) -> None:
        """Take in a value."""
        if now_s - self._since_s > _LATELY_S:
            self._before, self._now, self._since_s = self._now, math.inf, now_s
        self._now = min(self._now, value)
        self._seen += 1
        self._began_s = min(self._began_s, now_s)
        self._watched_s = now_s - self._began_s

    @property
    def least(self) -> float:
        """See the class."""
        known = self._seen >= _ENOUGH and self._watched_s >= _LONG_ENOUGH_S
        return min(self._before, self._now) if known else 0.0


class Arrivals:
    """Watches requests between their sending and their answer. Times are this worker's clock's."""

    def __init__(self) -> None:
        self._under_way_s: dict[Permit, float] = {}
        self._answered: deque[_Answered] = deque()  # as far back as they may count at Discord
        self._took_s = LeastLately()
        self._reckoned_s = 0.0  # the least by which those answered were judged
        self._arrived_s: dict[Permit, float] = {}  # not asked for yet

    def sent(self, permit: Permit, at_s: float) -> None:
        """Its request goes out; again, when it goes out again on another connection."""
        self._under_way_s[permit] = at_s

    def answered(self, permit: Permit, at_s: float) -> None:
        """Its answer has begun to arrive."""
        new = _Answered(permit, self._under_way_s.pop(permit), at_s)
        self._answered.append(new)
        while self._answered[0].answered_s < at_s - _COUNTS_S:
            self._answered.popleft()
        self._took_s.note(at_s - new.sent_s, at_s)
        if abs(self._took_s.least - self._reckoned_s) > _SETTLED_S:  # earlier verdicts err
            self._reckoned_s = self._took_s.least
            for each in self._answered:
                self._arrived_s[each.permit] = self._latest_s(each.sent_s, each.answered_s)
        elif self._is_late(new.sent_s, at_s):
            self._arrived_s[permit] = self._latest_s(new.sent_s, at_s)

    def lost(self, permit: Permit, at_s: float) -> None:
        """No answer will come: it may have arrived until now."""
        del self._under_way_s[permit]
        self._arrived_s[permit] = at_s

    def news(self, now_s: float) -> dict[Permit, float]:
        """Of which requests it turned out, since the last call, that they came at another time.

        With it, when they had arrived at the latest; for those without an answer yet, that is now.
        """
        for permit, sent_s in self._under_way_s.items():
            if self._is_late(sent_s, now_s):
                self._arrived_s[permit] = self._latest_s(sent_s, now_s)
        arrived_s, self._arrived_s = self._arrived_s, {}
        return arrived_s

    def __len__(self) -> int:
        """How many are under way."""
        return len(self._under_way_s)

    def _is_late(self, sent_s: float, until_s: float) -> bool:
        return until_s - sent_s - self._took_s.least > TOLERATED_S

    def _latest_s(self, sent_s: float, until_s: float) -> float:
        return max(until_s - self._took_s.least - TOLERATED_S, sent_s)
