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
"""Between two looks at what cannot be reached, where the first pause of a request is a second."""

OUTAGE_MARGIN_S = 60.0


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
    total_s: float = 660.0  #: no new attempt starts later: one longest pause of a limit fits in
    outage_s: float = 7_200.0  #: for so long what nobody can reach is waited for

    @property
    def outage_pause_s(self) -> float:
        """How long to wait before what cannot be reached is tried again."""
        return min(OUTAGE_PAUSE_S, OUTAGE_PAUSE_S * self.base_s)

    @property
    def run_outage_s(self) -> float:
        """How long a run waits for its database: it ends before its requests give up by themselves.

        Channels that gave up, one by one, would become dead letters.
        """
        return max(self.outage_s - OUTAGE_MARGIN_S, 0.0)

    def decide(
        self,
        error: BaseException,
        attempt: int,
        elapsed_s: float,
        jitter: Callable[[], float] = random.random,
    ) -> Retry | GiveUp:
        """Say whether attempt number *attempt* (1 is the first) is followed by another.

        The pause is random between half and all of ``base_s * 2 ** (attempt - 1)``, at most
        ``cap_s``, and never shorter than what Discord asked for, if that is a time.
        """
        if not isinstance(error, RetryableError):
            return GiveUp(f"{type(error).__name__} is not retryable")
        if attempt >= self.max_attempts:
            return GiveUp(f"gave up after {attempt} attempts")
        ceiling_s = min(self.cap_s, self.base_s * 2 ** min(attempt - 1, 30))
        asked_s = seconds_in(error.retry_after_s) or 0.0
        delay_s = max(ceiling_s * (0.5 + jitter() / 2), asked_s)
        if elapsed_s + delay_s > self.total_s:
            return GiveUp(f"gave up after {elapsed_s:.0f} s")
        return Retry(delay_s)


async def is_store_outage(error: RaysyncError) -> bool:
    """Whether it says that nobody can go on for now, and not only who asked."""
    return isinstance(error, StoreUnavailableError | PermitUnavailableError)


def outage_of(
    is_reachable: Callable[[], Awaitable[bool]],
) -> Callable[[RaysyncError], Awaitable[bool]]:
    """What tells an outage of Discord, too: then it answers nobody."""

    async def is_outage(error: RaysyncError) -> bool:
        if await is_store_outage(error):
            return True
        return type(error) is RetryableError and not await is_reachable()

    return is_outage


@dataclass
class Retrier:
    """Carries the policy out, and counts.

    What fails for everybody is no fault of what was asked for: an outage is waited for, up to two
    hours, and the attempts begin anew when it is over. *is_outage* tells one from a request that
    fails alone; it is asked only where the policy would give up.
    """

    policy: RetryPolicy
    clock: Clock
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    is_outage: Callable[[RaysyncError], Awaitable[bool]] = is_store_outage
    retries: int = 0

    async def __call__(self, ask: Callable[[], Awaitable[_T]]) -> _T:
        """Ask until it works or the policy gives up; then the last error is raised."""
        first_s = started_s = self.clock.monotonic_s()
        attempt, is_last = 1, False
        while True:
            try:
                return await ask()
            except RaysyncError as error:
                now_s = self.clock.monotonic_s()
                decision = self.policy.decide(error, attempt, now_s - started_s)
                if isinstance(decision, Retry):
                    delay_s = decision.delay_s
                elif now_s - first_s < self.policy.outage_s and await self._is_outage(error):
                    delay_s = self.policy.outage_pause_s
                    attempt, started_s = 0, now_s
                elif self._may_be_over(error) and not is_last:
                    delay_s, is_last = 0.0, True
                else:
                    raise
                _log.log(
                    logging.WARNING if attempt == 0 else logging.INFO,
                    "asking again in %.1f s: %s",
                    delay_s,
                    error,
                    extra={"event": "request_retried", "attempt": attempt},
                )
            attempt += 1
            self.retries += 1
            await self.sleep(delay_s)

    def _may_be_over(self, error: RaysyncError) -> bool:
        """Whether an outage may have ended between its last failure and the look at it.

        Never where a pause was asked for: that is no outage, and to ask at once would break it.
        """
        is_plain = type(error) is RetryableError and error.retry_after_s is None
        return is_plain and self.is_outage is not is_store_outage

    async def _is_outage(self, error: RaysyncError) -> bool:
        return isinstance(error, RetryableError) and await self.is_outage(error)


def failure_of(error: BaseException) -> Failure:
    """Classify *error* for the result and for dead letters, without text from other libraries."""
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
