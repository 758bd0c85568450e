"""One bucket: a route within one channel or guild."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from typing import Final

from raysync.ratelimit.policies import RoutePolicy

MARGIN_S: Final = 0.02
"""Added to each window: Discord rounds its times to the millisecond, and timers wake early."""
_REMEMBERED: Final = 100
"""Completions kept while no limit is known: a limit learned later counts them."""


class ChannelBucket:
    """A log of completed requests, and a count of those under way.

    Whoever sends asks `delay_s`, calls `start` when it is 0, and `finish` or `cancel` afterwards.
    """

    def __init__(self) -> None:
        self._completed_s: deque[float] = deque(maxlen=_REMEMBERED)
        self._in_flight = 0
        self._blocked_until_s = -math.inf

    def delay_s(self, policy: RoutePolicy | None, now_s: float) -> float:
        """How long until another request may start; infinite while only a `finish` can help."""
        blocked_s = max(0.0, self._blocked_until_s - now_s)
        if policy is None:
            return blocked_s
        older = policy.limit - self._in_flight  # the next one joins the youngest of these
        if older <= 0:
            return math.inf
        if len(self._completed_s) < older:
            return blocked_s
        free_s = self._completed_s[-older] + policy.window_s + MARGIN_S
        return max(blocked_s, free_s - now_s)

    def start(self) -> None:
        """Count a request as under way."""
        self._in_flight += 1

    def finish(self, now_s: float) -> None:
        """Count it as completed: answered, or lost after it was sent."""
        self._in_flight -= 1
        self._completed_s.append(now_s)

    def cancel(self) -> None:
        """Take `start` back: nothing was sent."""
        self._in_flight -= 1

    def block(self, retry_after_s: float, now_s: float) -> None:
        """Start nothing for so long."""
        self._blocked_until_s = max(self._blocked_until_s, now_s + retry_after_s)

    def drain(self, policy: RoutePolicy, retry_after_s: float, now_s: float) -> None:
        """Take the bucket for used up, as a refusal says it is.

        After *retry_after_s* a leaky bucket lets one request pass, and only after a whole window
        surely as many as it holds.
        """
        self.block(retry_after_s, now_s)
        first_s = min(now_s, now_s + retry_after_s - policy.window_s - MARGIN_S)
        kept = min(policy.limit, _REMEMBERED)
        self._completed_s.clear()
        self._completed_s.extend([first_s] + [now_s] * (kept - 1))

    def ages_s(self, policy: RoutePolicy | None, now_s: float) -> tuple[float, ...]:
        """How long ago the requests were completed that still count: enough to go on elsewhere."""
        if policy is None:
            return ()
        ages_s = (now_s - each for each in self._completed_s)
        return tuple(each for each in ages_s if each < policy.window_s + MARGIN_S)

    def restore(self, ages_s: Iterable[float], now_s: float) -> None:
        """Take over what another process knew of this bucket, unless ours is newer."""
        completed_s = sorted(now_s - each for each in ages_s)
        known_s = self._completed_s[-1] if self._completed_s else -math.inf
        if completed_s and known_s < completed_s[-1] - MARGIN_S:
            self._completed_s.clear()
            self._completed_s.extend(completed_s)

    def is_idle(self, policy: RoutePolicy | None, now_s: float) -> bool:
        """Whether forgetting the bucket changes nothing."""
        if self._in_flight or self._blocked_until_s > now_s:
            return False
        window_s = policy.window_s + MARGIN_S if policy is not None else 60.0
        return not self._completed_s or self._completed_s[-1] + window_s <= now_s
