"""Every route's answers against Discord's own schema."""

import aiohttp
import pytest

from raysync.emulator import GuildSpec, Limits, World, generate_guild, serve
from tests.emulator.openapi import errors_of

pytestmark = pytest.mark.emulator

MESSAGES = "/channels/{channel_id}/messages"
VOTERS = "/channels/{channel_id}/polls/{message_id}/answers/{answer_id}"


@pytest.fixture(scope="module")
def lively_guild():
    return generate_guild(GuildSpec.lively(4_000), 7)


@pytest.fixture
async def emulator(lively_guild):
    world = World(lively_guild)
    world.add_bot("token", permissions=8)
    async with serve(world, limits=Limits.off()) as emulator:
        yield emulator


@pytest.fixture
async def get(emulator):
    headers = {"Authorization": "Bot token"}
    async with aiohttp.ClientSession(headers=headers) as session:

        async def fetch(path, **query):
            async with session.get(emulator.url + path, params=query) as response:
                return await response.json()

        yield fetch


def paths_of(guild, world):
    """Return, for every route without a sample of its own, a path to ask."""
    bot = world.bots["token"]
    forum = next(each for each in guild.channels.values() if each.type == 15)
    text = next(each for each in guild.channels.values() if each.type == 0)
    thread = next(iter(guild.threads.values()))
    message_id, key = reacted(text)
    return {
        "/users/@me": "/users/@me",
        "/users/{user_id}": f"/users/{guild.owner_id}",
        "/users/@me/guilds": "/users/@me/guilds",
        "/oauth2/applications/@me": "/oauth2/applications/@me",
        "/applications/@me": "/applications/@me",
        "/gateway/bot": "/gateway/bot",
        "/guilds/{guild_id}": f"/guilds/{guild.id}?with_counts=true",
        "/guilds/{guild_id}/channels": f"/guilds/{guild.id}/channels",
        "/guilds/{guild_id}/roles": f"/guilds/{guild.id}/roles",
        "/guilds/{guild_id}/emojis": f"/guilds/{guild.id}/emojis",
        "/guilds/{guild_id}/members": f"/guilds/{guild.id}/members?limit=20",
        "/guilds/{guild_id}/members/{user_id}": f"/guilds/{guild.id}/members/{bot.user.id}",
        "/guilds/{guild_id}/threads/active": f"/guilds/{guild.id}/threads/active",
        "/channels/{channel_id}": f"/channels/{thread.id}",
        "/channels/{channel_id}/threads/archived/public": (
            f"/channels/{forum.id}/threads/archived/public"
        ),
        "/channels/{channel_id}/threads/archived/private": (
            f"/channels/{text.id}/threads/archived/private"
        ),
        "/channels/{channel_id}/users/@me/threads/archived/private": (
            f"/channels/{text.id}/users/@me/threads/archived/private"
        ),
        "/channels/{channel_id}/threads/search": (
            f"/channels/{forum.id}/threads/search?limit=5&sort_by=creation_time"
        ),
        MESSAGES + "/{message_id}": f"/channels/{text.id}/messages/{message_id}",
        MESSAGES + "/{message_id}/reactions/{emoji_name}": (
            f"/channels/{text.id}/messages/{message_id}/reactions/{key}"
        ),
        MESSAGES + "/pins": f"/channels/{text.id}/messages/pins?limit=3",
        "/channels/{channel_id}/pins": f"/channels/{text.id}/pins",
    }


async def test_voters_are_as_many_as_the_poll_counts(emulator, get, lively_guild):
    channel_id, message = next(
        each for each in emulator.world.truth(lively_guild.id) if "poll" in each[1]
    )
    for entry in message["poll"]["results"]["answer_counts"]:
        answer = await get(f"/channels/{channel_id}/polls/{message['id']}/answers/{entry['id']}")

        assert (
            errors_of("/channels/{channel_id}/polls/{message_id}/answers/{answer_id}", answer) == []
        )
        assert len(answer["users"]) == entry["count"]


def reacted(channel):
    """Return a message with a reaction, and the emoji as a path names it."""
    for message_id in channel.log.ids:
        for reaction in channel.log.payload(message_id).get("reactions", ()):
            if reaction["emoji"]["id"] is None:
                return message_id, reaction["emoji"]["name"]
    raise LookupError("no reaction in the channel")


async def test_every_route_answers_as_the_schema_says(emulator, get, lively_guild):
    wrong = {}
    for template, path in paths_of(lively_guild, emulator.world).items():
        errors = errors_of(template, await get(path))
        if errors:
            wrong[path] = errors[:3]

    assert wrong == {}


async def test_one_message_of_every_shape_is_as_the_schema_says(emulator, get, lively_guild):
    samples = {}
    for channel_id, message in emulator.world.truth(lively_guild.id):
        shape = (message["type"], *sorted(key for key in message if message[key]))
        samples.setdefault(shape, (channel_id, message["id"]))
    rare = list(samples.values())[:60]
    page = [await get(f"/channels/{channel}/messages/{message}") for channel, message in rare]

    assert errors_of(MESSAGES, page) == []


async def test_errors_are_in_the_documented_shape(emulator, get, lively_guild):
    channel_id = next(each.id for each in lively_guild.channels.values() if each.type == 0)
    too_many = await get(f"/channels/{channel_id}/messages?limit=101")

    assert too_many == {
        "message": "Invalid Form Body",
        "code": 50035,
        "errors": {
            "limit": {
                "_errors": [
                    {
                        "code": "NUMBER_TYPE_MAX",
                        "message": "int value should be less than or equal to 100.",
                    }
                ]
            }
        },
    }
    assert await get("/channels/1/messages") == {"message": "Unknown Channel", "code": 10003}
    assert await get("/guilds/1") == {"message": "Unknown Guild", "code": 10004}
    assert await get("/nowhere") == {"message": "404: Not Found", "code": 0}
