"""How many requests arrived within a second, and how far that can be told on a busy machine."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

BEAT_S = 0.005
JITTER_S = 0.03
"""By how much arrivals may shift against each other before a sliding second can tell wrong."""


@dataclass(slots=True)
class Stall:
    """How long the emulator was kept from reading what had arrived: then it comes all at once."""

    worst_s: float = 0.0


@asynccontextmanager
async def watched_loop() -> AsyncIterator[Stall]:
    """See how late this loop is, which the emulator shares, on a machine with too much to do."""
    stall = Stall()
    beating = asyncio.create_task(_beat(stall))
    try:
        yield stall
    finally:
        beating.cancel()


async def _beat(stall: Stall) -> None:
    while True:
        due_s = time.monotonic() + BEAT_S
        await asyncio.sleep(BEAT_S)
        stall.worst_s = max(stall.worst_s, time.monotonic() - due_s)


def most_in_a_second(times_s: Sequence[float]) -> int:
    """The most of *times_s*, ascending, in any stretch of a second."""
    most = start = 0
    for end, at_s in enumerate(times_s):
        while times_s[start] <= at_s - 1.0:
            start += 1
        most = max(most, end - start + 1)
    return most
