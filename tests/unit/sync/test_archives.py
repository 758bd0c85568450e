"""Archived threads are listed down to where they are settled; channels that are gone are marked."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from raysync.errors import AccessDeniedError, NotFoundError, RetryableError
from raysync.models import channel_types
from raysync.models.entities import Channel
from raysync.models.ids import ChannelId, ChannelKey
from raysync.models.status import JobStatus, SyncType
from raysync.models.work import (
    ArchiveKey,
    ArchiveRecord,
    IdRange,
    KnownChannel,
    Recheck,
    StoredChannel,
    SyncWindow,
)
from tests.unit.sync.test_job import (
    HIDDEN,
    IDS,
    FakeGuild,
    Stage,
    make_channel,
    make_thread,
    refusal,
)
from tests.virtual_time import LoopClock

PUBLIC = ArchiveKey(ChannelId(1), is_private=False)
NOW = LoopClock.start
DAYS = [3, 10, 20, 40]  # ago


def archived(channel_id: int, at: datetime, parent: int = 1, kind: int = 11) -> Channel:
    thread = make_thread(channel_id, parent, archived=True, kind=kind)
    assert thread.thread is not None
    return replace(thread, thread=replace(thread.thread, archived_at=at))


@pytest.fixture
def guild() -> FakeGuild:
    threads = [archived(10 + days, NOW - timedelta(days=days)) for days in DAYS]
    return FakeGuild(channels=[make_channel(1)], archived={(1, False): threads})


def test_a_list_is_read_to_its_end_once_and_settled(guild: FakeGuild) -> None:
    stage = Stage(guild)
    stage.run()

    assert stage.synced == {1, 13, 20, 30, 50}
    assert stage.catalog.watermarks == {PUBLIC: NOW - timedelta(days=3)}


@pytest.mark.parametrize(
    ("settled_days_ago", "lookback_days", "expected"),
    [
        pytest.param(15, 7, {1, 13, 20}, id="down-to-where-it-is-settled"),
        pytest.param(2, 30, {1, 13, 20, 30}, id="down-to-the-look-back"),
        pytest.param(3, 0, {1, 13}, id="with-some-overlap"),
        pytest.param(1, 0, {1}, id="nothing-new"),
    ],
)
def test_later_a_list_is_read_down_to_where_it_is_settled_or_to_the_look_back(
    guild: FakeGuild, settled_days_ago: int, lookback_days: int, expected: set[int]
) -> None:
    stage = Stage(guild, SyncWindow(SyncType.INCREMENTAL, lookback_s=lookback_days * 86400.0))
    stage.catalog.settled = {PUBLIC: ArchiveRecord(None, NOW - timedelta(days=settled_days_ago))}

    stage.run()

    assert stage.synced == expected


@pytest.mark.parametrize(
    "window",
    [
        pytest.param(SyncWindow(SyncType.FULL), id="full"),
        pytest.param(SyncWindow(SyncType.INCREMENTAL, since=NOW - timedelta(90)), id="a-window"),
        pytest.param(
            SyncWindow(SyncType.INCREMENTAL, channels=frozenset({ChannelId(1)})), id="a-channel"
        ),
    ],
)
def test_runs_that_are_not_incremental_read_the_whole_list(
    guild: FakeGuild, window: SyncWindow
) -> None:
    stage = Stage(guild, window)
    stage.catalog.settled = {PUBLIC: ArchiveRecord(None, NOW)}

    stage.run()

    assert set(stage.catalog.recorded) == {1, 13, 20, 30, 50}


def test_nothing_is_settled_before_every_thread_was_read(guild: FakeGuild) -> None:
    stage = Stage(guild)
    stage.dispatcher.failures = {50: RetryableError("again")}
    stage.run()

    assert PUBLIC not in stage.catalog.settled


def test_nothing_is_settled_by_a_list_that_was_refused(guild: FakeGuild) -> None:
    guild.refuse_archived = {1}
    stage = Stage(guild)
    stage.run()

    assert stage.catalog.settled == {}


def test_announcement_threads_that_no_list_has_are_searched_for() -> None:
    thread = archived(20, NOW - timedelta(days=1), kind=channel_types.ANNOUNCEMENT_THREAD)
    guild = FakeGuild(
        channels=[make_channel(1, channel_types.ANNOUNCEMENT)], searchable={1: [thread]}
    )
    stage = Stage(guild)
    stage.run()

    assert stage.synced == {1, 20}
    assert stage.catalog.watermarks == {PUBLIC: NOW - timedelta(days=1)}


def test_a_search_without_an_index_is_that_channels_trouble_and_settles_nothing() -> None:
    guild = FakeGuild(
        channels=[make_channel(1, channel_types.ANNOUNCEMENT), make_channel(2)], no_index={1}
    )
    stage = Stage(guild)
    end = stage.run()

    assert end.status is JobStatus.PARTIAL
    assert [each.channel_id for each in end.troubles] == [1]
    assert stage.synced == {1, 2}
    assert PUBLIC not in stage.catalog.settled


def known(
    channel_id: int, kind: int = channel_types.TEXT, parent: int | None = None
) -> KnownChannel:
    return KnownChannel(ChannelId(channel_id), kind, None if parent is None else ChannelId(parent))


def test_a_channel_that_is_listed_no_more_is_marked_with_its_threads(guild: FakeGuild) -> None:
    stage = Stage(guild)
    stage.catalog.stored = [known(1), known(5), known(6, 11, 5), known(7, 12, 5), known(8, 12, 1)]

    end = stage.run()

    assert stage.catalog.deleted == {5, 6, 7}
    assert end.gone == {5, 6, 7}
    assert guild.looked_for == [5]


def test_a_channel_that_a_list_left_out_is_not_marked(guild: FakeGuild) -> None:
    guild.existing = {5}
    guild.channels = []
    stage = Stage(guild)
    stage.catalog.stored = [known(1), known(5)]
    guild.existing = {1, 5}

    end = stage.run()

    assert stage.catalog.deleted == set()
    assert {each.channel_id for each in end.troubles} == {1, 5}
    assert all("list of the guild's channels lacks it" in each.message for each in end.troubles)
    assert end.status is JobStatus.PARTIAL


def test_an_old_thread_is_missed_only_where_its_list_was_read_to_the_end(guild: FakeGuild) -> None:
    cut, whole = Stage(guild), Stage(guild, SyncWindow(SyncType.FULL))
    for stage in (cut, whole):
        stage.catalog.stored = [known(1), known(99, 11, 1), known(98, 12, 1)]
    cut.catalog.settled = {PUBLIC: ArchiveRecord(None, NOW - timedelta(days=15))}

    cut.run()
    whole.run()

    assert cut.catalog.deleted == set()
    assert whole.catalog.deleted == {99}


def test_a_channel_deleted_in_mid_run_is_no_failure(guild: FakeGuild) -> None:
    guild.existing = {30}
    stage = Stage(guild)
    stage.dispatcher.failures = {20: NotFoundError("10003"), 30: NotFoundError("10003")}

    end = stage.run()

    assert end.gone == {20}
    assert [each.channel_id for each in end.outcomes if each.failure] == [30]


def test_a_channel_that_was_forbidden_is_not_gone(guild: FakeGuild) -> None:
    stage = Stage(guild)
    stage.dispatcher.failures = {20: AccessDeniedError("50001")}

    assert stage.run().gone == frozenset()


def due(channel_id: int, stop: int | None = 500, *, kind: int = 0, last: bool = False) -> Recheck:
    stored = StoredChannel(ChannelKey(channel_id), ChannelId(channel_id), (), 1000)
    ids = () if stop is None else (IdRange(0, stop),)
    return Recheck(stored, "c", kind, ChannelId(1), None, ids, 5, last)


def test_old_pages_are_read_again_of_channels_that_rest_and_of_threads_no_list_has() -> None:
    guild = FakeGuild(channels=[make_channel(1, last=None), make_channel(2)])
    window = SyncWindow(SyncType.INCREMENTAL, reconcile_requests=20)
    stage = Stage(guild, window)
    stage.catalog.due = [due(1), due(77, kind=11), due(3, None, last=True)]

    stage.run()

    tasks = {each.channel_id: each for each in stage.dispatcher.tasks}
    assert stage.catalog.recheck_requests == 20
    assert tasks.keys() == {1, 2, 77}
    assert (tasks[1].recheck, tasks[1].only_recheck) == ((IdRange(0, 500),), True)
    assert tasks[2].recheck == ()
    assert tasks[77].recheck == (IdRange(0, 500),)
    assert stage.catalog.rechecked == {1: 500, 77: 500, 3: None}


@pytest.mark.parametrize(
    "window",
    [
        pytest.param(SyncWindow(SyncType.INCREMENTAL, reconcile_requests=20), id="a-sweep"),
        pytest.param(SyncWindow(SyncType.VERIFY, sample=20), id="a-sample"),
    ],
)
@pytest.mark.parametrize("is_joined", [True, False])
def test_old_pages_are_chosen_from_readable_channels(window: SyncWindow, is_joined: bool) -> None:
    hidden = replace(make_channel(2), overwrites=(HIDDEN,))
    guild = FakeGuild(
        channels=[make_channel(1), hidden, make_channel(3)],
        active=[make_thread(10, 1), make_thread(20, 2)],
    )
    if is_joined:
        thread = make_thread(13, 1, archived=True, kind=12)
        assert thread.thread is not None
        thread = replace(thread, thread=replace(thread.thread, bot_is_member=True))
        guild.archived[1, True] = [thread]
    stage = Stage(guild, window)
    stage.catalog.refused = {ChannelId(3): refusal(3, None)}
    stage.catalog.stored = [
        *(known(each) for each in (1, 2, 3, 4)),
        *(known(each, 11, 1) for each in (10, 11)),
        *(known(each, 11, 2) for each in (20, 21)),
        known(13, 12, 1),
    ]

    stage.run()

    assert stage.catalog.readable == {1, 10, 11} | ({13} if is_joined else set())
    assert sorted(guild.listed) == [
        (1, False, False), (1, True, True), (3, False, False), (3, True, True)
    ], "each list once"  # fmt: skip


def test_old_pages_of_a_failed_channel_do_not_count_as_read() -> None:
    stage = Stage(
        FakeGuild(channels=[make_channel(1), make_channel(2)]),
        SyncWindow(SyncType.INCREMENTAL, reconcile_requests=20),
    )
    stage.catalog.due = [due(1), due(2, last=True)]
    stage.dispatcher.failures = {1: RetryableError("again")}

    stage.run()

    assert stage.catalog.rechecked == {2: None}


def test_a_full_run_compares_everything() -> None:
    stage = Stage(FakeGuild(channels=[make_channel(1)]), SyncWindow(SyncType.FULL))
    stage.run()

    assert stage.catalog.rechecked == {1: None}


def test_a_verification_settles_nothing_since_it_reads_nothing(guild: FakeGuild) -> None:
    stage = Stage(guild, SyncWindow(SyncType.VERIFY))

    end = stage.run()

    assert stage.synced == set()
    assert stage.catalog.settled == {}
    assert {each.channel_id for each in end.gaps} == {1, 13, 20, 30, 50}


def test_a_verification_separates_proven_channels_from_gaps() -> None:
    stage = Stage(
        FakeGuild(channels=[make_channel(1), make_channel(2), make_channel(3)]),
        SyncWindow(SyncType.VERIFY),
    )
    last = IDS[50] + 1
    stage.catalog.coverage = {
        1: (IdRange(0, last),),
        2: (IdRange(0, IDS[10]), IdRange(IDS[20], last)),
        3: (IdRange(0, IDS[40]),),
    }

    gaps = stage.run().gaps

    assert [(each.channel_id, each.ids, each.is_news) for each in gaps] == [
        (2, IdRange(IDS[10], IDS[20]), False),
        (3, IdRange(IDS[40], last), True),
    ]


@pytest.mark.parametrize("wrong", [0, 1])
def test_a_thread_with_a_time_too_early_ends_no_list(guild: FakeGuild, wrong: int) -> None:
    threads = list(guild.archived[1, False])
    threads[wrong] = archived(threads[wrong].id, NOW - timedelta(days=900))
    guild.archived[1, False] = threads
    stage = Stage(guild, SyncWindow(SyncType.INCREMENTAL, lookback_s=15 * 86400.0))
    stage.catalog.settled = {PUBLIC: ArchiveRecord(None, NOW - timedelta(days=2))}

    stage.run()

    assert {1, 13, 20} - {threads[wrong].id} <= stage.synced
