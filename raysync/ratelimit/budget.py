"""One token's requests per second, shared out among workers."""

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
"""What Discord grants a token unless it has raised the limit for it."""
WINDOW_S: Final = 1.0
JITTER_S: Final = 0.015
"""By how much longer than another a request may take to arrive without anybody telling."""
HORIZON_S: Final = 0.4
"""How far ahead all workers together book: long enough to never run dry while a worker asks."""
VALID_S: Final = 0.3
"""How late a permit may be used: long enough for a worker whose machine is busy."""
QUIET_S: Final = WINDOW_S + JITTER_S + HORIZON_S + VALID_S
"""So long after a governor's end nothing it granted is in any window with what comes now."""
SURPLUS_S: Final = 0.005
MOST_SURPLUS: Final = 8
_CATCH_UP: Final = 3
"""Permits that may follow each other at once, after a moment when nobody asked."""
_APART_S: Final = 0.001
"""At least; a permit is known by its start."""
_ACTIVE_S: Final = 1.0
"""A worker that has not asked for so long has no share."""
_FULL_SHARE: Final = 0.96
"""Of a limit above Discord's common one, the rate is taken to be this part, as 48 of 50."""
_LEAST_PAUSE_S: Final = 0.01


class ArrivalLog:
    """When a token's requests have arrived, or at the latest will have."""

    def __init__(self) -> None:
        self._latest_s: dict[float, float] = {}  # by their permits' start

    def book(self, start_s: float) -> None:
        """Count a permit, for now as if it were used at its end."""
        self._latest_s[start_s] = start_s + VALID_S

    def take_in(self, use: Use) -> None:
        """Count a permit as it was used, or no more; what is told later overrules."""
        if use.arrived_s is None:
            self._latest_s.pop(use.start_s, None)
        else:
            self._latest_s[use.start_s] = use.arrived_s

    def earliest_s(self, limit: int, now_s: float) -> float:
        """From when on one more request leaves no second with more than *limit* arrivals."""
        gone_s = now_s - WINDOW_S - JITTER_S
        self._latest_s = {start: at for start, at in self._latest_s.items() if at > gone_s}
        if len(self._latest_s) < limit:
            return -math.inf
        return sorted(self._latest_s.values())[-limit] + WINDOW_S + JITTER_S


@dataclass(slots=True)
class _Share:
    """One worker's part of the bookings."""

    asked_s: float = -math.inf
    per_second: float = math.inf
    weight: float = 1.0
    booked_s: deque[float] = field(default_factory=deque)


class GlobalBudget:
    """Books permits at an even pace. Fair: no run holds more than an equal part of the horizon.

    The pace keeps the rate; the log of what arrived when keeps the limit, however late permits
    are used. A dead worker costs others what it had booked, and no more.
    """

    def __init__(self, opens_s: float, throttle: Throttle) -> None:
        """Grant nothing that starts before *opens_s*."""
        self.part: int | None = None  #: of what Discord takes in a second; None: all of it is ours
        self._throttle = throttle
        self._limit = DISCORD_PER_SECOND
        self._next_s = opens_s
        self._last_s = -math.inf
        self._log = ArrivalLog()
        self._dice = random.Random(0)  # noqa: S311 nothing secret
        self._shares: dict[Sharer, _Share] = {}

    def take_in(self, uses: Iterable[Use]) -> None:
        """Count permits as they were used."""
        for use in uses:
            self._log.take_in(use)

    def lease(self, sharer: Sharer, demand: Demand, per_second: float, now_s: float) -> Lease:
        """Grant permits to *sharer*, at *per_second* or what a slower one asks for."""
        self.take_in(demand.uses)
        share = self._share_of(sharer, per_second, now_s)
        if demand.permits:
            share.weight = max(demand.weight, 1.0)
        rate = self._rate(min(each.per_second for each in self._shares.values()), now_s)
        # by chance up or down: else workers that differ by less than a permit would not differ
        holds = max(1, int(HORIZON_S * rate * self._part_of(sharer) + self._dice.random()))
        furthest_s = now_s + HORIZON_S + len(self._shares) / rate
        starts: list[float] = []
        start_s = self._next_start_s(now_s)
        # where so little of the rate is a handful, a few more than asked for spare questions
        wanted = demand.permits and max(demand.permits, min(int(rate * SURPLUS_S), MOST_SURPLUS))
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
        """Our part of the rate, less if the token is to be spared."""
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
        for name, each in list(self._shares.items()):
            while each.booked_s and each.booked_s[0] <= now_s:
                each.booked_s.popleft()
            if each.asked_s < now_s - _ACTIVE_S and not each.booked_s:
                del self._shares[name]
        return share

    def _part_of(self, sharer: Sharer) -> float:
        """Its run's part of the whole, divided by what is left to do in the run's workers.

        So all of them end together.
        """
        weights: dict[str, float] = {}
        for each, share in self._shares.items():
            weights[each.run] = weights.get(each.run, 0.0) + share.weight
        return self._shares[sharer].weight / (len(weights) * weights[sharer.run])


def limit_of(per_second: float) -> int:
    """How many Discord takes in a second from a token that is to be used at *per_second*."""
    raised = per_second > DISCORD_PER_SECOND
    return math.ceil(per_second / _FULL_SHARE) if raised else DISCORD_PER_SECOND
