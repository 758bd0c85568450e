"""How often a job is sampled: by the second at first, and coarser the longer its run lasts.

Where a sample belongs follows from the run's age alone. So whoever takes samples needs to know
nothing of those before, a tracker that was started anew least of all.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

MOST_SAMPLES = 600


@dataclass(frozen=True, slots=True)
class JobSample:
    """How far a job had come at one moment; the counts are sums since its run began."""

    slot_s: int  #: when the stretch began that it is of, in seconds since then
    taken_at: datetime
    messages: int
    requests: int
    rate_limit_encounters: int


def step_s(elapsed_s: float) -> int:
    """How far apart the samples of a run of so many seconds are, itself in seconds.

    It doubles, so that what is kept of a finer series is in the coarser one, too.
    """
    step = 1
    while int(elapsed_s) // step >= MOST_SAMPLES:
        step *= 2
    return step


def slot_s(elapsed_s: float) -> int:
    """When the stretch began, in seconds from the run's beginning, whose sample is taken now."""
    step = step_s(elapsed_s)
    return int(max(elapsed_s, 0.0)) // step * step
