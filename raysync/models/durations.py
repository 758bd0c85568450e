"""How long something took, many times over: counted by classes, so that sums stay sums."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass

BOUNDS_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
"""The upper ends of the classes, themselves included; the last class has none."""


@dataclass(frozen=True, slots=True)
class Durations:
    """How many fell into each class of `BOUNDS_S`."""

    counts: tuple[
        int, ...
    ] = ()  #: a class of its own above the last bound; none at all: no duration

    def since(self, earlier: Durations) -> tuple[int, ...]:
        """By class, how many came after *earlier* was told by the same meter."""
        before = [*earlier.counts, *([0] * (len(self.counts) - len(earlier.counts)))]
        return tuple(max(new - old, 0) for new, old in zip(self.counts, before, strict=False))


class DurationMeter:
    """Counts durations as they come."""

    def __init__(self) -> None:
        self._counts = [0] * (len(BOUNDS_S) + 1)

    def note(self, took_s: float) -> None:
        """Count one more."""
        self._counts[bisect_left(BOUNDS_S, took_s)] += 1

    def durations(self) -> Durations:
        """What was counted so far."""
        return Durations(tuple(self._counts))
