"""When a run's pool of workers grows and shrinks, and which failures it puts up with.

Values and small classes without Ray, which the pool and the dispatcher are given.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

from raysync.errors import SyncError

RELEASE_AFTER_S = 10.0
"""Workers go after they were too many for so long: between two visits is no reason."""


class WorkerLostError(SyncError):
    """The worker's process died, or does not answer any more."""


class WorkerPreemptedError(WorkerLostError):
    """Its node was taken back by whoever lent it: no fault of what it did."""


@dataclass(frozen=True, slots=True)
class PoolLoad:
    """What a pool is asked for, and what it has."""

    channels: int  #: that wait for a slot or have one
    parked: int  #: that come back by themselves within seconds
    alive: int  #: workers
    starting: int  #: workers
    is_full: bool  #: some worker says that another would help
    now_s: float


class ScalingPolicy(Protocol):
    """Decides how many workers there are."""

    def change(self, demand: PoolLoad, /) -> int:
        """Workers to start now, or below 0, to let go."""
        ...


@dataclass(frozen=True, slots=True)
class LocalScaling:
    """On one machine: one more of at most *size* only where those that are there are full.

    A process takes a second of a core to come up; and where none is full the tokens are used to
    their limits already.
    """

    size: int
    slots: int

    def change(self, demand: PoolLoad, /) -> int:
        """See `ScalingPolicy`: 0 or 1."""
        there = demand.alive + demand.starting
        is_short = there < min(self.size, math.ceil(demand.channels / self.slots))
        return int(is_short and not demand.starting and (demand.is_full or not there))


class ClusterScaling:
    """On a cluster: as many workers as the channels fill, so that nodes come and go with them.

    All that are wanted are asked for at once, *starting_at_once* at most: actors that wait for
    room are what the cluster's autoscaler sees. At the end of a run the surplus is let go, and
    with it nodes.
    """

    def __init__(self, size: int, slots: int, starting_at_once: int | None = None) -> None:
        self._size = size
        self._slots = slots
        self._starting_at_once = starting_at_once or size
        self._surplus_since_s: float | None = None

    def change(self, demand: PoolLoad, /) -> int:
        """See `ScalingPolicy`."""
        there = demand.alive + demand.starting
        missing = min(self._size, self._workers_for(demand.channels)) - there
        if missing > 0:
            self._surplus_since_s = None
            return max(min(missing, self._starting_at_once - demand.starting), 0)
        surplus = demand.alive - max(self._workers_for(demand.channels + demand.parked), 1)
        if surplus <= 0:
            self._surplus_since_s = None
            return 0
        if self._surplus_since_s is None:
            self._surplus_since_s = demand.now_s
        return -surplus if demand.now_s - self._surplus_since_s >= RELEASE_AFTER_S else 0

    def _workers_for(self, channels: int) -> int:
        return math.ceil(channels / self._slots)


@dataclass(frozen=True, slots=True)
class FailurePolicy:
    """How often what may fail again before it is given up."""

    deaths: int = 5
    """Workers that may die on one channel, one after another, before it is taken for the cause.

    Most of the channels that a dead worker held had no part in it: a visit that ends otherwise
    clears a channel.
    """
    preemptions: int = 100
    """Nodes that may be taken back under one channel: that says nothing about the channel."""
    failed_starts: int = 3
    """Workers that may fail to start, one after another, before the run is given up."""
    lost_starts: int = 50
    """Workers that may be lost while they start: Ray places them on a dead node for a while."""
    pause_s: float = 30.0
    """After too many failed starts, while others work."""

    def is_cause(self, deaths: int, preemptions: int) -> bool:
        """Whether a channel under which so many workers went is given up."""
        return deaths >= self.deaths or preemptions >= self.preemptions

    def is_hopeless(self, error: Exception, failed: int, lost: int) -> bool:
        """Whether to try no further start, after so many in a row; *error* is of the last."""
        is_mistake = not isinstance(error, SyncError)
        return is_mistake or failed >= self.failed_starts or lost >= self.lost_starts
