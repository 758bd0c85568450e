"""Buckets with those who wait for them."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable
from contextlib import suppress
from typing import Final

from raysync.clock import Clock
from raysync.errors import RateLimitedError
from raysync.ratelimit.bucket import ChannelBucket
from raysync.ratelimit.forms import BucketForm
from raysync.ratelimit.policies import RoutePolicies

_FIRST_SWEEP: Final = 512
_LONGEST_TOLD_S: Final = 3600.0


class Turn:
    """One bucket: coroutines start in the order they came."""

    def __init__(self, route: str, policies: RoutePolicies, clock: Clock) -> None:
        self.bucket = ChannelBucket()
        self._route = route
        self._policies = policies
        self._clock = clock
        self._queue = asyncio.Lock()
        self._changed = asyncio.Event()
        self._finished_s = -math.inf

    async def start(self, max_wait_s: float) -> None:
        """Wait until the bucket has room, and take it.

        Raises:
            RateLimitedError: it has none within *max_wait_s*.
        """
        until_s = self._clock.monotonic_s() + max_wait_s
        async with self._queue:
            while (delay_s := self._delay_s()) > 0:
                left_s = until_s - self._clock.monotonic_s()
                if left_s <= 0 or left_s < delay_s < math.inf:
                    told_s = min(delay_s, _LONGEST_TOLD_S)
                    raise RateLimitedError(
                        f"{self._route} stays closed for another {told_s:.0f} s.", told_s
                    )
                with suppress(TimeoutError):
                    async with asyncio.timeout(min(delay_s, left_s)):
                        await self._changed.wait()
            self.bucket.start()

    def cancel(self) -> None:
        """Give the room back: nothing was sent."""
        self.bucket.cancel()
        self._changed.set()

    def finish(self) -> None:
        """The request is answered, or lost on its way."""
        self._finished_s = self._clock.monotonic_s()
        self.bucket.finish(self._finished_s)
        self._changed.set()

    def pause_s(self) -> float:
        """How long a request would wait now."""
        return self.bucket.delay_s(self._policies.get(self._route), self._clock.monotonic_s())

    def return_s(self, requests: float) -> float:
        """When to come back for so many requests, at no loss.

        A leaky bucket saves room up meanwhile, for a burst. What a log holds frees at its own
        times: whoever comes later than the first of them loses the difference for good.
        """
        policy, pause_s = self._policies.get(self._route), self.pause_s()
        if policy is None or policy.form is not BucketForm.LEAKY:
            return pause_s
        interval_s = policy.interval_s or policy.window_s / policy.limit
        return pause_s + max(min(requests, policy.limit - 1) - 1, 0.0) * interval_s

    def ages_s(self) -> tuple[float, ...]:
        """See `ChannelBucket.ages_s`."""
        return self.bucket.ages_s(self._policies.get(self._route), self._clock.monotonic_s())

    def restore(self, ages_s: Iterable[float]) -> None:
        """See `ChannelBucket.restore`."""
        self.bucket.restore(ages_s, self._clock.monotonic_s())

    def is_idle(self) -> bool:
        """Whether forgetting the bucket changes nothing."""
        policy, now_s = self._policies.get(self._route), self._clock.monotonic_s()
        return not self._queue.locked() and self.bucket.is_idle(policy, now_s)

    def _delay_s(self) -> float:
        self._changed.clear()
        return self.bucket.delay_s(self._policies.get(self._route), self._clock.monotonic_s())


class Turns:
    """All buckets of one client; the idle ones are forgotten, now and then."""

    def __init__(self, policies: RoutePolicies, clock: Clock) -> None:
        self._policies = policies
        self._clock = clock
        self._turns: dict[tuple[str, str | None], Turn] = {}
        self._sweep_at = _FIRST_SWEEP

    def __len__(self) -> int:
        return len(self._turns)

    def of(self, route: str, major_id: str | None) -> Turn:
        """The bucket of a route within one channel or guild."""
        turn = self._turns.get((route, major_id))
        if turn is None:
            if len(self._turns) >= self._sweep_at:
                self._forget_idle()
            turn = self._turns[route, major_id] = Turn(route, self._policies, self._clock)
        return turn

    def _forget_idle(self) -> None:
        self._turns = {key: turn for key, turn in self._turns.items() if not turn.is_idle()}
        self._sweep_at = max(_FIRST_SWEEP, 2 * len(self._turns))
