"""Lists of archived threads that runs divide among them, and the cases in which they must not.

Each story happens between two runs. Where Discord's lists of the guild show it, the next run finds
it, a minute later. Where nothing shows it, a run of the window finds it, and `--full` at once.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest

from raysync.clock import SystemClock
from raysync.emulator import (
    Action,
    Emulator,
    FaultRule,
    GuildSpec,
    Limits,
    World,
    generate_guild,
    serve,
)
from raysync.emulator.edits.by_name import Edits
from raysync.emulator.faults import FaultScript
from raysync.emulator.world.entities import ChannelType, Thread
from raysync.emulator.world.permissions import READER, Permission
from raysync.models.status import JobStatus, SyncType
from raysync.models.work import ArchiveTally, SyncWindow
from raysync.sync.job.outcome import JobOutcome
from tests.archive import Archive

TOKEN = "a-token"
HOUR_S, WINDOW_S = 3600.0, 6 * 3600.0
DAY_MS = 86_400_000
PLAIN = SyncWindow(SyncType.INCREMENTAL, lookback_s=0.0, archives_every_s=WINDOW_S)
EVERY_RUN = SyncWindow(SyncType.INCREMENTAL, lookback_s=0.0)
FULL = SyncWindow(SyncType.FULL, archives_every_s=WINDOW_S)
VERIFY = SyncWindow(SyncType.VERIFY, archives_every_s=WINDOW_S)
MANAGER = READER | Permission.MANAGE_THREADS
CREATE_PUBLIC_THREADS, CREATE_PRIVATE_THREADS = 1 << 35, 1 << 36
CHANNEL = "GET /channels/{channel_id}"
MESSAGES = f"{CHANNEL}/messages"


class ShiftedClock(SystemClock):
    """Clock of the machine, shifted into the past."""

    def __init__(self, offset: timedelta) -> None:
        self.offset = offset

    def now(self) -> datetime:
        return datetime.now(UTC) + self.offset


class Stage:
    """An archive of an emulated guild, with a clock that the test moves."""

    def __init__(self, archive: Archive, world: World, emulator: Emulator) -> None:
        self.archive, self.world, self.emulator = archive, world, emulator
        (self.guild,) = world.guilds.values()
        self.edits: Edits = emulator.edits
        self.clock = archive.clock = ShiftedClock(timedelta())
        self.pass_s(-3 * 86_400.0)

    def pass_s(self, seconds: float) -> None:
        """Move the clocks of the archive and of Discord."""
        self.clock.offset += timedelta(seconds=seconds)
        self.world.clock.offset_ms += int(seconds * 1000)

    async def run(self, window: SyncWindow = PLAIN) -> JobOutcome:
        self.emulator.log.reset()
        end = await self.archive.run(window)
        assert end.status is JobStatus.COMPLETED, end.troubles
        return end

    def asked(self) -> Counter[tuple[str | None, str]]:
        """Return the lists of archived threads that the last run requested."""
        return Counter(
            (entry.major_id, entry.path.partition("?")[0].rpartition("/")[2])
            for entry in self.emulator.log.entries
            if "/threads/archived/" in entry.path
        )

    async def is_true(self) -> bool:
        """Return whether the archive holds what Discord has."""
        gone = await self.archive.gone_channels()
        stored = {
            key: content
            for key, (content, there) in (await self.archive.rows()).items()
            if there and key[0] not in gone
        }
        truth = self.world.truth(self.guild.id, token=TOKEN)
        return stored == {(place, int(each["id"])): each["content"] for place, each in truth}

    def of_kind(self, kind: int) -> list[int]:
        return [each.id for each in self.guild.channels.values() if each.type == kind]

    def threads(self, kind: int, *, archived: bool, parent: int | None = None) -> list[Thread]:
        parents = self.of_kind(kind) if parent is None else [parent]
        return [
            each
            for each in self.guild.threads.values()
            if each.archived is archived
            and each.parent_id in parents
            and each.type == ChannelType.PUBLIC_THREAD
        ]


@asynccontextmanager
async def staged(engine, permissions: int = MANAGER) -> AsyncIterator[Stage]:
    spec = GuildSpec(
        text_channels=6,
        text_messages=60,
        forum_channels=2,
        posts=8,
        threads=12,
        private_threads=4,
        messages_per_thread=3,
        archived=0.6,
        users=20,
        end_ms=int(time.time() * 1000) - 30 * DAY_MS,
        span_days=60.0,
    )
    world = World(generate_guild(spec, seed=11))
    world.add_bot(TOKEN, permissions=permissions)
    (guild,) = world.guilds.values()
    edits = Edits(world)
    private = [each.id for each in guild.threads.values() if each.type == 12]
    edits.unarchive_thread(private[0])
    for kind in (ChannelType.TEXT, ChannelType.FORUM):  # what is drawn depends on the time
        active, archived = [
            each
            for each in guild.threads.values()
            if each.type == ChannelType.PUBLIC_THREAD
            and guild.channels[each.parent_id].type == kind
        ][:2]
        if active.archived:
            edits.unarchive_thread(active.id)
        if not archived.archived:
            edits.archive_thread(archived.id, at_ms=archived.archive_ms + DAY_MS)
    async with serve(world, limits=Limits.off()) as emulator:
        archive = Archive(engine, emulator.url, TOKEN, 100)
        await archive.add(next(iter(world.guilds)))
        yield Stage(archive, world, emulator)


def a_thread_from_a_new_message(stage: Stage) -> None:
    text = stage.of_kind(ChannelType.TEXT)[0]
    thread = stage.edits.create_thread(
        text, "short", message_id=stage.edits.post_message(text, "let us talk")
    )
    stage.edits.post_message(thread, "talked")
    stage.edits.archive_thread(thread)


def a_thread_from_an_old_message(stage: Stage) -> None:
    text = stage.of_kind(ChannelType.TEXT)[1]
    old = next(
        each for each in stage.guild.channels[text].log.ids if each not in stage.world.channels
    )
    thread = stage.edits.create_thread(text, "late", message_id=old)
    stage.edits.post_message(thread, "an afterthought")
    stage.edits.archive_thread(thread)


def a_new_post(stage: Stage) -> None:
    forum = stage.of_kind(ChannelType.FORUM)[0]
    thread = stage.edits.create_thread(forum, "solved at once")
    stage.edits.post_message(thread, "question")
    stage.edits.archive_thread(thread)


def an_active_thread_is_archived(stage: Stage) -> None:
    thread = stage.threads(ChannelType.TEXT, archived=False)[0]
    stage.edits.post_message(thread.id, "the last word")
    stage.edits.archive_thread(thread.id)


def an_active_private_thread_is_archived(stage: Stage) -> None:
    thread = next(
        each
        for each in stage.guild.threads.values()
        if each.type == ChannelType.PRIVATE_THREAD and not each.archived
    )
    stage.edits.post_message(thread.id, "the last word")
    stage.edits.archive_thread(thread.id)


def an_active_post_is_deleted(stage: Stage) -> None:
    stage.edits.delete_channel(stage.threads(ChannelType.FORUM, archived=False)[0].id)


def a_thread_without_a_message(stage: Stage) -> None:
    text = stage.of_kind(ChannelType.TEXT)[2]
    thread = stage.edits.create_thread(text, "quiet")
    stage.edits.post_message(thread, "nothing in the channel tells")
    stage.edits.archive_thread(thread)


def an_archived_thread_is_revived(stage: Stage) -> None:
    thread = stage.threads(ChannelType.TEXT, archived=True)[0]
    stage.edits.post_message(thread.id, "one more thing")
    stage.edits.archive_thread(thread.id)


def an_archived_post_is_revived(stage: Stage) -> None:
    thread = stage.threads(ChannelType.FORUM, archived=True)[0]
    stage.edits.post_message(thread.id, "it came back")
    stage.edits.archive_thread(thread.id)


def a_private_thread_where_nobody_may_start_one(stage: Stage) -> None:
    """The owner needs no permission."""
    text = stage.of_kind(ChannelType.TEXT)[3]
    denied = CREATE_PUBLIC_THREADS | CREATE_PRIVATE_THREADS | Permission.SEND_MESSAGES
    stage.edits.set_overwrite(text, stage.guild.id, deny=denied)
    thread = stage.edits.create_thread(text, "staff", ChannelType.PRIVATE_THREAD)
    stage.edits.post_message(thread, "among us")
    stage.edits.archive_thread(thread)


def a_permission_is_given_and_taken_away(stage: Stage) -> None:
    """Both between two runs, which see the same permissions."""
    text = stage.of_kind(ChannelType.TEXT)[4]
    stage.edits.set_overwrite(text, stage.guild.id, allow=CREATE_PUBLIC_THREADS)
    thread = stage.edits.create_thread(text, "while it lasted")
    stage.edits.post_message(thread, "quick")
    stage.edits.archive_thread(thread)
    stage.edits.remove_overwrite(text, stage.guild.id)


Story = Callable[[Stage], None]
SHOWN: list[Story] = [
    a_thread_from_a_new_message,
    a_thread_from_an_old_message,
    a_new_post,
    an_active_thread_is_archived,
    an_active_private_thread_is_archived,
    an_active_post_is_deleted,
]
HIDDEN: list[Story] = [
    a_thread_without_a_message,
    an_archived_thread_is_revived,
    an_archived_post_is_revived,
    a_private_thread_where_nobody_may_start_one,
    a_permission_is_given_and_taken_away,
]


@pytest.mark.parametrize("story", SHOWN, ids=lambda story: story.__name__)
async def test_what_the_lists_of_the_guild_show_is_found_by_the_next_run(
    engine, story: Story
) -> None:
    async with staged(engine) as stage:
        await stage.run()
        assert await stage.is_true()

        stage.pass_s(1.0)
        story(stage)
        stage.pass_s(1.0)
        assert not await stage.is_true()
        await stage.run()

        assert await stage.is_true()
        assert sum(stage.asked().values()) <= 2, "those with news, and one whose turn has come"

        stage.pass_s(1.0)
        await stage.run()
        assert sum(stage.asked().values()) <= 1, "the news is settled"


@pytest.mark.parametrize("story", HIDDEN, ids=lambda story: story.__name__)
async def test_what_nothing_shows_is_found_within_the_window(engine, story: Story) -> None:
    async with staged(engine) as stage:
        await stage.run()
        stage.pass_s(60.0)
        story(stage)
        assert not await stage.is_true()

        asked: Counter[tuple[str | None, str]] = Counter()
        for _ in range(6):
            stage.pass_s(HOUR_S)
            end = await stage.run()
            asked += stage.asked()
            assert end.archives is not None
            assert end.archives.since is not None
            assert end.archives.since > stage.clock.now() - timedelta(seconds=WINDOW_S + 60)

        assert await stage.is_true()
        assert len(asked) == end.archives.lists == 2 * 6 + 2
        assert max(asked.values()) <= 2


@pytest.mark.parametrize("window", [FULL, EVERY_RUN], ids=["full", "in every run"])
@pytest.mark.parametrize("story", HIDDEN, ids=lambda story: story.__name__)
async def test_a_run_that_compares_all_finds_it_at_once(
    engine, story: Story, window: SyncWindow
) -> None:
    async with staged(engine) as stage:
        await stage.run()
        stage.pass_s(1.0)
        story(stage)
        stage.pass_s(1.0)
        end = await stage.run(window)

        assert await stage.is_true()
        assert end.archives == ArchiveTally(14, 14, 0, end.archives.since if end.archives else None)


async def test_a_post_deleted_from_the_archive_is_found_by_a_full_run(engine) -> None:
    """A list is read down to where it is settled, so nothing shows what is gone below."""
    async with staged(engine) as stage:
        await stage.run()
        stage.edits.delete_channel(stage.threads(ChannelType.FORUM, archived=True)[0].id)
        stage.pass_s(WINDOW_S)
        await stage.run()
        assert not await stage.is_true()

        await stage.run(FULL)
        assert await stage.is_true()


async def test_a_deleted_post_of_which_discord_said_nothing_is_looked_up_again(engine) -> None:
    async with staged(engine) as stage:
        await stage.run()
        post = stage.threads(ChannelType.FORUM, archived=False)[0].id
        stage.edits.delete_channel(post)
        silent = FaultRule(Action.ANSWER, path=f"/channels/{post}", status=404, body="")
        stage.emulator.faults = FaultScript(silent)
        stage.pass_s(60.0)
        await stage.archive.run(PLAIN)
        assert post not in await stage.archive.gone_channels()

        stage.emulator.faults = FaultScript()
        for _ in range(7):
            stage.pass_s(HOUR_S)
            await stage.run()
        assert post in await stage.archive.gone_channels()
        assert await stage.is_true()


async def test_a_guild_at_rest_is_compared_in_equal_parts(engine) -> None:
    async with staged(engine) as stage:
        await stage.run()
        assert len(stage.asked()) == 14
        stage.pass_s(1.0)
        end = await stage.run()
        assert sum(stage.asked().values()) <= 1
        assert end.archives is not None
        assert end.archives.compared == len(stage.asked())

        asked: Counter[tuple[str | None, str]] = Counter()
        for _ in range(6):
            stage.pass_s(HOUR_S)
            await stage.run()
            assert len(stage.asked()) < 12
            asked += stage.asked()
        assert len(asked) == 14
        assert sum(asked.values()) <= 15

        await stage.run(VERIFY)
        assert len(stage.asked()) == 14


async def test_runs_as_far_apart_as_the_window_compare_every_list(engine) -> None:
    async with staged(engine) as stage:
        for _ in range(3):
            await stage.run()
            assert len(stage.asked()) == 14
            stage.pass_s(WINDOW_S)


async def test_a_list_with_an_unread_thread_is_requested_again(engine) -> None:
    async with staged(engine) as stage:
        await stage.run()
        thread = stage.threads(ChannelType.TEXT, archived=False)[0]
        stage.edits.post_message(thread.id, "hard to read")
        stage.edits.archive_thread(thread.id)
        stage.emulator.faults = FaultScript(
            FaultRule(Action.MALFORMED, route=MESSAGES, channel_id=thread.id)
        )
        stage.pass_s(1.0)
        end = await stage.archive.run(PLAIN)
        assert end.status is JobStatus.PARTIAL
        assert end.archives is not None
        assert end.archives.unsettled == 1

        stage.emulator.faults = FaultScript()
        stage.pass_s(1.0)
        await stage.run()
        assert (str(thread.parent_id), "public") in stage.asked()
        assert await stage.is_true()


async def test_a_new_permission_makes_its_lists_due(engine) -> None:
    """The bot may manage threads from now on, and so read private ones that it has not joined."""
    async with staged(engine, READER) as stage:
        await stage.run()
        assert await stage.is_true()
        bot_id = stage.world.bots[TOKEN].user.id
        (role,) = (role for role in stage.guild.roles.values() if role.bot_id == bot_id)
        stage.edits.set_role_permissions(stage.guild.id, role.id, int(MANAGER))
        assert not await stage.is_true()

        stage.pass_s(1.0)
        await stage.run()
        assert await stage.is_true()
        assert {kind for _, kind in stage.asked()} >= {"private"}
        assert len(stage.asked()) <= 7


async def test_a_private_thread_that_the_bot_lost_costs_its_list_once(engine) -> None:
    async with staged(engine, READER) as stage:
        text = stage.of_kind(ChannelType.TEXT)[0]
        bot_id = stage.world.bots[TOKEN].user.id
        thread = stage.edits.create_thread(text, "staff", ChannelType.PRIVATE_THREAD)
        stage.edits.join_thread(thread, bot_id)
        stage.edits.post_message(thread, "welcome")
        await stage.run()

        stage.edits.leave_thread(thread, bot_id)
        asked = []
        for _ in range(3):
            stage.pass_s(1.0)
            await stage.run()
            asked.append(stage.asked()[str(text), "private"])
        assert asked == [1, 0, 0]

        stage.edits.join_thread(thread, bot_id)
        stage.edits.post_message(thread, "welcome back")
        stage.pass_s(1.0)
        await stage.run()
        stage.edits.archive_thread(thread)
        stage.pass_s(1.0)
        await stage.run()
        assert stage.asked()[str(text), "private"] == 1, "it vanished once more"
        assert await stage.is_true()


async def test_without_a_list_of_active_threads_every_list_is_compared(engine) -> None:
    async with staged(engine) as stage:
        await stage.run()
        missing = ("GET /guilds/{guild_id}/threads/active",)
        stage.emulator.set_quirks(type(stage.emulator.engine.quirks)(missing_routes=missing))
        stage.pass_s(1.0)
        await stage.run()
        assert len(stage.asked()) == 14
        looked_up = [each for each in stage.emulator.log.entries if each.route == CHANNEL]
        assert not looked_up, "an unknown list shows no thread as vanished"
