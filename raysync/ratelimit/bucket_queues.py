"""Buckets, each with a queue of the requests that wait for it."""

from __future__ import annotations

import asyncio
import math
import weakref
from collections.abc import Iterable
from contextlib import suppress
from typing import Final

from raysync.clock import Clock
from raysync.errors import RateLimitedError
from raysync.ratelimit.bucket import Bucket
from raysync.ratelimit.claims import BucketClaim, is_stricter
from raysync.ratelimit.forms import BucketForm
from raysync.ratelimit.headers import BucketHeaders
from raysync.ratelimit.policies import RoutePolicies, RoutePolicy

_FIRST_SWEEP: Final = 512
"""Number of buckets at which the idle ones are discarded for the first time."""
_LONGEST_WAIT_SHOWN_S: Final = 3600.0


class BucketQueue:
    """One bucket, and the requests that wait for it, first come, first served.

    That of a channel's pages satisfies the engine's `ChannelBucket`.
    """

    def __init__(
        self, route: str, policies: RoutePolicies, clock: Clock, major_id: str | None = None
    ) -> None:
        self.bucket = Bucket()
        self.head_start_s = 0.0
        """Head start of the next request over others that wait for a permit, in seconds."""
        self._route = route
        self._major_id = major_id
        self._claim: BucketClaim | None = None
        self._started = 0
        self._policies = policies
        self._clock = clock
        self._queue = asyncio.Lock()
        self._changed = asyncio.Event()
        self._finished_s = -math.inf

    async def start(self, max_wait_s: float) -> int:
        """Wait until the bucket has room, and take it; return the number of the request.

        Raises:
            RateLimitedError: the bucket has no room within *max_wait_s*.
        """
        until_s = self._clock.monotonic_s() + max_wait_s
        async with self._queue:
            while (delay_s := self._delay_s()) > 0:
                left_s = until_s - self._clock.monotonic_s()
                if left_s <= 0 or left_s < delay_s < math.inf:
                    wait_s = min(delay_s, _LONGEST_WAIT_SHOWN_S)
                    raise RateLimitedError(
                        f"The rate limit of {self._route} allows no request for {wait_s:.0f} s.",
                        wait_s,
                    )
                with suppress(TimeoutError):
                    async with asyncio.timeout(min(delay_s, left_s)):
                        await self._changed.wait()
            self.bucket.start()
            self._started += 1
            if self._claim is not None:
                self._claim.left -= 1
            return self._started

    def cancel(self, number: int) -> None:
        """Return the room of a request that was not sent."""
        self.bucket.cancel()
        if self._claim is not None and number > self._claim.asked:
            self._claim.left += 1
        self._changed.set()

    def finish(self) -> None:
        """Count a request as completed: answered, or lost on its way."""
        self._finished_s = self._clock.monotonic_s()
        self.bucket.finish(self._finished_s)
        self._changed.set()

    def note_answer(self, headers: BucketHeaders, number: int) -> None:
        """Learn from the headers of an answer that is no refusal."""
        self._policies.note_answer(self._route, headers, self._major_id)
        if not (headers.is_claim and headers.is_believable):
            return
        now_s = self._clock.monotonic_s()
        claim = BucketClaim.read(headers, number, self._started, now_s)
        known = self._live_claim(now_s)
        if known is not None and number < known.asked:
            known.with_earlier(claim)
        elif known is not None or is_stricter(headers, self._policies.get(self._route)):
            self._claim = claim

    def note_refusal(self, headers: BucketHeaders) -> None:
        """Learn from a 429 of the bucket itself, and start nothing during its pause."""
        now_s = self._clock.monotonic_s()
        known = self._policies.get(self._route)
        let_through = self.bucket.recent(known.window_s, now_s) - 1 if known else 0
        self._policies.note_refusal(
            self._route,
            headers,
            let_through,
            lambda within_s: self.bucket.recent(within_s, now_s) - 1,
        )
        self._claim = None
        pause_s, policy = headers.retry_after_s or 0.0, self._policies.get(self._route)
        if policy is None:
            self.bucket.block(pause_s, now_s)
        else:
            self.bucket.drain(policy, pause_s, now_s)

    def block(self, pause_s: float) -> None:
        """Start nothing for *pause_s* seconds."""
        self.bucket.block(pause_s, self._clock.monotonic_s())

    def pause_s(self) -> float:
        """Return how long a request would wait now, in seconds."""
        now_s = self._clock.monotonic_s()
        claim, delay_s = self._live_claim(now_s), self.bucket.delay_s(self._policy, now_s)
        return delay_s if claim is None else max(delay_s, claim.delay_s(now_s))

    def return_s(self, requests: float) -> float:
        """Return when to come back for so many requests, in seconds, without losing any time.

        A leaky bucket meanwhile saves up room for a burst. The room of a log is freed at fixed
        times: coming back later than the first of them loses the difference for good.
        """
        policy, pause_s = self._policy, self.pause_s()
        if policy is None or policy.form is not BucketForm.LEAKY:
            return pause_s
        interval_s = policy.interval_s or policy.window_s / policy.limit
        return pause_s + max(min(requests, policy.limit - 1) - 1, 0.0) * interval_s

    def ages_s(self) -> tuple[float, ...]:
        """Return how many seconds ago the requests were completed that still count."""
        return self.bucket.ages_s(self._policy, self._clock.monotonic_s())

    def restore(self, ages_s: Iterable[float]) -> None:
        """Count the requests that another process completed so many seconds ago."""
        self.bucket.restore(ages_s, self._clock.monotonic_s())

    def assume_exhausted(self, ago_s: float) -> None:
        """Count the bucket as used up *ago_s* seconds ago, by an unknown number of requests."""
        policy = self._policy
        if policy is not None:
            self.restore([ago_s] * policy.limit)

    def is_idle(self) -> bool:
        """Return whether the bucket can be discarded without a loss."""
        now_s = self._clock.monotonic_s()
        is_free = not self._queue.locked() and self._live_claim(now_s) is None
        return is_free and self.bucket.is_idle(self._policy, now_s)

    @property
    def _policy(self) -> RoutePolicy | None:
        return self._policies.get(self._route)

    def _live_claim(self, now_s: float) -> BucketClaim | None:
        if self._claim is not None and self._claim.until_s <= now_s:
            self._claim = None
        return self._claim

    def _delay_s(self) -> float:
        self._changed.clear()
        return self.pause_s()


class BucketQueues:
    """All buckets of one client. Idle ones are discarded now and then."""

    def __init__(self, policies: RoutePolicies, clock: Clock) -> None:
        self._policies = policies
        self._clock = clock
        self._queues: dict[tuple[str, str | None], BucketQueue] = {}
        self._in_use: weakref.WeakValueDictionary[tuple[str, str | None], BucketQueue] = (
            weakref.WeakValueDictionary()
        )  #: also the discarded ones that a reader still holds
        self._sweep_at = _FIRST_SWEEP

    def __len__(self) -> int:
        return len(self._queues)

    def of(self, route: str, major_id: str | None) -> BucketQueue:
        """Return the bucket of a route within one channel or guild."""
        key = (route, major_id)
        queue = self._queues.get(key)
        if queue is None:
            if len(self._queues) >= self._sweep_at:
                self._discard_idle()
            queue = self._in_use.get(key)
            if queue is None:
                queue = BucketQueue(route, self._policies, self._clock, major_id)
            self._queues[key] = self._in_use[key] = queue
        return queue

    def _discard_idle(self) -> None:
        self._queues = {key: queue for key, queue in self._queues.items() if not queue.is_idle()}
        self._sweep_at = max(_FIRST_SWEEP, 2 * len(self._queues))
