"""Changes at run time, and the truth they keep."""

import json

import pytest

from raysync.emulator import Edits, GuildSpec, World, generate_guild
from raysync.emulator.api.rendering import render
from raysync.emulator.edits import UnknownEditError
from raysync.emulator.world.messages import CDN_BYTE
from raysync.emulator.world.reactions import reactor_ids

pytestmark = pytest.mark.unit


@pytest.fixture
def world():
    world = World(generate_guild(GuildSpec.lively(2_000), 9))
    world.add_bot("token", permissions=8)
    return world


@pytest.fixture
def edits(world):
    return Edits(world)


@pytest.fixture
def text(world):
    return next(each for each in world.channels.values() if each.type == 0)


def test_a_posted_message_is_the_latest_and_part_of_the_truth(world, edits, text):
    message_id = edits.post_message(text.id, "news")

    assert text.log.ids[-1] == text.last_message_id == message_id
    assert world.message(text, message_id)["content"] == "news"
    held = {(channel_id, int(each["id"])) for channel_id, each in world.truth(text.guild_id)}
    assert (text.id, message_id) in held


def test_a_late_message_comes_below_later_ones(world, edits, text):
    latest = text.log.ids[-1]
    message_id = edits.post_message(text.id, "late", at_ms=(latest >> 22) + 1420070400000 - 10)

    assert text.log.ids[-1] == latest == text.last_message_id
    assert message_id in text.log


def test_an_edit_shows_in_the_message_and_in_the_replies_to_it(world, edits, text):
    message_id = edits.post_message(text.id, "first")
    reply_id = edits.post_message(text.id, "answer", reply_to_id=message_id)
    before = world.message(text, reply_id)["referenced_message"]["content"]
    edits.edit_message(text.id, message_id, "second")
    reply = world.message(text, reply_id)
    edits.delete_message(text.id, message_id)

    assert (before, reply["referenced_message"]["content"]) == ("first", "second")
    assert reply["referenced_message"]["edited_timestamp"] is not None
    assert world.message(text, reply_id)["referenced_message"] is None


def test_generated_replies_follow_what_they_quote(world, edits, text):
    replies = [world.message(text, each) for each in text.log.ids]
    reply = next(each for each in replies if each["type"] == 19)
    quoted_id = int(reply["message_reference"]["message_id"])
    edits.edit_message(text.id, quoted_id, "changed")

    assert world.message(text, int(reply["id"]))["referenced_message"]["content"] == "changed"


def test_a_silent_edit_leaves_no_time(world, edits, text):
    message_id = edits.post_message(text.id)
    edits.edit_message(text.id, message_id, silent=True, fields={"embeds": [{"type": "link"}]})
    message = world.message(text, message_id)

    assert (message["edited_timestamp"], message["embeds"]) == (None, [{"type": "link"}])


def test_deleted_messages_are_gone_and_last_message_id_stays(world, edits, text):
    gone = list(text.log.ids[-3:])
    edits.delete_messages(text.id, gone)

    assert not any(each in text.log for each in gone)
    assert text.last_message_id == gone[-1]
    with pytest.raises(KeyError):
        world.message(text, gone[0])


def test_reactions_count_who_reacted_and_mark_the_bots_own(world, edits, text):
    bot = world.bots["token"]
    message_id = edits.post_message(text.id)
    users = world.guild_of(text).user_ids[:3]
    for user_id in [*users, users[0], bot.user.id]:
        edits.add_reaction(text.id, message_id, "👍", user_id)
    edits.add_reaction(text.id, message_id, "👍", users[1], burst=True)
    edits.remove_reaction(text.id, message_id, "👍", users[2])
    (reaction,) = world.message(text, message_id)["reactions"]
    (seen,) = render(world, bot, text, [message_id])
    guild = world.guild_of(text)

    assert reaction["count_details"] == {"normal": 3, "burst": 1}
    assert (reaction["count"], reaction["me"]) == (4, False)
    assert b'"me":true' in seen
    assert reactor_ids(guild, text.log, message_id, ("👍", True)) == [users[1]]
    edits.clear_reactions(text.id, message_id)
    assert "reactions" not in world.message(text, message_id)
    assert reactor_ids(guild, text.log, message_id, ("👍", False)) == []


def test_a_reaction_added_to_generated_ones_keeps_the_others(world, edits, text):
    guild = world.guild_of(text)
    message_id, reaction = next(
        (each, reaction)
        for each in text.log.ids
        for reaction in text.log.payload(each).get("reactions", ())
        if reaction["emoji"]["id"] is None
    )
    name = reaction["emoji"]["name"]
    before = reactor_ids(guild, text.log, message_id, (name, False))
    stranger = next(each for each in guild.user_ids if each not in before)
    edits.add_reaction(text.id, message_id, name, stranger)

    after = reactor_ids(guild, text.log, message_id, (name, False))
    assert after == sorted([*before, stranger])


def test_pins_mark_the_message(world, edits, text):
    message_id = edits.post_message(text.id)
    edits.pin_message(text.id, message_id)
    pinned = world.message(text, message_id)["pinned"]
    edits.unpin_message(text.id, message_id)

    assert pinned
    assert not world.message(text, message_id)["pinned"]
    assert message_id not in text.log.pins


def test_a_thread_shows_on_its_message_and_posting_wakes_it(world, edits, text):
    message_id = edits.post_message(text.id)
    thread_id = edits.create_thread(text.id, "talk", message_id=message_id)
    edits.post_message(thread_id, "in here")
    edits.archive_thread(thread_id)
    archived = world.message(text, message_id)["thread"]
    edits.post_message(thread_id, "again")

    assert archived["thread_metadata"]["archived"]
    assert archived["message_count"] == 1
    assert not world.message(text, message_id)["thread"]["thread_metadata"]["archived"]
    assert world.message(text, message_id)["thread"]["message_count"] == 2


def test_what_goes_in_a_thread_goes_from_the_count_on_its_message(world, edits, text):
    message_id = edits.post_message(text.id)
    thread_id = edits.create_thread(text.id, "talk", message_id=message_id)
    first, _ = edits.post_message(thread_id), edits.post_message(thread_id)
    before = world.message(text, message_id)["thread"]
    edits.delete_message(thread_id, first)
    after = world.message(text, message_id)["thread"]
    edits.delete_channel(thread_id)

    assert (before["message_count"], after["message_count"]) == (2, 1)
    assert (before["total_message_sent"], after["total_message_sent"]) == (2, 2)
    assert "thread" not in world.message(text, message_id)


def test_a_deleted_channel_takes_its_threads_along(world, edits, text):
    thread_id = edits.create_thread(text.id, "talk")
    edits.delete_channel(text.id)

    assert not {text.id, thread_id} & set(world.channels)
    assert not {text.id, thread_id} & {channel_id for channel_id, _ in world.truth(text.guild_id)}


def test_a_channel_that_becomes_another_type_keeps_its_threads(world, edits, text):
    edits.convert_channel(text.id, 5)
    thread_id = edits.create_thread(text.id, "talk", 10)
    edits.convert_channel(text.id, 0)

    assert text.type == 0
    assert world.channels[thread_id].type == 10


def test_changes_are_made_by_name(world, edits, text):
    posted = edits.apply({"op": "post_message", "channel_id": str(text.id), "content": "by name"})

    assert world.message(text, posted)["content"] == "by name"
    for wrong in ({"op": "_change"}, {"op": "world"}, {"op": "post_message", "colour": 1}):
        with pytest.raises(UnknownEditError):
            edits.apply(wrong)


def pages(world, channel):
    bot = world.bots["token"]
    return dict(zip(channel.log.ids, render(world, bot, channel, channel.log.ids), strict=True))


def test_a_damaged_message_is_served_damaged_and_known_whole(world, edits, text):
    before, one, two = pages(world, text), text.log.ids[3], text.log.ids[4]
    whole = world.message(text, one)
    edits.damage_message(
        text.id, one, {"author": {"id": None}, "n": float("nan")}, without=["content"]
    )
    edits.damage_message(text.id, two, text='{"id": ')
    after = pages(world, text)

    served = json.loads(after[one].replace(CDN_BYTE, b""))
    assert "content" not in served
    assert served["author"] == whole["author"] | {"id": None}
    assert b'"n": NaN' in after[one]
    assert after[two] == b'{"id": '
    assert {each for each in after if after[each] != before[each]} == {one, two}
    assert world.message(text, one) == whole
    assert world.damaged(text.guild_id) == {(text.id, one), (text.id, two)}

    edits.mend_message(text.id, one)
    edits.delete_message(text.id, two)
    assert pages(world, text)[one] == before[one]
    assert world.damaged(text.guild_id) == set()
    with pytest.raises(KeyError):
        edits.damage_message(text.id, two, {})


def test_damage_lies_over_what_the_bot_sees(world, edits, text):
    message_id = edits.post_message(text.id, "withheld")
    edits.withhold_content("token", True)
    edits.damage_message(text.id, message_id, {"pinned": None})

    served = json.loads(pages(world, text)[message_id])
    assert (served["content"], served["pinned"]) == ("", None)
