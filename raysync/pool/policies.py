"""Policies of a pool of workers: scaling, and the number of failures that it tolerates.

Values and small classes without Ray; the pool and the dispatcher receive them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from raysync.errors import SyncError

RELEASE_AFTER_S = 10.0
"""Seconds of surplus before workers are released; the gap between two visits is shorter."""


@dataclass(frozen=True, slots=True)
class PoolLoad:
    """Work and workers of a pool at one moment."""

    channels: int  #: channels that wait for a slot or have one
    parked: int  #: channels that will be queued again within seconds
    alive: int  #: workers that take channels
    starting: int  #: workers that start
    is_saturated: bool  #: a worker reports that another one would help
    now_s: float  #: monotonic time


class ScalingPolicy(Protocol):
    """Policy that decides the number of workers."""

    def change(self, load: PoolLoad, /) -> int:
        """Return the number of workers to start now; below 0, the number to release."""
        ...


@dataclass(frozen=True, slots=True)
class LocalScaling:
    """Scaling on one machine: as many workers as the latency asks for, then one at a time.

    A worker has at most *slots* requests in flight. So the tokens' budgets at the latency of the
    requests so far tell how many workers it takes, and these are started together. Beyond them,
    another one is started when a worker is saturated: a process takes a second of a core to come
    up, and where no worker is saturated, the tokens are used to their limits already.
    """

    size: int
    slots: int
    in_flight: Callable[[], float] = lambda: 0.0  #: requests in flight that use the budgets up

    def change(self, load: PoolLoad, /) -> int:
        """Return the number of workers to start, never below 0; see `ScalingPolicy`."""
        present = load.alive + load.starting
        most = min(self.size, math.ceil(load.channels / self.slots))
        asked_for = min(math.ceil(self.in_flight() / self.slots), most)
        if present < asked_for:
            return asked_for - present
        is_short = present < most and not load.starting
        return int(is_short and (load.is_saturated or not present))


class ClusterScaling:
    """Scaling on a cluster: as many workers as the channels fill, and nodes follow the workers.

    Missing workers are requested together, at most *starting_at_once*, because the cluster's
    autoscaler adds nodes for actors that wait for room. At the end of a run the surplus workers
    are released, and their nodes with them.
    """

    def __init__(self, size: int, slots: int, starting_at_once: int | None = None) -> None:
        self._size = size
        self._slots = slots
        self._starting_at_once = starting_at_once or size
        self._surplus_since_s: float | None = None

    def change(self, load: PoolLoad, /) -> int:
        """Return the change in workers; see `ScalingPolicy`."""
        present = load.alive + load.starting
        missing = min(self._size, self._workers_for(load.channels)) - present
        if missing > 0:
            self._surplus_since_s = None
            return max(min(missing, self._starting_at_once - load.starting), 0)
        surplus = load.alive - max(self._workers_for(load.channels + load.parked), 1)
        if surplus <= 0:
            self._surplus_since_s = None
            return 0
        if self._surplus_since_s is None:
            self._surplus_since_s = load.now_s
        return -surplus if load.now_s - self._surplus_since_s >= RELEASE_AFTER_S else 0

    def _workers_for(self, channels: int) -> int:
        return math.ceil(channels / self._slots)


@dataclass(frozen=True, slots=True)
class FailurePolicy:
    """Limits on failures in a row, after which a channel or the run is given up."""

    deaths: int = 5
    """Workers that die on one channel in a row until the channel is held to be the cause.

    Most channels of a dead worker did not cause its death: a visit that ends otherwise resets the
    count.
    """
    preemptions: int = 100
    """Preempted workers of one channel until it is given up; preemption is no sign of a cause."""
    failed_starts: int = 3
    """Workers that fail to start in a row until the run is given up."""
    lost_starts: int = 50
    """Workers lost while they start; Ray places some on a dead node until it notices the death."""
    pause_s: float = 30.0
    """Seconds without new starts after too many failures, while other workers run."""

    def is_cause(self, deaths: int, preemptions: int) -> bool:
        """Return whether a channel with so many lost workers is given up."""
        return deaths >= self.deaths or preemptions >= self.preemptions

    def is_hopeless(self, error: Exception, failed: int, lost: int) -> bool:
        """Return whether to stop starting workers; *error* is the last of the failures in a row."""
        is_mistake = not isinstance(error, SyncError)
        return is_mistake or failed >= self.failed_starts or lost >= self.lost_starts
