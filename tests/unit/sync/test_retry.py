"""The retry decision, as a table."""

from __future__ import annotations

import math

import pytest

from raysync import errors
from raysync.errors import PermanentError, RaysyncError, RetryableError
from raysync.models.refusal import LONGEST_PAUSE_S, Scope
from raysync.models.status import FailureClass
from raysync.sync.retry import Retrier, RetryPolicy, failure_of
from tests.virtual_time import LoopClock, run_virtual


@pytest.mark.parametrize(
    ("attempt", "retry_after_s", "expected"),
    [
        pytest.param(1, None, 1.0, id="first-pause-is-the-base"),
        pytest.param(3, None, 4.0, id="the-pause-doubles"),
        pytest.param(5, 40.0, 40.0, id="a-longer-pause-of-discord-wins"),
        pytest.param(6, None, None, id="attempts-spent"),
        pytest.param(2, 1200.0, None, id="no-time-left"),
        pytest.param(2, math.inf, None, id="not-for-ever"),
        pytest.param(2, math.nan, 2.0, id="nan-is-no-pause"),
        pytest.param(2, -5.0, 2.0, id="a-negative-pause-is-none"),
    ],
)
def test_a_policy_backs_off_then_gives_up(
    attempt: int, retry_after_s: float | None, expected: float | None
) -> None:
    error = RetryableError("502", retry_after_s)

    assert expected == RetryPolicy().backoff_s(error, attempt, 10.0, jitter=lambda: 1.0)


def test_jitter_halves_a_pause_at_most() -> None:
    assert RetryPolicy().backoff_s(RetryableError("x"), 1, 0.0, jitter=lambda: 0.0) == 0.5


def test_an_error_that_is_not_retryable_is_given_up_at_once() -> None:
    assert RetryPolicy().backoff_s(PermanentError("404"), 1, 0.0) is None


def test_the_retrier_raises_the_last_error_and_counts() -> None:
    asked: list[float] = []
    clock = LoopClock()
    retrier = Retrier(RetryPolicy(max_attempts=4), clock)

    async def ask() -> None:
        asked.append(clock.monotonic_s())
        raise RetryableError(f"try {len(asked)}")

    with pytest.raises(RetryableError, match="try 4"):
        run_virtual(retrier(ask))

    assert len(asked) == 4
    assert retrier.retries == 3


def outage(lasts_s: float, error: Exception, **policy: float) -> tuple[float, int]:
    """Return when a request through an outage worked, and the number of attempts."""
    clock = LoopClock()
    asked = 0

    async def is_outage(_: RaysyncError) -> bool:
        return clock.monotonic_s() < lasts_s

    retrier = Retrier(RetryPolicy(**policy), clock, is_outage=is_outage)  # type: ignore[arg-type]

    async def ask() -> float:
        nonlocal asked
        asked += 1
        if clock.monotonic_s() < lasts_s:
            raise error
        return clock.monotonic_s()

    return run_virtual(retrier(ask)), asked


def test_an_outage_of_an_hour_is_waited_for() -> None:
    ended_s, asked = outage(3_600.0, RetryableError("503"))

    assert 3_600.0 <= ended_s < 3_660.0, "and its end is noticed within a minute"
    assert asked < 700


def test_an_outage_of_a_day_is_given_up() -> None:
    with pytest.raises(RetryableError, match="503"):
        outage(86_400.0, RetryableError("503"))


def test_a_permanent_error_is_given_up_during_an_outage() -> None:
    with pytest.raises(PermanentError):
        outage(60.0, PermanentError("404"))


def test_a_database_that_is_down_is_an_outage_for_every_retrier() -> None:
    clock = LoopClock()

    async def ask() -> float:
        if clock.monotonic_s() < 600.0:
            raise errors.StoreUnavailableError("the server closed the connection")
        return clock.monotonic_s()

    assert 600.0 <= run_virtual(Retrier(RetryPolicy(), clock)(ask)) < 620.0


def all_errors(root: type[RaysyncError]) -> list[type[RaysyncError]]:
    return [root, *(each for child in root.__subclasses__() for each in all_errors(child))]


@pytest.mark.parametrize("kind", all_errors(RaysyncError))
def test_every_error_has_a_failure_class(kind: type[RaysyncError]) -> None:
    failure = failure_of(kind("a sentence"))

    assert failure.failure_class in FailureClass
    assert failure.message == "a sentence"


@pytest.mark.parametrize("kind", all_errors(RaysyncError))
def test_every_error_survives_pickling(kind: type[RaysyncError]) -> None:
    import pickle

    copy = pickle.loads(pickle.dumps(kind("a sentence")))

    assert (type(copy), str(copy)) == (kind, "a sentence")


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    drawn = errors.__doc__ or ""
    own = [each for each in all_errors(RaysyncError) if each.__module__ == errors.__name__]

    assert [each.__name__ for each in own if each.__name__ not in drawn] == []


@pytest.mark.parametrize(
    "error",
    [errors.RateLimitedError("429", 900.0), RetryableError("503", 900.0)],
    ids=["a-limit", "a-pause"],
)
def test_a_pause_that_discord_asks_for_is_never_cut_short(error: RetryableError) -> None:
    asked: list[float] = []
    clock = LoopClock()

    async def is_outage(_: RaysyncError) -> bool:
        return False

    async def ask() -> None:
        asked.append(clock.monotonic_s())
        raise error

    with pytest.raises(RetryableError):
        run_virtual(Retrier(RetryPolicy(), clock, is_outage=is_outage)(ask))

    assert len(asked) == 1, "the pause is longer than anybody waits, so there is no retry"


def test_the_longest_pause_of_a_limit_is_waited_for_once() -> None:
    longest_s = LONGEST_PAUSE_S[Scope.USER]
    asked: list[float] = []
    clock = LoopClock()

    async def ask() -> None:
        asked.append(clock.monotonic_s())
        raise errors.RateLimitedError("429", longest_s)

    with pytest.raises(errors.RateLimitedError):
        run_virtual(Retrier(RetryPolicy(), clock)(ask))

    assert asked == [0.0, longest_s]
