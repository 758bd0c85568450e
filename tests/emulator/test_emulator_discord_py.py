"""The real discord.py against the emulator."""

import re

import discord
import orjson
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

    assert sorted(map(unsigned, seen)) == sorted(map(unsigned, truth))


def unsigned(channel_and_message):
    """Return a message as text, its CDN addresses without their signatures."""
    text = orjson.dumps(channel_and_message).decode()
    return re.sub(r"\?ex=[0-9a-f]+&is=[0-9a-f]+&hm=[0-9a-f]+&", "", text)


@pytest.fixture
async def lively(monkeypatch):
    world = World(generate_guild(GuildSpec.lively(3_000), 5))
    world.add_bot("token", permissions=8)
    async with serve(world, limits=Limits.off()) as emulator:
        monkeypatch.setattr(discord.http.Route, "BASE", emulator.url)
        client = discord.Client(intents=discord.Intents.none(), max_messages=None)
        async with client:
            await client.login("token")
            yield world, client.http


async def test_active_and_archived_lists_bring_every_thread(lively):
    world, http = lively
    (guild,) = world.guilds.values()
    active = await http.get_active_threads(guild.id)
    found = {int(each["id"]) for each in active["threads"]}
    for channel in guild.channels.values():
        if channel.type in (0, 5, 15, 16):
            found |= await archived(http.get_public_archived_threads, channel.id)
            found |= await archived(http.get_private_archived_threads, channel.id)

    assert found == set(guild.threads)


async def archived(fetch, channel_id):
    """Page through a list of archived threads by the smallest page."""
    found, before = set(), None
    while True:
        answer = await fetch(channel_id, before=before, limit=2)
        found |= {int(each["id"]) for each in answer["threads"]}
        if not answer["has_more"]:
            return found
        before = answer["threads"][-1]["thread_metadata"]["archive_timestamp"]


async def test_reactors_are_as_many_as_the_message_counts(lively):
    world, http = lively
    (guild,) = world.guilds.values()
    reacted = [
        (channel_id, message, reaction)
        for channel_id, message in world.truth(guild.id)
        for reaction in message.get("reactions", ())
    ]
    custom = [each for each in reacted if each[2]["emoji"]["id"]]
    burst = [each for each in reacted if each[2]["count_details"]["burst"]]
    many = [each for each in reacted if each[2]["count"] > 100]
    for channel_id, message, reaction in reacted[:10] + custom[:5] + burst[:5] + many[:2]:
        for kind, name in enumerate(("normal", "burst")):
            ids = await reactors(http, channel_id, message, reaction, kind)

            assert ids == sorted(set(ids))
            assert len(ids) == reaction["count_details"][name]


async def reactors(http, channel_id, message, reaction, kind):
    """Page through who reacted."""
    emoji = reaction["emoji"]
    name = f"{emoji['name']}:{emoji['id']}" if emoji["id"] else emoji["name"]
    ids, after = [], None
    while True:
        page = await http.get_reaction_users(
            channel_id, message["id"], name, 100, after=after, type=kind
        )
        ids += [int(user["id"]) for user in page]
        if len(page) < 100:
            return ids
        after = ids[-1]


async def test_pins_come_latest_first(lively):
    world, http = lively
    channel = max(world.channels.values(), key=lambda each: len(each.log.pins))
    answer = await http.pins_from(channel.id, limit=50)
    pinned = [int(item["message"]["id"]) for item in answer["items"]]

    assert set(pinned) == set(channel.log.pins)
    assert pinned == sorted(pinned, reverse=True)
    assert all(item["message"]["pinned"] for item in answer["items"])


async def test_typed_helpers_read_the_guild(lively):
    world, http = lively
    (guild,) = world.guilds.values()
    bot = world.bots["token"]
    member = await http.get_member(guild.id, bot.user.id)
    whole = await http.get_guild(guild.id)

    assert member["roles"] == [str(each) for each in guild.members[bot.user.id].role_ids]
    assert len(await http.get_roles(guild.id)) == len(guild.roles) == len(whole["roles"])
    assert (await http.get_message(*first_message(guild)))["content"]


def first_message(guild):
    """Return ids of some message."""
    channel = next(each for each in guild.channels.values() if each.type == 0)
    return channel.id, channel.log.ids[0]
