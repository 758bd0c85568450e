"""An outage of the database is reported at once, and ends itself, or the run, in bounded time."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from raysync.errors import (
    DatabaseFullError,
    DatabaseUnavailableError,
    RaysyncError,
    StoreUnavailableError,
)
from raysync.models.outage import Outage, ServerState
from raysync.sync.outage import NOBODY_ASKS_S, OutageWatch
from raysync.sync.retry import OUTAGE_PAUSE_S, Retrier, RetryPolicy
from tests.outage_recorder import OutageRecorder
from tests.virtual_time import LoopClock, run_virtual

HOURS_S = 7_200.0


class Server:
    """A server whose starts end as listed; after that it runs."""

    def __init__(self, *ends: ServerState | RaysyncError) -> None:
        self._ends = list(ends)
        self.starts_s: list[float] = []
        self.answers = 0

    async def revive(self) -> ServerState:
        self.starts_s.append(asyncio.get_running_loop().time())
        end = self._ends.pop(0) if self._ends else ServerState()
        if isinstance(end, RaysyncError):
            raise end
        return end

    def answered(self) -> None:
        self.answers += 1


def seen(server: Server | None, away_s: float) -> tuple[OutageRecorder, RaysyncError | None]:
    """Have the database be away from the fifth second on; return what was told of it."""
    recorder = OutageRecorder()

    async def scenario() -> RaysyncError | None:
        watch = OutageWatch(LoopClock(), recorder, server, HOURS_S)
        watching = asyncio.create_task(watch.watch())
        watch.note(None)
        await asyncio.sleep(5)
        watch.note("connection refused")
        await asyncio.wait([watching], timeout=away_s)
        watch.note(None)
        await asyncio.sleep(1)
        if watching.done():
            return watching.result()
        watching.cancel()
        return None

    return recorder, run_virtual(scenario())


def test_an_outage_is_told_at_once_with_its_beginning_and_the_end_of_patience() -> None:
    recorder, ended_by = seen(None, away_s=90.0)

    until = LoopClock.start + timedelta(seconds=HOURS_S)
    assert recorder.outages == [Outage(LoopClock.start, until, "connection refused")]
    assert recorder.lasted_s == [95.0], "since its last answer"
    assert ended_by is None


def test_a_run_gives_up_at_the_time_that_it_named() -> None:
    recorder, ended_by = seen(None, away_s=3 * HOURS_S)

    assert "has not answered since 2026-01-01 00:00:00 UTC (connection refused)" in str(ended_by)
    assert ended_by is not None
    assert ended_by.exit_code == 1
    assert recorder.lasted_s == []


def test_a_run_ends_before_its_channels_give_up_one_by_one() -> None:
    """They would become dead letters, though nothing is wrong with any of them."""

    async def ask() -> None:
        raise StoreUnavailableError("connection refused")

    async def scenario() -> bool:
        policy, clock = RetryPolicy(max_attempts=1), LoopClock()
        watch = OutageWatch(clock, OutageRecorder(), None, policy.run_outage_s)
        asking = asyncio.create_task(Retrier(policy, clock)(ask))
        await asyncio.sleep(50)  # a statement may take so long until it fails
        watch.note(None)
        watch.note("connection refused")
        await watch.watch()
        has_given_up = asking.done()
        asking.cancel()
        return has_given_up

    assert not run_virtual(scenario())


def test_a_server_that_can_be_started_is_started_at_once_and_its_reason_told() -> None:
    server = Server(ServerState("FATAL: killed"))

    recorder, ended_by = seen(server, away_s=2.5)

    assert [each.reason for each in recorder.outages][:2] == ["connection refused", "FATAL: killed"]
    assert server.starts_s[0] == 5.0
    assert (server.answers, ended_by) == (1, None)


def test_a_start_that_fails_is_told_and_tried_again_after_a_pause() -> None:
    server = Server(DatabaseUnavailableError("it has no memory"), ServerState("it had none"))

    recorder, _ = seen(server, away_s=15.0)

    assert server.starts_s[:2] == [5.0, 5.0 + OUTAGE_PAUSE_S]
    assert [each.reason for each in recorder.outages][1:3] == ["it has no memory", "it had none"]


def test_a_full_disk_ends_the_run_at_once() -> None:
    recorder, ended_by = seen(Server(DatabaseFullError("The disk is full.")), away_s=60.0)

    assert isinstance(ended_by, DatabaseFullError)
    assert len(recorder.outages) == 1
    assert recorder.lasted_s == []


def test_a_server_that_was_stopped_on_purpose_is_waited_for() -> None:
    recorder, ended_by = seen(Server(*[ServerState("stopped", is_stopped=True)] * 30), away_s=20.0)

    assert [each.is_stopped for each in recorder.outages] == [False, True]
    assert recorder.lasted_s == [25.0]
    assert ended_by is None


def test_what_begins_meanwhile_waits_for_the_end_of_the_outage_or_of_the_run() -> None:
    async def scenario() -> list[float]:
        loop, stopping, at_s = asyncio.get_running_loop(), asyncio.Event(), []
        watch = OutageWatch(LoopClock(), OutageRecorder(), None, HOURS_S)
        await watch.answers(stopping)
        at_s.append(loop.time())
        for end in (lambda: watch.note(None), stopping.set):
            watch.note("away")
            loop.call_later(7, end)
            await watch.answers(stopping)
            at_s.append(loop.time())
        return at_s

    assert run_virtual(scenario()) == [0.0, 7.0, 14.0]


def test_what_begins_finds_out_itself_where_nobody_asks_any_more() -> None:
    async def scenario() -> float:
        watch = OutageWatch(LoopClock(), OutageRecorder(), None, HOURS_S)
        watch.note("away")
        await watch.answers(asyncio.Event())
        return asyncio.get_running_loop().time()

    assert run_virtual(scenario()) == NOBODY_ASKS_S + 1


def test_a_connection_that_is_back_at_once_is_no_outage() -> None:
    recorder = OutageRecorder()

    async def scenario() -> None:
        watch = OutageWatch(LoopClock(), recorder, None, HOURS_S)
        watching = asyncio.create_task(watch.watch())
        await asyncio.sleep(1)
        watch.note("away")
        watch.note(None)
        await asyncio.sleep(1)
        watching.cancel()

    run_virtual(scenario())

    assert (recorder.outages, recorder.lasted_s) == ([], [])


@pytest.mark.parametrize("outages", [1, 2])
def test_each_outage_is_told_by_itself(outages: int) -> None:
    recorder = OutageRecorder()

    async def scenario() -> None:
        watch = OutageWatch(LoopClock(), recorder, None, HOURS_S)
        watching = asyncio.create_task(watch.watch())
        for _ in range(outages):
            watch.note("away")
            await asyncio.sleep(3)
            watch.note("away")
            await asyncio.sleep(3)
            watch.note(None)
            await asyncio.sleep(10)
        watching.cancel()

    run_virtual(scenario())

    assert len(recorder.outages) == len(recorder.lasted_s) == outages
