"""Retries of failed requests: the only place that decides them.

discord.py below retries a 429 and some 5xx by itself, so errors that arrive here have survived
that. The dispatcher owns dead actors, and the operator owns dead letters.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from raysync.clock import Clock
from raysync.errors import (
    ClaimLostError,
    ConfigurationError,
    PermitUnavailableError,
    RateLimitedError,
    RaysyncError,
    RetryableError,
    RunStoppedError,
    StoreUnavailableError,
    safe_message,
)
from raysync.models.header_values import seconds_in
from raysync.models.status import FailureClass
from raysync.models.work import Failure

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

OUTAGE_PAUSE_S = 10.0
"""Seconds between two attempts to reach a peer that is down, for a `base_s` of 1 s or more."""

OUTAGE_MARGIN_S = 60.0
"""Seconds by which a run ends before its requests give up an outage."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Limits on retries: their number, their backoff, and their total time in seconds."""

    max_attempts: int = 6
    base_s: float = 1.0  #: upper bound of the first pause; doubles with each attempt
    cap_s: float = 60.0  #: upper bound of every pause, unless Discord asks for a longer one
    #: no attempt starts later; the longest pause of a rate limit fits in once
    total_s: float = 660.0
    outage_s: float = 7_200.0  #: maximum wait for the end of an outage

    @property
    def outage_pause_s(self) -> float:
        """Seconds to wait before a peer that is down is tried again."""
        return min(OUTAGE_PAUSE_S, OUTAGE_PAUSE_S * self.base_s)

    @property
    def run_outage_s(self) -> float:
        """Seconds that a run waits for its database.

        It is shorter than `outage_s`: channels that gave up, one by one, would become dead letters.
        """
        return max(self.outage_s - OUTAGE_MARGIN_S, 0.0)

    def backoff_s(
        self,
        error: BaseException,
        attempt: int,
        elapsed_s: float,
        jitter: Callable[[], float] = random.random,
    ) -> float | None:
        """Return the pause after attempt number *attempt* (1 is the first); None to give up.

        The pause is random between half and all of ``base_s * 2 ** (attempt - 1)``, at most
        ``cap_s``, and never shorter than the time that Discord asked for.
        """
        if not isinstance(error, RetryableError) or attempt >= self.max_attempts:
            return None
        ceiling_s = min(self.cap_s, self.base_s * 2 ** min(attempt - 1, 30))
        asked_s = seconds_in(error.retry_after_s) or 0.0
        delay_s = max(ceiling_s * (0.5 + jitter() / 2), asked_s)
        return delay_s if elapsed_s + delay_s <= self.total_s else None


async def is_store_outage(error: RaysyncError) -> bool:
    """Return whether the error concerns all requests, and not only this one."""
    return isinstance(error, StoreUnavailableError | PermitUnavailableError)


def outage_of(
    is_reachable: Callable[[], Awaitable[bool]],
) -> Callable[[RaysyncError], Awaitable[bool]]:
    """Return a check that also detects an outage of Discord, in which it answers no request."""

    async def is_outage(error: RaysyncError) -> bool:
        if await is_store_outage(error):
            return True
        return type(error) is RetryableError and not await is_reachable()

    return is_outage


@dataclass
class Retrier:
    """Retrier of requests by a policy, which counts its retries.

    An outage is not the request's fault: it is waited out, for up to two hours, and the attempts
    start over when it has ended. *is_outage* distinguishes an outage from a request that fails
    alone; it is called only when the policy would give up.
    """

    policy: RetryPolicy
    clock: Clock
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    is_outage: Callable[[RaysyncError], Awaitable[bool]] = is_store_outage
    retries: int = 0

    async def __call__(self, request: Callable[[], Awaitable[_T]]) -> _T:
        """Make the request until it works; raise the last error if the policy gives up."""
        first_s = started_s = self.clock.monotonic_s()
        attempt, is_last = 1, False
        while True:
            try:
                return await request()
            except RaysyncError as error:
                now_s = self.clock.monotonic_s()
                backoff_s = self.policy.backoff_s(error, attempt, now_s - started_s)
                if backoff_s is not None:
                    delay_s = backoff_s
                elif now_s - first_s < self.policy.outage_s and await self._is_outage(error):
                    delay_s = self.policy.outage_pause_s
                    attempt, started_s = 0, now_s
                elif self._may_be_over(error) and not is_last:
                    delay_s, is_last = 0.0, True
                else:
                    raise
                _log.log(
                    logging.WARNING if attempt == 0 else logging.INFO,
                    "retrying in %.1f s: %s",
                    delay_s,
                    error,
                    extra={"event": "request_retried", "attempt": attempt},
                )
            attempt += 1
            self.retries += 1
            await self.sleep(delay_s)

    def _may_be_over(self, error: RaysyncError) -> bool:
        """Return whether an outage may have ended just before it was checked.

        An error that asks for a pause is no outage, and an immediate retry would break the pause.
        """
        is_plain = type(error) is RetryableError and error.retry_after_s is None
        return is_plain and self.is_outage is not is_store_outage

    async def _is_outage(self, error: RaysyncError) -> bool:
        return isinstance(error, RetryableError) and await self.is_outage(error)


def failure_of(error: BaseException) -> Failure:
    """Return the failure for the result and for dead letters, without other libraries' text."""
    message = safe_message(error) or type(error).__name__
    return Failure(_class_of(error), type(error).__name__, message)


def _class_of(error: BaseException) -> FailureClass:
    match error:
        case RunStoppedError() | ConfigurationError():
            return FailureClass.FATAL
        case RateLimitedError():
            return FailureClass.RATE_LIMITED
        case RetryableError() | ClaimLostError():
            return FailureClass.TRANSIENT
        case RaysyncError():
            return FailureClass.PERMANENT
        case _:
            return FailureClass.TRANSIENT
