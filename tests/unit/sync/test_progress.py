"""The board folds reports that come twice, late or out of order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raysync.models.events import ApiUsage, ChannelProgress, JobHeader, WorkerReport
from raysync.models.extras import Extras, ExtraTally
from raysync.models.ids import ChannelId, JobId
from raysync.models.status import ChannelJobStatus, SyncType
from raysync.models.work import ChannelOutcome, ChannelTally, ChannelTask
from raysync.sync.progress.board import ProgressBoard
from tests.unit.sync.fakes import make_task

START = datetime(2026, 1, 1, tzinfo=UTC)


class HandClock:
    def __init__(self) -> None:
        self.elapsed_s = 0.0

    def monotonic_s(self) -> float:
        return self.elapsed_s

    def now(self) -> datetime:
        return START + timedelta(seconds=self.elapsed_s)


def make_board() -> tuple[ProgressBoard, HandClock]:
    clock = HandClock()
    header = JobHeader(JobId("job"), "takaro", SyncType.FULL, START, 48.0)
    board = ProgressBoard(header, clock)
    board.plan([make_task(1), make_task(2)], [])
    return board, clock


def make_tail(*left: ChannelTask) -> tuple[ProgressBoard, HandClock]:
    """Return a job at 20 s that is nearly done: channel 1 of 980 pages ended, *left* did not."""
    clock = HandClock()
    header = JobHeader(JobId("job"), "takaro", SyncType.FULL, START, 48.0, 2.0)
    board = ProgressBoard(header, clock)
    board.plan([make_task(1, expected_pages=980.0), *left], [])
    board.planned()
    board.settle(outcome())
    clock.elapsed_s = 20.0
    return board, clock


def report(sequence: int, messages: int, attempt: int = 1, calls: int = 1) -> WorkerReport:
    tally = ChannelTally(requests=calls, pages=calls, messages=messages)
    progress = ChannelProgress(ChannelId(1), attempt, "worker-0", START, tally, 0.5)
    usage = ApiUsage(calls={"GET /channels/{}/messages 200": calls})
    return WorkerReport(JobId("job"), "worker-0", sequence, (progress,), usage)


def outcome(attempt: int = 1, messages: int = 500) -> ChannelOutcome:
    tally = ChannelTally(messages=messages)
    done = ChannelJobStatus.COMPLETED
    return ChannelOutcome(ChannelId(1), done, "worker-0", attempt, START, START, tally, 0)


def test_a_report_counts_once_however_often_it_comes() -> None:
    board, _ = make_board()

    for each in (report(2, 200, calls=2), report(1, 100), report(2, 200, calls=2)):
        board.report(each)

    view = board.view(10)
    assert (view.messages, view.requests) == (200, 2)


def test_a_late_report_does_not_reopen_a_settled_channel() -> None:
    board, _ = make_board()
    board.settle(outcome())

    board.report(report(9, 100))

    assert board.view(10).channels_completed == 1
    assert board.view(10).messages == 500


def test_a_new_attempt_replaces_the_old_ones_progress() -> None:
    board, _ = make_board()
    board.report(report(1, 300))

    board.report(report(2, 100, attempt=2))
    board.settle(outcome(attempt=1))

    assert board.view(10).channels_completed == 0
    assert board.view(10).messages == 100


def test_channels_under_way_have_begun_and_not_ended() -> None:
    board, _ = make_board()

    before = board.under_way()
    board.report(report(1, 100))
    begun = board.under_way()
    board.settle(outcome())

    assert before == {}
    assert {key: each.tally.messages for key, each in begun.items()} == {1: 100}
    assert board.under_way() == {}


def test_rates_are_over_the_last_seconds() -> None:
    board, clock = make_board()
    board.view(10)
    for second in range(1, 11):
        clock.elapsed_s = second
        board.report(report(second, 100 * min(second, 3), calls=second))
        view = board.view(10)

    assert view.messages_per_second == 0.0
    assert abs(view.requests_per_second - 1.0) < 0.2


def test_a_sample_holds_the_counts_and_their_time() -> None:
    board, clock = make_board()
    clock.elapsed_s = 7.9
    board.report(report(1, 100, calls=2))

    sample = board.sample(board.view(10))

    assert (sample.slot_s, sample.messages, sample.requests) == (7, 100, 2)
    assert sample.taken_at == START + timedelta(seconds=7.9)


def test_changed_rows_are_returned_once_and_again_when_put_back() -> None:
    board, _ = make_board()
    rows = board.take_changed()

    assert len(rows) == 2
    assert board.take_changed() == ()
    board.put_back(rows[:1])
    assert board.take_changed() == rows[:1]


def test_the_busiest_channels_come_first() -> None:
    board, _ = make_board()
    board.report(report(1, 100))

    assert [each.channel_id for each in board.view(1).channels] == [1]


def test_a_run_takes_at_least_as_long_as_its_slowest_channel() -> None:
    board, _ = make_tail(make_task(2, expected_pages=20.0))
    progress = ChannelProgress(
        ChannelId(2), 1, "worker-0", START, ChannelTally(pages=5), fraction=0.25
    )

    board.report(WorkerReport(JobId("job"), "worker-0", 1, (progress,), ApiUsage()))

    assert board.view(10).eta_s == 60.0  # a quarter took 20 s
    assert board.view(10).channels[0].eta_s == 60.0
    board.settle(replace(outcome(), channel_id=ChannelId(2)))
    assert board.view(10).eta_s == 0.0


def test_a_heartbeat_view_remembers_the_slowest_channel() -> None:
    board, _ = make_tail(make_task(2, expected_pages=20.0))
    progress = ChannelProgress(
        ChannelId(2), 1, "worker-0", START, ChannelTally(pages=5), fraction=0.25
    )
    board.report(WorkerReport(JobId("job"), "worker-0", 1, (progress,), ApiUsage()))
    board.view(10)

    assert board.view(0).eta_s == 60.0
    board.settle(replace(outcome(), channel_id=ChannelId(2)))
    assert board.view(0).eta_s == 0.0


def test_a_channel_without_progress_is_estimated_by_its_own_limit() -> None:
    board, _ = make_tail(
        make_task(2, expected_pages=20.0),
        make_task(3, expected_pages=12.0),
        make_task(4, expected_pages=8.0),
    )
    waits = board.view(10).eta_s
    begun = ChannelProgress(ChannelId(2), 1, "worker-0", START, ChannelTally(), fraction=None)

    board.report(WorkerReport(JobId("job"), "worker-0", 1, (begun,), ApiUsage()))

    assert waits == 10.0  # 20 pages, two a second
    assert board.view(10).eta_s == 10.0
    for channel_id, left_s in ((2, 6.0), (3, 4.0)):
        board.settle(replace(outcome(), channel_id=ChannelId(channel_id)))
        assert board.view(10).eta_s == left_s


def with_extras(
    channel_id: int, pages: int, due: int, done: int, *, reactions: int = 0
) -> ChannelProgress:
    """Return a channel with its messages read, and some of its extras."""
    extras = ExtraTally(extras_due=due, extras_done=done, extras_counted=1)
    tally = ChannelTally(pages=pages, reactions=reactions, extras=extras)
    share = (pages + done) / (pages + due)
    return ChannelProgress(ChannelId(channel_id), 1, "worker-0", START, tally, share)


def reactors_board(tasks: Sequence[ChannelTask]) -> tuple[ProgressBoard, HandClock]:
    clock = HandClock()
    header = JobHeader(
        JobId("job"), "takaro", SyncType.INCREMENTAL, START, 48.0, extras=Extras(reactors=True)
    )
    board = ProgressBoard(header, clock)
    board.plan(tasks, [])
    board.planned()
    return board, clock


def tell(board: ProgressBoard, *progress: ChannelProgress) -> None:
    board.report(WorkerReport(JobId("job"), "worker-0", 1, progress, ApiUsage()))


def test_the_eta_counts_extras_of_channels_that_have_nothing_else_to_read() -> None:
    tasks = [replace(make_task(n), only_recheck=True, expected_pages=1.0) for n in range(50)]
    board, clock = reactors_board(tasks)
    clock.elapsed_s = 100.0

    tell(board, *(with_extras(n, 0, due=600, done=600 if n < 5 else 540) for n in range(50)))
    for n in range(5):
        board.settle(
            replace(outcome(), channel_id=ChannelId(n), tally=with_extras(n, 0, 600, 600).tally)
        )

    view = board.view(50)
    assert view.fraction == pytest.approx(0.91, abs=0.01)
    assert view.eta_s == pytest.approx(100 / 9, rel=0.05), "and not 900 s"


def test_extras_that_are_not_counted_yet_are_estimated_from_reactions_that_were_seen() -> None:
    tasks = [make_task(n, expected_pages=10.0) for n in range(4)]
    board, clock = reactors_board(tasks)
    clock.elapsed_s = 30.0
    tally = ChannelTally(pages=5, reactions=500)
    reading = [ChannelProgress(ChannelId(n), 1, "w", START, tally, 0.5) for n in range(4)]

    tell(board, *reading)
    early = board.view(50)
    board.report(
        WorkerReport(
            JobId("job"),
            "worker-0",
            2,
            tuple(with_extras(n, 10, due=200, done=0, reactions=1000) for n in range(4)),
            ApiUsage(),
        )
    )
    counted = board.view(50)

    assert early.fraction == pytest.approx(20 / (40 + 4000)), "half of the pages, no reactors"
    assert counted.fraction == pytest.approx(40 / (40 + 800))
    assert counted.eta_s is not None


@given(
    dues=st.lists(st.integers(0, 500), min_size=1, max_size=20),
    share=st.floats(0.05, 0.95),
)
def test_work_at_an_even_pace_has_an_eta_that_is_true(dues: list[int], share: float) -> None:
    tasks = [make_task(n, expected_pages=10.0) for n in range(len(dues))]
    board, clock = reactors_board(tasks)
    clock.elapsed_s = 100.0

    tell(board, *(with_extras(n, 10, due, round(due * share)) for n, due in enumerate(dues)))

    done = sum(10 + round(due * share) for due in dues)
    whole = sum(10 + due for due in dues)
    assert board.view(50).fraction == pytest.approx(done / whole)
