"""A token that is refused in spite of its budget is used more slowly, until that ends."""

from __future__ import annotations

import logging
from collections import deque
from typing import Final

_log = logging.getLogger(__name__)

REFUSALS: Final = 3
"""More than so many global refusals ..."""
WITHIN_S: Final = 10.0
"""... in so many seconds slow the token down; as long without any, and it recovers by a step."""
STEP: Final = 0.75
LEAST_PER_SECOND: Final = 1.0
_MOST_STEPS: Final = 25
"""So it recovers within minutes, however often it was refused."""


class Throttle:
    """How much of its rate one token is used at: less by a quarter for each wave of refusals.

    Global refusals mean that somebody else uses the token, or that Discord's limit is lower.
    """

    def __init__(self, fingerprint: str) -> None:
        self._fingerprint = fingerprint
        self._refused_s: deque[float] = deque()
        self._steps = 0
        self._changed_s = 0.0

    def note_refusal(self, now_s: float) -> None:
        """Count a global refusal."""
        self._recover(now_s)
        self._changed_s = now_s
        self._refused_s.append(now_s)
        while self._refused_s[0] <= now_s - WITHIN_S:
            self._refused_s.popleft()
        if len(self._refused_s) > REFUSALS:
            self._refused_s.clear()
            self._steps = min(self._steps + 1, _MOST_STEPS)
            self._tell("slower: Discord refused it again and again", "token_slowed")

    def slowed(self, per_second: float, now_s: float) -> float:
        """What is left of *per_second*."""
        self._recover(now_s)
        return max(per_second * STEP**self._steps, min(per_second, LEAST_PER_SECOND))

    def _recover(self, now_s: float) -> None:
        while self._steps and now_s - self._changed_s >= WITHIN_S:
            self._steps -= 1
            self._changed_s += WITHIN_S
            self._tell("faster again", "token_recovers")

    def _tell(self, how: str, event: str) -> None:
        _log.warning(
            "the token %s is used %s, at %.0f%% of its rate",
            self._fingerprint,
            how,
            100 * STEP**self._steps,
            extra={"event": event, "token": self._fingerprint},
        )
