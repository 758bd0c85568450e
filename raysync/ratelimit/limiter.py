"""What a request passes before it leaves: its channel's bucket, then the token's budget."""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from raysync.clock import Clock
from raysync.errors import PermitUnavailableError
from raysync.models.events import ApiUsage
from raysync.ratelimit.bucket import ChannelBucket
from raysync.ratelimit.permits import PermitPool

PAGES = "GET /channels/{channel_id}/messages"
"""The only route of a sync with a bucket of its own; the others know the token's budget alone."""
MAX_WAIT_S = 60.0
KEPT_LANES = 1_000

Observe = Callable[[int, str | None, float | None], None]
"""Told of each answer of 401, 403 and 429: its status, scope and seconds to wait."""


@dataclass(slots=True)
class _Lane:
    """A channel's bucket, and the turn of those who wait for it."""

    bucket: ChannelBucket = field(default_factory=ChannelBucket)
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class WorkerLimiter:
    """The limits of one token in one process, and the record of what was asked.

    Each `enter` that returns is followed by one `leave`; one that raises has left nothing behind.
    """

    def __init__(self, permits: PermitPool, clock: Clock, observe: Observe) -> None:
        self._permits = permits
        self._clock = clock
        self._observe = observe
        self._lanes: OrderedDict[str, _Lane] = OrderedDict()
        self._calls: Counter[str] = Counter()
        self._hits: Counter[str] = Counter()
        self._permit_wait_s = 0.0
        self._bucket_wait_s = 0.0
        self._first_at: datetime | None = None
        self._last_at: datetime | None = None

    async def enter(self, route: str, major: str) -> None:
        """Wait until a request to *route* may leave.

        Raises:
            PermitUnavailableError: a wait took longer than a minute.
            RunStoppedError: nothing may be asked any more.
        """
        lane = self._lane(major) if route == PAGES else None
        if lane is not None:
            started_s = self._clock.monotonic_s()
            await self._pass_bucket(lane)
            self._bucket_wait_s += self._clock.monotonic_s() - started_s
        try:
            self._permit_wait_s += await self._permits.acquire()
        except BaseException:
            if lane is not None:
                lane.bucket.cancel()
                lane.ended.set()
            raise
        self._last_at = self._clock.now()
        self._first_at = self._first_at or self._last_at

    async def _pass_bucket(self, lane: _Lane) -> None:
        try:
            async with asyncio.timeout(MAX_WAIT_S), lane.turn:
                while True:
                    delay_s = lane.bucket.delay_s(self._clock.monotonic_s())
                    if delay_s is None:
                        lane.ended.clear()
                        await lane.ended.wait()
                    elif delay_s > 0:
                        await asyncio.sleep(delay_s)
                    else:
                        break
                lane.bucket.start()
        except TimeoutError:
            raise PermitUnavailableError(
                f"The channel's rate limit left no room within {MAX_WAIT_S:.0f} s.", MAX_WAIT_S
            ) from None

    def leave(self, route: str, major: str, status: int | None, headers: Mapping[str, str]) -> None:
        """Take in the answer; *status* is None where none came."""
        now_s = self._clock.monotonic_s()
        lane = self._lanes.get(major) if route == PAGES else None
        if lane is not None:
            lane.bucket.finish(now_s)
            lane.ended.set()
        self._calls[f"{route} {status or 'no answer'}"] += 1
        if status not in (401, 403, 429):
            return
        scope = headers.get("x-ratelimit-scope")
        retry_after_s = _seconds(headers.get("retry-after"))
        if status == 429:
            self._hits[scope or "none"] += 1
            if lane is not None and scope != "global":
                lane.bucket.block(now_s + (retry_after_s or lane.bucket.window_s))
        self._observe(status, scope, retry_after_s)

    def usage(self) -> ApiUsage:
        """What has been asked since the beginning."""
        return ApiUsage(
            calls=dict(self._calls),
            rate_limit_hits=dict(self._hits),
            permit_wait_s=self._permit_wait_s,
            bucket_wait_s=self._bucket_wait_s,
            first_request_at=self._first_at,
            last_request_at=self._last_at,
        )

    def _lane(self, major: str) -> _Lane:
        lane = self._lanes.setdefault(major, _Lane())
        self._lanes.move_to_end(major)
        if len(self._lanes) > KEPT_LANES:
            self._forget_one()
        return lane

    def _forget_one(self) -> None:
        """Forget the bucket that rested longest, if it is full again."""
        name, lane = next(iter(self._lanes.items()))
        lane.bucket.delay_s(self._clock.monotonic_s())
        if not lane.bucket.done and not lane.bucket.under_way:
            del self._lanes[name]


def _seconds(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None
