"""One token's requests per second, shared out among workers."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import Final

DISCORD_PER_SECOND: Final = 50
"""What Discord grants a token unless it has raised the limit for it."""
WINDOW_S: Final = 1.0
JITTER_S: Final = 0.03
"""By how much requests that were sent evenly may be apart on arrival."""
HORIZON_S: Final = 0.4
"""How far ahead all workers together book: long enough to never run dry while a worker asks."""
_ROUNDING_S: Final = 0.001
_LEAST_TOLERANCE_S: Final = 0.005
_MOST_TOLERANCE_S: Final = 0.1
_ACTIVE_S: Final = 1.0
"""A worker that has not asked for so long has no share."""
_FULL_SHARE: Final = 0.96
"""Of a limit above Discord's common one, the rate is taken to be this part, as 48 of 50."""


@dataclass(frozen=True, slots=True)
class Lease:
    """Permits for one worker, each for one request at one moment.

    *granted_at_s* is on the granter's own clock, *starts* are offsets from it. A permit may be
    used from its start and for *valid_for_s*; then it lapses. Without any, *ask_again_s* says
    when the worker may get one.
    """

    granted_at_s: float
    starts: tuple[float, ...]
    valid_for_s: float
    ask_again_s: float = 0.0


@dataclass(slots=True)
class _Share:
    """One worker's part of the bookings."""

    asked_s: float = -math.inf
    per_second: float = math.inf
    booked_s: deque[float] = field(default_factory=deque)


class GlobalBudget:
    """Books evenly spaced permits. Fair: nobody holds more than an equal part of the horizon.

    An unused permit is lost, so a dead worker costs others what it had booked, and no more.
    """

    def __init__(self, opens_s: float) -> None:
        """Grant nothing that starts before *opens_s*."""
        self._next_s = opens_s
        self._shares: dict[str, _Share] = {}

    def lease(self, worker: str, want: int, per_second: float, now_s: float) -> Lease:
        """Grant *worker* up to *want* permits, at *per_second* or what a slower sharer asked."""
        share = self._share_of(worker, per_second, now_s)
        rate = min(each.per_second for each in self._shares.values())
        holds = max(1, int(HORIZON_S * rate / len(self._shares)))
        starts: list[float] = []
        while len(share.booked_s) < holds and len(starts) < want:
            start_s = max(self._next_s, now_s)
            self._next_s = start_s + 1 / rate
            share.booked_s.append(start_s)
            starts.append(start_s - now_s)
        ask_again_s = 0.0 if starts or want < 1 else share.booked_s[0] - now_s
        return Lease(now_s, tuple(starts), tolerance_s(rate), ask_again_s)

    def block(self, until_s: float) -> None:
        """Let no new permit start before *until_s*."""
        self._next_s = max(self._next_s, until_s)

    def _share_of(self, worker: str, per_second: float, now_s: float) -> _Share:
        share = self._shares.setdefault(worker, _Share())
        share.asked_s, share.per_second = now_s, per_second
        for name, each in list(self._shares.items()):
            while each.booked_s and each.booked_s[0] <= now_s:
                each.booked_s.popleft()
            if each.asked_s < now_s - _ACTIVE_S and not each.booked_s:
                del self._shares[name]
        return share


def tolerance_s(per_second: float) -> float:
    """How long after its start a permit may be used: what the limit leaves beside jitter."""
    raised = per_second > DISCORD_PER_SECOND
    limit = math.ceil(per_second / _FULL_SHARE) if raised else DISCORD_PER_SECOND
    slack_s = WINDOW_S * (limit / per_second - 1)
    return min(max(slack_s - JITTER_S - _ROUNDING_S, _LEAST_TOLERANCE_S), _MOST_TOLERANCE_S)
