"""Unplaced records: their page proves nothing, and nothing else is lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raysync.errors import NoProgressError
from raysync.models.entities import Message
from raysync.models.ids import MAX_SNOWFLAKE, NOWHERE, ChannelId, MessageId
from raysync.models.status import ChannelJobStatus
from raysync.models.work import ChannelOutcome, IdRange
from raysync.sync.channels.page import Bounds, judge
from tests.unit.sync.fakes import (
    WHOLE,
    FakeHistory,
    FakePages,
    channel_sync,
    make_message,
    make_task,
    snowflakes,
)
from tests.virtual_time import run_virtual

LIMIT = 10
BOUNDS = Bounds(WHOLE, LIMIT, settled=MAX_SNOWFLAKE, earliest=50, latest=10_000)


def nowhere(of: int = 0) -> Message:
    """Return the message as it is read without an id, different for each message."""
    return replace(make_message(0), raw=b"%d" % of, quarantine=("id",), may_be_empty=True)


@dataclass
class DamagedHistory(FakeHistory):
    """History in which some messages come without their ids, or with wrong ones."""

    damaged: dict[int, Message] = field(default_factory=dict)

    async def fetch_after(
        self, channel_id: ChannelId, after: MessageId, limit: int
    ) -> Sequence[Message]:
        page = await super().fetch_after(channel_id, after, limit)
        return [self.damaged.get(each.id, each) for each in page]


def read(history: FakeHistory, pages: FakePages, newest: int | None = None) -> ChannelOutcome:
    async def scenario() -> ChannelOutcome:
        engine = channel_sync(history, pages, LIMIT)
        return await engine.run(make_task(last_message_id=newest, lookback_start=0), lambda _: None)

    pages.checkpoint = None  # of another job
    return run_virtual(scenario())


@pytest.mark.parametrize("at", [0, 1, 3])
@pytest.mark.parametrize("odd", [0, 40, 49, 60, 10_001, MAX_SNOWFLAKE])
def test_a_page_with_an_unplaced_record_proves_nothing_and_keeps_the_rest(
    at: int, odd: int
) -> None:
    page = [make_message(each) for each in (103, 102, 101)]
    page.insert(at, replace(make_message(0), id=MessageId(odd)))
    step = judge(page, MessageId(60), BOUNDS)

    assert step.page is not None
    assert [each.id for each in step.page.messages] == [101, 102, 103]
    assert (step.page.covered, step.page.gone) == (None, None)
    assert (step.highest, step.is_end, step.unplaced) == (103, True, (at,))


@pytest.mark.parametrize("ids", [(60, 59, 101, 102), (60,)], ids=["several", "alone"])
def test_ids_of_earlier_messages_mean_another_page(ids: tuple[int, ...]) -> None:
    page = [make_message(each) for each in ids]

    with pytest.raises(NoProgressError, match="does not page by `after`"):
        judge(page, MessageId(60), BOUNDS)


def test_a_page_without_a_placed_record_leads_nowhere() -> None:
    step = judge([nowhere()], MessageId(60), BOUNDS)

    assert (step.page, step.highest, step.is_end, step.unplaced) == (None, 60, True, (0,))


def test_a_record_with_the_id_of_another_is_unplaced() -> None:
    page = [make_message(101, "one"), make_message(102), make_message(101, "two")]
    step = judge(page, NOWHERE, BOUNDS)

    assert step.page is not None
    assert [each.content for each in step.page.messages] == ["two", "hello"]
    assert (step.page.covered, step.unplaced) == (None, (0,))


def test_the_same_record_twice_is_the_same_message() -> None:
    bounds = replace(BOUNDS, newest=MessageId(101))
    step = judge([make_message(101), make_message(101)], NOWHERE, bounds)

    assert step.page is not None
    assert (step.page.covered, step.unplaced) == (IdRange(0, 102), ())


@pytest.fixture
def ids() -> list[int]:
    return snowflakes(34)


@pytest.mark.parametrize("lost", [0, 4, 9, 10, 20, 33])
@pytest.mark.parametrize("is_named", [True, False], ids=["named", "unnamed"])
def test_reading_goes_on_counts_it_once_and_misses_nothing(
    ids: list[int], lost: int, is_named: bool
) -> None:
    history, pages = DamagedHistory(), FakePages()
    history.post(*ids)
    newest = ids[-1] if is_named else None
    read(history, pages, newest)
    history.damaged = {ids[lost]: nowhere()}
    del history.messages[ids[2]]
    pages.coverage = ()
    outcome = read(history, pages, newest)

    assert (outcome.status, outcome.tally.unplaced) == (ChannelJobStatus.COMPLETED, 1)
    assert pages.rows.keys() == set(ids)
    assert pages.deleted == (set() if lost <= 10 else {ids[2]}), "of its own page nothing is missed"
    assert not any(ids[lost] in each for each in pages.coverage)
    elsewhere = [each for at, each in enumerate(ids) if abs(at - lost) > LIMIT]
    assert all(any(each in part for part in pages.coverage) for each in elsewhere)


def test_reading_ends_if_only_unplaced_records_are_left() -> None:
    history, pages = DamagedHistory(), FakePages()
    ids = snowflakes(3)
    history.post(*ids)
    history.damaged = {each: nowhere(each) for each in ids}
    outcome = read(history, pages, ids[-1])

    assert (outcome.status, outcome.tally.unplaced) == (ChannelJobStatus.COMPLETED, 3)
    assert len(outcome.tally.unplaced_at) == 3
    assert (pages.rows, pages.coverage) == ({}, ())


def test_a_full_page_of_unplaced_records_is_an_error() -> None:
    history, pages = DamagedHistory(), FakePages()
    ids = snowflakes(LIMIT + 1)
    history.post(*ids)
    history.damaged = {each: nowhere(each) for each in ids}
    outcome = read(history, pages, ids[-1])

    assert outcome.failure is not None
    assert "None of the 10 records" in outcome.failure.message


def test_an_id_of_the_future_does_not_end_the_reading() -> None:
    history, pages = DamagedHistory(), FakePages()
    ids = snowflakes(34)
    history.post(*ids)
    read(history, pages)
    pages.coverage = ()
    history.damaged = {ids[5]: make_message(MAX_SNOWFLAKE - 1)}
    outcome = read(history, pages)

    assert outcome.tally.unplaced == 1
    assert outcome.tally.last_message_id == ids[-1]
    assert pages.deleted == set()
    assert max(each.stop for each in pages.coverage) <= ids[-1] + 1


def test_an_unplaced_record_among_ties_is_counted_and_the_rest_is_read() -> None:
    tied = [snowflakes(1)[0] + each for each in range(100)]
    later = [each + (1 << 45) for each in snowflakes(5)]
    history, pages = DamagedHistory(), FakePages()
    history.post(*tied, *later)
    history.damaged = {tied[7]: nowhere()}
    outcome = read(history, pages, later[-1])

    assert (outcome.tally.unplaced, outcome.tally.ties, outcome.failure) == (1, 0, None)
    assert pages.rows.keys() == {*tied, *later} - {tied[7]}
    assert not any(each in part for each in tied for part in pages.coverage)


@settings(max_examples=150, deadline=None)
@given(
    st.sets(st.integers(0, 39), max_size=8),
    st.sets(st.integers(0, 39), max_size=8),
    st.booleans(),
)
def test_unplaced_records_never_lose_a_message_or_prove_a_range(
    lost: set[int], deleted: set[int], is_named: bool
) -> None:
    ids = snowflakes(40)
    history, pages = DamagedHistory(), FakePages()
    history.post(*ids)
    newest = ids[-1] if is_named else None
    read(history, pages, newest)
    pages.coverage = ()
    for each in deleted:
        del history.messages[ids[each]]
    history.damaged = {ids[each]: nowhere(each) for each in lost - deleted}
    outcome = read(history, pages, newest)

    gone = {ids[each] for each in deleted}
    assert outcome.tally.unplaced == len(lost - deleted)
    assert pages.deleted <= gone
    assert not any(each in part for each in history.damaged for part in pages.coverage)

    history.damaged = {}
    mended = read(history, pages, newest)
    assert mended.tally.unplaced == 0
    if newest in history.messages or newest is None:
        assert pages.deleted == gone - {each for each in gone if each > max(history.messages)}
