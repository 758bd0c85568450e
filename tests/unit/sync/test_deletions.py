"""Deletions: messages that count as deleted, and each trap that would delete others."""

from __future__ import annotations

from dataclasses import replace

import pytest

from raysync.errors import ContentIntentError, PayloadError
from raysync.models.ids import MAX_SNOWFLAKE, TIMESTAMP_SHIFT, MessageId, snowflake_at
from raysync.models.status import ChannelJobStatus, FailureClass, SyncType
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
from tests.virtual_time import LoopClock, run_virtual

SETTLED = MAX_SNOWFLAKE


@pytest.fixture
def ids() -> list[int]:
    return snowflakes(40)


@pytest.fixture
def history(ids: list[int]) -> FakeHistory:
    history = FakeHistory()
    history.post(*ids)
    return history


@pytest.fixture
def pages(history: FakeHistory, ids: list[int]) -> FakePages:
    """Everything is stored."""
    pages = FakePages()
    read(history, pages, ids[-1])
    history.asked.clear()
    return pages


def read(
    history: FakeHistory,
    pages: FakePages,
    newest: int | None,
    *,
    lookback_start: int = 0,
    full: bool = False,
) -> ChannelOutcome:
    task = make_task(
        last_message_id=newest,
        lookback_start=lookback_start,
        sync_type=SyncType.FULL if full else SyncType.INCREMENTAL,
    )
    pages.checkpoint = None  # of an earlier job
    engine = channel_sync(history, pages, 10)
    return run_virtual(engine.run(task, lambda _: None))


def test_a_deletion_anywhere_is_found_once(
    history: FakeHistory, pages: FakePages, ids: list[int]
) -> None:
    gone = {ids[0], ids[9], ids[10], ids[25], ids[38]}
    for each in gone:
        del history.messages[each]

    outcome = read(history, pages, ids[-1])

    assert pages.deleted == gone
    assert outcome.tally.deleted == len(gone)
    assert len(pages.rows) == 40


def test_a_deleted_newest_message_is_proven_gone_before_it_is_marked(
    history: FakeHistory, pages: FakePages, ids: list[int]
) -> None:
    gone = set(ids[37:])
    for each in gone:
        del history.messages[each]

    read(history, pages, ids[-1])

    assert pages.deleted == gone
    assert history.looked_for == [ids[-1]]


def test_a_channel_emptied_of_all_messages_is_believed_after_a_proof(
    history: FakeHistory, pages: FakePages, ids: list[int]
) -> None:
    history.messages.clear()

    read(history, pages, ids[-1])

    assert pages.deleted == set(ids)
    assert history.looked_for == [ids[-1]]


@pytest.mark.parametrize("full", [True, False])
def test_a_lost_permission_deletes_nothing(
    history: FakeHistory, pages: FakePages, ids: list[int], full: bool
) -> None:
    history.denied = True

    outcome = read(history, pages, ids[-1], full=full)

    assert pages.deleted == set()
    assert outcome.failure is not None
    assert outcome.failure.error == "AccessDeniedError"


@pytest.mark.parametrize("first_cut", [0, 1, 4, 9])
def test_a_cut_page_deletes_nothing_and_loses_nothing(
    history: FakeHistory, pages: FakePages, ids: list[int], first_cut: int
) -> None:
    history.cut = [first_cut]

    read(history, pages, ids[-1], full=True)

    assert pages.deleted == set()
    assert pages.coverage == (IdRange(0, ids[-1] + 1),)


def test_a_page_cut_where_the_newest_was_deleted_deletes_that_alone(
    history: FakeHistory, pages: FakePages, ids: list[int]
) -> None:
    del history.messages[ids[-1]]
    history.cut = [10, 10, 10, 4]

    read(history, pages, ids[-1], full=True)

    assert pages.deleted == {ids[-1]}


def test_a_young_message_may_be_late_and_is_not_deleted(ids: list[int]) -> None:
    now = snowflake_at(LoopClock.start)
    young = [now - (minute * 60_000 << TIMESTAMP_SHIFT) for minute in (4, 3, 2, 1)]
    history, pages = FakeHistory(), FakePages()
    history.post(*ids, *young)
    read(history, pages, young[-1])
    del history.messages[young[1]]
    del history.messages[young[3]]

    read(history, pages, young[-1])

    assert pages.deleted == set()


def test_a_full_page_says_nothing_of_its_last_millisecond() -> None:
    tie = snowflakes(1)[0]
    page = [make_message(each) for each in (tie - (1 << TIMESTAMP_SHIFT), tie + 2, tie + 9)]

    step = judge(page, MessageId(0), Bounds(WHOLE, 3, settled=SETTLED))

    assert step.page is not None
    assert step.page.gone == IdRange(0, tie)
    assert step.page.covered == IdRange(0, tie)


def test_a_first_reading_looks_for_nothing_that_is_missing() -> None:
    page = [make_message(each) for each in snowflakes(3)]

    step = judge(page, MessageId(0), Bounds(WHOLE, 10, has_rows=False, settled=SETTLED))

    assert step.page is not None
    assert step.page.gone is None


def test_only_the_requested_range_is_judged(
    history: FakeHistory, pages: FakePages, ids: list[int]
) -> None:
    for each in (ids[3], ids[30]):
        del history.messages[each]

    read(history, pages, ids[-1], lookback_start=ids[20])

    assert pages.deleted == {ids[30]}


def test_a_message_that_comes_back_is_no_longer_deleted(
    history: FakeHistory, pages: FakePages, ids: list[int]
) -> None:
    lost = history.messages.pop(ids[7])
    read(history, pages, ids[-1])
    history.messages[ids[7]] = lost

    read(history, pages, ids[-1])

    assert pages.deleted == set()


def test_messages_that_come_blank_without_the_intent_are_not_saved_and_stop_the_run(
    history: FakeHistory, pages: FakePages, ids: list[int]
) -> None:
    history.content_intent = False
    blank = replace(make_message(ids[35], ""), is_blank=True)
    history.messages[ids[35]] = blank

    outcome = read(history, pages, ids[-1])

    assert pages.rows[ids[35]].content == "hello"
    assert outcome.status is ChannelJobStatus.FAILED
    assert outcome.failure is not None
    assert outcome.failure.error == ContentIntentError.__name__
    assert outcome.failure.failure_class is FailureClass.FATAL


def blank(history: FakeHistory, *ids: int, **changes: object) -> None:
    for each in ids:
        history.messages[each] = replace(make_message(each, ""), is_blank=True, **changes)


@pytest.mark.parametrize("count", [5, 10])
def test_many_blank_messages_have_the_intent_asked_for_though_it_was_on_just_now(
    history: FakeHistory, pages: FakePages, ids: list[int], count: int
) -> None:
    history.content_intent, history.intent_is_cached = False, True
    blank(history, *ids[:count])

    failure = read(history, pages, ids[-1]).failure

    assert failure is not None
    assert failure.error == ContentIntentError.__name__


def test_a_page_of_one_blank_message_alone_has_the_intent_asked_for(ids: list[int]) -> None:
    history, pages = FakeHistory(), FakePages()
    history.content_intent, history.intent_is_cached = False, True
    blank(history, ids[0])
    history.messages[ids[1]] = replace(make_message(ids[1], ""), type=7, may_be_empty=True)

    failure = read(history, pages, ids[1]).failure

    assert failure is not None
    assert pages.rows == {}


def test_a_page_that_stays_blank_with_the_intent_on_is_not_saved_and_fails_the_channel(
    history: FakeHistory, pages: FakePages, ids: list[int]
) -> None:
    blank(history, *ids[:10])

    failure = read(history, pages, ids[-1]).failure

    assert failure is not None
    assert (failure.error, failure.failure_class) == (
        PayloadError.__name__,
        FailureClass.PERMANENT,
    )
    assert all(each.content for each in pages.rows.values())
    assert history.asked == [0, 0], "it was read twice"


def test_messages_that_may_be_empty_stop_nothing(
    history: FakeHistory, pages: FakePages, ids: list[int]
) -> None:
    blank(history, *ids[:10], may_be_empty=True)
    blank(history, *ids[36:])

    assert read(history, pages, ids[-1]).failure is None
    assert not any(each.content for each in list(pages.rows.values())[36:])


def test_a_blank_message_with_the_intent_on_is_only_odd(
    history: FakeHistory, pages: FakePages, ids: list[int]
) -> None:
    history.messages[ids[35]] = replace(make_message(ids[35], ""), is_blank=True)

    assert read(history, pages, ids[-1]).failure is None


def test_pages_that_lack_existing_messages_fail_the_channel_and_delete_nothing(
    history: FakeHistory, pages: FakePages, ids: list[int]
) -> None:
    history.cut = [0] * 100

    outcome = read(history, pages, ids[-1], full=True)

    assert outcome.failure is not None
    assert outcome.failure.failure_class is FailureClass.TRANSIENT
    assert pages.deleted == set()
