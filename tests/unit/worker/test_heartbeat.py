"""Detection of a worker that hangs, as opposed to one that is busy."""

from __future__ import annotations

import asyncio

from raysync.worker.heartbeat import Heartbeat, watch_liveness
from tests.virtual_time import LoopClock, run_virtual


def test_a_worker_that_does_not_answer_is_found() -> None:
    async def silence() -> float:
        await asyncio.Event().wait()
        return 0.0

    async def scenario() -> tuple[str, float]:
        clock = LoopClock()
        began_s = clock.monotonic_s()
        return await watch_liveness(silence, 60.0), clock.monotonic_s() - began_s

    reason, after_s = run_virtual(scenario())

    assert reason == "has not answered for 60 s"
    assert after_s == 70.0


def test_a_worker_with_a_blocked_loop_is_found() -> None:
    ages = iter([1.0, 59.0, 61.0])

    async def answer() -> float:
        return next(ages)

    assert run_virtual(watch_liveness(answer, 60.0)) == "has had no heartbeat for 61 s"


def test_the_heartbeats_age_grows_while_the_loop_is_blocked() -> None:
    async def scenario() -> tuple[float, float]:
        clock = LoopClock()
        heartbeat = Heartbeat(clock)
        await asyncio.sleep(100.5)
        young = heartbeat.age_s()
        (beat,) = asyncio.all_tasks() - {asyncio.current_task()}
        beat.cancel()  # like a blocked loop
        await asyncio.sleep(50.0)
        return young, heartbeat.age_s()

    young, old = run_virtual(scenario())

    assert young <= 1.0
    assert 50.0 <= old <= 51.0
