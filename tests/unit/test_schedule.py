"""When a schedule runs, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest

from raysync.errors import StoreUnavailableError, UnknownTenantError
from raysync.run.schedule import Period, Schedule
from tests.virtual_time import LoopClock, run_virtual

HOUR = timedelta(hours=1)
CANCELLED = 130
HOURLY = Period(HOUR)
START = LoopClock.start


def minutes(count: float) -> timedelta:
    return timedelta(minutes=count)


@dataclass
class FakeLedger:
    """The database of several schedulers; away in some stretches of time."""

    ticks: list[tuple[datetime, int]] = field(default_factory=list)
    away: Callable[[float], bool] = lambda _now_s: False
    is_taken: bool = False

    async def last_tick(self) -> datetime | None:
        self._require()
        return self.ticks[-1][0] if self.ticks else None

    async def ended(self, tick: datetime, exit_code: int) -> None:
        self._require()
        self.ticks.append((tick, exit_code))

    @asynccontextmanager
    async def hold(self) -> AsyncIterator[bool]:
        self._require()
        is_held, self.is_taken = not self.is_taken, True
        try:
            yield is_held
        finally:
            if is_held:
                self.is_taken = False

    def _require(self) -> None:
        if self.away(LoopClock().monotonic_s()):
            raise StoreUnavailableError("The database is away.")


@dataclass
class Runs:
    """What ran, from when to when in minutes since the start, and how it ended."""

    takes: timedelta = timedelta(minutes=10)
    codes: list[int] = field(default_factory=list)
    ended_by_us: int = CANCELLED
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    spans: list[tuple[float, float]] = field(default_factory=list)

    async def __call__(self) -> int:
        clock = LoopClock()
        begun = clock.monotonic_s() / 60
        code = self.codes.pop(0) if self.codes else 0
        try:
            await asyncio.wait_for(self.stop.wait(), self.takes.total_seconds())
            code = self.ended_by_us
        except TimeoutError:
            pass
        self.spans.append((begun, clock.monotonic_s() / 60))
        return code

    @property
    def begun(self) -> list[float]:
        return [begun for begun, _ in self.spans]


def kept(
    ledger: FakeLedger,
    runs: Runs,
    for_: timedelta,
    period: Period = HOURLY,
    chances: tuple[float, ...] = (0.0,),
) -> list[str]:
    """Keep a schedule for so long, by a scheduler for each of *chances*; what they told."""
    told: list[str] = []

    async def keep() -> None:
        def schedule(chance: float) -> Schedule:
            return Schedule(period, ledger, runs, LoopClock(), told.append, lambda: chance)

        keeping = [asyncio.create_task(schedule(each).keep(runs.stop)) for each in chances]
        await asyncio.wait(keeping, timeout=for_.total_seconds())
        runs.stop.set()
        await asyncio.gather(*keeping)

    run_virtual(keep())
    return told


def test_the_first_run_begins_at_once_and_the_next_a_period_after_its_tick():
    ledger, runs = FakeLedger(), Runs()

    kept(ledger, runs, for_=minutes(190))

    assert runs.begun == [0, 60, 120, 180]
    assert [tick for tick, _ in ledger.ticks] == [START + n * HOUR for n in range(4)]


def test_runs_longer_than_the_period_never_overlap_and_what_they_missed_is_one_run():
    ledger, runs = FakeLedger(), Runs(takes=minutes(150))

    kept(ledger, runs, for_=minutes(440))

    assert runs.spans == [(0, 150), (150, 300), (300, 440)]
    assert [tick for tick, _ in ledger.ticks] == [START, START + 2 * HOUR]


@pytest.mark.parametrize(
    ("last", "begun"),
    [
        pytest.param(START - minutes(20), 40, id="it-waits-for-what-is-left-of-the-period"),
        pytest.param(START - 30 * HOUR - minutes(20), 0, id="what-was-missed-runs-once-and-now"),
        pytest.param(START + 9 * HOUR, 0, id="a-tick-in-the-future-means-a-clock-that-was-set"),
    ],
)
def test_a_restarted_schedule_goes_on_from_the_last_tick(last, begun):
    ledger, runs = FakeLedger([(last, 0)]), Runs()

    kept(ledger, runs, for_=minutes(begun + 15))

    assert runs.begun == [begun]


def test_missed_ticks_do_not_move_the_ticks_that_follow():
    ledger, runs = FakeLedger([(START - 3 * HOUR - minutes(20), 0)]), Runs()

    kept(ledger, runs, for_=minutes(55))

    assert runs.begun == [0, 40]


@pytest.mark.parametrize("code", [130, 143], ids=["cleanly", "before-it-listened"])
def test_a_run_that_was_ended_with_the_schedule_is_due_again(code):
    ledger, runs = FakeLedger(), Runs(ended_by_us=code)
    kept(ledger, runs, for_=minutes(5))
    assert (runs.spans, ledger.ticks) == ([(0, 5)], [])

    again = Runs()
    kept(ledger, again, for_=minutes(15))

    assert again.spans == [(0, 10)]


@pytest.mark.parametrize(
    ("code", "sentence"), [(0, "The run is completed."), (3, "The run ended with exit code 3.")]
)
def test_the_last_run_of_a_schedule_announces_no_next_one(code, sentence):
    sentences = kept(FakeLedger(), Runs(ended_by_us=code), for_=minutes(5))

    assert sentences == [sentence]


def test_a_run_that_fails_or_is_cancelled_is_told_and_the_next_one_comes():
    ledger, runs = FakeLedger(), Runs(codes=[3, CANCELLED, 0])

    told = kept(ledger, runs, for_=minutes(140))

    assert [code for _, code in ledger.ticks] == [3, CANCELLED, 0]
    assert told[0] == (
        "The run ended with exit code 3; the next one is due at 2026-01-01 01:00:00 UTC."
    )


def test_two_schedulers_beside_each_other_make_each_run_once():
    ledger, runs = FakeLedger(), Runs()

    kept(ledger, runs, for_=minutes(190), chances=(0.0, 0.0))

    assert runs.begun == [0, 60, 120, 180]


def test_a_tick_that_another_scheduler_has_run_is_not_run_again():
    ledger, runs = FakeLedger(), Runs()

    kept(ledger, runs, for_=minutes(190), period=Period(HOUR, minutes(30)), chances=(0.0, 1.0))

    assert runs.begun == [0, 60, 120, 180], "the other one comes half an hour later each time"


def test_jitter_moves_a_run_and_not_the_ticks():
    ledger, runs = FakeLedger(), Runs()

    kept(ledger, runs, for_=minutes(190), period=Period(HOUR, minutes(10)), chances=(0.5,))

    assert runs.begun == [0, 65, 125, 185]
    assert [tick for tick, _ in ledger.ticks] == [START + n * HOUR for n in range(3)]


def test_a_database_that_goes_away_is_waited_for_and_told_of_once():
    ledger, runs = FakeLedger(away=lambda now_s: 30 * 60 < now_s < 70 * 60), Runs()

    told = kept(ledger, runs, for_=minutes(140))

    assert runs.begun == pytest.approx([0, 70, 120], abs=0.3)
    assert sum("The database is away" in each for each in told) == 1


def test_the_end_of_a_run_is_written_down_when_the_database_is_back():
    ledger, runs = FakeLedger(away=lambda now_s: 5 * 60 < now_s < 20 * 60), Runs()

    kept(ledger, runs, for_=minutes(50))

    assert ledger.ticks == [(START, 0)]
    assert runs.spans == [(0, 10)]


def test_a_database_that_is_away_at_the_beginning_ends_it():
    with pytest.raises(StoreUnavailableError):
        kept(FakeLedger(away=lambda _now_s: True), Runs(), for_=HOUR)


def test_a_tenant_that_was_removed_ends_the_schedule_before_its_next_run():
    ledger, runs = FakeLedger(), Runs()

    async def require() -> None:
        if LoopClock().monotonic_s() > minutes(90).total_seconds():
            raise UnknownTenantError("There is no tenant takaro.")

    async def keep() -> None:
        await Schedule(
            HOURLY, ledger, runs, LoopClock(), lambda _: None, lambda: 0.0, require
        ).keep(runs.stop)

    with pytest.raises(UnknownTenantError):
        run_virtual(keep())

    assert runs.begun == [0, 60]
    assert not ledger.is_taken, "another scheduler finds the lock free"
