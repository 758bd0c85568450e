"""Rate of arrivals per second, and its accuracy on a busy machine."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

BEAT_S = 0.005
JITTER_S = 0.03
"""Maximum shift of arrivals, in seconds, at which a sliding second is still reliable."""


@dataclass(slots=True)
class Stall:
    """Longest delay of the emulator's event loop, after which requests arrive all at once."""

    worst_s: float = 0.0


@asynccontextmanager
async def watched_loop() -> AsyncIterator[Stall]:
    """Measure the delay of this event loop, which the emulator shares, on a busy machine."""
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
    """Return the largest number of *times_s*, ascending, within one second."""
    most = start = 0
    for end, at_s in enumerate(times_s):
        while times_s[start] <= at_s - 1.0:
            start += 1
        most = max(most, end - start + 1)
    return most
