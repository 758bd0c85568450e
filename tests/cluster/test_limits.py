"""A token's budget is held across workers, ahead of time."""

from __future__ import annotations

import asyncio

from raysync.emulator import GuildSpec, Limits, World, generate_guild, serve
from raysync.emulator.limits import Form
from tests.cluster.arrivals import JITTER_S, most_in_a_second, watched_loop
from tests.cluster.installation import TOKEN, Installation

MOST_PER_SECOND = 50


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
    assert sum(stats["time_spent"]["requests"]["requests"]) == emulator.counters.requests
    assert stats["rate_limit_encounters"] == emulator.counters.by_status[429]
    if stall.worst_s <= JITTER_S:
        assert most <= MOST_PER_SECOND
        assert emulator.counters.by_status.keys() <= {200, 429}
        assert emulator.counters.by_status[429] == 0
