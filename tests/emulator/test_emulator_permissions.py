"""Who gets what, from 401 to an empty page."""

import orjson
import pytest

from raysync.emulator import Edits, GuildSpec, Limits, World, generate_guild
from raysync.emulator.api.quirks import Quirks
from raysync.emulator.api.requests import Incoming
from raysync.emulator.serving.engine import Engine
from raysync.emulator.world.permissions import Permission, channel_permissions

pytestmark = pytest.mark.unit

VIEW, HISTORY = Permission.VIEW_CHANNEL, Permission.READ_MESSAGE_HISTORY
CONNECT, MANAGE = Permission.CONNECT, Permission.MANAGE_THREADS
SPEC = GuildSpec(
    text_channels=2,
    voice_channels=1,
    voice_messages=50,
    stage_channels=1,
    stage_messages=50,
    text_messages=400,
    private_threads=4,
    threads=4,
    users=20,
)


@pytest.fixture
def world():
    guild = generate_guild(SPEC)
    guild.roles[guild.id].permissions = 0
    return World(guild)


def ask(world, path, token="token", **quirks):
    """Return status and answer of a GET."""
    engine = Engine(world, Limits.off(), Quirks(**quirks))
    path, _, query = path.partition("?")
    incoming = Incoming("GET", path, query, "", f"Bot {token}", "")
    reply = engine.answer(incoming, engine.find(incoming)).reply
    return reply.status, orjson.loads(reply.body)


def page(world, kind, **quirks):
    """Return status and a word on what a page of the first channel of a kind holds."""
    channel = next(each for each in world.channels.values() if each.type == kind)
    status, answer = ask(world, f"/channels/{channel.id}/messages", **quirks)
    return status, answer["code"] if status != 200 else "messages" if answer else "nothing"


@pytest.mark.parametrize(
    ("permissions", "kind", "expected"),
    [
        pytest.param(VIEW | HISTORY, 0, (200, "messages"), id="text-with-both"),
        pytest.param(VIEW, 0, (200, "nothing"), id="text-without-history-is-empty"),
        pytest.param(HISTORY, 0, (403, 50001), id="text-without-view-is-forbidden"),
        pytest.param(VIEW | HISTORY, 2, (403, 50001), id="voice-needs-connect"),
        pytest.param(VIEW | HISTORY | CONNECT, 2, (200, "messages"), id="voice-with-connect"),
        pytest.param(VIEW | HISTORY | CONNECT, 13, (200, "messages"), id="stage-with-connect"),
        pytest.param(VIEW | HISTORY, 13, (403, 50001), id="stage-needs-connect"),
        pytest.param(VIEW | HISTORY, 11, (200, "messages"), id="a-thread-answers-for-its-parent"),
        pytest.param(VIEW | HISTORY, 12, (403, 50001), id="private-threads-are-closed"),
        pytest.param(VIEW | HISTORY | MANAGE, 12, (200, "messages"), id="manage-threads-opens"),
        pytest.param(VIEW | HISTORY, 4, (200, "nothing"), id="a-category-is-empty"),
        pytest.param(Permission.ADMINISTRATOR, 12, (200, "messages"), id="administrators-see-all"),
    ],
)
def test_a_page_is_what_the_permissions_allow(world, permissions, kind, expected):
    world.add_bot("token", permissions=permissions)

    assert page(world, kind) == expected


def test_membership_opens_a_private_thread(world):
    bot = world.add_bot("token", permissions=VIEW | HISTORY)
    for thread in world.channels.values():
        if thread.type == 12:
            Edits(world).join_thread(thread.id, bot.user.id)

    assert page(world, 12) == (200, "messages")


def test_overwrites_go_everyone_then_roles_then_member(world):
    bot = world.add_bot("token", permissions=VIEW | HISTORY)
    (guild,) = world.guilds.values()
    channel = next(each for each in guild.channels.values() if each.type == 0)
    (role_id,) = guild.members[bot.user.id].role_ids
    edits, seen = Edits(world), []
    for target, kind, allow, deny in (
        (guild.id, 0, 0, VIEW),
        (role_id, 0, VIEW, 0),
        (bot.user.id, 1, 0, VIEW),
    ):
        edits.set_overwrite(channel.id, target, kind, allow=allow, deny=deny)
        seen.append(bool(channel_permissions(guild, channel, bot.user.id) & VIEW))

    assert seen == [False, True, False]


def test_a_voice_channel_is_told_of_without_connect(world):
    world.add_bot("token", permissions=VIEW | HISTORY)
    channel_id = next(each.id for each in world.channels.values() if each.type == 2)

    assert ask(world, f"/channels/{channel_id}")[0] == 200
    assert ask(world, f"/channels/{channel_id}/messages")[0] == 403


def test_the_owner_sees_all(world):
    bot = world.add_bot("token", permissions=0)
    (guild,) = world.guilds.values()
    guild.owner_id = bot.user.id

    assert page(world, 12) == (200, "messages")


def test_a_wrong_token_is_told_before_anything_else(world):
    world.add_bot("token")

    assert ask(world, "/nowhere", "wrong") == (401, {"message": "401: Unauthorized", "code": 0})
    assert ask(world, "/channels/abc", "wrong")[0] == 401


def test_a_foreign_guild_is_unknown_or_forbidden_by_choice(world):
    (guild_id,) = world.guilds
    world.add_bot("token", guild_ids=[])

    assert ask(world, f"/guilds/{guild_id}")[1]["code"] == 10004
    assert ask(world, f"/guilds/{guild_id}", forbid_foreign_guild=True)[1]["code"] == 50001


def test_archived_private_threads_need_manage_threads_and_the_joined_ones_do_not(world):
    world.add_bot("token", permissions=VIEW | HISTORY)
    channel_id = next(each.id for each in world.channels.values() if each.type == 0)

    assert ask(world, f"/channels/{channel_id}/threads/archived/private")[1]["code"] == 50013
    assert ask(world, f"/channels/{channel_id}/users/@me/threads/archived/private")[0] == 200


def test_all_channels_are_listed_also_hidden_ones(world):
    world.add_bot("token", permissions=0)
    (guild,) = world.guilds.values()
    status, listed = ask(world, f"/guilds/{guild.id}/channels")

    assert (status, len(listed)) == (200, len(guild.channels))


def test_without_the_content_intent_messages_say_nothing(world):
    bot = world.add_bot("token", permissions=VIEW | HISTORY, content_intent=False)
    channel_id = next(each.id for each in world.channels.values() if each.type == 0)
    edits = Edits(world)
    own = {"author": {"id": str(bot.user.id), "username": "archivist"}}
    naming = {"mentions": [{"id": str(bot.user.id), "username": "archivist"}]}
    edits.post_message(channel_id, "stripped")
    edits.post_message(channel_id, "own", fields=own)
    edits.post_message(channel_id, "mentioned", fields=naming)
    _, answer = ask(world, f"/channels/{channel_id}/messages?limit=3")

    assert [each["content"] for each in answer] == ["mentioned", "own", ""]
    edits.set_content_intent("token", True)
    _, answer = ask(world, f"/channels/{channel_id}/messages?limit=3")
    assert [each["content"] for each in answer] == ["mentioned", "own", "stripped"]
    assert ask(world, "/oauth2/applications/@me")[1]["flags"] & 1 << 19


def test_guilds_and_tokens_of_one_world_are_apart():
    first, second = generate_guild(SPEC, 1), generate_guild(SPEC, 2)
    world = World(first, second)
    world.add_bot("one", [first.id])
    world.add_bot("both", [first.id, second.id])
    channel_id = next(each.id for each in second.channels.values() if each.type == 0)

    assert len(world.channels) == len(first.every_channel()) + len(second.every_channel())
    assert ask(world, f"/channels/{channel_id}", "one")[1]["code"] == 50001
    assert ask(world, f"/channels/{channel_id}", "both")[0] == 200
    assert [each["id"] for each in ask(world, "/users/@me/guilds", "one")[1]] == [str(first.id)]
    with pytest.raises(ValueError, match="already"):
        world.add_guild(generate_guild(SPEC, 2))
