"""The real discord.py against the emulator."""

import discord
import pytest

from raysync.emulator import GuildSpec, Limits, World, generate_guild, serve

pytestmark = pytest.mark.emulator


@pytest.fixture
async def emulator():
    world = World(generate_guild(GuildSpec.tiny()))
    world.add_bot("token")
    async with serve(world, limits=Limits.off()) as emulator:
        yield emulator


@pytest.fixture
async def client(emulator, monkeypatch):
    monkeypatch.setattr(discord.http.Route, "BASE", emulator.url)
    client = discord.Client(intents=discord.Intents.none(), max_messages=None)
    async with client:
        await client.login("token")
        yield client


async def test_login_asks_two_routes(emulator, client):
    asked = [entry.route for entry in emulator.log.entries]

    assert asked == ["GET /users/@me", "GET /oauth2/applications/@me"]


async def test_history_pages_bring_every_message_once(emulator, client):
    (guild_id,) = emulator.world.guilds
    channels = await client.http.get_all_guild_channels(guild_id)
    seen = []
    for channel in channels:
        before = None
        while page := await client.http.logs_from(int(channel["id"]), 100, before=before):
            seen += [(int(channel["id"]), message) for message in page]
            before = min(int(message["id"]) for message in page)
    truth = list(emulator.world.truth(guild_id))

    assert sorted(seen, key=str) == sorted(truth, key=str)
