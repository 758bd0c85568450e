"""Membership of a pool: its workers, their states, and the moves between states."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, Protocol

from raysync.models.ids import JobId
from raysync.models.work import ChannelOutcome, ChannelTask


class WorkerPort(Protocol):
    """A worker process, on this machine or another one."""

    worker_id: str
    node_id: str | None  #: node of the cluster; None until the worker has started

    async def start(self) -> None:
        """Wait until the worker is up. Raises RaysyncError."""
        ...

    async def sync_channel(self, task: ChannelTask) -> ChannelOutcome:
        """Sync one channel in the worker.

        Raises:
            WorkerLostError: the worker is gone; another worker may continue the channel.
            RaysyncError: the worker could not begin, or failed in a way that no channel explains.
        """
        ...

    async def close_job(self, job_id: JobId) -> None:
        """Close the session of a job that has no channel in flight; never raise."""
        ...

    async def close(self) -> None:
        """Let the worker flush its reports, then end it; never raise."""
        ...

    def kill(self) -> None:
        """End the worker at once, so that it cannot continue unnoticed."""
        ...


class WorkerState(Enum):
    """State of a worker, from its start to its end."""

    STARTING = auto()
    ALIVE = auto()
    RETIRING = auto()  #: finishes its visits, and receives no new channel
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
    load: int = 0  #: channels in flight or on standby


class Members:
    """Workers of a pool that are not gone, with a count for each state."""

    def __init__(self) -> None:
        self._members: set[Member] = set()
        self._count: Counter[WorkerState] = Counter()

    def __iter__(self) -> Iterator[Member]:
        return iter(list(self._members))

    def __len__(self) -> int:
        return len(self._members)

    @property
    def starting(self) -> int:
        """Number of workers that are starting."""
        return self._count[WorkerState.STARTING]

    @property
    def alive(self) -> int:
        """Number of workers that take channels."""
        return self._count[WorkerState.ALIVE]

    @property
    def running(self) -> int:
        """Number of workers that are up, including those that retire."""
        return self.alive + self._count[WorkerState.RETIRING]

    def add(self, worker: WorkerPort) -> Member:
        """Add a worker that is starting."""
        member = Member(worker)
        self._members.add(member)
        self._count[member.state] += 1
        return member

    def move(self, member: Member, state: WorkerState) -> None:
        """Change a worker's state; remove the worker once it is gone."""
        if state not in _MOVES[member.state]:
            raise AssertionError(f"{member.worker.worker_id}: {member.state} to {state}")
        self._count[member.state] -= 1
        self._count[state] += 1
        member.state = state
        if state is WorkerState.GONE:
            self._members.discard(member)

    def least_loaded(self, number: int) -> list[Member]:
        """Return *number* of the workers that take channels, those with the least load first."""
        return sorted(self._alive(), key=lambda member: member.load)[:number]

    def alive_on(self, nodes: Collection[str]) -> list[Member]:
        """Return the workers on *nodes* that take channels."""
        return [member for member in self._alive() if member.worker.node_id in nodes]

    def _alive(self) -> list[Member]:
        return [member for member in self._members if member.state is WorkerState.ALIVE]
