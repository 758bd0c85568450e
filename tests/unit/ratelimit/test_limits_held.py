"""Limiters against models of Discord: never refused, and not slower than need be."""

import asyncio
import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raysync.emulator.limits import Form
from raysync.models.permits import Demand
from raysync.ratelimit.policies import PolicySource, RoutePolicy
from tests.unit.ratelimit.discord_model import (
    MESSAGES,
    GovernorAway,
    ModelDiscord,
    Network,
    read_channel,
)
from tests.virtual_time import run_virtual

OPENING_S = 2.0
"""A governor's quiet start, with what a first lease takes."""


async def read_all(discord, governor, workers, channels, until_s):
    """Read *channels* channels in each of *workers* workers; the pages of each worker."""
    limiters = [governor.limiter(f"worker-{n}") for n in range(workers)]
    readings = [
        [
            read_channel(each, discord, governor.network, f"{n}-{channel}", until_s)
            for channel in range(channels)
        ]
        for n, each in enumerate(limiters)
    ]
    pages = await asyncio.gather(*(asyncio.gather(*each) for each in readings))
    for each in limiters:
        await each.close()
    return [sum(each) for each in pages]


@settings(max_examples=20, deadline=None)
@given(
    form=st.sampled_from(Form),
    workers=st.integers(1, 10),
    seed=st.integers(0, 1_000_000),
    jitter_s=st.floats(0.0, 0.03),
    lease_s=st.floats(0.0, 0.05),
    lag_s=st.floats(0.0, 0.2),
)
def test_no_request_is_refused_whatever_the_server_the_workers_and_the_network(
    form, workers, seed, jitter_s, lease_s, lag_s
):
    network = Network(random.Random(seed), jitter_s=jitter_s, lease_s=lease_s, lag_s=lag_s)
    discord, governor = ModelDiscord(form), GovernorAway(network)
    run_virtual(read_all(discord, governor, workers, 60 // workers, 8.0))

    assert not discord.refused
    assert discord.answered_s


@pytest.mark.parametrize("workers", [1, 2, 4, 10])
@pytest.mark.parametrize("stall_s", [0.05, 0.1])
@pytest.mark.parametrize("stall_every_s", [0.9, 1.7])
def test_requests_that_arrive_late_and_all_at_once_draw_no_refusal(workers, stall_s, stall_every_s):
    network = Network(jitter_s=0.02, back_s=0.02, stall_s=stall_s, stall_every_s=stall_every_s)
    discord, governor = ModelDiscord(), GovernorAway(network)
    run_virtual(read_all(discord, governor, workers, 60 // workers, 12.0))

    assert not discord.refused
    assert discord.rate(OPENING_S, 12.0) >= 0.9 * 48


@pytest.mark.parametrize("workers", [1, 2, 10])
def test_the_token_is_used_fully(workers):
    discord, governor = ModelDiscord(), GovernorAway(Network())
    run_virtual(read_all(discord, governor, workers, 100 // workers, 20.0))

    assert discord.rate(OPENING_S, 20.0) >= 0.97 * 48


@pytest.mark.parametrize("form", Form)
def test_one_channel_is_read_as_fast_as_its_bucket_allows(form):
    network = Network(least_s=0.02, jitter_s=0.01, back_s=0.02)
    discord, governor = ModelDiscord(form), GovernorAway(network)
    (pages,) = run_virtual(read_all(discord, governor, 1, 1, OPENING_S + 60.0))

    assert not discord.refused
    assert pages >= 0.97 * 60


@settings(max_examples=20, deadline=None)
@given(
    form=st.sampled_from(Form),
    limit=st.integers(1, 8),
    window_s=st.sampled_from([0.25, 1.0, 1.5, 5.0, 10.0]),
    seed=st.integers(0, 1_000_000),
    latency_s=st.floats(0.0, 0.3),
    jitter_s=st.floats(0.0, 0.03),
    abreast=st.integers(1, 3),
)
def test_no_bucket_refuses_whatever_its_form_and_however_late_answers_come(
    form, limit, window_s, seed, latency_s, jitter_s, abreast
):
    async def scene():
        dice = random.Random(seed)
        network = Network(dice, least_s=latency_s, jitter_s=jitter_s, back_s=jitter_s)
        discord = ModelDiscord(form, limit=limit, window_s=window_s)
        governor = GovernorAway(network)
        route = RoutePolicy("GET /channels/{channel_id}/new", limit, 10.0, PolicySource.PRIOR)
        limiter = governor.limiter("worker", known=[route])
        readings = [
            read_channel(limiter, discord, network, str(n // abreast), 40.0, route.route)
            for n in range(3 * abreast)
        ]
        await asyncio.gather(*readings)
        await limiter.close()
        return discord

    discord = run_virtual(scene())

    assert not discord.refused
    assert discord.answered_s


def test_a_leaky_channel_of_sixty_pages_takes_fifty_five_seconds():
    async def scene():
        network = Network()
        discord, governor = ModelDiscord(Form.SLIDING), GovernorAway(network)
        limiter = governor.limiter("worker")
        reading = asyncio.create_task(read_channel(limiter, discord, network, "1", math.inf))
        while len(discord.answered_s) < 60:
            await asyncio.sleep(0.01)
        reading.cancel()
        await limiter.close()
        return discord

    discord = run_virtual(scene())

    assert not discord.refused
    assert 55 <= discord.answered_s[-1] - discord.answered_s[0] <= 1.03 * 55


def test_a_leaky_channel_that_changes_workers_takes_its_level_along():
    async def scene(seed):
        dice = random.Random(seed)
        network = Network(dice)
        discord, governor = ModelDiscord(Form.SLIDING), GovernorAway(network)
        limiters = [governor.limiter(f"worker-{n}") for n in range(3)]
        while asyncio.get_running_loop().time() < 120:
            limiter = dice.choice(limiters)
            until_s = asyncio.get_running_loop().time() + dice.random() * 3
            await read_channel(limiter, discord, network, "1", until_s)
            ages_s = limiter.bucket(MESSAGES, "1").ages_s()
            pause_s = dice.choice([0.0, 0.3, 4.0])
            await asyncio.sleep(pause_s)
            for each in limiters:
                each.bucket(MESSAGES, "1").restore([age_s + pause_s for age_s in ages_s])
        for each in limiters:
            await each.close()
        return discord

    for seed in range(5):
        discord = run_virtual(scene(seed))

        assert not discord.refused
        assert len(discord.answered_s) >= 80


@pytest.mark.parametrize(("lag_s", "share"), [(0.02, 0.97), (0.1, 0.92), (0.3, 0.8)])
def test_a_busy_machine_costs_little_speed_and_no_refusal(lag_s, share):
    discord, governor = ModelDiscord(), GovernorAway(Network(lag_s=lag_s))
    run_virtual(read_all(discord, governor, 10, 10, 20.0))

    assert not discord.refused
    assert discord.rate(OPENING_S, 20.0) >= share * 48


def test_workers_share_a_token_evenly():
    discord, governor = ModelDiscord(), GovernorAway(Network())
    pages = run_virtual(read_all(discord, governor, 10, 10, 20.0))

    assert max(pages) <= 1.1 * min(pages)


def test_a_worker_that_needs_little_leaves_the_rest_to_others():
    async def scene():
        discord, governor = ModelDiscord(), GovernorAway(Network())
        modest, hungry = governor.limiter("modest"), governor.limiter("hungry")
        readings = [read_channel(modest, discord, governor.network, "m", 20.0)] + [
            read_channel(hungry, discord, governor.network, str(n), 20.0) for n in range(80)
        ]
        pages = await asyncio.gather(*readings)
        await modest.close()
        await hungry.close()
        return discord.rate(OPENING_S, 20.0), pages[0]

    rate, modest_pages = run_virtual(scene())

    assert rate >= 0.97 * 48
    assert modest_pages >= 0.9 * 18.5


def test_a_dead_workers_leases_cost_others_no_more_than_itself():
    async def scene():
        discord, governor = ModelDiscord(), GovernorAway(Network())
        forgotten = governor.lease_for("dead")
        for _ in range(20):
            await forgotten(Demand(8))
        limiter = governor.limiter("alive")
        began_s = asyncio.get_running_loop().time()
        request = await limiter.enter("GET /users/@me", None)
        waited_s = asyncio.get_running_loop().time() - began_s
        request.finish(200, {})
        reading = [
            read_channel(limiter, discord, governor.network, str(n), 12.0) for n in range(80)
        ]
        await asyncio.gather(*reading)
        await limiter.close()
        return waited_s, discord.rate(3.0, 12.0)

    waited_s, rate = run_virtual(scene())

    assert waited_s < OPENING_S + 0.5
    assert rate >= 0.97 * 48


def test_a_restarted_governor_does_not_add_to_what_the_last_one_granted():
    async def scene():
        network = Network()
        discord, first = ModelDiscord(), GovernorAway(network)
        limiters = [first.limiter(f"worker-{n}") for n in range(5)]
        readings = [
            read_channel(each, discord, network, f"{n}-{channel}", 12.0)
            for n, each in enumerate(limiters)
            for channel in range(16)
        ]
        reading = asyncio.gather(*readings)
        for _ in range(3):
            await asyncio.sleep(2.5)
            first.governor = GovernorAway(network).governor
        await reading
        for each in limiters:
            await each.close()
        return discord

    discord = run_virtual(scene())

    assert not discord.refused
    assert discord.rate(0, 12.0) > 15


def test_masked_headers_do_not_loosen_what_is_known():
    discord, governor = ModelDiscord(Form.SLIDING, masked=True), GovernorAway(Network())
    run_virtual(read_all(discord, governor, 2, 10, 15.0))

    assert not discord.refused


def test_an_unknown_limit_is_learned_from_one_refusal_a_channel():
    async def scene():
        network = Network()
        discord, governor = ModelDiscord(Form.SLIDING, masked=True), GovernorAway(network)
        limiter = governor.limiter("worker")
        readings = [
            read_channel(limiter, discord, network, str(n), 30.0, "GET /channels/{channel_id}/new")
            for n in range(10)
        ]
        await asyncio.gather(*readings)
        await limiter.close()
        return discord, limiter.learned()

    discord, (learned,) = run_virtual(scene())

    assert discord.refused["user"] <= 10
    assert (learned.limit, learned.route) == (5, "GET /channels/{channel_id}/new")
    assert 4.0 <= learned.window_s <= 5.0


def test_what_an_earlier_run_learned_spares_its_refusals():
    async def scene(known):
        network = Network()
        discord, governor = ModelDiscord(Form.SLIDING, masked=True), GovernorAway(network)
        limiter = governor.limiter("worker", known=known)
        await read_channel(limiter, discord, network, "1", 15.0, "GET /channels/{channel_id}/new")
        await limiter.close()
        return discord, limiter.learned()

    first, learned = run_virtual(scene(()))
    second, _ = run_virtual(scene(learned))

    assert first.refused["user"]
    assert not second.refused


def test_honest_headers_teach_an_unknown_limit_without_refusals():
    async def scene():
        network = Network()
        discord, governor = ModelDiscord(Form.FIXED), GovernorAway(network)
        limiter = governor.limiter("worker")
        await read_channel(limiter, discord, network, "1", 30.0, "GET /channels/{channel_id}/new")
        await limiter.close()
        return discord

    assert not run_virtual(scene()).refused
