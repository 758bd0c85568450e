"""The slowdown of a token that is refused in spite of its budget."""

from __future__ import annotations

import logging
from collections import deque
from typing import Final

_log = logging.getLogger(__name__)

REFUSALS: Final = 3
"""Number of global refusals within `WITHIN_S` that are tolerated."""
WITHIN_S: Final = 10.0
"""Seconds in which refusals are counted; after as long without any, the rate rises by a step."""
STEP: Final = 0.75
"""Factor of the rate for each wave of refusals."""
LEAST_PER_SECOND: Final = 1.0
_MOST_STEPS: Final = 25
"""Maximum number of steps: the token recovers within minutes, however often it was refused."""


class Throttle:
    """The reduction of one token's rate, by a quarter for each wave of global refusals.

    Global refusals mean that another program uses the token, or that Discord's limit is lower.
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
            self._log_change("slower: Discord refused it again and again", "token_slowed")

    def slowed(self, per_second: float, now_s: float) -> float:
        """Return the reduced rate of *per_second*."""
        self._recover(now_s)
        return max(per_second * STEP**self._steps, min(per_second, LEAST_PER_SECOND))

    def _recover(self, now_s: float) -> None:
        while self._steps and now_s - self._changed_s >= WITHIN_S:
            self._steps -= 1
            self._changed_s += WITHIN_S
            self._log_change("faster again", "token_recovers")

    def _log_change(self, how: str, event: str) -> None:
        _log.warning(
            "the token %s is used %s, at %.0f%% of its rate",
            self._fingerprint,
            how,
            100 * STEP**self._steps,
            extra={"event": event, "token": self._fingerprint},
        )
