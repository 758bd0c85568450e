"""An API that lacks a route: told once as not covered, and nothing is proven by its absence."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from raysync.discord_api.routes import NEEDED, OPTIONAL
from raysync.emulator import (
    Action,
    Emulator,
    FaultRule,
    GuildSpec,
    Limits,
    MissingForm,
    Quirks,
    World,
    generate_guild,
    serve,
)
from raysync.emulator.faults import FaultScript
from raysync.emulator.generator.spec import Rates
from raysync.models.extras import Extras, FileRules
from raysync.models.status import JobStatus, SyncType
from raysync.models.work import SyncWindow
from raysync.sync.job.outcome import JobOutcome
from tests.archive import Archive

TOKEN = "a-token"
DAY_MS = 86_400_000
PLAIN = SyncWindow(SyncType.INCREMENTAL, lookback_s=86_400.0)
VERIFY = SyncWindow(SyncType.VERIFY)
CHANNEL = "GET /channels/{channel_id}"
MESSAGES = f"{CHANNEL}/messages"
MESSAGE = f"{CHANNEL}/messages/{{message_id}}"
REACTIONS = f"{MESSAGE}/reactions/{{emoji}}"
PUBLIC = f"{CHANNEL}/threads/archived/public"
PRIVATE = f"{CHANNEL}/threads/archived/private"
JOINED = f"{CHANNEL}/users/@me/threads/archived/private"
SEARCH = f"{CHANNEL}/threads/search"
ACTIVE = "GET /guilds/{guild_id}/threads/active"
REFRESH = "POST /attachments/refresh-urls"
APPLICATION = "GET /oauth2/applications/@me"
APPLICATION_TOO = "GET /applications/@me"
GAP = Quirks(announcement_archive_gap=True)
LISTS = [SEARCH, PUBLIC, JOINED, ACTIVE]


def a_world(*, manages: bool = False) -> World:
    """Channels of all sorts with threads in every list, all of it older than the look-back."""
    spec = GuildSpec(
        text_channels=4,
        text_messages=60,
        announcement_channels=3,
        announcement_messages=30,
        forum_channels=2,
        posts=8,
        threads=12,
        private_threads=6,
        announcement_threads=6,
        messages_per_thread=3,
        archived=0.6,
        users=20,
        rates=Rates(reactions=0.3, attachments=0.2),
        end_ms=int(time.time() * 1000) - 5 * DAY_MS,
        span_days=60.0,
    )
    world = World(generate_guild(spec, seed=11))
    everything = 1 << 10 | 1 << 16 | 1 << 20 | (1 << 34 if manages else 0)
    world.add_bot(TOKEN, permissions=everything)
    (guild,) = world.guilds.values()
    bot_id = world.bots[TOKEN].user.id
    for each in guild.threads.values():
        if each.type == 12:
            each.member_ids.add(bot_id)
    return world


class Stage:
    """An archive of an emulated guild whose API comes and goes in parts."""

    def __init__(self, archive: Archive, world: World, emulator: Emulator) -> None:
        self.archive, self.world, self.emulator = archive, world, emulator
        (self.guild,) = world.guilds.values()

    async def run(
        self,
        window: SyncWindow = PLAIN,
        *missing: str,
        form: MissingForm = MissingForm.DISCORD,
        faults: tuple[FaultRule, ...] = (),
    ) -> JobOutcome:
        self.emulator.log.reset()
        self.emulator.faults = FaultScript(*faults)
        self.emulator.set_quirks(replace(GAP, missing_routes=missing, missing_form=form))
        return await self.archive.run(window)

    def asked(self, route: str) -> int:
        return sum(each.route == route for each in self.emulator.log.entries)

    def truth(self) -> set[tuple[int, int]]:
        return {
            (channel, int(message["id"]))
            for channel, message in self.world.truth(self.guild.id, token=TOKEN)
        }

    async def stored(self) -> set[tuple[int, int]]:
        return set(await self.archive.rows())

    async def settled(self) -> set[tuple[int, bool]]:
        rows = await self.archive.query(
            "SELECT c.platform_channel_id AS id, l.is_private FROM thread_listings l"
            " JOIN channels c ON c.id = l.channel_id WHERE c.tenant_id = :tenant"
        )
        return {(row.id, row.is_private) for row in rows}

    def of_kind(self, kind: int) -> list[int]:
        return [each.id for each in self.guild.channels.values() if each.type == kind]


@asynccontextmanager
async def staged(engine, *, manages: bool = False) -> AsyncIterator[Stage]:
    world = a_world(manages=manages)
    async with serve(world, limits=Limits.off(), quirks=GAP) as emulator:
        archive = Archive(engine, emulator.url, TOKEN, 100)
        await archive.add(next(iter(world.guilds)))
        yield Stage(archive, world, emulator)


def routes_of(end: JobOutcome) -> list[str]:
    return [each.missing.route for each in end.not_covered]


@pytest.mark.parametrize("route", [*LISTS, PRIVATE])
async def test_a_list_that_the_api_lacks_is_asked_for_once_and_found_when_it_is_back(
    engine, route: str
) -> None:
    async with staged(engine, manages=route == PRIVATE) as stage:
        end = await stage.run(PLAIN, route)

        assert end.status is JobStatus.COMPLETED
        assert end.troubles == ()
        assert routes_of(end) == [route]
        assert stage.asked(route) == 1
        missed = stage.truth() - await stage.stored()
        assert missed, "or the list names nothing"
        assert end.gone == frozenset()

        again = await stage.run(PLAIN, route)
        assert (again.status, routes_of(again)) == (JobStatus.COMPLETED, [route])
        assert await stage.archive.gone_channels() == set()

        back = await stage.run(PLAIN)
        assert (back.status, back.not_covered) == (JobStatus.COMPLETED, ())
        assert await stage.stored() == stage.truth()


@pytest.mark.parametrize("form", list(MissingForm))
async def test_however_the_api_says_that_it_lacks_the_route(engine, form: MissingForm) -> None:
    async with staged(engine) as stage:
        end = await stage.run(PLAIN, SEARCH, form=form)

        assert (end.status, end.troubles) == (JobStatus.COMPLETED, ())
        assert routes_of(end) == [SEARCH]
        assert end.not_covered[0].channels == frozenset(stage.of_kind(5))
        assert stage.asked(SEARCH) == 1


async def test_only_lists_that_were_read_are_settled(engine) -> None:
    async with staged(engine) as stage:
        await stage.run(PLAIN, SEARCH)
        announcing, plain = ({(each, False) for each in stage.of_kind(kind)} for kind in (5, 0))
        assert not await stage.settled() & announcing
        assert await stage.settled() & plain

        await stage.run(PLAIN)
        assert await stage.settled() & announcing


async def test_what_came_while_the_list_was_away_is_found_when_it_is_back(engine) -> None:
    """Though an earlier run had settled the list."""
    async with staged(engine) as stage:
        await stage.run(PLAIN)
        assert await stage.stored() == stage.truth()
        edits, parent = stage.emulator.edits, stage.of_kind(0)[0]
        thread_id = edits.create_thread(parent, "while the list was away")
        edits.post_message(thread_id, "said meanwhile")
        edits.archive_thread(thread_id)

        end = await stage.run(PLAIN, PUBLIC, ACTIVE)
        assert (end.status, routes_of(end)) == (JobStatus.COMPLETED, [PUBLIC, ACTIVE])
        assert stage.truth() - await stage.stored()

        await stage.run(PLAIN)
        assert await stage.stored() == stage.truth()


async def test_with_the_public_lists_away_the_search_still_tells(engine) -> None:
    async with staged(engine) as stage:
        await stage.run(PLAIN, PUBLIC)

        stored = {channel for channel, _ in await stage.stored()}
        announced = {each.id for each in stage.guild.threads.values() if each.type == 10}
        assert announced <= stored


async def test_no_channel_is_gone_because_nobody_can_tell(engine) -> None:
    async with staged(engine) as stage:
        await stage.run(PLAIN)
        gone = set(stage.of_kind(0)[:2])
        for each in gone:
            stage.emulator.edits.delete_channel(each)

        end = await stage.run(PLAIN, CHANNEL)
        assert (end.status, routes_of(end)) == (JobStatus.COMPLETED, [CHANNEL])
        assert end.not_covered[0].channels >= gone
        assert stage.asked(CHANNEL) == 1
        assert await stage.archive.gone_channels() == set()

        end = await stage.run(PLAIN)
        assert end.gone >= gone
        assert await stage.archive.gone_channels() >= gone


async def test_threads_are_not_asked_of_one_by_one_where_no_list_tells_which_are_active(
    engine,
) -> None:
    async with staged(engine) as stage:
        await stage.run(PLAIN)
        full = replace(PLAIN, sync_type=SyncType.FULL, lookback_s=0.0)

        end = await stage.run(full, ACTIVE)

        assert end.gone == frozenset()
        assert stage.asked(CHANNEL) == 0


NO_ROUTE = {"message": "404: Not Found", "code": 0}


async def test_a_route_that_fails_for_one_channel_alone_is_the_channels_trouble(engine) -> None:
    async with staged(engine) as stage:
        odd = FaultRule(Action.ANSWER, route=PUBLIC, nth=(3,), status=404, body=NO_ROUTE)

        end = await stage.run(PLAIN, faults=(odd,))

        assert (end.status, end.not_covered) == (JobStatus.PARTIAL, ())
        assert len(end.troubles) == 1
        assert "the route answered before" in end.troubles[0].message
        await stage.run(PLAIN)
        assert await stage.stored() == stage.truth()


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (404, {"message": "Unknown Channel", "code": 10003}),
        (404, {"message": "Unknown Channel"}),
        (403, {"message": "Missing Access", "code": 50001}),
        (400, {"message": "Invalid Form Body", "code": 50035}),
    ],
)
async def test_a_missing_thing_is_no_missing_route(engine, status: int, body: object) -> None:
    async with staged(engine) as stage:
        refused = FaultRule(Action.ANSWER, route=SEARCH, times=1, status=status, body=body)

        end = await stage.run(PLAIN, faults=(refused,))

        assert (end.status, end.not_covered) == (JobStatus.PARTIAL, ())
        assert len(end.troubles) == 1
        assert stage.asked(SEARCH) == 3, "the others are asked of"


@pytest.mark.parametrize(("status", "body"), [(503, None), (202, {"code": 110000, "message": "-"})])
async def test_not_now_is_not_never(engine, status: int, body: object) -> None:
    async with staged(engine) as stage:
        later = FaultRule(Action.ANSWER, route=SEARCH, times=2, status=status, body=body)

        end = await stage.run(PLAIN, faults=(later,))

        assert (end.status, end.not_covered) == (JobStatus.COMPLETED, ())
        assert await stage.stored() == stage.truth()


async def test_who_reacted_is_read_when_the_route_is_back(engine) -> None:
    reactors = replace(PLAIN, extras=Extras(reactors=True))
    counted = (
        "SELECT count(*) AS kept FROM message_emoji_reactions r JOIN channels c"
        " ON c.id = r.channel_id WHERE c.tenant_id = :tenant AND anonymized_user_id <> ''"
    )
    async with staged(engine) as stage:
        end = await stage.run(reactors, REACTIONS)

        assert (end.status, routes_of(end)) == (JobStatus.COMPLETED, [REACTIONS])
        assert len(end.not_covered[0].channels) > 3
        assert stage.asked(REACTIONS) == 1
        assert await stage.stored() == stage.truth()

        end = await stage.run(reactors)
        assert (end.status, end.not_covered) == (JobStatus.COMPLETED, ())
        (row,) = await stage.archive.query(counted)
        assert row.kept > 20


async def test_attachments_wait_for_a_route_that_tells_their_addresses(engine, tmp_path) -> None:
    files = replace(PLAIN, extras=Extras(files=FileRules(str(tmp_path))))
    stored = (
        "SELECT count(*) FILTER (WHERE blob_key IS NOT NULL) AS kept, count(blob_error) AS missed"
        " FROM message_attachments a JOIN channels c ON c.id = a.channel_id"
        " WHERE c.tenant_id = :tenant"
    )
    async with staged(engine) as stage:
        end = await stage.run(files, REFRESH, MESSAGE)
        assert (end.status, routes_of(end)) == (JobStatus.COMPLETED, [MESSAGE])
        assert (stage.asked(REFRESH), stage.asked(MESSAGE)) == (1, 1)
        (row,) = await stage.archive.query(stored)
        assert (row.kept, row.missed) == (0, 0), "nothing is held against the files"

        end = await stage.run(files, REFRESH)
        assert (end.status, end.not_covered) == (JobStatus.COMPLETED, ()), "messages tell it, too"
        assert stage.asked(REFRESH) == 1
        (row,) = await stage.archive.query(stored)
        assert row.kept > 20


async def test_a_newest_message_that_nobody_can_ask_about_is_not_taken_for_deleted(engine) -> None:
    async with staged(engine) as stage:
        await stage.run(PLAIN)
        channel = stage.guild.channels[stage.of_kind(0)[0]]
        last = channel.log.ids[-1]
        stage.emulator.edits.delete_message(channel.id, last)
        full = replace(PLAIN, sync_type=SyncType.FULL, lookback_s=0.0)

        end = await stage.run(full, MESSAGE)
        assert (end.status, routes_of(end)) == (JobStatus.COMPLETED, [MESSAGE])
        assert (await stage.archive.rows())[channel.id, last][1], "it counts as there"

        end = await stage.run(full)
        assert end.not_covered == ()
        assert not (await stage.archive.rows())[channel.id, last][1]


async def test_either_route_tells_of_the_intent_and_pages_do_without(engine) -> None:
    async with staged(engine) as stage:
        end = await stage.run(PLAIN, APPLICATION)
        assert (end.status, end.not_covered) == (JobStatus.COMPLETED, ())
        assert (stage.asked(APPLICATION), stage.asked(APPLICATION_TOO)) == (1, 1)

        end = await stage.run(PLAIN, APPLICATION, APPLICATION_TOO)
        assert (end.status, routes_of(end)) == (JobStatus.COMPLETED, [APPLICATION_TOO])
        assert await stage.stored() == stage.truth()


async def test_a_verification_tells_the_same(engine) -> None:
    async with staged(engine) as stage:
        await stage.run(PLAIN, SEARCH)

        end = await stage.run(VERIFY, SEARCH)

        assert (end.status, end.gaps, routes_of(end)) == (JobStatus.COMPLETED, (), [SEARCH])
        assert {each.channel_id for each in (await stage.run(VERIFY)).gaps}, "now they are seen"


async def test_a_needed_route_is_not_done_without(engine) -> None:
    async with staged(engine) as stage:
        end = await stage.run(PLAIN, MESSAGES)

        assert (end.status, end.not_covered) == (JobStatus.PARTIAL, ())
        assert all(each.failure is not None for each in end.outcomes)
        assert end.gone == frozenset()


async def test_the_table_names_every_route_that_a_run_asks_for(engine, tmp_path) -> None:
    everything = Extras(reactors=True, files=FileRules(str(tmp_path)))
    async with staged(engine, manages=True) as stage:
        await stage.run(replace(PLAIN, extras=everything))
        asked = {each.route for each in stage.emulator.log.entries} - {"GET CDN"}

        assert asked <= NEEDED.keys() | OPTIONAL.keys()
        assert asked >= NEEDED.keys()
        assert OPTIONAL.keys() <= stage.emulator.engine.router.names()
