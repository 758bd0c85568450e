"""A control service that is away for good ends a run, and one that comes back does not."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterable

import pytest

from raysync.actors.control_service import watch_control_service
from raysync.actors.ray_calls import without_waiting
from raysync.background import in_thread
from raysync.errors import ControlServiceLostError

PERIOD_S, GONE_AFTER_S = 0.01, 1.0


def scripted(answers: Iterable[bool]) -> tuple[Callable[[], bool], Callable[[], float]]:
    """Return a control service that answers like this, 0.3 s apart, and the clock; then never."""
    left = list(answers)
    asked = 0

    def answers_now() -> bool:
        nonlocal asked
        asked += 1
        return left.pop(0) if left else False

    return answers_now, lambda: 0.3 * asked


def test_a_silent_control_service_is_lost() -> None:
    answers, now_s = scripted([True])

    async def watch() -> ControlServiceLostError:
        return await watch_control_service(
            answers, period_s=PERIOD_S, gone_after_s=GONE_AFTER_S, now_s=now_s
        )

    lost = asyncio.run(watch())

    assert "resume the job" in str(lost)
    assert 1.0 <= now_s() <= 2.0


def test_one_that_comes_back_is_not_lost() -> None:
    answers, now_s = scripted([False, False, False, True] * 5)

    async def watch() -> None:
        await watch_control_service(
            answers, period_s=PERIOD_S, gone_after_s=GONE_AFTER_S, now_s=now_s
        )

    asyncio.run(watch())

    assert now_s() > 20 * 0.3, "it was given up before its last answer"


def test_a_question_that_fails_unexpectedly_is_no_answer() -> None:
    """If it ended the watch, nothing would end the run without a control service."""
    asked = 0

    def fail() -> bool:
        nonlocal asked
        asked += 1
        raise ValueError("not an address")

    async def watch() -> ControlServiceLostError:
        return await watch_control_service(
            fail, period_s=PERIOD_S, gone_after_s=GONE_AFTER_S, now_s=lambda: 0.3 * asked
        )

    assert "resume the job" in str(asyncio.run(watch()))


def test_a_call_that_hangs_costs_its_timeout_only() -> None:
    """Neither the loop nor its end waits for the thread, as it would for one of asyncio's."""
    never = threading.Event()
    began_s = time.monotonic()

    async def hang() -> None:
        with pytest.raises(TimeoutError):
            await in_thread(never.wait, 0.05)

    asyncio.run(hang())

    assert time.monotonic() - began_s < 5.0
    never.set()


def test_the_result_and_the_error_of_a_call_are_passed_on() -> None:
    async def call() -> int:
        with pytest.raises(ZeroDivisionError):
            await in_thread(lambda: 1 // 0, 5.0)
        return await in_thread(lambda: 7, 5.0)

    assert asyncio.run(call()) == 7


def test_a_call_that_nobody_waits_for_may_fail() -> None:
    ended = threading.Event()

    def fail() -> None:
        ended.set()
        raise RuntimeError("nobody cares")

    without_waiting(fail)

    assert ended.wait(5.0)
