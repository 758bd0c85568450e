"""The saturation of a worker, which makes the pool add another one."""

from __future__ import annotations

import time
from collections.abc import Callable

from raysync.clock import Clock
from raysync.ratelimit.in_flight_limit import InFlightLimit

SATURATION_WINDOW_S = 0.5
WAITING_SHARE = 0.1
"""Part of the time with requests waiting for a place that counts as saturation."""
BUSY_SHARE = 0.6
"""Part of a core that counts as saturation: beyond it, requests wait for the event loop."""


class Saturation:
    """A worker's saturation: without places or CPU left, another would use the token better."""

    def __init__(
        self, places: InFlightLimit, clock: Clock, cpu_s: Callable[[], float] = time.process_time
    ) -> None:
        """Measure the process's CPU time by *cpu_s*."""
        self._places = places
        self._clock = clock
        self._cpu_s = cpu_s
        self._since = (clock.monotonic_s(), places.waited_s, cpu_s())
        self._is_saturated = False

    def is_full(self) -> bool:
        """Return whether requests waited for a place, or the core was busy, in the last window."""
        now = (self._clock.monotonic_s(), self._places.waited_s, self._cpu_s())
        lasts_s, waited_s, busy_s = (new - old for new, old in zip(now, self._since, strict=True))
        if lasts_s >= SATURATION_WINDOW_S:
            self._is_saturated = waited_s > WAITING_SHARE * lasts_s or busy_s > BUSY_SHARE * lasts_s
            self._since = now
        return self._is_saturated
