"""Messages of one millisecond: none is missed without a report, whatever their order."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from raysync.models.entities import Message
from raysync.models.ids import TIMESTAMP_SHIFT, ChannelId, MessageId
from raysync.models.status import ChannelJobStatus, SyncType
from raysync.models.work import ChannelOutcome, IdRange
from raysync.sync.window import without
from tests.unit.sync.fakes import (
    FakeHistory,
    FakePages,
    channel_sync,
    ids_of,
    make_task,
    snowflakes,
)
from tests.virtual_time import run_virtual

FIRST = snowflakes(1)[0]


@dataclass
class TiedHistory(FakeHistory):
    """History that orders the messages of one millisecond by a rule of its own."""

    seed: int = 0
    by_position: bool = False  # `after` a message of a millisecond: by place and not by id

    def place(self, message_id: int, limit: int) -> tuple[int, int]:
        shuffled = zlib.crc32(f"{message_id}/{limit}/{self.seed}".encode())
        return message_id >> TIMESTAMP_SHIFT, shuffled

    async def fetch_after(
        self, channel_id: ChannelId, after: MessageId, limit: int
    ) -> Sequence[Message]:
        self.asked.append(after)
        ordered = sorted(self.messages, key=lambda each: self.place(each, limit))
        if self.by_position and after in self.messages:
            above = ordered[ordered.index(after) + 1 :]
        else:
            above = [each for each in ordered if each > after]
        return [self.messages[each] for each in reversed(above[:limit])]


def sync(
    history: FakeHistory, pages: FakePages, newest: int | None, page_size: int, full: bool = False
) -> ChannelOutcome:
    pages.checkpoint = None  # of an earlier job
    task = make_task(
        last_message_id=newest, sync_type=SyncType.FULL if full else SyncType.INCREMENTAL
    )
    engine = channel_sync(history, pages, page_size)
    return run_virtual(engine.run(task, lambda _: None))


def at(minute: int, count: int) -> list[int]:
    """Return the ids of *count* messages of one millisecond."""
    start = FIRST + (minute * 60_000 << TIMESTAMP_SHIFT)
    return [start + 7 * each for each in range(count)]


def test_the_newest_two_of_one_millisecond_are_both_read_where_a_page_cuts_between_them() -> None:
    ids = [*snowflakes(99), *at(200, 2)]
    for seed in range(20):
        history, pages = TiedHistory(seed=seed), FakePages()
        history.post(*ids)

        outcome = sync(history, pages, ids[-1], 100)

        assert outcome.status is ChannelJobStatus.COMPLETED
        assert ids_of(pages.rows) == ids
        assert pages.coverage == (IdRange(0, ids[-1] + 1),)
        assert outcome.tally.messages == 101


@pytest.mark.parametrize("page_size", [1, 2, 7, 99])
def test_ties_that_fill_a_small_page_are_read_by_a_large_one(page_size: int) -> None:
    ids = [*snowflakes(3), *at(200, 60), *at(300, 99), *at(400, 1)]
    history, pages = TiedHistory(), FakePages()
    history.post(*ids)

    outcome = sync(history, pages, ids[-1], page_size)

    assert outcome.failure is None
    assert ids_of(pages.rows) == ids
    assert outcome.tally.messages == len(ids)


def test_ties_that_fill_the_largest_page_are_named_and_not_covered() -> None:
    before, tied, behind = snowflakes(30), at(200, 130), at(300, 50)
    history, pages = TiedHistory(), FakePages()
    history.post(*before, *tied, *behind)

    outcome = sync(history, pages, behind[-1], 100)

    assert outcome.failure is not None
    assert outcome.failure.error == "TiedMessagesError"
    assert str(outcome.tally.first_tie) in outcome.failure.message
    assert "one millisecond" in outcome.failure.message
    assert set(pages.rows) >= {*before, *behind}
    uncovered = without(IdRange(0, behind[-1] + 1), pages.coverage)
    assert uncovered == (IdRange(tied[0], tied[0] + (1 << TIMESTAMP_SHIFT)),)


def test_ties_that_were_passed_are_named_though_the_channel_was_parked_behind_them() -> None:
    ids = [*at(200, 130), *(each + (90 << 40) for each in snowflakes(400))]
    history, pages = TiedHistory(), FakePages()
    history.post(*ids)
    history.bucket.pauses = [0.0, 4.0]
    first = sync(history, pages, ids[-1], 100)
    assert first.parked is not None

    task = make_task(last_message_id=ids[-1], done=first.tally)
    engine = channel_sync(history, pages, 100)
    outcome = run_virtual(engine.run(task, lambda _: None))

    assert outcome.failure is not None
    assert outcome.failure.error == "TiedMessagesError"


minutes = st.lists(
    st.tuples(st.integers(0, 60), st.sampled_from([1, 1, 1, 2, 3, 9, 50, 99, 100, 101, 140])),
    min_size=1,
    max_size=12,
    unique_by=lambda each: each[0],
)


@given(
    groups=minutes,
    page_size=st.one_of(st.integers(1, 12), st.integers(1, 100)),
    seed=st.integers(0, 5),
    by_position=st.booleans(),
    names_newest=st.booleans(),
    missing=st.sets(st.integers(0, 400), max_size=6),
    full=st.booleans(),
)
@example([(0, 9)], 1, 0, True, True, {8}, False)
@example([(0, 9), (1, 1)], 1, 0, False, True, {0, 9}, True)
@settings(max_examples=150, deadline=None)
def test_every_missing_message_is_reported(
    groups: list[tuple[int, int]],
    page_size: int,
    seed: int,
    by_position: bool,
    names_newest: bool,
    missing: set[int],
    full: bool,
) -> None:
    ids = sorted(each for minute, count in groups for each in at(minute, count))
    history, pages = TiedHistory(seed=seed, by_position=by_position), FakePages()
    history.post(*ids)
    newest = ids[-1] if names_newest else None

    outcomes = [sync(history, pages, newest, page_size)]
    gone = {ids[each] for each in missing if each < len(ids)}
    for each in gone:
        del history.messages[each]
    outcomes.append(sync(history, pages, newest, page_size, full))

    crowded = {minute for minute, count in groups if count >= 100}
    for outcome in outcomes:
        named = outcome.failure is not None and outcome.failure.error == "TiedMessagesError"
        assert outcome.status is ChannelJobStatus.COMPLETED or named
        assert crowded or not named
    lost = set(history.messages) - set(pages.rows)
    proven = [each for each in lost if any(each in part for part in pages.coverage)]
    assert proven == []
    if lost:
        assert crowded
        assert outcomes[-1].failure is not None
    assert pages.deleted <= gone
    if full and names_newest and not crowded:
        # Beside the last message that is left, nothing proves that its millisecond came whole.
        last = max(history.messages, default=0) >> TIMESTAMP_SHIFT
        seen = {each for each in gone if each >> TIMESTAMP_SHIFT != last}
        assert pages.deleted >= seen & set(pages.rows)
