"""A client's guards: each request is counted, the token goes nowhere else, no answer is endless."""

from __future__ import annotations

import asyncio

import pytest

from raysync.discord_api import transport
from raysync.discord_api.client import DiscordClient
from raysync.discord_api.people.pseudonyms import Pseudonymizer
from raysync.emulator import Action, FaultRule, GuildSpec, Limits, World, generate_guild, serve
from raysync.errors import (
    ConfigurationError,
    PermanentError,
    RaysyncError,
    RetryableError,
    RunStoppedError,
)
from raysync.models.channel_types import TEXT
from tests.emulator.adapter import KEY, OpenLimiter, before_emulator

PAGES = "GET /channels/{channel_id}/messages"


@pytest.fixture
def world():
    world = World(generate_guild(GuildSpec.tiny()))
    world.add_bot("token", permissions=8)
    return world


@pytest.mark.parametrize(
    "spell",
    [
        lambda url: url.replace("127.0.0.1", "LocalHost"),
        lambda url: url.replace("127.0.0.1", "localhost."),
        lambda url: url.replace("http://", "HTTP://"),
        lambda url: url.replace("/api/v10", "//api//v10/"),
        lambda url: url.replace("/api/v10", "/x/../api/%7610/"),
        lambda url: f" {url}/\n",
    ],
)
async def test_each_request_is_counted_however_the_address_is_spelled(world, spell):
    limiter = OpenLimiter()
    async with serve(world, limits=Limits.off()) as emulator:
        address = spell(emulator.url)
        async with DiscordClient("token", address, limiter, Pseudonymizer(KEY)) as client:
            (guild,) = world.guilds.values()
            await client.guilds.list_channels(guild.id)
            for channel in guild.channels.values():
                await client.history.fetch_after(channel.id, 0, 100)

        assert limiter.sent == sum(limiter.ended.values()) == emulator.counters.requests > 3


async def test_an_address_that_is_none_is_a_sentence():
    with pytest.raises(ConfigurationError) as caught:
        DiscordClient("token", "http://me:hunter2@h/api", OpenLimiter(), Pseudonymizer(KEY))

    assert str(caught.value).startswith("The address of Discord's API must not hold a user")


async def test_a_request_that_the_gate_does_not_know_is_not_sent(world, monkeypatch):
    """As if discord.py, whose base is a class's, were told of another by somebody else."""
    async with before_emulator(world) as setting, serve(world, limits=Limits.off()) as other:
        monkeypatch.setattr(transport.Route, "BASE", other.url)
        with pytest.raises(RunStoppedError, match="was not sent"):
            await setting.client.guilds.list_channels(setting.guild.id)

        assert other.counters.requests == 0


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("path", ["/users/@me$", "/messages$"])
async def test_a_redirect_is_not_followed(world, status, path):
    async with serve(world, limits=Limits.off()) as other:
        to = f"{other.url}/channels/1/messages?hush=1".replace("127.0.0.1", "LocalHost")
        rule = FaultRule(Action.REDIRECT, path=path, status=status, location=to)
        with pytest.raises(RaysyncError) as caught:
            async with before_emulator(world, faults=[rule]) as setting:
                await setting.client.history.fetch_after(setting.channel_of(TEXT).id, 0, 100)

        assert other.counters.requests == 0
    assert f"Discord answers {status} and sends us to localhost. Redirects are not" in str(
        caught.value
    )
    assert "hush" not in str(caught.value)
    is_passing = isinstance(caught.value, RetryableError)
    assert is_passing or isinstance(caught.value, PermanentError)
    assert is_passing == (status in (302, 303, 307))


@pytest.mark.parametrize(
    ("location", "told"),
    [
        ("/api/v10/elsewhere", " and sends us to 127.0.0.1."),
        ("//evil.example/x", " and sends us to evil.example."),
        ("https://token:hush@evil.example:8443/hush", " and sends us to evil.example."),
        ("javascript:hush", "302."),
        ("http://[hush", "302."),
        ("http://[]@/hush", "302."),
        ("http://" + "h" * 300 + "/", "302."),
        ("", "302."),
    ],
)
async def test_of_a_redirect_the_host_alone_is_told(world, location, told):
    rule = FaultRule(Action.REDIRECT, path="/messages$", location=location)
    async with before_emulator(world, faults=[rule]) as setting:
        with pytest.raises(RetryableError) as caught:
            await setting.client.history.fetch_after(setting.channel_of(TEXT).id, 0, 100)

        assert setting.emulator.counters.by_status[302] == 1
    assert f"{told} Redirects are not followed, for the token is for one host alone." in str(
        caught.value
    )
    assert "hush" not in str(caught.value)
    assert f"RAYSYNC_DISCORD_API_URL is {setting.emulator.url}." in str(caught.value)


@pytest.mark.parametrize("status", [200, 404])
async def test_an_answer_that_comes_drop_by_drop_ends_with_the_call(world, monkeypatch, status):
    drip = {"keep_bytes": 1, "delay_s": 0.05, "encodings": ()}
    rules = [FaultRule(Action.DRIP, path="/messages", **drip)]
    async with before_emulator(world, faults=rules) as setting:
        monkeypatch.setattr(transport, "_WHOLE_CALL_S", 0.4)
        channel_id = setting.channel_of(TEXT).id if status == 200 else 7
        began_s = asyncio.get_running_loop().time()
        with pytest.raises(RetryableError, match="no answer in time"):
            await setting.client.history.fetch_after(channel_id, 0, 100)

        assert asyncio.get_running_loop().time() - began_s < 5
        assert setting.limiter.ended[PAGES, status] == 1, "the limiter has heard of the answer"
        assert setting.limiter.under_way == 0


@pytest.mark.parametrize(
    "headers",
    [
        {"x-long": "x" * 20_000},
        {f"x-{n}": "x" for n in range(500)},
    ],
    ids=["one-long", "very-many"],
)
async def test_headers_are_read_up_to_a_size(world, headers):
    rules = [FaultRule(path="/messages$", headers=headers, nth=(1,))]
    async with before_emulator(world, faults=rules) as setting:
        channel_id = setting.channel_of(TEXT).id
        with pytest.raises(RetryableError, match="the answer could not be read"):
            await setting.client.history.fetch_after(channel_id, 0, 100)

        assert setting.limiter.under_way == 0
        assert await setting.client.history.fetch_after(channel_id, 0, 100)
