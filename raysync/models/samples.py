"""Samples of a job's progress: one a second at first, and fewer the longer its run lasts.

The slot of a sample depends on the run's age alone. So a restarted tracker needs to know nothing of
earlier samples.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

MOST_SAMPLES = 600
"""Limit on the samples of one run."""


@dataclass(frozen=True, slots=True)
class JobSample:
    """Progress of a job at one moment; the counts are sums since its run began."""

    slot_s: int  #: start of the sample's slot, in seconds since the run began
    taken_at: datetime
    messages: int
    requests: int
    rate_limit_encounters: int


def step_s(elapsed_s: float) -> int:
    """Return the distance between samples, in seconds, for a run of *elapsed_s*.

    It doubles, so that slots of a coarser series are also slots of the finer one.
    """
    step = 1
    while int(elapsed_s) // step >= MOST_SAMPLES:
        step *= 2
    return step


def slot_s(elapsed_s: float) -> int:
    """Return the start of the present slot, in seconds since the run began."""
    step = step_s(elapsed_s)
    return int(max(elapsed_s, 0.0)) // step * step
