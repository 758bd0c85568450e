"""One channel's bucket, held on our side."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

MARGIN_S = 0.01


@dataclass(slots=True)
class ChannelBucket:
    """At most *limit* requests in any *window_s*, as Discord sees them.

    A request counts from its *completion*: Discord counted it before that, wherever in the way it
    was, so no latency can push two windows together. It is right for windows that slide and for
    windows that are fixed, since any window of that length holds no more than the limit.
    """

    limit: int = 5
    window_s: float = 5.0
    under_way: int = 0
    blocked_until_s: float = 0.0
    done: deque[float] = field(default_factory=deque)

    def delay_s(self, now_s: float) -> float | None:
        """Seconds until a request may start; None: when one under way has ended."""
        self._expire(now_s)
        blocked_s = max(self.blocked_until_s - now_s, 0.0)
        if self.under_way + len(self.done) < self.limit:
            return blocked_s
        if not self.done:
            return None
        return max(self.done[0] + self.window_s + MARGIN_S - now_s, blocked_s)

    def start(self) -> None:
        """A request leaves."""
        self.under_way += 1

    def finish(self, now_s: float) -> None:
        """Its answer is here."""
        self.under_way -= 1
        self.done.append(now_s)

    def cancel(self) -> None:
        """It never left."""
        self.under_way -= 1

    def block(self, until_s: float) -> None:
        """Discord said 429: nothing before *until_s*."""
        self.blocked_until_s = max(self.blocked_until_s, until_s)

    def _expire(self, now_s: float) -> None:
        while self.done and self.done[0] + self.window_s + MARGIN_S <= now_s:
            self.done.popleft()
