"""Gives channels to workers: the most left to read first, one slot per channel in flight.

A visit ends when the channel's bucket is empty. The slot then goes to another channel, and the
channel comes back when its bucket has filled again, wherever there is room: what counts in the
bucket goes with it. So no slot waits, and the largest channels never stop. Beside the channels
that it reads, a worker is given as many on standby, where there are no other slots for them: they
are claimed while others' last pages are still being written, and a worker never idles in between.

`ray.util.ActorPool` keeps the idle slots; what is in flight, and what becomes of it when an actor
dies, is kept here, since the pool tells neither which item a dead actor held nor that its queue
was lost. No Ray call is made in this module: workers come as `WorkerPort`s, so tests run without.

Invariants: a channel is in exactly one of waiting, in flight, parked and returned; a worker in
exactly one of starting, alive and gone.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any, Protocol

from ray.util import ActorPool

from raysync.clock import Clock
from raysync.errors import RaysyncError, SyncError
from raysync.models.ids import JobId
from raysync.models.status import ChannelJobStatus
from raysync.models.work import ChannelOutcome, ChannelTask, Parked
from raysync.sync.retry import failure_of

_log = logging.getLogger(__name__)

MAX_ATTEMPTS = 5
"""Workers that may die on one channel, one after another, before it is taken for the cause.

Most of the channels that a dead worker held had no part in it: a visit that ends otherwise clears
a channel.
"""
MAX_FAILED_STARTS = 3
"""Workers that may fail to start, one after another, before the run is given up."""

SETTLE_S = 1.0
"""So long after a worker has come up, what workers say of their fullness counts its help."""


class WorkerLostError(SyncError):
    """The worker's process died, or its node is out of reach."""


class WorkersUnavailableError(RaysyncError):
    """No worker could be started."""


class WorkerPort(Protocol):
    """A worker somewhere."""

    worker_id: str

    async def start(self) -> None:
        """Wait until it is up and has its secrets. Raises RaysyncError."""
        ...

    async def sync_channel(self, task: ChannelTask) -> ChannelOutcome:
        """Have it sync one channel.

        Raises:
            WorkerLostError: it is gone, and the channel may go on elsewhere.
            RaysyncError: the worker could not begin, or failed as no channel should.
        """
        ...

    async def close(self) -> None:
        """Let it finish its reports and end; never raises."""
        ...

    def kill(self) -> None:
        """End it at once, so that it cannot go on unseen."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Slot:
    """Room for one channel in flight in one worker."""

    worker: WorkerPort


@dataclass(slots=True)
class _Work:
    task: ChannelTask
    returned: asyncio.Future[ChannelOutcome]
    serving: asyncio.Task[None] | None = None
    parked: asyncio.TimerHandle | None = None
    parked_at_s: float = 0.0
    losses: int = 0  #: workers that died on it since a visit last ended otherwise


@dataclass(order=True, slots=True)
class _Waiting:
    priority: float
    order: int
    work: _Work = field(compare=False)


class Dispatcher:
    """The pool of workers of one run; satisfies the engine's `ChannelDispatcher`."""

    def __init__(
        self,
        spawn: Callable[[int], WorkerPort],
        size: int,
        slots_per_worker: int,
        clock: Clock,
        starting_at_once: int,
        *,
        is_sparing: bool = False,
    ) -> None:
        """At most *size* workers, of which *starting_at_once* may be coming up side by side.

        To start a process takes a second of a core: on one machine, ten at once are all late.
        *is_sparing* starts one only when those that are there say that they are full: else the
        tokens are used to their limits, and more workers would use the machine and nothing else.
        """
        self._spawn = spawn
        self._size = size
        self._slots_per_worker = slots_per_worker
        self._clock = clock
        self._starting_at_once = starting_at_once
        self._is_sparing = is_sparing
        self._came_up_s = -math.inf  # the last worker
        self._is_full = False  # some worker was, since it came up
        # Any: it is typed for actors, and keeps our slots of them
        self._idle: Any = ActorPool([])
        self._standby: Any = ActorPool([])
        self._load: Counter[WorkerPort] = Counter()  # channels of each worker
        self._parked = 0
        self._waiting: dict[JobId, list[_Waiting]] = {}
        self._busy: Counter[JobId] = Counter()  # slots of each job
        self._order = itertools.count()
        self._numbers = itertools.count()
        self._in_flight: set[asyncio.Task[None]] = set()
        self._starting: set[asyncio.Task[None]] = set()
        self._alive: set[WorkerPort] = set()
        self._failed_starts = 0
        self._broken: RaysyncError | None = None
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
        if not self._alive and not self._starting:
            self._start_one()

    async def close(self) -> None:
        """End all workers; what they have under way is cancelled, its progress kept."""
        under_way = [*self._in_flight, *self._starting]
        for each in under_way:
            each.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
        await asyncio.gather(*(worker.close() for worker in self._alive))
        self._alive.clear()

    def _queue(self, work: _Work) -> None:
        task = work.task
        # a guess may be far too low, and a large channel that is begun late ends late: look first
        unseen = task.is_guess and not task.done.pages
        left = math.inf if unseen else task.expected_pages
        entry = _Waiting(-left, next(self._order), work)
        heapq.heappush(self._waiting.setdefault(task.job_id, []), entry)

    def _next(self) -> _Work | None:
        """What is to be read next: of the job with the fewest slots, what has most pages left.

        Jobs share the slots evenly: a small one is not kept waiting by a backfill beside it, and
        each token is used.
        """
        for job_id in sorted(self._waiting, key=self._busy.__getitem__):
            waiting = self._waiting[job_id]
            while waiting:
                work = heapq.heappop(waiting).work
                if not work.returned.done():  # or its job was cancelled
                    return work
            del self._waiting[job_id]
        return None

    def _turn(self) -> None:
        """Do what can be done now: fill slots, then ask for as many workers as there is work."""
        self._assign()
        self._grow()

    def _assign(self) -> None:
        while (pool := self._free_pool()) is not None and (work := self._next()) is not None:
            slot: Slot = pool.pop_idle()
            self._load[slot.worker] += 1
            job_id = work.task.job_id
            self._busy[job_id] += 1
            work.task = replace(work.task, is_hurried=self._is_crowded())
            work.serving = asyncio.create_task(self._serve(slot, work))
            self._in_flight.add(work.serving)
            read = sum(min(each, self._slots_per_worker) for each in self._load.values())
            self.most_at_once = max(self.most_at_once, read)
            work.serving.add_done_callback(partial(self._forget, job_id))

    def _free_pool(self) -> Any:
        """Where the next channel may go: a free slot, or on standby if none is to be had."""
        if self._idle.has_free():
            return self._idle
        return self._standby if self._standby.has_free() else None

    def _is_crowded(self) -> bool:
        """Whether more channels are to be read than there is room for: slots must go round."""
        channels = sum(map(len, self._waiting.values())) + self._parked + len(self._in_flight) + 1
        return channels > 2 * self._slots_per_worker * len(self._alive)

    def _free(self, slot: Slot) -> None:
        """Take a slot back: who was on standby in its worker is being read now."""
        self._load[slot.worker] -= 1
        if slot.worker in self._alive:
            is_standby = self._load[slot.worker] >= self._slots_per_worker
            (self._standby if is_standby else self._idle).push(slot)

    def _forget(self, job_id: JobId, serving: asyncio.Task[None]) -> None:
        self._in_flight.discard(serving)
        self._busy[job_id] -= 1
        self._turn()

    def _grow(self) -> None:
        channels = sum(map(len, self._waiting.values())) + len(self._in_flight)
        wanted = min(self._size, math.ceil(channels / self._slots_per_worker))
        while (
            len(self._alive) + len(self._starting) < wanted
            and len(self._starting) < self._starting_at_once
            and self._broken is None
            and (self._is_full or not self._is_sparing or not (self._alive or self._starting))
        ):
            self._start_one()
        if self._broken is not None and not self._alive:
            self._refuse_all(self._broken)

    def _start_one(self) -> None:
        self._is_full = False
        starting = asyncio.create_task(self._bring_up(self._spawn(next(self._numbers))))
        self._starting.add(starting)
        starting.add_done_callback(self._started)

    def _started(self, starting: asyncio.Task[None]) -> None:
        self._starting.discard(starting)
        if not starting.cancelled():
            self._turn()

    async def _bring_up(self, worker: WorkerPort) -> None:
        try:
            await worker.start()
        except Exception as error:  # noqa: BLE001 whatever it is, it is not to be tried for ever
            worker.kill()
            self._failed_starts += 1
            _log.warning("a worker did not start: %s", error, extra={"event": "worker_failed"})
            if not isinstance(error, SyncError) or self._failed_starts >= MAX_FAILED_STARTS:
                self._broken = WorkersUnavailableError(f"No worker could be started: {error}")
            return
        except asyncio.CancelledError:
            worker.kill()
            raise
        self._failed_starts = 0
        self._came_up_s = self._clock.monotonic_s()
        self._alive.add(worker)
        for _ in range(self._slots_per_worker):
            self._idle.push(Slot(worker))
            self._standby.push(Slot(worker))

    async def _serve(self, slot: Slot, work: _Work) -> None:
        task = work.task
        started_at = self._clock.now()
        try:
            outcome = await slot.worker.sync_channel(task)
        except Exception as error:  # noqa: BLE001 whatever it is, nobody is to wait for ever
            if not isinstance(error, RaysyncError):
                _log.exception("a worker failed unexpectedly", extra={"event": "worker_crashed"})
            if isinstance(error, WorkerLostError):
                self._bury(slot.worker)
                work.losses += 1
                if work.losses < MAX_ATTEMPTS:
                    # what it read meanwhile counts in the bucket, and only the database knows of it
                    work.task = replace(task, attempt=task.attempt + 1, paged_ago_s=())
                    self._queue(work)
                    return
            outcome = self._given_up(task, slot.worker.worker_id, started_at, error)
        except asyncio.CancelledError:
            work.returned.cancel()
            raise
        finally:
            self._free(slot)
        settled = self._clock.monotonic_s() - self._came_up_s > SETTLE_S and not self._starting
        self._is_full = self._is_full or (outcome.is_worker_full and settled)
        if work.returned.done():
            return
        if outcome.parked is not None:
            work.losses = 0
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
        )

    def _bury(self, worker: WorkerPort) -> None:
        """Take a lost worker out, its idle slots too, and make sure that it is dead."""
        if worker not in self._alive:
            return
        self._alive.discard(worker)
        worker.kill()
        _log.warning("lost %s", worker.worker_id, extra={"event": "worker_lost"})
        for pool in (self._idle, self._standby):
            free = []
            while pool.has_free():
                free.append(pool.pop_idle())
            for slot in reversed(free):
                if slot.worker is not worker:
                    pool.push(slot)

    def _refuse_all(self, error: RaysyncError) -> None:
        waiting, self._waiting = self._waiting, {}
        for each in itertools.chain.from_iterable(waiting.values()):
            if not each.work.returned.done():
                each.work.returned.set_exception(error)
