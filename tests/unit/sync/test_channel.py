"""One channel, read against a fake history and a fake store in virtual time."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raysync.errors import (
    AccessDeniedError,
    ClaimLostError,
    RetryableError,
    StoreRestartedError,
    StoreUnavailableError,
)
from raysync.models.events import ChannelProgress
from raysync.models.ids import MessageId, snowflake_at
from raysync.models.status import ChannelJobStatus, FailureClass, SyncType
from raysync.models.work import ChannelOutcome, ChannelTask, Claim, IdRange
from raysync.sync.channels.page import Bounds, first_cursor, judge
from raysync.sync.retry import RetryPolicy
from raysync.sync.window import cursor_below
from tests.unit.sync.fakes import (
    WHOLE,
    FakeHistory,
    FakePages,
    channel_sync,
    ids_of,
    make_message,
    make_task,
    snowflakes,
)
from tests.virtual_time import run_virtual


def sync(
    history: FakeHistory,
    pages: FakePages,
    task: ChannelTask | None = None,
    page_size: int = 10,
    seen: list[ChannelProgress] | None = None,
) -> ChannelOutcome:
    engine = channel_sync(history, pages, page_size)
    reports = [] if seen is None else seen
    return run_virtual(engine.run(task or make_task(), reports.append))


def test_everything_is_read_once_and_proven_complete() -> None:
    history, pages, ids = FakeHistory(), FakePages(), snowflakes(35)
    history.post(*ids)

    outcome = sync(history, pages, make_task(last_message_id=ids[-1]))

    assert outcome.status is ChannelJobStatus.COMPLETED
    assert outcome.tally.messages == 35
    assert ids_of(pages.rows) == ids
    assert pages.coverage == (IdRange(0, ids[-1] + 1),)


def test_a_short_page_with_the_known_last_message_saves_a_request() -> None:
    history, pages, ids = FakeHistory(), FakePages(), snowflakes(9)
    history.post(*ids)

    sync(history, pages, make_task(last_message_id=ids[-1]))

    assert len(history.asked) == 1


def test_a_full_page_with_the_known_last_message_is_not_taken_for_the_last() -> None:
    history, pages, ids = FakeHistory(), FakePages(), snowflakes(10)
    history.post(*ids)

    sync(history, pages, make_task(last_message_id=ids[-1]))

    assert history.asked == [0, cursor_below(ids[-1])]
    assert pages.coverage == (IdRange(0, ids[-1] + 1),)


def test_a_short_page_below_the_known_last_message_is_asked_once_more() -> None:
    history, pages, ids = FakeHistory(), FakePages(), snowflakes(5)
    history.post(*ids)
    deleted_since = ids[-1] + (60_000 << 22)

    outcome = sync(history, pages, make_task(last_message_id=deleted_since))

    assert outcome.status is ChannelJobStatus.COMPLETED
    assert history.asked == [0, ids[-1]]
    assert history.looked_for == [deleted_since]
    assert pages.coverage == (IdRange(0, deleted_since + 1),)  # nothing is asked again for it


def test_messages_of_one_millisecond_survive_a_page_boundary_between_them() -> None:
    history, pages = FakeHistory(), FakePages()
    ids = snowflakes(9)
    tie = ids[-1] + (60_000 << 22)
    history.post(*ids, tie + 5)
    full_page = asyncio.run(history.fetch_after(make_task().channel_id, MessageId(0), 10))

    step = judge(full_page, MessageId(0), Bounds(WHOLE, 10))

    history.post(tie + 1)  # a lower id of the same millisecond, which the page left out
    rest = asyncio.run(history.fetch_after(make_task().channel_id, step.next_cursor, 10))
    assert {each.id for each in rest} == {tie + 1, tie + 5}
    assert pages.rows == {}


def test_a_page_full_of_one_millisecond_does_not_stop_the_reading() -> None:
    history, pages = FakeHistory(), FakePages()
    base = snowflakes(1)[0]
    ids = [base + each for each in range(25)]
    history.post(*ids)

    sync(history, pages, make_task(last_message_id=ids[-1]))

    assert ids_of(pages.rows) == ids


def test_an_empty_channel_proves_nothing() -> None:
    pages = FakePages()

    outcome = sync(FakeHistory(), pages)

    assert outcome.status is ChannelJobStatus.COMPLETED
    assert pages.coverage == ()


def test_an_incremental_run_reads_above_the_watermark_alone() -> None:
    history, pages, ids = FakeHistory(), FakePages(), snowflakes(100)
    history.post(*ids[:80])
    sync(history, pages, make_task(last_message_id=ids[79]))
    history.post(*ids[80:])
    history.asked.clear()

    outcome = sync(history, pages, make_task(last_message_id=ids[-1]), page_size=100)

    assert ids_of(pages.rows) == ids
    assert len(history.asked) == 1
    assert outcome.tally.messages < 30


def test_an_incremental_run_fills_gaps_in_coverage() -> None:
    history, ids = FakeHistory(), snowflakes(60)
    history.post(*ids)
    pages = FakePages(coverage=(IdRange(0, ids[10]), IdRange(ids[30], ids[50] + 1)))

    sync(history, pages, make_task(last_message_id=ids[-1]))

    assert pages.coverage == (IdRange(0, ids[-1] + 1),)
    assert set(ids[10:30]) <= set(pages.rows)
    assert set(ids[51:]) <= set(pages.rows)


def test_a_full_run_reads_everything_again() -> None:
    history, ids = FakeHistory(), snowflakes(30)
    history.post(*ids)
    pages = FakePages(coverage=(IdRange(0, ids[-1] + 1),))

    task = make_task(sync_type=SyncType.FULL, last_message_id=ids[-1])
    outcome = sync(history, pages, task)

    assert outcome.tally.messages == 30


def test_a_second_attempt_goes_on_where_the_first_stopped() -> None:
    history, ids = FakeHistory(), snowflakes(30)
    history.post(*ids)
    pages = FakePages(checkpoint=MessageId(ids[19]))

    task = make_task(sync_type=SyncType.FULL, last_message_id=ids[-1], attempt=2)
    sync(history, pages, task)

    assert ids_of(pages.rows) == ids[20:]


def test_a_window_keeps_what_lies_inside_it() -> None:
    history, pages, ids = FakeHistory(), FakePages(), snowflakes(60)
    history.post(*ids)
    window = IdRange(
        snowflake_at(datetime(2025, 1, 1, 0, 10, tzinfo=UTC)),
        snowflake_at(datetime(2025, 1, 1, 0, 30, tzinfo=UTC)),
    )

    sync(history, pages, make_task(window=window, last_message_id=ids[-1]))

    assert ids_of(pages.rows) == ids[10:30]
    assert pages.coverage == (IdRange(window.start, window.stop),)


def test_a_transient_failure_is_retried() -> None:
    history, pages, ids = FakeHistory(), FakePages(), snowflakes(25)
    history.post(*ids)
    history.errors = [RetryableError("502"), RetryableError("reset")]
    pages.errors = [StoreUnavailableError("gone for a moment")]

    outcome = sync(history, pages, make_task(last_message_id=ids[-1]))

    assert outcome.status is ChannelJobStatus.COMPLETED
    assert ids_of(pages.rows) == ids
    assert outcome.retry_count == 3


def test_a_permanent_failure_gives_the_channel_up_and_keeps_its_pages() -> None:
    history, pages, ids = FakeHistory(), FakePages(), snowflakes(25)
    history.post(*ids)
    seen: list[ChannelProgress] = []

    async def scenario() -> ChannelOutcome:
        engine = channel_sync(history, pages, 10)

        def deny_after_one_page(progress: ChannelProgress) -> None:
            seen.append(progress)
            history.errors = [AccessDeniedError("403")]

        return await engine.run(make_task(last_message_id=ids[-1]), deny_after_one_page)

    outcome = run_virtual(scenario())

    assert outcome.status is ChannelJobStatus.FAILED
    assert outcome.failure is not None
    assert outcome.failure.failure_class is FailureClass.PERMANENT
    assert ids_of(pages.rows) == ids[:10]
    assert pages.coverage == (IdRange(0, ids[9]),)  # down to the millisecond of its last message
    assert pages.holder is None


def test_a_claimed_channel_is_not_read_and_is_retried_soon() -> None:
    history, pages = FakeHistory(), FakePages(holder="another")

    outcome = sync(history, pages)

    assert (outcome.status, outcome.failure) == (ChannelJobStatus.PENDING, None)
    assert outcome.parked is not None
    assert 0 < outcome.parked.ready_after_s < 60
    assert history.asked == []


def test_a_lost_claim_ends_the_attempt() -> None:
    history, pages, ids = FakeHistory(), FakePages(), snowflakes(25)
    history.post(*ids)
    pages.errors = [ClaimLostError("another worker took over")]

    outcome = sync(history, pages, make_task(last_message_id=ids[-1]))

    assert outcome.failure is not None
    assert outcome.failure.error == "ClaimLostError"


class StrangePages(FakePages):
    """Store that fails at the first renewal with an unexpected error."""

    renewals = 0

    async def renew(self, claim: Claim) -> None:
        self.renewals += 1
        if self.renewals == 1:
            raise LookupError("nobody thought of it")
        await super().renew(claim)


def test_an_unexpected_error_of_a_renewal_does_not_end_renewals() -> None:
    history, pages, ids = FakeHistory(), StrangePages(), snowflakes(5)
    history.post(*ids)
    history.takes_s = 65.0

    outcome = sync(history, pages, make_task(last_message_id=ids[-1]))

    assert outcome.status is ChannelJobStatus.COMPLETED
    assert pages.renewals == 3


def test_after_a_restart_of_the_server_the_channel_comes_back_with_a_new_claim() -> None:
    history, pages, ids = FakeHistory(), FakePages(), snowflakes(25)
    history.post(*ids)
    pages.errors = [StoreRestartedError("the server was started anew")]

    outcome = sync(history, pages, make_task(last_message_id=ids[-1]))

    assert outcome.failure is None
    assert outcome.status is ChannelJobStatus.PENDING
    assert outcome.parked is not None
    assert outcome.parked.ready_after_s == 0.0
    assert pages.holder is None

    sync(history, pages, make_task(last_message_id=ids[-1]))
    assert set(pages.rows) == set(ids)


def test_while_discord_answers_nobody_a_channel_waits() -> None:
    history, pages, ids = FakeHistory(reachable=False), FakePages(), snowflakes(5)
    history.post(*ids)
    history.errors = [RetryableError("503") for _ in range(50)]

    outcome = sync(history, pages, make_task(last_message_id=ids[-1]))

    assert outcome.status is ChannelJobStatus.COMPLETED
    assert set(pages.rows) == set(ids)


def test_a_channel_that_fails_alone_is_given_up() -> None:
    history, pages, ids = FakeHistory(), FakePages(), snowflakes(5)
    history.post(*ids)
    history.errors = [RetryableError("503") for _ in range(50)]

    outcome = sync(history, pages, make_task(last_message_id=ids[-1]))

    assert outcome.status is ChannelJobStatus.FAILED
    assert len(history.errors) == 50 - RetryPolicy().max_attempts - 1, "and once after the look"


def test_a_channel_that_is_cancelled_while_it_is_claimed_is_given_back() -> None:
    class SlowPages(FakePages):
        """Take the claim at once, and answer after a second."""

        async def claim(self, task: ChannelTask, worker_id: str) -> Claim | None:
            claim = await super().claim(task, worker_id)
            await asyncio.sleep(1.0)
            return claim

    pages = SlowPages()

    async def scenario() -> None:
        engine = channel_sync(FakeHistory(), pages, 10)
        running = asyncio.create_task(engine.run(make_task(), lambda _: None))
        await asyncio.sleep(0.5)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    run_virtual(scenario())

    assert pages.epoch == 1
    assert pages.holder is None
    assert [each.status for each in pages.released] == [ChannelJobStatus.PENDING]


def test_a_cancelled_channel_gives_its_claim_back() -> None:
    history, pages, ids = FakeHistory(), FakePages(), snowflakes(25)
    history.post(*ids)
    history.errors = [RetryableError("wait", 30.0)]

    async def scenario() -> None:
        engine = channel_sync(history, pages, 10)
        running = asyncio.create_task(engine.run(make_task(), lambda _: None))
        await asyncio.sleep(5)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    run_virtual(scenario())

    assert pages.holder is None
    assert [each.status for each in pages.released] == [ChannelJobStatus.PENDING]


def test_a_cancelled_channel_waits_for_no_database_that_is_away() -> None:
    class SlowHistory(FakeHistory):
        fetched = 0

        async def fetch_after(self, *request: Any) -> Any:
            self.fetched += 1
            if self.fetched > 1:  # the first page is being written meanwhile
                await asyncio.sleep(600)
            return await super().fetch_after(*request)

    history, pages = SlowHistory(), FakePages()
    history.post(*snowflakes(25))
    pages.errors = [StoreUnavailableError("away") for _ in range(2_000)]

    async def scenario() -> float:
        engine = channel_sync(history, pages, 10)
        running = asyncio.create_task(engine.run(make_task(), lambda _: None))
        await asyncio.sleep(60)
        running.cancel()
        cancelled_s = asyncio.get_running_loop().time()
        with pytest.raises(asyncio.CancelledError):
            await running
        return asyncio.get_running_loop().time() - cancelled_s

    assert run_virtual(scenario()) < 30
    assert pages.rows == {}


def test_progress_holds_the_share_of_time_that_is_read() -> None:
    history, pages, ids = FakeHistory(), FakePages(), snowflakes(30)
    history.post(*ids)
    seen: list[ChannelProgress] = []

    sync(history, pages, make_task(last_message_id=ids[-1]), seen=seen)

    assert [each.tally.messages for each in seen] == [10, 19, 28, 30, 30]
    assert seen[-1].fraction == 1.0
    assert 0.2 < (seen[0].fraction or 0) < 0.4


@settings(max_examples=60, deadline=None)
@given(
    gaps_ms=st.lists(st.integers(0, 3), min_size=1, max_size=80),
    page_size=st.integers(2, 12),
    read_first=st.integers(0, 80),
)
def test_any_history_is_copied_exactly_in_two_runs(
    gaps_ms: list[int], page_size: int, read_first: int
) -> None:
    history, pages = FakeHistory(), FakePages()
    at, ids = snowflakes(1)[0] >> 22, []
    for number, gap in enumerate(gaps_ms):
        at += gap
        ids.append((at << 22) + number)
    first, rest = ids[:read_first], ids[read_first:]
    history.post(*first)
    sync(history, pages, make_task(last_message_id=max(first, default=None)), page_size)
    history.post(*rest)

    sync(history, pages, make_task(last_message_id=ids[-1]), page_size)

    assert ids_of(pages.rows) == ids
    assert pages.coverage == (IdRange(0, ids[-1] + 1),)


def test_a_page_beyond_the_window_ends_the_reading() -> None:
    ids = snowflakes(4)
    page = [make_message(each) for each in ids[1:]]
    wanted = IdRange(ids[0], ids[3] - 1)

    step = judge(page, first_cursor(wanted), Bounds(wanted, 3))

    assert step.beyond
    assert step.page is not None
    assert [each.id for each in step.page.messages] == ids[1:3]
    assert step.page.covered == IdRange(ids[0], ids[3] - 1)


def test_a_page_that_cuts_the_windows_last_millisecond_does_not_end_the_reading() -> None:
    ids = snowflakes(3)
    wanted = IdRange(ids[0], ids[2] + 5)

    step = judge(
        [make_message(each) for each in (*ids[:2], ids[2] + 9)],
        first_cursor(wanted),
        Bounds(wanted, 3),
    )

    assert not step.beyond
    assert step.page is not None
    assert step.page.covered == IdRange(ids[0], ids[2])


def test_a_channel_whose_bucket_is_empty_is_parked_with_its_bucket() -> None:
    history, pages, ids = FakeHistory(), FakePages(), snowflakes(60)
    history.post(*ids)
    history.bucket.pauses = [0.0, 0.04, 4.5]

    outcome = sync(history, pages, make_task(last_message_id=ids[-1]))

    assert outcome.status is ChannelJobStatus.PENDING
    assert outcome.parked is not None
    assert outcome.parked.ready_after_s == 4.5
    assert outcome.parked.paged_ago_s == (0.5,)
    assert 2 < (outcome.parked.remaining_pages or 0) < 5
    assert len(pages.rows) == 28
    assert pages.holder is None


def test_progress_at_the_end_of_a_visit_holds_its_last_page() -> None:
    history, pages, ids = FakeHistory(), FakePages(), snowflakes(35)
    history.post(*ids)
    seen: list[ChannelProgress] = []

    sync(history, pages, make_task(last_message_id=ids[-1]), seen=seen)

    assert seen[-1].tally.messages == 35
    assert seen[-1].tally.added == 35, "a job that is interrupted now says how many are new"


def test_visits_add_up_to_the_whole_channel() -> None:
    history, pages, ids = FakeHistory(), FakePages(), snowflakes(60)
    history.post(*ids)
    task = make_task(last_message_id=ids[-1])
    visits = 0
    while True:
        history.bucket.pauses = [4.5]
        outcome = sync(history, pages, task)
        visits += 1
        if outcome.parked is None:
            break
        task = make_task(
            last_message_id=ids[-1],
            done=outcome.tally,
            started_at=outcome.started_at,
            paged_ago_s=outcome.parked.paged_ago_s,
            visits=outcome.visits,
        )

    assert visits == 7
    assert [(each.worker_id, each.count) for each in outcome.visits] == [("worker-0", 1)] * 7
    assert outcome.tally.messages == 60
    assert outcome.tally.requests == 7
    assert ids_of(pages.rows) == ids
    assert history.bucket.restored == [(0.5,)] * 6


def test_a_channel_of_unknown_size_is_sampled_by_one_page() -> None:
    history, pages, ids = FakeHistory(), FakePages(), snowflakes(100)
    history.post(*ids)

    outcome = sync(
        history, pages, make_task(last_message_id=ids[-1], is_guess=True, is_hurried=True)
    )

    assert outcome.parked is not None
    assert outcome.parked.ready_after_s == 0.0
    assert 8 < (outcome.parked.remaining_pages or 0) < 12


@pytest.mark.parametrize(
    ("earlier", "written_ago_s", "expected"),
    [
        pytest.param((), 2.5, [2.5], id="by-an-earlier-run-or-a-dead-worker"),
        pytest.param((1.0,), 0.9, [], id="by-an-earlier-visit-that-reported-it"),
        pytest.param((), None, [], id="by-nobody"),
    ],
)
def test_pages_that_others_read_count_in_the_bucket(
    earlier: tuple[float, ...], written_ago_s: float | None, expected: list[float]
) -> None:
    history, pages = FakeHistory(), FakePages(paged_ago_s=written_ago_s)

    sync(history, pages, make_task(paged_ago_s=earlier))

    assert history.bucket.exhausted == expected


@pytest.mark.parametrize(("hurried", "visits"), [(True, 2), (False, 2)])
def test_a_visit_is_short_if_other_channels_wait(hurried: bool, visits: int) -> None:
    history, pages, ids = FakeHistory(takes_s=0.4), FakePages(), snowflakes(100)
    history.post(*ids)
    task, count = make_task(last_message_id=ids[-1], is_hurried=hurried), 0
    while True:
        outcome = sync(history, pages, task)
        count += 1
        if outcome.parked is None:
            break
        task = replace(task, done=outcome.tally)

    assert count == visits
    assert ids_of(pages.rows) == ids
