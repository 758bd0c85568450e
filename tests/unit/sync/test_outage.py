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
from raysync.sync.outage import SILENCE_S, OutageWatch
from raysync.sync.retry import OUTAGE_PAUSE_S, Retrier, RetryPolicy
from tests.outage_recorder import OutageRecorder
from tests.virtual_time import LoopClock, run_virtual

HOURS_S = 7_200.0


class Server:
    """Server with starts that end as listed; later starts succeed."""

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
    """Watch a database that is down from the fifth second on; return the reports and the end."""
    heard = OutageRecorder()

    async def scenario() -> RaysyncError | None:
        watch = OutageWatch(LoopClock(), heard, server, HOURS_S)
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

    return heard, run_virtual(scenario())


def test_an_outage_is_reported_at_once_with_its_start_and_its_time_limit() -> None:
    heard, ended_by = seen(None, away_s=90.0)

    until = LoopClock.start + timedelta(seconds=HOURS_S)
    assert heard.outages == [Outage(LoopClock.start, until, "connection refused")]
    assert heard.lasted_s == [95.0], "since its last answer"
    assert ended_by is None


def test_a_run_gives_up_at_the_reported_time() -> None:
    heard, ended_by = seen(None, away_s=3 * HOURS_S)

    assert "has not answered since 2026-01-01 00:00:00 UTC (connection refused)" in str(ended_by)
    assert ended_by is not None
    assert ended_by.exit_code == 1
    assert heard.lasted_s == []


def test_a_run_ends_before_its_channels_give_up_one_by_one() -> None:
    """Otherwise they would become dead letters, although none is at fault."""

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


def test_a_server_is_started_at_once_and_the_reason_is_reported() -> None:
    server = Server(ServerState("FATAL: killed"))

    heard, ended_by = seen(server, away_s=2.5)

    assert [each.reason for each in heard.outages][:2] == ["connection refused", "FATAL: killed"]
    assert server.starts_s[0] == 5.0
    assert (server.answers, ended_by) == (1, None)


def test_a_failed_start_is_reported_and_retried_after_a_pause() -> None:
    server = Server(DatabaseUnavailableError("it has no memory"), ServerState("it had none"))

    heard, _ = seen(server, away_s=15.0)

    assert server.starts_s[:2] == [5.0, 5.0 + OUTAGE_PAUSE_S]
    assert [each.reason for each in heard.outages][1:3] == ["it has no memory", "it had none"]


def test_a_full_disk_ends_the_run_at_once() -> None:
    heard, ended_by = seen(Server(DatabaseFullError("The disk is full.")), away_s=60.0)

    assert isinstance(ended_by, DatabaseFullError)
    assert len(heard.outages) == 1
    assert heard.lasted_s == []


def test_an_outage_of_a_server_stopped_on_purpose_is_reported_as_such() -> None:
    heard, ended_by = seen(Server(*[ServerState("stopped", is_stopped=True)] * 30), away_s=20.0)

    assert [each.is_stopped for each in heard.outages] == [False, True]
    assert heard.lasted_s == [25.0]
    assert ended_by is None


def test_a_job_that_begins_meanwhile_waits_for_the_end_of_the_outage_or_the_run() -> None:
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


def test_a_job_that_begins_queries_the_database_itself_after_silence() -> None:
    async def scenario() -> float:
        watch = OutageWatch(LoopClock(), OutageRecorder(), None, HOURS_S)
        watch.note("away")
        await watch.answers(asyncio.Event())
        return asyncio.get_running_loop().time()

    assert run_virtual(scenario()) == SILENCE_S + 1


def test_a_reconnection_at_once_is_no_outage() -> None:
    heard = OutageRecorder()

    async def scenario() -> None:
        watch = OutageWatch(LoopClock(), heard, None, HOURS_S)
        watching = asyncio.create_task(watch.watch())
        await asyncio.sleep(1)
        watch.note("away")
        watch.note(None)
        await asyncio.sleep(1)
        watching.cancel()

    run_virtual(scenario())

    assert (heard.outages, heard.lasted_s) == ([], [])


@pytest.mark.parametrize("outages", [1, 2])
def test_each_outage_is_reported_separately(outages: int) -> None:
    heard = OutageRecorder()

    async def scenario() -> None:
        watch = OutageWatch(LoopClock(), heard, None, HOURS_S)
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

    assert len(heard.outages) == len(heard.lasted_s) == outages
