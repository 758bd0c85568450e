"""How many requests were made when: counted by the second, and coarser the longer it lasts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

MOST_BINS = 512
"""A run of days is told as coarsely as fits: the bins double."""


@dataclass(frozen=True, slots=True)
class RequestRate:
    """Requests by the stretch of time they were answered in."""

    bin_s: int = 1  #: how long a stretch is, in seconds
    counts: Mapping[int, int] = field(default_factory=dict)  #: by Unix seconds // bin_s

    def widened(self, bin_s: int) -> RequestRate:
        """The same in longer stretches; *bin_s* is a multiple of this one's."""
        counts: Counter[int] = Counter()
        for number, count in self.counts.items():
            counts[number * self.bin_s // bin_s] += count
        return RequestRate(bin_s, counts)

    def series(self) -> list[int]:
        """The counts from the first stretch to the last, those without a request included."""
        if not self.counts:
            return []
        first, last = min(self.counts), max(self.counts)
        return [self.counts.get(number, 0) for number in range(first, last + 1)]


def merged(rates: Iterable[RequestRate]) -> RequestRate:
    """The sum of several clients' requests."""
    known = [each for each in rates if each.counts]
    bin_s = max((each.bin_s for each in known), default=1)
    counts: Counter[int] = Counter()
    for each in known:
        counts.update(each.widened(bin_s).counts)
    return _within_bounds(RequestRate(bin_s, counts))


class RateMeter:
    """Counts requests as they are answered, in bounded memory."""

    def __init__(self) -> None:
        self._bin_s = 1
        self._counts: Counter[int] = Counter()

    def note(self, unix_s: float) -> None:
        """Count one more."""
        self._counts[int(unix_s) // self._bin_s] += 1
        if len(self._counts) > MOST_BINS:
            wider = _within_bounds(RequestRate(self._bin_s, self._counts))
            self._bin_s, self._counts = wider.bin_s, Counter(wider.counts)

    def rate(self) -> RequestRate:
        """What was counted so far."""
        return RequestRate(self._bin_s, dict(self._counts))


def _within_bounds(rate: RequestRate) -> RequestRate:
    while rate.counts and max(rate.counts) - min(rate.counts) >= MOST_BINS:
        rate = rate.widened(2 * rate.bin_s)
    return rate
