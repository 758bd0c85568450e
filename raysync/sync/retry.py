"""Whether a failed request is asked again: decided here, as a value, and nowhere else.

discord.py below repeats a 429 and some 5xx by itself; what reaches us has survived that. A dead
actor is the dispatcher's, a dead letter the operator's.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from raysync.errors import (
    ClaimLostError,
    ConfigurationError,
    RateLimitedError,
    RaysyncError,
    RetryableError,
    RunStoppedError,
)
from raysync.models.status import FailureClass
from raysync.models.work import Failure
from raysync.sync.ports import Moments

_log = logging.getLogger(__name__)
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Retry:
    """Ask again after *delay_s*."""

    delay_s: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Do not ask again."""

    reason: str


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often, after what pause, and for how long in all."""

    max_attempts: int = 6
    base_s: float = 1.0  #: the first pause's upper end; doubles each time
    cap_s: float = 60.0  #: no pause is longer, unless Discord asks for it
    total_s: float = 600.0  #: no new attempt starts later than this after the first

    def decide(
        self,
        error: BaseException,
        attempt: int,
        elapsed_s: float,
        jitter: Callable[[], float] = random.random,
    ) -> Retry | GiveUp:
        """Say whether attempt number *attempt* (1 is the first) is followed by another.

        The pause is random between half and all of ``base_s * 2 ** (attempt - 1)``, at most
        ``cap_s``, and never shorter than what Discord asked for.
        """
        if not isinstance(error, RetryableError):
            return GiveUp(f"{type(error).__name__} is not retryable")
        if attempt >= self.max_attempts:
            return GiveUp(f"gave up after {attempt} attempts")
        ceiling_s = min(self.cap_s, self.base_s * 2 ** min(attempt - 1, 30))
        delay_s = max(ceiling_s * (0.5 + jitter() / 2), error.retry_after_s or 0.0)
        if elapsed_s + delay_s > self.total_s:
            return GiveUp(f"gave up after {elapsed_s:.0f} s")
        return Retry(delay_s)


@dataclass
class Retrier:
    """Carries the policy out, and counts."""

    policy: RetryPolicy
    clock: Moments
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    retries: int = 0

    async def __call__(self, ask: Callable[[], Awaitable[_T]]) -> _T:
        """Ask until it works or the policy gives up; then the last error is raised."""
        started_s, attempt = self.clock.monotonic_s(), 1
        while True:
            try:
                return await ask()
            except RaysyncError as error:
                elapsed_s = self.clock.monotonic_s() - started_s
                decision = self.policy.decide(error, attempt, elapsed_s)
                if isinstance(decision, GiveUp):
                    raise
                _log.info(
                    "asking again in %.1f s: %s",
                    decision.delay_s,
                    error,
                    extra={"event": "request_retried", "attempt": attempt},
                )
            attempt += 1
            self.retries += 1
            await self.sleep(decision.delay_s)


def failure_of(error: BaseException) -> Failure:
    """The class of *error*, for the result and for dead letters."""
    return Failure(_class_of(error), type(error).__name__, str(error) or type(error).__name__)


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
