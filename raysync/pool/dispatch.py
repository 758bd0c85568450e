"""Dispatch of channels to workers: largest remainder first, one slot per channel in flight.

A visit ends when the channel's bucket is empty. The slot then goes to another channel. The parked
channel is queued again when its bucket has refilled, for any worker; the ages of its pages go with
it, so that the next worker knows the bucket's state. So no slot waits, and the largest channels
never stop. A worker also holds as many channels on standby as it reads, where no other slot is
free. It claims them while the last pages of others are still written, and so never idles.

The dispatcher keeps what is in flight, because `ray.util.ActorPool` reports neither which item a
dead actor held nor that its queue was lost. This module makes no Ray call: workers are
`WorkerPort`s, so tests run without Ray.

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
from raysync.errors import RaysyncError, WorkerLostError, WorkerPreemptedError
from raysync.models.ids import JobId
from raysync.models.not_covered import MissingRoute
from raysync.models.status import ChannelJobStatus
from raysync.models.work import ChannelOutcome, ChannelTask, Parked
from raysync.pool.fair_queue import FairQueue
from raysync.pool.members import WorkerPort
from raysync.pool.policies import FailurePolicy, ScalingPolicy
from raysync.pool.slots import Slot, SlotPool
from raysync.pool.workers import WorkerPool
from raysync.sync.progress.metering import PoolFigures
from raysync.sync.retry import failure_of

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Work:
    """A channel that the dispatcher holds, from its `run` until its outcome."""

    task: ChannelTask
    returned: asyncio.Future[ChannelOutcome]
    serving: asyncio.Task[None] | None = None
    parked: asyncio.TimerHandle | None = None
    parked_at_s: float = 0.0
    deaths: int = 0  #: workers that died on it in a row; a visit that ends otherwise resets it
    preemptions: int = 0  #: workers whose nodes were preempted in a row, reset likewise


class Dispatcher:
    """Dispatcher of channels to a pool of workers; satisfies the engine's `ChannelDispatcher`."""

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
            spawn, slots_per_worker, clock, scaling, self._failures, self._advance, new_slot_pool
        )
        self._parked = 0
        self._waiting: FairQueue[_Work] = FairQueue()
        self._in_flight: set[asyncio.Task[None]] = set()
        self._missing: defaultdict[JobId, set[MissingRoute]] = defaultdict(set)
        self.most_at_once = 0  #: maximum number of channels read at the same moment

    async def run(self, task: ChannelTask) -> ChannelOutcome:
        """Wait for a slot, sync the channel in a worker, and return its outcome."""
        returned: asyncio.Future[ChannelOutcome] = asyncio.get_running_loop().create_future()
        work = _Work(task, returned)
        self._queue(work)
        self._advance()
        try:
            return await returned
        except asyncio.CancelledError:
            if work.serving is not None and not work.serving.done():
                work.serving.cancel()
                # it reports progress until it releases the channel
                await asyncio.wait([work.serving])
            if work.parked is not None:
                work.parked.cancel()
                self._parked -= 1
            raise

    def warm_up(self, channels: int) -> None:
        """Start workers for *channels* that will come: a process takes seconds to come up."""
        self._pool.scale(max(channels, 1), parked=0)

    async def warmed_up(self) -> None:
        """Wait until no worker is starting."""
        await self._pool.until_started()

    def leave(self, nodes: Collection[str]) -> None:
        """Retire the workers on *nodes*, which drain; visits under way finish first."""
        self._pool.leave(nodes)
        self._advance()

    def figures(self) -> PoolFigures:
        """Return the present numbers of workers and of queued channels."""
        waiting = self._waiting.lengths()
        return PoolFigures(self._pool.wanted, *self._pool.count(), self._pool.lost, waiting)

    async def close_job(self, job_id: JobId) -> None:
        """Close the job's session in all workers; none of its channels may be in flight."""
        self._missing.pop(job_id, None)
        await self._pool.close_job(job_id)

    async def close(self) -> None:
        """Cancel all channels in flight, whose progress is kept, and end all workers."""
        in_flight = list(self._in_flight)
        for serving in in_flight:
            serving.cancel()
        await asyncio.gather(*in_flight, return_exceptions=True)
        await self._pool.close()

    def _queue(self, work: _Work) -> None:
        task = work.task
        # A guess may be far too low, and a large channel that begins late ends late. So an
        # estimate that is only a guess goes first.
        unseen = task.is_guess and not task.done.pages
        self._waiting.push(task.job_id, math.inf if unseen else task.expected_pages, work)

    def _next(self) -> _Work | None:
        """Take the next channel out of the queue; None where none waits."""
        while (work := self._waiting.pop()) is not None and work.returned.done():
            pass  # its job was cancelled
        return work

    def _advance(self) -> None:
        """Fill free slots, then adapt the number of workers to the work."""
        self._assign()
        channels = len(self._waiting) + len(self._in_flight)
        self._pool.scale(channels, self._parked)
        if self._pool.broken is not None:
            self._refuse_all(self._pool.broken)

    def _assign(self) -> None:
        while self._pool.slots.has_room() and (work := self._next()) is not None:
            slot = self._pool.slots.take()
            job_id = work.task.job_id
            self._waiting.take_slot(job_id)
            missing = tuple(sorted(self._missing.get(job_id, ())))
            work.task = replace(work.task, is_hurried=self._is_crowded(), missing_routes=missing)
            work.serving = asyncio.create_task(self._serve(slot, work))
            self._in_flight.add(work.serving)
            self.most_at_once = max(self.most_at_once, self._pool.slots.reading)
            work.serving.add_done_callback(partial(self._forget, job_id))

    def _is_crowded(self) -> bool:
        """Return whether there are more channels than places, so that channels must take turns."""
        channels = len(self._waiting) + self._parked + len(self._in_flight) + 1
        return channels > self._pool.capacity

    def _forget(self, job_id: JobId, serving: asyncio.Task[None]) -> None:
        self._in_flight.discard(serving)
        self._waiting.give_slot_back(job_id)
        self._advance()

    async def _serve(self, slot: Slot, work: _Work) -> None:
        task = work.task
        started_at = self._clock.now()
        try:
            outcome = await slot.worker.sync_channel(task)
        except Exception as error:  # noqa: BLE001 else `run` would wait for ever
            if not isinstance(error, RaysyncError):
                _log.exception("a worker failed unexpectedly", extra={"event": "worker_crashed"})
            if isinstance(error, WorkerLostError):
                self._pool.bury(slot)
                is_preempted = isinstance(error, WorkerPreemptedError)
                work.preemptions += is_preempted
                work.deaths += not is_preempted
                if not self._failures.is_cause(work.deaths, work.preemptions):
                    # The lost visit's pages count in the bucket too; only the database knows them.
                    work.task = replace(task, attempt=task.attempt + 1, paged_ago_s=())
                    self._queue(work)
                    return
            outcome = self._failed(task, slot.worker.worker_id, started_at, error)
        except asyncio.CancelledError:
            work.returned.cancel()
            raise
        finally:
            self._pool.free(slot)
        self._pool.note_saturation(outcome.is_worker_full)
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
        """Queue the channel again once its bucket has refilled."""
        work.task = next_visit(work.task, outcome, parked)
        work.parked_at_s = self._clock.monotonic_s()
        loop = asyncio.get_running_loop()
        work.parked = loop.call_later(parked.ready_after_s, self._unpark, work)
        self._parked += 1

    def _unpark(self, work: _Work) -> None:
        work.parked = None
        self._parked -= 1
        parked_s = self._clock.monotonic_s() - work.parked_at_s
        ages_s = tuple(age_s + parked_s for age_s in work.task.paged_ago_s)
        work.task = replace(work.task, paged_ago_s=ages_s)
        self._queue(work)
        self._advance()

    def _failed(
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


def next_visit(task: ChannelTask, outcome: ChannelOutcome, parked: Parked) -> ChannelTask:
    """Return the task of the visit that continues a parked channel."""
    pages = parked.remaining_pages
    if pages is None:
        pages = max(task.expected_pages - (outcome.tally.pages - task.done.pages), 1.0)
    return replace(
        task,
        expected_pages=pages,
        done=outcome.tally,
        started_at=outcome.started_at,
        retries_before=outcome.retry_count,
        paged_ago_s=parked.paged_ago_s,
        is_read=parked.is_read,
        visits=outcome.visits,
    )
