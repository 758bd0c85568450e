"""Ties that pages cut, and servers whose pages and lists never end; before the real client."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from raysync.discord_api.people.pseudonyms import Pseudonymizer
from raysync.discord_api.reactors import ReactorLists
from raysync.discord_api.thread_lists import searched_threads
from raysync.emulator import Emulator, GuildSpec, Limits, Quirks, World, generate_guild, serve
from raysync.errors import NoProgressError
from raysync.models.ids import ChannelId, MessageId, UserId
from raysync.models.status import JobStatus, SyncType
from raysync.models.work import SyncWindow
from tests.archive import Archive
from tests.emulator.adapter import KEY, before_emulator

TOKEN = "a-token"
PLAIN = SyncWindow(SyncType.INCREMENTAL, lookback_s=86_400.0)
FULL = SyncWindow(SyncType.FULL)
VERIFY = SyncWindow(SyncType.VERIFY)
YEAR_AGO_MS = int(time.time() * 1000) - 365 * 86_400_000
PAGES = "GET /channels/{channel_id}/messages"


def make_world(**spec: object) -> World:
    shape = {"text_channels": 1, "text_messages": 0, "users": 5, "end_ms": YEAR_AGO_MS} | spec
    world = World(generate_guild(GuildSpec(**shape)))  # type: ignore[arg-type]
    world.add_bot(TOKEN)
    return world


@asynccontextmanager
async def archive_of(
    engine: AsyncEngine, world: World, page_size: int = 100, **quirks: object
) -> AsyncIterator[tuple[Archive, Emulator]]:
    shape = Quirks(**quirks)  # type: ignore[arg-type]
    async with serve(world, limits=Limits.off(), quirks=shape) as emulator:
        archive = Archive(engine, emulator.url, TOKEN, page_size)
        await archive.add(next(iter(world.guilds)))
        yield archive, emulator


def post(emulator: Emulator, groups: Iterable[int]) -> set[int]:
    """Post groups of messages, each in one millisecond; return their ids."""
    channel = next(each for each in guild_of(emulator).channels.values() if each.type == 0)
    return {
        emulator.edits.post_message(channel.id, f"{group}", at_ms=YEAR_AGO_MS + group * 60_000)
        for group, count in enumerate(groups)
        for _ in range(count)
    }


def guild_of(emulator: Emulator):
    (guild,) = emulator.world.guilds.values()
    return guild


async def stored(archive: Archive) -> set[int]:
    return {message for (_, message), (_, there) in (await archive.rows()).items() if there}


@pytest.mark.parametrize("page_size", [1, 3, 100])
@pytest.mark.parametrize("groups", [[1] * 99 + [2], [40, 1, 60, 2]], ids=["newest-two", "crowds"])
async def test_ties_are_all_read_in_whatever_order_pages_cut_them(
    engine: AsyncEngine, page_size: int, groups: list[int]
) -> None:
    async with archive_of(engine, make_world(), page_size, scramble_ties=True) as (archive, of):
        ids = post(of, groups)

        ends = [await archive.run(each) for each in (PLAIN, FULL, VERIFY)]

        assert [each.status for each in ends] == [JobStatus.COMPLETED] * 3
        assert await stored(archive) == ids
        assert ends[-1].gaps == ()


async def test_ties_that_fill_the_largest_page_are_named_by_every_run(engine: AsyncEngine) -> None:
    async with archive_of(engine, make_world(), scramble_ties=True) as (archive, of):
        ids = post(of, [5, 130, 5])

        ends = [await archive.run(each) for each in (PLAIN, FULL, VERIFY)]

        assert [each.status for each in ends[:2]] == [JobStatus.PARTIAL] * 2
        for end in ends[:2]:
            assert "one millisecond" in end.outcomes[0].failure.message
        assert len(ends[-1].gaps) == 1
        assert len(ids - await stored(archive)) <= 30


@pytest.mark.parametrize(
    "quirks", [{"ignored_cursors": frozenset({"after"})}, {"repeat_messages": True}]
)
async def test_pages_that_never_end_fail_their_channel_and_prove_nothing(
    engine: AsyncEngine, quirks: dict[str, object]
) -> None:
    async with archive_of(engine, make_world(text_messages=450), **quirks) as (archive, of):
        ids = set(guild_of(of).channels[channel_of(of)].log.ids)

        end = await archive.run(PLAIN)
        verification = await archive.run(VERIFY)

        assert end.status is JobStatus.PARTIAL
        assert end.outcomes[0].failure.error == "NoProgressError"
        assert of.counters.by_route[PAGES] <= 5
        assert verification.gaps != ()
        coverage, lost = await covered(archive), ids - await kept(archive)
        assert [each for each in lost if any(low <= each < high for low, high in coverage)] == []


async def test_an_ignored_cursor_deletes_nothing_that_is_stored(engine: AsyncEngine) -> None:
    world = make_world(text_messages=450)
    async with archive_of(engine, world) as (archive, of):
        await archive.run(PLAIN)
        before = await stored(archive)
        of.engine.quirks = replace(of.engine.quirks, ignored_cursors=frozenset({"after"}))

        end = await archive.run(FULL)

        assert end.status is JobStatus.PARTIAL
        assert await stored(archive) == before


@pytest.mark.parametrize(
    "quirks",
    [{"endless_lists": True}, {"ignored_cursors": frozenset({"before"})}],
    ids=["has-more-for-ever", "no-cursor"],
)
async def test_lists_that_never_end_are_named_and_what_they_show_is_read(
    engine: AsyncEngine, quirks: dict[str, object]
) -> None:
    world = make_world(threads=200, archived=1.0, text_messages=200)
    async with archive_of(engine, world, **quirks) as (archive, of):
        end = await archive.run(PLAIN)

        assert end.status is JobStatus.PARTIAL
        assert any("says that there are more threads" in each.message for each in end.troubles)
        threads = guild_of(of).threads
        assert len(threads) > 110
        read = len(threads) if "endless_lists" in quirks else 100
        assert sum(1 for each in end.outcomes if each.channel_id in threads) >= read
        assert (
            await archive.query(
                "SELECT 1 FROM thread_listings l JOIN channels c ON c.id = l.channel_id"
                " WHERE c.tenant_id = :tenant AND NOT l.is_private"
            )
            == []
        )


@pytest.mark.parametrize("most", [50, 75, 10_000])
async def test_the_search_shows_more_threads_than_one_search_can(most: int) -> None:
    world = make_world(threads=160, archived=1.0, text_messages=200)
    async with before_emulator(world, token=TOKEN) as setting:
        parent = await parent_of(setting)
        ask = setting.client.guilds._ask_of_threads(parent)

        found = [each.id async for each in searched_threads(ask, most)]

        archived = [each.id for each in setting.guild.threads.values() if each.archived]
        assert sorted(found) == sorted(archived)


@pytest.mark.parametrize(
    "quirks", [{"endless_lists": True}, {"ignored_cursors": frozenset({"offset"})}]
)
async def test_a_search_that_never_ends_is_an_error(quirks: dict[str, object]) -> None:
    world = make_world(threads=60, archived=1.0, text_messages=200)
    async with before_emulator(world, token=TOKEN, quirks=Quirks(**quirks)) as setting:
        ask = setting.client.guilds._ask_of_threads(await parent_of(setting))

        with pytest.raises(NoProgressError, match="more threads"):
            [each async for each in searched_threads(ask)]

        assert sum(setting.emulator.counters.by_route.values()) < 12


async def test_a_list_of_reactors_that_never_ends_is_an_error() -> None:
    world = make_world(users=150, text_messages=1)
    quirks = Quirks(ignored_cursors=frozenset({"after"}))
    people = Pseudonymizer(KEY)
    async with before_emulator(world, token=TOKEN, identities=people, quirks=quirks) as setting:
        channel = setting.channel_of(0)
        (message_id,) = channel.log.ids
        for user_id in list(setting.guild.users)[:130]:
            setting.emulator.edits.add_reaction(channel.id, message_id, "👍", user_id)
        lists = ReactorLists(setting.client.transport, Pseudonymizer(KEY))
        ids = ChannelId(channel.id), MessageId(message_id)
        page = await lists.fetch_reactors(*ids, "👍", burst=False, after=None)

        with pytest.raises(NoProgressError, match="reactors"):
            await lists.fetch_reactors(*ids, "👍", burst=False, after=UserId(page.next_after or 0))


async def parent_of(setting):
    channels = await setting.client.guilds.list_channels(setting.guild.id)
    return next(each for each in channels if each.type == 0)


def channel_of(emulator: Emulator) -> int:
    return next(each.id for each in guild_of(emulator).channels.values() if each.type == 0)


async def kept(archive: Archive) -> set[int]:
    return {message for (_, message) in await archive.rows()}


async def covered(archive: Archive) -> list[tuple[int, int]]:
    rows = await archive.query(
        "SELECT lower(r) AS low, upper(r) AS high FROM sync_progress p, unnest(p.coverage) AS r"
        " WHERE p.tenant_id = :tenant"
    )
    return [(row.low, row.high) for row in rows]
