"""The workers of one run: who comes up, who has room, who goes.

`ray.util.ActorPool` keeps the idle slots; it is handed in. This module tracks which workers are
alive, because an `ActorPool` goes on handing out the idle slots of a dead actor.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Final, Protocol

from raysync.clock import Clock
from raysync.errors import ConfigurationError, RaysyncError
from raysync.models.ids import JobId
from raysync.models.work import ChannelOutcome, ChannelTask
from raysync.pool.policies import FailurePolicy, PoolLoad, ScalingPolicy, WorkerLostError

_log = logging.getLogger(__name__)

SETTLE_S = 1.0
"""So long after a worker has come up, what workers say of their fullness counts its help."""
AWAITED_S = 60.0
"""After so long without any worker a user is told what they wait for."""
_AWAITED: Final = (
    "no worker has come up for %d s: Ray has no room for one yet (`ray status` says what is asked "
    "for, and what there is)"
)


class WorkersUnavailableError(RaysyncError):
    """No worker could be started."""


class WorkerPort(Protocol):
    """A worker somewhere."""

    worker_id: str
    node_id: str | None  #: where it runs, once it has started

    async def start(self) -> None:
        """Wait until it is up. Raises RaysyncError."""
        ...

    async def sync_channel(self, task: ChannelTask) -> ChannelOutcome:
        """Have it sync one channel.

        Raises:
            WorkerLostError: it is gone, and the channel may go on elsewhere.
            RaysyncError: the worker could not begin, or failed as no channel should.
        """
        ...

    async def close_job(self, job_id: JobId) -> None:
        """Have it forget a job of which nothing is under way; never raises."""
        ...

    async def close(self) -> None:
        """Let it finish its reports and end; never raises."""
        ...

    def kill(self) -> None:
        """End it at once, so that it cannot go on unseen."""
        ...


class WorkerState(Enum):
    """A worker's life."""

    STARTING = auto()
    ALIVE = auto()
    RETIRING = auto()  #: ends its visits, and is given no more
    GONE = auto()


_MOVES: Final = {
    WorkerState.STARTING: {WorkerState.ALIVE, WorkerState.GONE},
    WorkerState.ALIVE: {WorkerState.RETIRING, WorkerState.GONE},
    WorkerState.RETIRING: {WorkerState.GONE},
    WorkerState.GONE: set[WorkerState](),
}


@dataclass(slots=True, eq=False)
class Member:
    """A worker of the pool."""

    worker: WorkerPort
    state: WorkerState = WorkerState.STARTING
    load: int = 0  #: channels that it was given


@dataclass(frozen=True, slots=True, eq=False)
class Slot:
    """Room for one channel in flight in one worker."""

    member: Member

    @property
    def worker(self) -> WorkerPort:
        return self.member.worker


class SlotPool(Protocol):
    """Idle slots, as `ray.util.ActorPool` keeps idle actors."""

    def has_free(self) -> bool:
        """Return whether a slot is idle."""
        ...

    def pop_idle(self) -> Any:
        """Take an idle slot out of the pool and return it."""
        ...

    def push(self, actor: Any) -> None:
        """Add an idle slot."""
        ...


class WorkerPool:
    """Slots to read channels in. A worker has as many again on standby."""

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
        self._spawn = spawn
        self._slots_per_worker = slots_per_worker
        self._clock = clock
        self._scaling = scaling
        self._failures = failures
        self._on_change = on_change
        self._idle = new_slot_pool()
        self._standby = new_slot_pool()
        self._members: set[Member] = set()  # but those that are gone
        self._count: Counter[WorkerState] = Counter()
        self._spawned = 0
        self._coming: set[asyncio.Task[None]] = set()
        self._going: set[asyncio.Task[None]] = set()
        self._is_full = False  # some worker was, since the last one was started
        self._came_up_s = -math.inf  # the last one
        self._failed_starts = self._lost_starts = 0
        self._resuming: asyncio.TimerHandle | None = None  # while no worker is started
        self._awaiting: asyncio.TimerHandle | None = None  # while none has come up
        self.broken: RaysyncError | None = None  #: no worker is there, nor will be
        self.reading = 0  #: channels in slots; those on standby are not read yet
        self.wanted = 0  #: workers for the work there is, as the policy says
        self.lost = 0  #: workers, in all

    @property
    def places(self) -> int:
        """Channels that workers may have at once, on standby too."""
        return 2 * self._slots_per_worker * self._count[WorkerState.ALIVE]

    def count(self) -> tuple[int, int]:
        """Workers that start, and that run."""
        running = self._count[WorkerState.ALIVE] + self._count[WorkerState.RETIRING]
        return self._count[WorkerState.STARTING], running

    def has_room(self) -> bool:
        """Whether a channel may be given to some worker, to read or on standby."""
        return bool(self._idle.has_free() or self._standby.has_free())

    def take(self) -> Slot:
        """A slot, on standby if no other is to be had; there must be room."""
        slot: Slot = (self._idle if self._idle.has_free() else self._standby).pop_idle()
        slot.member.load += 1
        self.reading += slot.member.load <= self._slots_per_worker
        return slot

    def free(self, slot: Slot) -> None:
        """Give a slot back: who was on standby in its worker is being read now."""
        member = slot.member
        member.load -= 1
        is_standby = member.load >= self._slots_per_worker
        self.reading -= not is_standby
        if member.state is WorkerState.ALIVE:
            (self._standby if is_standby else self._idle).push(slot)
        elif member.state is WorkerState.RETIRING and not member.load:
            self._let_go(member)

    def hear_fullness(self, is_full: bool) -> None:
        """Take in whether a worker says that another would help."""
        is_settled = self._clock.monotonic_s() - self._came_up_s > SETTLE_S
        if is_full and is_settled and not self._count[WorkerState.STARTING]:
            self._is_full = True

    def warm_up(self) -> None:
        """Start one worker before there is work: a process takes seconds to come up."""
        if not self._members:
            self._start_one()

    def scale(self, channels: int, parked: int) -> None:
        """Start workers, or let some go, as the policy says for that work."""
        now_s = self._clock.monotonic_s()
        alive = self._count[WorkerState.ALIVE]
        starting = self._count[WorkerState.STARTING]
        change = self._scaling.change(
            PoolLoad(channels, parked, alive, starting, self._is_full, now_s)
        )
        self.wanted = alive + starting + change
        if self.broken is None and self._resuming is None:
            for _ in range(change):
                self._start_one()
        if change < 0:
            living = [each for each in self._members if each.state is WorkerState.ALIVE]
            self._retire(sorted(living, key=lambda each: each.load)[:-change])

    def leave(self, nodes: Collection[str]) -> None:
        """Let go of the workers on nodes that will soon be gone."""
        there = [each for each in self._members if each.worker.node_id in nodes]
        self._retire([each for each in there if each.state is WorkerState.ALIVE])

    def bury(self, slot: Slot) -> None:
        """Take a lost worker out, its idle slots too, and make sure that it is dead."""
        member = slot.member
        if member.state is WorkerState.GONE:
            return
        self._move(member, WorkerState.GONE)
        self.lost += 1
        member.worker.kill()
        self._drop_slots({member})
        _log.warning("lost %s", member.worker.worker_id, extra={"event": "worker_lost"})

    async def close_job(self, job_id: JobId) -> None:
        """Have all workers forget a job of which nothing is under way."""
        await asyncio.gather(*(each.worker.close_job(job_id) for each in list(self._members)))

    async def close(self) -> None:
        """End all workers."""
        for timer in (self._resuming, self._awaiting):
            if timer is not None:
                timer.cancel()
        for each in list(self._coming):
            each.cancel()
        await asyncio.gather(*self._coming, *self._going, return_exceptions=True)
        members = list(self._members)
        for member in members:
            self._move(member, WorkerState.GONE)
        await asyncio.gather(*(member.worker.close() for member in members))

    def _move(self, member: Member, state: WorkerState) -> None:
        if state not in _MOVES[member.state]:
            raise AssertionError(f"{member.worker.worker_id}: {member.state} to {state}")
        self._count[member.state] -= 1
        self._count[state] += 1
        member.state = state
        if state is WorkerState.GONE:
            self._members.discard(member)

    def _start_one(self) -> None:
        self._is_full = False
        member = Member(self._spawn(self._spawned))
        self._spawned += 1
        self._members.add(member)
        self._count[WorkerState.STARTING] += 1
        if self._awaiting is None and not self.count()[1]:
            self._await(AWAITED_S)
        coming = asyncio.create_task(self._bring_up(member))
        self._coming.add(coming)
        coming.add_done_callback(self._came)

    def _await(self, waited_s: float) -> None:
        """Tell the user, now and then, where no worker comes up: a cloud's machine takes long."""

        def tell() -> None:
            _log.warning(_AWAITED, waited_s, extra={"event": "workers_awaited"})
            self._await(2 * waited_s)

        more_s = waited_s if waited_s == AWAITED_S else waited_s / 2
        self._awaiting = asyncio.get_running_loop().call_later(more_s, tell)

    def _came(self, coming: asyncio.Task[None]) -> None:
        self._coming.discard(coming)
        if not coming.cancelled():
            self._on_change()

    async def _bring_up(self, member: Member) -> None:
        try:
            await member.worker.start()
        except Exception as error:  # noqa: BLE001 whatever it is, it is not to be tried for ever
            self._move(member, WorkerState.GONE)
            member.worker.kill()
            self._note_failed_start(error)
            return
        except asyncio.CancelledError:
            self._move(member, WorkerState.GONE)
            member.worker.kill()
            raise
        self._failed_starts = self._lost_starts = 0
        self._came_up_s = self._clock.monotonic_s()
        if self._awaiting is not None:
            self._awaiting.cancel()
            self._awaiting = None
        self._move(member, WorkerState.ALIVE)
        for _ in range(self._slots_per_worker):
            self._idle.push(Slot(member))
            self._standby.push(Slot(member))

    def _note_failed_start(self, error: Exception) -> None:
        _log.warning("a worker did not start: %s", error, extra={"event": "worker_failed"})
        is_lost = isinstance(error, WorkerLostError)
        self._lost_starts += is_lost
        self._failed_starts += not is_lost
        if not self._failures.is_hopeless(error, self._failed_starts, self._lost_starts):
            return
        if not self._members:
            if isinstance(error, ConfigurationError):
                self.broken = error
            else:
                self.broken = WorkersUnavailableError(f"No worker could be started: {error}")
        elif self._resuming is None:  # others work, or may come up yet
            loop = asyncio.get_running_loop()
            self._resuming = loop.call_later(self._failures.pause_s, self._resume)

    def _resume(self) -> None:
        """Start workers again: nothing else may happen by which anybody would."""
        self._resuming = None
        self._on_change()

    def _retire(self, members: Collection[Member]) -> None:
        """Give them no more channels; each ends with its last visit."""
        for member in members:
            self._move(member, WorkerState.RETIRING)
        self._drop_slots(members)
        for member in members:
            if not member.load:
                self._let_go(member)

    def _let_go(self, member: Member) -> None:
        self._move(member, WorkerState.GONE)
        _log.info("let go of %s", member.worker.worker_id, extra={"event": "worker_released"})
        going = asyncio.create_task(member.worker.close())
        self._going.add(going)
        going.add_done_callback(self._going.discard)

    def _drop_slots(self, members: Collection[Member]) -> None:
        """Take their idle slots out of the pool."""
        for pool in (self._idle, self._standby):
            free = []
            while pool.has_free():
                free.append(pool.pop_idle())
            for slot in reversed(free):
                if slot.member not in members:
                    pool.push(slot)
