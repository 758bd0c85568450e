"""Histogram of durations: counts by class, which can be added up."""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass
from itertools import accumulate

BOUNDS_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Inclusive upper bounds of the classes, in seconds; one more class lies above the last bound."""


@dataclass(frozen=True, slots=True)
class Durations:
    """Number of durations in each class of `BOUNDS_S`."""

    counts: tuple[int, ...] = ()  #: one more than the bounds; empty before the first duration

    def since(self, earlier: Durations) -> tuple[int, ...]:
        """Return the counts by class since *earlier*, a value of the same meter."""
        before = [*earlier.counts, *([0] * (len(self.counts) - len(earlier.counts)))]
        return tuple(max(new - old, 0) for new, old in zip(self.counts, before, strict=False))

    def median_s(self) -> float | None:
        """Return the geometric middle of the median's class; None without durations."""
        upto = list(accumulate(self.counts))
        if not upto or not upto[-1]:
            return None
        place = bisect_left(upto, upto[-1] / 2)
        upper_s = BOUNDS_S[min(place, len(BOUNDS_S) - 1)]
        lower_s = BOUNDS_S[place - 1] if place else upper_s / 2
        return math.sqrt(lower_s * upper_s)


class DurationMeter:
    """Meter that counts durations."""

    def __init__(self) -> None:
        self._counts = [0] * (len(BOUNDS_S) + 1)

    def note(self, took_s: float) -> None:
        """Count one duration."""
        self._counts[bisect_left(BOUNDS_S, took_s)] += 1

    def durations(self) -> Durations:
        """Return the counts so far."""
        return Durations(tuple(self._counts))
