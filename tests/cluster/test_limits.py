"""A token's budget is held across workers, ahead of time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from raysync.emulator import GuildSpec, Limits, World, generate_guild, serve
from raysync.emulator.limits import Form
from tests.cluster.installation import TOKEN, Installation

MOST_PER_SECOND = 50
BEAT_S = 0.005
JITTER_S = 0.03
"""By how much arrivals may shift against each other before a sliding second can tell wrong."""


async def test_ten_workers_at_the_true_limit_draw_no_429(installation: Installation) -> None:
    world = World(generate_guild(GuildSpec.uniform(channels=70, messages_per_channel=340)))
    world.add_bot(TOKEN)
    (guild_id,) = world.guilds
    limits = Limits(global_form=Form.SLIDING_LOG)
    async with serve(world, limits=limits) as emulator, watched_loop() as stall:
        here = installation.for_emulator(emulator)
        await asyncio.to_thread(here.add_tenant, "takaro", guild_id)

        run = await asyncio.to_thread(here.start, "--tenant", "takaro", "--workers", "10")

    assert run.code == 0, run.err
    assert emulator.counters.requests >= 400
    most = most_in_a_second([each.at_s for each in emulator.log.entries])
    assert most <= MOST_PER_SECOND * (1 + stall.worst_s), stall
    stats = run.job["parallel_stats"]
    assert stats["total_api_calls"] == emulator.counters.requests
    assert stats["rate_limit_encounters"] == emulator.counters.by_status[429]
    if stall.worst_s <= JITTER_S:
        assert most <= MOST_PER_SECOND
        assert emulator.counters.by_status.keys() <= {200, 429}
        assert emulator.counters.by_status[429] == 0


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
