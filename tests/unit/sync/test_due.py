"""Lists of archived threads are compared once a window, in equal parts, whatever runs do."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from raysync.models.entities import Channel
from raysync.models.ids import ChannelId, GuildId, MessageId
from raysync.models.work import ArchiveKey, ArchiveRecord, KnownChannel
from raysync.sync.planning.due import DueArchives, is_turn, routes_of, vanished
from raysync.sync.planning.planner import Archive

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
KEYS = [ArchiveKey(ChannelId(1_000 + n), is_private=bool(n % 2)) for n in range(3_000)]
WINDOW_S = 6 * 3600.0


def channel(kind: int = 0, last: int | None = 50, unreadable: tuple[str, ...] = ()) -> Channel:
    message_id = None if last is None else MessageId(last)
    return Channel(ChannelId(1), GuildId(9), kind, "a", None, message_id, unreadable=unreadable)


def archive(parent: Channel, *, private: bool = False, joined_only: bool = False) -> Archive:
    return Archive(parent, ArchiveKey(parent.id, private), joined_only)


@given(
    key=st.sampled_from(KEYS),
    window_s=st.floats(60.0, 30 * 86_400.0),
    steps=st.lists(st.floats(1.0, 86_400.0), min_size=1, max_size=30),
)
def test_after_every_run_a_list_was_compared_within_the_window(
    key: ArchiveKey, window_s: float, steps: list[float]
) -> None:
    now = compared_at = NOW
    for step in steps:
        now += timedelta(seconds=step)
        if is_turn(key, compared_at, now, window_s):
            compared_at = now
        assert (now - compared_at).total_seconds() < window_s + 1e-3


def test_hourly_runs_compare_a_sixth_each_though_all_were_compared_together() -> None:
    compared = dict.fromkeys(KEYS, NOW)
    for hour in range(1, 13):
        now = NOW + timedelta(hours=hour)
        due = [key for key in KEYS if is_turn(key, compared[key], now, WINDOW_S)]
        assert 400 < len(due) < 600
        compared |= dict.fromkeys(due, now)


def test_a_comparison_of_the_future_does_not_count() -> None:
    assert all(is_turn(key, NOW + timedelta(seconds=1), NOW, WINDOW_S) for key in KEYS[:50])
    assert not any(is_turn(key, NOW, NOW, WINDOW_S) for key in KEYS)


def test_a_list_is_due_without_a_record_a_time_or_a_window() -> None:
    text = archive(channel())
    record = ArchiveRecord(NOW, NOW, MessageId(50), "public")
    rests = DueArchives(WINDOW_S, NOW, {text.key: record})
    assert not rests.is_due(text, "public")

    assert DueArchives(WINDOW_S, NOW).is_due(text, "public")
    assert DueArchives(0.0, NOW, {text.key: record}).is_due(text, "public")
    earlier_version = ArchiveRecord(None, NOW)
    assert DueArchives(WINDOW_S, NOW, {text.key: earlier_version}).is_due(text, "public")


def test_signs_of_news_make_a_list_due() -> None:
    text = archive(channel())
    known = ArchiveRecord(NOW, NOW, MessageId(50), "public", frozenset({ChannelId(7)}))

    def is_due(list_: Archive, *gone: int, routes: str = "public") -> bool:
        threads = frozenset(ChannelId(thread) for thread in gone)
        return DueArchives(WINDOW_S, NOW, {text.key: known}, {text.key: threads}).is_due(
            list_, routes
        )

    assert not is_due(text, 7)
    assert is_due(text, 7, 8)
    assert is_due(text, routes="public+search")
    assert is_due(archive(channel(last=51)))
    assert is_due(archive(channel(last=None)))
    assert is_due(archive(channel(unreadable=("last_message_id",))))


def test_a_message_in_the_channel_says_nothing_of_private_threads() -> None:
    private = archive(channel(last=99), private=True)
    record = ArchiveRecord(NOW, None, MessageId(50), "private")
    assert not DueArchives(WINDOW_S, NOW, {private.key: record}).is_due(private, "private")


def test_routes_tell_lists_of_different_threads_apart() -> None:
    parent = channel()
    assert routes_of(archive(parent), ()) == "public"
    assert routes_of(archive(parent), {parent.id}) == "public+search"
    assert routes_of(archive(parent, private=True), {parent.id}) == "private"
    assert routes_of(archive(parent, private=True, joined_only=True), ()) == "joined"


def test_threads_vanish_from_the_list_of_their_kind() -> None:
    parent = ChannelId(1)
    known = [
        KnownChannel(parent, 0, None, is_active=True),
        KnownChannel(ChannelId(2), 11, parent, is_active=True),
        KnownChannel(ChannelId(3), 12, parent, is_active=True),
        KnownChannel(ChannelId(4), 11, parent, is_active=True),
        KnownChannel(ChannelId(5), 11, parent, is_active=False),
    ]
    assert vanished(known, {ChannelId(4)}) == {
        ArchiveKey(parent, is_private=False): {2},
        ArchiveKey(parent, is_private=True): {3},
    }
