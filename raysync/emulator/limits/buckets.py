"""Buckets: three rate limit algorithms. Each takes the time as an argument."""

import math
from collections import deque
from dataclasses import dataclass
from typing import Protocol, assert_never

from raysync.emulator.limits.settings import Form


@dataclass(frozen=True, slots=True)
class Verdict:
    """A bucket's decision on a request. *retry_after_s* is above 0 in a refusal."""

    limit: int
    remaining: int
    reset_after_s: float
    retry_after_s: float = 0.0

    @property
    def allowed(self) -> bool:
        """True if the request may pass."""
        return self.retry_after_s == 0.0


class Bucket(Protocol):
    """A rate limit with its state."""

    def take(self, now_s: float) -> Verdict:
        """Admit a request, or return the wait until the next one may pass."""
        ...


class LeakyBucket:
    """Leaky bucket: holds *limit*, drains limit/window. Its reset is when it is empty."""

    def __init__(self, limit: int, window_s: float) -> None:
        self._limit, self._window_s = limit, window_s
        self._used, self._seen_s = 0.0, 0.0

    def take(self, now_s: float) -> Verdict:
        """Admit a request, or return the wait until one unit has drained."""
        drained = (now_s - self._seen_s) * self._limit / self._window_s
        self._used, self._seen_s = max(0.0, self._used - drained), now_s
        over = self._used + 1 - self._limit
        if over > 1e-9:
            unit_s = self._window_s / self._limit
            return Verdict(self._limit, 0, self._used * unit_s, over * unit_s)
        self._used += 1
        remaining = math.floor(self._limit - self._used + 1e-9)
        return Verdict(self._limit, remaining, self._used * self._window_s / self._limit)


class FixedWindow:
    """Fixed window: admits *limit* requests in a window that the first one opens."""

    def __init__(self, limit: int, window_s: float) -> None:
        self._limit, self._window_s = limit, window_s
        self._end_s, self._used = -math.inf, 0

    def take(self, now_s: float) -> Verdict:
        """Admit a request, or return the wait until the window ends."""
        if now_s >= self._end_s:
            self._end_s, self._used = now_s + self._window_s, 0
        left_s = self._end_s - now_s
        if self._used == self._limit:
            return Verdict(self._limit, 0, left_s, left_s)
        self._used += 1
        return Verdict(self._limit, self._limit - self._used, left_s)


class SlidingLog:
    """Sliding log: admits at most *limit* requests in any period of *window_s*."""

    def __init__(self, limit: int, window_s: float) -> None:
        self._limit, self._window_s = limit, window_s
        self._passed_s: deque[float] = deque()

    def take(self, now_s: float) -> Verdict:
        """Admit a request, or return the wait until the oldest has left the period."""
        while self._passed_s and self._passed_s[0] + self._window_s <= now_s:
            self._passed_s.popleft()
        if len(self._passed_s) == self._limit:
            reset_s = self._passed_s[-1] + self._window_s - now_s
            return Verdict(self._limit, 0, reset_s, self._passed_s[0] + self._window_s - now_s)
        self._passed_s.append(now_s)
        return Verdict(self._limit, self._limit - len(self._passed_s), self._window_s)


def make_bucket(form: Form, limit: int, window_s: float) -> Bucket:
    """Return an unused bucket."""
    match form:
        case Form.SLIDING:
            return LeakyBucket(limit, window_s)
        case Form.FIXED:
            return FixedWindow(limit, window_s)
        case Form.SLIDING_LOG:
            return SlidingLog(limit, window_s)
    assert_never(form)
