"""A tail against the emulated gateway: the archive follows, and nothing is lost."""

from __future__ import annotations

import asyncio

import pytest

from raysync.emulator import GuildSpec, Limits, World, generate_guild, serve
from raysync.emulator.gateway.faults import DeliveryFault, GatewayRule
from raysync.errors import ContentIntentError, TailRunningError, TokenRejectedError
from raysync.models.entities import Privacy, TenantStatus
from raysync.models.ids import GuildId
from raysync.run import tail as tail_module
from raysync.run.tail import run_tail
from raysync.store.tenants import TenantStore
from tests.tailing import TOKEN, tailed, until, until_true

pytestmark = pytest.mark.emulator


@pytest.fixture
async def tail(engine, database_url, tmp_path):
    world = World(generate_guild(GuildSpec.tiny()))
    world.add_bot(TOKEN)
    async with serve(world, limits=Limits.off()) as emulator:
        emulator.gateway.change(identify_window_s=0.0)
        async with tailed(engine, database_url, emulator, tmp_path) as tail:
            yield tail


def text_channel(world: World):
    (guild,) = world.guilds.values()
    return next(one for one in guild.channels.values() if one.type == 0 and one.log.ids)


async def test_what_happens_is_stored_at_once_and_what_was_there_is_settled(tail) -> None:
    channel, edits = text_channel(tail.world), tail.emulator.edits
    tail.start()
    await tail.has_said("listening")

    first = edits.post_message(channel.id, "hello")
    second = edits.post_message(channel.id, "second")
    edits.edit_message(channel.id, second, "second, changed")
    third = edits.post_message(channel.id, "third")
    edits.delete_message(channel.id, third)
    edits.add_reaction(channel.id, first, "👍", tail.world.guilds[channel.guild_id].owner_id)
    await tail.has_said("settled")
    await tail.becomes_true()

    assert tail.events() == ["listening", "settled"]
    deleted = await tail.query("SELECT content FROM messages WHERE deleted_at IS NOT NULL")
    versions = await tail.query("SELECT content FROM message_versions")
    assert [row.content for row in deleted] == ["third"]
    assert [row.content for row in versions] == ["second"]


async def test_a_successor_resumes_where_the_database_stands(tail) -> None:
    channel, edits = text_channel(tail.world), tail.emulator.edits
    tail.start()
    await tail.has_said("settled")
    await tail.end()
    edits.post_message(channel.id, "while nobody listened")
    thread = edits.create_thread(channel.id, "made meanwhile")
    edits.post_message(thread, "in it")

    tail.start()
    await tail.has_said("resumed")
    await tail.becomes_true()

    assert tail.emulator.gateway.identifies() == 1
    assert tail.events() == ["listening", "settled", "stopped", "resumed"]


async def test_a_killed_tail_loses_nothing(tail) -> None:
    channel, edits = text_channel(tail.world), tail.emulator.edits
    tail.start()
    await tail.has_said("settled")
    for number in range(5):
        for part in range(10):
            edits.post_message(channel.id, f"{number}.{part}")
        await tail.kill()
        edits.post_message(channel.id, f"after kill {number}")
        tail.start()
        await tail.has_said("resumed", number + 1)
    await tail.becomes_true()

    assert tail.emulator.gateway.identifies() == 1


@pytest.mark.parametrize("cut", ["reset_sockets", "reconnect_all", "close_all"])
async def test_a_broken_connection_is_resumed(tail, cut) -> None:
    channel, edits = text_channel(tail.world), tail.emulator.edits
    tail.start()
    await tail.has_said("settled")

    getattr(tail.emulator.gateway, cut)()
    edits.post_message(channel.id, "meanwhile")
    await tail.has_said("resumed")
    await tail.becomes_true()

    assert tail.emulator.gateway.identifies() == 1


async def test_a_silent_connection_is_noticed_by_its_heartbeats(tail) -> None:
    channel, edits = text_channel(tail.world), tail.emulator.edits
    tail.emulator.gateway.change(heartbeat_interval_ms=300)
    tail.start()
    await tail.has_said("settled")

    tail.emulator.gateway.make_zombies()
    edits.post_message(channel.id, "into the void")
    await tail.has_said("resumed")
    await tail.becomes_true()

    assert tail.emulator.gateway.identifies() == 1


async def test_a_session_that_cannot_be_resumed_is_settled_again(tail) -> None:
    channel, edits = text_channel(tail.world), tail.emulator.edits
    edited = edits.post_message(channel.id, "of this week, which a look-back reads")
    tail.start()
    await tail.has_said("settled")

    tail.emulator.gateway.forget_sessions()
    edits.edit_message(channel.id, edited, "nobody heard of this")
    tail.emulator.gateway.reset_sockets()
    await tail.has_said("settled", 2)
    await tail.becomes_true()

    (row,) = await tail.query("SELECT gaps FROM tenant_listening")
    assert row.gaps == 1
    assert tail.emulator.gateway.identifies() == 2


@pytest.mark.parametrize(
    "fault", [DeliveryFault.DROP, DeliveryFault.DUPLICATE, DeliveryFault.REORDER]
)
async def test_spoiled_deliveries_change_nothing(tail, fault) -> None:
    channel, edits = text_channel(tail.world), tail.emulator.edits
    owner_id = tail.world.guilds[channel.guild_id].owner_id
    tail.start()
    await tail.has_said("settled")

    tail.emulator.gateway.faults.add(GatewayRule(fault, times=None, ratio=0.3, seed=7))
    for number in range(40):
        message_id = edits.post_message(channel.id, f"message {number}")
        edits.add_reaction(channel.id, message_id, "👍", owner_id)
        if number % 3 == 0:
            edits.edit_message(channel.id, message_id, f"edited {number}")
        if number % 5 == 0:
            edits.delete_message(channel.id, message_id)
    tail.emulator.gateway.faults.clear()
    edits.post_message(channel.id, "the last one")
    await tail.becomes_true()

    assert tail.emulator.gateway.identifies() == 1


async def test_a_second_tail_of_the_token_is_refused_and_names_the_first(tail) -> None:
    tail.start()
    await tail.has_said("listening")

    with pytest.raises(TailRunningError, match="has been listening with this token since"):
        await run_tail([tail.tenant.slug], tail.settings, tail.notes.append, asyncio.Event())

    assert tail.emulator.gateway.identifies() == 1


async def test_a_rejected_token_ends_the_tail_with_a_sentence(tail) -> None:
    del tail.world.bots[TOKEN]
    tail.start()
    assert tail.task is not None

    with pytest.raises(TokenRejectedError):
        await tail.task


async def test_an_intent_that_is_switched_off_ends_the_tail_with_a_sentence(tail) -> None:
    tail.start()
    await tail.has_said("listening")
    tail.emulator.edits.set_content_intent(TOKEN, False)
    tail.emulator.gateway.forget_sessions()
    tail.emulator.gateway.reset_sockets()

    assert tail.task is not None
    with pytest.raises(ContentIntentError, match="Message Content intent"):
        await tail.task


async def test_a_bot_that_is_invited_later_is_heard_from_then_on(tail) -> None:
    (guild_id,) = tail.world.guilds
    tail.emulator.edits.remove_bot(TOKEN, guild_id)
    tail.start()
    await tail.has_said("interrupted")
    assert "not in this server" in str(tail.notes[0].details["reason"])

    tail.emulator.edits.restore_bot(TOKEN, guild_id)
    await tail.has_said("settled")
    await tail.becomes_true()

    tail.emulator.edits.remove_bot(TOKEN, guild_id)
    tail.emulator.edits.restore_bot(TOKEN, guild_id)
    await tail.has_said("settled", 2)


async def test_tenants_that_come_and_go_are_followed(tail, monkeypatch) -> None:
    monkeypatch.setattr(tail_module, "FOLLOW_S", 0.2)
    other = tail.world.add_guild(generate_guild(GuildSpec.tiny(), 9))
    tail.world.add_bot("another", [other.id])
    monkeypatch.setenv("ANOTHER_TOKEN", "another")
    tail.start(every=True)
    await tail.has_said("settled")

    store = TenantStore(tail.engine)
    await store.add("other", GuildId(other.id), "Other", "env:ANOTHER_TOKEN", Privacy.PSEUDONYMOUS)
    await tail.has_said("settled", 2)
    await store.set_status("other", TenantStatus.MAINTENANCE)
    await tail.has_said("stopped")
    await store.set_status("other", TenantStatus.ACTIVE)
    await tail.has_said("resumed")
    await tail.end()

    told = [(note.tenant, note.event) for note in tail.notes if note.tenant == "other"]
    assert [event for _, event in told] == [
        "listening",
        "settled",
        "stopped",
        "resumed",
        "stopped",
    ]
    assert tail.emulator.gateway.identifies() == 2


async def test_channels_and_threads_are_followed(tail) -> None:
    (guild,) = tail.world.guilds.values()
    edits = tail.emulator.edits
    tail.start()
    await tail.has_said("settled")

    made = edits.create_channel(guild.id, "new")
    edits.post_message(made, "first in it")
    thread = edits.create_thread(made, "a thread")
    edits.post_message(thread, "in the thread")
    edits.archive_thread(thread)
    edits.rename_channel(made, "renamed")
    await tail.becomes_true()
    names = await tail.query("SELECT name FROM channels WHERE platform_channel_id = :id", id=made)
    edits.delete_channel(made)

    async def are_marked() -> bool:
        gone = await tail.query(
            "SELECT platform_channel_id AS id FROM channels WHERE deleted_at IS NOT NULL"
        )
        return {row.id for row in gone} == {made, thread}

    await until_true(are_marked)
    assert [row.name for row in names] == ["renamed"]


async def test_identifies_stop_at_the_reserve(tail) -> None:
    tail.emulator.gateway.set_remaining(TOKEN, 100)
    tail.start()
    await until(lambda: any("gateway/bot" in e.path for e in tail.emulator.log.entries))
    await tail.end()

    assert tail.emulator.gateway.identifies() == 0
