"""A token's limits in real time: used fully by two workers, and learned once where masked."""

import asyncio
import time
from contextlib import asynccontextmanager

import pytest

from raysync.clock import SystemClock
from raysync.discord_api.client import DiscordClient
from raysync.discord_api.people.pseudonyms import Pseudonymizer
from raysync.emulator import GuildSpec, Latency, Limits, World, generate_guild, serve
from raysync.emulator.limits import Headers, RouteLimit
from raysync.models.permits import Sharer
from raysync.ratelimit.governor import Governor
from raysync.ratelimit.limiter import WorkerLimiter
from raysync.ratelimit.permits import PermitPool
from raysync.store.connection.engine import open_engine
from raysync.store.limits.learned import LimitStore
from raysync.worker.limit_memory import LimitMemory

pytestmark = pytest.mark.alone

PER_SECOND = 48.0
READING_S = 5.0
FULL = 46.0
ROUNDS = 3
"""A machine busy with other things may be too slow, not too quick: the best round counts."""
QUIET_S = 10.0
"""The governor began so long ago that it need not be quiet at first."""


async def test_two_workers_use_a_token_fully_and_are_never_refused():
    world = World(generate_guild(GuildSpec.uniform(60, 2_000)))
    world.add_bot("token")
    (guild,) = world.guilds.values()
    channels = [each.id for each in guild.channels.values() if each.log.ids]
    best = 0.0
    for _ in range(ROUNDS):
        async with serve(world, latency=Latency(0.02, 0.015, seed=1)) as emulator:
            governor = Governor(SystemClock().monotonic_s() - QUIET_S)
            await asyncio.gather(
                read(emulator.url, governor, "one", channels[:30]),
                read(emulator.url, governor, "two", channels[30:]),
            )

            assert emulator.counters.by_status.keys() == {200}
            best = max(best, steady_rate(emulator.log.entries))
        if best >= FULL:
            break

    assert best >= FULL


def steady_rate(entries):
    """Return the answers per second from the first page on, for as long as all channels read."""
    times_s = sorted(each.at_s for each in entries if each.route.endswith("/messages"))
    within = [each for each in times_s if each <= times_s[0] + READING_S]
    return len(within) / READING_S


async def read(url, governor, worker, channel_ids):
    """Read channels side by side for a while."""
    clock = SystemClock()

    async def lease(want):
        return governor.lease("token", Sharer("run", worker), want, PER_SECOND, clock.monotonic_s())

    async def report(status, scope, retry_after_s):
        governor.observe("token", status, scope, retry_after_s, clock.monotonic_s())

    pool = PermitPool(lease, clock)
    limiter = WorkerLimiter(pool, clock, report)
    async with DiscordClient("token", url, limiter, Pseudonymizer(b"k" * 32)) as client:
        await asyncio.gather(*(read_channel(client, each) for each in channel_ids))
    await limiter.close()
    await pool.close()


async def read_channel(client, channel_id):
    """Ask for page after page until the time is over."""
    after, end_s = 0, time.monotonic() + READING_S
    while time.monotonic() < end_s:
        async with asyncio.timeout_at(asyncio.get_running_loop().time() + 30):
            page = await client.history.fetch_after(channel_id, after, 100)
        after = max(each.id for each in page)


async def test_a_masked_limit_is_learned_once_and_the_next_run_is_not_refused(database_url):
    """The limit is tighter than anybody observed, and no header tells before a refusal."""
    world = World(generate_guild(GuildSpec.uniform(1, 1_000)))
    world.add_bot("token")
    (guild,) = world.guilds.values()
    (channel,) = (each for each in guild.channels.values() if each.log.ids)
    routes = {"GET /channels/{channel_id}/messages": RouteLimit(3, 3.0)}
    engine = open_engine(database_url, pool_size=1, application_name="tests")
    refused = []
    for _ in range(2):
        limits = Limits(headers=Headers.MASKED, routes=routes)
        async with serve(world, limits=limits) as emulator:
            await read_pages(emulator.url, LimitMemory(LimitStore(engine)), channel.id, 5)
            refused.append(emulator.counters.by_status[429])
    await engine.dispose()

    assert refused[0] > 0
    assert refused[1] == 0


async def test_a_search_for_threads_is_not_refused_though_no_header_tells_its_limit():
    spec = GuildSpec(
        text_channels=0,
        announcement_channels=1,
        announcement_messages=100,
        announcement_threads=60,
        archived=1.0,
    )
    world = World(generate_guild(spec))
    world.add_bot("token")
    (guild,) = world.guilds.values()
    async with serve(world, limits=Limits(headers=Headers.MASKED)) as emulator:
        async with client_of(emulator.url) as (client, _):
            (parent,) = (
                each for each in await client.guilds.list_channels(guild.id) if each.type == 5
            )
            found = [each.id async for each in client.guilds.search_archived_threads(parent)]

        assert set(found) == set(guild.threads)
        asked = [each for each in emulator.log.entries if each.route.endswith("/threads/search")]
        assert len(asked) > 1
        assert emulator.counters.by_status.keys() == {200}


async def read_pages(url, memory, channel_id, count):
    """Read some pages of a channel as one run does, with what is known from earlier ones."""
    async with client_of(url, await memory.recall()) as (client, limiter):
        after = 0
        for _ in range(count):
            page = await client.history.fetch_after(channel_id, after, 100)
            after = max(each.id for each in page)
        await memory.keep(limiter.learned())


@asynccontextmanager
async def client_of(url, known=()):
    """A run's only client, and its limiter."""
    clock, governor = SystemClock(), Governor(SystemClock().monotonic_s() - QUIET_S)

    async def lease(want):
        return governor.lease(
            "token", Sharer("run", "worker"), want, PER_SECOND, clock.monotonic_s()
        )

    pool = PermitPool(lease, clock)
    limiter = WorkerLimiter(pool, clock, known=known)
    async with DiscordClient("token", url, limiter, Pseudonymizer(b"k" * 32)) as client:
        yield client, limiter
    await limiter.close()
    await pool.close()
