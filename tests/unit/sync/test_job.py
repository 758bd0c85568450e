"""A job from plan to result, with fake guild, catalog, dispatcher and sink."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest

from raysync.errors import (
    AccessDeniedError,
    BannedError,
    ContentIntentError,
    DatabaseFullError,
    NotFoundError,
    RetryableError,
    SearchIndexError,
    UnknownChannelError,
)
from raysync.models import channel_types
from raysync.models.entities import (
    BotIdentity,
    BotMember,
    Channel,
    Guild,
    Overwrite,
    Role,
    ThreadState,
)
from raysync.models.events import ChannelProgress, JobHeader, JobView
from raysync.models.extras import Extras
from raysync.models.ids import (
    ChannelId,
    ChannelKey,
    GuildId,
    JobId,
    MessageId,
    TenantId,
    UserId,
    moment_of,
)
from raysync.models.privacy import PeopleRules
from raysync.models.status import ChannelJobStatus, JobStatus, SyncType
from raysync.models.work import (
    ArchiveKey,
    ArchiveRecord,
    ChannelOutcome,
    ChannelTally,
    ChannelTask,
    DeadLetterNote,
    IdRange,
    KnownChannel,
    Recheck,
    Skipped,
    StoredChannel,
    SyncWindow,
)
from raysync.sync.job.inputs import JobPorts, JobScope
from raysync.sync.job.job import SyncJob
from raysync.sync.job.outcome import JobOutcome
from raysync.sync.planning.permissions import Permission
from raysync.sync.planning.planner import GuildPlanner
from raysync.sync.progress.board import ProgressBoard
from raysync.sync.results.summary import summarize
from raysync.sync.retry import Retrier, RetryPolicy, failure_of
from tests.unit.sync.fakes import snowflakes
from tests.virtual_time import LoopClock, run_virtual

GUILD = GuildId(100)
HIDDEN = Overwrite(GUILD, is_member=False, allow=0, deny=Permission.VIEW_CHANNEL)
IDS = snowflakes(100)
HEADER = JobHeader(
    JobId("job"), "takaro", SyncType.INCREMENTAL, datetime(2026, 1, 1, tzinfo=UTC), 48.0
)


def make_channel(
    channel_id: int, kind: int = channel_types.TEXT, last: int | None = IDS[50]
) -> Channel:
    last_id = None if last is None else MessageId(last)
    return Channel(ChannelId(channel_id), GUILD, kind, f"c{channel_id}", None, last_id)


def make_thread(channel_id: int, parent: int, *, archived: bool = False, kind: int = 11) -> Channel:
    state = ThreadState(archived, None, 20, bot_is_member=False)
    return replace(make_channel(channel_id, kind), parent_id=ChannelId(parent), thread=state)


@dataclass
class FakeGuild:
    """Guild that lists the channels of a test."""

    channels: list[Channel] = field(default_factory=list)
    active: list[Channel] = field(default_factory=list)
    archived: dict[tuple[int, bool], list[Channel]] = field(default_factory=dict)
    refuse_archived: set[int] = field(default_factory=set)
    break_archived: set[int] = field(default_factory=set)
    has_intent: bool = True
    everyone: int = Permission.VIEW_CHANNEL | Permission.READ_MESSAGE_HISTORY
    listed: list[tuple[int, bool, bool]] = field(default_factory=list)
    searchable: dict[int, list[Channel]] = field(default_factory=dict)
    no_index: set[int] = field(default_factory=set)
    existing: set[int] = field(default_factory=set)
    nobody_says: set[int] = field(default_factory=set)
    looked_for: list[int] = field(default_factory=list)

    async def identify(self) -> BotIdentity:
        return BotIdentity(UserId(7), self.has_intent)

    async def fetch_guild(self, guild_id: GuildId) -> Guild:
        return Guild(guild_id, "g", UserId(1), (Role(guild_id, self.everyone),))

    async def fetch_member(self, guild_id: GuildId, user_id: UserId) -> BotMember:
        return BotMember(user_id, frozenset())

    async def list_channels(self, guild_id: GuildId) -> Sequence[Channel]:
        return self.channels

    async def list_active_threads(self, guild_id: GuildId) -> Sequence[Channel]:
        return list(self.active)

    async def list_archived_threads(
        self, parent: Channel, *, private: bool, joined_only: bool = False
    ) -> AsyncIterator[Channel]:
        self.listed.append((parent.id, private, joined_only))
        if parent.id in self.refuse_archived:
            raise AccessDeniedError("403")
        if parent.id in self.break_archived:
            raise RetryableError("500")
        for each in self.archived.get((parent.id, private), []):
            yield each

    async def search_archived_threads(self, parent: Channel) -> AsyncIterator[Channel]:
        if parent.id in self.no_index:
            raise SearchIndexError("no index yet", 0.1)
        for each in self.searchable.get(parent.id, []):
            yield each

    async def has_channel(self, channel_id: ChannelId) -> bool:
        self.looked_for.append(channel_id)
        if channel_id in self.nobody_says:
            raise NotFoundError("404")
        return channel_id in self.existing


@dataclass
class FakeCatalog:
    coverage: dict[int, tuple[IdRange, ...]] = field(default_factory=dict)
    recorded: list[ChannelId] = field(default_factory=list)
    settled: dict[ArchiveKey, ArchiveRecord] = field(default_factory=dict)
    stored: list[KnownChannel] = field(default_factory=list)
    deleted: set[ChannelId] = field(default_factory=set)
    recheck_requests: int | None = None
    readable: Collection[ChannelId] = ()
    due: list[Recheck] = field(default_factory=list)
    rechecked: dict[ChannelKey, int | None] = field(default_factory=dict)
    read_at: datetime | None = None
    left: list[Recheck] = field(default_factory=list)
    refused: dict[ChannelId, DeadLetterNote] = field(default_factory=dict)

    @property
    def watermarks(self) -> dict[ArchiveKey, datetime]:
        """Lists with a time down to which later runs can skip them."""
        return {
            key: record.archived_until
            for key, record in self.settled.items()
            if record.archived_until is not None
        }

    async def listings(self) -> Mapping[ArchiveKey, ArchiveRecord]:
        return dict(self.settled)

    async def note_listings(self, listings: Mapping[ArchiveKey, ArchiveRecord]) -> None:
        self.settled.update(listings)

    async def plan_rechecks(
        self, requests: int, before: int, readable: Collection[ChannelId]
    ) -> Sequence[Recheck]:
        self.recheck_requests, self.readable = requests, readable
        return list(self.due)

    async def plan_sample(self, pages: int, readable: Collection[ChannelId]) -> Sequence[Recheck]:
        self.recheck_requests, self.readable = pages, readable
        return list(self.due)

    async def note_rechecks(
        self, done: Mapping[ChannelKey, int | None], began_at: datetime
    ) -> None:
        self.rechecked |= done

    async def plan_leftovers(self, extras: Extras, window: IdRange) -> Sequence[Recheck]:
        return list(self.left)

    async def letters(self) -> Mapping[ChannelId, DeadLetterNote]:
        return self.refused

    async def known(self) -> Sequence[KnownChannel]:
        return [each for each in self.stored if each.id not in self.deleted]

    async def mark_deleted(self, channels: Collection[ChannelId]) -> None:
        self.deleted.update(channels)

    async def record(self, channels: Sequence[Channel]) -> Mapping[ChannelId, StoredChannel]:
        self.recorded += [each.id for each in channels]
        return {
            each.id: StoredChannel(
                ChannelKey(each.id), each.id, self.coverage.get(each.id, ()), 0, self.read_at
            )
            for each in channels
        }


@dataclass
class FakeDispatcher:
    clock: LoopClock
    tasks: list[ChannelTask] = field(default_factory=list)
    failures: dict[int, Exception] = field(default_factory=dict)
    vanishing: set[int] = field(default_factory=set)
    pause_s: float = 1.0

    async def run(self, task: ChannelTask) -> ChannelOutcome:
        self.tasks.append(task)
        started_at = self.clock.now()
        await asyncio.sleep(self.pause_s)
        if task.channel_id in self.vanishing:
            raise asyncio.CancelledError  # which a task group takes for an end like any other
        error = self.failures.get(task.channel_id)
        return ChannelOutcome(
            task.channel_id,
            ChannelJobStatus.FAILED if error else ChannelJobStatus.COMPLETED,
            "worker-0",
            task.attempt,
            started_at,
            self.clock.now(),
            ChannelTally(requests=2, pages=2, messages=150),
            0,
            failure_of(error) if error else None,
        )


class BoardSink:
    """The real board, without an actor around it."""

    def __init__(self, board: ProgressBoard) -> None:
        self.board = board

    async def plan(self, tasks: Sequence[ChannelTask], skipped: Sequence[Skipped]) -> None:
        self.board.plan(tasks, skipped)

    async def planned(self) -> None:
        self.board.planned()

    async def settle(self, outcome: ChannelOutcome) -> None:
        self.board.settle(outcome)


class Stage:
    """Everything that a job needs."""

    def __init__(self, guild: FakeGuild, window: SyncWindow | None = None) -> None:
        self.clock = LoopClock()
        self.guild = guild
        self.catalog = FakeCatalog()
        self.dispatcher = FakeDispatcher(self.clock)
        self.window = window or SyncWindow(SyncType.INCREMENTAL)
        self.people = PeopleRules()

    def job(self) -> SyncJob:
        self.board = ProgressBoard(HEADER, self.clock)
        return SyncJob(
            JobScope.of(HEADER, TenantId(1), self.window, self.clock.now(), self.people),
            JobPorts(
                planner=GuildPlanner(self.guild, GUILD),
                catalog=self.catalog,
                dispatcher=self.dispatcher,
                sink=BoardSink(self.board),
                clock=self.clock,
                retry=Retrier(RetryPolicy(), self.clock),
            ),
        )

    def run(self) -> JobOutcome:
        async def scenario() -> JobOutcome:
            return await self.job().run()

        return run_virtual(scenario())

    @property
    def synced(self) -> set[int]:
        return {each.channel_id for each in self.dispatcher.tasks}


def test_channels_and_threads_of_every_kind_are_synced_once() -> None:
    guild = FakeGuild(
        channels=[
            make_channel(1),
            make_channel(2, channel_types.FORUM, None),
            make_channel(3, channel_types.CATEGORY, None),
            make_channel(4, channel_types.ANNOUNCEMENT),
        ],
        active=[make_thread(10, 1), make_thread(11, 2)],
        archived={(1, False): [make_thread(12, 1)], (2, False): [make_thread(11, 2)]},
    )
    stage = Stage(guild)

    end = stage.run()

    assert end.status is JobStatus.COMPLETED
    assert sorted(each.channel_id for each in stage.dispatcher.tasks) == [1, 4, 10, 11, 12]
    assert sorted(stage.catalog.recorded) == [1, 2, 3, 4, 10, 11, 12]


def test_an_unreadable_channel_is_skipped_with_its_reason_and_never_listed() -> None:
    hidden = replace(make_channel(2), overwrites=(HIDDEN,))
    unknown = make_channel(3, 99)
    stage = Stage(FakeGuild(channels=[make_channel(1), hidden, unknown]))

    end = stage.run()

    assert stage.synced == {1}
    assert {each.channel_id: each.reason for each in end.skipped} == {
        2: "the bot lacks VIEW_CHANNEL",
        3: "its type (99) is unknown to this version",
    }
    assert {parent for parent, *_ in stage.guild.listed} == {1}


@pytest.mark.parametrize(("extra", "joined_only"), [(0, True), (Permission.MANAGE_THREADS, False)])
def test_private_archived_threads_are_listed_as_far_as_allowed(
    extra: int, joined_only: bool
) -> None:
    guild = FakeGuild(channels=[make_channel(1)])
    guild.everyone |= extra

    Stage(guild).run()

    assert guild.listed == [(1, False, False), (1, True, joined_only)]


def test_an_unchanged_channel_is_not_asked() -> None:
    stage = Stage(FakeGuild(channels=[make_channel(1), make_channel(2)]))
    stage.catalog.coverage = {1: (IdRange(0, IDS[50] + 1),), 2: (IdRange(0, IDS[40]),)}

    end = stage.run()

    assert stage.synced == {2}
    assert end.unchanged == 1


@pytest.mark.parametrize(("minutes", "expected"), [(1, {1}), (6, set())])
def test_a_channel_read_within_minutes_of_its_last_message_is_read_again_once(
    minutes: int, expected: set[int]
) -> None:
    stage = Stage(FakeGuild(channels=[make_channel(1)]))
    stage.catalog.coverage = {1: (IdRange(0, IDS[50] + 1),)}
    stage.catalog.read_at = moment_of(IDS[50]) + timedelta(minutes=minutes)

    stage.run()

    assert stage.synced == expected


def test_the_look_back_asks_for_recent_channels_again() -> None:
    window = SyncWindow(SyncType.INCREMENTAL, lookback_s=400 * 86400)
    stage = Stage(FakeGuild(channels=[make_channel(1)]), window)
    stage.catalog.coverage = {1: (IdRange(0, IDS[50] + 1),)}

    stage.run()

    assert stage.synced == {1}


def test_a_full_run_asks_for_everything() -> None:
    stage = Stage(FakeGuild(channels=[make_channel(1)]), SyncWindow(SyncType.FULL))
    stage.catalog.coverage = {1: (IdRange(0, IDS[50] + 1),)}

    stage.run()

    assert stage.synced == {1}


def test_named_channels_bring_their_threads() -> None:
    guild = FakeGuild(
        channels=[make_channel(1), make_channel(2)],
        active=[make_thread(10, 1), make_thread(20, 2)],
        archived={(1, False): [make_thread(11, 1)]},
    )
    stage = Stage(guild, SyncWindow(SyncType.INCREMENTAL, channels=frozenset({ChannelId(1)})))

    stage.run()

    assert stage.synced == {1, 10, 11}
    assert {parent for parent, *_ in guild.listed} == {1}


def test_an_unknown_channel_is_reported() -> None:
    window = SyncWindow(SyncType.INCREMENTAL, channels=frozenset({ChannelId(1), ChannelId(9)}))
    stage = Stage(FakeGuild(channels=[make_channel(1)]), window)

    end = stage.run()

    assert end.status is JobStatus.PARTIAL
    assert [each.channel_id for each in end.troubles] == [9]


def test_a_run_for_unknown_channels_alone_is_refused() -> None:
    window = SyncWindow(SyncType.INCREMENTAL, channels=frozenset({ChannelId(9)}))

    with pytest.raises(UnknownChannelError, match="9"):
        Stage(FakeGuild(channels=[make_channel(1)]), window).run()


def test_a_failed_channel_makes_the_job_partial_and_stops_no_other() -> None:
    stage = Stage(FakeGuild(channels=[make_channel(1), make_channel(2)]))
    stage.dispatcher.failures = {1: AccessDeniedError("403")}

    end = stage.run()
    result = summarize(HEADER, end, {}, {}, 2, LoopClock.start)

    assert end.status is JobStatus.PARTIAL
    assert result.channels_processed == 1
    assert [(each.channel_id, each.error) for each in result.errors] == [
        ("1", "AccessDeniedError: 403")
    ]


def test_a_job_with_a_channel_without_outcome_is_not_completed() -> None:
    stage = Stage(FakeGuild(channels=[make_channel(1), make_channel(2)]))
    stage.dispatcher.vanishing = {1}

    end = stage.run()

    assert end.status is JobStatus.PARTIAL
    assert [(each.channel_id, "unknown reason" in each.message) for each in end.troubles] == [
        (1, True)
    ]


def test_a_refused_list_of_archived_threads_is_trouble_of_that_channel_alone() -> None:
    stage = Stage(FakeGuild(channels=[make_channel(1), make_channel(2)], refuse_archived={1}))

    end = stage.run()

    assert end.status is JobStatus.PARTIAL
    assert stage.synced == {1, 2}
    assert [each.channel_id for each in end.troubles] == [1]


def test_a_ban_ends_the_job_at_once() -> None:
    stage = Stage(FakeGuild(channels=[make_channel(n) for n in range(1, 9)]))
    stage.dispatcher.failures = {3: BannedError("Discord blocks this address")}

    end = stage.run()

    assert end.status is JobStatus.FAILED
    assert [each.message for each in end.troubles] == ["Discord blocks this address"]


def test_a_guild_without_the_content_intent_is_refused() -> None:
    stage = Stage(FakeGuild(channels=[make_channel(1)], has_intent=False))

    with pytest.raises(ContentIntentError, match="Message Content intent"):
        stage.run()

    assert stage.synced == set()


def cancelled_after_a_second(stage: Stage) -> JobOutcome:
    stage.dispatcher.pause_s = 1000.0

    async def scenario() -> JobOutcome:
        job = stage.job()
        running = asyncio.create_task(job.run())
        await asyncio.sleep(1)
        job.cancel()
        return await running

    return run_virtual(scenario())


def test_a_cancelled_job_reports_what_is_left() -> None:
    end = cancelled_after_a_second(Stage(FakeGuild(channels=[make_channel(1), make_channel(2)])))

    assert end.status is JobStatus.CANCELLED
    assert {each.channel_id for each in end.unfinished} == {1, 2}


def test_a_job_that_is_ended_for_a_reason_has_failed_for_it() -> None:
    stage = Stage(FakeGuild(channels=[make_channel(1), make_channel(2)]))
    stage.dispatcher.pause_s = 1000.0

    async def scenario() -> JobOutcome:
        job = stage.job()
        running = asyncio.create_task(job.run())
        await asyncio.sleep(1)
        job.cancel(DatabaseFullError("The disk is full."))
        job.cancel()  # by a signal, a moment later
        return await running

    end = run_virtual(scenario())

    assert end.status is JobStatus.FAILED
    assert [(each.channel_id, each.message) for each in end.troubles] == [
        (None, "The disk is full.")
    ]


def test_cancelling_the_caller_of_a_cancelled_job_ends_it_at_once() -> None:
    stage = Stage(FakeGuild(channels=[make_channel(1)]))
    stage.dispatcher.pause_s = 1000.0

    async def scenario() -> None:
        job = stage.job()
        running = asyncio.create_task(job.run())
        await asyncio.sleep(1)
        job.cancel()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    run_virtual(scenario())


def test_stored_messages_of_a_cancelled_channel_count() -> None:
    end = cancelled_after_a_second(Stage(FakeGuild(channels=[make_channel(1), make_channel(2)])))
    tally = ChannelTally(requests=3, pages=3, messages=300, last_message_id=MessageId(7))
    begun = ChannelProgress(ChannelId(1), 1, "worker-0", LoopClock.start, tally, 0.5)

    result = summarize(HEADER, end, {}, {ChannelId(1): begun}, 2, LoopClock.start)

    assert result.messages_processed == 300
    by_id = {channel.channel_id: channel for channel in result.channel_results}
    assert (by_id["1"].status, by_id["1"].messages_processed) == ("pending", 300)
    assert (by_id["1"].worker_id, by_id["1"].last_message_id) == ("worker-0", "7")
    assert (by_id["2"].worker_id, by_id["2"].messages_processed) == (None, 0)


def test_the_board_counts_what_the_job_did() -> None:
    stage = Stage(FakeGuild(channels=[make_channel(1), make_channel(2)]))

    stage.run()
    view = run_virtual(_view(stage.board))

    assert (view.channels_total, view.channels_completed, view.messages) == (2, 2, 300)
    assert not view.planning


async def _view(board: ProgressBoard) -> JobView:
    return board.view(busiest=10)


@pytest.mark.parametrize(("takes_s", "is_found"), [(10.0, False), (90.0, True)])
def test_channels_created_during_a_long_run_are_read_by_it(takes_s: float, is_found: bool) -> None:
    stage = Stage(FakeGuild(channels=[make_channel(1)]))
    stage.dispatcher.pause_s = takes_s

    async def scenario() -> JobOutcome:
        asyncio.get_running_loop().call_later(5.0, appear)
        return await stage.job().run()

    def appear() -> None:
        stage.guild.channels = [make_channel(1), make_channel(2), make_channel(3)]
        stage.guild.channels[2] = replace(make_channel(3), overwrites=(HIDDEN,))
        stage.guild.active = [make_thread(20, 2), make_thread(21, 1)]

    end = run_virtual(scenario())

    assert end.status is JobStatus.COMPLETED
    assert stage.synced == ({1, 2, 20, 21} if is_found else {1})
    assert [each.channel_id for each in end.skipped] == ([3] if is_found else [])


def test_a_recently_refused_channel_is_not_read_and_is_reported() -> None:
    stage = Stage(FakeGuild(channels=[make_channel(1), make_channel(2)]))
    until = datetime(2026, 1, 3, tzinfo=UTC)
    stage.catalog.refused = {ChannelId(2): refusal(2, until)}

    end = stage.run()

    assert stage.synced == {1}
    assert end.status is JobStatus.PARTIAL
    (trouble,) = end.troubles
    assert trouble.channel_id == 2
    assert "2026-01-03" in trouble.message
    assert "Discord answers 403." in trouble.message


def test_a_refused_channel_that_is_named_is_read() -> None:
    window = SyncWindow(SyncType.INCREMENTAL, channels=frozenset({ChannelId(2)}))
    stage = Stage(FakeGuild(channels=[make_channel(1), make_channel(2)]), window)
    stage.catalog.refused = {ChannelId(2): refusal(2, HEADER.started_at)}

    assert stage.run().status is JobStatus.COMPLETED
    assert stage.synced == {2}


def leftover(channel_id: int, kind: int = channel_types.TEXT, parent: int | None = None) -> Recheck:
    whole = (IdRange(0, IDS[50] + 1),)
    stored = StoredChannel(ChannelKey(channel_id), ChannelId(channel_id), whole, 50)
    parent_id = None if parent is None else ChannelId(parent)
    last_id = MessageId(IDS[50])
    return Recheck(stored, f"c{channel_id}", kind, parent_id, last_id, (), 0, is_last=False)


def refusal(
    channel_id: int,
    cools_until: datetime | None,
    kind: int = channel_types.TEXT,
    parent: int | None = None,
) -> DeadLetterNote:
    return DeadLetterNote(cools_until, "Discord answers 403.", leftover(channel_id, kind, parent))


@pytest.mark.parametrize(
    ("window", "is_read"),
    [
        pytest.param(SyncWindow(SyncType.INCREMENTAL), True, id="a plain run"),
        pytest.param(SyncWindow(SyncType.INCREMENTAL, since=HEADER.started_at), False, id="since"),
        pytest.param(SyncWindow(SyncType.VERIFY), False, id="a verification"),
    ],
)
def test_a_thread_that_was_given_up_and_is_in_no_list_is_tried_again_once_it_has_cooled_down(
    window: SyncWindow, is_read: bool
) -> None:
    stage = Stage(FakeGuild(channels=[make_channel(1)]), window)
    stage.catalog.coverage = {1: (IdRange(0, IDS[50] + 1),)}
    cools_until = datetime(2026, 1, 3, tzinfo=UTC)
    stage.catalog.refused = {ChannelId(30): refusal(30, cools_until, 11, parent=1)}

    assert 30 not in {each.channel_id for each in stage.run().planned}

    stage.catalog.refused = {ChannelId(30): refusal(30, None, 11, parent=1)}
    tried = [each for each in stage.run().planned if each.channel_id == 30]
    assert [each.only_recheck for each in tried] == ([False] if is_read else [])


def test_a_forgotten_thread_that_was_given_up_is_not_tried_again() -> None:
    stage = Stage(FakeGuild(channels=[make_channel(1)]))
    stage.people = PeopleRules(channels=frozenset({ChannelId(1)}))
    stage.catalog.refused = {ChannelId(30): refusal(30, None, 11, parent=1)}

    stage.run()

    assert stage.synced == set()


def test_extras_that_are_missing_bring_channels_back_that_have_nothing_new() -> None:
    window = SyncWindow(SyncType.INCREMENTAL, extras=Extras(reactors=True))
    stage = Stage(FakeGuild(channels=[make_channel(1), make_channel(2)]), window)
    whole = (IdRange(0, IDS[50] + 1),)
    stage.catalog.coverage = {1: whole, 2: whole}
    stage.catalog.left = [leftover(2), leftover(30, 11, parent=1), leftover(31, 11, parent=9)]

    end = stage.run()

    assert stage.synced == {2, 30}, "an archived thread is in no list, and one has no parent left"
    assert all(each.only_recheck and not each.recheck for each in stage.dispatcher.tasks)
    assert end.unchanged == 1


def test_a_thread_that_cools_down_keeps_its_list_from_being_settled() -> None:
    thread = make_archived(12, 1)
    stage = Stage(FakeGuild(channels=[make_channel(1)], archived={(1, False): [thread]}))
    until = datetime(2026, 1, 3, tzinfo=UTC)
    stage.catalog.refused = {ChannelId(12): refusal(12, until)}

    stage.run()
    public = ArchiveKey(ChannelId(1), is_private=False)
    assert public not in stage.catalog.settled

    stage.catalog.refused = {}
    stage.run()
    assert 12 in stage.synced
    assert stage.catalog.settled[public].archived_until is not None


def make_archived(channel_id: int, parent: int) -> Channel:
    state = ThreadState(True, datetime(2025, 6, 1, tzinfo=UTC), 20, bot_is_member=False)
    return replace(make_thread(channel_id, parent), thread=state)


def test_a_channel_that_was_given_up_does_not_rest_until_it_is_read() -> None:
    stage = Stage(FakeGuild(channels=[make_channel(1)]))
    stage.catalog.coverage = {1: (IdRange(0, IDS[50] + 1),)}
    stage.catalog.refused = {ChannelId(1): refusal(1, None)}

    stage.run()

    assert stage.synced == {1}


def test_a_named_thread_that_is_gone_is_marked_and_is_no_trouble() -> None:
    window = SyncWindow(SyncType.INCREMENTAL, channels=frozenset({ChannelId(12)}))
    stage = Stage(FakeGuild(channels=[make_channel(1)]), window)
    stage.catalog.stored = [KnownChannel(ChannelId(12), 11, ChannelId(1))]

    end = stage.run()

    assert end.status is JobStatus.COMPLETED
    assert stage.catalog.deleted == {12}


def test_a_404_that_does_not_say_what_is_gone_marks_nothing() -> None:
    stage = Stage(FakeGuild(channels=[make_channel(1)], nobody_says={2}))
    stage.catalog.stored = [
        KnownChannel(ChannelId(1), 0, None),
        KnownChannel(ChannelId(2), 0, None),
        KnownChannel(ChannelId(3), 0, None),
    ]

    end = stage.run()

    assert stage.catalog.deleted == {3}
    assert end.status is JobStatus.PARTIAL
    assert [each.channel_id for each in end.troubles] == [2]


def test_one_list_that_cannot_be_read_ends_no_job() -> None:
    guild = FakeGuild(channels=[make_channel(1), make_channel(2)], break_archived={1})
    stage = Stage(guild)

    end = stage.run()

    assert stage.synced == {1, 2}
    assert end.status is JobStatus.PARTIAL
