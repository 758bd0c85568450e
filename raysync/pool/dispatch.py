"""Gives channels to workers: the most left to read first, one slot per channel in flight.

A visit ends when the channel's bucket is empty. The slot then goes to another channel, and the
channel comes back when its bucket has filled again, wherever there is room: what counts in the
bucket goes with it. So no slot waits, and the largest channels never stop. Beside the channels
that it reads, a worker is given as many on standby, where there are no other slots for them: they
are claimed while others' last pages are still being written, and a worker never idles in between.

What is in flight, and what becomes of it when an actor dies, is kept here, since
`ray.util.ActorPool` tells neither which item a dead actor held nor that its queue was lost. No Ray
call is made in this module: workers come as `WorkerPort`s, so tests run without.

Invariant: a channel is in exactly one of waiting, in flight, parked and returned.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import defaultdict
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from raysync.clock import Clock
from raysync.errors import RaysyncError
from raysync.models.ids import JobId
from raysync.models.not_covered import MissingRoute
from raysync.models.status import ChannelJobStatus
from raysync.models.work import ChannelOutcome, ChannelTask, Parked
from raysync.pool.fair_queue import FairQueue
from raysync.pool.policies import (
    FailurePolicy,
    ScalingPolicy,
    WorkerLostError,
    WorkerPreemptedError,
)
from raysync.pool.workers import Slot, SlotPool, WorkerPool, WorkerPort
from raysync.sync.metering import PoolFigures
from raysync.sync.retry import failure_of

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Work:
    task: ChannelTask
    returned: asyncio.Future[ChannelOutcome]
    serving: asyncio.Task[None] | None = None
    parked: asyncio.TimerHandle | None = None
    parked_at_s: float = 0.0
    deaths: int = 0  #: workers that died on it since a visit last ended otherwise
    preemptions: int = 0  #: workers whose nodes were taken back, likewise


class Dispatcher:
    """Has channels read by a pool of workers; satisfies the engine's `ChannelDispatcher`."""

    def __init__(
        self,
        spawn: Callable[[int], WorkerPort],
        slots_per_worker: int,
        clock: Clock,
        scaling: ScalingPolicy,
        new_slot_pool: Callable[[], SlotPool],
        failures: FailurePolicy | None = None,
    ) -> None:
        self._clock = clock
        self._failures = failures or FailurePolicy()
        self._pool = WorkerPool(
            spawn, slots_per_worker, clock, scaling, self._failures, self._turn, new_slot_pool
        )
        self._parked = 0
        self._waiting: FairQueue[_Work] = FairQueue()
        self._in_flight: set[asyncio.Task[None]] = set()
        self._missing: defaultdict[JobId, set[MissingRoute]] = defaultdict(set)
        self.most_at_once = 0  #: channels read at the same moment

    async def run(self, task: ChannelTask) -> ChannelOutcome:
        """Wait for a slot, have the channel synced, and return how that ended."""
        returned: asyncio.Future[ChannelOutcome] = asyncio.get_running_loop().create_future()
        work = _Work(task, returned)
        self._queue(work)
        self._turn()
        try:
            return await returned
        except asyncio.CancelledError:
            if work.serving is not None and not work.serving.done():
                work.serving.cancel()
                await asyncio.wait([work.serving])  # its progress is told until it has let go
            if work.parked is not None:
                work.parked.cancel()
                self._parked -= 1
            raise

    def warm_up(self) -> None:
        """Start one worker before there is work: a process takes seconds to come up."""
        self._pool.warm_up()

    def leave(self, nodes: Collection[str]) -> None:
        """Let go of the workers on *nodes*, which will soon be gone; visits end first."""
        self._pool.leave(nodes)
        self._turn()

    def figures(self) -> PoolFigures:
        """Its workers and its queues now."""
        waiting = self._waiting.lengths()
        return PoolFigures(self._pool.wanted, *self._pool.count(), self._pool.lost, waiting)

    async def close_job(self, job_id: JobId) -> None:
        """Have all workers forget a job of which nothing is under way."""
        self._missing.pop(job_id, None)
        await self._pool.close_job(job_id)

    async def close(self) -> None:
        """End all workers; what they have under way is cancelled, its progress kept."""
        under_way = list(self._in_flight)
        for each in under_way:
            each.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
        await self._pool.close()

    def _queue(self, work: _Work) -> None:
        task = work.task
        # a guess may be far too low, and a large channel that is begun late ends late: look first
        unseen = task.is_guess and not task.done.pages
        self._waiting.push(task.job_id, math.inf if unseen else task.expected_pages, work)

    def _next(self) -> _Work | None:
        """What is to be read next."""
        while (work := self._waiting.pop()) is not None and work.returned.done():
            pass  # its job was cancelled
        return work

    def _turn(self) -> None:
        """Do what can be done now: fill slots, then have as many workers as there is work."""
        self._assign()
        channels = len(self._waiting) + len(self._in_flight)
        self._pool.scale(channels, self._parked)
        if self._pool.broken is not None:
            self._refuse_all(self._pool.broken)

    def _assign(self) -> None:
        while self._pool.has_room() and (work := self._next()) is not None:
            slot = self._pool.take()
            job_id = work.task.job_id
            self._waiting.take_slot(job_id)
            missing = tuple(sorted(self._missing.get(job_id, ())))
            work.task = replace(work.task, is_hurried=self._is_crowded(), missing_routes=missing)
            work.serving = asyncio.create_task(self._serve(slot, work))
            self._in_flight.add(work.serving)
            self.most_at_once = max(self.most_at_once, self._pool.reading)
            work.serving.add_done_callback(partial(self._forget, job_id))

    def _is_crowded(self) -> bool:
        """Whether more channels are to be read than there is room for: slots must go round."""
        channels = len(self._waiting) + self._parked + len(self._in_flight) + 1
        return channels > self._pool.places

    def _forget(self, job_id: JobId, serving: asyncio.Task[None]) -> None:
        self._in_flight.discard(serving)
        self._waiting.give_slot_back(job_id)
        self._turn()

    async def _serve(self, slot: Slot, work: _Work) -> None:
        task = work.task
        started_at = self._clock.now()
        try:
            outcome = await slot.worker.sync_channel(task)
        except Exception as error:  # noqa: BLE001 whatever it is, nobody is to wait for ever
            if not isinstance(error, RaysyncError):
                _log.exception("a worker failed unexpectedly", extra={"event": "worker_crashed"})
            if isinstance(error, WorkerLostError):
                self._pool.bury(slot)
                is_preempted = isinstance(error, WorkerPreemptedError)
                work.preemptions += is_preempted
                work.deaths += not is_preempted
                if not self._failures.is_cause(work.deaths, work.preemptions):
                    # what it read meanwhile counts in the bucket, and only the database knows of it
                    work.task = replace(task, attempt=task.attempt + 1, paged_ago_s=())
                    self._queue(work)
                    return
            outcome = self._given_up(task, slot.worker.worker_id, started_at, error)
        except asyncio.CancelledError:
            work.returned.cancel()
            raise
        finally:
            self._pool.free(slot)
        self._pool.hear_fullness(outcome.is_worker_full)
        if outcome.tally.not_covered:
            self._missing[task.job_id].update(outcome.tally.not_covered)
        if work.returned.done():
            return
        if outcome.parked is not None:
            work.deaths = work.preemptions = 0
            self._park(work, outcome, outcome.parked)
        else:
            work.returned.set_result(outcome)

    def _park(self, work: _Work, outcome: ChannelOutcome, parked: Parked) -> None:
        """Have the channel come back when there is something to read of it again."""
        left = parked.remaining_pages
        if left is None:
            read = outcome.tally.pages - work.task.done.pages
            left = max(work.task.expected_pages - read, 1.0)
        work.task = replace(
            work.task,
            expected_pages=left,
            done=outcome.tally,
            started_at=outcome.started_at,
            retries_before=outcome.retry_count,
            paged_ago_s=parked.paged_ago_s,
            is_read=parked.is_read,
            visits=outcome.visits,
        )
        work.parked_at_s = self._clock.monotonic_s()
        loop = asyncio.get_running_loop()
        work.parked = loop.call_later(parked.ready_after_s, self._unpark, work)
        self._parked += 1

    def _unpark(self, work: _Work) -> None:
        work.parked = None
        self._parked -= 1
        parked_s = self._clock.monotonic_s() - work.parked_at_s
        ages_s = tuple(each + parked_s for each in work.task.paged_ago_s)
        work.task = replace(work.task, paged_ago_s=ages_s)
        self._queue(work)
        self._turn()

    def _given_up(
        self, task: ChannelTask, worker_id: str, started_at: datetime, error: Exception
    ) -> ChannelOutcome:
        return ChannelOutcome(
            channel_id=task.channel_id,
            status=ChannelJobStatus.FAILED,
            worker_id=worker_id,
            attempt=task.attempt,
            started_at=task.started_at or started_at,
            completed_at=self._clock.now(),
            tally=task.done,
            retry_count=task.retries_before + task.attempt - 1,
            failure=failure_of(error),
            visits=task.visits,
        )

    def _refuse_all(self, error: RaysyncError) -> None:
        while (work := self._next()) is not None:
            work.returned.set_exception(error)
