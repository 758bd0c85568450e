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
from raysync.ratelimit.claims import BucketClaim, is_stricter
from raysync.ratelimit.forms import BucketForm
from raysync.ratelimit.headers import BucketHeaders
from raysync.ratelimit.policies import RoutePolicies, RoutePolicy

_FIRST_SWEEP: Final = 512
_LONGEST_TOLD_S: Final = 3600.0


class BucketQueue:
    """One bucket: coroutines start in the order they came."""

    def __init__(
        self, route: str, policies: RoutePolicies, clock: Clock, major_id: str | None = None
    ) -> None:
        self.bucket = ChannelBucket()
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
            self._started += 1
            if self._claim is not None:
                self._claim.left -= 1
            return self._started

    def cancel(self, number: int) -> None:
        """Give the room of a request back: nothing was sent."""
        self.bucket.cancel()
        if self._claim is not None and number > self._claim.asked:
            self._claim.left += 1
        self._changed.set()

    def finish(self) -> None:
        """The request is answered, or lost on its way."""
        self._finished_s = self._clock.monotonic_s()
        self.bucket.finish(self._finished_s)
        self._changed.set()

    def note_answer(self, told: BucketHeaders, number: int) -> None:
        """Take in what the answer to a request says, which was let through."""
        self._policies.note_answer(self._route, told, self._major_id)
        if not (told.is_claim and told.is_believable):
            return
        now_s = self._clock.monotonic_s()
        claim = BucketClaim.read(told, number, self._started, now_s)
        known = self._live_claim(now_s)
        if known is not None and number < known.asked:
            known.with_earlier(claim)
        elif known is not None or is_stricter(told, self._policies.get(self._route)):
            self._claim = claim

    def note_refusal(self, told: BucketHeaders) -> None:
        """Take in what a 429 of the bucket itself says, and keep within it for its pause."""
        now_s = self._clock.monotonic_s()
        known = self._policies.get(self._route)
        let_through = self.bucket.recent(known.window_s, now_s) - 1 if known else 0
        self._policies.note_refusal(
            self._route, told, let_through, lambda within_s: self.bucket.recent(within_s, now_s) - 1
        )
        self._claim = None
        pause_s, policy = told.retry_after_s or 0.0, self._policies.get(self._route)
        if policy is None:
            self.bucket.block(pause_s, now_s)
        else:
            self.bucket.drain(policy, pause_s, now_s)

    def block(self, pause_s: float) -> None:
        """Start nothing for so long."""
        self.bucket.block(pause_s, self._clock.monotonic_s())

    def pause_s(self) -> float:
        """How long a request would wait now."""
        now_s = self._clock.monotonic_s()
        claim, delay_s = self._live_claim(now_s), self.bucket.delay_s(self._policy, now_s)
        return delay_s if claim is None else max(delay_s, claim.delay_s(now_s))

    def return_s(self, requests: float) -> float:
        """When to come back for so many requests, at no loss.

        A leaky bucket saves room up meanwhile, for a burst. What a log holds frees at its own
        times: whoever comes later than the first of them loses the difference for good.
        """
        policy, pause_s = self._policy, self.pause_s()
        if policy is None or policy.form is not BucketForm.LEAKY:
            return pause_s
        interval_s = policy.interval_s or policy.window_s / policy.limit
        return pause_s + max(min(requests, policy.limit - 1) - 1, 0.0) * interval_s

    def ages_s(self) -> tuple[float, ...]:
        """See `ChannelBucket.ages_s`."""
        return self.bucket.ages_s(self._policy, self._clock.monotonic_s())

    def restore(self, ages_s: Iterable[float]) -> None:
        """See `ChannelBucket.restore`."""
        self.bucket.restore(ages_s, self._clock.monotonic_s())

    def is_idle(self) -> bool:
        """Whether forgetting the bucket changes nothing."""
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
    """All buckets of one client; the idle ones are forgotten, now and then."""

    def __init__(self, policies: RoutePolicies, clock: Clock) -> None:
        self._policies = policies
        self._clock = clock
        self._turns: dict[tuple[str, str | None], BucketQueue] = {}
        self._sweep_at = _FIRST_SWEEP

    def __len__(self) -> int:
        return len(self._turns)

    def of(self, route: str, major_id: str | None) -> BucketQueue:
        """The bucket of a route within one channel or guild."""
        turn = self._turns.get((route, major_id))
        if turn is None:
            if len(self._turns) >= self._sweep_at:
                self._forget_idle()
            turn = self._turns[route, major_id] = BucketQueue(
                route, self._policies, self._clock, major_id
            )
        return turn

    def _forget_idle(self) -> None:
        self._turns = {key: turn for key, turn in self._turns.items() if not turn.is_idle()}
        self._sweep_at = max(_FIRST_SWEEP, 2 * len(self._turns))
