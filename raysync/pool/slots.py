"""Slots of a pool's workers: idle ones, ones on standby, and channels that are read.

`ray.util.ActorPool` keeps the idle slots; it is handed in. An `ActorPool` would continue to hand
out the idle slots of a dead actor, so `Slots.remove` takes them out.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Protocol

from raysync.pool.members import Member, WorkerPort, WorkerState


@dataclass(frozen=True, slots=True, eq=False)
class Slot:
    """Capacity for one channel in flight in one worker."""

    member: Member

    @property
    def worker(self) -> WorkerPort:
        return self.member.worker


class SlotPool(Protocol):
    """Idle slots, with the methods of `ray.util.ActorPool` for idle actors."""

    def has_free(self) -> bool:
        """Return whether a slot is idle."""
        ...

    def pop_idle(self) -> Any:
        """Take an idle slot out of the pool and return it."""
        ...

    def push(self, actor: Any) -> None:
        """Add an idle slot."""
        ...


class Slots:
    """Slots of all workers. Each worker has *per_worker* slots, and as many again on standby."""

    def __init__(self, per_worker: int, new_slot_pool: Callable[[], SlotPool]) -> None:
        self.per_worker = per_worker
        self.reading = 0  #: channels in slots, without those on standby
        self._idle = new_slot_pool()
        self._standby = new_slot_pool()

    def add(self, member: Member) -> None:
        """Add the slots of a worker that has come up."""
        for _ in range(self.per_worker):
            self._idle.push(Slot(member))
            self._standby.push(Slot(member))

    def has_room(self) -> bool:
        """Return whether a worker can take another channel, to read or on standby."""
        return bool(self._idle.has_free() or self._standby.has_free())

    def take(self) -> Slot:
        """Take an idle slot, or one on standby where none is idle. Requires `has_room`."""
        slot: Slot = (self._idle if self._idle.has_free() else self._standby).pop_idle()
        slot.member.load += 1
        self.reading += slot.member.load <= self.per_worker
        return slot

    def give_back(self, slot: Slot) -> None:
        """Release a slot; a channel on standby in the same worker is read from now on."""
        member = slot.member
        member.load -= 1
        is_standby = member.load >= self.per_worker
        self.reading -= not is_standby
        if member.state is WorkerState.ALIVE:
            (self._standby if is_standby else self._idle).push(slot)

    def remove(self, members: Collection[Member]) -> None:
        """Remove the idle slots of *members*."""
        for pool in (self._idle, self._standby):
            free = []
            while pool.has_free():
                free.append(pool.pop_idle())
            for slot in reversed(free):
                if slot.member not in members:
                    pool.push(slot)
