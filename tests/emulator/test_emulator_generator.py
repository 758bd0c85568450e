"""What a generated guild holds, and that the seed decides it."""

import json
from pathlib import Path

import pytest

from raysync.emulator import GuildSpec, World, generate_guild
from raysync.emulator.api.rendering import render
from raysync.emulator.generator.spec import Rates

pytestmark = pytest.mark.unit

DOCS = Path(__file__).parents[2] / "docs" / "emulator.md"


@pytest.fixture(scope="module")
def lively():
    guild = generate_guild(GuildSpec.lively(12_000), 2)
    return guild, [message for _, message in World(guild).truth(guild.id)]


def test_the_same_seed_makes_the_same_guild():
    spec = GuildSpec.lively(1_500)
    truths = [
        list(World(guild).truth(guild.id))
        for guild in (generate_guild(spec, 1), generate_guild(spec, 1), generate_guild(spec, 2))
    ]

    assert truths[0] == truths[1]
    assert truths[0] != truths[2]


def test_the_docs_show_the_guild_that_the_command_serves():
    guild = generate_guild(GuildSpec.lively(40_000), 1)
    messages = sum(len(channel.log.ids) for channel in guild.every_channel())

    assert f"guild {guild.id}, {messages} messages." in DOCS.read_text()


def test_a_lively_guild_has_every_kind_of_channel_and_thread(lively):
    guild, _ = lively
    kinds = {each.type for each in guild.every_channel()}
    denied = {each.deny for one in guild.channels.values() for each in one.overwrites.values()}

    assert kinds == {0, 2, 4, 5, 10, 11, 12, 13, 15, 16, 40}
    assert {each.archived for each in guild.threads.values() if each.type == 12} == {True, False}
    assert denied == {1 << 10, 1 << 16}


def test_a_lively_guild_has_every_kind_of_message(lively):
    _, messages = lively
    types = {each["type"] for each in messages}
    bears = {key for each in messages for key in each if each[key]}
    flags = {bit for each in messages for bit in range(17) if each["flags"] >> bit & 1}
    components = {one["type"] for each in messages for one in each["components"]}
    starters = [each for each in messages if each["type"] == 21]
    custom = [r for m in messages for r in m.get("reactions", ()) if r["emoji"]["id"]]
    burst = [r for m in messages for r in m.get("reactions", ()) if r["count_details"]["burst"]]

    assert {0, 6, 7, 8, 9, 12, 18, 19, 20, 21, 24, 25, 31, 32, 200} <= types
    assert {"reactions", "attachments", "embeds", "poll", "sticker_items", "webhook_id"} <= bears
    assert {"message_snapshots", "interaction_metadata", "thread", "position"} <= bears
    assert {"mentions", "mention_roles", "edited_timestamp", "pinned", "tomorrow"} <= bears
    assert {5, 14, 15} <= flags
    assert {1, 10, 17, 99} <= components
    assert all(each["referenced_message"] for each in starters)
    assert custom
    assert burst


def test_people_are_named_where_nobody_expects_them(lively):
    guild, messages = lively
    user_ids = {str(each) for each in guild.users}
    odd = [each for each in messages if each["type"] == 24 or "tomorrow" in each]
    fields = [field for each in odd for embed in each["embeds"] for field in embed["fields"]]
    told = {each["name"]: each["value"] for each in fields}

    assert told["interaction_user_id"] in user_ids
    assert json.loads(told["alert_actions_execution"])["actions"]["1"]["actor"] in user_ids
    assert any(each.get("tomorrow", {}).get("by") in user_ids for each in odd)
    files = [file["filename"] for each in messages for file in each["attachments"]]
    assert any(each.removeprefix("report-").removesuffix(".txt") in user_ids for each in files)


def test_ids_rise_and_some_share_a_millisecond(lively):
    guild, _ = lively
    ties = 0
    for channel in guild.every_channel():
        ids = list(channel.log.ids)
        assert ids == sorted(set(ids))
        ties += len(ids) - len({each >> 22 for each in ids})

    assert ties > 0


def test_ids_are_unique_in_the_whole_guild_but_for_threads_and_their_starters():
    guild = generate_guild(GuildSpec.uniform(100, 300))
    ids = [each for channel in guild.channels.values() for each in channel.log.ids]

    assert len(set(ids)) == len(ids)


def test_about_as_many_messages_as_asked_for():
    for wanted in (2_000, 40_000):
        guild = generate_guild(GuildSpec.lively(wanted))
        held = sum(len(each.log.ids) for each in guild.every_channel())

        assert wanted * 0.8 <= held <= wanted * 1.2


def test_a_post_begins_with_the_message_of_its_id(lively):
    guild, _ = lively
    forums = {each.id for each in guild.channels.values() if each.type in (15, 16)}
    posts = [each for each in guild.threads.values() if each.parent_id in forums]

    assert posts
    assert all(each.log.ids[0] == each.id for each in posts)


def test_text_is_odd_only_when_asked_for():
    texts = {}
    for odd in (False, True):
        spec = GuildSpec(text_channels=1, text_messages=500, odd_text=odd, rates=Rates.lively())
        guild = generate_guild(spec)
        texts[odd] = "".join(each["content"] for _, each in World(guild).truth(guild.id))

    assert "\0" in texts[True]
    assert "\0" not in texts[False]
    assert texts[False].isprintable()


def test_a_page_of_the_uniform_guild_is_about_100_kilobytes():
    world = World(generate_guild(GuildSpec.uniform(1, 300)))
    bot = world.add_bot("token")
    (channel,) = (each for each in world.channels.values() if each.type == 0)
    page = sum(map(len, render(world, bot, channel, channel.log.ids[:100])))

    assert 85_000 < page < 115_000


def test_a_large_channel_costs_its_ids_alone():
    guild = generate_guild(GuildSpec.uniform(1, 200_000))
    (channel,) = (each for each in guild.channels.values() if each.type == 0)

    assert len(channel.log.ids) == 200_000
    assert channel.log.ids.itemsize == 8


@pytest.mark.parametrize("seed", range(1, 40))
def test_ids_rise_in_every_channel_and_thread_however_many_share_a_millisecond(seed):
    spec = GuildSpec(
        text_channels=2, text_messages=20, threads=2, posts=1, forum_channels=1,
        messages_per_thread=4, tie_rate=0.4,
    )  # fmt: skip
    for channel in generate_guild(spec, seed=seed).every_channel():
        ids = list(channel.log.ids)
        assert ids == sorted(set(ids))
