"""A worker that hangs is told from one that is busy."""

from __future__ import annotations

import asyncio

from raysync.worker.heartbeat import Heartbeat, watch_liveness
from tests.virtual_time import LoopClock, run_virtual


def test_a_worker_that_does_not_answer_is_told() -> None:
    async def silence() -> float:
        await asyncio.Event().wait()
        return 0.0

    async def scenario() -> tuple[str, float]:
        clock = LoopClock()
        began_s = clock.monotonic_s()
        return await watch_liveness(silence, 60.0), clock.monotonic_s() - began_s

    said, after_s = run_virtual(scenario())

    assert said == "has not answered for 60 s"
    assert after_s == 70.0


def test_a_worker_whose_loop_is_blocked_is_told() -> None:
    ages = iter([1.0, 59.0, 61.0])

    async def answer() -> float:
        return next(ages)

    assert run_virtual(watch_liveness(answer, 60.0)) == "has stood still for 61 s"


def test_a_pulse_is_as_young_as_the_loops_last_turn() -> None:
    async def scenario() -> tuple[float, float]:
        clock = LoopClock()
        pulse = Heartbeat(clock)
        await asyncio.sleep(100.5)
        young = pulse.age_s()
        (beat,) = asyncio.all_tasks() - {asyncio.current_task()}
        beat.cancel()  # like a blocked loop
        await asyncio.sleep(50.0)
        return young, pulse.age_s()

    young, old = run_virtual(scenario())

    assert young <= 1.0
    assert 50.0 <= old <= 51.0
