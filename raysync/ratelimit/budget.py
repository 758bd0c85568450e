"""One token's budget of requests per second, divided among workers."""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from raysync.models.permits import Demand, Lease, Sharer, Use
from raysync.ratelimit.throttle import Throttle

DISCORD_PER_SECOND: Final = 50
"""Discord's limit of requests per second for a token, unless Discord has raised it."""
WINDOW_S: Final = 1.0
JITTER_S: Final = 0.015
"""Delay of a request's arrival that is not reported, in seconds."""
HORIZON_S: Final = 0.4
"""Seconds that all workers together book ahead, so that none runs dry while it asks."""
VALID_S: Final = 0.3
"""Validity of a permit from its start, in seconds: enough for a worker on a busy machine."""
QUIET_S: Final = WINDOW_S + JITTER_S + HORIZON_S + VALID_S
"""Seconds after a governor's end in which its permits may share a window with new ones."""
SURPLUS_S: Final = 0.005
"""Time whose permits are granted at once even if fewer are asked for, to save calls."""
MAX_SURPLUS: Final = 8
_CATCH_UP: Final = 3
"""Number of permits that may start at once after a moment without demand."""
_APART_S: Final = 0.001
"""Least distance between two permits, in seconds: a permit is identified by its start."""
_ACTIVE_S: Final = 1.0
"""Seconds without a request for permits after which a worker loses its share."""
_FULL_SHARE: Final = 0.96
"""Part of a raised limit that the configured rate is assumed to be, as 48 of 50."""
_LEAST_PAUSE_S: Final = 0.01


class ArrivalLog:
    """Upper bounds on the arrival times of a token's requests."""

    def __init__(self) -> None:
        self._latest_s: dict[float, float] = {}  # keyed by their permits' start

    def book(self, start_s: float) -> None:
        """Count a permit as used at the end of its validity, until its use is reported."""
        self._latest_s[start_s] = start_s + VALID_S

    def record(self, use: Use) -> None:
        """Replace a permit's count by its reported use; a later report overrules an earlier one."""
        if use.arrived_s is None:
            self._latest_s.pop(use.start_s, None)
        else:
            self._latest_s[use.start_s] = use.arrived_s

    def uses(self) -> tuple[Use, ...]:
        """Return the permits of the last second and of the future, with their latest arrivals."""
        return tuple(Use(start_s, at_s) for start_s, at_s in self._latest_s.items())

    def earliest_s(self, limit: int, now_s: float) -> float:
        """Return when one more request leaves no second with more than *limit* arrivals."""
        oldest_s = now_s - WINDOW_S - JITTER_S
        self._latest_s = {start: at for start, at in self._latest_s.items() if at > oldest_s}
        if len(self._latest_s) < limit:
            return -math.inf
        return sorted(self._latest_s.values())[-limit] + WINDOW_S + JITTER_S


@dataclass(slots=True)
class _Share:
    """One worker's share of the bookings."""

    asked_s: float = -math.inf
    per_second: float = math.inf
    weight: float = 1.0
    booked_s: deque[float] = field(default_factory=deque)


class GlobalBudget:
    """Books permits at an even pace; no run holds more than an equal part of the horizon.

    The pace keeps the rate. The log of arrivals keeps the limit, however late permits are used.
    A dead worker costs the others the permits that it had booked, and no more.
    """

    def __init__(self, opens_s: float, throttle: Throttle) -> None:
        """Grant nothing that starts before *opens_s*."""
        self.part: int | None = None  #: requests per second that are ours; None: all of the limit
        self._throttle = throttle
        self._limit = DISCORD_PER_SECOND
        self._next_s = opens_s
        self._last_s = -math.inf
        self._log = ArrivalLog()
        self._dice = random.Random(0)  # noqa: S311 nothing secret
        self._shares: dict[Sharer, _Share] = {}

    def bequeath(self) -> tuple[float, float, tuple[Use, ...]]:
        """Return the starts of the next and of the last permit, and the uses that still count."""
        return self._next_s, self._last_s, self._log.uses()

    def inherit(self, next_s: float, last_s: float, uses: Iterable[Use]) -> None:
        """Continue the pace of another budget of the token, beside the permits of this one."""
        self._next_s = max(self._next_s, next_s)
        self._last_s = max(self._last_s, last_s)
        self.record(uses)

    def record(self, uses: Iterable[Use]) -> None:
        """Count permits as they were used."""
        for use in uses:
            self._log.record(use)

    def lease(self, sharer: Sharer, demand: Demand, per_second: float, now_s: float) -> Lease:
        """Grant permits to *sharer*, at *per_second* or the lower rate of another worker."""
        self.record(demand.uses)
        share = self._share_of(sharer, per_second, now_s)
        if demand.permits:
            share.weight = max(demand.weight, 1.0)
        rate = self._rate(min(worker.per_second for worker in self._shares.values()), now_s)
        # rounded at random, so that differences between workers of less than a permit count, too
        holds = max(1, int(HORIZON_S * rate * self._part_of(sharer) + self._dice.random()))
        furthest_s = now_s + HORIZON_S + len(self._shares) / rate
        starts: list[float] = []
        start_s = self._next_start_s(now_s)
        # at high rates, a few more permits than asked for save calls
        wanted = demand.permits and max(demand.permits, min(int(rate * SURPLUS_S), MAX_SURPLUS))
        while len(starts) < wanted and len(share.booked_s) < holds and start_s < furthest_s:
            self._book(share, start_s, rate)
            starts.append(start_s - now_s)
            start_s = self._next_start_s(now_s)
        freed_s = start_s - HORIZON_S if len(share.booked_s) < holds else share.booked_s[0]
        ask_again_s = 0.0 if starts else max(freed_s - now_s, _LEAST_PAUSE_S)
        return Lease(now_s, tuple(starts), VALID_S, ask_again_s)

    def block(self, until_s: float) -> None:
        """Let no new permit start before *until_s*."""
        self._next_s = max(self._next_s, until_s)

    def _rate(self, per_second: float, now_s: float) -> float:
        """Return our part of the rate, reduced while the token is throttled."""
        whole = limit_of(per_second)
        self._limit = whole if self.part is None else min(self.part, whole)
        return self._throttle.slowed(per_second * self._limit / whole, now_s)

    def _next_start_s(self, now_s: float) -> float:
        freed_s = self._log.earliest_s(self._limit, now_s)
        return max(now_s, self._next_s, freed_s, self._last_s + _APART_S)

    def _book(self, share: _Share, start_s: float, rate: float) -> None:
        self._last_s = start_s
        self._next_s = max(self._next_s, start_s - _CATCH_UP / rate) + 1 / rate
        share.booked_s.append(start_s)
        self._log.book(start_s)

    def _share_of(self, sharer: Sharer, per_second: float, now_s: float) -> _Share:
        share = self._shares.setdefault(sharer, _Share())
        share.asked_s, share.per_second = now_s, per_second
        for name, other in list(self._shares.items()):
            while other.booked_s and other.booked_s[0] <= now_s:
                other.booked_s.popleft()
            if other.asked_s < now_s - _ACTIVE_S and not other.booked_s:
                del self._shares[name]
        return share

    def _part_of(self, sharer: Sharer) -> float:
        """Return the worker's part of the whole.

        Runs get equal parts. Workers of a run divide its part by the work left in each, so that
        all of them end together.
        """
        weights: dict[str, float] = {}
        for other, share in self._shares.items():
            weights[other.run] = weights.get(other.run, 0.0) + share.weight
        return self._shares[sharer].weight / (len(weights) * weights[sharer.run])


def limit_of(per_second: float) -> int:
    """Return Discord's limit for a token that is to be used at *per_second*."""
    raised = per_second > DISCORD_PER_SECOND
    return math.ceil(per_second / _FULL_SHARE) if raised else DISCORD_PER_SECOND
