"""Final writes of a job never hide how the job ended."""

from __future__ import annotations

import asyncio

from raysync.errors import SyncError
from raysync.sync.final_write import STOPPING_S, flush_best_effort
from tests.virtual_time import run_virtual


def test_flushes_run_in_order_in_bounded_time_and_raise_nothing() -> None:
    done: list[str] = []

    async def flush() -> None:
        done.append("flushed")

    async def fail() -> None:
        raise SyncError("the tracker is down")

    async def scenario() -> float:
        began_s = asyncio.get_running_loop().time()
        await flush_best_effort(flush, fail, flush)
        await flush_best_effort(flush, asyncio.Event().wait, flush)
        return asyncio.get_running_loop().time() - began_s

    assert run_virtual(scenario()) == STOPPING_S
    assert done == ["flushed", "flushed"]
