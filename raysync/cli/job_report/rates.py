"""Rates over a job's time, in as many steps as a picture can show."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from raysync.models.results import RequestSeries
from raysync.models.samples import JobSample

MOST_STEPS = 240
LEAST_STEP_S = 2.0
"""Workers report twice a second and samples are taken once: a shorter step would show that beat."""


@dataclass(frozen=True, slots=True)
class Step:
    """A stretch of time with one rate; in seconds since the job began."""

    from_s: float
    until_s: float
    per_second: float


@dataclass(frozen=True, slots=True)
class _Sum:
    at_s: float
    count: int


def messages_per_second(samples: Sequence[JobSample], began_at: datetime) -> tuple[Step, ...]:
    """Messages read, from samples."""
    return _steps(_at(each, began_at, each.messages) for each in samples)


def requests_per_second(
    samples: Sequence[JobSample], series: RequestSeries | None, began_at: datetime
) -> tuple[Step, ...]:
    """Requests answered: by the exact *series* that a finished job has, else from samples."""
    if series is None:
        return _steps(_at(each, began_at, each.requests) for each in samples)
    first_s = (series.first_at - began_at).total_seconds()
    together = -(-len(series.requests) // MOST_STEPS)
    steps = []
    for start in range(0, len(series.requests), together):
        counts = series.requests[start : start + together]
        from_s = first_s + start * series.bin_s
        length_s = len(counts) * series.bin_s
        steps.append(Step(max(from_s, 0.0), from_s + length_s, sum(counts) / length_s))
    return tuple(steps)


def refusals(samples: Sequence[JobSample], began_at: datetime) -> tuple[tuple[float, int], ...]:
    """When answers of 429 came, and how many of them; in seconds since the job began."""
    sums = [_at(each, began_at, each.rate_limit_encounters) for each in samples]
    return tuple(
        (later.at_s, later.count - earlier.count)
        for earlier, later in pairwise([_Sum(0.0, 0), *sums])
        if later.count > earlier.count
    )


def _at(sample: JobSample, began_at: datetime, count: int) -> _Sum:
    return _Sum(max((sample.taken_at - began_at).total_seconds(), 0.0), count)


def _steps(sums: Iterable[_Sum]) -> tuple[Step, ...]:
    """The growth between sums that are far enough apart.

    A tracker that was started anew may know less than the one before for a moment: no growth.
    """
    known = [_Sum(0.0, 0), *sums]
    least_s = max(known[-1].at_s / MOST_STEPS, LEAST_STEP_S)
    steps, start = [], known[0]
    for each in known[1:]:
        length_s = each.at_s - start.at_s
        if length_s < least_s and each is not known[-1]:
            continue
        if length_s > 0:
            growth = max(each.count - start.count, 0)
            steps.append(Step(start.at_s, each.at_s, growth / length_s))
            start = each
    return _with_whole_end(steps, least_s)


def _with_whole_end(steps: list[Step], least_s: float) -> tuple[Step, ...]:
    """A rest that is too short for a rate of its own belongs to the step before."""
    if len(steps) < 2 or steps[-1].until_s - steps[-1].from_s >= least_s / 2:
        return tuple(steps)
    before, rest = steps[-2:]
    length_s = rest.until_s - before.from_s
    count = sum(each.per_second * (each.until_s - each.from_s) for each in (before, rest))
    return (*steps[:-2], Step(before.from_s, rest.until_s, count / length_s))
