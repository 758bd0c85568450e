"""The end of a job is written down without hiding how it ended."""

from __future__ import annotations

import asyncio

from raysync.errors import SyncError
from raysync.sync.final_write import STOPPING_S, flush_best_effort
from tests.virtual_time import run_virtual


def test_last_words_come_in_turn_in_bounded_time_and_raise_nothing() -> None:
    told: list[str] = []

    async def tell() -> None:
        told.append("flushed")

    async def fail() -> None:
        raise SyncError("the tracker is away")

    async def scenario() -> float:
        began_s = asyncio.get_running_loop().time()
        await flush_best_effort(tell, fail, tell)
        await flush_best_effort(tell, asyncio.Event().wait, tell)
        return asyncio.get_running_loop().time() - began_s

    assert run_virtual(scenario()) == STOPPING_S
    assert told == ["flushed", "flushed"]
