"""Workers together stay within a token's budget."""

from __future__ import annotations

import asyncio

import pytest

from raysync.emulator import GuildSpec, Limits, RouteLimit, World, generate_guild, serve
from raysync.emulator.limits import OBSERVED_ROUTES, Form, Headers
from tests.cluster.arrivals import JITTER_S, most_in_a_second, watched_loop
from tests.cluster.guilds import MESSAGES
from tests.cluster.installation import TOKEN, Installation

pytestmark = pytest.mark.alone

MOST_PER_SECOND = 50


async def test_ten_workers_at_the_true_limit_draw_no_429(installation: Installation) -> None:
    world = World(generate_guild(GuildSpec.uniform(channels=70, messages_per_channel=340)))
    world.add_bot(TOKEN)
    (guild_id,) = world.guilds
    limits = Limits(global_form=Form.SLIDING_LOG)
    async with serve(world, limits=limits) as emulator, watched_loop() as stall:
        installation = installation.for_emulator(emulator)
        await asyncio.to_thread(installation.add_tenant, "takaro", guild_id)

        run = await asyncio.to_thread(installation.start, "--tenant", "takaro", "--workers", "10")

    assert run.code == 0, run.err
    assert emulator.counters.requests >= 400
    most = most_in_a_second([entry.at_s for entry in emulator.log.entries])
    assert most <= MOST_PER_SECOND * (1 + stall.worst_s), stall
    stats = run.job["parallel_stats"]
    assert stats["total_api_calls"] == emulator.counters.requests
    assert sum(stats["time_spent"]["requests"]["requests"]) == emulator.counters.requests
    assert stats["rate_limit_encounters"] == emulator.counters.by_status[429]
    if stall.worst_s <= JITTER_S:
        assert most <= MOST_PER_SECOND
        assert emulator.counters.by_status.keys() <= {200, 429}
        assert emulator.counters.by_status[429] == 0


@pytest.mark.slow
@pytest.mark.parametrize("headers", [Headers.MASKED, Headers.NONE])
async def test_a_limit_stricter_than_believed_is_learned_once_and_kept(
    installation: Installation, headers: Headers
) -> None:
    """Three pages in five seconds where five are believed, and no answer let through says so."""
    world = World(generate_guild(GuildSpec.uniform(channels=6, messages_per_channel=640)))
    world.add_bot(TOKEN)
    (guild_id,) = world.guilds
    routes = dict(OBSERVED_ROUTES) | {MESSAGES: RouteLimit(3, 5.0)}
    async with serve(world, limits=Limits(headers=headers, routes=routes)) as emulator:
        installation = installation.for_emulator(emulator)
        await asyncio.to_thread(installation.add_tenant, "takaro", guild_id)

        first = await asyncio.to_thread(installation.start, "--tenant", "takaro", "--full")
        refused = emulator.counters.by_status[429]
        again = await asyncio.to_thread(installation.start, "--tenant", "takaro", "--full")

    assert (first.code, again.code) == (0, 0), first.err + again.err
    await asyncio.to_thread(installation.assert_complete, "takaro", emulator)
    steps = {Headers.MASKED: 1, Headers.NONE: 2}  # from 5 to 3, told at once or step by step
    assert 1 <= refused <= 6 * steps[headers], "a channel is refused while its limit is learned"
    assert emulator.counters.by_status[429] == refused, "what was learned is known to the next run"
    (learned,) = installation.query(
        'SELECT "limit", window_s FROM rate_limits WHERE route = %s', MESSAGES
    )
    assert learned == {"limit": 3, "window_s": 5.0}
