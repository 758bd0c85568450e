"""Visits of the driver while the workers start, over the engine, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass, field

import pytest

from raysync.errors import SyncError
from raysync.models.ids import ChannelId
from raysync.models.status import ChannelJobStatus
from raysync.models.work import ChannelOutcome, ChannelTask
from raysync.pool.dispatch import next_visit
from raysync.pool.early_visits import EarlyVisits
from tests.unit.sync.fakes import FakeHistory, FakePages, channel_sync, make_task, snowflakes
from tests.virtual_time import LoopClock, run_virtual

IDS = snowflakes(950)
SLOTS = 3


@dataclass
class Guild:
    """Channels of ten pages, each with a bucket that is empty after every third page."""

    histories: dict[ChannelId, FakeHistory] = field(default_factory=dict)
    pages: dict[ChannelId, FakePages] = field(default_factory=dict)
    reading: int = 0
    most: int = 0
    tasks: list[ChannelTask] = field(default_factory=list)

    def add(self, channels: int) -> list[ChannelTask]:
        tasks = [make_task(number, last_message_id=IDS[-1]) for number in range(1, channels + 1)]
        for task in tasks:
            history = FakeHistory(takes_s=0.1)
            history.post(*IDS)
            history.bucket.pauses = [0.0, 0.0, 2.0] * 20
            self.histories[task.channel_id] = history
            self.pages[task.channel_id] = FakePages()
        return tasks

    async def visit(self, task: ChannelTask) -> ChannelOutcome:
        self.tasks.append(task)
        self.reading += 1
        self.most = max(self.most, self.reading)
        try:
            history, pages = self.histories[task.channel_id], self.pages[task.channel_id]
            return await channel_sync(history, pages, 100).run(task, lambda _: None)
        finally:
            self.reading -= 1

    async def finish(self, task: ChannelTask) -> ChannelOutcome:
        """Read the rest of a channel, as workers do."""
        while (outcome := await self.visit(task)).parked is not None:
            await asyncio.sleep(outcome.parked.ready_after_s)
            task = next_visit(task, outcome, outcome.parked)
        return outcome


async def ended_after(early: EarlyVisits, seconds: float) -> None:
    await asyncio.sleep(seconds)
    early.end()


@pytest.mark.parametrize("seconds", [0.0, 0.05, 0.3, 1.0, 5.0, 20.0, 1_000.0])
def test_each_message_is_read_once_whenever_the_workers_take_over(seconds: float) -> None:
    guild = Guild()
    left: list[ChannelTask] = []

    async def scenario() -> list[ChannelOutcome]:
        early = EarlyVisits(guild.visit, SLOTS, LoopClock())

        async def read(task: ChannelTask) -> ChannelOutcome:
            end = await early.run(task)
            if isinstance(end, ChannelOutcome):
                return end
            left.append(end)
            return await guild.finish(end)

        ending = asyncio.create_task(ended_after(early, seconds))
        outcomes = await asyncio.gather(*(read(task) for task in guild.add(7)))
        assert early.channels == 0
        assert early.most_at_once <= SLOTS
        ending.cancel()
        return outcomes

    outcomes = run_virtual(scenario())

    assert [outcome.status for outcome in outcomes] == [ChannelJobStatus.COMPLETED] * 7
    assert [outcome.tally.messages for outcome in outcomes] == [len(IDS)] * 7
    assert [outcome.tally.added for outcome in outcomes] == [len(IDS)] * 7
    assert all(sorted(pages.rows) == IDS for pages in guild.pages.values())
    assert all(len(set(each.asked)) == len(each.asked) for each in guild.histories.values())
    assert bool(left) is (seconds < 20.0)


def test_a_worker_learns_how_long_ago_the_last_pages_were_read() -> None:
    guild = Guild()

    async def scenario() -> ChannelOutcome | ChannelTask:
        early = EarlyVisits(guild.visit, SLOTS, LoopClock())
        ending = asyncio.create_task(ended_after(early, 1.3))
        left = await early.run(guild.add(1)[0])
        await ending
        return left

    left = run_virtual(scenario())

    assert isinstance(left, ChannelTask)
    assert [span.count for span in left.visits] == [1]
    assert left.paged_ago_s == pytest.approx((0.5 + 1.0,)), "parked for one second"


def test_the_slots_are_shared_and_none_is_lost() -> None:
    guild = Guild()

    async def scenario() -> None:
        early = EarlyVisits(guild.visit, SLOTS, LoopClock())
        tasks = guild.add(9)
        running = [asyncio.create_task(early.run(task)) for task in tasks]
        await asyncio.sleep(0.25)
        for cancelled in (*running[:2], *running[5:7]):  # that read, and that wait
            cancelled.cancel()
        ends = await asyncio.gather(*running, return_exceptions=True)
        assert sum(isinstance(end, asyncio.CancelledError) for end in ends) == 4
        assert sum(isinstance(end, ChannelOutcome) for end in ends) == 5

    run_virtual(scenario())
    assert guild.most == SLOTS


def test_a_channel_that_cannot_be_read_here_goes_to_a_worker() -> None:
    def fail(_: ChannelTask) -> Awaitable[ChannelOutcome]:
        raise SyncError("no connection is free")

    async def scenario() -> ChannelOutcome | ChannelTask:
        return await EarlyVisits(fail, SLOTS, LoopClock()).run(make_task(paged_ago_s=(1.0,)))

    left = run_virtual(scenario())

    assert isinstance(left, ChannelTask)
    assert left.attempt == 2, "a worker takes the claim over at once"
    assert left.paged_ago_s == ()
