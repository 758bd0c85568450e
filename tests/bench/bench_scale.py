"""Thousands of tenants in virtual time, and the cost of single classes with as many.

    uv run python tests/bench/bench_scale.py --tenants 10,100 --channels 100
    uv run python tests/bench/bench_scale.py --classes

`--coarse` models the reading of a channel (`scale_coarse`): for 1,000 tenants and more.
`--no-lists` makes all channels voice channels, of which no archived threads are listed.
Each case runs in a process of its own, so that its peak of memory is its own.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from raysync.models.events import ChannelRow, JobHeader
from raysync.models.ids import JobId, MessageId
from raysync.models.permits import Demand, Sharer
from raysync.models.results import ChannelResult
from raysync.models.status import ChannelJobStatus, SyncType
from raysync.models.work import ChannelOutcome, ChannelTally, ChannelTask
from raysync.pool.fair_queue import FairQueue
from raysync.ratelimit.governor import Governor
from raysync.sync.progress.board import ProgressBoard
from tests.bench.figures import aligned, machine
from tests.bench.scale_model import Shape
from tests.bench.scale_run import ScaleRun, simulate
from tests.unit.sync.fakes import make_task
from tests.virtual_time import LoopClock, run_virtual

HEAD = [
    "tenants",
    "workers",
    "at once",
    "virtual s",
    "bound s",
    "efficiency",
    "requests",
    "most in 1 s",
    "refused",
    "clients",
    "connections",
    "busy: driver",
    "governor",
    "tracker",
    "CPU µs a channel: dispatcher",
    "of governor",
    "of tracker",
    "peak MB",
]
AT = datetime(2026, 1, 1, tzinfo=UTC)


def row(run: ScaleRun) -> list[str]:
    """Format one line of the table."""
    world, shape = run.world, run.shape
    channels = shape.tenants * shape.channels
    busy = (each.busy_s / run.took_s for each in (world.driver, world.governor, world.tracker))
    cpu = (world.cpu.dispatcher_s, world.cpu.governor_s, world.cpu.tracker_s)
    if list(world.archive.ended) != [1] * channels:
        raise SystemExit("not every channel was read to its end once: no figure is printed")
    return [
        f"{shape.tenants:,}",
        f"{shape.workers}",
        f"{run.most_tenants}",
        f"{run.took_s:,.0f}",
        f"{run.bound_s:,.0f}",
        f"{run.bound_s / run.took_s:.2f}",
        f"{run.requests:,}",
        f"{world.discord.most_in_a_second}",
        f"{world.discord.refused}",
        f"{world.most_sessions:,}",
        f"{run.connections:,}",
        *(f"{each:.0%}" for each in busy),
        *(f"{each / channels * 1e6:.0f}" for each in cpu),
        f"{run.peak_mb:,.0f}",
    ]


def one(shape: Shape) -> list[str]:
    """Run a case in a separate process."""
    return row(simulate(shape))


def classes() -> None:
    """Measure a step of single classes with many tenants, in this machine's CPU time."""
    rows = [
        [f"{tenants:,}", f"{_queue_us(tenants):.1f}", f"{_lease_us(tenants):.1f}"]
        for tenants in (1, 100, 1_000, 10_000)
    ]
    print(aligned(["tenants", "µs a channel in the queue", "µs a lease of 5 permits"], rows))
    rows = [
        [f"{channels:,}", *(f"{each:,.1f}" for each in _board_us(channels))]
        for channels in (100, 1_000, 10_000)
    ]
    head = ["channels of a job", "µs a view written", "µs a view shown", "µs an outcome"]
    print(aligned(head, rows))
    kinds = {
        "planned: task": _task,
        "tracked: row": lambda number: ChannelRow(_task(number)),
        "result, until the run's end": _result,
    }
    print(
        aligned(["kept", "bytes a channel"], [[k, f"{_bytes(v):,.0f}"] for k, v in kinds.items()])
    )


def _queue_us(tenants: int) -> float:
    """Push and pop one channel while all tenants have 100 waiting: 1,000,000 at most."""
    queue: FairQueue[JobId] = FairQueue()
    jobs = [JobId(str(number)) for number in range(tenants)]
    for job in jobs:
        for left in range(100):
            queue.push(job, left, job)
    steps = 100_000
    began_s = time.process_time()
    for _ in range(steps):
        job = queue.pop() or jobs[0]
        queue.take_slot(job)
        queue.push(job, 1.0, job)
        queue.give_slot_back(job)
    return (time.process_time() - began_s) / steps * 1e6


def _lease_us(tenants: int) -> float:
    governor = Governor(-10.0)
    asks = max(20_000 // tenants, 1)
    began_s = time.process_time()
    for turn in range(asks):
        for token in range(tenants):
            sharer = Sharer("run", "worker")
            governor.lease(str(token), sharer, Demand(5), 48.0, turn * 0.1)
    return (time.process_time() - began_s) / (asks * tenants) * 1e6


def _board_us(channels: int) -> tuple[float, float, float]:
    async def measure() -> tuple[float, float, float]:
        header = JobHeader(JobId("j"), "t", SyncType.FULL, AT, 48.0)
        board = ProgressBoard(header, LoopClock())
        board.plan([_task(number) for number in range(channels)], ())
        views = 200
        written_us = _each_us(views, lambda _: board.view(0))
        shown_us = _each_us(views, lambda _: board.view(30))
        outcomes = [_outcome(number) for number in range(channels)]
        settled_us = _each_us(channels, lambda number: board.settle(outcomes[number]))
        return written_us, shown_us, settled_us

    return run_virtual(measure())


def _each_us(times: int, act: Callable[[int], object]) -> float:
    began_s = time.process_time()
    for number in range(times):
        act(number)
    return (time.process_time() - began_s) / times * 1e6


def _bytes(make: Callable[[int], object]) -> float:
    """Return the time of one call, measured over ten thousand."""
    many = 10_000
    tracemalloc.start()
    kept = [make(number) for number in range(many)]
    size = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return size / len(kept)


def _task(number: int) -> ChannelTask:
    return make_task(10**18 + number, name=f"channel-{number}", last_message_id=10**18 + 2 * number)


def _outcome(number: int) -> ChannelOutcome:
    tally = ChannelTally(requests=2, pages=2, messages=150, last_message_id=MessageId(10**18))
    return ChannelOutcome(
        _task(number).channel_id, ChannelJobStatus.COMPLETED, "worker-1", 1, AT, AT, tally, 0
    )


def _result(number: int) -> ChannelResult:
    return ChannelResult(
        channel_id=str(10**18 + number),
        status="completed",
        worker_id=f"worker-{number % 10}",
        started_at=AT.replace(microsecond=number),
        completed_at=AT.replace(microsecond=number),
        messages_processed=150 + number,
        last_message_id=str(10**18 + 2 * number),
        error=None,
        retry_count=0,
    )


def _numbers(text: str) -> list[int]:
    return [int(each) for each in text.split(",")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tenants", type=_numbers, default=[10, 100])
    parser.add_argument("--channels", type=int, default=100)
    parser.add_argument("--workers", type=int, default=10)
    parser.add_argument("--at-once", type=int, default=100)
    parser.add_argument("--coarse", action="store_true")
    parser.add_argument("--no-lists", action="store_true")
    parser.add_argument("--classes", action="store_true")
    given = parser.parse_args()
    print(machine(), flush=True)
    if given.classes:
        classes()
        return
    rows = []
    for tenants in given.tenants:
        shape = Shape(
            tenants,
            given.channels,
            given.workers,
            given.at_once,
            engine=not given.coarse,
            lists=not given.no_lists,
        )
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            rows.append(pool.apply(one, (shape,)))
        print(" | ".join(rows[-1]), flush=True)
    print(aligned(HEAD, rows))


if __name__ == "__main__":
    main()
