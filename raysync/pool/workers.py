"""Workers of one run: their number follows the work, and lost or draining workers leave."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection

from raysync.clock import Clock
from raysync.errors import RaysyncError
from raysync.models.ids import JobId
from raysync.pool.members import Member, Members, WorkerPort, WorkerState
from raysync.pool.policies import FailurePolicy, PoolLoad, ScalingPolicy
from raysync.pool.slots import Slot, SlotPool, Slots
from raysync.pool.starts import WorkerStarts

_log = logging.getLogger(__name__)

SETTLE_S = 1.0
"""Seconds after a worker's start during which reports of saturation are ignored."""


class WorkerPool:
    """Workers of one run, with their slots, their starts and their number."""

    def __init__(
        self,
        spawn: Callable[[int], WorkerPort],
        slots_per_worker: int,
        clock: Clock,
        scaling: ScalingPolicy,
        failures: FailurePolicy,
        on_change: Callable[[], None],
        new_slot_pool: Callable[[], SlotPool],
    ) -> None:
        """Create an empty pool.

        *spawn* starts the worker with the given number. *on_change* is called when a worker comes
        up or goes. *new_slot_pool* returns an empty `ray.util.ActorPool`.
        """
        self._clock = clock
        self._scaling = scaling
        self._members = Members()
        self.slots = Slots(slots_per_worker, new_slot_pool)
        self._starts = WorkerStarts(
            spawn, self._members, failures, clock, self.slots.add, on_change
        )
        self._closing: set[asyncio.Task[None]] = set()
        self._is_saturated = False  # a worker was saturated since the last start
        self.wanted = 0  #: workers that the scaling policy asks for
        self.lost = 0  #: workers lost in this run

    @property
    def broken(self) -> RaysyncError | None:
        """Reason why no worker is up or will come up; None while there is hope."""
        return self._starts.broken

    @property
    def capacity(self) -> int:
        """Channels that workers can hold at once, including standby."""
        return 2 * self.slots.per_worker * self._members.alive

    def count(self) -> tuple[int, int]:
        """Return the number of workers that start, and of those that run."""
        return self._members.starting, self._members.running

    def free(self, slot: Slot) -> None:
        """Release a slot; a retiring worker without channels ends."""
        self.slots.give_back(slot)
        if slot.member.state is WorkerState.RETIRING and not slot.member.load:
            self._release(slot.member)

    def note_saturation(self, is_saturated: bool) -> None:
        """Note whether a worker reports that it is saturated, so that another would help."""
        is_settled = self._starts.since_last_s() > SETTLE_S
        if is_saturated and is_settled and not self._members.starting:
            self._is_saturated = True

    async def until_started(self) -> None:
        """Wait until no worker is starting."""
        await self._starts.ended()

    def scale(self, channels: int, parked: int) -> None:
        """Start or retire workers, as the scaling policy decides for that work."""
        now_s = self._clock.monotonic_s()
        alive, starting = self._members.alive, self._members.starting
        change = self._scaling.change(
            PoolLoad(channels, parked, alive, starting, self._is_saturated, now_s)
        )
        self.wanted = alive + starting + change
        if self._starts.are_allowed:
            for _ in range(change):
                self._start_one()
        if change < 0:
            self._retire(self._members.least_loaded(-change))

    def leave(self, nodes: Collection[str]) -> None:
        """Retire the workers on *nodes*, which drain."""
        self._retire(self._members.alive_on(nodes))

    def bury(self, slot: Slot) -> None:
        """Remove a lost worker with its idle slots, and kill it in case it still runs."""
        member = slot.member
        if member.state is WorkerState.GONE:
            return
        self._members.move(member, WorkerState.GONE)
        self.lost += 1
        member.worker.kill()
        self.slots.remove({member})
        _log.warning("lost %s", member.worker.worker_id, extra={"event": "worker_lost"})

    async def close_job(self, job_id: JobId) -> None:
        """Close the job's session in all workers; none of its channels may be in flight."""
        await asyncio.gather(*(member.worker.close_job(job_id) for member in self._members))

    async def close(self) -> None:
        """End all workers."""
        await self._starts.cancel()
        await asyncio.gather(*self._closing, return_exceptions=True)
        members = list(self._members)
        for member in members:
            self._members.move(member, WorkerState.GONE)
        await asyncio.gather(*(member.worker.close() for member in members))

    def _start_one(self) -> None:
        self._is_saturated = False
        self._starts.start_one()

    def _retire(self, members: Collection[Member]) -> None:
        """Give *members* no more channels; each ends with its last visit."""
        for member in members:
            self._members.move(member, WorkerState.RETIRING)
        self.slots.remove(members)
        for member in members:
            if not member.load:
                self._release(member)

    def _release(self, member: Member) -> None:
        self._members.move(member, WorkerState.GONE)
        _log.info("released %s", member.worker.worker_id, extra={"event": "worker_released"})
        task = asyncio.create_task(member.worker.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
