"""The adapter over the real discord.py, before the emulator."""

import asyncio

import orjson
import pytest

from raysync.discord_api.client import DiscordClient
from raysync.discord_api.people.pseudonyms import FullIdentity, Pseudonymizer
from raysync.emulator import GuildSpec, Limits, Quirks, World, generate_guild
from raysync.errors import (
    GuildUnavailableError,
    NotFoundError,
    SearchIndexError,
    TokenRejectedError,
)
from raysync.models.channel_types import CATEGORY, FORUM, TEXT
from tests.emulator.adapter import KEY, OpenLimiter, before_emulator


@pytest.fixture
def world():
    world = World(generate_guild(GuildSpec.lively(3_000), 5))
    world.add_bot("token", permissions=8)
    return world


async def every_message(setting, channel_id):
    """Read a channel upwards, page by page."""
    found, after = [], 0
    while page := await setting.client.history.fetch_after(channel_id, after, 100):
        found += page
        after = max(each.id for each in page)
    return found


async def every_thread(setting):
    active = await setting.client.guilds.list_active_threads(setting.guild.id)
    found = {each.id: each for each in active}
    for parent in await setting.client.guilds.list_channels(setting.guild.id):
        if parent.type in (0, 5, 15, 16):
            for private in (False, True):
                async for each in setting.client.guilds.list_archived_threads(
                    parent, private=private
                ):
                    assert each.id not in found
                    found[each.id] = each
    return found


async def test_login_costs_two_requests_and_tells_all_that_identify_needs(world):
    async with before_emulator(world) as setting:
        identity = await setting.client.guilds.identify()

        assert setting.emulator.counters.requests == 2
        assert identity.user_id == world.bots["token"].user.id
        assert identity.has_content_intent


async def test_a_bot_without_the_content_intent_is_known_as_one(world):
    world.add_bot("blind", content_intent=False)
    async with before_emulator(world, token="blind") as setting:
        assert not (await setting.client.guilds.identify()).has_content_intent


async def test_a_wrong_token_is_refused(world):
    with pytest.raises(TokenRejectedError) as caught:
        async with before_emulator(world, token="wrong-token"):
            pass

    assert "wrong-token" not in str(caught.value)
    assert "(asked at http://127.0.0.1:" in str(caught.value), "an emulator is not Discord"


async def test_a_users_token_is_refused(world):
    world.bots["token"].user.bot = False
    with pytest.raises(TokenRejectedError, match="not a bot's"):
        async with before_emulator(world):
            pass


@pytest.mark.parametrize("quirks", [Quirks(), Quirks(forbid_foreign_guild=True)])
async def test_a_guild_the_bot_is_not_in_is_unavailable(world, quirks):
    async with before_emulator(world, quirks=quirks) as setting:
        with pytest.raises(GuildUnavailableError):
            await setting.client.guilds.fetch_guild(42)
        with pytest.raises(GuildUnavailableError):
            await setting.client.guilds.list_channels(42)


async def test_guild_member_and_channels_are_the_worlds(world):
    async with before_emulator(world) as setting:
        guild = await setting.client.guilds.fetch_guild(setting.guild.id)
        bot = (await setting.client.guilds.identify()).user_id
        member = await setting.client.guilds.fetch_member(guild.id, bot)
        channels = await setting.client.guilds.list_channels(guild.id)

        assert {each.id for each in guild.roles} == set(setting.guild.roles)
        assert member.role_ids == set(setting.guild.members[bot].role_ids)
        assert {each.id: each.type for each in channels} == {
            each.id: each.type for each in setting.guild.channels.values()
        }
        assert any(each.type == CATEGORY for each in channels)


async def test_every_thread_is_listed_once(world):
    async with before_emulator(world) as setting:
        assert set(await every_thread(setting)) == set(setting.guild.threads)


async def test_threads_archived_in_one_millisecond_are_all_listed_over_pages(world):
    (guild,) = world.guilds.values()
    parent = max(
        (each for each in guild.channels.values() if each.type == TEXT),
        key=lambda each: len(each.log.ids),
    )
    moment = 1_700_000_000_000
    made = [each for each in guild.threads.values() if each.type == 11]
    for n, each in enumerate(made):
        each.parent_id, each.archived, each.archive_ms = parent.id, True, moment - n // 7
    async with before_emulator(world) as setting:
        channels = await setting.client.guilds.list_channels(guild.id)
        (listed,) = (each for each in channels if each.id == parent.id)
        found = [each async for each in pages_of(setting, listed, 10)]

    assert sorted(found) == sorted(each.id for each in made)


async def pages_of(setting, parent, size, monkey=pytest.MonkeyPatch):
    """List with small pages, so that ties lie across them."""
    with monkey.context() as patch:
        patch.setattr("raysync.discord_api.thread_lists._PER_PAGE", size)
        async for each in setting.client.guilds.list_archived_threads(parent, private=False):
            yield each.id


async def test_joined_private_threads_are_listed_over_pages(world):
    (guild,) = world.guilds.values()
    bot = world.bots["token"].user.id
    private = [each for each in guild.threads.values() if each.type == 12]
    parent_id = private[0].parent_id
    for each in private:
        each.parent_id, each.archived = parent_id, True
        each.member_ids.add(bot)
    async with before_emulator(world) as setting:
        channels = await setting.client.guilds.list_channels(guild.id)
        (parent,) = (each for each in channels if each.id == parent_id)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("raysync.discord_api.thread_lists._PER_PAGE", 2)
            listing = setting.client.guilds.list_archived_threads(
                parent, private=True, joined_only=True
            )
            found = [each.id async for each in listing]

    assert found == sorted((each.id for each in private), reverse=True)


async def test_every_message_of_every_kind_comes_as_the_world_has_it(world):
    async with before_emulator(world, identities=FullIdentity()) as setting:
        for channel in setting.guild.every_channel():
            if not channel.log.ids or channel.type in (CATEGORY, FORUM):
                continue
            found = {each.id: each for each in await every_message(setting, channel.id)}

            assert sorted(found) == list(channel.log.ids)
            for message_id, each in found.items():
                assert orjson.loads(each.raw) == world.message(channel, message_id)


async def test_no_user_of_the_guild_is_in_what_a_pseudonymous_tenant_keeps(world):
    async with before_emulator(world) as setting:
        kept = list(await setting.client.guilds.list_channels(setting.guild.id))
        kept += (await every_thread(setting)).values()
        for channel in setting.guild.every_channel():
            if channel.log.ids:
                kept += await every_message(setting, channel.id)
        text = "\n".join(map(str, kept))
        bot = world.bots["token"].user

    assert len(kept) > 2_500
    for user in setting.guild.users.values():
        if user.id != bot.id:
            assert str(user.id) not in text
            assert user.name not in text


async def test_null_in_place_of_a_list_is_an_empty_list(world):
    async with before_emulator(world, quirks=Quirks(null_for_empty=True)) as setting:
        channel = setting.channel_of(TEXT)

        assert await setting.client.history.fetch_after(channel.id, channel.log.ids[-1], 100) == []


async def test_a_page_comes_at_once_though_it_used_up_the_bucket(world):
    async with before_emulator(world, limits=Limits()) as setting:
        channel = setting.channel_of(TEXT)
        async with asyncio.timeout(3):
            for _ in range(5):
                await setting.client.history.fetch_after(channel.id, 0, 10)


async def test_a_client_that_was_closed_may_log_in_again(world):
    async with before_emulator(world) as setting:
        await setting.client.close()
        await setting.client.login()

        assert await setting.client.guilds.fetch_guild(setting.guild.id)


async def test_who_knows_the_bot_asks_nothing_to_log_in(world):
    async with before_emulator(world) as setting:
        identity = await setting.client.guilds.identify()
        asked = setting.emulator.counters.requests
        people, url = Pseudonymizer(KEY), setting.emulator.url
        async with DiscordClient("token", url, OpenLimiter(), people, identity=identity) as second:
            assert setting.emulator.counters.requests == asked
            assert await second.guilds.identify() == identity
            assert await second.guilds.list_channels(setting.guild.id)


async def test_the_search_finds_what_the_list_of_an_announcement_channel_lacks(world):
    async with before_emulator(world, quirks=Quirks(announcement_archive_gap=True)) as setting:
        parents = await setting.client.guilds.list_channels(setting.guild.id)
        news = [each for each in parents if each.type == 5]
        listed = [
            thread
            for parent in news
            async for thread in setting.client.guilds.list_archived_threads(parent, private=False)
        ]
        found = [
            thread.id
            for parent in news
            async for thread in setting.client.guilds.search_archived_threads(parent)
        ]

        archived = {t.id for t in setting.guild.threads.values() if t.archived and t.type == 10}
        assert listed == []
        assert set(found) == archived
        assert len(found) == len(archived) > 0


async def test_a_search_without_an_index_says_when_to_come_again(world):
    async with before_emulator(world) as setting:
        parent = next(
            c for c in await setting.client.guilds.list_channels(setting.guild.id) if c.type == 5
        )
        world.unindexed_channel_ids.add(parent.id)
        with pytest.raises(SearchIndexError) as caught:
            async for _ in setting.client.guilds.search_archived_threads(parent):
                pass

        assert caught.value.retry_after_s == 2.0


async def test_one_message_and_one_channel_can_be_asked_for(world):
    async with before_emulator(world) as setting:
        channel = setting.channel_of(0)
        there = channel.log.ids[-1]
        setting.emulator.edits.delete_message(channel.id, channel.log.ids[0])

        assert await setting.client.history.has_message(channel.id, there)
        assert not await setting.client.history.has_message(channel.id, 1 << 40)
        assert await setting.client.guilds.has_channel(channel.id)
        assert not await setting.client.guilds.has_channel(1 << 40)
        with pytest.raises(NotFoundError):
            await setting.client.history.has_message(1 << 40, there)


async def test_the_intent_is_asked_for_anew_but_not_again_and_again(world):
    async with before_emulator(world) as setting:
        asked = setting.emulator.counters.requests
        setting.emulator.edits.set_content_intent("token", False)

        assert not await setting.client.history.has_content_intent()
        assert not await setting.client.history.has_content_intent()
        assert setting.emulator.counters.requests == asked + 1

        setting.emulator.edits.set_content_intent("token", True)
        assert not await setting.client.history.has_content_intent()
        assert await setting.client.history.has_content_intent(anew=True)
        assert setting.emulator.counters.requests == asked + 2
