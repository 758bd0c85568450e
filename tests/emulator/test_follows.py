"""What changes without an edit, and pages that are odd: against the emulator, without Ray."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from raysync.emulator import FaultRule, GuildSpec, Limits, Quirks, World, generate_guild, serve
from raysync.emulator.world.entities import Channel, ChannelType
from raysync.models.status import JobStatus, SyncType
from raysync.models.work import SyncWindow
from tests.archive import Archive

TOKEN = "a-token"
LOOKBACK = SyncWindow(SyncType.INCREMENTAL, lookback_s=7 * 86_400.0)


def recent_world(messages: int = 120) -> World:
    spec = GuildSpec(
        text_channels=2,
        text_messages=messages,
        end_ms=int(time.time() * 1000) - 3_600_000,
        span_days=2.0,
    )
    world = World(generate_guild(spec, seed=3))
    world.add_bot(TOKEN)
    return world


def text_channels(world: World) -> list[Channel]:
    (guild,) = world.guilds.values()
    return [each for each in guild.every_channel() if each.type == 0]


async def opened(engine, world: World, emulator) -> Archive:
    archive = Archive(engine, emulator.url, TOKEN, 100)
    (guild_id,) = world.guilds
    await archive.add(guild_id)
    return archive


async def test_pins_and_polls_follow_without_an_edit(engine) -> None:
    world = recent_world()
    channel, *_ = text_channels(world)
    async with serve(world, limits=Limits.off()) as emulator:
        archive = await opened(engine, world, emulator)
        pinned, voted = channel.log.ids[5], channel.log.ids[9]
        poll = {
            "question": {"text": "Tea?"},
            "answers": [{"answer_id": 1, "poll_media": {"text": "yes"}}],
            "expiry": None,
            "allow_multiselect": False,
            "layout_type": 1,
            "results": {"is_finalized": False, "answer_counts": []},
        }
        emulator.edits.change(channel.id, voted, {"poll": poll})
        await archive.run(LOOKBACK)

        emulator.edits.pin_message(channel.id, pinned)
        counts = [{"id": 1, "count": 4, "me_voted": False}]
        ended = {"results": {"is_finalized": True, "answer_counts": counts}}
        emulator.edits.change(channel.id, voted, {"poll": poll | ended})
        end = await archive.run(LOOKBACK)

        assert end.status is JobStatus.COMPLETED
        rows = {
            row.id: row
            for row in await archive.query(
                "SELECT platform_message_id AS id, (metadata->>'pinned')::boolean AS pinned,"
                " raw->'poll'->'results' AS results FROM messages"
                " WHERE tenant_id = :tenant"
            )
        }
        assert [key for key, row in rows.items() if row.pinned] == [pinned]
        assert rows[voted].results == ended["results"]
        assert await archive.versions() == 0, "nobody edited anything"

        emulator.edits.unpin_message(channel.id, pinned)
        await archive.run(LOOKBACK)
        (row,) = await archive.query(
            "SELECT count(*) AS pins FROM messages WHERE tenant_id = :tenant"
            " AND (metadata->>'pinned')::boolean"
        )
        assert row.pins == 0


async def test_cut_pages_hide_nothing(engine) -> None:
    world = recent_world(1_500)
    channel, *_ = text_channels(world)
    async with serve(world, limits=Limits.off(), quirks=Quirks(cut_pages=2)) as emulator:
        archive = await opened(engine, world, emulator)
        emulator.edits.post_message(channel.id, "just now")

        end = await archive.run(LOOKBACK)

        assert end.status is JobStatus.COMPLETED
        assert set(await archive.rows()) == written(world)


async def test_messages_that_show_late_are_found_and_none_is_taken_for_deleted(engine) -> None:
    world = recent_world()
    channels = text_channels(world)
    async with serve(world, limits=Limits.off(), quirks=Quirks(late_ms=120_000)) as emulator:
        archive = await opened(engine, world, emulator)
        for number in range(40):
            emulator.edits.post_message(channels[number % 2].id, f"message {number}")
        await archive.run(LOOKBACK)
        early = await archive.rows()
        assert len(early) < len(written(world)), "some were not on any page yet"

        emulator.engine.quirks = Quirks()
        await archive.run(LOOKBACK)
        emulator.engine.quirks = Quirks(late_ms=120_000)
        await archive.run(LOOKBACK)

        rows = await archive.rows()
        assert set(rows) == written(world)
        assert all(is_there for _, is_there in rows.values()), "what hides again is not deleted"


async def test_without_a_look_back_late_messages_are_found_with_the_next_news(engine) -> None:
    world = recent_world()
    channel, *_ = text_channels(world)
    window = replace(LOOKBACK, lookback_s=0.0)
    async with serve(world, limits=Limits.off(), quirks=Quirks(late_ms=120_000)) as emulator:
        archive = await opened(engine, world, emulator)
        for number in range(20):
            emulator.edits.post_message(channel.id, f"message {number}")
        await archive.run(window)
        assert set(await archive.rows()) < written(world)

        emulator.engine.quirks = Quirks()
        emulator.edits.post_message(channel.id, "news")
        await archive.run(window)

        assert set(await archive.rows()) == written(world)


async def test_without_a_look_back_late_messages_are_found_without_news(engine) -> None:
    world = recent_world()
    channel, other = text_channels(world)
    window = replace(LOOKBACK, lookback_s=0.0)
    async with serve(world, limits=Limits.off(), quirks=Quirks(late_ms=120_000)) as emulator:
        archive = await opened(engine, world, emulator)
        for number in range(20):
            emulator.edits.post_message(channel.id, f"message {number}")
        await archive.run(window)
        assert set(await archive.rows()) < written(world)

        emulator.engine.quirks = Quirks()
        before = len(emulator.log.entries)
        await archive.run(window)

        assert set(await archive.rows()) == written(world)
        pages = [each.path for each in emulator.log.entries[before:] if "/messages" in each.path]
        assert not any(str(other.id) in each for each in pages), "that has rested for an hour"


@pytest.mark.parametrize("is_known_by", ["its type before", "a stored thread", "an active thread"])
async def test_threads_of_a_channel_that_once_announced_are_found(engine, is_known_by: str) -> None:
    world = recent_world()
    (guild_id,) = world.guilds
    async with serve(world, limits=Limits.off()) as emulator:
        archive, edits = await opened(engine, world, emulator), emulator.edits
        news = edits.create_channel(guild_id, "news", ChannelType.ANNOUNCEMENT)
        if is_known_by != "its type before":
            thread = edits.create_thread(news, "earlier", ChannelType.ANNOUNCEMENT_THREAD)
            edits.post_message(thread, "earlier")
        if is_known_by != "an active thread":
            await archive.run(LOOKBACK)
        if is_known_by == "a stored thread":
            edits.archive_thread(thread)
            edits.convert_channel(news, ChannelType.TEXT)
            await archive.run(LOOKBACK)

        thread = edits.create_thread(news, "later", ChannelType.ANNOUNCEMENT_THREAD)
        edits.post_message(thread, "later")
        edits.archive_thread(thread)
        edits.convert_channel(news, ChannelType.TEXT)
        end = await archive.run(LOOKBACK)

        assert end.status is JobStatus.COMPLETED
        assert set(await archive.rows()) == written(world)
        searches = [each.path for each in emulator.log.entries if "/search" in each.path]
        assert all(str(news) in each for each in searches), "others never announced"


async def test_an_intent_that_goes_off_just_after_it_was_asked_for_empties_nothing(engine) -> None:
    world = recent_world(1_500)
    channel, *_ = text_channels(world)
    off = {"op": "set_content_intent", "token": TOKEN, "enabled": False}
    asked = FaultRule(route="GET /oauth2/applications/@me", nth=(2,), after=(off,))
    async with serve(world, limits=Limits.off(), faults=[asked]) as emulator:
        first = (channel.log.ids[0] >> 22) + 1_420_070_400_000
        odd = emulator.edits.post_message(channel.id, "", at_ms=first - 1)  # once login has asked
        archive = await opened(engine, world, emulator)

        end = await archive.run(LOOKBACK)

        assert end.status is JobStatus.FAILED
        empty = [key for key, (content, _) in (await archive.rows()).items() if not content]
        assert empty in ([], [(channel.id, odd)])

        emulator.edits.set_content_intent(TOKEN, True)
        assert (await archive.run(LOOKBACK)).status is JobStatus.COMPLETED
        rows = await archive.rows()
        assert set(rows) == written(world)
        assert [key for key, (content, _) in rows.items() if not content] == [(channel.id, odd)]


async def test_content_that_is_withheld_with_the_intent_on_is_not_stored(engine) -> None:
    world = recent_world()
    async with serve(world, limits=Limits.off()) as emulator:
        archive = await opened(engine, world, emulator)
        emulator.edits.withhold_content(TOKEN, True)

        end = await archive.run(LOOKBACK)

        assert end.status is JobStatus.PARTIAL
        failures = [each.failure for each in end.outcomes if each.failure is not None]
        assert len(failures) == len(text_channels(world))
        assert all("though it says" in each.message for each in failures)
        assert await archive.rows() == {}

        emulator.edits.withhold_content(TOKEN, False)
        await archive.run(LOOKBACK)
        assert set(await archive.rows()) == written(world)


async def test_a_channel_of_empty_messages_alone_keeps_no_other_from_being_read(engine) -> None:
    world = recent_world()
    (guild_id,) = world.guilds
    expected = written(world)
    async with serve(world, limits=Limits.off()) as emulator:
        odd = emulator.edits.create_channel(guild_id, "odd")
        for _ in range(9):
            emulator.edits.post_message(odd, "")
        archive = await opened(engine, world, emulator)

        end = await archive.run(LOOKBACK)

        assert [each.channel_id for each in end.outcomes if each.failure is not None] == [odd]
        assert set(await archive.rows()) == expected


async def test_channels_of_messages_that_are_empty_with_the_intent_are_read(engine) -> None:
    world = recent_world()
    (guild_id,) = world.guilds
    owed, stuck = {"type": 20, "flags": 1 << 7}, {"sticker_items": [{"id": "5", "name": "wave"}]}
    async with serve(world, limits=Limits.off()) as emulator:
        for fields in (owed, stuck):
            channel_id = emulator.edits.create_channel(guild_id, "commands")
            for _ in range(9):
                emulator.edits.post_message(channel_id, "", fields=fields)
        archive = await opened(engine, world, emulator)

        end = await archive.run(LOOKBACK)

        assert end.status is JobStatus.COMPLETED
        assert set(await archive.rows()) == written(world)


async def test_a_sweep_spends_nothing_on_a_channel_that_it_may_not_read(engine) -> None:
    end_ms = int(time.time() * 1000) - 30 * 86_400_000
    spec = GuildSpec(text_channels=2, text_messages=1_500, end_ms=end_ms, span_days=60.0)
    world = World(generate_guild(spec, seed=3))
    world.add_bot(TOKEN)
    private, public = sorted(text_channels(world), key=lambda each: each.id)
    sweep = replace(LOOKBACK, reconcile_requests=3)
    async with serve(world, limits=Limits.off()) as emulator:
        archive = await opened(engine, world, emulator)
        await archive.run(LOOKBACK)
        emulator.edits.set_overwrite(private.id, private.guild_id, deny=1 << 10)
        edited = public.log.ids[len(public.log.ids) // 2]
        emulator.edits.edit_message(public.id, edited, "edited long after")

        assert len(private.log.ids) > 3 * 100
        for _ in range(len(public.log.ids) // (3 * 99) + 1):
            await archive.run(sweep)

        assert (await archive.rows())[public.id, edited] == ("edited long after", True)


def written(world: World) -> set[tuple[int, int]]:
    return {
        (channel.id, message_id)
        for guild in world.guilds.values()
        for channel in guild.every_channel()
        for message_id in channel.log.ids
    }
