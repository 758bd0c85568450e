"""A worker's limiter for one token: a request waits for its bucket, then for the budget."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from raysync.clock import Clock
from raysync.errors import BannedError
from raysync.models.durations import DurationMeter
from raysync.models.events import ApiUsage
from raysync.models.rates import RateMeter
from raysync.models.refusal import Refusal, Scope
from raysync.ratelimit.bucket_queues import BucketQueue, BucketQueues
from raysync.ratelimit.headers import BucketHeaders
from raysync.ratelimit.permit import Permit
from raysync.ratelimit.permits import MAX_WAIT_S, PermitPool
from raysync.ratelimit.policies import RoutePolicies, RoutePolicy

_log = logging.getLogger(__name__)

Report = Callable[[int, str | None, float | None], Awaitable[None]]
"""A report of a refusal to the governor: status, scope, seconds until a retry is allowed."""


@dataclass(slots=True)
class _Meter:
    """The counters behind `ApiUsage`."""

    calls: Counter[str] = field(default_factory=Counter)
    hits: Counter[str] = field(default_factory=Counter)
    permits: int = 0
    permit_wait_s: float = 0.0
    bucket_wait_s: float = 0.0
    first_at: datetime | None = None
    last_at: datetime | None = None
    rate: RateMeter = field(default_factory=RateMeter)
    answers: DurationMeter = field(default_factory=DurationMeter)


class InFlightRequest:
    """One admitted request. `finish` must be called exactly once."""

    __slots__ = ("_limiter", "_number", "_permit", "_queue", "_route", "_sent_s")

    def __init__(
        self, limiter: WorkerLimiter, route: str, queue: BucketQueue, number: int, permit: Permit
    ) -> None:
        self._limiter = limiter
        self._route = route
        self._queue = queue
        self._number = number
        self._permit = permit
        self._sent_s: float | None = None

    def sent(self) -> None:
        """Record that the request is being sent, or sent again on another connection."""
        self._sent_s = self._limiter.note_sent(self._permit)

    def finish(self, status: int | None, headers: Mapping[str, str]) -> None:
        """Record the answer; *status* is None where none came.

        The headers of a 429 must be those of `Refusal.headers`.
        """
        if status is not None and self._sent_s is None:
            self.sent()
        if self._sent_s is not None:
            if status is not None:
                self._limiter.note_answer_time(self._sent_s)
            self._limiter.note_end(self._route, self._queue, self._permit, status)
            if status is not None:
                self._limiter.note_answer(self._route, self._queue, self._number, status, headers)
        else:
            self._limiter.note_unsent(self._queue, self._number, self._permit)


class WorkerLimiter:
    """Admits a request when its bucket and the token's budget both have room.

    Nothing here survives the worker: a channel is read by one worker at a time.
    """

    def __init__(
        self,
        permits: PermitPool,
        clock: Clock,
        report: Report | None = None,
        *,
        known: Iterable[RoutePolicy] = (),
        max_wait_s: float = MAX_WAIT_S,
    ) -> None:
        """Start from *known*, the limits that earlier runs learned.

        Without *report*, refusals are not counted toward a ban.
        """
        self._permits = permits
        self._clock = clock
        self._report = report
        self._max_wait_s = max_wait_s
        self._policies = RoutePolicies(known, clock.monotonic_s)
        self._queues = BucketQueues(self._policies, clock)
        self._meter = _Meter()
        self._reporting: set[asyncio.Task[None]] = set()

    async def enter(
        self, route: str, major_id: str | None, head_start_s: float = 0.0
    ) -> InFlightRequest:
        """Wait until a request of *route* within *major_id* may be sent; then it is in flight.

        Among the requests that wait for a permit, it is served as if it had come so much earlier:
        *head_start_s* and the head start of its bucket.

        Raises:
            RateLimitedError: the bucket stays closed for longer than a request should wait here.
            PermitUnavailableError: the token's budget had no permit in time.
            RunStoppedError: no request may be sent any more.
        """
        queue, began_s = self._queues.of(route, major_id), self._clock.monotonic_s()
        number = await queue.start(self._max_wait_s)
        opened_s = self._clock.monotonic_s()
        self._meter.bucket_wait_s += opened_s - began_s
        try:
            permit = await self._permits.acquire(queue.head_start_s + head_start_s)
        except BaseException:
            queue.cancel(number)
            raise
        self._meter.permit_wait_s += self._clock.monotonic_s() - opened_s
        self._meter.permits += 1
        if self._meter.first_at is None:
            self._meter.first_at = self._clock.now()
        return InFlightRequest(self, route, queue, number, permit)

    def bucket(self, route: str, major_id: str | None) -> BucketQueue:
        """Return the bucket of a route within one channel or guild."""
        return self._queues.of(route, major_id)

    def note_sent(self, permit: Permit) -> float:
        """Record that the request is being sent; return the time."""
        self._permits.sent(permit)
        return self._clock.monotonic_s()

    def note_answer_time(self, sent_s: float) -> None:
        """Record the response time of a request that was sent at *sent_s*."""
        self._meter.answers.note(self._clock.monotonic_s() - sent_s)

    def note_unsent(self, queue: BucketQueue, number: int, permit: Permit) -> None:
        """Undo the admission of a request that was not sent."""
        self._permits.unused(permit)
        queue.cancel(number)

    def note_end(self, route: str, queue: BucketQueue, permit: Permit, status: int | None) -> None:
        """Record that the request ended, with or without an answer."""
        self._permits.ended(permit, lost=status is None)
        queue.finish()
        self._meter.last_at = now = self._clock.now()
        self._meter.rate.note(now.timestamp())
        self._meter.calls[f"{route} {'lost' if status is None else status}"] += 1

    def note_answer(
        self, route: str, queue: BucketQueue, number: int, status: int, headers: Mapping[str, str]
    ) -> None:
        """Learn from an answer, and report a refusal."""
        if status == 429:
            self._note_refusal(route, queue, headers)
        elif status in (401, 403):
            self._report_soon(status, None, None)
        else:
            queue.note_answer(BucketHeaders.read(headers), number)

    def usage(self) -> ApiUsage:
        """Return the requests and waits so far."""
        meter = self._meter
        return ApiUsage(
            calls=dict(meter.calls),
            rate_limit_hits=dict(meter.hits),
            permits=meter.permits,
            permit_wait_s=meter.permit_wait_s,
            bucket_wait_s=meter.bucket_wait_s,
            first_request_at=meter.first_at,
            last_request_at=meter.last_at,
            rate=meter.rate.rate(),
            answers=meter.answers.durations(),
        )

    def learn(self, known: Iterable[RoutePolicy]) -> None:
        """Add limits that an earlier run learned; they overrule the built-in ones."""
        self._policies.learn(known)

    def learned(self) -> tuple[RoutePolicy, ...]:
        """Return the limits that Discord has named, for a later run to `learn`."""
        return self._policies.learned()

    async def close(self) -> None:
        """Finish the reports. The owner of the permits closes them: limiters may share them."""
        await asyncio.gather(*self._reporting)

    def _note_refusal(self, route: str, queue: BucketQueue, headers: Mapping[str, str]) -> None:
        refusal = Refusal.read(headers, now=self._clock.now())
        scope = refusal.scope.value
        self._meter.hits[scope] += 1
        _log.warning(
            "Discord refused %s (%s)", route, scope, extra={"event": "rate_limited", "scope": scope}
        )
        match refusal.scope:
            case Scope.BAN:
                until = self._clock.now() + timedelta(seconds=refusal.pause_s)
                self._permits.stop(BannedError.lasting_until(until))
            case Scope.GLOBAL:
                self._permits.block(refusal.pause_s)
            case Scope.SHARED:
                queue.block(refusal.pause_s)
            case Scope.USER:
                queue.note_refusal(_believable(BucketHeaders.read(headers), refusal))
        self._report_soon(429, scope, refusal.retry_after_s)

    def _report_soon(self, status: int, scope: str | None, retry_after_s: float | None) -> None:
        if self._report is not None:
            reporting = asyncio.ensure_future(self._try_report(status, scope, retry_after_s))
            self._reporting.add(reporting)
            reporting.add_done_callback(self._reporting.discard)

    async def _try_report(
        self, status: int, scope: str | None, retry_after_s: float | None
    ) -> None:
        try:
            if self._report is not None:
                await self._report(status, scope, retry_after_s)
        except Exception as error:  # noqa: BLE001 an unreachable governor grants nothing anyway
            _log.warning("a refusal was not reported to the governor: %s", type(error).__name__)


def _believable(headers: BucketHeaders, refusal: Refusal) -> BucketHeaders:
    """Return a refusal's headers with a plausible pause."""
    reset_s = headers.reset_after_s if headers.is_believable else None
    return replace(headers, retry_after_s=refusal.retry_after_s or reset_s or refusal.pause_s)
