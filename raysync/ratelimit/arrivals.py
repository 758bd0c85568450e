"""Upper bounds on the arrival times of a worker's requests. Discord limits arrivals, not sends.

A busy machine or a slow network delays a request between its sending and its arrival. The delay is
at most the time by which its answer took longer than the quickest recent one. While there is no
answer, the request may be arriving only now. A delay up to `TOLERATED_S` is not reported, since
the governor leaves room for it.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import Final

from raysync.ratelimit.budget import JITTER_S
from raysync.ratelimit.permit import Permit

TOLERATED_S: Final = JITTER_S - 0.01
"""Delay that counts as none, in seconds.

The rest of the governor's room covers a minimum that answers seldom reach."""
_HALF_WINDOW_S: Final = 30.0
_SETTLED_S: Final = 0.005
"""Change of the minimum that makes earlier bounds worth computing again, in seconds."""
_MIN_SAMPLES: Final = 12
_MIN_SAMPLING_S: Final = 1.0
"""All of the first requests may have been late: fewer samples or less time prove nothing."""
_COUNTS_S: Final = 1.5
"""Time after which an arrival no longer counts, in seconds: at Discord it counts for one."""


@dataclass(frozen=True, slots=True)
class _Answered:
    permit: Permit
    sent_s: float
    answered_s: float


class RecentMinimum:
    """The minimum of the last 30 to 60 seconds; 0 until there are enough samples."""

    def __init__(self) -> None:
        self._before = self._now = math.inf
        self._since_s = -math.inf
        self._seen = 0
        self._watched_s = 0.0
        self._began_s = math.inf

    def note(self, value: float, now_s: float) -> None:
        """Add a sample."""
        if now_s - self._since_s > _HALF_WINDOW_S:
            self._before, self._now, self._since_s = self._now, math.inf, now_s
        self._now = min(self._now, value)
        self._seen += 1
        self._began_s = min(self._began_s, now_s)
        self._watched_s = now_s - self._began_s

    @property
    def least(self) -> float:
        """The minimum."""
        known = self._seen >= _MIN_SAMPLES and self._watched_s >= _MIN_SAMPLING_S
        return min(self._before, self._now) if known else 0.0


class Arrivals:
    """Requests between their sending and their answer, in times of the worker's clock."""

    def __init__(self) -> None:
        self._in_flight_s: dict[Permit, float] = {}
        self._answered: deque[_Answered] = deque()  # those that may still count at Discord
        self._took_s = RecentMinimum()
        self._applied_least_s = 0.0  # the minimum by which the answered requests were judged
        self._arrived_s: dict[Permit, float] = {}  # not reported yet

    def sent(self, permit: Permit, at_s: float) -> None:
        """Record that the request is being sent, or sent again on another connection."""
        self._in_flight_s[permit] = at_s

    def answered(self, permit: Permit, at_s: float) -> None:
        """Record that the answer has begun to arrive."""
        new = _Answered(permit, self._in_flight_s.pop(permit), at_s)
        self._answered.append(new)
        while self._answered[0].answered_s < at_s - _COUNTS_S:
            self._answered.popleft()
        self._took_s.note(at_s - new.sent_s, at_s)
        if abs(self._took_s.least - self._applied_least_s) > _SETTLED_S:  # earlier bounds are wrong
            self._applied_least_s = self._took_s.least
            for request in self._answered:
                self._arrived_s[request.permit] = self._latest_s(request.sent_s, request.answered_s)
        elif self._is_late(new.sent_s, at_s):
            self._arrived_s[permit] = self._latest_s(new.sent_s, at_s)

    def lost(self, permit: Permit, at_s: float) -> None:
        """Record that no answer will come: the request may have arrived until now."""
        del self._in_flight_s[permit]
        self._arrived_s[permit] = at_s

    def news(self, now_s: float) -> dict[Permit, float]:
        """Return the arrival times that changed since the last call, as upper bounds.

        The bound of a request without an answer is now.
        """
        for permit, sent_s in self._in_flight_s.items():
            if self._is_late(sent_s, now_s):
                self._arrived_s[permit] = self._latest_s(sent_s, now_s)
        arrived_s, self._arrived_s = self._arrived_s, {}
        return arrived_s

    def __len__(self) -> int:
        """Return the number of requests in flight."""
        return len(self._in_flight_s)

    def _is_late(self, sent_s: float, until_s: float) -> bool:
        return until_s - sent_s - self._took_s.least > TOLERATED_S

    def _latest_s(self, sent_s: float, until_s: float) -> float:
        return max(until_s - self._took_s.least - TOLERATED_S, sent_s)
