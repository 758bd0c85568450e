"""One answer with headers that make no sense, in one run, and what it does to the next ones."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from raysync.discord_api.address import api_of
from raysync.emulator import FaultRule, GuildSpec, World, generate_guild, serve
from raysync.emulator.faults import FaultScript
from raysync.models.records import LearnedLimit
from raysync.ratelimit.policies import RoutePolicies
from raysync.store.limits.learned import LimitStore
from raysync.worker.limit_memory import LimitMemory
from tests.emulator.test_adapter_limits import client_of

MESSAGES = "GET /channels/{channel_id}/messages"


def claim(limit, reset_s, remaining=0) -> dict[str, str]:
    return {
        "x-ratelimit-limit": str(limit),
        "x-ratelimit-remaining": str(remaining),
        "x-ratelimit-reset-after": str(reset_s),
    }


def world_of(channels: int) -> tuple[World, list[int]]:
    world = World(generate_guild(GuildSpec.uniform(channels, 500)))
    world.add_bot("token")
    (guild,) = world.guilds.values()
    return world, [each.id for each in guild.channels.values() if each.log.ids]


async def run(url: str, store: LimitStore, channels) -> float:
    """Read a page of each channel, as one run does; the longest that a next page would wait."""
    memory = LimitMemory(store)
    async with client_of(url, await memory.recall()) as (client, limiter):
        for each in channels:
            await client.history.fetch_after(each, 0, 100)
        await memory.keep(limiter.learned())
        return max(limiter.bucket(MESSAGES, str(each)).pause_s() for each in channels)


@pytest.mark.parametrize(
    ("headers", "held_s"),
    [
        pytest.param(claim(5, 1_000_000_000), 0.0, id="a-window-of-decades"),
        pytest.param(claim(1, 1_000_000_000), 0.0, id="one-in-decades"),
        pytest.param(claim(1, 300), 301.0, id="one-in-five-minutes"),
        pytest.param(claim(99, 5, 98), 0.0, id="ninety-nine"),
        pytest.param(claim("5, 1", "NaN"), 0.0, id="garbage"),
    ],
)
async def test_a_wrong_answer_holds_its_channel_at_most_and_no_later_run(engine, headers, held_s):
    world, channels = world_of(4)
    rule = FaultRule(route=MESSAGES, nth=(2,), headers=headers)
    async with serve(world, faults=[rule]) as emulator:
        store = LimitStore(engine, api_of(emulator.url))
        held = await run(emulator.url, store, channels)
        kept = await store.known()
        emulator.set_limits(emulator.engine.limiter.limits)  # as after a while
        again = await run(emulator.url, store, channels)

        assert emulator.counters.by_status.keys() == {200}
    assert held <= held_s
    assert kept == ()
    assert again == 0.0


async def test_rows_that_an_earlier_version_wrote_bind_nothing(engine):
    world, channels = world_of(2)
    async with serve(world) as emulator:
        for row in (LearnedLimit(MESSAGES, "", 5, 1e9), LearnedLimit(MESSAGES, "abc", 1, 1e9)):
            await LimitStore(engine).remember(row)
        store = LimitStore(engine, api_of(emulator.url))

        assert await run(emulator.url, store, channels) == 0.0
        assert RoutePolicies(await LimitMemory(store).recall()).get(MESSAGES).window_s == 5.0


async def test_what_is_learned_of_an_emulator_is_written_with_its_address(engine):
    world, channels = world_of(1)
    async with serve(world) as emulator:
        emulator.faults = FaultScript(FaultRule(route=MESSAGES, headers=claim(3, 2, 2)))
        store = LimitStore(engine, api_of(emulator.url))
        memory = LimitMemory(store)
        async with client_of(emulator.url) as (client, limiter):
            for _ in range(3):
                await client.history.fetch_after(channels[0], 0, 100)
            await memory.keep(limiter.learned())
        async with engine.connect() as connection:
            rows = (await connection.execute(text('SELECT api, "limit" FROM rate_limits'))).all()

        assert rows == [(emulator.url, 3)]
        assert await LimitStore(engine, "https://discord.com/api/v10").known() == ()
