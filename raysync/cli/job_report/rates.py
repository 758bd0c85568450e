"""Rates over a job's duration, in at most as many steps as a chart can show."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from raysync.models.results import RequestSeries
from raysync.models.samples import JobSample

MOST_STEPS = 240
"""Maximum number of steps in a chart."""
LEAST_STEP_S = 2.0
"""Minimum duration of a step, in seconds.

Workers report twice a second and samples are taken once a second, so shorter steps would oscillate.
"""


@dataclass(frozen=True, slots=True)
class Step:
    """Period with one rate; times in seconds since the job started."""

    from_s: float
    until_s: float
    per_second: float


@dataclass(frozen=True, slots=True)
class _Sum:
    at_s: float
    count: int


def messages_per_second(samples: Sequence[JobSample], began_at: datetime) -> tuple[Step, ...]:
    """Return the rate of messages read, from samples."""
    return _steps(_at(sample, began_at, sample.messages) for sample in samples)


def requests_per_second(
    samples: Sequence[JobSample], series: RequestSeries | None, began_at: datetime
) -> tuple[Step, ...]:
    """Return the rate of requests answered, from the exact *series* or else from samples.

    Only a finished job has a series.
    """
    if series is None:
        return _steps(_at(sample, began_at, sample.requests) for sample in samples)
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
    """Return the time of 429 responses, in seconds since the job started, and their number."""
    sums = [_at(sample, began_at, sample.rate_limit_encounters) for sample in samples]
    return tuple(
        (later.at_s, later.count - earlier.count)
        for earlier, later in pairwise([_Sum(0.0, 0), *sums])
        if later.count > earlier.count
    )


def _at(sample: JobSample, began_at: datetime, count: int) -> _Sum:
    return _Sum(max((sample.taken_at - began_at).total_seconds(), 0.0), count)


def _steps(sums: Iterable[_Sum]) -> tuple[Step, ...]:
    """Return the growth between sums that are at least one step apart.

    A restarted tracker may briefly report less than the one before, which counts as no growth.
    """
    known = [_Sum(0.0, 0), *sums]
    least_s = max(known[-1].at_s / MOST_STEPS, LEAST_STEP_S)
    steps, start = [], known[0]
    for total in known[1:]:
        length_s = total.at_s - start.at_s
        if length_s < least_s and total is not known[-1]:
            continue
        if length_s > 0:
            growth = max(total.count - start.count, 0)
            steps.append(Step(start.at_s, total.at_s, growth / length_s))
            start = total
    return _with_whole_end(steps, least_s)


def _with_whole_end(steps: list[Step], least_s: float) -> tuple[Step, ...]:
    """Merge a last step that is too short for a rate of its own into the step before."""
    if len(steps) < 2 or steps[-1].until_s - steps[-1].from_s >= least_s / 2:
        return tuple(steps)
    before, rest = steps[-2:]
    length_s = rest.until_s - before.from_s
    count = sum(step.per_second * (step.until_s - step.from_s) for step in (before, rest))
    return (*steps[:-2], Step(before.from_s, rest.until_s, count / length_s))
