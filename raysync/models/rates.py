"""Requests over time, counted in bins that get longer with the run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

MOST_BINS = 512
"""Limit on the bins of one series: a longer run doubles their length."""


@dataclass(frozen=True, slots=True)
class RequestRate:
    """Number of requests by the bin in which they were answered."""

    bin_s: int = 1  #: length of a bin, in seconds
    counts: Mapping[int, int] = field(default_factory=dict)  #: by Unix seconds // bin_s

    def widened(self, bin_s: int) -> RequestRate:
        """Return the same requests in longer bins; *bin_s* is a multiple of the present one."""
        counts: Counter[int] = Counter()
        for number, count in self.counts.items():
            counts[number * self.bin_s // bin_s] += count
        return RequestRate(bin_s, counts)

    def series(self) -> list[int]:
        """Return the counts from the first bin to the last, empty bins included."""
        if not self.counts:
            return []
        first, last = min(self.counts), max(self.counts)
        return [self.counts.get(number, 0) for number in range(first, last + 1)]


def merged(rates: Iterable[RequestRate]) -> RequestRate:
    """Return the sum of several clients' requests."""
    known = [rate for rate in rates if rate.counts]
    bin_s = max((rate.bin_s for rate in known), default=1)
    counts: Counter[int] = Counter()
    for rate in known:
        counts.update(rate.widened(bin_s).counts)
    return _within_bounds(RequestRate(bin_s, counts))


class RateMeter:
    """Meter that counts answered requests in bounded memory."""

    def __init__(self) -> None:
        self._bin_s = 1
        self._counts: Counter[int] = Counter()

    def note(self, unix_s: float) -> None:
        """Count one request, answered at *unix_s*."""
        self._counts[int(unix_s) // self._bin_s] += 1
        if len(self._counts) > MOST_BINS:
            wider = _within_bounds(RequestRate(self._bin_s, self._counts))
            self._bin_s, self._counts = wider.bin_s, Counter(wider.counts)

    def rate(self) -> RequestRate:
        """Return the counts so far."""
        return RequestRate(self._bin_s, dict(self._counts))


def _within_bounds(rate: RequestRate) -> RequestRate:
    while rate.counts and max(rate.counts) - min(rate.counts) >= MOST_BINS:
        rate = rate.widened(2 * rate.bin_s)
    return rate
