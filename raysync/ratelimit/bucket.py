"""The bucket of a route within one channel or guild, as far as this process knows it."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from typing import Final

from raysync.ratelimit.forms import BucketForm
from raysync.ratelimit.policies import RoutePolicy

MARGIN_S: Final = 0.02
"""Seconds added to each window: Discord rounds times to the millisecond, and timers wake early."""
_INSTANT_S: Final = 1e-6
"""Rounding error of sums of floating point numbers, in seconds."""
_MAX_COMPLETIONS: Final = 100
"""Number of completions kept while no limit is known: a limit learned later counts them."""


class LeakyLevel:
    """Upper bound of the time at which a leaky bucket is empty again.

    The server counts a request when it arrives, and this class when it is completed, which is
    later. So the level here is never below the server's. The difference does not accumulate:
    while a bucket is in use, each request costs one interval, however long its answer takes.
    """

    def __init__(
        self, interval_s: float, completed_s: Iterable[float], empty_s: float = -math.inf
    ) -> None:
        """Count *completed_s*, ascending, on top of *empty_s*, the result of earlier requests."""
        self.interval_s = interval_s
        self.empty_s = empty_s
        for completed_at_s in completed_s:
            self.add(completed_at_s)

    def add(self, completed_s: float) -> None:
        """Count one request."""
        self.empty_s = max(self.empty_s, completed_s + MARGIN_S) + self.interval_s

    def delay_s(self, room: int, now_s: float) -> float:
        """Return the seconds until the bucket has room for *room* more requests."""
        delay_s = max(self.empty_s - now_s, 0.0) - room * self.interval_s
        return delay_s if delay_s > _INSTANT_S else 0.0

    def ages_s(self, last_s: float, now_s: float) -> tuple[float, ...]:
        """Return ages of completions that would fill the bucket to the same level.

        The youngest completion is at *last_s* or later. Another process can compare these ages
        with those it knows.
        """
        count = math.ceil((self.empty_s - now_s) / self.interval_s) if self.empty_s > now_s else 0
        age_s = now_s + MARGIN_S + count * self.interval_s - self.empty_s
        return (age_s,) * (count - 1) + (min(age_s, now_s - last_s),) * min(count, 1)


class Bucket:
    """A log of completed requests, and a count of those in flight.

    For a route that is known to be leaky, the level decides; otherwise the log. The log satisfies
    every form, but reads a leaky bucket in bursts, the last of which leaves a window unused.

    The sender asks `delay_s`, calls `start` when it is 0, and `finish` or `cancel` afterwards.
    """

    def __init__(self) -> None:
        self._completed_s: deque[float] = deque(maxlen=_MAX_COMPLETIONS)
        self._in_flight = 0
        self._blocked_until_s = -math.inf
        self._level: LeakyLevel | None = None

    def delay_s(self, policy: RoutePolicy | None, now_s: float) -> float:
        """Return the seconds until the next request may start; infinite if it needs a `finish`."""
        blocked_s = max(0.0, self._blocked_until_s - now_s)
        if policy is None:
            return blocked_s
        older = policy.limit - self._in_flight  # the next one joins the youngest of these
        if older <= 0:
            return math.inf
        if policy.form is BucketForm.LEAKY:
            return max(blocked_s, self._level_of(policy).delay_s(older - 1, now_s))
        if len(self._completed_s) < older:
            return blocked_s
        free_s = self._completed_s[-older] + policy.window_s + MARGIN_S
        return max(blocked_s, free_s - now_s)

    def start(self) -> None:
        """Count a request as in flight."""
        self._in_flight += 1

    def finish(self, now_s: float) -> None:
        """Count a request as completed: answered, or lost after it was sent."""
        self._in_flight -= 1
        self._completed_s.append(now_s)
        if self._level is not None:
            self._level.add(now_s)

    def cancel(self) -> None:
        """Undo `start`: nothing was sent."""
        self._in_flight -= 1

    def block(self, retry_after_s: float, now_s: float) -> None:
        """Start nothing for *retry_after_s* seconds."""
        self._blocked_until_s = max(self._blocked_until_s, now_s + retry_after_s)

    def drain(self, policy: RoutePolicy, retry_after_s: float, now_s: float) -> None:
        """Count the bucket as used up, as a refusal says it is.

        After *retry_after_s*, a leaky bucket surely lets one request pass. It lets as many pass as
        it holds only after a whole window.
        """
        self.block(retry_after_s, now_s)
        first_s = min(now_s, now_s + retry_after_s - policy.window_s - MARGIN_S)
        kept = min(policy.limit, _MAX_COMPLETIONS)
        self._replace_log([first_s] + [now_s] * (kept - 1))

    def recent(self, within_s: float, now_s: float) -> int:
        """Return the number of logged requests completed in the last *within_s* seconds."""
        return sum(1 for completed_s in self._completed_s if completed_s > now_s - within_s)

    def ages_s(self, policy: RoutePolicy | None, now_s: float) -> tuple[float, ...]:
        """Return how many seconds ago the requests were completed that still count.

        Another process can go on with the bucket by them.
        """
        if policy is None:
            return ()
        if policy.form is BucketForm.LEAKY:
            last_s = self._completed_s[-1] if self._completed_s else now_s
            return self._level_of(policy).ages_s(last_s, now_s)
        ages_s = (now_s - completed_s for completed_s in self._completed_s)
        # of two windows: if the bucket proves to be leaky, the earlier one may still fill it
        return tuple(age_s for age_s in ages_s if age_s < 2 * (policy.window_s + MARGIN_S))

    def restore(self, ages_s: Iterable[float], now_s: float) -> None:
        """Replace the log by what another process knew of this bucket, unless ours is newer."""
        completed_s = sorted(now_s - age_s for age_s in ages_s)
        known_s = self._completed_s[-1] if self._completed_s else -math.inf
        if completed_s and known_s < completed_s[-1] - MARGIN_S:
            self._replace_log(completed_s)

    def is_idle(self, policy: RoutePolicy | None, now_s: float) -> bool:
        """Return whether the bucket can be discarded without a loss."""
        if self._in_flight or self._blocked_until_s > now_s:
            return False
        window_s = policy.window_s + MARGIN_S if policy is not None else 60.0
        return not self._completed_s or self._completed_s[-1] + window_s <= now_s

    def _replace_log(self, completed_s: Iterable[float]) -> None:
        self._completed_s.clear()
        self._completed_s.extend(completed_s)
        self._level = None

    def _level_of(self, policy: RoutePolicy) -> LeakyLevel:
        if self._level is None or self._level.interval_s != policy.interval_s:
            log = self._completed_s
            discarded_s = log[0] + policy.window_s if len(log) == _MAX_COMPLETIONS else -math.inf
            self._level = LeakyLevel(policy.interval_s, log, discarded_s)
        return self._level
